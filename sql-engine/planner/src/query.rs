//! What all SELECTs share: the source and its columns in use, the items selected, their names.

mod persistent;
mod pull;
mod push;
mod stream;

pub use persistent::{CreateAs, create_as};
pub use pull::pull;
pub use push::push;

use crate::bind::aggregate::first_aggregate;
use crate::bind::{Scope, ScopeColumn};
use crate::canonical::{canonical, columns, quoted};
use crate::{Column, Metastore, RowKind, RowSchema, Source, SourceField};
use millstream_model::limits::SQL_COLUMNS_MAX;
use millstream_parser::{
    Expr, ExprKind, Ident, Query, SelectItem, SourceKind, Span, SqlError, SqlType, closest,
};
use std::sync::Arc;

/// Names that a column of a source must not have.
pub const RESERVED_COLUMNS: [&str; 5] = ["ROWTIME", "ROWPARTITION", "ROWOFFSET", "WINDOWSTART", "WINDOWEND"];

/// A source by name.
pub fn find_source(metastore: &Metastore, name: &Ident) -> Result<Arc<Source>, SqlError> {
    if let Some(source) = metastore.source(&name.name) {
        return Ok(Arc::clone(source));
    }
    let mut message = format!("unknown stream or table {name}");
    if let Some(closest) = closest(&name.name, metastore.sources().map(|source| source.name.as_str())) {
        message.push_str(&format!(" (did you mean {}?)", quoted(closest)));
    }
    Err(SqlError::invalid(name.span, message))
}

/// A selected expression and the name of its column.
pub struct Item<'q> {
    pub name: String,
    pub expr: ItemExpr<'q>,
    pub span: Span,
}

pub enum ItemExpr<'q> {
    Written(&'q Expr),
    /// A column of the source that `*` stands for.
    Star(String),
}

impl Item<'_> {
    /// Canonical text of what is selected.
    pub fn text(&self) -> String {
        match &self.expr {
            ItemExpr::Written(expr) => canonical(expr),
            ItemExpr::Star(name) => quoted(name),
        }
    }
}

/// A query over one source, names of columns resolved.
pub struct Analysis<'q> {
    pub query: &'q Query,
    pub source: Arc<Source>,
    pub items: Vec<Item<'q>>,
    /// What is read of the source, in order.
    pub fields: Vec<SourceField>,
    /// The fields as columns.
    pub scope: Scope,
}

/// Resolves the source and finds the columns in use. `star_extra` are pseudo-columns that `*` also stands for.
pub fn analyse<'q>(
    query: &'q Query,
    metastore: &Metastore,
    windows_in_star: bool,
) -> Result<Analysis<'q>, SqlError> {
    let source = find_source(metastore, &query.from.name)?;
    let mut all = available(&source);
    let alias = query.from.alias.as_ref().map(|alias| alias.name.clone());
    let qualifiers = match alias {
        Some(alias) => vec![alias],
        None => vec![source.name.clone()],
    };
    let everything = Scope {
        qualifiers,
        ..scope_of(&all)
    };
    let items = items(query, &source, &everything, windows_in_star)?;
    let mut used: Vec<String> = Vec::new();
    for item in &items {
        match &item.expr {
            ItemExpr::Star(name) => used.push(name.clone()),
            ItemExpr::Written(expr) => used.extend(columns(expr).iter().map(|(_, name)| name.name.clone())),
        }
    }
    let clauses = query
        .filter
        .iter()
        .chain(&query.group_by)
        .chain(&query.partition_by)
        .chain(&query.having);
    for expr in clauses {
        used.extend(columns(expr).iter().map(|(_, name)| name.name.clone()));
    }
    let used: std::collections::BTreeSet<String> = used.into_iter().collect();
    all.retain(|(field, column)| {
        let always = matches!(
            field,
            SourceField::Key(_) | SourceField::WindowStart | SourceField::WindowEnd
        );
        always || used.contains(&column.name)
    });
    let scope = Scope {
        qualifiers: everything.qualifiers.clone(),
        ..scope_of(&all)
    };
    // Names that are not in use are known all the same, for suggestions.
    let fields = all.iter().map(|(field, _)| *field).collect();
    Ok(Analysis {
        query,
        source,
        items,
        fields,
        scope: Scope {
            ungrouped: names(&everything),
            ..scope
        },
    })
}

fn names(scope: &Scope) -> Vec<String> {
    scope.columns.iter().map(|column| column.name.clone()).collect()
}

