//! Functions of text, regular expressions among them. Places are counted in characters.

use alloc::{format, string::String, vec::Vec};

use regex::Regex;

use crate::{
    cel::{
        eval::{Ran, Run, fault, no_overload},
        value::Val,
    },
    pattern,
};

/// Regular expressions that a run may make, in bytes of what they become.
const REGEX_BYTES: usize = 1 << 20;
/// A regular expression that is no literal is made each time: what that costs.
const REGEX_COST: u64 = 200;

pub(super) fn call<'v>(run: &mut Run<'v, '_>, name: &str, given: &[Val<'v>]) -> Option<Ran<'v>> {
    let text = given.first()?.as_text()?;
    let rest = &given[1..];
    let second = rest.first().and_then(Val::as_text);
    let whole = |at: usize| match rest.get(at) {
        Some(Val::Int(n)) => Some(*n),
        _ => None,
    };
    Some(match (name, rest.len(), second) {
        ("contains", 1, Some(part)) => Ok(Val::Bool(text.contains(part))),
        ("startsWith", 1, Some(part)) => Ok(Val::Bool(text.starts_with(part))),
        ("endsWith", 1, Some(part)) => Ok(Val::Bool(text.ends_with(part))),
        ("matches", 1, Some(pattern)) => regex(run, pattern, text).map(|r| Val::Bool(r.is_match(text))),
        ("find", 1, Some(pattern)) => {
            regex(run, pattern, text).map(|r| Val::text(r.find(text).map_or("", |m| m.as_str())))
        }
        ("findAll", 1, Some(pattern)) => regex(run, pattern, text).map(|r| found(&r, text, usize::MAX)),
        ("findAll", 2, Some(pattern)) => match whole(1) {
            Some(n) => regex(run, pattern, text).map(|r| found(&r, text, usize::try_from(n).unwrap_or(usize::MAX))),
            None => no_overload(),
        },
        ("charAt", 1, None) => char_at(text, whole(0)),
        ("indexOf" | "lastIndexOf", 1 | 2, Some(part)) => index_of(name, text, part, rest.get(1)),
        ("lowerAscii", 0, _) => Ok(Val::Text(text.to_ascii_lowercase().into())),
        ("upperAscii", 0, _) => Ok(Val::Text(text.to_ascii_uppercase().into())),
        ("trim", 0, _) => Ok(Val::text(text.trim())),
        ("reverse", 0, _) => Ok(Val::Text(text.chars().rev().collect::<String>().into())),
        ("replace", 2 | 3, Some(from)) => replace(run, text, from, rest, whole(2)),
        ("split", 1, Some(by)) => split(run, text, by, -1),
        ("split", 2, Some(by)) => whole(1).map_or_else(no_overload, |n| split(run, text, by, n)),
        ("substring", 1 | 2, None) => substring(text, whole(0), rest.get(1)),
        ("strings.quote", 0, _) => Ok(Val::Text(format!("{text:?}").into())),
        _ => return None,
    })
}

fn regex(run: &mut Run<'_, '_>, pattern: &str, text: &str) -> Result<Regex, super::super::eval::Ended> {
    // As the product of both, as in Kubernetes.
    run.spend(REGEX_COST + (pattern.len() as u64 / 4 + 1) * (text.len() as u64 / 10 + 1))?;
    regex_of(pattern).or_else(fault)
}

/// Reads a regular expression.
pub(in crate::cel) fn regex_of(pattern: &str) -> Result<Regex, String> {
    pattern::build(pattern, REGEX_BYTES).map_err(|why| format!("error parsing regexp: {why}"))
}

fn found<'v>(regex: &Regex, text: &str, most: usize) -> Val<'v> {
    Val::list(regex.find_iter(text).take(most).map(|m| Val::text(m.as_str())).collect())
}

fn char_at<'v>(text: &str, at: Option<i64>) -> Ran<'v> {
    let Some(at) = at else { return no_overload() };
    let size = text.chars().count();
    match usize::try_from(at) {
        Ok(n) if n == size => Ok(Val::text("")),
        Ok(n) if n < size => Ok(Val::Text(text.chars().skip(n).take(1).collect::<String>().into())),
        _ => fault(format!("index out of range: {at}")),
    }
}

fn index_of<'v>(name: &str, text: &str, part: &str, from: Option<&Val<'v>>) -> Ran<'v> {
    let (text, part): (Vec<char>, Vec<char>) = (text.chars().collect(), part.chars().collect());
    let last = name == "lastIndexOf";
    let from = match from {
        None => None,
        Some(Val::Int(n)) => match usize::try_from(*n) {
            Ok(n) if n <= text.len() => Some(n),
            _ => return fault(format!("index out of range: {n}")),
        },
        Some(_) => return no_overload(),
    };
    let fits = |at: &usize| text[*at..].starts_with(&part);
    let most = text.len().checked_sub(part.len());
    let found = match (most, last) {
        (None, _) => None,
        (Some(most), false) => (from.unwrap_or(0)..=most).find(fits),
        (Some(most), true) => (0..=most.min(from.unwrap_or(most))).rev().find(fits),
    };
    Ok(Val::Int(found.map_or(-1, |n| i64::try_from(n).unwrap_or(i64::MAX))))
}

fn replace<'v>(run: &mut Run<'v, '_>, text: &str, from: &str, rest: &[Val<'v>], most: Option<i64>) -> Ran<'v> {
    let Some(to) = rest.get(1).and_then(Val::as_text) else { return no_overload() };
    let most = match (rest.len(), most) {
        (2, _) => -1,
        (_, Some(n)) => n,
        (_, None) => return no_overload(),
    };
    // What it may grow to.
    let turns = if from.is_empty() { text.len() + 1 } else { text.len() / from.len() };
    run.spend((turns * to.len()) as u64 / 10)?;
    let out = match usize::try_from(most) {
        Ok(n) => text.replacen(from, to, n),
        Err(_) => text.replace(from, to),
    };
    Ok(Val::Text(out.into()))
}

fn split<'v>(run: &mut Run<'v, '_>, text: &str, by: &str, most: i64) -> Ran<'v> {
    run.spend(text.len() as u64 / 10)?;
    let parts: Vec<String> =
        if by.is_empty() { text.chars().map(String::from).collect() } else { text.split(by).map(Into::into).collect() };
    let kept: Vec<String> = match usize::try_from(most) {
        Ok(0) => Vec::new(),
        Ok(n) if parts.len() > n => {
            let (first, rest) = parts.split_at(n - 1);
            first.iter().cloned().chain([rest.join(by)]).collect()
        }
        _ => parts,
    };
    run.spend(kept.len() as u64)?;
    Ok(Val::list(kept.into_iter().map(|t| Val::Text(t.into())).collect()))
}

fn substring<'v>(text: &str, from: Option<i64>, to: Option<&Val<'v>>) -> Ran<'v> {
    let size = text.chars().count();
    let Some(from) = from else { return no_overload() };
    let to = match to {
        None => i64::try_from(size).unwrap_or(i64::MAX),
        Some(Val::Int(to)) => *to,
        Some(_) => return no_overload(),
    };
    let place = |n: i64| usize::try_from(n).ok().filter(|n| *n <= size);
    match (place(from), place(to)) {
        (None, _) => fault(format!("index out of range: {from}")),
        (_, None) => fault(format!("index out of range: {to}")),
        (Some(a), Some(b)) if a > b => fault(format!("invalid substring range. start: {a}, end: {b}")),
        (Some(a), Some(b)) => Ok(Val::Text(text.chars().skip(a).take(b - a).collect::<String>().into())),
    }
}
