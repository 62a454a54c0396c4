//! The syntax tree: statements, queries ([`Query`]) and expressions ([`Expr`]).

mod expression;
mod query;

pub use expression::{BinaryOp, Expr, ExprKind, Literal, UnaryOp};
pub use query::{Emit, Limit, Query, Relation, SelectItem, Window, WindowKind};

use crate::{Span, Spanned, SqlType};
use std::fmt;

/// A name. `name` is upper-cased unless it was quoted.
#[derive(Clone, Debug, PartialEq)]
pub struct Ident {
    pub name: String,
    pub quoted: bool,
    pub span: Span,
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.quoted {
            write!(f, "`{}`", self.name.replace('`', "``"))
        } else {
            f.write_str(&self.name)
        }
    }
}

/// What a source is: a stream of facts or a table of the latest value per key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    Stream,
    Table,
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SourceKind::Stream => "STREAM",
            SourceKind::Table => "TABLE",
        })
    }
}

/// What a CREATE does when the name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfTaken {
    Fail,
    /// IF NOT EXISTS.
    Skip,
    /// OR REPLACE.
    Replace,
}

/// How a column is bound to the record's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnRole {
    Value,
    /// `KEY`, of streams.
    Key,
    /// `PRIMARY KEY`, of tables.
    PrimaryKey,
}

/// One column of a CREATE STREAM or CREATE TABLE.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDef {
    pub name: Ident,
    pub sql_type: SqlType,
    pub role: ColumnRole,
    /// Where the role's words stand (the column's name when there are none).
    pub role_span: Span,
}

/// One `name = value` of a WITH clause; the name is upper-cased.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    pub name: Ident,
    pub value: Spanned<Literal>,
}

/// What SHOW or LIST shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Streams,
    Tables,
    Topics,
    Queries,
    Properties,
    Functions,
}

/// What EXPLAIN explains.
#[derive(Clone, Debug, PartialEq)]
pub enum Explained {
    /// A running query.
    Query(Ident),
    /// A statement that is not run.
    Statement(Box<Spanned<Statement>>),
}

/// What TERMINATE ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Terminated {
    All,
    Query(Ident),
}

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `CREATE [OR REPLACE] STREAM|TABLE [IF NOT EXISTS] name (columns) WITH (…)`.
    CreateSource {
        kind: SourceKind,
        name: Ident,
        if_taken: IfTaken,
        columns: Vec<ColumnDef>,
        properties: Vec<Property>,
    },
    /// `CREATE [OR REPLACE] STREAM|TABLE [IF NOT EXISTS] name [WITH (…)] AS SELECT …`.
    CreateAs {
        kind: SourceKind,
        name: Ident,
        if_taken: IfTaken,
        properties: Vec<Property>,
        query: Query,
    },
    /// `SELECT …`: a push query when it says EMIT CHANGES, else a pull query.
    Select(Query),
    /// `INSERT INTO name [(columns)] VALUES (…), …`; every row has at least one value.
    InsertValues {
        target: Ident,
        columns: Vec<Ident>,
        rows: Vec<Vec<Expr>>,
    },
    /// `PRINT topic [FROM BEGINNING] [INTERVAL n] [LIMIT n]`. The topic's name keeps its case when quoted
    /// (as a string or a name); an unquoted one is kept as written.
    Print {
        topic: Spanned<String>,
        from_beginning: bool,
        interval: Option<u64>,
        limit: Option<u64>,
    },
    /// `SET 'key' = 'value'`.
    Set {
        key: Spanned<String>,
        value: Spanned<String>,
    },
    /// `UNSET 'key'`.
    Unset { key: Spanned<String> },
    /// `SHOW|LIST STREAMS|TABLES|… [EXTENDED]`.
    Show { what: Shown, extended: bool },
    /// `DESCRIBE name [EXTENDED]`.
    Describe { name: Ident, extended: bool },
    /// `DESCRIBE FUNCTION name`.
    DescribeFunction { name: Ident },
    /// `EXPLAIN query-id | statement`.
    Explain(Explained),
    /// `DROP STREAM|TABLE [IF EXISTS] name [DELETE TOPIC]`.
    Drop {
        kind: SourceKind,
        name: Ident,
        if_exists: bool,
        delete_topic: bool,
    },
    /// `TERMINATE query-id | ALL`.
    Terminate(Terminated),
}
