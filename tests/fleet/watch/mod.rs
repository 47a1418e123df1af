//! Two hundred clients that watch, of several kinds, and ten thousand changes. Meanwhile the server is killed
//! twice, left too much to tell, and set back to a backup: at the end each client's copy is what is there.

mod cache;
mod process;
mod reflected;
mod writers;

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use cache::{Client, Sort, State, known};
use hyper::Method;
use kube::runtime::watcher;
use process::Process;
use reflected::Reflected;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use writers::{NAMESPACES, Shared, Written};

use crate::{ALONE, api::Api, until};

const CLIENTS: usize = 200;
/// Where heavy objects are.
const BULK: &str = "/api/v1/namespaces/bulk/configmaps";
/// All that is written besides.
const ALL: &str = "/api/v1/configmaps?labelSelector=fire";
const WRITERS: u64 = 8;
const CHANGES: usize = 10_000;
/// More bytes of changes than the server keeps for watches, and sockets on the way: the design's bound is 64 MiB,
/// a kernel holds some of a connection.
const OVERRUN: usize = 84 << 20;
/// Writers of heavy objects.
const HEAVY_WRITERS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn every_copy_is_what_is_there_whatever_came_between() {
    let _alone = ALONE.lock().await;
    let dir = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let mut server = Process::start(dir.path());
    until("the server has an administrator", async || server.api().is_some()).await;
    let api = server.api().unwrap();
    answers(&api).await;
    for name in (0..NAMESPACES).map(|n| format!("fire-{n}")).chain(["bulk".into()]) {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        api.send(Method::POST, "/api/v1/namespaces", &namespace).await.unwrap();
    }
    let (stall, stalled) = watch::channel(false);
    let stop = CancellationToken::new();
    let clients: Vec<Client> =
        places().map(|(sort, path)| Client::start(api.clone(), sort, &path, stalled.clone(), stop.clone())).collect();
    assert_eq!(clients.len(), CLIENTS);
    let reflected = reflectors(&server, &stalled, &stop).await;
    until("every client has its first copy", async || clients.iter().all(|c| c.state.lock().unwrap().lists > 0)).await;

    let shared = Shared::default();
    let writers: Vec<_> = (0..WRITERS).map(|seed| writers::start(api.clone(), seed, shared.clone())).collect();
    let taken = async |share: usize| {
        let goal = CHANGES * share / 10;
        until(&format!("{goal} changes"), async || shared.taken.load(Ordering::SeqCst) >= goal).await;
        println!("{:?}: {goal} changes", begun.elapsed());
    };
    taken(2).await;
    server.kill();
    server.up();
    taken(4).await;

    let told = |c: &Client| {
        let state = c.state.lock().unwrap();
        state.left_behind + state.too_late
    };
    let before: Vec<usize> = clients.iter().map(told).collect();
    let heard: Vec<usize> = reflected.iter().map(Reflected::told).collect();
    stall.send(true).unwrap();
    let heavy = (0..HEAVY_WRITERS).map(|n| writers::overrun(&api, n, OVERRUN / HEAVY_WRITERS, &shared.taken));
    for done in futures_util::future::join_all(heavy).await {
        done.unwrap();
    }
    stall.send(false).unwrap();
    // Amidst its watch; or, where that was cut off as it took nothing for long, when it comes back.
    let stalling = clients.iter().zip(before).filter(|(c, _)| c.sort == Sort::Stalling);
    until("who did not read is told so", async || stalling.clone().all(|(c, before)| told(c) > before)).await;
    let slow = reflected.iter().zip(heard).filter(|(r, _)| r.path == BULK);
    until("so are reflectors of kube-rs", async || slow.clone().all(|(r, before)| r.told() > before)).await;
    println!("{:?}: the ring is overrun", begun.elapsed());

    let backup = dir.path().join("backup.tar");
    server.verb(&["backup", backup.to_str().unwrap(), "--plain"]);
    taken(6).await;
    server.kill();
    server.verb(&["restore", backup.to_str().unwrap()]);
    shared.lives.fetch_add(1, Ordering::SeqCst);
    server.up();
    taken(8).await;
    server.kill();
    server.up();
    taken(10).await;

    shared.stop.cancel();
    let mut written = Written::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    settled(&api, &clients, &reflected, &written).await;
    stop.cancel();
    let said = server.said();
    assert!(!said.contains("panicked"), "{said}");
    judge(&clients);
    println!("{:?}: over", begun.elapsed());
}

/// What each client looks at, and how.
fn places() -> impl Iterator<Item = (Sort, String)> {
    let of_namespace = |n: usize| {
        let sort = [Sort::Pages, Sort::Streaming, Sort::Short][n % 3];
        let selector = if n % 4 == 3 { "?labelSelector=color%3Dred" } else { "" };
        (sort, format!("/api/v1/namespaces/fire-{}/configmaps{selector}", n % NAMESPACES))
    };
    let stalling = (0..6).map(|_| (Sort::Stalling, BULK.to_owned()));
    let all = [Sort::Pages, Sort::Streaming, Sort::Short].map(|sort| (sort, ALL.to_owned()));
    let others = CLIENTS - 6 - all.len();
    stalling.chain(all).chain((0..others).map(of_namespace))
}

