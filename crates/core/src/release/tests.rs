//! The life of releases, case by case, on the small cluster of `testing.rs`.

use core::time::Duration;

use evenkeel_model::{
    Kind,
    own::{Phase, Pin},
};
use serde_json::json;

use crate::{
    ask::{Answer, Ask},
    testing::{Fate, Lab, config, deployment, doc, doc_with, rev, snapshot, web},
};

fn shop() -> Lab {
    let mut lab = Lab::new();
    lab.source("shop", json!({}));
    lab
}

/// With a good first commit.
fn settled() -> Lab {
    let mut lab = shop();
    lab.commit(1, alloc::vec![web("a:1")]);
    lab.pass(40);
    assert_eq!(lab.phases(), "1:Healthy");
    lab
}

#[test]
fn a_commit_is_applied_watched_and_becomes_last_good() {
    let mut lab = shop();
    lab.commit(1, alloc::vec![web("a:1"), config("c", "1")]);
    assert_eq!(lab.phases(), "1:Healthy/Watching");
    let live = lab.get(Kind::Deployment, "web").unwrap();
    assert_eq!(live["metadata"]["labels"]["evenkeel.dev/source"], "shop");
    assert_eq!(live["metadata"]["annotations"]["evenkeel.dev/revision"], rev(1).as_str());
    assert_eq!(live["metadata"]["generation"], 1);
    assert_eq!(live["spec"]["strategy"]["type"], "RollingUpdate", "defaults are stored");
    assert!(live["spec"]["template"]["metadata"].get("annotations").is_none());
    assert_eq!(lab.status().last_good_revision, None);
    lab.pass(31);
    assert_eq!(lab.phases(), "1:Healthy");
    let status = lab.status();
    assert_eq!(status.last_good_revision, Some(rev(1)));
    assert_eq!(status.applied_revision, Some(rev(1)));
    let condition = |kind: &str| status.conditions.iter().find(|c| c.kind == kind).unwrap().status.clone();
    for kind in ["Synced", "Healthy", "Fetched", "Complete"] {
        assert_eq!(condition(kind), "True", "{kind}");
    }
    assert_eq!(condition("Suspended"), "False");
    let changes = lab.release(1).changes.unwrap();
    assert_eq!((changes.created, changes.changed, changes.deleted), (2, 0, 0));

    // Only the changed object is written.
    let before = lab.get(Kind::ConfigMap, "c");
    lab.commit(2, alloc::vec![web("a:2"), config("c", "1")]);
    lab.pass(40);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy");
    assert_eq!(lab.get(Kind::ConfigMap, "c"), before);
    let live = lab.get(Kind::Deployment, "web").unwrap();
    assert_eq!(live["metadata"]["annotations"]["evenkeel.dev/revision"], rev(2).as_str());
    assert_eq!(lab.status().earlier_good[0].revision, rev(1));
}