fn scope_of(all: &[(SourceField, Column)]) -> Scope {
    let columns = all
        .iter()
        .enumerate()
        .map(|(index, (_, column))| ScopeColumn::new(column.name.clone(), column.sql_type.clone(), index));
    Scope {
        columns: columns.collect(),
        ..Scope::default()
    }
}

/// Everything that can be read of a source: keys, window bounds, values, pseudo-columns.
fn available(source: &Source) -> Vec<(SourceField, Column)> {
    let bigint = |field, name: &str| (field, Column::new(name, SqlType::BigInt));
    let mut all: Vec<_> = source
        .keys()
        .iter()
        .enumerate()
        .map(|(at, key)| (SourceField::Key(at), key.clone()))
        .collect();
    if source.is_windowed() {
        all.push(bigint(SourceField::WindowStart, "WINDOWSTART"));
        all.push(bigint(SourceField::WindowEnd, "WINDOWEND"));
    }
    all.extend(
        source
            .values()
            .iter()
            .enumerate()
            .map(|(at, value)| (SourceField::Value(at), value.clone())),
    );
    all.push(bigint(SourceField::RowTime, "ROWTIME"));
    all.push((
        SourceField::RowPartition,
        Column::new("ROWPARTITION", SqlType::Int),
    ));
    all.push(bigint(SourceField::RowOffset, "ROWOFFSET"));
    all
}

impl Analysis<'_> {
    /// Refuses aggregate functions among the items; `why` goes on after the function's name.
    pub fn refuse_aggregates(&self, why: &str) -> Result<(), SqlError> {
        let found = self.items.iter().find_map(|item| match &item.expr {
            ItemExpr::Written(expr) => first_aggregate(expr),
            ItemExpr::Star(_) => None,
        });
        match found {
            None => Ok(()),
            Some(name) => {
                let message = format!("the aggregate function {} {why}", name.name);
                Err(SqlError::invalid(name.span, message))
            }
        }
    }

    /// The layout of the source's rows.
    pub fn schema(&self) -> RowSchema {
        let columns = self
            .scope
            .columns
            .iter()
            .map(|c| Column::new(c.name.clone(), c.sql_type.clone()));
        RowSchema {
            kind: match self.source.kind {
                SourceKind::Stream => RowKind::Stream,
                SourceKind::Table => RowKind::Table,
            },
            columns: columns.collect(),
            key_count: self.source.key_count,
            windowed: self.source.is_windowed(),
        }
    }
}

/// The items selected, `*` spread out, each with its name.
fn items<'q>(
    query: &'q Query,
    source: &Source,
    scope: &Scope,
    windows_in_star: bool,
) -> Result<Vec<Item<'q>>, SqlError> {
    let mut items: Vec<Item<'q>> = Vec::new();
    let mut unnamed = 0;
    for item in &query.items {
        match item {
            SelectItem::Star { qualifier, span } => {
                if let Some(qualifier) = qualifier {
                    scope.check_qualifier(qualifier)?;
                }
                let bounds = ["WINDOWSTART", "WINDOWEND"]
                    .into_iter()
                    .filter(|_| windows_in_star && source.is_windowed());
                let keys = source.keys().iter().map(|column| column.name.clone());
                let values = source.values().iter().map(|column| column.name.clone());
                for name in keys.chain(bounds.map(ToOwned::to_owned)).chain(values) {
                    let expr = ItemExpr::Star(name.clone());
                    items.push(Item {
                        name,
                        expr,
                        span: *span,
                    });
                }
            }
            SelectItem::Expr { expr, alias } => {
                let name = match (alias, &expr.kind) {
                    (Some(alias), _) => alias.name.clone(),
                    (None, ExprKind::Column { name, .. }) => name.name.clone(),
                    (None, ExprKind::Field { field, .. }) => field.name.clone(),
                    (None, _) => {
                        unnamed += 1;
                        format!("KSQL_COL_{}", unnamed - 1)
                    }
                };
                let span = alias.as_ref().map_or(expr.span, |alias| alias.span);
                items.push(Item {
                    name,
                    expr: ItemExpr::Written(expr),
                    span,
                });
            }
        }
        if items.len() > SQL_COLUMNS_MAX {
            return Err(SqlError::limit(
                query.select_span.start,
                format!("more than {SQL_COLUMNS_MAX} columns"),
            ));
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for item in &items {
        if !seen.insert(item.name.as_str()) {
            let message = format!(
                "the column {} is selected twice; name one with AS",
                quoted(&item.name)
            );
            return Err(SqlError::invalid(item.span, message));
        }
    }
    Ok(items)
}
