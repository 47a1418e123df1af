//! Ephemeral containers: what `kubectl debug` adds to a pod that is there. None comes with a pod, and none goes.

use alloc::{collections::BTreeSet, format};

use serde_json::{Value, json};

use super::{
    complaints::Complaints,
    container::{self, Role},
    list, text, volume,
};
use crate::{custom::Before, path::Trail};

const FIELD: &str = "ephemeralContainers";
/// What such a container does not have: it is not restarted, and nobody leads to it or waits for it.
const NOT_THEIRS: [&str; 8] = [
    "ports",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resources",
    "restartPolicy",
    "resizePolicy",
];
const CANNOT: &str = "cannot be set for an Ephemeral Container";

/// Those of a pod's `spec`.
pub(super) fn check(spec: &Value, before: Before<'_>, at: &Trail<'_>, out: &mut Complaints) {
    let (all, at_all) = (list(spec, FIELD), at.field(FIELD));
    let Before::Was(was) = before else {
        if !all.is_empty() {
            out.forbidden(&at_all, "cannot be set on create");
        }
        return;
    };
    let old = list(&was["spec"], FIELD);
    for one in old {
        match all.iter().find(|c| c["name"] == one["name"]) {
            Some(same) if same == one => {}
            found => {
                let what = if found.is_some() { "changed" } else { "removed" };
                let name = text(one, "name").unwrap_or_default();
                out.forbidden(&at_all, &format!("existing ephemeral containers {name:?} may not be {what}"));
            }
        }
    }
    let others = ["containers", "initContainers"].into_iter().flat_map(|l| list(spec, l));
    let targets: BTreeSet<&str> = others.filter_map(|c| text(c, "name")).collect();
    let mut seen = targets.clone();
    // What is wrong with the pod's volumes is told where they are checked.
    let volumes = volume::all(spec, at, &mut Complaints::default());
    let cx = container::Context { volumes: &volumes, grace: 30 };
    for (i, one) in all.iter().enumerate() {
        let at = at_all.index(i);
        if let Some(name) = text(one, "name")
            && !seen.insert(name)
        {
            out.duplicate(&at.field("name"), &json!(name));
        }
        if !old.contains(one) {
            added(one, &targets, &cx, &at, out);
        }
    }
}

fn added(one: &Value, targets: &BTreeSet<&str>, cx: &container::Context<'_>, at: &Trail<'_>, out: &mut Complaints) {
    for field in NOT_THEIRS {
        let empty = match &one[field] {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::String(text) => text.is_empty(),
            _ => false,
        };
        if !empty {
            out.forbidden(&at.field(field), CANNOT);
        }
    }
    for (i, mount) in list(one, "volumeMounts").iter().enumerate() {
        for field in ["subPath", "subPathExpr"] {
            if text(mount, field).is_some() {
                out.forbidden(&at.field("volumeMounts").index(i).field(field), CANNOT);
            }
        }
    }
    if text(one, "image").is_none() {
        out.required(&at.field("image"), "");
    }
    if let Some(target) = text(one, "targetContainerName").filter(|t| !targets.contains(t)) {
        out.not_found(&at.field("targetContainerName"), target);
    }
    container::check(one, Role::Main, cx, at, out);
}

#[cfg(test)]
mod tests {
    use std::{format, string::String, vec::Vec};

    use evenkeel_model::Kind;

    use super::*;

    fn pod(ephemeral: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "b"},
            "spec": {"containers": [{"name": "web", "image": "a:1"}], "ephemeralContainers": ephemeral}})
    }

    fn problems(new: &Value, before: Before<'_>) -> Vec<String> {
        let found = super::super::object_over(Kind::Pod, &pod(new), before);
        found.into_iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
    }

    #[test]
    fn they_are_added_to_what_is_there_and_stay() {
        let one = || json!({"name": "debugger", "image": "busybox", "targetContainerName": "web", "stdin": true});
        let none = pod(&json!([]));
        assert_eq!(problems(&json!([one()]), Before::Was(&none)), Vec::<String>::new());
        assert_eq!(
            problems(&json!([one()]), Before::Nothing),
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"]
        );
        let was = pod(&json!([one()]));
        assert_eq!(problems(&json!([one()]), Before::Was(&was)), Vec::<String>::new());
        assert_eq!(
            problems(&json!([]), Before::Was(&was)),
            [r#"spec.ephemeralContainers: Forbidden: existing ephemeral containers "debugger" may not be removed"#]
        );
        let mut other = one();
        other["image"] = "other".into();
        let found = problems(&json!([other]), Before::Was(&was));
        assert!(found[0].ends_with(r#"existing ephemeral containers "debugger" may not be changed"#), "{found:?}");
        let at = "spec.ephemeralContainers[0]";
        for (wrong, expected) in [
            (json!({"name": "web", "image": "a"}), r#".name: Duplicate value: "web""#),
            (json!({"name": "d"}), ".image: Required value"),
            (
                json!({"name": "d", "image": "a", "ports": [{"containerPort": 1}]}),
                ".ports: Forbidden: cannot be set for an Ephemeral Container",
            ),
            (json!({"name": "d", "image": "a", "targetContainerName": "x"}), r#".targetContainerName: Not found: "x""#),
            (
                json!({"name": "d", "image": "a", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
                r#".volumeMounts[0].name: Not found: "v""#,
            ),
        ] {
            assert_eq!(problems(&json!([wrong]), Before::Was(&none)), [format!("{at}{expected}")]);
        }
    }
}
