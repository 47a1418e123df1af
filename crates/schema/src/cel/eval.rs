//! Runs an expression. Every step costs; when a budget is used up, the run ends.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use core::cmp::Ordering;

use super::{
    ast::{Each, Expr, Is, Literal, Operator, What},
    functions,
    value::{Key, Val},
};

/// Why a run came to no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It has none, in cel-go's words.
    Fault(String),
    /// The budget is used up.
    Budget,
}

pub(super) type Ran<'v> = Result<Val<'v>, Ended>;

pub(super) fn fault<T>(why: impl Into<String>) -> Result<T, Ended> {
    Err(Ended::Fault(why.into()))
}

/// What a call was given that no function takes.
pub(super) fn no_overload<T>() -> Result<T, Ended> {
    fault("no such overload")
}

/// A run under way.
pub(super) struct Run<'v, 'b> {
    names: Vec<(String, Val<'v>)>,
    budget: &'b mut u64,
}

impl<'v, 'b> Run<'v, 'b> {
    pub(super) fn new(names: Vec<(String, Val<'v>)>, budget: &'b mut u64) -> Self {
        Self { names, budget }
    }

    /// Takes from the budget.
    pub(super) fn spend(&mut self, cost: u64) -> Result<(), Ended> {
        let left = self.budget.checked_sub(cost);
        *self.budget = left.unwrap_or(0);
        left.map(drop).ok_or(Ended::Budget)
    }

    pub(super) fn same(&mut self, a: &Val<'v>, b: &Val<'v>) -> Result<bool, Ended> {
        a.same(b, &mut |cost| self.spend(cost).is_ok()).ok_or(Ended::Budget)
    }

    fn truth(&mut self, expr: &Expr) -> Result<bool, Ended> {
        match self.expr(expr)? {
            Val::Bool(b) => Ok(b),
            _ => no_overload(),
        }
    }

    pub(super) fn expr(&mut self, expr: &Expr) -> Ran<'v> {
        self.spend(1)?;
        match &expr.is {
            Is::Literal(literal) => Ok(of_literal(literal)),
            Is::Name(name) => self.name(name),
            Is::Field(of, name, optional) => {
                let of = self.expr(of)?;
                select(of, *optional, |v| v.get(name), || format!("no such key: {name}"))
            }
            Is::Index(of, index, optional) => {
                let (of, index) = (self.expr(of)?, self.expr(index)?);
                let list = matches!(of, Val::List(_) | Val::Array(..));
                let shown = shown(&index);
                let why = || {
                    if list { format!("index out of bounds: {shown}") } else { format!("no such key: {shown}") }
                };
                select(of, *optional, |v| if list { at(v, &index) } else { v.entry(&index) }, why)
            }
            Is::Has(of, name) => {
                let of = self.expr(of)?;
                Ok(Val::Bool(match of {
                    Val::Optional(None) => false,
                    Val::Optional(Some(inner)) => inner.get(name).is_some(),
                    other => other.get(name).is_some(),
                }))
            }
            Is::Call(call) => {
                let mut given = Vec::with_capacity(call.arguments.len());
                for argument in &call.arguments {
                    given.push(self.expr(argument)?);
                }
                functions::call(self, &call.name, &given)
            }
            Is::List(items) => self.list(items),
            Is::Map(entries) => self.map(entries),
            Is::Not(of) => Ok(Val::Bool(!self.truth(of)?)),
            Is::Minus(of) => match self.expr(of)? {
                Val::Int(n) => n.checked_neg().map_or_else(|| fault("integer overflow"), |n| Ok(Val::Int(n))),
                Val::Double(n) => Ok(Val::Double(-n)),
                _ => no_overload(),
            },
            Is::And(a, b) => self.both(a, b, false),
            Is::Or(a, b) => self.both(a, b, true),
            Is::If(condition, then, other) => {
                if self.truth(condition)? {
                    self.expr(then)
                } else {
                    self.expr(other)
                }
            }
            Is::Binary(operator, a, b) => {
                let (a, b) = (self.expr(a)?, self.expr(b)?);
                self.binary(*operator, &a, &b)
            }
            Is::Each(each) => self.each(each),
            Is::OptMap(parts) => self.opt_map(&parts.0, &parts.1, &parts.2, parts.3),
        }
    }

