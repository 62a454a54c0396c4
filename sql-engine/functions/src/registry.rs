//! Which functions there are, and which overload a call means.

use crate::interval::{Direction, shifted};
use crate::kernel::{Args, Resolved};
use crate::{choose, converts_implicitly, json, math, nested, text, time};
use arrow::array::ArrayRef;
use millstream_parser::{SqlType, closest};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Arguments of one call at most: each costs work per row.
const ARGUMENTS_MAX: usize = 100;

/// What DESCRIBE FUNCTION tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionFacts {
    pub name: &'static str,
    /// Parameters of each overload, `type, type → result`.
    pub usage: &'static [&'static str],
    pub description: &'static str,
}

/// Why a call means no function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// No function has that name; the closest one that exists.
    Unknown {
        name: String,
        closest: Option<&'static str>,
    },
    /// The function does not take such arguments.
    Arguments {
        name: &'static str,
        given: String,
        usage: &'static [&'static str],
    },
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveError::Unknown { name, closest: None } => write!(f, "unknown function {name}"),
            ResolveError::Unknown {
                name,
                closest: Some(closest),
            } => {
                write!(f, "unknown function {name} (did you mean {closest}?)")
            }
            ResolveError::Arguments { name, given, usage } => {
                write!(
                    f,
                    "{name} does not take ({given}); it takes {}",
                    usage.join(" or ")
                )
            }
        }
    }
}

impl std::error::Error for ResolveError {}

type Choose = fn(&[Option<SqlType>]) -> Option<Resolved>;

