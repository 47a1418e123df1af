//! Plans on small clusters, carried out one move after the other: they help as they say, keep every
//! promise, and come to an end.

use core::time::Duration;
use std::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    sync::Arc,
    vec,
    vec::Vec,
};

use evenkeel_model::{Key, Kind, Object, Time};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{LEAST_GAIN, Move, Rebalance, Wish, begin, plan};
use crate::{
    ask::{Answer, Refusal, Transfer},
    change::Change,
    controllers::testkit::{Cluster, deployment},
};

const ALL: Wish = Wish { limit: 100, empty_dirs: false };

/// A Deployment of pods that ask for so much cpu, one of which may be away.
fn app(name: &str, replicas: i32, cpu: &str, more: Value) -> Value {
    let pod = json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [
        {"name": "web", "image": "web:1", "resources": {"requests": {"cpu": cpu}}}]}});
    let mut value = deployment(
        replicas,
        "web:1",
        json!({"metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": pod,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}}),
    );
    if let Value::Object(more) = more {
        value["spec"]["template"]["spec"].as_object_mut().unwrap().extend(more);
    }
    value
}

/// Deployments at rest on nodes `n1`, `n2`, … of 4 cpus and 8 GiB.
fn cluster(nodes: usize, apps: &[Value]) -> Cluster {
    let mut c = Cluster::new(&[]);
    for n in 1..=nodes {
        c.hello(&format!("n{n}"), "4", "8Gi", Vec::new());
    }
    for app in apps {
        c.put(app.clone());
    }
    c.rest();
    c
}

fn planned(c: &Cluster, wish: Wish) -> Rebalance {
    plan(&c.world, &wish, c.now).unwrap()
}

fn transfer(one: &Move, empty_dirs: bool) -> Transfer {
    Transfer { pod: one.pod.clone(), uid: one.uid, to: one.to.clone(), empty_dirs }
}

fn asked(c: &mut Cluster, transfer: &Transfer) -> Result<Answer, Refusal> {
    c.with(|world, cx| begin(world, transfer, cx))
}

/// Pods of an app by node.
fn spread(c: &Cluster, app: &str) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    for pod in c.pods().iter().filter(|p| p.meta.labels.get("app").map(String::as_str) == Some(app)) {
        *out.entry(pod.node.as_deref().unwrap_or("nowhere").to_string()).or_default() += 1;
    }
    out
}

fn names(c: &Cluster) -> BTreeSet<Key> {
    c.pods().iter().map(|p| p.key.clone()).collect()
}

/// Makes the first move of a new plan, again and again until none helps; sees that each replacement
/// goes where the plan said, and that one pod of the cluster at most is away.
fn carry_out(c: &mut Cluster, most: usize) -> Vec<Move> {
    let mut made = Vec::new();
    while let Some(one) = planned(c, Wish { limit: 1, ..ALL }).moves.into_iter().next() {
        assert!(made.len() < most, "no end of moves: {made:#?}");
        let (before, (active, ready)) = (names(c), c.counts());
        let Ok(Answer::Moved(answer)) = asked(c, &transfer(&one, false)) else { panic!("{one:?} was refused") };
        assert_eq!(answer, one);
        assert_eq!(c.counts(), (active - 1, ready - 1));
        c.rest();
        let new: Vec<Arc<Object>> = c.pods().into_iter().filter(|p| !before.contains(&p.key)).collect();
        assert_eq!(new.iter().map(|p| p.node.clone()).collect::<Vec<_>>(), [Some(one.to.clone())], "{one:?}");
        assert_eq!(c.counts(), (active, ready));
        made.push(one);
    }
    made
}

