//! SELECT and its clauses.

use super::{Expr, Ident};
use crate::{Span, Spanned};
use std::time::Duration;

/// `SELECT … FROM … [WINDOW …] [WHERE …] [GROUP BY …] [PARTITION BY …] [HAVING …] [EMIT CHANGES] [LIMIT n]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The word SELECT.
    pub select_span: Span,
    pub items: Vec<SelectItem>,
    pub from: Relation,
    pub window: Option<Window>,
    pub filter: Option<Expr>,
    pub group_by: Vec<Expr>,
    /// The word GROUP, when there is one.
    pub group_span: Option<Span>,
    pub partition_by: Vec<Expr>,
    /// The word PARTITION, when there is one.
    pub partition_span: Option<Span>,
    pub having: Option<Expr>,
    pub emit: Option<Spanned<Emit>>,
    pub limit: Option<Limit>,
}

/// The number behind LIMIT.
pub type Limit = Spanned<u64>;

/// What is selected.
#[derive(Clone, Debug, PartialEq)]
pub enum SelectItem {
    /// `*` or `source.*`.
    Star { qualifier: Option<Ident>, span: Span },
    /// An expression, named or not.
    Expr { expr: Expr, alias: Option<Ident> },
}

/// The source read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Relation {
    pub name: Ident,
    pub alias: Option<Ident>,
}

/// `EMIT CHANGES` (`EMIT FINAL` is refused by the parser as not supported yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    Changes,
}

/// `WINDOW TUMBLING (SIZE … [, RETENTION …] [, GRACE PERIOD …])`.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub kind: WindowKind,
    /// At least one millisecond.
    pub size: Spanned<Duration>,
    pub retention: Option<Spanned<Duration>>,
    pub grace: Option<Spanned<Duration>>,
    pub span: Span,
}

/// The kinds of windows (hopping and session windows are refused as not supported yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    Tumbling,
}