#[test]
fn each_kind_of_failure_goes_back_by_itself() {
    let cases = [
        (Fate::Crashes { code: 3, times: 3 }, "CrashLoopBackOff", "exited with code 3, 3 restarts"),
        (Fate::NoStart { tries: 3, reason: "ErrImagePull", outside: false }, "ErrImagePull", "as the engine said"),
        (Fate::NoStart { tries: 3, reason: "RunContainerError", outside: false }, "RunContainerError", "3 tries"),
        (Fate::NotReady, "ProgressDeadlineExceeded", "readiness probe"),
    ];
    for (fate, reason, part) in cases {
        let mut lab = settled();
        lab.fates.insert("bad".into(), fate.clone());
        let bad = doc(deployment("web", "bad", json!({"progressDeadlineSeconds": 70})));
        lab.commit(2, alloc::vec![bad.clone()]);
        lab.pass(100);
        assert_eq!(lab.phases(), alloc::format!("1:Superseded 2:RolledBack/{reason}"), "{fate:?}");
        let release = lab.release(2);
        let cause = release.cause.unwrap();
        assert_eq!((cause.reason.as_str(), cause.outside), (reason, false));
        assert!(cause.message.contains(part), "{}", cause.message);
        assert_eq!(cause.object, "Deployment shop/web");
        assert_eq!(cause.container.as_deref(), Some("main"));
        assert_eq!(release.rollback_to, Some(rev(1)));
        assert_eq!(release.takes_back, [rev(2)]);
        let phases: alloc::vec::Vec<Phase> = release.timeline.iter().map(|p| p.phase).collect();
        assert_eq!(phases, [Phase::Pending, Phase::Progressing, Phase::Failed, Phase::RollingBack, Phase::RolledBack]);
        let status = lab.status();
        assert_eq!((status.applied_revision, status.observed_revision), (Some(rev(1)), Some(rev(2))));
        assert_eq!(status.quarantined.len(), 1);
        let image = &lab.get(Kind::Deployment, "web").unwrap()["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(image, "a:1");

        // The same content under another commit stays out; the good one needs no rollout.
        lab.commit(3, alloc::vec![bad]);
        lab.pass(100);
        assert!(lab.phases().ends_with("3:Pending/Quarantined"), "{}", lab.phases());
        lab.commit(4, alloc::vec![web("a:1")]);
        lab.pass(5);
        let status = lab.status();
        assert_eq!((status.applied_revision, status.last_good_revision), (Some(rev(4)), Some(rev(4))));
        assert!(lab.phases().ends_with("3:Superseded"), "{}", lab.phases());
    }
}

#[test]
fn a_pod_without_a_node_fails_its_release_and_want_of_room_is_from_outside() {
    let asks = |cpu: &str| {
        let container = json!({"name": "main", "image": "a:2", "resources": {"requests": {"cpu": cpu}}});
        let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}});
        doc(deployment("web", "a:2", json!({"template": template})))
    };
    let elsewhere = json!({"template": {"metadata": {"labels": {"app": "web"}}, "spec": {
        "nodeSelector": {"disk": "ssd"}, "containers": [{"name": "main", "image": "a:2"}]}}});
    let cases = [(asks("5"), true), (asks("9"), false), (doc(deployment("web", "a:2", elsewhere)), false)];
    for (bad, outside) in cases {
        let mut lab = settled();
        lab.commit(2, alloc::vec![bad]);
        lab.pass(55);
        assert_eq!(lab.phases(), "1:Superseded 2:Progressing");
        lab.pass(10);
        assert_eq!(lab.phases(), "1:Superseded 2:RolledBack/Unschedulable");
        let cause = lab.release(2).cause.unwrap();
        assert!(cause.message.contains("0/1 nodes are available"), "{}", cause.message);
        assert_eq!(cause.outside, outside, "{}", cause.message);
        assert_eq!(lab.status().quarantined.is_empty(), outside);
    }
}

#[test]
fn a_failure_from_outside_is_tried_again_and_not_quarantined() {
    let mut lab = settled();
    lab.fates.insert("far".into(), Fate::NoStart { tries: 3, reason: "RegistryUnavailable", outside: true });
    lab.commit(2, alloc::vec![web("far")]);
    lab.pass(10);
    assert_eq!(lab.phases(), "1:Superseded 2:RolledBack/RegistryUnavailable");
    assert!(lab.status().quarantined.is_empty());
    lab.pass(60);
    assert_eq!(lab.phases(), "1:Superseded 2:RolledBack/RegistryUnavailable 2-2:RolledBack/RegistryUnavailable");
    lab.fates.clear();
    lab.pass(60);
    assert!(!lab.phases().contains("2-3"), "the second wait is longer");
    lab.pass(120);
    assert!(lab.phases().ends_with("2-3:Healthy"), "{}", lab.phases());
    assert_eq!(lab.status().last_good_revision, Some(rev(2)));
}

#[test]
fn a_first_release_that_fails_stays_and_may_come_up() {
    let mut lab = shop();
    lab.fates.insert("a:1".into(), Fate::Crashes { code: 1, times: 3 });
    lab.commit(1, alloc::vec![web("a:1")]);
    lab.pass(60);
    assert_eq!(lab.phases(), "1:Failed/CrashLoopBackOff");
    assert_eq!(lab.status().applied_revision, Some(rev(1)));
    lab.fates.clear();
    lab.pass(25);
    assert_eq!(lab.phases(), "1:Healthy/Watching");
    lab.pass(60);
    assert_eq!(lab.phases(), "1:Healthy");
    assert!(lab.status().quarantined.is_empty());
}

#[test]
fn one_that_degrades_within_the_window_fails_and_later_does_not() {
    let mut lab = settled();
    lab.commit(2, alloc::vec![web("a:2")]);
    lab.pass(10);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy/Watching");
    lab.fates.insert("a:2".into(), Fate::Crashes { code: 1, times: 1 });
    lab.pass(5);
    assert_eq!(lab.phases(), "1:Superseded 2:RolledBack/CrashLoopBackOff");

    let mut lab = settled();
    lab.fates.insert("a:1".into(), Fate::Crashes { code: 1, times: 9 });
    lab.pass(100);
    assert_eq!(lab.phases(), "1:Healthy");
}

