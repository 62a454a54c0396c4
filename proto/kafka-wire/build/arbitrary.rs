//! Writes what fills messages at random, for tests: only fields that the version has, so that decoding gives
//! back exactly what was encoded.

use crate::rust::{condition, field_name, snake};
use crate::schema::{Field, Message};
use std::fmt::Write;

/// `arbitrary.rs`: an `Arbitrary` for every struct, and a visit of every message.
pub fn messages(messages: &[Message]) -> Result<String, std::fmt::Error> {
    let mut out = String::from("// Made by build/arbitrary.rs from schemas/*.txt.\n\n");
    for message in messages {
        let module = snake(&message.name);
        for item in &message.structs {
            writeln!(
                out,
                "impl Arbitrary for crate::messages::{module}::{} {{",
                item.name
            )?;
            writeln!(
                out,
                "    fn arbitrary(g: &mut Gen, v: i16) -> Self {{\n        let mut m = Self::default();"
            )?;
            for field in &item.fields {
                fill(&mut out, message, field)?;
            }
            writeln!(out, "        let _ = (g, v);\n        m\n    }}\n}}\n")?;
        }
    }
    writeln!(
        out,
        "/// Calls `visit` with every message type.\npub fn visit_all(visit: &mut impl Visit) {{"
    )?;
    for message in messages {
        writeln!(out, "    visit.message::<crate::messages::{}>();", message.name)?;
    }
    writeln!(out, "}}")?;
    Ok(out)
}

fn fill(out: &mut String, message: &Message, field: &Field) -> std::fmt::Result {
    let when = condition(field.versions, message.versions);
    if when == "false" {
        return Ok(());
    }
    let element = match field.element.as_str() {
        name if field.is_struct() => format!(
            "crate::messages::{}::{name}::arbitrary(g, v)",
            snake(&message.name)
        ),
        name => format!("g.{name}()"),
    };
    let mut value = element;
    if field.array {
        value = format!("g.array(|g| {value})");
    }
    if field.is_nullable() {
        value = format!(
            "g.option({}, |g| {value})",
            condition(field.nullable, message.versions)
        );
    }
    writeln!(
        out,
        "        if {when} {{\n            m.{} = {value};\n        }}",
        field_name(field)
    )
}
