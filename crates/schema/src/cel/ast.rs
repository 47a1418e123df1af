//! Expressions as trees.

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};

/// An expression and where it begins, in characters of the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expr {
    pub(super) at: usize,
    pub(super) is: Is,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Is {
    Literal(Literal),
    Name(String),
    /// `a.b`; with `?` where `a.?b`.
    Field(Box<Expr>, String, bool),
    /// `a[b]`; with `?` where `a[?b]`.
    Index(Box<Expr>, Box<Expr>, bool),
    /// `has(a.b)`.
    Has(Box<Expr>, String),
    /// A call without (`size(a)`) or with something before it (`a.size()`), which is the first argument then.
    Call(Call),
    /// Items, each with whether it is optional.
    List(Vec<(Expr, bool)>),
    /// Entries, each with whether it is optional.
    Map(Vec<(Expr, Expr, bool)>),
    Not(Box<Expr>),
    Minus(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    /// `a ? b : c`.
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Each(Box<Each>),
    /// `a.optMap(x, b)`; flat where `optFlatMap`.
    OptMap(Box<(Expr, String, Expr, bool)>),
}

/// A call of a function.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) name: String,
    /// Whether the first argument stands before it.
    pub(super) method: bool,
    pub(super) arguments: Vec<Expr>,
}

/// A macro that goes through a list or a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Each {
    pub(super) what: What,
    pub(super) over: Expr,
    /// The item, or a mapping's key; with a second name the index or key and the item.
    pub(super) names: (String, Option<String>),
    /// Of a `map` alone: which items.
    pub(super) filter: Option<Expr>,
    pub(super) body: Expr,
}

/// Which macro.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
}

/// An operator of two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    /// As cel-go names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Equal => "_==_",
            Self::NotEqual => "_!=_",
            Self::Less => "_<_",
            Self::LessEqual => "_<=_",
            Self::Greater => "_>_",
            Self::GreaterEqual => "_>=_",
            Self::In => "@in",
            Self::Add => "_+_",
            Self::Subtract => "_-_",
            Self::Multiply => "_*_",
            Self::Divide => "_/_",
            Self::Remainder => "_%_",
        }
    }
}

/// A literal.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
}
