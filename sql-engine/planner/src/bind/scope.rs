//! The columns that an expression may name.

use crate::arrow_field;
use crate::canonical::quoted;
use arrow::datatypes::Schema;
use millstream_parser::{Ident, SqlError, SqlType, closest};
use std::sync::Arc;

/// Columns that every source has beside its own.
const PSEUDO: [&str; 5] = ["ROWTIME", "ROWPARTITION", "ROWOFFSET", "WINDOWSTART", "WINDOWEND"];

/// One column of the input's batches.
#[derive(Clone, Debug)]
pub struct ScopeColumn {
    pub name: String,
    pub sql_type: SqlType,
    pub index: usize,
}

impl ScopeColumn {
    pub fn new(name: String, sql_type: SqlType, index: usize) -> ScopeColumn {
        ScopeColumn {
            name,
            sql_type,
            index,
        }
    }
}

/// What is in scope: columns by name, or by the canonical text of the GROUP BY expression that made them.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The source's name and its alias.
    pub qualifiers: Vec<String>,
    pub columns: Vec<ScopeColumn>,
    /// Canonical texts of group keys, and their columns.
    pub texts: Vec<(String, ScopeColumn)>,
    /// Names that exist before aggregation, to tell a misspelt name from one that is not grouped.
    pub ungrouped: Vec<String>,
}

impl Scope {
    pub fn arrow_schema(&self) -> Arc<Schema> {
        let fields: Vec<_> = self
            .columns
            .iter()
            .map(|c| arrow_field(&c.name, &c.sql_type))
            .collect();
        Arc::new(Schema::new(fields))
    }

    pub fn by_text(&self, text: &str) -> Option<&ScopeColumn> {
        self.texts
            .iter()
            .find(|(known, _)| known == text)
            .map(|(_, column)| column)
    }

    pub fn find(&self, name: &str) -> Option<&ScopeColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column that a name means.
    pub fn resolve(
        &self,
        qualifier: Option<&Ident>,
        name: &Ident,
        grouped: bool,
    ) -> Result<&ScopeColumn, SqlError> {
        if let Some(qualifier) = qualifier {
            self.check_qualifier(qualifier)?;
        }
        if let Some(column) = self.find(&name.name) {
            return Ok(column);
        }
        if grouped && self.ungrouped.contains(&name.name) {
            let message = format!(
                "the column {name} must be in GROUP BY or inside an aggregate function such as COUNT"
            );
            return Err(SqlError::invalid(name.span, message));
        }
        if name.name == "WINDOWSTART" || name.name == "WINDOWEND" {
            let message = format!("{name} exists only where rows belong to windows");
            return Err(SqlError::invalid(name.span, message));
        }
        if self.columns.is_empty() && self.ungrouped.is_empty() {
            return Err(SqlError::invalid(
                name.span,
                format!("no column can be named here, found {name}"),
            ));
        }
        let mut message = format!("unknown column {name}");
        let known = self
            .columns
            .iter()
            .map(|column| &column.name)
            .chain(&self.ungrouped)
            .map(String::as_str);
        if let Some(closest) = closest(&name.name, known.filter(|known| !PSEUDO.contains(known))) {
            message.push_str(&format!(" (did you mean {}?)", quoted(closest)));
        }
        Err(SqlError::invalid(name.span, message))
    }

    pub fn check_qualifier(&self, qualifier: &Ident) -> Result<(), SqlError> {
        if self.qualifiers.contains(&qualifier.name) {
            return Ok(());
        }
        let known = self.qualifiers.join(" or ");
        let message = format!("unknown source {qualifier}; this query reads {known}");
        Err(SqlError::invalid(qualifier.span, message))
    }
}