#[test]
fn a_crash_within_the_window_counts_whatever_the_nodes_clock_says() {
    let mut lab = settled();
    lab.behind = Duration::from_mins(1);
    lab.commit(2, alloc::vec![web("a:2")]);
    lab.pass(10);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy/Watching");
    lab.fates.insert("a:2".into(), Fate::Crashes { code: 1, times: 1 });
    lab.pass(5);
    assert_eq!(lab.phases(), "1:Superseded 2:RolledBack/CrashLoopBackOff");
}

#[test]
fn nothing_is_good_before_its_nodes_have_told_all_until_the_windows_end() {
    let mut lab = settled();
    lab.deaf = true;
    lab.commit(2, alloc::vec![web("a:2")]);
    lab.pass(34);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy/Watching", "asked, and not answered");
    lab.deaf = false;
    lab.pass(3);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy");

    // What comes with the answer counts.
    lab.deaf = true;
    lab.commit(3, alloc::vec![web("a:3")]);
    lab.pass(34);
    lab.fates.insert("a:3".into(), Fate::Crashes { code: 1, times: 1 });
    lab.deaf = false;
    lab.pass(3);
    assert_eq!(lab.phases(), "1:Superseded 2:Superseded 3:RolledBack/CrashLoopBackOff");

    // An agent that knows of no roll call is taken to have told all by its later words.
    let mut lab = settled();
    lab.deaf = true;
    lab.commit(2, alloc::vec![web("a:2")]);
    lab.pass(60);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy");
}

#[test]
fn what_somebody_does_to_a_container_within_the_window_is_not_the_commits_fault() {
    let mut lab = settled();
    lab.commit(2, alloc::vec![web("a:2")]);
    lab.pass(5);
    let pod = lab.world.list(Kind::Pod, "shop").find(|p| !p.deleting()).unwrap().clone();
    let drift = evenkeel_model::session::ContainerDrift {
        pod: pod.uid,
        namespace: "shop".into(),
        name: pod.key.name.clone(),
        container: Some("main".into()),
        action: evenkeel_model::session::DriftAction::Paused,
        desired: json!("running"),
        live: json!("paused"),
        healed: false,
    };
    lab.event(|world, cx| crate::drift::observe(world, &"n1".into(), &drift, cx));
    lab.only = Some(pod.key.clone());
    lab.fates.insert("a:2".into(), Fate::NotReady);
    lab.pass(10);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy/Watching");
    let healthy = |lab: &Lab| lab.status().conditions.iter().find(|c| c.kind == "Healthy").unwrap().reason.clone();
    assert_eq!(healthy(&lab), "Degraded");
    lab.pass(60);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy/Watching", "it becomes good when all is up again");
    lab.fates.clear();
    lab.pass(1);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy");
    assert_eq!(healthy(&lab), "Healthy");
}

#[test]
fn what_waited_may_be_what_a_rollback_brings_back() {
    let mut lab = settled();
    lab.fates.insert("bad".into(), Fate::Starting);
    lab.commit(2, alloc::vec![doc(deployment("web", "bad", json!({"progressDeadlineSeconds": 30})))]);
    lab.ask(Ask::UpdateSource {
        name: "shop".into(),
        spec: serde_json::from_value(json!({"git": {"url": "/srv/shop"}, "suspend": true})).unwrap(),
        if_version: None,
        meta: None,
        owners: crate::controllers::testkit::by_test(),
        dry_run: false,
    })
    .unwrap();
    lab.commit(3, alloc::vec![web("a:1")]);
    assert!(lab.phases().ends_with("3:Pending/Suspended"), "{}", lab.phases());
    lab.pass(40);
    assert!(lab.phases().contains("2:RolledBack"), "{}", lab.phases());
    assert!(lab.phases().ends_with("3:Superseded/Unchanged"), "{}", lab.phases());
    assert_eq!(lab.status().last_good_revision, Some(rev(3)));
}

