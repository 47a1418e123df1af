//! The step over the real controllers and the store's model: whole batches, crashes, a full disk,
//! lost databases.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use evenkeel_conductor::{AskId, Conductor, Event, Failure, Output, Reach, Start};
use evenkeel_core::{Answer, Ask, Settings, ask::DeleteOptions, edit::Owners, release::inbound::Seen};
use evenkeel_model::{
    Doc, Key, Kind, Meta, Place, Revision, Snapshot, Time, Version,
    own::{GitSpec, SourceSpec, SourceStatus},
    session::{Hello, KnownPod, NodeReport, PodReport, Report, Stamp, ToAgent},
};
use evenkeel_store::{Crash, MemoryDisk, MemoryStore};
use serde_json::json;

const T0: Time = Time(1_800_000_000_000);

fn start(disk: &MemoryDisk, now: Time, recover: Option<BTreeSet<Arc<str>>>) -> Conductor<MemoryStore> {
    let start = Start { now, seed: 7, digest_key: [1; 32], settings: Settings::default(), recover };
    Conductor::start(MemoryStore::open(disk, now), start).unwrap()
}

fn hello() -> Event {
    Event::Hello(Box::new(first_words()))
}

fn first_words() -> Hello {
    let amounts =
        |pods: &str| [("cpu", "4"), ("memory", "8Gi"), ("pods", pods)].map(|(k, v)| (k.into(), v.into())).into();
    Hello {
        node: "n1".into(),
        session: 1,
        epoch: 0,
        report: NodeReport { capacity: amounts("110"), allocatable: amounts("110"), ..NodeReport::default() },
        pods: Vec::new(),
        sources: Vec::new(),
    }
}

fn create_source() -> Event {
    let git = GitSpec { url: "/srv/shop".into(), ..GitSpec::default() };
    let spec = SourceSpec { git: Some(git), ..SourceSpec::default() };
    let ask = Ask::CreateSource {
        name: "shop".into(),
        spec,
        meta: Meta::default(),
        owners: Owners::By("test".into()),
        dry_run: false,
    };
    Event::Ask { id: AskId(1), ask: Box::new(ask), user: "admin".into() }
}

fn seen(commit: char, replicas: u32) -> Event {
    let labels = json!({"app": "web"});
    let value = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "shop:1"}]}}}});
    let doc = Doc::new(Key::new(Kind::Deployment, "default", "web"), value, Place::default(), Vec::new());
    let snapshot = Snapshot { docs: vec![Arc::new(doc)], ..Snapshot::default() };
    Event::Seen(Box::new(Seen {
        source: "shop".into(),
        revision: Revision::git(Some("main"), &commit.to_string().repeat(40)),
        author: "Someone <someone@shop.example>".into(),
        message: "web".into(),
        outcome: Ok(Arc::new(snapshot)),
        confirmed: true,
    }))
}

/// Steps until nothing is left to do at this time.
fn settle(c: &mut Conductor<MemoryStore>, now: Time, events: Vec<Event>) -> Vec<Output> {
    let mut all = vec![c.step(now, events).unwrap()];
    while all.last().unwrap().wake.is_some_and(|at| at <= now) {
        assert!(all.len() < 200, "it never settles");
        all.push(c.step(now, Vec::new()).unwrap());
    }
    all
}

fn pods(c: &Conductor<MemoryStore>) -> Vec<Key> {
    c.world().list(Kind::Pod, "default").map(|p| p.key.clone()).collect()
}

fn orders(outputs: &[Output]) -> Vec<String> {
    let messages = outputs.iter().flat_map(|o| &o.to_agents);
    let assignments = messages.filter_map(|(_, m)| if let ToAgent::Assign(a) = m { Some(a) } else { None });
    assignments.flat_map(|a| a.pods.iter().map(|p| p.name.to_string())).collect()
}

#[test]
fn a_revision_becomes_assignments_in_one_go() {
    let disk = MemoryDisk::new();
    let mut c = start(&disk, T0, None);
    settle(&mut c, T0, vec![hello()]);
    let answered = settle(&mut c, T0, vec![create_source()]);
    assert!(matches!(answered[0].replies[0], (AskId(1), Ok(Answer::Object(_)))), "{:?}", answered[0].replies);
    let outputs = settle(&mut c, T0, vec![seen('a', 3)]);
    assert_eq!(pods(&c).len(), 3);
    assert_eq!(orders(&outputs).len(), 3, "each pod is ordered once");
    // What was published is what the store holds.
    let again = start(&disk, T0, None);
    assert_eq!(again.world().version, c.world().version);
    let both = [&c, &again].map(|c| c.world().all().map(|o| o.to_json()).collect::<Vec<_>>());
    assert_eq!(both[0], both[1]);
}

