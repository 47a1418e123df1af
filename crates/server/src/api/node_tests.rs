//! Patches of Nodes, as kubectl sends them.

use std::sync::Arc;

use evenkeel_core::{Answer, Ask, Refusal, ask::NodeWish};
use evenkeel_model::{Key, Kind, Version};
use serde_json::{Value, json};

use super::{
    AskError,
    tests::{Fake, call},
};

fn node() -> Value {
    json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "n1", "uid": "00000000-0000-4000-8000-000000000001", "labels": {"a": "1", "b": "2"},
            "creationTimestamp": "2026-01-01T12:00:00Z"},
        "spec": {"taints": [{"key": "old", "effect": "NoSchedule"}]},
        "status": {"nodeInfo": {"kubeletVersion": "x"}, "conditions": [{"type": "Ready", "status": "True"}]}})
}

async fn send(fake: &Arc<Fake>, method: &str, media: &str, body: &str) -> (u16, String) {
    let media = format!("application/{media}");
    let (status, text) = call(fake, method, "/api/v1/nodes/n1", &[("content-type", &media)], body).await;
    (status.as_u16(), text)
}

fn ready() -> Arc<Fake> {
    let fake = Fake::new();
    fake.put(node());
    *fake.answer.lock().unwrap() = Ok(Answer::Object(Key::cluster(Kind::Node, "n1")));
    fake
}

/// The one change that was asked for.
fn asked(fake: &Fake) -> (NodeWish, Option<Version>, bool) {
    let mut all: Vec<Ask> = fake.asked.lock().unwrap().drain(..).map(|(a, _)| a).collect();
    let Some(Ask::UpdateNode { name, wish, if_version, dry_run, .. }) = all.pop() else { panic!("{all:?}") };
    assert_eq!((&*name, all.len()), ("n1", 0));
    (wish, if_version, dry_run)
}

#[tokio::test]
async fn each_sort_of_patch_is_put_on_the_node_as_it_is() {
    let fake = ready();
    for (media, body) in [
        (
            "merge-patch+json",
            r#"{"metadata":{"labels":{"a":null,"c":"3"}},"spec":{"unschedulable":true,"taints":[{"key":"k","effect":"NoExecute"}]}}"#,
        ),
        (
            "strategic-merge-patch+json",
            r#"{"metadata":{"labels":{"a":null,"c":"3"}},"spec":{"unschedulable":true,"taints":[{"key":"k","effect":"NoExecute"}]}}"#,
        ),
        (
            "json-patch+json",
            r#"[{"op":"remove","path":"/metadata/labels/a"},{"op":"add","path":"/metadata/labels/c","value":"3"},
            {"op":"add","path":"/spec/unschedulable","value":true},
            {"op":"replace","path":"/spec/taints","value":[{"key":"k","effect":"NoExecute"}]}]"#,
        ),
    ] {
        let (code, text) = send(&fake, "PATCH", media, body).await;
        assert_eq!(code, 200, "{media}: {text}");
        let (wish, if_version, dry_run) = asked(&fake);
        let labels: Vec<(&str, &str)> = wish.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(labels, [("b", "2"), ("c", "3")], "{media}");
        assert_eq!((wish.taints.len(), wish.taints[0].key.as_str(), wish.unschedulable), (1, "k", true), "{media}");
        // It holds for the Node that it was put on.
        assert!(if_version.is_some() && !dry_run);
    }
    // What kubectl sends to take the last taint away.
    send(&fake, "PATCH", "strategic-merge-patch+json", r#"{"spec":{"taints":null,"unschedulable":null}}"#).await;
    let (wish, ..) = asked(&fake);
    assert_eq!((wish.taints.len(), wish.unschedulable, wish.labels.len()), (0, false, 2));
}

