//! The decoder of JSON values: one pass over each object, reading only the fields asked for.

use super::member::{fill, kind};
use super::{ColumnBuilder, Scanner, Value};
use crate::row::{Decoded, FormatError, RowState};
use crate::row_error::RowError;
use arrow::datatypes::FieldRef;

/// Decodes JSON objects into the columns of a projection.
#[derive(Clone, Debug)]
pub struct JsonDecoder {
    fields: Vec<FieldRef>,
}

impl JsonDecoder {
    /// For these fields, and no others.
    pub fn new(fields: Vec<FieldRef>) -> Result<Self, FormatError> {
        for field in &fields {
            ColumnBuilder::check(field)?;
        }
        Ok(Self { fields })
    }

    /// Decodes one value per record. `None` and the JSON text `null` are tombstones.
    pub fn decode<'a>(&self, values: impl ExactSizeIterator<Item = Option<&'a [u8]>>) -> Decoded {
        let count = values.len();
        let mut builders: Vec<ColumnBuilder> = self
            .fields
            .iter()
            .map(|field| ColumnBuilder::new(field.data_type(), count))
            .collect();
        let mut states = Vec::with_capacity(count);
        let mut errors = Vec::new();
        let mut slots: Vec<Option<(bool, Value<'a>)>> = Vec::with_capacity(self.fields.len());
        for (row, value) in values.enumerate() {
            slots.clear();
            slots.resize(self.fields.len(), None);
            let mut outcome = match value {
                None => Ok(RowState::Tombstone),
                Some(bytes) => self.scan(bytes, &mut slots),
            };
            for (index, builder) in builders.iter_mut().enumerate() {
                let slot = slots[index]
                    .filter(|_| outcome.is_ok())
                    .map_or(Value::Null, |(_, value)| value);
                if let Err(message) = builder.append(slot) {
                    outcome = Err(format!("column '{}': {message}", self.fields[index].name()));
                }
            }
            states.push(outcome.unwrap_or_else(|message| {
                errors.push(RowError::new(row, message));
                RowState::Failed
            }));
        }
        let columns = builders
            .into_iter()
            .zip(&self.fields)
            .map(|(b, field)| b.finish(field.data_type()))
            .collect();
        Decoded {
            columns,
            states,
            errors,
        }
    }

    fn scan<'a>(&self, bytes: &'a [u8], slots: &mut [Option<(bool, Value<'a>)>]) -> Result<RowState, String> {
        let text =
            std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8 at byte {}", e.valid_up_to()))?;
        let mut scanner = Scanner::new(text);
        let whole = if text.trim_start().starts_with('{') {
            None
        } else {
            Some(scanner.value())
        };
        match whole {
            None => {
                scanner
                    .members(|name, value| fill(&self.fields, slots, &name, value))
                    .map_err(malformed)?;
            }
            Some(Ok(Value::Null)) => {
                scanner.end().map_err(malformed)?;
                return Ok(RowState::Tombstone);
            }
            Some(Ok(other)) => return Err(format!("expected a JSON object, found {}", kind(other))),
            Some(Err(error)) => return Err(malformed(error)),
        }
        scanner.end().map_err(malformed)?;
        Ok(RowState::Value)
    }
}

fn malformed(error: super::scan::Malformed) -> String {
    format!("not valid JSON at byte {}", error.at)
}