#[test]
fn the_same_events_give_the_same_bytes() {
    let run = || {
        let mut c = start(&MemoryDisk::new(), T0, None);
        settle(&mut c, T0, vec![hello(), create_source()]);
        settle(&mut c, T0, vec![seen('a', 5)]);
        c.world().all().map(|o| o.to_json()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_report_with_nothing_new_writes_nothing() {
    let disk = MemoryDisk::new();
    let mut c = start(&disk, T0, None);
    settle(&mut c, T0, vec![hello(), create_source()]);
    settle(&mut c, T0, vec![seen('a', 1)]);
    let pod = c.world().list(Kind::Pod, "default").next().unwrap().clone();
    let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": T0.rfc3339()}]});
    let stamp = |seq| Stamp { session: 1, seq };
    let report = |seq| Event::Report {
        node: "n1".into(),
        stamp: stamp(seq),
        report: Box::new(Report {
            pods: vec![PodReport {
                uid: pod.uid,
                namespace: "default".into(),
                name: pod.key.name.clone(),
                status: serde_json::to_vec(&status).unwrap().into(),
                gone: false,
                image_ids: [("c".into(), "sha256:1".into())].into(),
                logs: std::collections::BTreeMap::new(),
            }],
            ..Report::default()
        }),
    };
    settle(&mut c, T0, vec![report(1)]);
    let version = c.world().version;
    let outputs = settle(&mut c, T0 + Duration::from_secs(1), vec![report(2)]);
    assert_eq!(c.world().version, version);
    assert!(outputs.iter().all(|o| o.view.is_none() && o.published.is_empty() && o.to_agents.is_empty()));
    let heartbeat = Event::Report { node: "n1".into(), stamp: stamp(2), report: Box::default() };
    settle(&mut c, T0 + Duration::from_secs(2), vec![heartbeat]);
    assert_eq!(c.world().version, version);
}

#[test]
fn a_lost_report_ends_the_session_and_a_late_one_says_nothing() {
    let mut c = start(&MemoryDisk::new(), T0, None);
    settle(&mut c, T0, vec![hello(), create_source()]);
    let of = |session, seq, why: Option<&str>| Event::Report {
        node: "n1".into(),
        stamp: Stamp { session, seq },
        report: Box::new(Report {
            node: why.map(|why| NodeReport { not_ready: Some(why.into()), ..NodeReport::default() }),
            ..Report::default()
        }),
    };
    settle(&mut c, T0, vec![of(1, 1, Some("the first"))]);
    settle(&mut c, T0, vec![of(1, 2, Some("the second"))]);
    let version = c.world().version;
    let late = settle(&mut c, T0, vec![of(1, 1, Some("the first")), of(0, 1, Some("an older session's"))]);
    assert_eq!(c.world().version, version);
    assert!(late.iter().all(|o| o.hang_up.is_empty()));
    let lost = settle(&mut c, T0, vec![of(1, 4, Some("the fourth")), of(1, 5, Some("the fifth"))]);
    assert_eq!(lost[0].hang_up, ["n1".into()]);
    assert_eq!(c.world().version, version);
    // A new session that began in the same batch is not ended for what the old one lost.
    let mut again = hello();
    if let Event::Hello(hello) = &mut again {
        hello.session = 2;
    }
    let both = settle(&mut c, T0, vec![of(1, 9, Some("the ninth")), again.clone(), again]);
    assert!(both[0].hang_up.is_empty());
    let full = both[0].to_agents.iter().filter(|(_, m)| matches!(m, ToAgent::Assign(a) if a.full && a.session == 2));
    assert_eq!(full.count(), 1, "a hello that comes twice is answered once");
}

#[test]
fn a_node_that_speaks_after_its_silence_begins_anew() {
    let mut c = start(&MemoryDisk::new(), T0, None);
    settle(&mut c, T0, vec![hello(), create_source()]);
    settle(&mut c, T0, vec![seen('a', 1)]);
    let beat = || Event::Report { node: "n1".into(), stamp: Stamp { session: 1, seq: 0 }, report: Box::default() };
    let before = settle(&mut c, T0 + Duration::from_secs(30), vec![beat()]);
    assert!(before[0].hang_up.is_empty());
    let later = T0 + Duration::from_secs(75);
    let ready = |c: &Conductor<_>| c.world().nodes.get("n1").is_some_and(|n| n.ready);
    let mut ended = 0;
    for second in (32..=75).step_by(2) {
        assert_eq!(ready(&c), ended == 0, "its session ends as its silence is known");
        let outputs = settle(&mut c, T0 + Duration::from_secs(second), Vec::new());
        ended += outputs.iter().map(|o| o.hang_up.len()).sum::<usize>();
    }
    assert!(!ready(&c) && ended == 1, "{ended}");
    let spoken = settle(&mut c, later + Duration::from_secs(1), vec![beat()]);
    assert_eq!(spoken[0].hang_up, ["n1".into()]);
    let mut again = hello();
    if let Event::Hello(hello) = &mut again {
        hello.session = 2;
    }
    settle(&mut c, later + Duration::from_secs(2), vec![again]);
    assert!(ready(&c));
}

#[test]
fn a_crash_at_any_commit_ends_in_the_same_place() {
    for crash in [Crash::BeforeCommit, Crash::AfterCommit] {
        for at in 0..12 {
            let disk = MemoryDisk::new();
            let mut c = start(&disk, T0, None);
            settle(&mut c, T0, vec![hello(), create_source()]);
            let mut steps = 0;
            let mut events = vec![seen('a', 3)];
            loop {
                if steps == at {
                    disk.fail_next(crash);
                }
                steps += 1;
                match c.step(T0, std::mem::take(&mut events)) {
                    Ok(o) if o.wake.is_some_and(|w| w <= T0) => {}
                    Ok(_) => break,
                    Err(_) => {
                        disk.crash();
                        c = start(&disk, T0, None);
                        // The follower and the agent come back by themselves.
                        events = vec![hello(), seen('a', 3)];
                    }
                }
                assert!(steps < 500);
            }
            assert_eq!(pods(&c).len(), 3, "{crash:?} at {at}");
        }
    }
}

#[test]
fn a_full_disk_refuses_requests_and_loses_no_event() {
    let disk = MemoryDisk::new();
    let mut c = start(&disk, T0, None);
    settle(&mut c, T0, vec![hello()]);
    disk.set_full(true);
    let output = c.step(T0, vec![create_source(), seen('a', 1)]).unwrap();
    assert_eq!(output.replies, vec![(AskId(1), Err(Failure::DiskFull))]);
    assert!(c.disk_full());
    assert!(c.world().get(&Key::cluster(Kind::Source, "shop")).is_none());
    disk.set_full(false);
    let later = output.wake.unwrap();
    settle(&mut c, later, vec![create_source()]);
    assert!(!c.disk_full());
    assert!(c.world().get(&Key::cluster(Kind::Source, "shop")).is_some());
}

#[test]
fn a_lost_database_waits_for_its_nodes() {
    let disk = MemoryDisk::new();
    let nodes: BTreeSet<Arc<str>> = ["n1".into()].into();
    let mut c = start(&disk, T0, Some(nodes.clone()));
    settle(&mut c, T0, vec![create_source(), seen('a', 2)]);
    assert!(c.world().recovering.is_some());
    assert_eq!(pods(&c).len(), 0, "nothing is created while a node is silent");
    // A second crash before it is over does not forget that it recovers.
    let mut c = start(&disk, T0, Some(nodes));
    assert!(c.world().recovering.is_some());
    settle(&mut c, T0, vec![hello(), seen('a', 2)]);
    assert!(c.world().recovering.is_none());
    assert_eq!(pods(&c).len(), 2);
    // A plain start of a store that is not new recovers nothing.
    assert!(start(&disk, T0, Some(BTreeSet::new())).world().recovering.is_none());
}

#[test]
fn a_refused_request_changes_nothing() {
    let mut c = start(&MemoryDisk::new(), T0, None);
    settle(&mut c, T0, Vec::new());
    let version = c.world().version;
    let ask = Ask::Retry { name: "nobody".into() };
    let outputs = settle(&mut c, T0, vec![Event::Ask { id: AskId(9), ask: Box::new(ask), user: "x".into() }]);
    match &outputs[0].replies[0] {
        (AskId(9), Err(Failure::Refused(r))) => assert_eq!(r.code, 404, "{}", r.message),
        other => panic!("{other:?}"),
    }
    assert_eq!(c.world().version, version);
}

/// The node's hello with the epoch that it has obeyed.
fn hello_of(node: &str, session: u64, epoch: u64) -> Event {
    let Event::Hello(hello) = hello() else { unreachable!() };
    Event::Hello(Box::new(Hello { node: node.into(), session, epoch, ..*hello }))
}

/// Epochs of the full assignments, by node.
fn told(output: &Output) -> Vec<(String, u64)> {
    let assignments = output.to_agents.iter().filter_map(|(node, m)| match m {
        ToAgent::Assign(a) if a.full => Some((node.to_string(), a.epoch)),
        _ => None,
    });
    assignments.collect()
}

fn nodes(names: &[&str]) -> BTreeSet<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

#[test]
fn a_former_server_takes_nothing_of_a_node_that_has_obeyed_a_newer_one() {
    let disk = MemoryDisk::new();
    start(&disk, T0, Some(nodes(&["n1"])));
    // Its store is new no more, also where its recovery was cut off.
    let mut c = start(&disk, T0, Some(nodes(&["n1"])));
    let (own, newer) = (c.world().epoch, c.world().epoch + 1);
    let output = c.step(T0, vec![hello_of("n1", 1, newer)]).unwrap();
    assert_eq!((c.world().newer, c.world().epoch), (Some(newer), own));
    assert!(c.world().recovering.is_some() && c.world().list(Kind::Node, "").next().is_none());
    // The agent hears this store's epoch, by which it refuses.
    assert_eq!(told(&output), [("n1".to_string(), own)]);
}

#[test]
fn a_new_store_under_a_clock_that_is_behind_takes_an_epoch_above_those_it_hears() {
    let disk = MemoryDisk::new();
    let mut c = start(&disk, T0, Some(nodes(&["n1", "n2", "n3"])));
    let own = c.world().epoch;
    settle(&mut c, T0, vec![hello_of("n2", 1, 0)]);
    let heard = own + 5_000_000;
    let output = c.step(T0, vec![hello_of("n1", 1, heard)]).unwrap();
    let taken = c.world().epoch;
    assert!(taken > heard && c.world().version.0 >= taken && c.world().newer.is_none());
    // Everybody hears of it, and nobody is told to stop anything.
    let both = ["n1", "n2"].map(|node| (node.to_string(), taken));
    assert_eq!(told(&output), both);
    assert!(c.world().recovering.is_some());
    let nodes_there: Vec<_> = c.world().list(Kind::Node, "").map(|n| n.key.name.to_string()).collect();
    assert_eq!(nodes_there, ["n1", "n2"]);
    // It is on disk.
    drop(c);
    let mut c = start(&disk, T0, Some(nodes(&["n1", "n2", "n3"])));
    assert_eq!(c.world().epoch, taken);
    // What another server did meanwhile is not overruled by a start that made no store.
    c.step(T0, vec![hello_of("n3", 1, taken + 1)]).unwrap();
    assert_eq!((c.world().epoch, c.world().newer), (taken, Some(taken + 1)));
}

#[test]
fn an_epoch_is_taken_in_a_recovery_alone_and_no_lie_is_believed() {
    let disk = MemoryDisk::new();
    let mut c = start(&disk, T0, Some(nodes(&["n1"])));
    let own = c.world().epoch;
    c.step(T0, vec![hello_of("n1", 1, u64::MAX)]).unwrap();
    assert_eq!((c.world().epoch, c.world().newer), (own, Some(u64::MAX)));
    let over = T0 + Settings::default().recovery_wait;
    settle(&mut c, over, Vec::new());
    assert!(c.world().recovering.is_none());
    c.step(over, vec![hello_of("n1", 2, own + 1)]).unwrap();
    assert_eq!(c.world().epoch, own, "another one was restored while this one was cut off");
    // A restored store may, as a new one.
    let restored = MemoryDisk::new();
    restored.restore(&disk);
    let mut c = start(&restored, T0, Some(nodes(&["n1"])));
    let heard = c.world().epoch + 7;
    c.step(T0, vec![hello_of("n1", 1, heard)]).unwrap();
    assert_eq!((c.world().epoch, c.world().newer), (heard + 1, None));
}

#[test]
fn what_a_restored_server_writes_is_no_newer_than_what_the_agents_saw() {
    let disk = MemoryDisk::new();
    let mut c = start(&disk, T0, None);
    settle(&mut c, T0, vec![hello(), create_source()]);
    settle(&mut c, T0, vec![seen('a', 3)]);
    let backup = disk.fork();
    let outputs = settle(&mut c, T0, vec![seen('b', 5)]);
    let mut copies = outputs.iter().flat_map(|o| &o.to_agents).filter_map(|(_, m)| match m {
        ToAgent::Sources(sources) => Some(sources.clone()),
        _ => None,
    });
    let copies = copies.next_back().unwrap();
    let epoch = c.world().epoch;
    let applied = |c: &Conductor<MemoryStore>| {
        let source = c.world().get(&Key::cluster(Kind::Source, "shop")).unwrap();
        source.status::<SourceStatus>().unwrap().unwrap().applied_revision
    };
    assert_eq!(applied(&c), Some(Revision::git(Some("main"), &"b".repeat(40))));
    drop(c);

    let restored = MemoryDisk::new();
    restored.restore(&backup);
    let later = T0 + Duration::from_hours(1);
    // Once more: its own first life was cut off, and it had written to the Source.
    for (life, session) in [(0, 2), (1, 3)] {
        let mut c = start(&restored, later, Some(nodes(&["n1"])));
        settle(&mut c, later, vec![seen('b', 5)]);
        assert_eq!(applied(&c), Some(Revision::git(Some("main"), &"a".repeat(40))), "life {life}");
        let version = c.world().get(&Key::cluster(Kind::Source, "shop")).unwrap().version;
        assert!(version > copies[0].version, "it has written to it");
        if life == 1 {
            let Event::Hello(hello) = hello_of("n1", session, epoch) else { unreachable!() };
            let hello = Hello { sources: copies.to_vec(), ..*hello };
            settle(&mut c, later, vec![Event::Hello(Box::new(hello))]);
            assert_eq!(applied(&c), Some(Revision::git(Some("main"), &"b".repeat(40))));
        }
    }
}

/// What each node was told of the network, in order.
fn networks(outputs: &[Output]) -> Vec<(String, Arc<evenkeel_model::net::NetworkUpdate>)> {
    let messages = outputs.iter().flat_map(|o| &o.to_agents);
    messages
        .filter_map(|(node, m)| if let ToAgent::Network(n) = m { Some((node.to_string(), n.clone())) } else { None })
        .collect()
}

/// A commit with a Service and a pod behind it.
fn service_and_pod() -> Event {
    let labels = json!({"app": "web"});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default", "labels": labels},
        "spec": {"containers": [{"name": "c", "image": "shop:1"}]}});
    let doc = |kind, value| Arc::new(Doc::new(Key::new(kind, "default", "web"), value, Place::default(), Vec::new()));
    let Event::Seen(mut seen) = seen('a', 1) else { panic!("no revision") };
    let docs = vec![doc(Kind::Service, service), doc(Kind::Pod, pod)];
    seen.outcome = Ok(Arc::new(Snapshot { docs, ..Snapshot::default() }));
    Event::Seen(seen)
}

/// Its pod runs, and is ready or not.
fn readiness(c: &Conductor<MemoryStore>, seq: u64, ready: bool) -> Event {
    let pod = c.world().get(&Key::new(Kind::Pod, "default", "web")).unwrap().clone();
    let ready = if ready { "True" } else { "False" };
    let status = json!({"phase": "Running", "podIP": "10.42.0.9",
        "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": T0.rfc3339()}]});
    let pod = PodReport {
        uid: pod.uid,
        namespace: "default".into(),
        name: "web".into(),
        status: status.to_string().as_bytes().into(),
        gone: false,
        image_ids: [].into(),
        logs: [].into(),
    };
    said(seq, Report { pods: vec![pod], ..Report::default() })
}

