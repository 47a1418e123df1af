//! Evenkeel's own kind AddressPool.

use alloc::{format, vec::Vec};

use evenkeel_model::pool::AddressRange;
use serde_json::Value;

use super::{complaints::Complaints, list, meta};
use crate::path::Trail;

/// Most ranges of a pool.
const MOST_RANGES: usize = 100;

/// `AddressPool.spec`.
pub(super) fn spec(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if !value.is_object() {
        return;
    }
    let (all, at_all) = (list(value, "addresses"), at.field("addresses"));
    // One that is absent is told by the tables.
    if all.is_empty() && value.get("addresses").is_some() {
        out.required(&at_all, "must have at least one range, as 192.168.1.240-192.168.1.250 or 192.168.1.0/28");
    }
    if all.len() > MOST_RANGES {
        out.too_long(&at_all, MOST_RANGES);
    }
    let mut seen: Vec<AddressRange> = Vec::new();
    for (i, text) in all.iter().take(MOST_RANGES).enumerate() {
        let at = at_all.index(i);
        match text.as_str().unwrap_or_default().parse::<AddressRange>() {
            Err(why) => {
                let why = format!("must be a range as 192.168.1.240-192.168.1.250 or 192.168.1.0/28: {why}");
                out.invalid(&at, text, &why);
            }
            Ok(range) => {
                let same = seen.iter().find(|s| s.first <= range.last && range.first <= s.last);
                if let Some(same) = same {
                    out.invalid(&at, text, &format!("shares addresses with {same}"));
                }
                seen.push(range);
            }
        }
    }
    meta::labels(&value["nodeSelector"], &at.field("nodeSelector"), out);
}

#[cfg(test)]
mod tests {
    use std::{format, string::String, vec::Vec};

    use evenkeel_model::Kind;
    use serde_json::{Value, json};

    fn problems(spec: &Value) -> Vec<String> {
        let pool = json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": "lan"},
            "spec": spec});
        let all = super::super::object(Kind::AddressPool, &pool);
        all.into_iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
    }

    #[test]
    fn a_pool_has_ranges_of_its_own() {
        let good = json!({"addresses": ["192.0.2.1-192.0.2.9", "192.0.2.16/28"], "nodeSelector": {"lan": "a"}});
        assert_eq!(problems(&good), Vec::<String>::new());
        for (spec, expected) in [
            (json!({}), "spec.addresses: Required value"),
            (json!({"addresses": []}), "spec.addresses: Required value: must have at least one range"),
            (json!({"addresses": ["192.0.2.9-192.0.2.1"]}), "spec.addresses[0]: Invalid value"),
            (
                json!({"addresses": ["192.0.2.1-192.0.2.9", "192.0.2.9"]}),
                "spec.addresses[1]: Invalid value: \"192.0.2.9\": shares addresses with 192.0.2.1-192.0.2.9",
            ),
            (json!({"addresses": ["192.0.2.1"], "nodeSelector": {"a b": "c"}}), "spec.nodeSelector: Invalid value"),
        ] {
            let found = problems(&spec);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{spec}: {found:?}");
        }
    }
}
