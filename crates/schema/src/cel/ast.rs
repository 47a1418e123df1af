//! Expressions as trees.

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};

/// An expression and where it begins, in characters of the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expr {
    pub(super) at: usize,
    /// How deep it nests.
    pub(super) depth: u32,
    pub(super) is: Is,
}

impl Expr {
    pub(super) fn new(at: usize, is: Is) -> Self {
        let depth = 1 + is.children().iter().map(|c| c.depth).max().unwrap_or(0);
        Self { at, depth, is }
    }
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

impl Is {
    fn children(&self) -> Vec<&Expr> {
        match self {
            Self::Literal(_) | Self::Name(_) => Vec::new(),
            Self::Field(of, ..) | Self::Has(of, _) | Self::Not(of) | Self::Minus(of) => alloc::vec![of],
            Self::Index(a, b, _) | Self::And(a, b) | Self::Or(a, b) | Self::Binary(_, a, b) => alloc::vec![a, b],
            Self::Call(call) => call.arguments.iter().collect(),
            Self::List(items) => items.iter().map(|(e, _)| e).collect(),
            Self::Map(entries) => entries.iter().flat_map(|(k, v, _)| [k, v]).collect(),
            Self::If(a, b, c) => alloc::vec![a, b, c],
            Self::Each(each) => [&each.over, &each.body].into_iter().chain(&each.filter).collect(),
            Self::OptMap(parts) => alloc::vec![&parts.0, &parts.2],
        }
    }
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
