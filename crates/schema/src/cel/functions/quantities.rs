//! Quantities.

use core::cmp::Ordering;

use alloc::format;

use evenkeel_model::Quantity;

use crate::cel::{
    eval::{Ran, Run, fault},
    value::Val,
};

const UNIT: i128 = 1_000_000_000;

pub(super) fn call<'v>(_run: &mut Run<'v, '_>, name: &str, given: &[Val<'v>]) -> Option<Ran<'v>> {
    let quantity = |text: &str| text.parse::<Quantity>();
    Some(match (name, given) {
        ("quantity", [of]) => match quantity(of.as_text()?) {
            Ok(q) => Ok(Val::Quantity(q)),
            Err(e) => fault(format!("{e}")),
        },
        ("isQuantity", [of]) => Ok(Val::Bool(quantity(of.as_text()?).is_ok())),
        ("isInteger", [Val::Quantity(q)]) => Ok(Val::Bool(integer(*q).is_some())),
        ("asInteger", [Val::Quantity(q)]) => {
            integer(*q).map_or_else(|| fault("cannot convert value to integer"), |n| Ok(Val::Int(n)))
        }
        #[allow(clippy::cast_precision_loss)] // it says so
        ("asApproximateFloat", [Val::Quantity(q)]) => Ok(Val::Double(q.0 as f64 / UNIT as f64)),
        ("sign", [Val::Quantity(q)]) => Ok(Val::Int(order(q.0.cmp(&0)))),
        ("compareTo", [Val::Quantity(a), Val::Quantity(b)]) => Ok(Val::Int(order(a.cmp(b)))),
        ("isLessThan", [Val::Quantity(a), Val::Quantity(b)]) => Ok(Val::Bool(a < b)),
        ("isGreaterThan", [Val::Quantity(a), Val::Quantity(b)]) => Ok(Val::Bool(a > b)),
        ("add" | "sub", [Val::Quantity(a), b]) => {
            let b = match b {
                Val::Quantity(b) => b.0,
                Val::Int(n) => i128::from(*n) * UNIT,
                _ => return None,
            };
            let out = if name == "add" { a.0.saturating_add(b) } else { a.0.saturating_sub(b) };
            Ok(Val::Quantity(Quantity(out)))
        }
        _ => return None,
    })
}

fn integer(q: Quantity) -> Option<i64> {
    if q.0 % UNIT == 0 { i64::try_from(q.0 / UNIT).ok() } else { None }
}

fn order(of: Ordering) -> i64 {
    match of {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}
