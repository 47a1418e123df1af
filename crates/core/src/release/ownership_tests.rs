//! Whose an object is: pruning and its guards, moving between sources, taking over and giving back,
//! removing a source, recovering one.

use alloc::{format, string::String, sync::Arc, vec::Vec};

use evenkeel_model::{Doc, Key, Kind, Place, Reference, Time, session::SourceCopy};
use serde_json::json;

use crate::{
    ask::Ask,
    release::{inbound, wanted_revisions},
    testing::{Fate, Lab, config, doc, rev, snapshot, web},
};

fn shop_with(docs: Vec<Arc<Doc>>) -> Lab {
    let mut lab = Lab::new();
    lab.source("shop", json!({}));
    lab.commit(1, docs);
    lab.pass(40);
    assert_eq!(lab.phases(), "1:Healthy");
    lab
}

fn configs(n: u32) -> Vec<Arc<Doc>> {
    (0..n).map(|i| config(&format!("c{i}"), "1")).collect()
}

fn there(lab: &Lab) -> usize {
    lab.world.list(Kind::ConfigMap, "shop").count()
}

#[test]
fn what_a_source_drops_is_deleted_and_nothing_else() {
    let mut lab = shop_with(configs(4));
    lab.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign", "namespace": "shop",
        "labels": {"evenkeel.dev/source": "shop"}}}));
    lab.commit(2, configs(2));
    assert_eq!(there(&lab), 3);
    assert_eq!(lab.release(2).changes.unwrap().deleted, 2);
    assert!(lab.get(Kind::ConfigMap, "foreign").is_some(), "a label alone does not make it the source's");
}

#[test]
fn a_mass_deletion_waits_for_a_word() {
    for (left, held) in [(0, true), (4, true), (5, false), (9, false)] {
        let mut lab = shop_with(configs(10));
        lab.commit(2, configs(left));
        assert_eq!(lab.phases().ends_with("2:Pending/MassDelete"), held, "{left}: {}", lab.phases());
        assert_eq!(there(&lab), if held { 10 } else { left as usize });
        lab.ask(Ask::Sync { name: "shop".into(), now: false, allow_mass_delete: true }).unwrap();
        assert_eq!(there(&lab), left as usize);
    }
    // All of a few counts as well; replacing all of them does not.
    let mut lab = shop_with(configs(2));
    lab.commit(2, Vec::new());
    assert!(lab.phases().ends_with("2:Pending/MassDelete"));
    lab.commit(3, alloc::vec![config("other", "1")]);
    assert!(lab.phases().ends_with("3:Healthy/Watching"), "{}", lab.phases());
}

#[test]
fn a_namespace_counts_with_its_contents_and_stays_with_others() {
    let namespace = |name: &str| doc(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    let inside = |i: u32| {
        doc(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c{i}"), "namespace": "own"}}))
    };
    let mut docs: Vec<Arc<Doc>> = (0..3).map(inside).collect();
    docs.push(namespace("own"));
    let mut lab = shop_with(docs.clone());
    assert!(lab.world.get(&Key::cluster(Kind::Namespace, "own")).is_some());
    lab.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign", "namespace": "own"}}));
    lab.commit(2, alloc::vec![config("c", "1")]);
    assert!(lab.phases().ends_with("2:Healthy/Watching"), "{}", lab.phases());
    let own = lab.world.get(&Key::cluster(Kind::Namespace, "own")).unwrap();
    assert!(!own.deleting());
    assert_eq!(lab.world.list(Kind::ConfigMap, "own").count(), 1);
    assert!(lab.events().contains(&"NotPruned".into()));
    let release = lab.release(2);
    assert_eq!(release.changes.unwrap().deleted, 3);
    assert!(release.diagnostics.iter().any(|d| d.contains("Namespace own") && d.contains("others")), "{release:?}");
}

#[test]
fn a_missing_namespace_is_told_once_and_at_its_place() {
    let mut lab = shop_with(configs(1));
    let at = Place { file: "a.yaml".into(), line: 4, column: 7 };
    let mut lost = Doc::clone(&doc(json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "lost", "namespace": "nowhere"}})));
    lost.references = alloc::vec![Reference {
        key: Key::cluster(Kind::Namespace, "nowhere"),
        item: None,
        optional: false,
        place: at,
        path: "metadata.namespace".into(),
        excerpt: "namespace: nowhere".into(),
    }];
    lab.commit(2, alloc::vec![config("c0", "1"), Arc::new(lost)]);
    let told = lab.release(2).diagnostics;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("a.yaml:4:7: metadata.namespace: namespace `nowhere` does not exist"), "{told:?}");
}