#[test]
fn a_new_empty_node_gets_its_share() {
    let mut c = cluster(2, &[app("web", 9, "300m", json!({})), app("db", 2, "500m", json!({}))]);
    c.hello("n3", "4", "8Gi", Vec::new());
    c.rest();
    assert_eq!(spread(&c, "web").len(), 2, "nothing moves by itself");
    let whole = planned(&c, ALL);
    assert!(!whole.more && whole.held.is_empty(), "{whole:?}");
    assert!(whole.moves.iter().all(|m| &*m.to == "n3" && m.gain.points >= LEAST_GAIN), "{whole:?}");
    let made = carry_out(&mut c, 20);
    assert_eq!(made.len(), whole.moves.len(), "what was shown is what is made: {made:#?}\n{whole:#?}");
    assert_eq!(spread(&c, "web").into_values().collect::<Vec<_>>(), [3, 3, 3]);
    assert_eq!(planned(&c, ALL), Rebalance::default());
    let told = c.world.list(Kind::Event, "default").find(|e| e.body_map()["reason"] == "Rebalanced").unwrap();
    let message = told.body_map()["message"].as_str().unwrap().to_string();
    assert!(message.starts_with("Evicted by a rebalance: the load is "), "{message}");
}

#[test]
fn an_even_cluster_has_nothing_to_move_and_a_limit_is_kept() {
    let mut c = cluster(3, &[app("web", 6, "100m", json!({}))]);
    assert_eq!(planned(&c, ALL), Rebalance::default());
    assert_eq!(plan(&Cluster::new(&[]).world, &ALL, c.now), Ok(Rebalance::default()));
    c.hello("n4", "4", "8Gi", Vec::new());
    c.hello("n5", "4", "8Gi", Vec::new());
    c.rest();
    let (one, all) = (planned(&c, Wish { limit: 1, ..ALL }), planned(&c, ALL));
    assert!(one.more && one.moves.len() == 1 && !all.more && all.moves.len() > 1, "{one:?} {all:?}");
    assert_eq!(one.moves[0], all.moves[0]);
    assert!(planned(&c, Wish { limit: 0, ..ALL }).more);
}

