//! Functions of lists, mappings, sets and optional values.

use alloc::{string::String, vec::Vec};
use core::cmp::Ordering;

use crate::cel::{
    ast::Operator,
    eval::{Ended, Ran, Run, fault, no_overload},
    value::Val,
};

pub(super) fn call<'v>(run: &mut Run<'v, '_>, name: &str, given: &[Val<'v>]) -> Option<Ran<'v>> {
    let out = match (name, given) {
        ("size", [of]) => of.size().map_or_else(no_overload, |n| Ok(Val::Int(i64::try_from(n).unwrap_or(i64::MAX)))),
        ("dyn", [of]) => Ok(of.clone()),
        ("type", [of]) => Ok(Val::Type(of.type_name())),
        ("optional.none", []) => Ok(Val::Optional(None)),
        ("optional.of", [of]) => Ok(Val::some(of.clone())),
        ("optional.ofNonZeroValue", [of]) => Ok(if zero(of) { Val::Optional(None) } else { Val::some(of.clone()) }),
        ("hasValue", [Val::Optional(of)]) => Ok(Val::Bool(of.is_some())),
        ("value", [Val::Optional(of)]) => match of {
            Some(value) => Ok((**value).clone()),
            None => fault("optional.none() dereference"),
        },
        ("or", [Val::Optional(of), other]) => Ok(if of.is_some() { given[0].clone() } else { other.clone() }),
        ("orValue", [Val::Optional(of), other]) => Ok(of.as_ref().map_or_else(|| other.clone(), |v| (**v).clone())),
        ("sets.contains" | "sets.equivalent" | "sets.intersects", [a, b]) => sets(run, name, a, b),
        _ => return lists(run, name, given),
    };
    Some(out)
}

fn zero(value: &Val<'_>) -> bool {
    match value {
        Val::Null | Val::Optional(None) => true,
        Val::Bool(b) => !b,
        Val::Int(n) | Val::Duration(n) => *n == 0,
        Val::Uint(n) => *n == 0,
        Val::Double(n) => *n == 0.0,
        Val::Object(map, ..) => map.is_empty(),
        other => other.size() == Some(0),
    }
}

fn lists<'v>(run: &mut Run<'v, '_>, name: &str, given: &[Val<'v>]) -> Option<Ran<'v>> {
    if !matches!(name, "indexOf" | "lastIndexOf" | "isSorted" | "sum" | "min" | "max" | "join") {
        return None;
    }
    let items = given.first()?.items()?;
    if let Err(e) = run.spend(items.len() as u64) {
        return Some(Err(e));
    }
    Some(match (name, &given[1..]) {
        ("indexOf", [wanted]) => place(run, &items, wanted, false),
        ("lastIndexOf", [wanted]) => place(run, &items, wanted, true),
        ("isSorted", []) => sorted(&items),
        ("sum", []) => sum(run, &items),
        ("min", []) => most(&items, "min", Ordering::Less),
        ("max", []) => most(&items, "max", Ordering::Greater),
        ("join", []) => join(run, &items, ""),
        ("join", [by]) => by.as_text().map_or_else(no_overload, |by| join(run, &items, by)),
        _ => return None,
    })
}

fn place<'v>(run: &mut Run<'v, '_>, items: &[Val<'v>], wanted: &Val<'v>, last: bool) -> Ran<'v> {
    let mut found = -1;
    for (i, item) in items.iter().enumerate() {
        if run.same(item, wanted)? {
            found = i64::try_from(i).unwrap_or(i64::MAX);
            if !last {
                break;
            }
        }
    }
    Ok(Val::Int(found))
}

fn sorted<'v>(items: &[Val<'v>]) -> Ran<'v> {
    for pair in items.windows(2) {
        match pair[0].order(&pair[1]) {
            Some(Ordering::Greater) => return Ok(Val::Bool(false)),
            Some(_) => {}
            None => return no_overload(),
        }
    }
    Ok(Val::Bool(true))
}

fn sum<'v>(run: &mut Run<'v, '_>, items: &[Val<'v>]) -> Ran<'v> {
    let Some((first, rest)) = items.split_first() else { return Ok(Val::Int(0)) };
    let mut all = first.clone();
    for item in rest {
        all = super::arithmetic(run, Operator::Add, &all, item)?;
    }
    Ok(all)
}

fn most<'v>(items: &[Val<'v>], name: &str, wanted: Ordering) -> Ran<'v> {
    let Some((first, rest)) = items.split_first() else {
        return fault(alloc::format!("{name} called on empty list"));
    };
    let mut best = first;
    for item in rest {
        match item.order(best) {
            Some(found) if found == wanted => best = item,
            Some(_) => {}
            None => return no_overload(),
        }
    }
    Ok(best.clone())
}

fn join<'v>(run: &mut Run<'v, '_>, items: &[Val<'v>], by: &str) -> Ran<'v> {
    let texts: Option<Vec<&str>> = items.iter().map(Val::as_text).collect();
    let Some(texts) = texts else { return no_overload() };
    let size: usize = texts.iter().map(|t| t.len() + by.len()).sum();
    run.spend(size as u64 / 10)?;
    let out: String = texts.join(by);
    Ok(Val::Text(out.into()))
}

fn sets<'v>(run: &mut Run<'v, '_>, name: &str, a: &Val<'v>, b: &Val<'v>) -> Ran<'v> {
    let (Some(a), Some(b)) = (a.items(), b.items()) else { return no_overload() };
    run.spend((a.len() + b.len()) as u64)?;
    let mut holds = |all: &[Val<'v>], one: &Val<'v>| -> Result<bool, Ended> {
        for item in all {
            if run.same(item, one)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let mut every = |all: &[Val<'v>], of: &[Val<'v>], wanted: bool| -> Result<bool, Ended> {
        for one in of {
            if holds(all, one)? != wanted {
                return Ok(false);
            }
        }
        Ok(true)
    };
    Ok(Val::Bool(match name {
        "sets.contains" => every(&a, &b, true)?,
        "sets.equivalent" => every(&a, &b, true)? && every(&b, &a, true)?,
        _ => !every(&a, &b, false)?,
    }))
}
