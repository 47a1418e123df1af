//! What functions and operators do. Which there are and what they take is said in [`signatures`]; what comes
//! here without a meaning ("no such overload") had a type that was not known before.

mod collections;
mod convert;
mod net;
mod quantities;
pub(super) mod signatures;
mod texts;
pub(super) mod time;

use alloc::sync::Arc;

use evenkeel_model::Time;

use super::{
    ast::Operator,
    eval::{Ran, Run, fault, no_overload},
    value::{MILLI, Val},
};

/// What a function gives.
pub(super) fn call<'v>(run: &mut Run<'v, '_>, name: &str, given: &[Val<'v>]) -> Ran<'v> {
    run.spend(given.iter().map(Val::weight).sum())?;
    let modules = [texts::call, collections::call, convert::call, quantities::call, net::call];
    for module in modules {
        if let Some(out) = module(run, name, given) {
            let out = out?;
            run.spend(out.weight())?;
            return Ok(out);
        }
    }
    no_overload()
}

fn overflow<'v>() -> Ran<'v> {
    fault("integer overflow")
}

/// `+`, `-`, `*`, `/`, `%`.
pub(super) fn arithmetic<'v>(run: &mut Run<'v, '_>, operator: Operator, a: &Val<'v>, b: &Val<'v>) -> Ran<'v> {
    use Operator as O;
    let by_zero = match b {
        Val::Int(0) | Val::Uint(0) => match operator {
            O::Divide => Some("division by zero"),
            O::Remainder => Some("modulus by zero"),
            _ => None,
        },
        _ => None,
    };
    if let Some(why) = by_zero {
        return fault(why);
    }
    match (a, b) {
        (Val::Int(a), Val::Int(b)) => {
            let out = match operator {
                O::Add => a.checked_add(*b),
                O::Subtract => a.checked_sub(*b),
                O::Multiply => a.checked_mul(*b),
                O::Divide => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            out.map_or_else(overflow, |n| Ok(Val::Int(n)))
        }
        (Val::Uint(a), Val::Uint(b)) => {
            let out = match operator {
                O::Add => a.checked_add(*b),
                O::Subtract => a.checked_sub(*b),
                O::Multiply => a.checked_mul(*b),
                O::Divide => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            out.map_or_else(overflow, |n| Ok(Val::Uint(n)))
        }
        (Val::Double(a), Val::Double(b)) => match operator {
            O::Add => Ok(Val::Double(a + b)),
            O::Subtract => Ok(Val::Double(a - b)),
            O::Multiply => Ok(Val::Double(a * b)),
            O::Divide => Ok(Val::Double(a / b)),
            _ => no_overload(),
        },
        _ => others(run, operator, a, b),
    }
}

fn others<'v>(run: &mut Run<'v, '_>, operator: Operator, a: &Val<'v>, b: &Val<'v>) -> Ran<'v> {
    let moved = |time: Time, by: Option<i64>| {
        let at = by.and_then(|by| time.0.checked_add(by / MILLI));
        at.map_or_else(overflow, |at| Ok(Val::Timestamp(Time(at))))
    };
    let span = |nanos: Option<i64>| nanos.map_or_else(overflow, |n| Ok(Val::Duration(n)));
    match (operator, a, b) {
        (Operator::Add, Val::Timestamp(t), Val::Duration(d)) | (Operator::Add, Val::Duration(d), Val::Timestamp(t)) => {
            moved(*t, Some(*d))
        }
        (Operator::Subtract, Val::Timestamp(t), Val::Duration(d)) => moved(*t, d.checked_neg()),
        (Operator::Subtract, Val::Timestamp(x), Val::Timestamp(y)) => {
            span(x.0.checked_sub(y.0).and_then(|milli| milli.checked_mul(MILLI)))
        }
        (Operator::Add, Val::Duration(x), Val::Duration(y)) => span(x.checked_add(*y)),
        (Operator::Subtract, Val::Duration(x), Val::Duration(y)) => span(x.checked_sub(*y)),
        (Operator::Add, Val::Bytes(x), Val::Bytes(y)) => Ok(Val::Bytes(Arc::from([&**x, &**y].concat()))),
        (Operator::Add, ..) => {
            if let (Some(x), Some(y)) = (a.as_text(), b.as_text()) {
                return Ok(Val::Text([x, y].concat().into()));
            }
            let (Some(mut x), Some(y)) = (a.items(), b.items()) else { return no_overload() };
            run.spend((x.len() + y.len()) as u64)?;
            x.extend(y);
            Ok(Val::list(x))
        }
        _ => no_overload(),
    }
}
