//! Writes the types: one module per message, one struct per struct of the table, plain public fields.

use crate::schema::{Field, Kind, Message, Struct, Versions};
use std::fmt::Write;

type Out = Result<String, std::fmt::Error>;

/// `messages.rs`: every message.
pub fn messages(messages: &[Message]) -> Out {
    let mut out = String::from("// Made by build/rust.rs from schemas/*.txt.\n\n");
    for message in messages {
        let module = snake(&message.name);
        writeln!(out, "pub use {module}::{};", message.name)?;
        writeln!(out, "/// [`{}`] and what it is made of.", message.name)?;
        writeln!(out, "pub mod {module} {{\n    use super::prelude::*;")?;
        for item in &message.structs {
            structure(&mut out, message, item)?;
        }
        message_impl(&mut out, message)?;
        writeln!(out, "}}\n")?;
    }
    Ok(out)
}

/// `api_key.rs`: the enum of API keys, from the requests.
pub fn api_keys(messages: &[Message]) -> Out {
    let mut requests: Vec<(&Message, i16)> = messages
        .iter()
        .filter(|message| message.kind == Kind::Request)
        .filter_map(|message| message.key.map(|key| (message, key)))
        .collect();
    requests.sort_by_key(|(_, key)| *key);
    let mut out = String::from("// Made by build/rust.rs from schemas/*.txt.\n\n");
    writeln!(out, "/// The requests that this codec knows, by Kafka's API key.")?;
    writeln!(
        out,
        "#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\n#[repr(i16)]"
    )?;
    writeln!(out, "pub enum ApiKey {{")?;
    for (message, key) in &requests {
        let name = api_name(message);
        let Versions { min, max } = message.versions;
        writeln!(
            out,
            "    /// {name}: versions {min} to {max}.\n    {name} = {key},"
        )?;
    }
    writeln!(out, "}}\n\nconst FACTS: [ApiFacts; {}] = [", requests.len())?;
    for (message, _) in &requests {
        let name = api_name(message);
        let Versions { min, max } = message.versions;
        let stable = message.unstable.map_or(max, |unstable| unstable - 1);
        let flexible = if message.flexible.is_none() {
            "None".into()
        } else {
            format!("Some({})", message.flexible.min)
        };
        writeln!(
            out,
            "    ApiFacts {{ key: ApiKey::{name}, name: \"{name}\", min: {min}, stable: {stable}, max: {max}, \
             flexible: {flexible} }},"
        )?;
    }
    writeln!(out, "];")?;
    Ok(out)
}

fn api_name(message: &Message) -> &str {
    message.name.trim_end_matches("Request")
}

fn structure(out: &mut String, message: &Message, item: &Struct) -> std::fmt::Result {
    let plain = item.fields.iter().all(default_is_derived);
    let derived = if plain {
        "Clone, Debug, Default, PartialEq"
    } else {
        "Clone, Debug, PartialEq"
    };
    writeln!(
        out,
        "\n    /// `{}`.\n    #[derive({derived})]\n    pub struct {} {{",
        item.path, item.name
    )?;
    for field in &item.fields {
        writeln!(out, "        /// {}", field_doc(message, field))?;
        writeln!(out, "        pub {}: {},", field_name(field), field_type(field))?;
    }
    writeln!(out, "    }}\n")?;
    if !plain {
        writeln!(
            out,
            "    impl Default for {} {{\n        fn default() -> Self {{\n            Self {{",
            item.name
        )?;
        for field in &item.fields {
            writeln!(
                out,
                "                {}: {},",
                field_name(field),
                default_value(field)
            )?;
        }
        writeln!(out, "            }}\n        }}\n    }}\n")?;
    }
    writeln!(out, "    impl {} {{", item.name)?;
    read(out, message, item)?;
    write(out, message, item)?;
    writeln!(out, "    }}")
}