    fn opt_map(&mut self, of: &Expr, name: &str, body: &Expr, flat: bool) -> Ran<'v> {
        match self.expr(of)? {
            Val::Optional(Some(inner)) => {
                self.names.push((name.into(), *inner));
                let out = self.expr(body);
                self.names.pop();
                out.map(|v| if flat { v } else { Val::some(v) })
            }
            Val::Optional(None) => Ok(Val::Optional(None)),
            _ => no_overload(),
        }
    }

    fn list(&mut self, items: &[(Expr, bool)]) -> Ran<'v> {
        let mut out = Vec::with_capacity(items.len());
        for (item, optional) in items {
            match (self.expr(item)?, optional) {
                (Val::Optional(inner), true) => out.extend(inner.map(|v| *v)),
                (value, _) => out.push(value),
            }
        }
        Ok(Val::list(out))
    }

    fn name(&self, name: &str) -> Ran<'v> {
        if let Some((_, value)) = self.names.iter().rev().find(|(n, _)| n == name) {
            return Ok(value.clone());
        }
        let types = ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type"];
        match types.iter().find(|t| **t == name) {
            Some(name) => Ok(Val::Type(name)),
            None => fault(format!("no such attribute: {name}")),
        }
    }

    fn map(&mut self, entries: &[(Expr, Expr, bool)]) -> Ran<'v> {
        let mut out = BTreeMap::new();
        for (key, value, optional) in entries {
            let key = self.expr(key)?;
            let value = match (self.expr(value)?, optional) {
                (Val::Optional(None), true) => continue,
                (Val::Optional(Some(inner)), true) => *inner,
                (value, _) => value,
            };
            let Some(key) = Key::of(&key) else { return fault("unsupported key type") };
            if out.insert(key.clone(), value).is_some() {
                return fault("repeated key");
            }
        }
        Ok(Val::Map(Arc::new(out)))
    }

    /// `&&` and `||`: a side that decides alone counts even where the other one fails.
    fn both(&mut self, a: &Expr, b: &Expr, decides: bool) -> Ran<'v> {
        let first = self.truth(a);
        match first {
            Ok(value) if value == decides => return Ok(Val::Bool(decides)),
            Err(Ended::Budget) => return Err(Ended::Budget),
            _ => {}
        }
        match (first, self.truth(b)) {
            (_, Ok(value)) if value == decides => Ok(Val::Bool(decides)),
            (Err(e), _) | (_, Err(e)) => Err(e),
            _ => Ok(Val::Bool(!decides)),
        }
    }

    fn binary(&mut self, operator: Operator, a: &Val<'v>, b: &Val<'v>) -> Ran<'v> {
        let order = |wanted: &[Ordering]| match a.order(b) {
            Some(found) => Ok(Val::Bool(wanted.contains(&found))),
            // Nothing is less than what is no number.
            None if matches!((a, b), (Val::Double(_), _) | (_, Val::Double(_))) => Ok(Val::Bool(false)),
            None => no_overload(),
        };
        match operator {
            Operator::Equal => self.same(a, b).map(Val::Bool),
            Operator::NotEqual => self.same(a, b).map(|same| Val::Bool(!same)),
            Operator::Less => order(&[Ordering::Less]),
            Operator::LessEqual => order(&[Ordering::Less, Ordering::Equal]),
            Operator::Greater => order(&[Ordering::Greater]),
            Operator::GreaterEqual => order(&[Ordering::Greater, Ordering::Equal]),
            Operator::In => self.is_in(a, b),
            _ => {
                self.spend(a.weight() + b.weight())?;
                functions::arithmetic(self, operator, a, b)
            }
        }
    }

    fn is_in(&mut self, a: &Val<'v>, b: &Val<'v>) -> Ran<'v> {
        if b.keys().is_some() {
            return Ok(Val::Bool(b.entry(a).is_some()));
        }
        let Some(size) = b.size().filter(|_| b.item(0).is_some() || b.items().is_some()) else { return no_overload() };
        for i in 0..size {
            if let Some(item) = b.item(i)
                && self.same(a, &item)?
            {
                return Ok(Val::Bool(true));
            }
        }
        Ok(Val::Bool(false))
    }

    /// What a macro goes through: names and values for each turn.
    fn turns(&mut self, each: &Each) -> Result<Vec<(Val<'v>, Val<'v>)>, Ended> {
        let over = self.expr(&each.over)?;
        self.spend(over.size().unwrap_or(0) as u64)?;
        if let Some(keys) = over.keys() {
            let pair = |k: Val<'v>| {
                let value = over.entry(&k).unwrap_or(Val::Null);
                (k, value)
            };
            return Ok(keys.into_iter().map(pair).collect());
        }
        let Some(items) = over.items() else { return no_overload() };
        let index = |i: usize| Val::Int(i64::try_from(i).unwrap_or(i64::MAX));
        // With one name it is the item.
        Ok(match each.names.1 {
            Some(_) => items.into_iter().enumerate().map(|(i, v)| (index(i), v)).collect(),
            None => items.into_iter().map(|v| (v.clone(), v)).collect(),
        })
    }

    fn each(&mut self, each: &Each) -> Ran<'v> {
        let turns = self.turns(each)?;
        let before = self.names.len();
        let mut state = State { out: Vec::new(), found: 0, failed: None };
        for (first, second) in turns {
            self.names.push((each.names.0.clone(), first.clone()));
            if let Some(name) = &each.names.1 {
                self.names.push((name.clone(), second));
            }
            let done = self.turn(each, first, &mut state);
            self.names.truncate(before);
            if let Some(value) = done? {
                return Ok(value);
            }
        }
        if let Some(failed) = state.failed {
            return Err(failed);
        }
        Ok(match each.what {
            What::All => Val::Bool(true),
            What::Exists => Val::Bool(false),
            What::ExistsOne => Val::Bool(state.found == 1),
            What::Map | What::Filter => Val::list(state.out),
        })
    }

    /// One turn; a value where it decides.
    fn turn(&mut self, each: &Each, item: Val<'v>, state: &mut State<'v>) -> Result<Option<Val<'v>>, Ended> {
        if let Some(filter) = &each.filter
            && !self.truth(filter)?
        {
            return Ok(None);
        }
        match each.what {
            What::Map => state.out.push(self.expr(&each.body)?),
            What::Filter => {
                if self.truth(&each.body)? {
                    state.out.push(item);
                }
            }
            What::ExistsOne => state.found += usize::from(self.truth(&each.body)?),
            // A turn that decides counts even where another one fails.
            What::All | What::Exists => match self.truth(&each.body) {
                Ok(value) if value == (each.what == What::Exists) => return Ok(Some(Val::Bool(value))),
                Ok(_) => {}
                Err(Ended::Budget) => return Err(Ended::Budget),
                Err(e) => drop(state.failed.get_or_insert(e)),
            },
        }
        Ok(None)
    }
}

