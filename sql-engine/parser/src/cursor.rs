//! The tokens of one text and the place reached in them; remembers what could have stood there.

use crate::dialect::KsqlDialect;
use crate::position::{Position, Span, Walk};
use crate::{Ident, SqlError, closest};
use millstream_model::limits::{SQL_DEPTH_MAX, SQL_TEXT_BYTES_MAX};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

/// Characters of a token shown in an error.
const SHOWN_CHARS: usize = 40;

/// Words that must be quoted to be a name: each begins or ends something where a name may stand.
const RESERVED: &[&str] = &[
    "ALL", "AND", "AS", "BETWEEN", "BY", "CASE", "CAST", "CREATE", "DISTINCT", "DROP", "ELSE", "EMIT", "END",
    "FALSE", "FROM", "FULL", "GROUP", "HAVING", "IN", "INNER", "INSERT", "INTO", "IS", "JOIN", "LEFT",
    "LIKE", "LIMIT", "NOT", "NULL", "ON", "OR", "OUTER", "RIGHT", "SELECT", "THEN", "TRUE", "UNION",
    "VALUES", "WHEN", "WHERE", "WITH",
];

#[derive(Debug)]
pub(crate) struct Lexeme {
    token: Token,
    span: Span,
}

/// A reader over tokens; blanks and comments are gone.
#[derive(Debug)]
pub struct Cursor {
    lexemes: Vec<Lexeme>,
    at: usize,
    depth: usize,
    expected: Vec<&'static str>,
    /// The first half of a `>>` was taken as a `>`.
    half_taken: bool,
}

impl Cursor {
    /// Cuts a text into tokens.
    pub fn new(text: &str) -> Result<Cursor, SqlError> {
        if text.len() > SQL_TEXT_BYTES_MAX {
            let message = format!(
                "the text has {} bytes, at most {SQL_TEXT_BYTES_MAX} are allowed",
                text.len()
            );
            return Err(SqlError::limit(Position::START, message));
        }
        Ok(Cursor {
            lexemes: lexed(text, Walk::new(text.chars()))?,
            at: 0,
            depth: 0,
            expected: Vec::new(),
            half_taken: false,
        })
    }

    fn lexeme(&self, ahead: usize) -> &Lexeme {
        &self.lexemes[(self.at + ahead).min(self.lexemes.len() - 1)]
    }

    pub fn peek(&self) -> &Token {
        &self.lexeme(0).token
    }

    pub fn peek_ahead(&self, ahead: usize) -> &Token {
        &self.lexeme(ahead).token
    }

    /// Where the next token stands.
    pub fn span(&self) -> Span {
        self.lexeme(0).span
    }

    /// Where the last taken token stands.
    pub fn last_span(&self) -> Span {
        self.lexemes[self.at.saturating_sub(1)].span
    }

    pub fn advance(&mut self) {
        self.at = (self.at + 1).min(self.lexemes.len() - 1);
        self.expected.clear();
    }

    pub fn at_end(&self) -> bool {
        *self.peek() == Token::EOF
    }

    /// Runs `inside` one level deeper; refuses when that is too deep.
    pub fn nested<T>(
        &mut self,
        inside: impl FnOnce(&mut Cursor) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        if self.depth == SQL_DEPTH_MAX {
            let message = format!("nested deeper than {SQL_DEPTH_MAX} levels");
            return Err(SqlError::limit(self.span().start, message));
        }
        self.depth += 1;
        let result = inside(self);
        self.depth -= 1;
        result
    }

    /// True when the next token is this word, unquoted.
    pub fn sees(&self, word: &str) -> bool {
        self.sees_ahead(0, word)
    }

    pub fn sees_ahead(&self, ahead: usize, word: &str) -> bool {
        is_word(self.peek_ahead(ahead), word)
    }

    /// Takes the next token if it is this word; else remembers that it could have been.
    pub fn accept(&mut self, word: &'static str) -> bool {
        if self.sees(word) {
            self.advance();
            return true;
        }
        self.remember(word);
        false
    }

    pub fn accept_token(&mut self, token: &Token, shown: &'static str) -> bool {
        if self.peek() == token {
            self.advance();
            return true;
        }
        self.remember(shown);
        false
    }

    pub fn expect(&mut self, word: &'static str) -> Result<Span, SqlError> {
        if self.accept(word) {
            Ok(self.last_span())
        } else {
            Err(self.unexpected())
        }
    }

    pub fn expect_token(&mut self, token: &Token, shown: &'static str) -> Result<Span, SqlError> {
        if self.accept_token(token, shown) {
            Ok(self.last_span())
        } else {
            Err(self.unexpected())
        }
    }

    /// Takes a `>`, which may be half of a `>>`.
    pub fn expect_greater(&mut self) -> Result<(), SqlError> {
        match self.peek() {
            Token::ShiftRight if self.half_taken => {
                self.half_taken = false;
                self.advance();
            }
            Token::ShiftRight => self.half_taken = true,
            Token::Gt => self.advance(),
            _ => return self.fail(">"),
        }
        Ok(())
    }