fn field_doc(message: &Message, field: &Field) -> String {
    let span = |versions: Versions| match (versions.min, versions.max.min(message.versions.max)) {
        (min, max) if min == max => format!("version {min}"),
        (min, max) => format!("versions {} to {max}", min.max(message.versions.min)),
    };
    let mut text = format!("`{}`, {}", field.name, span(field.versions));
    if field.is_nullable() {
        let _ = write!(text, ", may be null in {}", span(field.nullable));
    }
    if let Some(tag) = field.tag {
        let _ = write!(text, ", tag {tag}");
    }
    text + "."
}

fn read(out: &mut String, message: &Message, item: &Struct) -> std::fmt::Result {
    let body = item.fields.iter().filter(|field| field.tag.is_none());
    let tagged: Vec<&Field> = item.fields.iter().filter(|field| field.tag.is_some()).collect();
    writeln!(
        out,
        "        pub(crate) fn read(r: &mut Reader, v: i16) -> Result<Self, DecodeError> {{"
    )?;
    writeln!(
        out,
        "            let flex = {};",
        condition(message.flexible, message.versions)
    )?;
    writeln!(out, "            let mut m = Self::default();")?;
    for field in body {
        let line = format!("m.{} = {}?;", field_name(field), read_call(message, item, field));
        guarded(out, 12, field.versions, message.versions, &line)?;
    }
    if !message.flexible.is_none() {
        if tagged.is_empty() {
            writeln!(
                out,
                "            if flex {{\n                r.skip_tags(\"{}\")?;\n            }}",
                item.path
            )?;
        } else {
            writeln!(
                out,
                "            if flex {{\n                r.tags(\"{}\", |r, tag| {{",
                item.path
            )?;
            writeln!(out, "                    match tag {{")?;
            for field in &tagged {
                let call = read_call(message, item, field);
                let guard = match condition(field.versions, message.versions) {
                    always if always == "true" => String::new(),
                    sometimes => format!(" if {sometimes}"),
                };
                let tag = field.tag.unwrap_or_default();
                writeln!(
                    out,
                    "                        {tag}{guard} => m.{} = {call}?,",
                    field_name(field)
                )?;
            }
            writeln!(
                out,
                "                        _ => return Ok(false),\n                    }}"
            )?;
            writeln!(
                out,
                "                    Ok(true)\n                }})?;\n            }}"
            )?;
        }
    }
    writeln!(out, "            Ok(m)\n        }}\n")
}

fn read_call(message: &Message, item: &Struct, field: &Field) -> String {
    let path = format!("\"{}.{}\"", item.path, field.name);
    let nullable = condition(field.nullable, message.versions);
    let flex = if field.never_flexible { "false" } else { "flex" };
    let opt = if field.is_nullable() { "opt_" } else { "" };
    let null = if field.is_nullable() {
        format!("{nullable}, ")
    } else {
        String::new()
    };
    let element = match field.element.as_str() {
        "string" | "bytes" => format!("r.{}({flex}, {path})", field.element),
        name if field.is_struct() => format!("{name}::read(r, v)"),
        name => format!("r.{name}({path})"),
    };
    if field.array {
        let least = element_size(message, field);
        return format!("r.{opt}array({flex}, {null}{path}, {least}, |r| {element})");
    }
    match field.element.as_str() {
        name @ ("string" | "bytes" | "records") => format!("r.{opt}{name}({flex}, {null}{path})"),
        _ if field.is_nullable() => format!("r.opt_struct({null}{path}, |r| {element})"),
        _ => element,
    }
}