/// What a macro has so far.
struct State<'v> {
    out: Vec<Val<'v>>,
    found: usize,
    failed: Option<Ended>,
}

fn of_literal<'v>(literal: &Literal) -> Val<'v> {
    match literal {
        Literal::Null => Val::Null,
        Literal::Bool(b) => Val::Bool(*b),
        Literal::Int(n) => Val::Int(*n),
        Literal::Uint(n) => Val::Uint(*n),
        Literal::Double(n) => Val::Double(*n),
        Literal::Text(t) => Val::Text(t.clone()),
        Literal::Bytes(b) => Val::Bytes(b.clone()),
    }
}

fn shown(value: &Val<'_>) -> String {
    match value {
        Val::Int(n) => n.to_string(),
        Val::Uint(n) => n.to_string(),
        Val::Double(n) => n.to_string(),
        Val::Bool(b) => b.to_string(),
        other => other.as_text().unwrap_or_else(|| other.type_name()).into(),
    }
}

fn at<'v>(list: &Val<'v>, index: &Val<'_>) -> Option<Val<'v>> {
    let index = match index {
        Val::Int(n) => usize::try_from(*n).ok()?,
        Val::Uint(n) => usize::try_from(*n).ok()?,
        _ => return None,
    };
    list.item(index)
}

/// What is in a value, or in what an optional holds.
fn select<'v>(
    of: Val<'v>,
    optional: bool,
    get: impl Fn(&Val<'v>) -> Option<Val<'v>>,
    why: impl FnOnce() -> String,
) -> Ran<'v> {
    let (inner, was_optional) = match of {
        Val::Optional(None) => return Ok(Val::Optional(None)),
        Val::Optional(Some(inner)) => (*inner, true),
        other => (other, false),
    };
    match get(&inner) {
        Some(found) if optional || was_optional => {
            Ok(if matches!(found, Val::Optional(_)) { found } else { Val::some(found) })
        }
        Some(found) => Ok(found),
        None if optional || was_optional => Ok(Val::Optional(None)),
        None => fault(why()),
    }
}
