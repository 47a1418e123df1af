//! The Common Expression Language, as far as rules of CustomResourceDefinitions need it.
//!
//! [`Program::compile`] reads an expression and checks it against the types of what it will see, so that a
//! field that is not there or a call without meaning refuses the definition and no object. [`Program::run`]
//! evaluates it on an object where it stands, within a budget of steps: rules run while the server decides, and
//! nothing that somebody writes may hold it up. Strings, lists, optional values, and Kubernetes' libraries are
//! said in `functions`. What is not there is an error when the rule is compiled.
//!
//! Deliberately not here: messages, doubles of rules and where they stand (`crate::custom::rules`).

mod ast;
mod check;
pub(crate) mod escape;
mod eval;
mod functions;
mod lex;
mod parse;
#[cfg(test)]
mod tests;
mod types;
mod value;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde_json::Value;

pub(crate) use eval::Ended;

use crate::custom::node::Node;
use ast::Expr;
use types::Ty;
use value::Val;

/// Longest expression, in bytes.
const MAX_TEXT: usize = 64 << 10;

/// Why an expression is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) String);

impl Fault {
    /// As cel-go shows a fault: where it is, with the line and a mark under it.
    fn syntax(source: &str, at: usize, why: &str) -> Self {
        let before: String = source.chars().take(at).collect();
        let line = before.matches('\n').count();
        let column = before.chars().rev().take_while(|c| *c != '\n').count();
        let text = source.lines().nth(line).unwrap_or_default();
        let dots = ".".repeat(column);
        Self(format!("compilation failed: ERROR: <input>:{}:{}: {why}\n | {text}\n | {dots}^", line + 1, column + 1))
    }
}

/// What an expression shall give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    /// `true` or `false`.
    Bool,
    /// Text.
    Text,
}

/// What an expression may speak of beside `self`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Old {
    /// `oldSelf` is a value like `self`.
    Plain,
    /// `oldSelf` is an optional one.
    Optional,
}

/// An expression that can run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Program {
    expr: Expr,
    /// Whether it speaks of `oldSelf`.
    pub(crate) uses_old: bool,
}

/// A value and the schema of its place; whether it is a whole object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'v> {
    pub(crate) value: &'v Value,
    pub(crate) node: &'v Node,
    pub(crate) root: bool,
}

impl<'v> Seen<'v> {
    fn val(self) -> Val<'v> {
        Val::of(self.value, self.node, self.root)
    }
}

impl Program {
    /// Reads an expression of what a schema describes.
    pub(crate) fn compile(source: &str, node: &Node, root: bool, old: Old, gives: Gives) -> Result<Self, Fault> {
        if source.len() > MAX_TEXT {
            return Err(Fault(format!("the expression is longer than {MAX_TEXT} bytes")));
        }
        let expr = parse::parse(source)?;
        let own = Ty::of(node, root).unwrap_or(Ty::Dyn);
        let before = match old {
            Old::Plain => own.clone(),
            Old::Optional => Ty::optional(own.clone()),
        };
        let names = [("self".to_string(), own), ("oldSelf".to_string(), before)];
        let (ty, uses_old) = check::Check::new(source, names.into()).run(&expr, "oldSelf")?;
        let fits = match gives {
            Gives::Bool => ty.fits(&Ty::Bool),
            Gives::Text => ty.fits(&Ty::Text),
        };
        if !fits {
            let what = match gives {
                Gives::Bool => "bool",
                Gives::Text => "string",
            };
            return Err(Fault(format!("cel expression must evaluate to a {what}, but it evaluates to {ty}")));
        }
        Ok(Self { expr, uses_old })
    }

    fn run_val<'v>(
        &self,
        now: Seen<'v>,
        before: Option<Seen<'v>>,
        old: Old,
        budget: &mut u64,
    ) -> Result<Val<'v>, Ended> {
        let mut names: Vec<(String, Val<'v>)> = alloc::vec![("self".into(), now.val())];
        match (old, before) {
            (Old::Plain, Some(before)) => names.push(("oldSelf".into(), before.val())),
            (Old::Plain, None) => {}
            (Old::Optional, before) => {
                names.push(("oldSelf".into(), before.map_or(Val::Optional(None), |b| Val::some(b.val()))));
            }
        }
        eval::Run::new(names, budget).expr(&self.expr)
    }

    /// Whether it holds.
    pub(crate) fn holds(
        &self,
        now: Seen<'_>,
        before: Option<Seen<'_>>,
        old: Old,
        budget: &mut u64,
    ) -> Result<bool, Ended> {
        match self.run_val(now, before, old, budget)? {
            Val::Bool(b) => Ok(b),
            _ => eval::no_overload(),
        }
    }

    /// The text that it gives.
    pub(crate) fn text(
        &self,
        now: Seen<'_>,
        before: Option<Seen<'_>>,
        old: Old,
        budget: &mut u64,
    ) -> Result<String, Ended> {
        let out = self.run_val(now, before, old, budget)?;
        out.as_text().map_or_else(eval::no_overload, |t| Ok(t.to_string()))
    }
}
