//! Rules of a schema in CEL (`x-kubernetes-validations`): read when a definition is checked, and held to when
//! an object is.
//!
//! A rule that cannot be compiled refuses its definition, with its place. Rules run after everything else of an
//! object is right, each with what stood there before where the place in the older object can be told: fields
//! and keys by their names, items of lists by the keys of `x-kubernetes-list-type: map` and else not at all. A
//! value that did not change is not judged again by a rule that looks at nothing but it, as in Kubernetes.
//! Deliberately not here: the language (`crate::cel`).

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use serde_json::{Map, Value};

use super::node::{List, Node, Sort};
use crate::{
    cel::{Ended, Gives, Old, Program, Seen},
    path::{Path, Step, Trail},
    validate::{Complaints, Reason},
};

/// Steps of all rules of one object. A step is some tens of nanoseconds, and the server decides nothing else
/// meanwhile.
const BUDGET: u64 = 1_000_000;
/// Longest text that a message expression may give, as in Kubernetes.
const MAX_MESSAGE: usize = 5 * 1024;
/// Sorts of problems after which rules are not looked at, as in Kubernetes.
const BLOCKING: [Reason; 4] = [Reason::Required, Reason::TooLong, Reason::TooMany, Reason::TypeInvalid];
/// Those that a rule may give.
const REASONS: [Reason; 4] = [Reason::Duplicate, Reason::Forbidden, Reason::Invalid, Reason::Required];

/// A rule.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    program: Arc<Program>,
    old: Old,
    message: String,
    expression: Option<Arc<Program>>,
    reason: Reason,
    /// Where a problem is told, from the rule's place on.
    field: Vec<Step>,
}

/// What stood at a place before.
#[derive(Debug, Clone, Copy)]
pub enum Before<'v> {
    /// Not known: rules that ask for it are left alone.
    Unknown,
    /// Nothing: the object is being made.
    Nothing,
    /// This.
    Was(&'v Value),
}