/// Reflectors of kube-rs: two that do not read for a while, one that always does.
async fn reflectors(server: &Process, stalled: &watch::Receiver<bool>, stop: &CancellationToken) -> Vec<Reflected> {
    let client = reflected::client(&server.kubeconfig()).await;
    let (_never, reads) = watch::channel(false);
    let plain = watcher::Config::default;
    [
        (BULK, plain(), stalled.clone()),
        (BULK, plain().streaming_lists(), stalled.clone()),
        (ALL, plain().labels("fire"), reads),
    ]
    .map(|(path, config, stall)| Reflected::start((client.clone(), path), config, stall, stop.clone()))
    .into()
}

async fn answers(api: &Api) {
    until("the server answers", async || api.get("/readyz").await.is_ok() || api.get("/version").await.is_ok()).await;
}

async fn there(api: &Api, path: &str) -> BTreeMap<String, cache::Known> {
    let list: Value = api.get(path).await.unwrap();
    list["items"].as_array().unwrap().iter().map(|o| known(o).unwrap()).collect()
}

/// Waits until each copy is what is there; what was acknowledged must be.
async fn settled(api: &Api, clients: &[Client], reflected: &[Reflected], written: &Written) {
    let all = there(api, "/api/v1/configmaps").await;
    assert!(written.len() > 100, "{}", written.len());
    for (key, number) in written {
        let found = all.get(key).map(|(_, n)| n);
        assert_eq!(found, number.as_ref(), "{key}: what was taken is not what is there");
    }
    let mut expected = BTreeMap::new();
    for path in clients.iter().map(|c| &c.path).chain(reflected.iter().map(|r| &r.path)) {
        if !expected.contains_key(path) {
            expected.insert(path.clone(), there(api, path).await);
        }
    }
    let differing = || -> Vec<String> {
        let of = |client: &Client| {
            let state = client.state.lock().unwrap();
            let expected = &expected[&client.path];
            let keys = expected.keys().chain(state.cache.keys());
            let first = keys.into_iter().find(|key| expected.get(*key) != state.cache.get(*key))?;
            let (is, has) = (expected.get(first), state.cache.get(first));
            Some(format!("{:?} {}: {first} is {is:?}, it has {has:?} at {}", client.sort, client.path, state.version))
        };
        let of_kube = |r: &Reflected| {
            let has = r.copy();
            (has != expected[&r.path]).then(|| format!("kube-rs {}: {} objects, told {}", r.path, has.len(), r.told()))
        };
        clients.iter().filter_map(of).chain(reflected.iter().filter_map(of_kube)).collect()
    };
    let end = Instant::now() + Duration::from_mins(1);
    while !differing().is_empty() {
        assert!(Instant::now() < end, "{} copies differ: {:#?}", differing().len(), differing());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Nobody was told anything twice, too late or never; and the story was one.
fn judge(clients: &[Client]) {
    let mut sums: BTreeMap<String, State> = BTreeMap::new();
    for client in clients {
        let state = client.state.lock().unwrap();
        assert!(
            state.wrong.is_empty(),
            "{:?} {}: {:#?}",
            client.sort,
            client.path,
            &state.wrong[..state.wrong.len().min(10)]
        );
        assert!(state.lists >= 2, "{:?} {}: a restore without a new copy", client.sort, client.path);
        let sum = sums.entry(format!("{:?}", client.sort)).or_default();
        sum.events += state.events;
        sum.bookmarks += state.bookmarks;
        sum.lists += state.lists;
        sum.resumed += state.resumed;
        sum.left_behind += state.left_behind;
        sum.too_late += state.too_late;
    }
    for (sort, s) in &sums {
        println!(
            "{sort}: {} events, {} bookmarks, {} copies, {} resumed, {} left behind, {} too late",
            s.events, s.bookmarks, s.lists, s.resumed, s.left_behind, s.too_late
        );
    }
    assert!(sums["Short"].resumed > CLIENTS / 4, "watches go on where others ended");
    assert!(sums.values().all(|s| s.events > 0 && s.too_late > 0));
}

#[test]
fn a_copy_sees_what_does_not_fit() {
    let mut state = State::default();
    state.event("ADDED", "a/b".into(), 5, "1".into());
    state.event("MODIFIED", "a/b".into(), 6, "2".into());
    state.event("DELETED", "a/b".into(), 7, "2".into());
    assert!(state.wrong.is_empty(), "{:?}", state.wrong);
    for (what, key, version) in
        [("DELETED", "a/b", 8), ("MODIFIED", "a/b", 9), ("ADDED", "a/b", 10), ("ADDED", "a/c", 10)]
    {
        state.event(what, key.into(), version, String::new());
    }
    assert_eq!(state.wrong.len(), 4, "{:?}", state.wrong);
}