    /// Remembers that this could have stood here.
    pub fn remember(&mut self, expected: &'static str) {
        if !self.expected.contains(&expected) {
            self.expected.push(expected);
        }
    }

    pub fn fail<T>(&mut self, expected: &'static str) -> Result<T, SqlError> {
        self.remember(expected);
        Err(self.unexpected())
    }

    /// The next token is wrong here; names what was remembered, and the word that was probably meant.
    pub fn unexpected(&self) -> SqlError {
        let mut message = match self.peek() {
            Token::EOF => "unexpected end of text".to_owned(),
            token => format!("unexpected {}", shown(token)),
        };
        if let Token::Word(word) = self.peek()
            && word.quote_style.is_none()
            && word.value.len() > 2
            && let Some(meant) = closest(&word.value, self.expected.iter().copied())
        {
            message.push_str(&format!(" (did you mean {meant}?)"));
        }
        SqlError::syntax(self.span().start, message).expecting(self.expected.iter().copied())
    }

    /// Takes a name.
    pub fn ident(&mut self, what: &'static str) -> Result<Ident, SqlError> {
        let span = self.span();
        let Token::Word(word) = self.peek() else {
            return self.fail(what);
        };
        if word.quote_style.is_none() && is_reserved(&word.value) {
            let word = word.value.to_uppercase();
            let mut error = self.fail::<Ident>(what);
            if let Err(error) = &mut error {
                error.message = format!("unexpected {word}, a reserved word (as a name, write `{word}`)");
            }
            return error;
        }
        if word.value.is_empty() {
            return Err(SqlError::syntax(span.start, "a name must not be empty"));
        }
        let ident = ident_of(word, span);
        self.advance();
        Ok(ident)
    }

    /// Takes any word, reserved or not, as a name.
    pub fn word(&mut self, what: &'static str) -> Result<Ident, SqlError> {
        let span = self.span();
        let Token::Word(word) = self.peek() else {
            return self.fail(what);
        };
        let ident = ident_of(word, span);
        self.advance();
        Ok(ident)
    }

    /// True when the next token is a name that is not a reserved word.
    pub fn sees_name(&self) -> bool {
        matches!(self.peek(), Token::Word(word) if word.quote_style.is_some() || !is_reserved(&word.value))
    }

    /// Takes a whole number that is not negative.
    pub fn unsigned(&mut self, what: &'static str) -> Result<u64, SqlError> {
        let Token::Number(digits, false) = self.peek() else {
            return self.fail(what);
        };
        let Ok(number) = digits.parse() else {
            let message = format!("{} is not a whole number that fits 64 bits", clip(digits));
            return Err(SqlError::syntax(self.span().start, message).expecting([what]));
        };
        self.advance();
        Ok(number)
    }

    /// Takes a string in single quotes.
    pub fn string(&mut self, what: &'static str) -> Result<String, SqlError> {
        let Token::SingleQuotedString(text) = self.peek() else {
            return self.fail(what);
        };
        let text = text.clone();
        self.advance();
        Ok(text)
    }
}

/// The tokens of a text, placed; the walk is through the same text.
pub(crate) fn lexed<I: Iterator<Item = char>>(
    text: &str,
    mut walk: Walk<I>,
) -> Result<Vec<Lexeme>, SqlError> {
    let tokens = Tokenizer::new(&KsqlDialect, text)
        .tokenize_with_location()
        .map_err(|error| SqlError::syntax(position(error.location), lexical_message(&error.message)))?;
    let mut end = Span::START;
    let mut lexemes = Vec::with_capacity(tokens.len() + 1);
    for TokenWithSpan { token, span } in tokens {
        if matches!(token, Token::Whitespace(_) | Token::EOF) {
            continue;
        }
        let (start, behind) = (position(span.start), position(span.end));
        let span = Span {
            start,
            end: behind,
            from: walk.offset(start),
            to: walk.offset(behind),
        };
        end = Span {
            start: behind,
            from: span.to,
            ..span
        };
        lexemes.push(Lexeme { token, span });
    }
    lexemes.push(Lexeme {
        token: Token::EOF,
        span: end,
    });
    Ok(lexemes)
}

fn position(location: Location) -> Position {
    let clamp = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    Position {
        line: clamp(location.line),
        column: clamp(location.column),
    }
}

fn lexical_message(message: &str) -> String {
    let mut chars = message.trim_end().chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

fn is_reserved(word: &str) -> bool {
    RESERVED
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(word))
}

fn ident_of(word: &Word, span: Span) -> Ident {
    let quoted = word.quote_style.is_some();
    let name = if quoted {
        word.value.clone()
    } else {
        word.value.to_uppercase()
    };
    Ident { name, quoted, span }
}

/// A token as an error shows it.
fn shown(token: &Token) -> String {
    match token {
        Token::Word(word) if word.quote_style.is_some() => format!("`{}`", clip(&word.value)),
        Token::Word(word) => clip(&word.value),
        Token::SingleQuotedString(text) => format!("'{}'", clip(text)),
        Token::Number(digits, _) => clip(digits),
        other => format!("`{}`", clip(&other.to_string())),
    }
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