/// Its node begins another session.
fn again(c: &Conductor<MemoryStore>, session: u64) -> Event {
    let pod = c.world().get(&Key::new(Kind::Pod, "default", "web")).unwrap();
    let mut value = pod.to_value();
    let status = value.as_object_mut().unwrap().remove("status").unwrap();
    let known = KnownPod { pod: value, uid: pod.uid, status, image_ids: [].into(), drifted: Vec::new() };
    Event::Hello(Box::new(Hello { session, pods: vec![known], ..first_words() }))
}

fn said(seq: u64, report: Report) -> Event {
    Event::Report { node: "n1".into(), stamp: Stamp { session: 1, seq }, report: Box::new(report) }
}

#[test]
fn a_session_hears_the_whole_network_first_and_then_what_changed() {
    let mut c = start(&MemoryDisk::new(), T0, None);
    let outputs = settle(&mut c, T0, vec![hello(), create_source()]);
    let told = networks(&outputs);
    assert_eq!(told.len(), 1);
    let (node, full) = &told[0];
    assert!(node == "n1" && full.full && full.session == 1 && full.settings.is_some());
    assert_eq!(full.nodes[0].pod_cidr.map(|r| r.to_string()).as_deref(), Some("10.42.0.0/24"));
    let place = |m: &ToAgent| matches!(m, ToAgent::Assign(_));
    let messages: Vec<&ToAgent> = outputs.iter().flat_map(|o| &o.to_agents).map(|(_, m)| m).collect();
    let network = messages.iter().position(|m| matches!(m, ToAgent::Network(_))).unwrap();
    assert!(messages[..network].iter().any(|m| place(m)), "the assignment comes before it");

    let told = networks(&settle(&mut c, T0, vec![service_and_pod()]));
    let update = &told.last().unwrap().1;
    assert!(!update.full && update.settings.is_none() && update.number > full.number);
    assert_eq!((&*update.services[0].id.name, update.services[0].endpoints.len()), ("web", 0));
    assert_eq!(update.services[0].cluster_ips.len(), 1);

    for (seq, ready) in [(1, true), (2, false)] {
        let report = readiness(&c, seq, ready);
        let told = networks(&settle(&mut c, T0, vec![report]));
        let services: Vec<_> = told.iter().flat_map(|(_, u)| &u.services).collect();
        let endpoint = &services.last().unwrap().endpoints[0];
        assert_eq!((endpoint.address.to_string().as_str(), endpoint.ready), ("10.42.0.9", ready));
        assert_eq!(endpoint.ports, [Some(8080)]);
    }
    // A heartbeat tells nobody anything.
    let beat = Event::Report { node: "n1".into(), stamp: Stamp { session: 1, seq: 2 }, report: Box::default() };
    assert!(networks(&settle(&mut c, T0, vec![beat])).is_empty());
}