#[tokio::test]
async fn a_patch_without_a_version_is_tried_again_and_one_with_is_not() {
    let fake = ready();
    *fake.answer.lock().unwrap() = Err(AskError::Refused(Refusal::conflict("modified")));
    let merge = "merge-patch+json";
    assert_eq!(send(&fake, "PATCH", merge, r#"{"spec":{"unschedulable":true}}"#).await.0, 409);
    assert_eq!(fake.asked.lock().unwrap().drain(..).count(), 5);
    let body = r#"{"metadata":{"resourceVersion":"7"},"spec":{"unschedulable":true}}"#;
    assert_eq!(send(&fake, "PATCH", merge, body).await.0, 409);
    assert_eq!(asked(&fake).1, Some(Version(7)));
}

#[tokio::test]
async fn a_whole_node_may_be_sent_and_tried() {
    let fake = ready();
    let mut next = node();
    next["metadata"]["labels"]["a"] = json!("9");
    let (code, text) = send(&fake, "PUT", "json", &next.to_string()).await;
    assert_eq!(code, 200, "{text}");
    assert_eq!(asked(&fake).0.labels.get("a").map(String::as_str), Some("9"));
    // Its status is its agent's, and has moved on since it was read: it counts for nothing.
    next["status"]["conditions"][0]["status"] = json!("False");
    let (code, text) = send(&fake, "PUT", "json", &next.to_string()).await;
    assert_eq!(code, 200, "{text}");
    asked(&fake);
    // Typed clients of today send protobuf: runtime.Unknown around {metadata: {name: "n1"}}.
    let whole = "k8s\0\n\n\n\x02v1\x12\x04Node\x12\x06\n\x04\n\x02n1";
    let (code, text) = send(&fake, "PUT", "vnd.kubernetes.protobuf", whole).await;
    assert_eq!(code, 200, "{text}");
    assert!(asked(&fake).0.labels.is_empty());
    let (status, _) = call(
        &fake,
        "PATCH",
        "/api/v1/nodes/n1?dryRun=All",
        &[("content-type", "application/merge-patch+json")],
        r#"{"spec":{"unschedulable":true}}"#,
    )
    .await;
    assert_eq!(status, 200);
    assert!(asked(&fake).2);
}

#[tokio::test]
async fn everything_else_is_refused_by_its_name() {
    let fake = ready();
    for (media, body, code, words) in [
        ("merge-patch+json", r#"{"spec":{"podCIDR":"10.0.0.0/24"}}"#, 422, "is invalid: spec.podCIDR: Forbidden"),
        ("merge-patch+json", r#"{"status":{"capacity":{"cpu":"9"}}}"#, 422, "is invalid: status: Forbidden"),
        ("merge-patch+json", r#"{"metadata":{"finalizers":["a/b"]}}"#, 422, "metadata.finalizers: Forbidden"),
        ("merge-patch+json", r#"{"spec":{"nonsense":1}}"#, 422, "spec.nonsense: Forbidden"),
        ("merge-patch+json", r#"{"spec":{"taints":[{"key":"a b","effect":"NoSchedule"}]}}"#, 422, "spec.taints[0].key"),
        ("merge-patch+json", r#"{"spec":{"taints":[{"kee":"a"}]}}"#, 400, "kee"),
        ("merge-patch+json", r#"{"metadata":{"labels":{"a":"b c"}}}"#, 422, "metadata.labels[a]"),
        (
            "strategic-merge-patch+json",
            r#"{"spec":{"taints":[{"$patch":"delete"}]}}"#,
            400,
            "`$patch` is not supported",
        ),
        (
            "json-patch+json",
            r#"[{"op":"remove","path":"/metadata/labels/none"}]"#,
            422,
            "rejected our request due to an error",
        ),
        ("json-patch+json", r#"{"op":"remove"}"#, 400, "no JSON patch"),
        ("json", "{}", 415, "application/json-patch+json"),
    ] {
        let (found, text) = send(&fake, "PATCH", media, body).await;
        assert_eq!((found, text.contains(words)), (code, true), "{body}: {text}");
    }
    assert!(fake.asked.lock().unwrap().is_empty());
}
