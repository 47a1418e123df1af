//! Labels and annotations of Evenkeel's own in a manifest: those that it writes itself are refused,
//! those that people write are checked, so that a slip in one is not a wish without effect.
//!
//! Called by `document`, after strict decoding.

use evenkeel_model::{Severity, names};
use evenkeel_schema::{Path, Step, nearest::nearest};
use serde_json::Value;

/// The prefix of all of them.
const PREFIX: &str = "evenkeel.dev/";
/// What people may write as annotations. Those of the second list are `true` or `false`.
const SETTINGS: [&str; 6] =
    [names::TAKE_FROM, names::PRUNE, names::ROLL_ON_CONFIG, names::LOCKED, names::HTTPS_REDIRECT, names::ACME];
const SWITCHES: [&str; 5] = [names::PRUNE, names::ROLL_ON_CONFIG, names::LOCKED, names::HTTPS_REDIRECT, names::ACME];

/// Annotations that come with objects taken from a cluster, and who writes them.
const OTHERS: [(&str, &str); 2] = [
    (names::DEPLOYMENT_REVISION, "the Deployment's controller writes it"),
    ("kubectl.kubernetes.io/last-applied-configuration", "`kubectl apply` writes it"),
];

/// Looks at an object's metadata. Takes out what its controller writes, with a warning.
pub(crate) fn check(value: &mut Value, complain: &mut dyn FnMut(&Path, String, Severity)) {
    let path = |field: &str, key: &str| {
        Path(vec![Step::Field("metadata".into()), Step::Field(field.into()), Step::Key(key.into())])
    };
    let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    for key in metadata.get("labels").and_then(Value::as_object).into_iter().flatten().map(|(k, _)| k) {
        if key.starts_with(PREFIX) {
            let message = format!("labels under `{PREFIX}` are written by Evenkeel alone: take `{key}` out");
            complain(&path("labels", key), message, Severity::Error);
        }
    }
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else { return };
    for (key, value) in annotations.iter().filter(|(k, _)| k.starts_with(PREFIX)) {
        let value = value.as_str().unwrap_or_default();
        if !SETTINGS.contains(&key.as_str()) {
            complain(&path("annotations", key), unknown(key), Severity::Error);
        } else if SWITCHES.contains(&key.as_str()) && !matches!(value, "true" | "false") {
            let message = format!("`{key}` is \"true\" or \"false\"");
            complain(&path("annotations", key), message, Severity::Error);
        }
    }
    for (key, why) in OTHERS {
        if annotations.remove(key).is_some() {
            complain(&path("annotations", key), format!("`{key}` has no effect: {why}"), Severity::Warning);
        }
    }
}

fn unknown(key: &str) -> String {
    match nearest(key, SETTINGS.into_iter()) {
        Some(near) => format!("unknown annotation `{key}`, did you mean `{near}`?"),
        None => format!("annotations under `{PREFIX}` are Evenkeel's own, and it has no `{key}` for manifests"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(mut value: Value) -> (Value, Vec<String>) {
        let mut out = Vec::new();
        check(&mut value, &mut |p, m, s| out.push(format!("{s:?} {p}: {m}")));
        (value, out)
    }

    #[test]
    fn own_names_are_checked() {
        let (value, found) = run(
            json!({"metadata": {"labels": {"evenkeel.dev/source": "x", "app": "y"}, "annotations": {
            "evenkeel.dev/prun": "false", "evenkeel.dev/prune": "no", "evenkeel.dev/locked": "true", "evenkeel.dev/https-redirect": "yes",
            "evenkeel.dev/revision": "x", "deployment.kubernetes.io/revision": "3", "a/b": "c"}}}),
        );
        assert_eq!(
            found,
            [
                "Error metadata.labels[evenkeel.dev/source]: labels under `evenkeel.dev/` are written by Evenkeel alone: take `evenkeel.dev/source` out",
                "Error metadata.annotations[evenkeel.dev/https-redirect]: `evenkeel.dev/https-redirect` is \"true\" or \"false\"",
                "Error metadata.annotations[evenkeel.dev/prun]: unknown annotation `evenkeel.dev/prun`, did you mean `evenkeel.dev/prune`?",
                "Error metadata.annotations[evenkeel.dev/prune]: `evenkeel.dev/prune` is \"true\" or \"false\"",
                "Error metadata.annotations[evenkeel.dev/revision]: annotations under `evenkeel.dev/` are Evenkeel's own, and it has no `evenkeel.dev/revision` for manifests",
                "Warning metadata.annotations[deployment.kubernetes.io/revision]: `deployment.kubernetes.io/revision` has no effect: the Deployment's controller writes it",
            ]
        );
        assert!(value.pointer("/metadata/annotations/deployment.kubernetes.io~1revision").is_none());
        assert_eq!(run(json!({"metadata": {"name": "a"}})).1, Vec::<String>::new());
    }
}
