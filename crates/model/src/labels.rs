//! Labels and selectors, by Kubernetes' rules.

use alloc::{collections::BTreeMap, string::String, sync::Arc, vec::Vec};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use thiserror::Error;

/// A set of labels or annotations: sorted, shared between objects that carry the same.
pub type Labels = Arc<BTreeMap<String, String>>;

/// A selector that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid selector `{text}`: {reason}")]
pub struct SelectorError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// One demand on labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// The label has one of the values.
    In(String, Vec<String>),
    /// The label is absent or has none of the values.
    NotIn(String, Vec<String>),
    /// The label is there.
    Exists(String),
    /// The label is absent.
    Absent(String),
    /// The label is a whole number above this one.
    Greater(String, i64),
    /// The label is a whole number below this one.
    Less(String, i64),
}

/// Demands that must all hold. Without any it selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector(pub Vec<Requirement>);

impl Selector {
    /// From an object's `selector` field. An operator that Kubernetes does not have is an error.
    pub fn from_k8s(s: &LabelSelector) -> Result<Self, SelectorError> {
        let mut out: Vec<Requirement> =
            s.match_labels.iter().flatten().map(|(k, v)| Requirement::In(k.clone(), alloc::vec![v.clone()])).collect();
        for e in s.match_expressions.iter().flatten() {
            let values = || e.values.clone().unwrap_or_default();
            out.push(match e.operator.as_str() {
                "In" => Requirement::In(e.key.clone(), values()),
                "NotIn" => Requirement::NotIn(e.key.clone(), values()),
                "Exists" => Requirement::Exists(e.key.clone()),
                "DoesNotExist" => Requirement::Absent(e.key.clone()),
                _ => {
                    return Err(SelectorError {
                        text: e.operator.clone(),
                        reason: "the operator is none of In, NotIn, Exists, DoesNotExist",
                    });
                }
            });
        }
        Ok(Self(out))
    }

    /// From the query form: `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2`, as Kubernetes' `labels.Parse`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let bad = |reason| SelectorError { text: text.into(), reason };
        let mut out = Vec::new();
        for part in split_outside_parentheses(text).into_iter().map(str::trim).filter(|p| !p.is_empty()) {
            out.push(parse_requirement(part).ok_or_else(|| {
                bad("expected key=value, key!=value, key in (..), key, !key, key>number or key<number")
            })?);
        }
        Ok(Self(out))
    }

    /// Whether these labels meet every demand.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|r| match r {
            Requirement::In(k, values) => labels.get(k).is_some_and(|v| values.contains(v)),
            Requirement::NotIn(k, values) => labels.get(k).is_none_or(|v| !values.contains(v)),
            Requirement::Exists(k) => labels.contains_key(k),
            Requirement::Absent(k) => !labels.contains_key(k),
            Requirement::Greater(k, than) => number(labels, k).is_some_and(|n| n > *than),
            Requirement::Less(k, than) => number(labels, k).is_some_and(|n| n < *than),
        })
    }
}

fn number(labels: &BTreeMap<String, String>, key: &str) -> Option<i64> {
    labels.get(key)?.parse().ok()
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut out) = (0_u32, 0, Vec::new());
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                out.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

fn parse_requirement(part: &str) -> Option<Requirement> {
    let key = |k: &str| {
        let k = k.trim();
        let ok = !k.is_empty() && k.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_./".contains(&c));
        ok.then(|| String::from(k))
    };
    let list = |v: &str| -> Option<Vec<String>> {
        let inner = v.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|v| v.trim().into()).collect())
    };
    if let Some(k) = part.strip_prefix('!') {
        return Some(Requirement::Absent(key(k)?));
    }
    if let Some((k, v)) = part.split_once("!=") {
        return Some(Requirement::NotIn(key(k)?, alloc::vec![v.trim().into()]));
    }
    if let Some((k, v)) = part.split_once('=') {
        return Some(Requirement::In(key(k)?, alloc::vec![v.trim_start_matches('=').trim().into()]));
    }
    if let Some(at) = part.find('(') {
        let (before, values) = (part[..at].trim_end(), list(&part[at..])?);
        let of = |word: &str| before.strip_suffix(word).filter(|k| k.ends_with(char::is_whitespace)).map(key);
        return match (of("notin"), of("in")) {
            (Some(key), _) => Some(Requirement::NotIn(key?, values)),
            (None, Some(key)) => Some(Requirement::In(key?, values)),
            (None, None) => None,
        };
    }
    if let Some((k, v)) = part.split_once('>') {
        return Some(Requirement::Greater(key(k)?, v.trim().parse().ok()?));
    }
    if let Some((k, v)) = part.split_once('<') {
        return Some(Requirement::Less(key(k)?, v.trim().parse().ok()?));
    }
    Some(Requirement::Exists(key(part)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    #[test]
    fn query_selectors_match_as_in_kubernetes() {
        let web = labels(&[("app", "web"), ("tier", "front"), ("size", "7")]);
        for (text, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier=front", true),
            ("app!=web", false),
            ("x!=web", true),
            ("app in (web, api)", true),
            ("app notin (web)", false),
            ("app in(web)", true),
            ("app notin(web,api)", false),
            ("x notin (web)", true),
            ("tier", true),
            ("!tier", false),
            ("x", false),
            ("size>6,size<8", true),
            ("size > 7", false),
            ("size<-7", false),
            ("app>1", false),
            ("x<1", false),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(&web), expected, "{text}");
        }
        assert!(Selector::parse("a b c").is_err());
        for bad in ["app in web", "size>", "size>x", "size>=1", "size>1.5", ">1", "a<b<c"] {
            assert!(Selector::parse(bad).is_err(), "{bad}");
        }
    }
}
