//! A member of a JSON object finds its field, and a value its name in messages.

use super::Value;
use arrow::datatypes::FieldRef;

/// Puts a member where its name belongs: names match without regard to case, an exact match wins, else the last.
pub(super) fn fill<'a>(
    fields: &[FieldRef],
    slots: &mut [Option<(bool, Value<'a>)>],
    name: &str,
    value: Value<'a>,
) {
    for (index, field) in fields.iter().enumerate() {
        let exact = field.name() == name;
        if !exact && !field.name().eq_ignore_ascii_case(name) {
            continue;
        }
        if exact || !matches!(slots[index], Some((true, _))) {
            slots[index] = Some((exact, value));
        }
    }
}

pub(super) fn kind(value: Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::Text { .. } => "a string",
        Value::Object(_) => "an object",
        Value::Array(_) => "an array",
    }
}
