//! Scalar expressions. Each node knows where it stands and how high the tree below it is.

use super::Ident;
use crate::{Span, SqlType};
use std::fmt;

/// An expression and its place. Built by the parser only, which bounds its height.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
    /// 1 for a leaf, else one more than the highest child.
    pub height: usize,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    Literal(Literal),
    /// `name` or `source.name`.
    Column {
        qualifier: Option<Ident>,
        name: Ident,
    },
    Unary {
        op: UnaryOp,
        operand: Box<Expr>,
    },
    /// `op_span` is the operator's word or sign.
    Binary {
        left: Box<Expr>,
        op: BinaryOp,
        op_span: Span,
        right: Box<Expr>,
    },
    Between {
        operand: Box<Expr>,
        negated: bool,
        low: Box<Expr>,
        high: Box<Expr>,
    },
    /// At least one candidate.
    In {
        operand: Box<Expr>,
        negated: bool,
        candidates: Vec<Expr>,
    },
    Like {
        operand: Box<Expr>,
        negated: bool,
        pattern: Box<Expr>,
        escape: Option<char>,
    },
    IsNull {
        operand: Box<Expr>,
        negated: bool,
    },
    /// `CASE [operand] WHEN … THEN … [ELSE …] END`; at least one branch.
    Case {
        operand: Option<Box<Expr>>,
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Cast {
        operand: Box<Expr>,
        sql_type: SqlType,
    },
    /// `name(arguments)`; `star` for `COUNT(*)`, which then has no arguments.
    Function {
        name: Ident,
        arguments: Vec<Expr>,
        star: bool,
    },
    /// `base->field`.
    Field {
        base: Box<Expr>,
        field: Ident,
    },
    /// `base[index]`.
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    /// `ARRAY[…]`.
    Array(Vec<Expr>),
    /// `MAP(key := value, …)`.
    Map(Vec<(Expr, Expr)>),
    /// `STRUCT(name := value, …)`.
    Struct(Vec<(Ident, Expr)>),
    /// `x => …` or `(x, y) => …`.
    Lambda {
        parameters: Vec<Ident>,
        body: Box<Expr>,
    },
}

/// A value written in the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Null,
    Boolean(bool),
    /// Fits 32 bits: INT.
    Int(i32),
    /// Fits 64 bits: BIGINT.
    BigInt(i64),
    /// With a point and no exponent: DECIMAL; `unscaled / 10^scale`.
    Decimal {
        unscaled: i128,
        precision: u8,
        scale: u8,
    },
    /// With an exponent: DOUBLE.
    Double(f64),
    String(String),
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    Negate,
    Plus,
    Not,
}

/// Operators between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    IsDistinctFrom,
    IsNotDistinctFrom,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    /// `||`.
    Concat,
}

impl fmt::Display for BinaryOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BinaryOp::Or => "OR",
            BinaryOp::And => "AND",
            BinaryOp::Equal => "=",
            BinaryOp::NotEqual => "<>",
            BinaryOp::Less => "<",
            BinaryOp::LessOrEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterOrEqual => ">=",
            BinaryOp::IsDistinctFrom => "IS DISTINCT FROM",
            BinaryOp::IsNotDistinctFrom => "IS NOT DISTINCT FROM",
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::Modulo => "%",
            BinaryOp::Concat => "||",
        })
    }
}