#[test]
fn a_source_says_what_failed_while_the_last_good_revision_runs() {
    let mut lab = shop_with(alloc::vec![web("a:1")]);
    lab.fates.insert("bad".into(), Fate::Crashes { code: 7, times: 3 });
    lab.commit(2, alloc::vec![web("bad")]);
    lab.pass(20);
    assert!(lab.phases().contains("2:RolledBack"), "{}", lab.phases());
    let synced = lab.status().conditions.into_iter().find(|c| c.kind == "Synced").unwrap();
    assert_eq!((synced.status.as_str(), synced.reason.as_str()), ("False", "RolledBack"));
    assert!(synced.message.contains("Deployment shop/web") && synced.message.contains("code 7"), "{synced:?}");
}

#[test]
fn what_is_annotated_is_not_pruned() {
    let kept = doc(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept", "namespace": "shop",
        "annotations": {"evenkeel.dev/prune": "false"}}}));
    let mut lab = shop_with(alloc::vec![kept, config("c", "1")]);
    lab.commit(2, alloc::vec![config("c", "1")]);
    lab.pass(40);
    assert!(lab.get(Kind::ConfigMap, "kept").is_some());
    assert!(lab.phases().ends_with("2:Healthy"), "{}", lab.phases());
    let release = lab.release(2);
    assert_eq!(release.changes.unwrap().deleted, 0, "what stays is not counted as deleted");
    assert!(release.diagnostics.iter().any(|d| d.contains("shop/kept") && d.contains("stays")), "{release:?}");
}

#[test]
fn a_directory_prunes_only_what_two_scans_miss() {
    let mut lab = shop_with(configs(3));
    lab.seen("shop", 2, Ok(snapshot(configs(2))), false);
    lab.pass(10);
    assert_eq!(there(&lab), 3);
    lab.seen("shop", 2, Ok(snapshot(configs(2))), true);
    assert_eq!(there(&lab), 2);
}

#[test]
fn an_object_has_one_source_unless_it_is_moved() {
    let mut lab = shop_with(configs(2));
    lab.source("other", json!({}));
    let named = |annotations: serde_json::Value| {
        doc(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c0", "namespace": "shop", "annotations": annotations}, "data": {"k": "2"}}))
    };
    lab.commit_to("other", 1, alloc::vec![named(json!({}))]);
    let head = crate::release::state::latest(&lab.world, "other", &rev(1)).unwrap().status;
    assert!(head.diagnostics[0].contains("`shop`") && head.diagnostics[0].contains("`other`"), "{head:?}");
    let uid = lab.get(Kind::ConfigMap, "c0").unwrap()["metadata"]["uid"].clone();
    lab.commit_to("other", 2, alloc::vec![named(json!({"evenkeel.dev/take-from": "shop"}))]);
    let moved = lab.get(Kind::ConfigMap, "c0").unwrap();
    assert_eq!(moved["metadata"]["uid"], uid);
    assert_eq!(moved["metadata"]["labels"]["evenkeel.dev/source"], "other");
    assert_eq!(moved["data"]["k"], "2");
    lab.restart();
    assert_eq!(lab.get(Kind::ConfigMap, "c0").unwrap()["metadata"]["labels"]["evenkeel.dev/source"], "other");
    // The first source lets go of it, and it stays.
    lab.commit(2, alloc::vec![config("c1", "1")]);
    lab.pass(40);
    assert!(lab.get(Kind::ConfigMap, "c0").is_some());
    assert_eq!(lab.release(2).changes.unwrap().deleted, 0, "it is another's by now");
    assert!(lab.phases().ends_with("2:Healthy"), "{}", lab.phases());
}

#[test]
fn what_was_there_is_taken_over_and_given_back() {
    let mut lab = Lab::new();
    lab.source("shop", json!({}));
    lab.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "old", "more": "x"},
        "metadata": {"name": "c", "namespace": "shop", "labels": {"by": "hand"}}}));
    lab.commit(1, alloc::vec![config("c", "new"), config("d", "1")]);
    lab.pass(40);
    let taken = lab.get(Kind::ConfigMap, "c").unwrap();
    assert_eq!(taken["data"], json!({"k": "new", "more": "x"}), "other fields stay");
    assert!(lab.events().contains(&"TakenOver".into()));
    lab.commit(2, alloc::vec![config("c", "newer"), config("d", "1")]);
    lab.pass(40);
    lab.commit(3, alloc::vec![config("d", "1")]);
    lab.pass(40);
    let back = lab.get(Kind::ConfigMap, "c").unwrap();
    assert_eq!(back["data"], json!({"k": "old", "more": "x"}));
    assert_eq!(back["metadata"]["labels"], json!({"by": "hand"}));
    assert!(back["metadata"].get("annotations").is_none() && back["metadata"].get("managedFields").is_none());
    assert!(lab.phases().ends_with("3:Healthy"), "{}", lab.phases());
}