fn write(out: &mut String, message: &Message, item: &Struct) -> std::fmt::Result {
    let body = item.fields.iter().filter(|field| field.tag.is_none());
    let mut tagged: Vec<&Field> = item.fields.iter().filter(|field| field.tag.is_some()).collect();
    tagged.sort_by_key(|field| field.tag);
    writeln!(
        out,
        "        pub(crate) fn write(&self, w: &mut Writer, v: i16) -> Result<(), EncodeError> {{"
    )?;
    writeln!(
        out,
        "            let flex = {};",
        condition(message.flexible, message.versions)
    )?;
    for field in body {
        let line = format!(
            "{}?;",
            write_call(message, item, field, &format!("self.{}", field_name(field)))
        );
        guarded(out, 12, field.versions, message.versions, &line)?;
    }
    if !message.flexible.is_none() {
        writeln!(out, "            if flex {{")?;
        if tagged.is_empty() {
            writeln!(out, "                w.no_tags();")?;
        } else {
            writeln!(out, "                let mut tags = Tags::new();")?;
            for field in tagged {
                let name = format!("self.{}", field_name(field));
                let mut when = format!("{name} != {}", default_value(field));
                if condition(field.versions, message.versions) != "true" {
                    when = format!("{} && {when}", condition(field.versions, message.versions));
                }
                let call = write_call(message, item, field, &name);
                let tag = field.tag.unwrap_or_default();
                writeln!(out, "                if {when} {{")?;
                writeln!(
                    out,
                    "                    tags.put({tag}, |w| {call})?;\n                }}"
                )?;
            }
            writeln!(out, "                w.tags(tags);")?;
        }
        writeln!(out, "            }}")?;
    }
    writeln!(out, "            Ok(())\n        }}")
}

fn write_call(message: &Message, item: &Struct, field: &Field, value: &str) -> String {
    let path = format!("\"{}.{}\"", item.path, field.name);
    let flex = if field.never_flexible { "false" } else { "flex" };
    let opt = if field.is_nullable() { "opt_" } else { "" };
    let null = match field.is_nullable() {
        true => format!("{}, ", condition(field.nullable, message.versions)),
        false => String::new(),
    };
    if field.array {
        let element = match field.element.as_str() {
            "string" | "bytes" => format!("w.{}(item, {flex}, {path})", field.element),
            "uuid" => "w.uuid(item)".to_owned(),
            _ if field.is_struct() => "item.write(w, v)".to_owned(),
            name => format!("w.{name}(*item)"),
        };
        return format!("w.{opt}array(&{value}, {flex}, {null}{path}, |w, item| {element})");
    }
    match field.element.as_str() {
        name @ ("string" | "bytes" | "records") => format!("w.{opt}{name}(&{value}, {flex}, {null}{path})"),
        "uuid" => format!("w.uuid(&{value})"),
        _ if field.is_struct() && field.is_nullable() => {
            format!("w.opt_struct(&{value}, {null}{path}, |w, item| item.write(w, v))")
        }
        _ if field.is_struct() => format!("{value}.write(w, v)"),
        name => format!("w.{name}({value})"),
    }
}

fn message_impl(out: &mut String, message: &Message) -> std::fmt::Result {
    let Message {
        name,
        versions,
        flexible,
        ..
    } = message;
    let flexible = if flexible.is_none() {
        "None".to_owned()
    } else {
        format!("Some({})", flexible.min)
    };
    writeln!(
        out,
        "\n    impl Message for {name} {{\n        const NAME: &'static str = \"{name}\";"
    )?;
    writeln!(
        out,
        "        const VERSIONS: RangeInclusive<i16> = {}..={};",
        versions.min, versions.max
    )?;
    writeln!(out, "        const FLEXIBLE_FROM: Option<i16> = {flexible};\n")?;
    writeln!(
        out,
        "        fn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError> {{"
    )?;
    writeln!(
        out,
        "            r.check_version::<Self>(version)?;\n            Self::read(r, version)\n        }}\n"
    )?;
    writeln!(
        out,
        "        fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {{"
    )?;
    writeln!(
        out,
        "            w.check_version::<Self>(version)?;\n            self.write(w, version)\n        }}\n    }}"
    )?;
    if message.kind == Kind::Request {
        let api = api_name(message);
        writeln!(
            out,
            "\n    impl Request for {name} {{\n        const KEY: ApiKey = ApiKey::{api};"
        )?;
        writeln!(out, "        type Response = super::{api}Response;\n    }}")?;
    }
    Ok(())
}

fn guarded(
    out: &mut String,
    indent: usize,
    versions: Versions,
    of: Versions,
    line: &str,
) -> std::fmt::Result {
    let pad = " ".repeat(indent);
    match condition(versions, of).as_str() {
        "true" => writeln!(out, "{pad}{line}"),
        "false" => Ok(()),
        when => writeln!(out, "{pad}if {when} {{\n{pad}    {line}\n{pad}}}"),
    }
}