/// Reads the rules of a node. `uncorrelated` is the place of the list above it whose items nobody can tell.
pub(super) fn read(
    map: &Map<String, Value>,
    node: &Node,
    root: bool,
    uncorrelated: Option<&str>,
    at: &Trail<'_>,
    out: &mut Complaints,
) -> Vec<Rule> {
    let all = map.get("x-kubernetes-validations").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let below = at.field("x-kubernetes-validations");
    let mut rules = Vec::new();
    for (i, written) in all.iter().enumerate() {
        rules.extend(rule(written, node, root, uncorrelated, &below.index(i), out));
    }
    rules
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn rule(
    written: &Value,
    node: &Node,
    root: bool,
    uncorrelated: Option<&str>,
    at: &Trail<'_>,
    out: &mut Complaints,
) -> Option<Rule> {
    let source = text(written, "rule");
    if source.trim().is_empty() {
        out.required(&at.field("rule"), "rule is not specified");
        return None;
    }
    let optional = written.get("optionalOldSelf").and_then(Value::as_bool);
    let old = if optional == Some(true) { Old::Optional } else { Old::Plain };
    let program = compiled(source, "rule", (node, root, old, Gives::Bool), at, out)?;
    if program.uses_old {
        if let Some(place) = uncorrelated.filter(|_| old == Old::Plain) {
            let why = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {place}");
            out.invalid_str(&at.field("rule"), source, &why);
        }
    } else if optional.is_some() {
        let why = "may not be set if oldSelf is not used in rule";
        out.invalid(&at.field("optionalOldSelf"), &written["optionalOldSelf"], why);
    }
    let message = text(written, "message").trim();
    message_is_right(written, source, message, at, out);
    let expression = match text(written, "messageExpression") {
        "" => None,
        source => compiled(source, "messageExpression", (node, root, old, Gives::Text), at, out),
    };
    let reason = text(written, "reason");
    let known = REASONS.iter().find(|r| r.name() == reason);
    if known.is_none() && !reason.is_empty() {
        out.unsupported(&at.field("reason"), &written["reason"], &REASONS.map(Reason::name));
    }
    let field = match text(written, "fieldPath") {
        "" => Vec::new(),
        path => field_path(path, node, &at.field("fieldPath"), out),
    };
    Some(Rule {
        program,
        old,
        message: if message.is_empty() { failed(source) } else { message.into() },
        expression,
        reason: known.copied().unwrap_or(Reason::Invalid),
        field,
    })
}

/// What is said where a rule has no message.
fn failed(source: &str) -> String {
    format!("failed rule: {}", source.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn message_is_right(written: &Value, source: &str, message: &str, at: &Trail<'_>, out: &mut Complaints) {
    let given = text(written, "message");
    let at = at.field("message");
    if !given.is_empty() && message.is_empty() {
        out.invalid(&at, &written["message"], "message must be non-empty if specified");
    } else if message.contains('\n') {
        out.invalid(&at, &written["message"], "message must not contain line breaks");
    } else if message.is_empty() && source.trim().contains('\n') {
        out.required(&at, "message must be specified if rule contains line breaks");
    }
}

fn compiled(
    source: &str,
    field: &str,
    (node, root, old, gives): (&Node, bool, Old, Gives),
    at: &Trail<'_>,
    out: &mut Complaints,
) -> Option<Arc<Program>> {
    match Program::compile(source, node, root, old, gives) {
        Ok(program) => Some(Arc::new(program)),
        Err(why) => {
            out.invalid_str(&at.field(field), source, &why.0);
            None
        }
    }
}

/// A path to a field that the schema knows: `.spec.replicas`, `['a-b']`.
fn field_path(path: &str, node: &Node, at: &Trail<'_>, out: &mut Complaints) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut place = Some(node);
    let mut rest = path;
    let mut why = "must be a path to a field, such as .spec.replicas";
    while !rest.is_empty() {
        let found = if let Some(after) = rest.strip_prefix("['") {
            after.split_once("']")
        } else if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            Some(after.split_at(end))
        } else {
            None
        };
        let Some((name, after)) = found.filter(|(name, _)| !name.is_empty()) else { break };
        let step = place.and_then(|node| match (node.properties.get(name), &node.additional) {
            (Some(child), _) => Some((Step::Field(name.to_string()), child)),
            (None, Some(child)) => Some((Step::Key(name.to_string()), &**child)),
            (None, None) => None,
        });
        let Some((step, child)) = step else {
            why = "fieldPath must be a valid path: it does not refer to a valid field";
            break;
        };
        steps.push(step);
        place = Some(child);
        rest = after;
    }
    if !rest.is_empty() {
        out.invalid_str(at, path, why);
    }
    steps
}

/// Holds an object to all rules of its schema.
pub(crate) fn hold(root: &Node, value: &Value, before: Before<'_>, out: &mut Complaints) {
    if !root.ruled {
        return;
    }
    if out.problems.iter().any(|p| BLOCKING.contains(&p.reason)) {
        let why = "some validation rules were not checked because the object was invalid; correct the existing errors \
                   to complete validation";
        out.invalid(&Trail::Root, &Value::Null, why);
        return;
    }
    let mut walk = Walk { budget: BUDGET, out };
    // What is left of the budget says the rest.
    let _ended = walk.value(root, true, value, before, &Trail::Root);
}

struct Walk<'o> {
    budget: u64,
    out: &'o mut Complaints,
}

/// The budget is used up.
struct Spent;

impl Walk<'_> {
    fn value(
        &mut self,
        node: &Node,
        root: bool,
        value: &Value,
        before: Before<'_>,
        at: &Trail<'_>,
    ) -> Result<(), Spent> {
        // Nothing below has a rule, or the schema has found it wrong already.
        if !node.ruled || value.is_null() {
            return Ok(());
        }
        for rule in &node.rules {
            self.rule(rule, (node, root), value, before, at)?;
        }
        match value {
            Value::Object(map) => {
                let old = |name: &str| match before {
                    Before::Was(was) => was.get(name).filter(|v| !v.is_null()).map_or(Before::Nothing, Before::Was),
                    other => other,
                };
                for (name, v) in map {
                    if let Some(child) = node.properties.get(name) {
                        self.value(child, false, v, old(name), &at.field(name))?;
                    } else if let Some(child) = &node.additional {
                        self.value(child, false, v, old(name), &at.key(name))?;
                    }
                }
            }
            Value::Array(list) => {
                let Some(item) = &node.items else { return Ok(()) };
                for (i, v) in list.iter().enumerate() {
                    self.value(item, false, v, item_before(node, v, before), &at.index(i))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rule(
        &mut self,
        rule: &Rule,
        (node, root): (&Node, bool),
        value: &Value,
        before: Before<'_>,
        at: &Trail<'_>,
    ) -> Result<(), Spent> {
        let was = match (before, rule.program.uses_old) {
            // A transition needs both ends.
            (Before::Unknown, true) => return Ok(()),
            (Before::Nothing, true) if rule.old == Old::Plain => return Ok(()),
            (Before::Was(was), false) if was == value => return Ok(()),
            (Before::Was(was), _) => Some(was),
            _ => None,
        };
        let now = Seen { value, node, root };
        let was = was.map(|value| Seen { value, node, root });
        match rule.program.holds(now, was, rule.old, &mut self.budget) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let message = self.message(rule, now, was);
                self.tell(rule, node, at, &message);
                Ok(())
            }
            Err(Ended::Budget) => {
                let why =
                    "validation failed due to running out of cost budget, no further validation rules will be run";
                self.out.invalid(&Trail::Root, &Value::Null, why);
                Err(Spent)
            }
            Err(Ended::Fault(why)) => {
                let said = if why.starts_with("no such overload") {
                    format!(
                        "'{why}': call arguments did not match a supported operator, function or macro signature for \
                         rule: {}",
                        rule.message
                    )
                } else {
                    format!("{why} evaluating rule: {}", rule.message)
                };
                self.out.invalid_str(at, sort_name(node), &said);
                Ok(())
            }
        }
    }

    /// What a rule says that does not hold.
    fn message(&mut self, rule: &Rule, now: Seen<'_>, was: Option<Seen<'_>>) -> String {
        let Some(expression) = &rule.expression else { return rule.message.clone() };
        // One that gives nothing to read counts as none, as in Kubernetes.
        match expression.text(now, was, rule.old, &mut self.budget) {
            Ok(text) if !text.trim().is_empty() && !text.contains('\n') && text.len() <= MAX_MESSAGE => {
                text.trim().to_string()
            }
            _ => rule.message.clone(),
        }
    }

    fn tell(&mut self, rule: &Rule, node: &Node, at: &Trail<'_>, message: &str) {
        let mut path: Path = at.path();
        path.0.extend(rule.field.iter().cloned());
        self.out.by_rule(path, rule.reason, sort_name(node), message);
    }
}

fn sort_name(node: &Node) -> &'static str {
    if node.sort == Sort::IntOrString { "" } else { node.sort.name() }
}

/// The item of the older list that an item was.
fn item_before<'v>(node: &Node, item: &Value, before: Before<'v>) -> Before<'v> {
    let Before::Was(was) = before else { return before };
    let List::Map(keys) = &node.list else { return Before::Nothing };
    let same = |other: &&Value| keys.iter().all(|k| other.get(k) == item.get(k));
    let list = was.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().find(same).map_or(Before::Nothing, Before::Was)
}

#[cfg(test)]
mod tests;
