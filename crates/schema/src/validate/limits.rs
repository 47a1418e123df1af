//! LimitRanges.

use alloc::{collections::BTreeSet, format, string::String, vec::Vec};

use evenkeel_model::Quantity;
use serde_json::{Map, Value};

use super::{complaints::Complaints, list, names, text};
use crate::path::Trail;

/// What limits are of; other types are of other servers' making.
const TYPES: [&str; 3] = ["Container", "PersistentVolumeClaim", "Pod"];
/// Fields with amounts, each with the one that it must not be above.
const ORDER: [(&str, &str, &str); 5] = [
    ("min", "max", "min value"),
    ("min", "defaultRequest", "min value"),
    ("defaultRequest", "max", "default request value"),
    ("defaultRequest", "default", "default request value"),
    ("default", "max", "default value"),
];

/// A LimitRange's `spec`.
pub(super) fn spec(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let at = at.field("limits");
    let mut seen = BTreeSet::new();
    for (i, item) in list(value, "limits").iter().enumerate() {
        let at = at.index(i);
        let Some(kind) = text(item, "type") else { continue };
        if !TYPES.contains(&kind) && !kind.contains('/') {
            let why = "must be a standard limit type or fully qualified";
            out.invalid_str(&at.field("type"), kind, why);
        }
        if !seen.insert(kind) {
            out.duplicate(&at.field("type"), &item["type"]);
        }
        limit(item, kind, &at, out);
    }
}

fn amounts<'v>(item: &'v Value, field: &str) -> impl Iterator<Item = (&'v str, &'v Value, Quantity)> {
    let map: Option<&'v Map<String, Value>> = item.get(field).and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(name, v)| Some((name.as_str(), v, quantity(v)?)))
}

fn quantity(value: &Value) -> Option<Quantity> {
    value.as_str()?.parse().ok()
}

fn limit(item: &Value, kind: &str, at: &Trail<'_>, out: &mut Complaints) {
    for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let at = at.field(field);
        for (name, value, amount) in amounts(item, field) {
            let at = at.key(name);
            if let Some(why) = names::qualified_name(name) {
                out.invalid_str(&at, name, why);
            }
            if amount < Quantity::default() {
                out.invalid(&at, value, "must be greater than or equal to 0");
            }
        }
    }
    if kind == "Pod" {
        for field in ["default", "defaultRequest"] {
            if amounts(item, field).next().is_some() {
                out.forbidden(&at.field(field), "may not be specified when `type` is 'Pod'");
            }
        }
    }
    if kind == "PersistentVolumeClaim" {
        let storage: Vec<bool> =
            ["min", "max"].iter().map(|f| amounts(item, f).any(|(n, ..)| n == "storage")).collect();
        if !storage.contains(&true) {
            out.required(
                &at.field("limits"),
                "either minimum or maximum storage value is required, but neither was provided",
            );
        }
    }
    for (low, high, what) in ORDER {
        let limits = &item[high];
        let at = at.field(low);
        for (name, value, amount) in amounts(item, low) {
            let limit = &limits[name];
            if quantity(limit).is_some_and(|l| amount > l) {
                let than = if high == "default" { "default limit" } else { high };
                let than = if high == "defaultRequest" { "default request" } else { than };
                let why = format!(
                    "{what} {} is greater than {than} value {}",
                    value.as_str().unwrap_or_default(),
                    limit.as_str().unwrap_or_default()
                );
                out.invalid(&at.key(name), value, &why);
            }
        }
    }
    let at = at.field("maxLimitRequestRatio");
    for (name, value, ratio) in amounts(item, "maxLimitRequestRatio") {
        let at = at.key(name);
        if ratio < Quantity::from_units(1) {
            out.invalid(&at, value, &format!("ratio {} is less than 1", value.as_str().unwrap_or_default()));
        }
        let (min, max) = (quantity(&item["min"][name]), quantity(&item["max"][name]));
        if let (Some(min), Some(max)) = (min, max)
            && min.0 > 0
            && i128::from(ratio.milli()) > max.0.saturating_mul(1000) / min.0
        {
            let why = format!(
                "ratio {} is greater than max/min = {:.6}",
                value.as_str().unwrap_or_default(),
                float(max) / float(min)
            );
            out.invalid(&at, value, &why);
        }
    }
}

#[allow(clippy::cast_precision_loss)] // it is shown
fn float(q: Quantity) -> f64 {
    q.0 as f64
}

#[cfg(test)]
mod tests {
    use evenkeel_model::Kind;
    use serde_json::json;

    use super::*;

    fn problems(item: &Value) -> Vec<String> {
        let value = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"limits": [item]}});
        super::super::object(Kind::LimitRange, &value).iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
    }

    #[test]
    fn limits_must_leave_room() {
        let good = json!({"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "2"}, "default": {"cpu": "1"},
            "defaultRequest": {"cpu": "0.5"}, "maxLimitRequestRatio": {"cpu": "10"}});
        assert_eq!(problems(&good), Vec::<String>::new());
        let at = "spec.limits[0]";
        for (item, expected) in [
            (
                json!({"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}),
                r#".min[cpu]: Invalid value: "2": min value 2 is greater than max value 1"#,
            ),
            (
                json!({"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}}),
                r#".defaultRequest[cpu]: Invalid value: "2": default request value 2 is greater than default limit value 1"#,
            ),
            (
                json!({"type": "Container", "min": {"cpu": "-1"}}),
                r#".min[cpu]: Invalid value: "-1": must be greater than or equal to 0"#,
            ),
            (
                json!({"type": "Pod", "default": {"cpu": "1"}}),
                ".default: Forbidden: may not be specified when `type` is 'Pod'",
            ),
            (
                json!({"type": "Pod", "maxLimitRequestRatio": {"cpu": "0.5"}}),
                r#".maxLimitRequestRatio[cpu]: Invalid value: "0.5": ratio 0.5 is less than 1"#,
            ),
            (
                json!({"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3"}}),
                r#".maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000"#,
            ),
            (
                json!({"type": "Nothing"}),
                r#".type: Invalid value: "Nothing": must be a standard limit type or fully qualified"#,
            ),
        ] {
            assert_eq!(problems(&item), [format!("{at}{expected}")], "{item}");
        }
    }
}