#[test]
fn a_rollback_that_fails_says_so_and_may_come_up() {
    let mut lab = settled();
    lab.fates.insert("a:1".into(), Fate::NotReady);
    lab.fates.insert("a:2".into(), Fate::Crashes { code: 1, times: 3 });
    lab.commit(2, alloc::vec![doc(deployment("web", "a:2", json!({})))]);
    lab.pass(1300);
    assert_eq!(lab.phases(), "1:Superseded 2:RollbackFailed/CrashLoopBackOff");
    lab.fates.insert("a:1".into(), Fate::Runs);
    lab.pass(10);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy/CameBack");
}

#[test]
fn retry_rollback_pin_and_unpin() {
    let mut lab = settled();
    lab.fates.insert("bad".into(), Fate::Crashes { code: 1, times: 3 });
    lab.commit(2, alloc::vec![web("bad")]);
    lab.pass(10);
    lab.fates.clear();
    lab.ask(Ask::Retry { name: "shop".into() }).unwrap();
    lab.pass(40);
    assert_eq!(lab.phases(), "1:Superseded 2:RolledBack/CrashLoopBackOff 2-2:Healthy");
    assert!(lab.ask(Ask::Retry { name: "shop".into() }).is_err());

    let back =
        |until| Ask::Rollback { name: "shop".into(), revision: None, reason: "slow".into(), until_next_commit: until };
    lab.ask(back(false)).unwrap();
    lab.pass(40);
    let status = lab.status();
    assert_eq!(status.applied_revision, Some(rev(1)));
    assert_eq!(status.last_good_revision, Some(rev(1)));
    let Some(Pin { revision, by, reason, .. }) = status.pinned else { panic!("no pin") };
    assert_eq!((revision, by.as_str(), reason.as_str()), (rev(1), "tester", "slow"));
    lab.commit(3, alloc::vec![web("a:3")]);
    assert!(lab.phases().ends_with("3:Pending/Pinned"), "{}", lab.phases());
    lab.ask(Ask::Unpin { name: "shop".into() }).unwrap();
    lab.pass(40);
    assert!(lab.phases().ends_with("3:Healthy"), "{}", lab.phases());

    // Until the next commit.
    lab.ask(back(true)).unwrap();
    lab.pass(40);
    assert_eq!(lab.status().applied_revision, Some(rev(1)));
    lab.commit(4, alloc::vec![web("a:4")]);
    lab.pass(40);
    assert_eq!(lab.status().applied_revision, Some(rev(4)));

    // The newest again after a pin that nothing followed.
    lab.ask(back(false)).unwrap();
    lab.pass(40);
    lab.ask(Ask::Unpin { name: "shop".into() }).unwrap();
    lab.pass(40);
    assert_eq!(lab.status().last_good_revision, Some(rev(4)));
}

#[test]
fn newer_revisions_take_over_and_a_busy_branch_settles() {
    let mut lab = settled();
    lab.fates.insert("slow".into(), Fate::Starting);
    for n in 2..=7 {
        let more = json!({"minReadySeconds": n});
        lab.commit(n, alloc::vec![doc(deployment("web", "slow", more))]);
        lab.pass(1);
    }
    assert!(lab.phases().contains("6:Superseded"), "{}", lab.phases());
    lab.commit(8, alloc::vec![web("a:8")]);
    assert!(lab.phases().ends_with("8:Pending/Settling"), "{}", lab.phases());
    lab.ask(Ask::Sync { name: "shop".into(), now: true, allow_mass_delete: false }).unwrap();
    lab.pass(60);
    assert!(lab.phases().ends_with("8:Healthy"), "{}", lab.phases());
}

#[test]
fn what_a_superseded_release_broke_fails_the_next() {
    let mut lab = settled();
    lab.fates.insert("bad".into(), Fate::Crashes { code: 1, times: 1 });
    lab.commit(2, alloc::vec![web("bad")]);
    lab.commit(3, alloc::vec![web("bad"), config("c", "1")]);
    lab.pass(5);
    assert!(lab.phases().ends_with("3:Progressing"), "{}", lab.phases());
    lab.fates.insert("bad".into(), Fate::Crashes { code: 1, times: 3 });
    lab.pass(5);
    assert!(lab.phases().ends_with("3:RolledBack/CrashLoopBackOff"), "{}", lab.phases());
    assert_eq!(lab.release(3).takes_back, [rev(3), rev(2)]);
    assert!(lab.get(Kind::ConfigMap, "c").is_none(), "what it created is gone");
}