#[test]
fn an_assignment_that_was_lost_without_a_successor_ends_the_session() {
    let mut c = start(&MemoryDisk::new(), T0, None);
    settle(&mut c, T0, vec![hello(), create_source()]);
    let outputs = settle(&mut c, T0, vec![service_and_pod()]);
    let messages = outputs.iter().flat_map(|o| &o.to_agents);
    let last = messages.filter_map(|(_, m)| if let ToAgent::Assign(a) = m { Some(a.seq) } else { None }).max().unwrap();
    let beat = |assigned| said(0, Report { assigned: Some(assigned), ..Report::default() });
    let hung = |outputs: &[Output]| outputs.iter().any(|o| !o.hang_up.is_empty());
    assert!(!hung(&settle(&mut c, T0 + Duration::from_secs(10), vec![beat(last - 1)])), "it may be on its way");
    assert!(!hung(&settle(&mut c, T0 + Duration::from_secs(20), vec![beat(last)])));
    assert!(hung(&settle(&mut c, T0 + Duration::from_secs(20), vec![beat(last - 1)])));
}

/// The deletion that the pod's node hears of.
fn ends(outputs: &[Output]) -> bool {
    let messages = outputs.iter().flat_map(|o| &o.to_agents);
    let assignments = messages.filter_map(|(_, m)| if let ToAgent::Assign(a) = m { Some(a) } else { None });
    assignments.flat_map(|a| &a.pods).any(|p| p.deletion.is_some())
}

