//! The tables: one line per message, struct or field, nesting by two spaces.
//!
//! ```text
//! request NAME key=N versions=0-13 flexible=9+ [unstable=N]    also: response NAME …, data NAME … (no key)
//!   FIELD TYPE VERSIONS [null=VERSIONS] [tag=N] [default=VALUE] [flexible=none]
//!   struct NAME                                                a struct used by several fields
//! ```
//! TYPE is a primitive, the name of a struct (whose fields follow one level deeper, or in a `struct`), or
//! either after `[]`. VERSIONS is `3+`, `0-12` or `7`. A field with a tag is a tagged field wherever it exists.
//! `unstable` names a version that Kafka has but does not advertise. A line that starts with `#` is a comment.

/// A range of versions, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub min: i16,
    pub max: i16,
}

/// No version at all.
pub const NONE: Versions = Versions {
    min: i16::MAX,
    max: -1,
};

impl Versions {
    pub fn is_none(self) -> bool {
        self.min > self.max
    }
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request,
    Response,
    Data,
}

/// One message.
#[derive(Debug)]
pub struct Message {
    pub kind: Kind,
    pub name: String,
    pub key: Option<i16>,
    pub versions: Versions,
    pub flexible: Versions,
    pub unstable: Option<i16>,
    /// The message itself first, then every struct in it.
    pub structs: Vec<Struct>,
}

/// One struct of a message.
#[derive(Debug)]
pub struct Struct {
    pub name: String,
    /// `FetchRequest.Topics`: where it stands, for errors.
    pub path: String,
    pub fields: Vec<Field>,
}

/// One field of a struct.
#[derive(Debug)]
pub struct Field {
    pub name: String,
    pub array: bool,
    pub element: String,
    pub versions: Versions,
    pub nullable: Versions,
    pub tag: Option<u32>,
    pub default: Option<String>,
    pub never_flexible: bool,
}

const PRIMITIVES: [&str; 13] = [
    "bool", "int8", "int16", "uint16", "int32", "uint32", "int64", "float64", "string", "uuid", "bytes",
    "records", "varint",
];

impl Field {
    pub fn is_struct(&self) -> bool {
        !PRIMITIVES.contains(&self.element.as_str())
    }

    pub fn is_nullable(&self) -> bool {
        !self.nullable.is_none()
    }
}

/// Reads one table.
pub fn parse(text: &str) -> Result<Vec<Message>, String> {
    let mut messages: Vec<Message> = Vec::new();
    // For each depth, the struct (and where it stands) that a field one level deeper belongs to.
    let mut owners: Vec<(String, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let fail = |what: &str| format!("line {}: {what}: {line}", number + 1);
        let depth = (line.len() - line.trim_start().len()) / 2;
        let words: Vec<&str> = line.split_whitespace().collect();
        if depth == 0 {
            let message = message(&words).ok_or_else(|| fail("not a message"))?;
            owners = vec![(message.name.clone(), message.name.clone())];
            messages.push(message);
            continue;
        }
        let current = messages.last_mut().ok_or_else(|| fail("no message yet"))?;
        owners.truncate(depth);
        if words[0] == "struct" && words.len() == 2 {
            owners.push((words[1].to_owned(), format!("{}.{}", current.name, words[1])));
            continue;
        }
        let owner = owners.get(depth - 1).ok_or_else(|| fail("indented too deep"))?;
        let owner = current.struct_at(owner);
        let field = field(&words).ok_or_else(|| fail("not a field"))?;
        let path = format!("{}.{}", current.structs[owner].path, field.name);
        owners.push((field.element.clone(), path));
        current.structs[owner].fields.push(field);
    }
    Ok(messages)
}

impl Message {
    /// The struct of this name, made where it is met first.
    fn struct_at(&mut self, (name, path): &(String, String)) -> usize {
        if let Some(known) = self.structs.iter().position(|item| item.name == *name) {
            return known;
        }
        self.structs.push(Struct::new(name, path.clone()));
        self.structs.len() - 1
    }
}

impl Struct {
    fn new(name: &str, path: String) -> Struct {
        Struct {
            name: name.to_owned(),
            path,
            fields: Vec::new(),
        }
    }
}

fn message(words: &[&str]) -> Option<Message> {
    let kind = match *words.first()? {
        "request" => Kind::Request,
        "response" => Kind::Response,
        "data" => Kind::Data,
        _ => return None,
    };
    let name = (*words.get(1)?).to_owned();
    let structs = vec![Struct::new(&name, name.clone())];
    let mut out = Message {
        kind,
        name,
        key: None,
        versions: NONE,
        flexible: NONE,
        unstable: None,
        structs,
    };
    for word in &words[2..] {
        match word.split_once('=')? {
            ("key", value) => out.key = Some(value.parse().ok()?),
            ("versions", value) => out.versions = versions(value)?,
            ("flexible", value) => out.flexible = versions(value)?,
            ("unstable", value) => out.unstable = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    Some(out)
}

fn field(words: &[&str]) -> Option<Field> {
    let kind = *words.get(1)?;
    let mut out = Field {
        name: (*words.first()?).to_owned(),
        array: kind.starts_with("[]"),
        element: kind.trim_start_matches("[]").to_owned(),
        versions: versions(words.get(2)?)?,
        nullable: NONE,
        tag: None,
        default: None,
        never_flexible: false,
    };
    for word in &words[3..] {
        match word.split_once('=')? {
            ("null", value) => out.nullable = versions(value)?,
            ("tag", value) => out.tag = Some(value.parse().ok()?),
            ("default", value) => out.default = Some(value.to_owned()),
            ("flexible", "none") => out.never_flexible = true,
            _ => return None,
        }
    }
    Some(out)
}

fn versions(text: &str) -> Option<Versions> {
    if text == "none" {
        return Some(NONE);
    }
    if let Some(min) = text.strip_suffix('+') {
        return Some(Versions {
            min: min.parse().ok()?,
            max: i16::MAX,
        });
    }
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    Some(Versions {
        min: min.parse().ok()?,
        max: max.parse().ok()?,
    })
}
