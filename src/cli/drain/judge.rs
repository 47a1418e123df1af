//! Which pods of a node go in a drain: the rules of `kubectl drain`, in its order.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value;

use super::{
    super::{
        error::hinted,
        objects::{full_name, text},
    },
    Args,
};

/// Annotation of a pod that stands for one of a node's own.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What becomes of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes; with what is worth a warning.
    Goes(Option<Warning>),
    /// It stays, and that is fine.
    Stays(Option<Warning>),
    /// It would have to go, and may not without a flag.
    Refused(Refusal),
}

/// What is said of pods that go or stay all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Warning {
    DaemonSet,
    LocalData,
    NoController,
}

impl Warning {
    fn text(self) -> &'static str {
        match self {
            Self::DaemonSet => "ignoring DaemonSet-managed Pods",
            Self::LocalData => "deleting Pods with local storage",
            Self::NoController => "deleting Pods that declare no controller",
        }
    }
}

/// Why a drain does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    DaemonSet,
    LocalData,
    NoController,
}

impl Refusal {
    fn text(self) -> &'static str {
        match self {
            Self::DaemonSet => "cannot delete DaemonSet-managed Pods",
            Self::LocalData => "cannot delete Pods with local storage",
            Self::NoController => "cannot delete Pods that declare no controller",
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::DaemonSet => "--ignore-daemonsets leaves them where they are",
            Self::LocalData => "--delete-emptydir-data evicts them, and what is in their emptyDirs is lost",
            Self::NoController => "--force evicts them, and nothing makes them again",
        }
    }
}

/// The verdict on each pod.
pub(super) fn all(pods: &[Value], args: &Args) -> Vec<Verdict> {
    pods.iter().map(|p| one(p, args)).collect()
}

fn one(pod: &Value, args: &Args) -> Verdict {
    let finished = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    let owners = pod.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let controller = owners.into_iter().flatten().find(|o| o.get("controller") == Some(&Value::Bool(true)));
    if controller.is_some_and(|c| text(c, "/kind") == "DaemonSet") && !finished {
        return if args.ignore_daemonsets {
            Verdict::Stays(Some(Warning::DaemonSet))
        } else {
            Verdict::Refused(Refusal::DaemonSet)
        };
    }
    if pod.pointer("/metadata/annotations").is_some_and(|a| a.get(MIRROR).is_some()) {
        return Verdict::Stays(None);
    }
    if finished {
        return Verdict::Goes(None);
    }
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    let local = volumes.into_iter().flatten().any(|v| v.get("emptyDir").is_some());
    if local && !args.delete_emptydir_data {
        return Verdict::Refused(Refusal::LocalData);
    }
    match controller {
        Some(_) => Verdict::Goes(local.then_some(Warning::LocalData)),
        None if args.force => Verdict::Goes(Some(Warning::NoController)),
        None => Verdict::Refused(Refusal::NoController),
    }
}

/// Says what is worth a warning; an error that names every pod which keeps the drain from beginning.
pub(super) fn report(node: &str, pods: &[Value], verdicts: &[Verdict]) -> Result<()> {
    let mut warnings: BTreeMap<Warning, Vec<String>> = BTreeMap::new();
    let mut refused: BTreeMap<Refusal, Vec<String>> = BTreeMap::new();
    for (pod, verdict) in pods.iter().zip(verdicts) {
        match verdict {
            Verdict::Goes(Some(w)) | Verdict::Stays(Some(w)) => warnings.entry(*w).or_default().push(full_name(pod)),
            Verdict::Refused(r) => refused.entry(*r).or_default().push(full_name(pod)),
            Verdict::Goes(None) | Verdict::Stays(None) => {}
        }
    }
    if refused.is_empty() {
        for (warning, names) in warnings {
            eprintln!("warning: {}: {}", warning.text(), names.join(", "));
        }
        return Ok(());
    }
    let lines: Vec<String> = refused.iter().map(|(r, names)| format!("  {}: {}", r.text(), names.join(", "))).collect();
    let hints: Vec<&str> = refused.keys().map(|r| r.hint()).collect();
    Err(hinted(format!("node {node} cannot be drained:\n{}", lines.join("\n")), hints.join("; ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn args(ignore_daemonsets: bool, delete_emptydir_data: bool, force: bool) -> Args {
        Args {
            name: "n1".into(),
            timeout: None,
            ignore_daemonsets,
            delete_emptydir_data,
            force,
            grace_period: None,
            pod_selector: None,
            dry_run: false,
        }
    }

    #[allow(clippy::needless_pass_by_value)] // callers build it in place
    fn pod(owner: &str, volume: Value, phase: &str) -> Value {
        let owners = if owner.is_empty() { json!([]) } else { json!([{"kind": owner, "controller": true}]) };
        json!({"metadata": {"name": "p", "namespace": "d", "ownerReferences": owners},
            "spec": {"volumes": [volume]}, "status": {"phase": phase}})
    }

    #[test]
    fn pods_go_by_the_rules_of_kubectl() {
        let (plain, empty) = (json!({"configMap": {}}), json!({"emptyDir": {}}));
        let none = args(false, false, false);
        for (pod, args, expected) in [
            (pod("ReplicaSet", plain.clone(), "Running"), &none, Verdict::Goes(None)),
            (pod("ReplicaSet", json!({"hostPath": {"path": "/x"}}), "Running"), &none, Verdict::Goes(None)),
            (pod("ReplicaSet", empty.clone(), "Running"), &none, Verdict::Refused(Refusal::LocalData)),
            (pod("ReplicaSet", empty.clone(), "Succeeded"), &none, Verdict::Goes(None)),
            (
                pod("ReplicaSet", empty.clone(), "Running"),
                &args(false, true, false),
                Verdict::Goes(Some(Warning::LocalData)),
            ),
            (pod("", plain.clone(), "Running"), &none, Verdict::Refused(Refusal::NoController)),
            (pod("", plain.clone(), "Failed"), &none, Verdict::Goes(None)),
            (pod("", plain.clone(), "Running"), &args(false, false, true), Verdict::Goes(Some(Warning::NoController))),
            // Force alone does not lose data.
            (pod("", empty, "Running"), &args(false, false, true), Verdict::Refused(Refusal::LocalData)),
            (pod("DaemonSet", plain.clone(), "Running"), &none, Verdict::Refused(Refusal::DaemonSet)),
            (
                pod("DaemonSet", plain.clone(), "Running"),
                &args(true, false, false),
                Verdict::Stays(Some(Warning::DaemonSet)),
            ),
            (pod("DaemonSet", plain.clone(), "Failed"), &none, Verdict::Goes(None)),
        ] {
            assert_eq!(one(&pod, args), expected, "{pod}");
        }
        let mut mirror = pod("", plain, "Running");
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        assert_eq!(one(&mirror, &none), Verdict::Stays(None));
    }

    #[test]
    fn a_refusal_names_all_pods_and_what_to_do() {
        let pods = [pod("", json!({}), "Running"), pod("ReplicaSet", json!({"emptyDir": {}}), "Running")];
        let verdicts = all(&pods, &args(false, false, false));
        let error = report("n1", &pods, &verdicts).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("with local storage: d/p") && text.contains("declare no controller: d/p"), "{text}");
    }
}
