//! A JSON scanner that hands out values as slices and skips what nobody asked for.

use std::borrow::Cow;

/// How deep JSON may nest: a skipped value is scanned with a counter, a read one by recursion.
const DEPTH_MAX: u32 = 128;

/// One value, unread beyond its extent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// Its text; digits, sign, point and exponent only.
    Number(&'a str),
    /// What stands between the quotes.
    Text {
        raw: &'a str,
        escaped: bool,
    },
    /// The whole object, braces included; its inside is not checked beyond nesting.
    Object(&'a str),
    /// The whole array, brackets included; likewise.
    Array(&'a str),
}

impl<'a> Value<'a> {
    /// A text's characters; `None` for a bad escape or for what is not a text.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Value::Text { raw, escaped: false } => Some(Cow::Borrowed(raw)),
            Value::Text { raw, escaped: true } => unescape(raw).map(Cow::Owned),
            _ => None,
        }
    }
}

/// Why bytes are not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The byte offset of the fault.
    pub at: usize,
}

/// Walks one JSON text.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn malformed(&self) -> Malformed {
        Malformed { at: self.at }
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Consumes `byte` if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Nothing but space is left.
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        if self.peek().is_none() {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }

    /// The next value.
    pub(crate) fn value(&mut self) -> Result<Value<'a>, Malformed> {
        match self.peek().ok_or(self.malformed())? {
            b'"' => self.string(),
            b'{' => Ok(Value::Object(self.nested()?)),
            b'[' => Ok(Value::Array(self.nested()?)),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Err(self.malformed()),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Malformed> {
        if self.bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        Err(self.malformed())
    }

    fn number(&mut self) -> Result<Value<'a>, Malformed> {
        let bytes = self.bytes();
        let start = self.at;
        let digits = |at: &mut usize| {
            let first = *at;
            while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            *at > first
        };
        let mut at = start + usize::from(bytes[start] == b'-');
        let leading_zero = bytes.get(at) == Some(&b'0');
        let whole = at;
        let mut good = digits(&mut at) && !(leading_zero && at > whole + 1);
        if good && bytes.get(at) == Some(&b'.') {
            at += 1;
            good = digits(&mut at);
        }
        if good && matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            good = digits(&mut at);
        }
        self.at = at;
        if good {
            Ok(Value::Number(&self.text[start..at]))
        } else {
            Err(self.malformed())
        }
    }

    fn string(&mut self) -> Result<Value<'a>, Malformed> {
        let start = self.at + 1;
        let escaped = self.skip_string()?;
        Ok(Value::Text {
            raw: &self.text[start..self.at - 1],
            escaped,
        })
    }

    /// Moves behind the closing quote; says whether there was a backslash.
    fn skip_string(&mut self) -> Result<bool, Malformed> {
        let bytes = self.bytes();
        let mut at = self.at + 1;
        let mut escaped = false;
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(0..=0x1f) | None => {
                    self.at = at.min(bytes.len());
                    return Err(self.malformed());
                }
                Some(_) => at += 1,
            }
        }
    }

    /// Skips a whole object or array by counting brackets outside strings.
    fn nested(&mut self) -> Result<&'a str, Malformed> {
        let bytes = self.bytes();
        let start = self.at;
        let mut open = 0_u128;
        let mut depth = 0_u32;
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.skip_string()?;
                    continue;
                }
                Some(byte @ (b'{' | b'[')) => {
                    if depth == DEPTH_MAX {
                        return Err(self.malformed());
                    }
                    open = (open << 1) | u128::from(*byte == b'{');
                    depth += 1;
                }
                Some(byte @ (b'}' | b']')) => {
                    if (open & 1 == 1) != (*byte == b'}') {
                        return Err(self.malformed());
                    }
                    open >>= 1;
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(&self.text[start..self.at]);
                    }
                }
                Some(_) => {}
                None => return Err(self.malformed()),
            }
            self.at += 1;
        }
    }

    /// Walks the members of an object that starts here, in order.
    pub(crate) fn members(
        &mut self,
        mut member: impl FnMut(Cow<'a, str>, Value<'a>),
    ) -> Result<(), Malformed> {
        if !self.take(b'{') {
            return Err(self.malformed());
        }
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.malformed());
            }
            let name = self.string()?.text().ok_or(self.malformed())?;
            if !self.take(b':') {
                return Err(self.malformed());
            }
            member(name, self.value()?);
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.malformed());
            }
        }
    }

    /// Walks the elements of an array that starts here, in order.
    pub(crate) fn elements(&mut self, mut element: impl FnMut(Value<'a>)) -> Result<(), Malformed> {
        if !self.take(b'[') {
            return Err(self.malformed());
        }
        if self.take(b']') {
            return Ok(());
        }
        loop {
            element(self.value()?);
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.malformed());
            }
        }
    }
}

fn unescape(raw: &str) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = *rest.as_bytes().get(at + 1)?;
        rest = &rest[at + 2..];
        out.push(match code {
            b'"' | b'\\' | b'/' => char::from(code),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = hex4(rest)?;
                rest = &rest[4..];
                if (0xd800..0xdc00).contains(&first) && rest.starts_with("\\u") {
                    let second = hex4(&rest[2..])?;
                    if (0xdc00..0xe000).contains(&second) {
                        rest = &rest[6..];
                        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?
                    } else {
                        char::REPLACEMENT_CHARACTER
                    }
                } else {
                    char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
            }
            _ => return None,
        });
    }
    out.push_str(rest);
    Some(out)
}

fn hex4(text: &str) -> Option<u32> {
    let digits = text.get(..4)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| u32::from_str_radix(digits, 16).ok())?
}