fn delete(grace_seconds: Option<i64>) -> Event {
    let options = DeleteOptions { grace_seconds, ..DeleteOptions::default() };
    let ask = Ask::DeletePod { pod: Key::new(Kind::Pod, "default", "web"), options };
    Event::Ask { id: AskId(9), ask: Box::new(ask), user: "admin".into() }
}

#[test]
fn a_pod_behind_a_service_ends_when_no_node_sends_anybody_there_any_more() {
    let behind = || {
        let mut c = start(&MemoryDisk::new(), T0, None);
        settle(&mut c, T0, vec![hello(), create_source()]);
        settle(&mut c, T0, vec![service_and_pod()]);
        let report = readiness(&c, 1, true);
        let told = networks(&settle(&mut c, T0, vec![report]));
        let follows = Report { network: Some(told.last().unwrap().1.number), ..Report::default() };
        settle(&mut c, T0, vec![said(2, follows)]);
        c
    };
    // Every agent says that its kernel follows.
    let mut c = behind();
    let outputs = settle(&mut c, T0, vec![delete(None)]);
    let told = networks(&outputs);
    let without = told.last().unwrap().1.number;
    assert!(told.last().unwrap().1.services[0].endpoints[0].terminating && !ends(&outputs));
    let early = Report { network: Some(without - 1), ..Report::default() };
    assert!(!ends(&settle(&mut c, T0, vec![said(3, early)])));
    // A session that begins anew meanwhile hears no more than it should.
    let beginning = again(&c, 2);
    assert!(!ends(&settle(&mut c, T0, vec![Event::Ended { node: "n1".into() }, beginning])));
    let follows = Report { network: Some(without), ..Report::default() };
    let report = Event::Report { node: "n1".into(), stamp: Stamp { session: 2, seq: 1 }, report: Box::new(follows) };
    assert!(ends(&settle(&mut c, T0, vec![report])));
    // What was told once stays so.
    let again = again(&c, 3);
    assert!(ends(&settle(&mut c, T0, vec![Event::Ended { node: "n1".into() }, again])));

    // One that says nothing is not waited for without end.
    let mut c = behind();
    let outputs = settle(&mut c, T0, vec![delete(None)]);
    assert!(!ends(&outputs));
    let (mut now, mut wake) = (T0, outputs.last().unwrap().wake.unwrap());
    let ended = loop {
        assert!(now < wake && wake <= T0 + Duration::from_secs(11), "it is looked at again at {wake:?}");
        now = wake;
        let outputs = settle(&mut c, now, Vec::new());
        if ends(&outputs) {
            break now;
        }
        wake = outputs.last().unwrap().wake.unwrap();
    };
    assert_eq!(ended, T0 + Duration::from_secs(11), "ten from the step after that in which nodes were told");

    // But what a busy disk held back was heard by nobody: that time does not count.
    let mut c = behind();
    assert!(!ends(&settle(&mut c, T0, vec![delete(None)])));
    let late = T0 + Duration::from_mins(1);
    assert!(!ends(&settle(&mut c, late, Vec::new())));
    assert!(!ends(&settle(&mut c, late + Duration::from_secs(3), Vec::new())));
    let follows = Report { network: Some(without), ..Report::default() };
    assert!(ends(&settle(&mut c, late + Duration::from_secs(3), vec![said(3, follows)])));

    // By force at once.
    let mut c = behind();
    assert!(!ends(&settle(&mut c, T0, vec![delete(None)])));
    let pod = c.world().get(&Key::new(Kind::Pod, "default", "web")).unwrap().uid;
    let outputs = settle(&mut c, T0, vec![delete(Some(0))]);
    let mut messages = outputs.iter().flat_map(|o| &o.to_agents);
    assert!(messages.any(|(_, m)| matches!(m, ToAgent::Assign(a) if a.forget.contains(&pod))));
}

