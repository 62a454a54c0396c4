//! How the lexer reads ksqlDB's text: names in backquotes or double quotes, strings in single quotes.

use sqlparser::dialect::Dialect;

/// The dialect handed to sqlparser's tokenizer.
#[derive(Clone, Copy, Debug, Default)]
pub struct KsqlDialect;

impl Dialect for KsqlDialect {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`' || ch == '"'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_'
    }
}