#[test]
fn a_rejected_revision_is_checked_again_when_what_it_missed_appears() {
    let mut lab = settled();
    let needs = || doc_with(deployment("web", "a:2", json!({})), &[(Kind::ConfigMap, "late")]);
    lab.commit(2, alloc::vec![needs()]);
    assert_eq!(lab.phases(), "1:Healthy 2:Rejected/NotAdmitted");
    assert!(lab.release(2).diagnostics[0].contains("ConfigMap shop/late does not exist"));
    assert_eq!(lab.status().applied_revision, Some(rev(1)));
    lab.put(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late", "namespace": "shop"}, "data": {}}),
    );
    lab.pass(40);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy");
    let missing = doc(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "gone"}}));
    lab.commit(3, alloc::vec![needs(), missing]);
    assert!(lab.release(3).diagnostics[0].contains("namespace `gone` does not exist"));
}

#[test]
fn documents_that_are_wrong_change_nothing() {
    let mut lab = settled();
    let wrong = evenkeel_model::Diagnostic {
        place: evenkeel_model::Place { file: "w.yaml".into(), line: 3, column: 1 },
        path: "spec".into(),
        message: "unknown field".into(),
        excerpt: "x".into(),
        width: 1,
        severity: evenkeel_model::Severity::Error,
    };
    lab.seen("shop", 2, Err(alloc::vec![wrong.clone()]), true);
    lab.seen("shop", 2, Err(alloc::vec![wrong]), true);
    assert_eq!(lab.phases(), "1:Healthy 2:Rejected/Invalid");
    assert_eq!(lab.status().applied_revision, Some(rev(1)));
    lab.commit(3, alloc::vec![web("a:1")]);
    assert_eq!(lab.phases(), "1:Healthy 2:Rejected/Invalid", "the same content makes no release");
    assert_eq!(lab.status().applied_revision, Some(rev(3)));
    assert_eq!(lab.status().last_good_revision, Some(rev(3)));
    let live = lab.get(Kind::Deployment, "web").unwrap();
    assert_eq!(live["metadata"]["annotations"]["evenkeel.dev/revision"], rev(1).as_str());
}

#[test]
fn suspended_sources_wait() {
    let mut lab = Lab::new();
    lab.source("shop", json!({"suspend": true}));
    lab.commit(1, alloc::vec![web("a:1")]);
    assert_eq!(lab.phases(), "1:Pending/Suspended");
    let spec = serde_json::from_value(json!({"git": {"url": "/srv/shop"}})).unwrap();
    lab.ask(Ask::UpdateSource {
        name: "shop".into(),
        spec,
        if_version: None,
        meta: None,
        owners: crate::controllers::testkit::by_test(),
        dry_run: false,
    })
    .unwrap();
    lab.pass(40);
    assert_eq!(lab.phases(), "1:Healthy");
    let other = serde_json::from_value(json!({"git": {"url": "/srv/else"}})).unwrap();
    let refused = lab
        .ask(Ask::UpdateSource {
            name: "shop".into(),
            spec: other,
            if_version: None,
            meta: None,
            owners: crate::controllers::testkit::by_test(),
            dry_run: false,
        })
        .unwrap_err();
    assert!(refused.message.contains("/srv/shop") && refused.message.contains("/srv/else"), "{}", refused.message);
}

#[test]
fn a_restart_in_the_middle_of_anything_changes_nothing() {
    let mut lab = settled();
    lab.fates.insert("a:2".into(), Fate::Starting);
    lab.commit(2, alloc::vec![web("a:2")]);
    lab.pass(590);
    lab.now = lab.now + core::time::Duration::from_hours(1);
    lab.restart();
    assert_eq!(lab.phases(), "1:Superseded 2:Progressing", "waits count from the start");
    lab.pass(300);
    lab.fates.clear();
    lab.pass(20);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy/Watching");
    lab.restart();
    lab.pass(40);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy");
}

#[test]
fn pods_on_a_node_that_does_not_answer_do_not_count() {
    let mut lab = settled();
    lab.fates.insert("a:2".into(), Fate::Starting);
    lab.commit(2, alloc::vec![doc(deployment("web", "a:2", json!({"progressDeadlineSeconds": 30})))]);
    lab.pass(10);
    lab.node("n1", false);
    lab.pass(60);
    assert_eq!(lab.phases(), "1:Superseded 2:Progressing");
    lab.node("n1", true);
    lab.pass(20);
    assert_eq!(lab.phases(), "1:Superseded 2:Progressing");
    lab.pass(30);
    assert_eq!(lab.phases(), "1:Superseded 2:RolledBack/ProgressDeadlineExceeded");
}