#[test]
fn a_rollback_gives_back_what_the_bad_commit_took() {
    let mut lab = shop_with(alloc::vec![web("a:1")]);
    lab.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "old"},
        "metadata": {"name": "c", "namespace": "shop"}}));
    lab.fates.insert("bad".into(), Fate::Crashes { code: 1, times: 3 });
    lab.commit(2, alloc::vec![web("bad"), config("c", "new")]);
    lab.pass(20);
    assert!(lab.phases().contains("2:RolledBack"), "{}", lab.phases());
    assert_eq!(lab.get(Kind::ConfigMap, "c").unwrap()["data"]["k"], "old");
}

#[test]
fn a_removed_source_keeps_its_objects_unless_asked() {
    let mut lab = shop_with(alloc::vec![web("a:1"), config("c", "1")]);
    lab.ask(Ask::DeleteSource { name: "shop".into(), prune: false, dry_run: false }).unwrap();
    let left = lab.get(Kind::ConfigMap, "c").unwrap();
    assert!(left["metadata"].get("labels").is_none_or(|l| l.get("evenkeel.dev/source").is_none()), "{left}");
    assert!(lab.get(Kind::Deployment, "web").is_some());

    let mut lab = shop_with(alloc::vec![web("a:1"), config("c", "1")]);
    lab.ask(Ask::DeleteSource { name: "shop".into(), prune: true, dry_run: false }).unwrap();
    lab.pass(60);
    assert!(lab.get(Kind::ConfigMap, "c").is_none());
    assert!(lab.get(Kind::Deployment, "web").is_none());
    assert!(lab.world.get(&Key::cluster(Kind::Source, "shop")).is_none());
    assert_eq!(lab.world.list(Kind::Pod, "shop").count(), 0);
}

/// A new server that hears of its sources from an agent.
fn recovered(from: &Lab) -> Lab {
    let copy = copy_of(from);
    let mut lab = Lab::new();
    lab.world.recovering = Some(Time(lab.now.0 + 60_000));
    lab.event(|world, cx| inbound::recover(world, &[copy], cx));
    lab.settle();
    lab
}