/// When `v`, known to lie in `of`, lies in `versions`: as an expression.
pub fn condition(versions: Versions, of: Versions) -> String {
    if versions.is_none() || versions.max < of.min || versions.min > of.max {
        return "false".to_owned();
    }
    match (versions.min <= of.min, versions.max >= of.max) {
        (true, true) => "true".to_owned(),
        (false, true) => format!("v >= {}", versions.min),
        (true, false) => format!("v <= {}", versions.max),
        (false, false) if versions.min == versions.max => format!("v == {}", versions.min),
        (false, false) => format!("({}..={}).contains(&v)", versions.min, versions.max),
    }
}

fn base_type(element: &str) -> &str {
    match element {
        "bool" => "bool",
        "int8" => "i8",
        "int16" => "i16",
        "uint16" => "u16",
        "int32" => "i32",
        "uint32" => "u32",
        "int64" => "i64",
        "float64" => "f64",
        "string" => "String",
        "uuid" => "Uuid",
        "bytes" => "Bytes",
        "records" => "Records",
        name => name,
    }
}

fn field_type(field: &Field) -> String {
    let mut name = base_type(&field.element).to_owned();
    if field.array {
        name = format!("Vec<{name}>");
    }
    if field.is_nullable() {
        name = format!("Option<{name}>");
    }
    name
}

/// Kafka's rule: null only where the table says so (record fields always), else zero, empty or false.
fn default_value(field: &Field) -> String {
    let default = field.default.as_deref();
    if field.is_nullable() {
        let null =
            default == Some("null") || field.element == "records" || (field.is_struct() && !field.array);
        return if null {
            "None".to_owned()
        } else {
            "Some(Default::default())".to_owned()
        };
    }
    match default {
        None => match field.element.as_str() {
            _ if field.array => "Vec::new()".to_owned(),
            "bool" => "false".to_owned(),
            "int8" | "int16" | "uint16" | "int32" | "uint32" | "int64" => "0".to_owned(),
            "float64" => "0.0".to_owned(),
            "string" => "String::new()".to_owned(),
            "uuid" => "Uuid::nil()".to_owned(),
            "bytes" => "Bytes::new()".to_owned(),
            name => format!("{}::default()", base_type(name)),
        },
        Some(text) if field.element == "string" => format!("\"{text}\".to_owned()"),
        Some(text) => text.to_owned(),
    }
}

fn default_is_derived(field: &Field) -> bool {
    match field.is_nullable() {
        true => default_value(field) == "None",
        false => field
            .default
            .as_deref()
            .is_none_or(|text| text == "0" || text == "false"),
    }
}

/// The fewest bytes that one element of an array takes in any version: what a claimed length is checked against.
fn element_size(message: &Message, field: &Field) -> usize {
    let known = |name: &str| message.structs.iter().find(|item| item.name == name);
    match known(&field.element) {
        Some(item) => item
            .fields
            .iter()
            .filter(|field| field.tag.is_none() && condition(field.versions, message.versions) == "true")
            .map(|field| {
                if field.array {
                    1
                } else {
                    element_size(message, field)
                }
            })
            .sum::<usize>()
            .max(1),
        None => match field.element.as_str() {
            "int16" | "uint16" => 2,
            "int32" | "uint32" => 4,
            "int64" | "float64" => 8,
            "uuid" => 16,
            _ => 1,
        },
    }
}

pub fn field_name(field: &Field) -> String {
    match snake(&field.name).as_str() {
        "type" => "r#type".to_owned(),
        "match" => "r#match".to_owned(),
        name => name.to_owned(),
    }
}

/// `TopicId` → `topic_id`.
pub fn snake(name: &str) -> String {
    let mut out = String::new();
    let mut lower_before = false;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && lower_before {
            out.push('_');
        }
        lower_before = letter.is_ascii_lowercase() || letter.is_ascii_digit();
        out.push(letter.to_ascii_lowercase());
    }
    out
}