#[test]
fn replicas_of_one_workload_part_although_the_load_is_even() {
    // Both on n1, because nothing else was there; then a node comes, as full as the other.
    let mut c = cluster(1, &[app("web", 2, "500m", json!({}))]);
    c.hello("n2", "4", "8Gi", Vec::new());
    c.put(app("other", 1, "1000m", json!({"nodeSelector": {"kubernetes.io/hostname": "n2"}})));
    c.rest();
    let label = |c: &mut Cluster| {
        let mut wish = c.wish("n2");
        Arc::make_mut(&mut wish.labels).insert("only".into(), "this".into());
        c.with(|w, cx| {
            crate::controllers::node::update(w, "n2", (&wish, &crate::controllers::testkit::by_test()), None, false, cx)
        })
        .unwrap();
    };
    label(&mut c);
    c.put(app("other", 1, "1000m", json!({"nodeSelector": {"only": "this"}})));
    c.rest();
    assert_eq!(spread(&c, "other").keys().collect::<Vec<_>>(), ["n2"]);
    let made = carry_out(&mut c, 3);
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(spread(&c, "web").into_values().collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn the_load_does_not_bring_replicas_together() {
    let mut c = cluster(2, &[app("web", 40, "10m", json!({}))]);
    let mut wish = c.wish("n1");
    Arc::make_mut(&mut wish.labels).insert("only".into(), "this".into());
    c.with(|w, cx| {
        crate::controllers::node::update(w, "n1", (&wish, &crate::controllers::testkit::by_test()), None, false, cx)
    })
    .unwrap();
    c.put(app("big", 8, "400m", json!({"nodeSelector": {"only": "this"}})));
    c.rest();
    assert_eq!((spread(&c, "web").into_values().collect::<Vec<_>>(), spread(&c, "big").len()), (vec![20, 20], 1));
    assert_eq!(planned(&c, ALL), Rebalance::default());
}

#[test]
fn filters_of_the_scheduler_hold() {
    let mut c = cluster(2, &[app("web", 6, "300m", json!({}))]);
    c.hello("n3", "4", "8Gi", Vec::new());
    let taint = json!([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]);
    let tainted = |c: &mut Cluster, taints: Value| {
        let wish = crate::ask::NodeWish { taints: serde_json::from_value(taints).unwrap(), ..c.wish("n3") };
        c.with(|w, cx| {
            crate::controllers::node::update(w, "n3", (&wish, &crate::controllers::testkit::by_test()), None, false, cx)
        })
        .unwrap();
        c.rest();
    };
    tainted(&mut c, taint);
    assert_eq!(planned(&c, ALL), Rebalance::default());
    // One that is merely better avoided takes none either.
    tainted(&mut c, json!([{"key": "gpu", "value": "yes", "effect": "PreferNoSchedule"}]));
    assert_eq!(planned(&c, ALL), Rebalance::default());
    tainted(&mut c, json!([]));
    c.cordon("n3", true);
    c.rest();
    assert_eq!(planned(&c, ALL), Rebalance::default());
    c.cordon("n3", false);
    c.rest();
    assert_eq!(planned(&c, ALL).moves.len(), 2);
    // Pods of a node that is cordoned are left to a drain.
    c.cordon("n1", true);
    c.rest();
    assert!(planned(&c, ALL).moves.iter().all(|m| &*m.from == "n2"));

    // A selector that the new node does not match, and one of a port that is taken there.
    let mut c = cluster(2, &[app("web", 6, "300m", json!({"nodeSelector": {"disk": "ssd"}}))]);
    assert_eq!(spread(&c, "web").keys().collect::<Vec<_>>(), ["nowhere"]);
    for name in ["n1", "n2"] {
        let mut wish = c.wish(name);
        Arc::make_mut(&mut wish.labels).insert("disk".into(), "ssd".into());
        c.with(|w, cx| {
            crate::controllers::node::update(w, name, (&wish, &crate::controllers::testkit::by_test()), None, false, cx)
        })
        .unwrap();
    }
    c.rest();
    c.hello("n3", "4", "8Gi", Vec::new());
    c.rest();
    // The first of them to get its label has them all; never the one without.
    assert!(carry_out(&mut c, 5).iter().all(|m| &*m.to == "n2"));
    assert_eq!(spread(&c, "web").into_iter().collect::<Vec<_>>(), [("n1".into(), 3), ("n2".into(), 3)]);
}

/// What a plan says against moving `web`, whose pods two more nodes wait for.
fn why_held(app: &Value, more: &[Value], wish: Wish) -> Vec<String> {
    let mut c = cluster(1, core::slice::from_ref(app));
    for object in more {
        c.put(object.clone());
    }
    c.rest();
    c.hello("n2", "4", "8Gi", Vec::new());
    c.rest();
    let plan = planned(&c, wish);
    if let Some(held) = plan.held.first() {
        assert!(plan.moves.is_empty() && held.gain.points >= LEAST_GAIN, "{plan:?}");
        // Who asks all the same is refused with the same words, and nothing changes.
        let pod = c.pods().into_iter().find(|p| p.node.as_ref() == Some(&held.from)).unwrap();
        let transfer =
            Transfer { pod: pod.key.clone(), uid: pod.uid, to: held.to.clone(), empty_dirs: wish.empty_dirs };
        let before = c.world.version;
        let refusal = asked(&mut c, &transfer).unwrap_err();
        assert!(refusal.message.contains(&held.why), "{refusal:?} {held:?}");
        assert_eq!(c.world.version, before);
    } else {
        assert!(!plan.moves.is_empty(), "nothing would help: {app}");
    }
    plan.held.into_iter().filter(|h| &*h.workload.name == "web").map(|h| h.why).collect()
}

#[test]
fn promises_and_data_keep_pods_where_they_are() {
    let budget = |spec: Value| {
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": {"name": "web", "namespace": "default"}, "spec": spec})
    };
    let of_web = json!({"matchLabels": {"app": "web"}});
    let volume = |kind: Value| json!({"volumes": [kind]});
    let web = app("web", 4, "500m", json!({}));
    let all_at_any_time = {
        let mut value = web.clone();
        value["spec"]["strategy"]["rollingUpdate"] = json!({"maxSurge": 1, "maxUnavailable": "20%"});
        value
    };
    for (app, budgets, expected) in [
        (web.clone(), Vec::new(), None),
        (web.clone(), [budget(json!({"minAvailable": 3, "selector": of_web}))].into(), None),
        (
            web.clone(),
            [budget(json!({"minAvailable": 4, "selector": of_web}))].into(),
            Some("The disruption budget web needs 4 healthy pods and has 4 currently"),
        ),
        (all_at_any_time, Vec::new(), Some("it promises all of its 4 pods at any time (maxUnavailable comes to 0)")),
        (
            app("web", 1, "500m", json!({})),
            [app("full", 2, "1000m", volume(json!({"name": "data", "hostPath": {"path": "/data"}})))].into(),
            Some("it is its only pod: nothing would serve meanwhile"),
        ),
        (
            app("web", 4, "500m", volume(json!({"name": "data", "hostPath": {"path": "/data"}}))),
            Vec::new(),
            Some("the data of volume data (hostPath) are on its node alone"),
        ),
        (
            app("web", 4, "500m", volume(json!({"name": "tmp", "emptyDir": {}}))),
            Vec::new(),
            Some("what is in volume tmp (emptyDir) would be lost; --delete-emptydir-data allows it"),
        ),
    ] {
        assert_eq!(why_held(&app, &budgets, ALL), expected.into_iter().collect::<Vec<_>>(), "{app}");
    }
    let scratch = app("web", 4, "500m", volume(json!({"name": "tmp", "emptyDir": {}})));
    assert!(why_held(&scratch, &[], Wish { empty_dirs: true, ..ALL }).is_empty());
}

#[test]
fn a_workload_that_is_not_whole_gives_none_away() {
    let mut c = cluster(1, &[app("web", 4, "500m", json!({}))]);
    c.hello("n2", "4", "8Gi", Vec::new());
    c.rest();
    let old = names(&c);
    let first = planned(&c, ALL).moves.remove(0);
    asked(&mut c, &transfer(&first, false)).unwrap();
    let held = planned(&c, ALL);
    assert!(held.moves.is_empty() && held.held[0].why == "one of its pods is on its way out", "{held:?}");
    // Gone, and its replacement is not ready yet.
    c.settle();
    c.agents_with(|pod| old.contains(pod));
    c.settle();
    let held = planned(&c, ALL);
    assert_eq!(held.held[0].why, "3 of its 4 pods are available", "{held:?}");
    c.rest();
    assert!(planned(&c, ALL).held.is_empty());
}

#[test]
fn nothing_is_planned_while_something_is_under_way() {
    let mut c = cluster(1, &[app("web", 4, "500m", json!({}))]);
    c.hello("n2", "4", "8Gi", Vec::new());
    c.rest();
    let one = planned(&c, ALL).moves.remove(0);
    let refused = |c: &mut Cluster, word: &str| {
        for refusal in [plan(&c.world, &ALL, c.now).unwrap_err(), asked(c, &transfer(&one, false)).unwrap_err()] {
            assert!(refusal.message.contains(word), "{refusal:?}");
        }
    };
    c.world.recovering = Some(Time(c.now.0 + 60_000));
    refused(&mut c, "recovering");
    c.world.recovering = None;

    let source = json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Source", "metadata": {"name": "shop"},
        "spec": {"directory": "/x"}, "status": {"currentRelease": "shop-1"}});
    let release = |phase: &str, reason: &str| {
        json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Release", "metadata": {"name": "shop-1"},
            "spec": {"source": "shop", "revision": format!("dir@sha256:{}", "0".repeat(64))},
            "status": {"phase": phase, "reason": reason}})
    };
    c.apply(Change::Put(Arc::new(Object::from_value(source).unwrap())));
    for (phase, reason, word) in [
        ("Progressing", "", "release shop-1 is being rolled out"),
        ("Healthy", "Watching", "release shop-1 is up, and still being watched"),
        ("RollingBack", "", "release shop-1 is being rolled back"),
    ] {
        c.apply(Change::Put(Arc::new(Object::from_value(release(phase, reason)).unwrap())));
        refused(&mut c, word);
    }
    c.apply(Change::Put(Arc::new(Object::from_value(release("Healthy", "")).unwrap())));
    assert_eq!(planned(&c, ALL).moves.first(), Some(&one));

    let mut next = app("web", 4, "500m", json!({}));
    next["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2".into();
    c.put(next);
    c.settle();
    let refusal = plan(&c.world, &ALL, c.now).unwrap_err();
    assert!(refusal.message.contains("Deployment default/web is being rolled out"), "{refusal:?}");
    c.rest();
    assert!(plan(&c.world, &ALL, c.now).is_ok());
}