#[test]
fn a_pod_that_finds_no_node_while_most_are_away_is_waited_for() {
    let mut lab = settled();
    lab.node("n1", false);
    lab.commit(2, alloc::vec![web("a:2")]);
    lab.pass(300);
    assert_eq!(lab.phases(), "1:Superseded 2:Progressing");
    let waits = lab.world.list(Kind::Pod, "shop").any(|pod| pod.node.is_none());
    assert!(waits, "a pod of the new template has no node");
    lab.node("n1", true);
    lab.pass(60);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy");
}

#[test]
fn a_changed_config_rolls_and_a_bad_one_goes_back() {
    let mut lab = shop();
    let uses = |image: &str| {
        let mut value = deployment("web", image, json!({}));
        value["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "c"}}]);
        doc_with(value, &[(Kind::ConfigMap, "c")])
    };
    lab.commit(1, alloc::vec![uses("a:1"), config("c", "1")]);
    lab.pass(40);
    assert_eq!(lab.phases(), "1:Healthy");
    lab.fates.insert("a:1".into(), Fate::Crashes { code: 1, times: 3 });
    lab.commit(2, alloc::vec![uses("a:1"), config("c", "2")]);
    assert_eq!(lab.release(2).workloads, ["Deployment shop/web"]);
    lab.pass(5);
    lab.fates.clear();
    lab.pass(5);
    assert_eq!(lab.phases(), "1:Superseded 2:RolledBack/CrashLoopBackOff");
    assert_eq!(lab.get(Kind::ConfigMap, "c").unwrap()["data"]["k"], "1");
}

#[test]
fn a_plan_tells_what_would_change_and_writes_nothing() {
    let mut lab = settled();
    let secret = doc(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"},
        "stringData": {"password": "hunter2"}}));
    let before = lab.world.version;
    let docs = alloc::vec![web("a:9"), secret];
    let Answer::Plan(plan) = lab.ask(Ask::Diff { source: "shop".into(), snapshot: snapshot(docs) }).unwrap() else {
        panic!("no plan")
    };
    assert_eq!(lab.world.version, before);
    let text = alloc::format!("{plan:?}");
    assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
    assert_eq!(plan.objects.len(), 2);
    assert_eq!(plan.objects[1].placement, ["n1", "n1"]);
    assert!(plan.objects[0].before.is_none());
    assert!(plan.objects[1].before.is_some() && plan.objects[1].after.is_some());
    let same = lab.ask(Ask::Diff { source: "shop".into(), snapshot: snapshot(alloc::vec![web("a:1")]) }).unwrap();
    let Answer::Plan(same) = same else { panic!("no plan") };
    assert_eq!((same.objects.len(), same.unchanged), (0, 1));
}

#[test]
fn bare_pods_and_replica_sets_are_workloads_too() {
    let pod = |image: &str| {
        doc(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "job", "namespace": "shop"},
            "spec": {"containers": [{"name": "main", "image": image}]}}))
    };
    let set = |n: i32| {
        let mut value = deployment("set", "a:1", json!({"replicas": n}));
        value["kind"] = json!("ReplicaSet");
        doc(value)
    };
    let mut lab = shop();
    lab.commit(1, alloc::vec![pod("a:1"), set(2)]);
    lab.pass(40);
    assert_eq!(lab.phases(), "1:Healthy");
    let uid = lab.get(Kind::Pod, "job").unwrap()["metadata"]["uid"].clone();
    lab.commit(2, alloc::vec![pod("a:2"), set(3)]);
    lab.pass(40);
    assert_eq!(lab.phases(), "1:Superseded 2:Healthy");
    let anew = lab.get(Kind::Pod, "job").unwrap();
    assert_ne!(anew["metadata"]["uid"], uid, "a pod's specification does not change");
    assert_eq!(anew["spec"]["containers"][0]["image"], "a:2");
    assert_eq!(lab.world.list(Kind::Pod, "shop").count(), 4);
    lab.fates.insert("bad".into(), Fate::Crashes { code: 1, times: 3 });
    lab.commit(3, alloc::vec![pod("bad"), set(3)]);
    lab.pass(40);
    assert!(lab.phases().ends_with("3:RolledBack/CrashLoopBackOff"), "{}", lab.phases());
    assert_eq!(lab.get(Kind::Pod, "job").unwrap()["spec"]["containers"][0]["image"], "a:2");
}