#[test]
fn a_lost_database_comes_back_from_the_agents_with_a_quarantined_head() {
    let mut old = shop_with(alloc::vec![web("a:1")]);
    old.fates.insert("bad".into(), Fate::Crashes { code: 1, times: 3 });
    old.commit(2, alloc::vec![web("bad")]);
    old.pass(20);
    let mut lab = recovered(&old);
    assert_eq!(wanted_revisions(&lab.world), [("shop".into(), rev(1))]);
    // The follower brings the head while nothing may happen yet.
    lab.commit(2, alloc::vec![web("bad")]);
    assert_eq!(lab.phases(), "2:Pending/Recovering");
    assert!(lab.get(Kind::Deployment, "web").is_none());
    lab.commit(1, alloc::vec![web("a:1")]);
    assert_eq!(wanted_revisions(&lab.world), []);
    assert!(lab.get(Kind::Deployment, "web").is_none(), "nothing is made while recovering");
    lab.world.recovering = None;
    lab.mark_everything();
    lab.pass(60);
    assert_eq!(lab.phases(), "2:Pending/Quarantined");
    let image = lab.get(Kind::Deployment, "web").unwrap()["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    assert_eq!(image, "a:1");
    let status = lab.status();
    assert_eq!((status.applied_revision, status.last_good_revision), (Some(rev(1)), Some(rev(1))));
    assert_eq!(status.observed_revision, Some(rev(2)));
}

#[test]
fn a_recovered_rollout_is_watched_to_its_end() {
    let mut old = shop_with(alloc::vec![web("a:1")]);
    old.fates.insert("a:2".into(), Fate::Starting);
    old.commit(2, alloc::vec![web("a:2")]);
    old.pass(10);
    let mut lab = recovered(&old);
    lab.commit(2, alloc::vec![web("a:2")]);
    lab.world.recovering = None;
    lab.mark_everything();
    lab.fates.insert("a:2".into(), Fate::Crashes { code: 1, times: 3 });
    lab.pass(5);
    // The last good documents come when they are asked for.
    assert_eq!(wanted_revisions(&lab.world), [("shop".into(), rev(1))]);
    lab.commit(1, alloc::vec![web("a:1")]);
    lab.pass(30);
    assert_eq!(lab.phases(), "2:RolledBack/CrashLoopBackOff");
    assert_eq!(lab.status().applied_revision, Some(rev(1)));
}

#[test]
fn a_recovered_rollout_is_watched_under_a_later_name_of_its_content() {
    let mut old = shop_with(alloc::vec![web("a:1")]);
    old.pass(60);
    let backup = old.world.clone();
    old.fates.insert("a:2".into(), Fate::Starting);
    old.commit(2, alloc::vec![web("a:2")]);
    old.pass(10);
    let late = copy_of(&old);
    for crashes in [false, true] {
        let mut lab = Lab::new();
        (lab.world, lab.now) = (backup.clone(), old.now);
        lab.world.recovering = Some(Time(lab.now.0 + 60_000));
        // The follower is the first, then an agent says that this is applied, then the head has other comments.
        lab.commit(2, alloc::vec![web("a:2")]);
        lab.event(|world, cx| inbound::recover(world, core::slice::from_ref(&late), cx));
        lab.commit(3, alloc::vec![web("a:2")]);
        lab.world.recovering = None;
        lab.mark_everything();
        if crashes {
            lab.fates.insert("a:2".into(), Fate::Crashes { code: 1, times: 3 });
        }
        lab.pass(90);
        let expected = if crashes { ("3:RolledBack/CrashLoopBackOff", rev(1)) } else { ("3:Healthy", rev(3)) };
        assert!(lab.phases().ends_with(expected.0), "{}", lab.phases());
        let status = lab.status();
        assert_eq!((status.last_good_digest, status.last_good_revision), (status.applied_digest, Some(expected.1)));
    }
}

#[test]
fn a_pin_survives_a_lost_database() {
    let mut old = shop_with(alloc::vec![web("a:1")]);
    old.commit(2, alloc::vec![web("a:2")]);
    old.pass(40);
    old.ask(Ask::Rollback { name: "shop".into(), revision: None, reason: String::new(), until_next_commit: false })
        .unwrap();
    old.pass(40);
    let mut lab = recovered(&old);
    lab.commit(2, alloc::vec![web("a:2")]);
    lab.world.recovering = None;
    lab.mark_everything();
    lab.settle();
    lab.commit(1, alloc::vec![web("a:1")]);
    lab.pass(60);
    assert_eq!(lab.phases(), "2:Pending/Pinned");
    assert_eq!(lab.status().applied_revision, Some(rev(1)));
    assert!(lab.get(Kind::Deployment, "web").is_some());
}

#[test]
fn a_restored_source_is_brought_to_where_the_agents_saw_it_last() {
    // A backup in the middle of the second revision's rollout.
    let mut old = shop_with(alloc::vec![web("a:1")]);
    old.fates.insert("a:2".into(), Fate::Starting);
    old.commit(2, alloc::vec![web("a:2")]);
    old.pass(2);
    let backup = old.world.clone();
    let early = copy_of(&old);
    // Then the third, and a broken fourth.
    old.commit(3, alloc::vec![web("a:3")]);
    old.pass(60);
    old.fates.insert("bad".into(), Fate::Crashes { code: 1, times: 3 });
    old.commit(4, alloc::vec![web("bad")]);
    old.pass(20);
    let late = copy_of(&old);
    assert!(late.version > early.version && late.status.applied_revision == Some(rev(3)));

    for order in [alloc::vec![late.clone(), early.clone()], alloc::vec![early.clone(), late.clone()]] {
        let mut lab = Lab::new();
        lab.world = backup.clone();
        lab.now = old.now;
        lab.world.recovering = Some(Time(lab.now.0 + 60_000));
        for copy in order {
            let taken = inbound::taken(&lab.world, core::slice::from_ref(&copy));
            lab.event(|world, cx| inbound::recover(world, &[copy], cx));
            lab.world.recovered.extend(taken);
        }
        lab.settle();
        let status = lab.status();
        assert_eq!(status.applied_revision, Some(rev(3)));
        assert_eq!(status.quarantined, late.status.quarantined);
        assert!(lab.phases().contains("2:Superseded/Recovered"), "{}", lab.phases());
        assert!(inbound::awaits_documents(&lab.world));
        lab.commit(3, alloc::vec![web("a:3")]);
        assert!(!inbound::awaits_documents(&lab.world));
    }
}

fn copy_of(lab: &Lab) -> SourceCopy {
    let object = lab.world.get(&Key::cluster(Kind::Source, "shop")).unwrap();
    let mut status = lab.status();
    status.conditions.clear();
    SourceCopy { name: "shop".into(), version: object.version, spec: object.spec().unwrap(), status }
}

#[test]
fn roles_of_a_source_do_not_drift_and_a_binding_keeps_its_role() {
    let role = |name: &str, more: serde_json::Value| {
        let mut value =
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        doc(value)
    };
    let pods = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    let binding = |role: &str, user: &str| {
        doc(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "b", "namespace": "shop"}, "roleRef": {"kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": user}]}))
    };
    let part = role("part", json!({"metadata": {"name": "part", "labels": {"of": "all"}}, "rules": pods}));
    let sum = role(
        "all",
        json!({"rules": [], "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"of": "all"}}]}}),
    );
    let mut lab = shop_with(alloc::vec![part.clone(), sum.clone(), binding("all", "an")]);
    let all = Key::cluster(Kind::ClusterRole, "all");
    assert_eq!(lab.world.get(&all).unwrap().body_map()["rules"], pods);
    let version = lab.world.get(&all).unwrap().version;
    lab.pass(60);
    assert_eq!(lab.world.get(&all).unwrap().version, version, "nobody writes it again");
    assert_eq!(lab.world.list(Kind::Drift, "").count(), 0);
    // Another subject, but not another role.
    lab.commit(2, alloc::vec![part.clone(), sum.clone(), binding("all", "bo")]);
    assert_eq!(lab.get(Kind::RoleBinding, "b").unwrap()["subjects"][0]["name"], "bo");
    lab.commit(3, alloc::vec![part, sum, binding("view", "bo")]);
    let told = lab.release(3).diagnostics;
    assert!(told.iter().any(|d| d.contains("roleRef: the field is immutable")), "{told:?}");
}

#[test]
fn what_is_immutable_is_not_changed_by_a_commit_and_made_anew_by_a_rollback() {
    let map = |value: &str, fixed: Option<bool>| {
        let mut it = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "shop"},
            "data": {"k": value}});
        it["immutable"] = fixed.map_or(serde_json::Value::Null, Into::into);
        doc(evenkeel_model::canonical::without_empty(&it))
    };
    let mut lab = shop_with(alloc::vec![map("1", None), web("a:1")]);
    let uid = |lab: &Lab| lab.get(Kind::ConfigMap, "c").unwrap()["metadata"]["uid"].clone();
    let first = uid(&lab);
    // One that is not immutable yet may become so with other values, and a rollback goes behind that.
    lab.fates.insert("bad".into(), Fate::Crashes { code: 1, times: 3 });
    lab.commit(2, alloc::vec![map("2", Some(true)), web("bad")]);
    lab.pass(100);
    assert!(lab.phases().contains("2:RolledBack"), "{}", lab.phases());
    let back = lab.get(Kind::ConfigMap, "c").unwrap();
    assert_eq!((&back["data"]["k"], &back["immutable"]), (&json!("1"), &json!(null)));
    assert_ne!(uid(&lab), first, "who keeps an immutable object by its uid must not take this one for it");
    // A commit asks for no such thing.
    lab.commit(3, alloc::vec![map("3", Some(true)), web("a:1")]);
    lab.pass(40);
    for (n, wanted, field) in
        [(4, map("4", Some(true)), "data"), (5, map("3", Some(false)), "immutable"), (6, map("3", None), "immutable")]
    {
        lab.commit(n, alloc::vec![wanted, web("a:1")]);
        assert!(lab.phases().contains(&format!("{n}:Rejected")), "{}", lab.phases());
        let told = lab.release(n).diagnostics.join(" ");
        assert!(told.contains(&format!("{field}: the field is immutable; delete the object first")), "{told}");
    }
    assert_eq!(lab.get(Kind::ConfigMap, "c").unwrap()["data"]["k"], "3");
}

#[test]
fn what_somebody_made_immutable_by_hand_goes_on_with_its_source() {
    let mut lab = shop_with(alloc::vec![config("c", "1")]);
    let mut by_hand = lab.get(Kind::ConfigMap, "c").unwrap();
    (by_hand["immutable"], by_hand["data"]["k"]) = (json!(true), json!("2"));
    let uid = by_hand["metadata"]["uid"].clone();
    lab.put(by_hand);
    lab.pass(40);
    let healed = lab.get(Kind::ConfigMap, "c").unwrap();
    assert_eq!(healed["data"]["k"], "1");
    assert_ne!(healed["metadata"]["uid"], uid);
}
