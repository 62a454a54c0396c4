//! Record keys: plain, JSON, and with the window that Kafka Streams appends.

use crate::json::{ColumnBuilder, JsonDecoder, JsonEncoder, Scanner, Value, write_value};
use crate::kafka;
use crate::row::{Decoded, FormatError, RowState};
use crate::row_error::RowError;
use arrow::array::{ArrayRef, Int64Array, Int64Builder};
use arrow::datatypes::FieldRef;

/// How a key's columns lie in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFormat {
    /// Kafka's serializers; one column.
    Kafka,
    /// JSON: one column bare, several in an object.
    Json,
    /// No key columns.
    None,
}

/// What follows the key's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWindow {
    /// Nothing.
    None,
    /// A window of fixed size: its start, 8 bytes big-endian (`TimeWindowedSerializer`).
    Fixed {
        /// Its length, ms.
        size_ms: i64,
    },
    /// A session: its end, then its start, 8 bytes each (`SessionWindowedSerializer`).
    Session,
}

impl KeyWindow {
    fn bytes(self) -> usize {
        match self {
            Self::None => 0,
            Self::Fixed { .. } => 8,
            Self::Session => 16,
        }
    }
}

/// Keys, decoded.
#[derive(Clone, Debug)]
pub struct DecodedKeys {
    /// The key columns; a null key gives nulls and [`RowState::Tombstone`].
    pub keys: Decoded,
    /// Window start and end, ms, when keys are windowed.
    pub window: Option<(Int64Array, Int64Array)>,
}

/// Decodes keys.
#[derive(Clone, Debug)]
pub struct KeyDecoder {
    format: KeyFormat,
    window: KeyWindow,
    fields: Vec<FieldRef>,
    object: Option<JsonDecoder>,
}

impl KeyDecoder {
    /// For all the key's columns.
    pub fn new(format: KeyFormat, window: KeyWindow, fields: Vec<FieldRef>) -> Result<Self, FormatError> {
        check(format, &fields)?;
        let object = match format {
            KeyFormat::Json if fields.len() > 1 => Some(JsonDecoder::new(fields.clone())?),
            _ => None,
        };
        Ok(Self {
            format,
            window,
            fields,
            object,
        })
    }

    /// Decodes one key per record.
    pub fn decode<'a>(&self, keys: impl ExactSizeIterator<Item = Option<&'a [u8]>>) -> DecodedKeys {
        let rows = keys.len();
        let mut bodies: Vec<Option<&[u8]>> = Vec::with_capacity(rows);
        let mut starts = Int64Builder::with_capacity(rows);
        let mut ends = Int64Builder::with_capacity(rows);
        let mut short = Vec::new();
        for (row, key) in keys.enumerate() {
            let parts = key.map(|key| self.split(key));
            let (body, times) = match parts {
                Some(Some((body, start, end))) => (Some(body), Some((start, end))),
                Some(None) => {
                    short.push(row);
                    (None, None)
                }
                None => (None, None),
            };
            bodies.push(body);
            starts.append_option(times.map(|(start, _)| start));
            ends.append_option(times.map(|(_, end)| end));
        }
        let mut decoded = self.bodies(&bodies);
        for row in short {
            decoded.states[row] = RowState::Failed;
            let error = RowError::new(row, "key: too short to hold a window");
            decoded.errors.push(error);
        }
        let windowed = self.window != KeyWindow::None;
        DecodedKeys {
            keys: decoded,
            window: windowed.then(|| (starts.finish(), ends.finish())),
        }
    }

    fn split<'a>(&self, key: &'a [u8]) -> Option<(&'a [u8], i64, i64)> {
        let (body, tail) = key.split_at_checked(key.len().checked_sub(self.window.bytes())?)?;
        let word = |at: usize| tail.get(at..at + 8)?.try_into().ok().map(i64::from_be_bytes);
        match self.window {
            KeyWindow::None => Some((body, 0, 0)),
            KeyWindow::Fixed { size_ms } => word(0).map(|start| (body, start, start.saturating_add(size_ms))),
            KeyWindow::Session => Some((body, word(8)?, word(0)?)),
        }
    }

    fn bodies(&self, bodies: &[Option<&[u8]>]) -> Decoded {
        if let Some(object) = &self.object {
            return object.decode(bodies.iter().copied());
        }
        let state = |body: &Option<&[u8]>| {
            if body.is_some() {
                RowState::Value
            } else {
                RowState::Tombstone
            }
        };
        let states: Vec<RowState> = bodies.iter().map(state).collect();
        let Some(field) = self.fields.first() else {
            return Decoded {
                columns: Vec::new(),
                states,
                errors: Vec::new(),
            };
        };
        let (column, failures) = match self.format {
            KeyFormat::Json => bare_json(field, bodies),
            _ => kafka::decode(field.data_type(), bodies.iter().copied()),
        };
        let mut decoded = Decoded {
            columns: vec![column],
            states,
            errors: Vec::new(),
        };
        for (row, failure) in failures.into_iter().enumerate() {
            let Some(message) = failure else { continue };
            decoded.states[row] = RowState::Failed;
            let message = format!("key column '{}': {message}", field.name());
            decoded.errors.push(RowError::new(row, message));
        }
        decoded
    }
}

