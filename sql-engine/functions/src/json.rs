//! EXTRACTJSONFIELD and IS_JSON_STRING.

use crate::kernel::Args;
use arrow::array::ArrayRef;
use millstream_columns::RowError;
use serde_json::Value;
use std::borrow::Cow;

enum Step<'p> {
    Field(&'p str),
    Index(usize),
}

/// EXTRACTJSONFIELD(text, '$.a.b[0]'): the value as text (a string without its quotes), null when it is not
/// there or is null, a row error when the text is not JSON.
pub fn extract(args: &Args) -> ArrayRef {
    let (text, path) = (args.text(0), args.text(1));
    args.strings(|row| {
        let (Some(text), Some(path)) = (text.get(row), path.get(row)) else {
            return Ok(None);
        };
        let steps = steps(path)?;
        let document: Value =
            serde_json::from_str(text).map_err(|error| format!("the text is not JSON: {error}"))?;
        let mut value = &document;
        for step in steps {
            let next = match step {
                Step::Field(name) => value.get(name),
                Step::Index(index) => value.get(index),
            };
            match next {
                Some(next) => value = next,
                None => return Ok(None),
            }
        }
        Ok(match value {
            Value::Null => None,
            Value::String(text) => Some(Cow::Owned(text.clone())),
            other => Some(Cow::Owned(other.to_string())),
        })
    })
}

/// `$` followed by `.name`, `['name']` and `[index]`.
fn steps(path: &str) -> Result<Vec<Step<'_>>, RowError<()>> {
    let wrong = || RowError::from("a JSON path is '$' followed by '.name' and '[index]'");
    let mut rest = path.strip_prefix('$').ok_or_else(wrong)?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(named) = rest.strip_prefix('.') {
            let end = named.find(['.', '[']).unwrap_or(named.len());
            if end == 0 {
                return Err(wrong());
            }
            steps.push(Step::Field(&named[..end]));
            rest = &named[end..];
        } else {
            let inside = rest.strip_prefix('[').ok_or_else(wrong)?;
            let end = inside.find(']').ok_or_else(wrong)?;
            let key = &inside[..end];
            let quoted = key.strip_prefix('\'').and_then(|key| key.strip_suffix('\''));
            steps.push(match quoted {
                Some(name) => Step::Field(name),
                None => Step::Index(key.parse().map_err(|_| wrong())?),
            });
            rest = &inside[end + 1..];
        }
    }
    Ok(steps)
}

pub fn is_json(args: &Args) -> ArrayRef {
    let text = args.text(0);
    args.booleans(|row| {
        Ok(Some(text.get(row).is_some_and(|t| {
            serde_json::from_str::<serde::de::IgnoredAny>(t).is_ok()
        })))
    })
}