#[test]
fn a_plan_of_yesterday_is_refused() {
    let mut c = cluster(1, &[app("web", 4, "500m", json!({}))]);
    c.hello("n2", "4", "8Gi", Vec::new());
    c.rest();
    let one = planned(&c, ALL).moves.remove(0);
    let elsewhere = Transfer { to: "n9".into(), ..transfer(&one, false) };
    let refusal = asked(&mut c, &elsewhere).unwrap_err();
    assert_eq!((refusal.code, refusal.message.contains("no longer helps")), (409, true), "{refusal:?}");
    let other = c.pods().into_iter().find(|p| p.uid != one.uid).unwrap().uid;
    assert_eq!(asked(&mut c, &Transfer { uid: other, ..transfer(&one, false) }).unwrap_err().code, 409);
    carry_out(&mut c, 5);
    assert_eq!(asked(&mut c, &transfer(&one, false)).unwrap_err().code, 404);
    c.advance(Duration::from_secs(1));
}

#[derive(Debug, Clone)]
struct Shape {
    replicas: i32,
    cpu: u16,
    zone: Option<u8>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let zone = prop_oneof![3 => Just(None), 1 => (0..2_u8).prop_map(Some)];
    (1..7_i32, 50..700_u16, zone).prop_map(|(replicas, cpu, zone)| Shape { replicas, cpu, zone })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever the cluster, carrying plans out keeps every promise, each replacement goes where it
    /// was said, no replica joins another, and it comes to an end after which nothing helps.
    #[test]
    fn it_comes_to_an_end(
        first in prop::collection::vec((1..9_u8, 2..17_u8), 1..4), then in prop::collection::vec((1..9_u8, 2..17_u8), 1..4),
        apps in prop::collection::vec(shape(), 1..8),
    ) {
        let mut c = Cluster::new(&[]);
        let join = |c: &mut Cluster, n: usize, (cpu, memory): (u8, u8)| {
            let name = format!("n{n}");
            c.hello(&name, &cpu.to_string(), &format!("{memory}Gi"), Vec::new());
            let mut wish = c.wish(&name);
            Arc::make_mut(&mut wish.labels).insert("zone".into(), (n % 2).to_string());
            c.with(|w, cx| crate::controllers::node::update(w, &name, (&wish, &crate::controllers::testkit::by_test()), None, false, cx)).unwrap();
        };
        first.iter().enumerate().for_each(|(n, size)| join(&mut c, n, *size));
        for (n, shape) in apps.iter().enumerate() {
            let zone = shape.zone.map_or(json!({}), |z| json!({"nodeSelector": {"zone": z.to_string()}}));
            c.put(app(&format!("app-{n}"), shape.replicas, &format!("{}m", shape.cpu), zone));
        }
        c.rest();
        // What found no room at first would take what a move frees.
        prop_assume!(!c.world.pods.any_waiting());
        then.iter().enumerate().for_each(|(n, size)| join(&mut c, first.len() + n, *size));
        c.rest();
        let squares = |c: &Cluster| -> Vec<usize> {
            (0..apps.len()).map(|n| spread(c, &format!("app-{n}")).values().map(|k| k * k).sum()).collect()
        };
        let before = squares(&c);
        let pods = c.pods().len();
        carry_out(&mut c, 3 * pods + 1);
        for (was, is) in before.iter().zip(squares(&c)) {
            prop_assert!(is <= *was);
        }
        let rest = planned(&c, ALL);
        prop_assert!(rest.moves.is_empty() && !rest.more, "{rest:?}");
        c.agents();
        c.settle();
        prop_assert!(planned(&c, ALL).moves.is_empty());
    }
}