fn bare_json(field: &FieldRef, bodies: &[Option<&[u8]>]) -> (ArrayRef, Vec<Option<String>>) {
    let mut builder = ColumnBuilder::new(field.data_type(), bodies.len());
    let mut failures = Vec::with_capacity(bodies.len());
    for body in bodies {
        let parsed = body.map_or(Ok(Value::Null), |bytes| {
            let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
            let mut scanner = Scanner::new(text);
            let value = scanner.value().and_then(|value| scanner.end().map(|()| value));
            value.map_err(|error| format!("not valid JSON at byte {}", error.at))
        });
        let appended = builder.append(*parsed.as_ref().unwrap_or(&Value::Null));
        failures.push(parsed.err().or(appended.err()));
    }
    (builder.finish(field.data_type()), failures)
}

/// Encodes keys.
#[derive(Clone, Debug)]
pub struct KeyEncoder {
    format: KeyFormat,
    window: KeyWindow,
    object: Option<JsonEncoder>,
}

impl KeyEncoder {
    /// For all the key's columns.
    pub fn new(format: KeyFormat, window: KeyWindow, fields: &[FieldRef]) -> Result<Self, FormatError> {
        check(format, fields)?;
        let object = match format {
            KeyFormat::Json if fields.len() > 1 => Some(JsonEncoder::new(fields)?),
            _ => None,
        };
        Ok(Self {
            format,
            window,
            object,
        })
    }

    /// One row's key; `window` is (start, end), ms, when keys are windowed. `None` is Kafka's null key.
    pub fn encode(&self, columns: &[ArrayRef], row: usize, window: Option<(i64, i64)>) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(32);
        let written = match (self.format, columns.first(), &self.object) {
            (KeyFormat::None, ..) | (_, None, _) => false,
            (_, _, Some(object)) => {
                object.encode(columns, row, &mut out);
                true
            }
            (KeyFormat::Json, Some(column), None) => {
                let present = !column.is_null(row);
                if present {
                    write_value(column.as_ref(), row, &mut out);
                }
                present
            }
            (KeyFormat::Kafka, Some(column), None) => kafka::encode(column.as_ref(), row, &mut out),
        };
        let (start, end) = window.unwrap_or_default();
        match self.window {
            KeyWindow::None => {}
            KeyWindow::Fixed { .. } => out.extend_from_slice(&start.to_be_bytes()),
            KeyWindow::Session => {
                out.extend_from_slice(&end.to_be_bytes());
                out.extend_from_slice(&start.to_be_bytes());
            }
        }
        written.then_some(out)
    }
}

fn check(format: KeyFormat, fields: &[FieldRef]) -> Result<(), FormatError> {
    match format {
        KeyFormat::None if !fields.is_empty() => Err(FormatError::TooMany {
            format: "NONE",
            count: fields.len(),
        }),
        KeyFormat::Kafka if fields.len() > 1 => Err(FormatError::TooMany {
            format: "KAFKA",
            count: fields.len(),
        }),
        KeyFormat::Kafka => fields.iter().try_for_each(|field| kafka::check(field)),
        KeyFormat::Json => fields.iter().try_for_each(|field| ColumnBuilder::check(field)),
        KeyFormat::None => Ok(()),
    }
}
