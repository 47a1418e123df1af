//! The simple JSON paths of definitions: `.spec.replicas`, `.metadata.labels['a.b']`, `.items[0].name`,
//! `.status.conditions[?(@.type=="Ready")].status`, `.spec.list[*].name`.
//!
//! What columns and the `scale` subresource are read by. Deliberately not here: the rest of JSONPath
//! (recursive descent, slices, unions), which a definition is refused for.

use alloc::{string::String, vec::Vec};

use serde_json::Value;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(usize),
    Each,
    /// Items whose field has this text.
    Where(Vec<String>, String),
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
        let (left, right) = condition.split_once("==").ok_or("filters other than == are not supported")?;
        let path = left.trim().strip_prefix("@.").ok_or("a filter compares a field of its item: @.NAME")?;
        let fields = path.split('.').map(Into::into).collect();
        let right = right.trim().trim_matches(|c| c == '"' || c == '\'');
        return Ok((Step::Where(fields, right.into()), after));
    }
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote) {
            let (name, after) = inner.split_once(quote).ok_or("a quote is not closed")?;
            let after = after.strip_prefix(']').ok_or("a `[` is not closed")?;
            return Ok((Step::Field(name.into()), after));
        }
    }
    let (inner, after) = text.split_once(']').ok_or("a `[` is not closed")?;
    match inner {
        "*" => Ok((Step::Each, after)),
        n => n.parse().map(|n| (Step::Index(n), after)).map_err(|_| "an index is a number or *"),
    }
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
            Self::Index(i) => value.get(i).into_iter().collect(),
            Self::Each => match value {
                Value::Array(list) => list.iter().collect(),
                Value::Object(map) => map.values().collect(),
                _ => Vec::new(),
            },
            Self::Where(path, wanted) => {
                let fits = |item: &&Value| {
                    let found = path.iter().try_fold(*item, |v, name| v.get(name));
                    found.is_some_and(|f| f.as_str().map_or_else(|| alloc::format!("{f}") == *wanted, |s| s == wanted))
                };
                value.as_array().into_iter().flatten().filter(fits).collect()
            }
        }
    }
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
        ] {
            assert_eq!(json!(parse(path).unwrap().all(&value)), expected, "{path}");
        }
        for bad in ["spec.n", "..n", ".a[", ".a[?(@.b>1)]", ".a[x]"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