enum Body {
    /// Fixed types per overload; the one that needs the fewest conversions is taken.
    Overloads(&'static [Overload]),
    /// Types follow from the arguments.
    Generic(Choose),
}

struct Overload {
    parameters: &'static [SqlType],
    result: SqlType,
    kernel: fn(&Args) -> ArrayRef,
}

struct Entry {
    facts: FunctionFacts,
    body: Body,
}

const BOOLEAN: SqlType = SqlType::Boolean;
const INT: SqlType = SqlType::Int;
const BIGINT: SqlType = SqlType::BigInt;
const DOUBLE: SqlType = SqlType::Double;
const STRING: SqlType = SqlType::String;
const TIMESTAMP: SqlType = SqlType::Timestamp;
const DATE: SqlType = SqlType::Date;

macro_rules! overloads {
    ($name:literal, $description:literal, [$(($($parameter:ident),*) -> $result:ident = $kernel:path),+ $(,)?]) => {
        Entry {
            facts: FunctionFacts {
                name: $name,
                usage: &[$(concat!("(" $(, " ", stringify!($parameter))*, " ) → ", stringify!($result))),+],
                description: $description,
            },
            body: Body::Overloads(&[
                $(Overload { parameters: &[$($parameter),*], result: $result, kernel: $kernel }),+
            ]),
        }
    };
}

macro_rules! generic {
    ($name:literal, $description:literal, [$($usage:literal),+], $choose:expr) => {
        Entry {
            facts: FunctionFacts { name: $name, usage: &[$($usage),+], description: $description },
            body: Body::Generic($choose),
        }
    };
}

/// A list type cannot be built in a constant; SPLIT is generic for that reason alone.
fn split(arguments: &[Option<SqlType>]) -> Option<Resolved> {
    if arguments.len() != 2 || arguments.iter().flatten().any(|t| *t != SqlType::String) {
        return None;
    }
    let result = SqlType::Array(Box::new(SqlType::String));
    Some(Resolved::new(
        "SPLIT",
        vec![SqlType::String; 2],
        result,
        Arc::new(text::split),
    ))
}

fn variadic_text(
    name: &str,
    least: usize,
    arguments: &[Option<SqlType>],
    kernel: fn(&Args) -> ArrayRef,
) -> Option<Resolved> {
    if arguments.len() < least || arguments.iter().flatten().any(|t| *t != SqlType::String) {
        return None;
    }
    Some(Resolved::new(
        name,
        vec![SqlType::String; arguments.len()],
        SqlType::String,
        Arc::new(kernel),
    ))
}

fn one(arguments: &[Option<SqlType>]) -> Option<&SqlType> {
    match arguments {
        [Some(argument)] => Some(argument),
        _ => None,
    }
}

static ENTRIES: &[Entry] = &[
    generic!("ABS", "The absolute value.", ["(number) → same type"], |a| {
        math::keeping("ABS", math::Keeping::Abs, one(a)?)
    }),
    generic!(
        "ARRAY_CONTAINS",
        "Whether an array holds a value.",
        ["(ARRAY<T>, T) → BOOLEAN"],
        |a| match a {
            [Some(array), value] => nested::array_contains(array, value.as_ref()),
            _ => None,
        }
    ),
    generic!(
        "ARRAY_LENGTH",
        "How many elements an array has.",
        ["(ARRAY<T>) → INTEGER"],
        |a| nested::array_length(one(a)?)
    ),
    generic!(
        "AS_VALUE",
        "A copy of a key column among the values.",
        ["(T) → T"],
        |a| one(a).and_then(|_| choose::coalesce("AS_VALUE", a))
    ),
    generic!(
        "CEIL",
        "The smallest whole number not below.",
        ["(number) → same type"],
        |a| math::keeping("CEIL", math::Keeping::Ceil, one(a)?)
    ),
    generic!(
        "COALESCE",
        "The first argument that is not null.",
        ["(T, …) → T"],
        |a| choose::coalesce("COALESCE", a)
    ),
    generic!(
        "CONCAT",
        "Strings joined; nulls count as empty.",
        ["(STRING, STRING, …) → STRING"],
        |a| variadic_text("CONCAT", 2, a, text::concat)
    ),
    generic!(
        "CONCAT_WS",
        "Strings joined by the first; nulls are left out.",
        ["(STRING, STRING, …) → STRING"],
        |a| variadic_text("CONCAT_WS", 2, a, text::concat_ws)
    ),
    overloads!("COS", "The cosine.", [(DOUBLE) -> DOUBLE = math::cos]),
    generic!(
        "DATEADD",
        "An interval added to a date; the unit is a word from MILLISECONDS to YEARS.",
        ["(unit, INT, DATE) → DATE"],
        |a| shifted("DATEADD", Direction::Add, &SqlType::Date, a)
    ),
    generic!(
        "DATESUB",
        "An interval taken from a date; the unit is a word from MILLISECONDS to YEARS.",
        ["(unit, INT, DATE) → DATE"],
        |a| shifted("DATESUB", Direction::Subtract, &SqlType::Date, a)
    ),
    overloads!("ENDS_WITH", "Whether a string ends with another.", [(STRING, STRING) -> BOOLEAN = text::ends_with]),
    overloads!("EXP", "e to the power of the argument.", [(DOUBLE) -> DOUBLE = math::exp]),
    overloads!("EXTRACTJSONFIELD", "The value at a path in a JSON text.", [(STRING, STRING) -> STRING = json::extract]),
    generic!(
        "FLOOR",
        "The largest whole number not above.",
        ["(number) → same type"],
        |a| math::keeping("FLOOR", math::Keeping::Floor, one(a)?)
    ),
    overloads!("FORMAT_DATE", "A date as text by a Java pattern.", [(DATE, STRING) -> STRING = time::format_date]),
    overloads!("FORMAT_TIMESTAMP", "A timestamp as text by a Java pattern, in a zone (UTC).", [
        (TIMESTAMP, STRING) -> STRING = time::format_timestamp,
        (TIMESTAMP, STRING, STRING) -> STRING = time::format_timestamp,
    ]),
    overloads!("FROM_DAYS", "The date so many days after 1970-01-01.", [(INT) -> DATE = time::from_days]),
    overloads!("FROM_UNIXTIME", "Milliseconds since 1970 as a timestamp.", [(BIGINT) -> TIMESTAMP = time::from_unix]),
    generic!(
        "GREATEST",
        "The largest argument that is not null.",
        ["(T, …) → T"],
        |a| choose::extreme("GREATEST", Ordering::Greater, a)
    ),
    generic!(
        "IFNULL",
        "The first argument, or the second if that is null.",
        ["(T, T) → T"],
        |a| {
            if a.len() == 2 {
                choose::coalesce("IFNULL", a)
            } else {
                None
            }
        }
    ),
    overloads!("INITCAP", "Every word with a capital first letter, the rest small.", [(STRING) -> STRING = text::initcap]),
    overloads!("INSTR", "Where a string stands in another, from 1; 0 if nowhere.", [
        (STRING, STRING) -> INT = text::instr,
        (STRING, STRING, INT) -> INT = text::instr,
        (STRING, STRING, INT, INT) -> INT = text::instr,
    ]),
    overloads!("IS_JSON_STRING", "Whether a text is JSON.", [(STRING) -> BOOLEAN = json::is_json]),
    overloads!("LCASE", "In small letters.", [(STRING) -> STRING = text::lcase]),
    generic!(
        "LEAST",
        "The smallest argument that is not null.",
        ["(T, …) → T"],
        |a| choose::extreme("LEAST", Ordering::Less, a)
    ),
    overloads!("LEN", "How many characters a string has.", [(STRING) -> INT = text::len]),
    overloads!("LN", "The natural logarithm.", [(DOUBLE) -> DOUBLE = math::ln]),
    overloads!("LPAD", "Padded on the left, or cut, to a length.", [(STRING, INT, STRING) -> STRING = text::lpad]),
    generic!(
        "NULLIF",
        "Null when both are equal, else the first.",
        ["(T, T) → T"],
        |a| { if a.len() == 2 { choose::nullif(a) } else { None } }
    ),
    overloads!("PARSE_DATE", "Text to a date by a Java pattern.", [(STRING, STRING) -> DATE = time::parse_date]),
    overloads!("PARSE_TIMESTAMP", "Text to a timestamp by a Java pattern, in a zone (UTC).", [
        (STRING, STRING) -> TIMESTAMP = time::parse_timestamp,
        (STRING, STRING, STRING) -> TIMESTAMP = time::parse_timestamp,
    ]),
    overloads!("POWER", "The first to the power of the second.", [(DOUBLE, DOUBLE) -> DOUBLE = math::power]),
    overloads!("REPEAT", "A string so many times.", [(STRING, INT) -> STRING = text::repeat]),
    overloads!("REPLACE", "Every occurrence of a string replaced.", [(STRING, STRING, STRING) -> STRING = text::replace]),
    overloads!("REVERSE", "The characters in reverse.", [(STRING) -> STRING = text::reverse]),
    generic!(
        "ROUND",
        "Rounded, to so many digits behind the point, or before it when negative; halves go up.",
        ["(number) → BIGINT or same type", "(number, INT) → same type"],
        math::round
    ),
    overloads!("RPAD", "Padded on the right, or cut, to a length.", [(STRING, INT, STRING) -> STRING = text::rpad]),
    overloads!("SIGN", "-1, 0 or 1.", [(DOUBLE) -> INT = math::sign]),
    overloads!("SIN", "The sine.", [(DOUBLE) -> DOUBLE = math::sin]),
    generic!(
        "SPLIT",
        "The parts between delimiters.",
        ["(STRING, STRING) → ARRAY<STRING>"],
        split
    ),
    overloads!("SQRT", "The square root.", [(DOUBLE) -> DOUBLE = math::sqrt]),
    overloads!("STARTS_WITH", "Whether a string starts with another.", [(STRING, STRING) -> BOOLEAN = text::starts_with]),
    overloads!("STRINGTOTIMESTAMP", "Text to milliseconds by a Java pattern, in a zone (UTC).", [
        (STRING, STRING) -> BIGINT = time::string_to_timestamp,
        (STRING, STRING, STRING) -> BIGINT = time::string_to_timestamp,
    ]),
    overloads!("SUBSTRING", "Part of a string, from 1; from the end when negative.", [
        (STRING, INT) -> STRING = text::substring,
        (STRING, INT, INT) -> STRING = text::substring,
    ]),
    overloads!("TAN", "The tangent.", [(DOUBLE) -> DOUBLE = math::tan]),
    generic!(
        "TIMEADD",
        "An interval added to a time of day, round midnight.",
        ["(unit, INT, TIME) → TIME"],
        |a| shifted("TIMEADD", Direction::Add, &SqlType::Time, a)
    ),
    generic!(
        "TIMESTAMPADD",
        "An interval added to a timestamp; the unit is a word from MILLISECONDS to YEARS.",
        ["(unit, INT, TIMESTAMP) → TIMESTAMP"],
        |a| shifted("TIMESTAMPADD", Direction::Add, &SqlType::Timestamp, a)
    ),
    generic!(
        "TIMESTAMPSUB",
        "An interval taken from a timestamp; the unit is a word from MILLISECONDS to YEARS.",
        ["(unit, INT, TIMESTAMP) → TIMESTAMP"],
        |a| shifted("TIMESTAMPSUB", Direction::Subtract, &SqlType::Timestamp, a)
    ),
    overloads!("TIMESTAMPTOSTRING", "Milliseconds as text by a Java pattern, in a zone (UTC).", [
        (BIGINT, STRING) -> STRING = time::timestamp_to_string,
        (BIGINT, STRING, STRING) -> STRING = time::timestamp_to_string,
    ]),
    generic!(
        "TIMESUB",
        "An interval taken from a time of day, round midnight.",
        ["(unit, INT, TIME) → TIME"],
        |a| shifted("TIMESUB", Direction::Subtract, &SqlType::Time, a)
    ),
    overloads!("TRIM", "Without blanks around.", [(STRING) -> STRING = text::trim]),
    overloads!("UCASE", "In capital letters.", [(STRING) -> STRING = text::ucase]),
    overloads!("UNIX_DATE", "Days since 1970-01-01.", [(DATE) -> INT = time::to_days]),
    overloads!("UNIX_TIMESTAMP", "Milliseconds since 1970.", [(TIMESTAMP) -> BIGINT = time::to_unix]),
];

/// Every scalar function, by name.
pub fn functions() -> impl Iterator<Item = FunctionFacts> {
    ENTRIES.iter().map(|entry| entry.facts)
}

/// Chooses the function that a call means; an argument without type is a NULL that was written.
///
/// # Errors
/// No function of that name, or none that takes such arguments.
pub fn resolve(name: &str, arguments: &[Option<SqlType>]) -> Result<Resolved, ResolveError> {
    let Some(entry) = ENTRIES.iter().find(|entry| entry.facts.name == name) else {
        let closest = closest(name, ENTRIES.iter().map(|entry| entry.facts.name));
        return Err(ResolveError::Unknown {
            name: name.to_owned(),
            closest,
        });
    };
    let resolved = match &entry.body {
        _ if arguments.len() > ARGUMENTS_MAX => None,
        Body::Generic(choose) => choose(arguments),
        Body::Overloads(overloads) => {
            let fitting = overloads
                .iter()
                .filter_map(|o| conversions(o.parameters, arguments).map(|n| (n, o)));
            fitting
                .min_by_key(|(conversions, _)| *conversions)
                .map(|(_, overload)| {
                    let kernel = overload.kernel;
                    Resolved::new(
                        name,
                        overload.parameters.to_vec(),
                        overload.result.clone(),
                        Arc::new(kernel),
                    )
                })
        }
    };
    resolved.ok_or_else(|| {
        let shown = arguments
            .iter()
            .map(|t| t.as_ref().map_or("NULL".to_owned(), ToString::to_string));
        let given = shown.collect::<Vec<_>>().join(", ");
        ResolveError::Arguments {
            name: entry.facts.name,
            given,
            usage: entry.facts.usage,
        }
    })
}

/// How many arguments must be converted; None when the overload does not fit.
fn conversions(parameters: &[SqlType], arguments: &[Option<SqlType>]) -> Option<usize> {
    if parameters.len() != arguments.len() {
        return None;
    }
    parameters
        .iter()
        .zip(arguments)
        .try_fold(0, |count, (parameter, argument)| match argument {
            Some(argument) if argument == parameter => Some(count),
            Some(argument) if !converts_implicitly(argument, parameter) => None,
            _ => Some(count + 1),
        })
}