#[test]
fn while_recovering_nobody_is_told_that_anything_is_gone() {
    let known = BTreeSet::from([Arc::from("n1"), Arc::from("n2")]);
    let mut c = start(&MemoryDisk::new(), T0, Some(known));
    assert!(networks(&settle(&mut c, T0, vec![hello()])).is_empty());
    let over = T0 + Settings::default().recovery_wait;
    let told = networks(&settle(&mut c, over, Vec::new()));
    assert!(told.iter().any(|(node, update)| node == "n1" && update.full), "{told:?}");
}

/// What each node was told of Ingresses, in order.
fn ingresses(outputs: &[Output]) -> Vec<Arc<evenkeel_model::ingress::IngressUpdate>> {
    let messages = outputs.iter().flat_map(|o| &o.to_agents);
    messages.filter_map(|(_, m)| if let ToAgent::Ingresses(i) = m { Some(i.clone()) } else { None }).collect()
}

/// A commit with an Ingress of a class, a Secret that it names and one that it does not.
fn ingress_and_secrets(commit: char, class: &str, key: &str) -> Event {
    let meta = |name: &str| json!({"name": name, "namespace": "default"});
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta("web"), "spec": {
        "ingressClassName": class, "tls": [{"hosts": ["web.example"], "secretName": "web"}],
        "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}});
    let secret = |name: &str| {
        let data = json!({"tls.crt": "Y2hhaW4=", "tls.key": key});
        json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": meta(name), "data": data})
    };
    let doc = |kind, name: &str, value| {
        Arc::new(Doc::new(Key::new(kind, "default", name), value, Place::default(), Vec::new()))
    };
    let Event::Seen(mut seen) = seen(commit, 1) else { panic!("no revision") };
    let docs = vec![
        doc(Kind::Secret, "other", secret("other")),
        doc(Kind::Secret, "web", secret("web")),
        doc(Kind::Ingress, "web", ingress),
    ];
    seen.outcome = Ok(Arc::new(Snapshot { docs, ..Snapshot::default() }));
    Event::Seen(seen)
}

#[test]
fn agents_hear_of_ingresses_that_are_served_and_of_the_secrets_that_they_name_alone() {
    let mut c = start(&MemoryDisk::new(), T0, None);
    let told = ingresses(&settle(&mut c, T0, vec![hello(), create_source()]));
    assert!(told.len() == 1 && told[0].full && told[0].session == 1 && told[0].ingresses.is_empty());
    assert!(c.world().get(&Key::cluster(Kind::IngressClass, "evenkeel")).is_some(), "it is there of itself");

    let told = ingresses(&settle(&mut c, T0, vec![ingress_and_secrets('a', "evenkeel", "a2V5")]));
    let (named, certificates): (Vec<_>, Vec<_>) =
        told.iter().map(|u| (u.ingresses.len(), u.certificates.len())).unzip();
    assert_eq!((named.iter().sum::<usize>(), certificates.iter().sum::<usize>()), (1, 1), "{told:?}");
    let certificate = told.iter().flat_map(|u| &u.certificates).next().unwrap();
    assert_eq!((&*certificate.id.name, &*certificate.key), ("web", "key"));
    assert!(!format!("{told:?}").contains("\"key\""), "a key is not shown");

    // The same again says nothing; another key says the certificate alone.
    let told = ingresses(&settle(&mut c, T0, vec![ingress_and_secrets('b', "evenkeel", "YW5vdGhlcg==")]));
    assert!(told.iter().all(|u| u.ingresses.is_empty()) && told.iter().any(|u| u.certificates.len() == 1), "{told:?}");

    // Another controller's: it stays an object and is not served.
    let told = ingresses(&settle(&mut c, T0, vec![ingress_and_secrets('d', "nginx", "YW5vdGhlcg==")]));
    assert!(told.iter().any(|u| u.gone_ingresses.len() == 1 && u.gone_certificates.len() == 1), "{told:?}");
    assert!(c.world().get(&Key::new(Kind::Ingress, "default", "web")).is_some());
}

#[test]
fn a_node_is_behind_until_it_says_that_it_serves_what_was_told_last() {
    let mut c = start(&MemoryDisk::new(), T0, None);
    let reaches = |c: &Conductor<MemoryStore>| -> Vec<(String, Reach)> {
        c.served().behind.iter().map(|b| (b.node.to_string(), b.reach)).collect()
    };
    let one = |reach| vec![("n1".to_owned(), reach)];
    let serves = |seq, number| said(seq, Report { ingresses: Some(number), ..Report::default() });
    let full = ingresses(&settle(&mut c, T0, vec![hello(), create_source()]))[0].number;
    assert_eq!(reaches(&c), one(Reach::Unsaid));
    settle(&mut c, T0, vec![serves(1, full)]);
    assert_eq!((reaches(&c), c.served().told), (vec![], c.world().version));

    let told = ingresses(&settle(&mut c, T0, vec![ingress_and_secrets('a', "evenkeel", "a2V5")]));
    let last = told.last().unwrap().number;
    let ingress = c.world().get(&Key::new(Kind::Ingress, "default", "web")).unwrap().version;
    assert!(full < ingress.0 && ingress.0 <= last);
    assert_eq!(reaches(&c), one(Reach::At(Version(full))));
    assert_eq!(c.served().missing(ingress).map(|all| all.len()), Some(1));
    settle(&mut c, T0, vec![serves(2, last)]);
    assert_eq!((reaches(&c), c.served().missing(ingress)), (vec![], Some(vec![])));
    // What says nothing of Ingresses changes nothing of it.
    settle(&mut c, T0, vec![seen('b', 2)]);
    let gone = ingresses(&settle(&mut c, T0, vec![ingress_and_secrets('d', "evenkeel", "a2V5")]));
    settle(&mut c, T0, vec![serves(3, gone.last().unwrap().number)]);
    assert_eq!(reaches(&c), vec![]);

    // Its agent comes back and has said nothing yet, is away, and is found silent.
    let agent = |session| Event::Hello(Box::new(Hello { session, ..first_words() }));
    settle(&mut c, T0, vec![agent(2)]);
    assert_eq!(reaches(&c), one(Reach::Unsaid));
    settle(&mut c, T0, vec![Event::Ended { node: "n1".into() }]);
    assert_eq!(reaches(&c), one(Reach::Away));
    for seconds in 1..60 {
        settle(&mut c, T0 + Duration::from_secs(seconds), Vec::new());
    }
    assert_eq!(reaches(&c), vec![], "it is silent");

    // While the world recovers nobody is told anything.
    let known = BTreeSet::from([Arc::from("n1"), Arc::from("n2")]);
    let c = start(&MemoryDisk::new(), T0, Some(known));
    assert_eq!(c.served().missing(c.world().version.max(Version(1))), None);
}
