//! The simple JSON paths of definitions: `.spec.replicas`, `.metadata.labels['a.b']`, `.items[0].name`,
//! `.status.conditions[?(@.type=="Ready")].status`, `.spec.list[*].name`, `.status.conditions[-1:].type`.
//!
//! What columns and the `scale` subresource are read by. Deliberately not here: the rest of JSONPath
//! (recursive descent, steps of slices, unions, filters that compare sizes), which a definition is refused for.

use alloc::{string::String, vec::Vec};

use serde_json::Value;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    /// One item; below zero, counted from the end.
    Index(i64),
    /// Items from one up to another that is not among them.
    Slice(i64, Option<i64>),
    Each,
    /// Items that have the field.
    Has(Vec<String>),
    /// Items whose field has this text, or that have the field with another.
    Where(Vec<String>, bool, String),
}

/// A path that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

/// Reads a path; why it cannot be read.
pub fn parse(text: &str) -> Result<JsonPath, &'static str> {
    let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
    let mut rest = inner.strip_prefix('$').unwrap_or(inner);
    if !rest.starts_with(['.', '[']) {
        return Err("must be a simple json path starting with .");
    }
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (step, after) = bracket(after)?;
            steps.push(step);
            rest = after;
            continue;
        }
        let Some(after) = rest.strip_prefix('.') else { return Err("a `.` or `[` is expected after `]`") };
        if after.starts_with('.') {
            return Err("recursive descent (..) is not supported");
        }
        if after.starts_with('[') {
            rest = after;
            continue;
        }
        let (name, after) = name(after);
        match name.as_str() {
            "" if after.is_empty() && steps.is_empty() => {}
            "" => return Err("a name is missing after a dot"),
            "*" => steps.push(Step::Each),
            _ => steps.push(Step::Field(name)),
        }
        rest = after;
    }
    Ok(JsonPath(steps))
}

/// A name up to the next dot or bracket; `\.` is a dot in it.
fn name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                if let Some((_, next)) = chars.next() {
                    name.push(next);
                }
            }
            '.' | '[' => return (name, &text[at..]),
            c => name.push(c),
        }
    }
    (name, "")
}

fn bracket(text: &str) -> Result<(Step, &str), &'static str> {
    if let Some(inner) = text.strip_prefix("?(") {
        let (condition, after) = inner.split_once(")]").ok_or("a filter is not closed")?;
        return Ok((filter(condition)?, after));
    }
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote) {
            let (name, after) = inner.split_once(quote).ok_or("a quote is not closed")?;
            let after = after.strip_prefix(']').ok_or("a `[` is not closed")?;
            return Ok((Step::Field(name.into()), after));
        }
    }
    let (inner, after) = text.split_once(']').ok_or("a `[` is not closed")?;
    let number = |text: &str| text.parse().map_err(|_| "an index is a number, a range of numbers or *");
    let step = match (inner, inner.split_once(':')) {
        ("*" | ":", _) => Step::Each,
        // As Kubernetes reads it: the first.
        ("", _) => Step::Index(0),
        (_, Some((from, to))) => {
            let from = if from.is_empty() { 0 } else { number(from)? };
            Step::Slice(from, if to.is_empty() { None } else { Some(number(to)?) })
        }
        (index, None) => Step::Index(number(index)?),
    };
    Ok((step, after))
}

fn filter(condition: &str) -> Result<Step, &'static str> {
    let fields = |text: &str| {
        let path = text.trim().strip_prefix("@.").ok_or("a filter compares a field of its item: @.NAME")?;
        Ok::<_, &'static str>(path.split('.').map(Into::into).collect())
    };
    for (operator, equal) in [("==", true), ("!=", false)] {
        if let Some((left, right)) = condition.split_once(operator) {
            let right = right.trim().trim_matches(|c| c == '"' || c == '\'');
            return Ok(Step::Where(fields(left)?, equal, right.into()));
        }
    }
    if condition.contains(['<', '>', '&', '|', '=']) {
        return Err("filters other than ==, != and whether a field is there are not supported");
    }
    fields(condition).map(Step::Has)
}

impl JsonPath {
    /// Every value that it leads to.
    pub fn all<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let mut found = alloc::vec![value];
        for step in &self.0 {
            found = found.into_iter().flat_map(|v| step.of(v)).collect();
        }
        found
    }

    /// The names of a path that is nothing but names.
    pub fn fields(&self) -> Option<Vec<&str>> {
        self.0.iter().map(|s| if let Step::Field(name) = s { Some(name.as_str()) } else { None }).collect()
    }
}

impl Step {
    fn of<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(i) => value.as_array().and_then(|list| list.get(place(*i, list.len())?)).into_iter().collect(),
            Self::Slice(from, to) => {
                let list = value.as_array().map_or(&[][..], Vec::as_slice);
                let bound = |i: i64| place(i, list.len()).unwrap_or(0).min(list.len());
                list.get(bound(*from)..to.map_or(list.len(), bound)).unwrap_or_default().iter().collect()
            }
            Self::Each => match value {
                Value::Array(list) => list.iter().collect(),
                Value::Object(map) => map.values().collect(),
                _ => Vec::new(),
            },
            Self::Has(path) => {
                value.as_array().into_iter().flatten().filter(|item| follow(item, path).is_some()).collect()
            }
            Self::Where(path, equal, wanted) => {
                let same = |f: &Value| f.as_str().map_or_else(|| alloc::format!("{f}") == *wanted, |s| s == wanted);
                let fits = |item: &&Value| follow(item, path).is_some_and(|found| same(found) == *equal);
                value.as_array().into_iter().flatten().filter(fits).collect()
            }
        }
    }
}

/// Where an item stands that may be counted from the end.
fn place(index: i64, len: usize) -> Option<usize> {
    let len = i64::try_from(len).ok()?;
    usize::try_from(if index < 0 { len.checked_add(index)? } else { index }).ok()
}

fn follow<'v>(item: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(item, |value, name| value.get(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn simple_paths_are_followed() {
        let value = json!({"spec": {"n": 2, "list": [{"a": "x"}, {"a": "y"}]}, "metadata": {"labels": {"a.b/c": "l"}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]}});
        for (path, expected) in [
            (".spec.n", json!([2])),
            (".spec.list[1].a", json!(["y"])),
            (".spec.list[*].a", json!(["x", "y"])),
            (".status.conditions[?(@.type==\"Ready\")].status", json!(["True"])),
            (".status.conditions[?(@.type=='Other')].status", json!(["False"])),
            (".metadata.labels['a.b/c']", json!(["l"])),
            (".metadata.labels.a\\.b/c", json!(["l"])),
            ("{.spec.n}", json!([2])),
            (".spec.none.at.all", json!([])),
            (".spec.list[].a", json!(["x"])),
            (".spec.list[-1].a", json!(["y"])),
            (".spec.list[-3].a", json!([])),
            (".spec.list[-1:].a", json!(["y"])),
            (".spec.list[0:1].a", json!(["x"])),
            (".spec.list[5:].a", json!([])),
            (".status.conditions[?(@.type!='Ready')].status", json!(["False"])),
            (".status.conditions[?(@.reason)].status", json!([])),
        ] {
            assert_eq!(json!(parse(path).unwrap().all(&value)), expected, "{path}");
        }
        for bad in ["spec.n", "..n", ".a[", ".a[?(@.b>1)]", ".a[x]"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
