//! Arrays, maps and structs: taking things out, and making them.

use super::literal::null_of;
use super::{Binder, Typed};
use crate::canonical::{canonical, quoted};
use millstream_functions as functions;
use millstream_parser::{Expr, Ident, Span, SqlError, SqlType, StructField};

impl Binder<'_> {
    pub(super) fn field(&mut self, base: &Expr, field: &Ident) -> Result<Typed, SqlError> {
        let typed = self.typed(base)?;
        let base_type = typed.sql_type.clone().unwrap_or(SqlType::String);
        let SqlType::Struct(fields) = &base_type else {
            let message = format!("-> needs a STRUCT, {} is of type {base_type}", canonical(base));
            return Err(SqlError::invalid(base.span, message));
        };
        if let Some(resolved) = functions::field(&base_type, &field.name) {
            return Ok(self.call(resolved, vec![typed]));
        }
        let message = format!("the STRUCT {} has no field {field}", canonical(base));
        Err(unknown_field(message, field, fields))
    }

    pub(super) fn index(&mut self, base: &Expr, index: &Expr) -> Result<Typed, SqlError> {
        let typed = self.typed(base)?;
        let base_type = typed.sql_type.clone().unwrap_or(SqlType::String);
        let Some(resolved) = functions::element(&base_type) else {
            let message = format!(
                "[] needs an ARRAY or a MAP, {} is of type {base_type}",
                canonical(base)
            );
            return Err(SqlError::invalid(base.span, message));
        };
        let at = self.typed(index)?;
        let at = self.coerce(at, &resolved.argument_types[1], index.span)?;
        Ok(self.call(resolved, vec![typed, at]))
    }

    pub(super) fn map(&mut self, entries: &[(Expr, Expr)], span: Span) -> Result<Typed, SqlError> {
        let (keys, key) = self.unified(entries.iter().map(|(k, _)| k).collect(), span, "MAP's keys")?;
        if key != SqlType::String {
            let at = entries.first().map_or(span, |(first, _)| first.span);
            let message = format!("the keys of a MAP must be of type STRING, not {key}");
            return Err(SqlError::invalid(at, message));
        }
        let (values, value) = self.unified(entries.iter().map(|(_, v)| v).collect(), span, "MAP's values")?;
        let resolved = functions::make_map(&key, &value, entries.len());
        let arguments = keys.into_iter().zip(values).flat_map(|(k, v)| [k, v]).collect();
        Ok(self.call(resolved, arguments))
    }

    pub(super) fn structure(&mut self, fields: &[(Ident, Expr)]) -> Result<Typed, SqlError> {
        let (mut types, mut values) = (Vec::new(), Vec::new());
        for (name, value) in fields {
            let typed = self.typed(value)?;
            let Some(sql_type) = typed.sql_type.clone() else {
                return Err(SqlError::invalid(
                    value.span,
                    "NULL alone has no type; write CAST(NULL AS type)",
                ));
            };
            types.push(StructField {
                name: name.name.clone(),
                sql_type,
            });
            values.push(typed);
        }
        Ok(self.call(functions::make_struct(&types), values))
    }

    pub(super) fn array_as(&mut self, elements: &[Expr], item: &SqlType) -> Result<Typed, SqlError> {
        let values = elements.iter().map(|element| self.value_as(element, item));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        Ok(self.call(functions::make_array(item, values.len()), values))
    }

    pub(super) fn map_as(
        &mut self,
        entries: &[(Expr, Expr)],
        key: &SqlType,
        value: &SqlType,
    ) -> Result<Typed, SqlError> {
        let mut arguments = Vec::new();
        for (of, to) in entries {
            arguments.push(self.value_as(of, key)?);
            arguments.push(self.value_as(to, value)?);
        }
        Ok(self.call(functions::make_map(key, value, entries.len()), arguments))
    }

    /// A STRUCT of these fields in their order; those that are not written are null.
    pub(super) fn struct_as(
        &mut self,
        written: &[(Ident, Expr)],
        fields: &[StructField],
    ) -> Result<Typed, SqlError> {
        for (name, _) in written {
            if fields.iter().all(|field| field.name != name.name) {
                return Err(unknown_field(
                    format!("the STRUCT has no field {name}"),
                    name,
                    fields,
                ));
            }
        }
        let mut values = Vec::new();
        for field in fields {
            let value = written.iter().find(|(name, _)| name.name == field.name);
            values.push(match value {
                Some((_, value)) => self.value_as(value, &field.sql_type)?,
                None => null_of(&field.sql_type),
            });
        }
        Ok(self.call(functions::make_struct(fields), values))
    }
}

fn unknown_field(mut message: String, field: &Ident, fields: &[StructField]) -> SqlError {
    if let Some(closest) = millstream_parser::closest(&field.name, fields.iter().map(|f| f.name.as_str())) {
        message.push_str(&format!(" (did you mean {}?)", quoted(closest)));
    }
    SqlError::invalid(field.span, message)
}
