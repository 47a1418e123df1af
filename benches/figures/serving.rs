//! What the API takes: lists, reads, writes and watches of a server of its own, as a client of Kubernetes
//! asks for them, over TLS on connections that stay.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use evenkeel_agent::sim::{Program, SimRegistry};
use http_body_util::BodyExt as _;
use hyper::{Method, body::Incoming};
use rusqlite::Connection as Database;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    api::{Api, Connection},
    fleet::{Server, descriptors, runtime, until},
    measure::{Better, ROUNDS, Samples, alone, bounded, compared, ms, status_kib},
    nodes::Fleet,
};

const NODES: usize = 100;
const PODS: usize = 10_000;
const IMAGE: &str = "shop.example/shop:1.0";
const POD_LIST: &str = "/api/v1/namespaces/default/pods";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Reads of one object.
const READS: usize = 5_000;
/// Writers at once, and for how long.
const WRITERS: usize = 32;
const WRITING: Duration = Duration::from_secs(10);
/// Writes of one client in a round.
const WRITES: usize = 300;
/// Clients that watch, and changes that they are told.
const WATCHERS: usize = 1_000;
const CHANGES: usize = 200;
/// Descriptors besides one for each watcher.
const SPARE: u64 = 500;

pub fn serving() {
    if !descriptors(WATCHERS as u64 + SPARE) {
        return;
    }
    let server = Server::start();
    runtime().block_on(async {
        let api = server.api();
        writes(&server, &api).await;
        watchers(&server, &api).await;
        let fleet = pods(&server, &api).await;
        lists(&api).await;
        reads(&api).await;
        fleet.stop().await;
    });
}

/// A Deployment of pods that run on nodes.
async fn pods(server: &Server, api: &Api) -> Fleet {
    let (address, token) = server.for_agents();
    let mut registry = SimRegistry::new();
    registry.push(IMAGE, Program::good());
    let fleet = Fleet::start(NODES, server.dir(), &address, &token, registry).await;
    let labels = json!({"app": "bench"});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "bench", "namespace": "default"},
        "spec": {"replicas": PODS, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": IMAGE}]}}}});
    api.send(Method::POST, "/apis/apps/v1/namespaces/default/deployments", &deployment).await.unwrap();
    until("all are ready", async || {
        let read = api.get("/apis/apps/v1/namespaces/default/deployments/bench").await.unwrap();
        read["status"]["readyReplicas"].as_u64() == Some(PODS as u64)
    })
    .await;
    fleet
}

async fn lists(api: &Api) {
    let (mut whole, mut first, mut bytes) = (Samples::default(), Samples::default(), 0);
    let mut connection = api.connect().await.unwrap();
    for round in 0..=ROUNDS {
        let start = Instant::now();
        let answer = connection.open(Method::GET, POD_LIST, &Value::Null).await.unwrap();
        let mut body = answer.into_body();
        let mut at = None;
        bytes = 0;
        while let Some(frame) = body.frame().await {
            at.get_or_insert_with(|| start.elapsed());
            bytes += frame.unwrap().into_data().map_or(0, |data| data.len());
        }
        // The first one warms the connection up.
        if round > 0 {
            whole.0.push(ms(start.elapsed()));
            first.0.push(ms(at.unwrap()));
        }
    }
    println!("  a list of {PODS} pods that run, {:.1} MB of JSON, without gzip:", bytes as f64 / 1e6);
    bounded("from the request to the last byte", "ms", Better::Lower, 150.0, &whole);
    bounded("from the request to the first byte", "ms", Better::Lower, 10.0, &first);
}

async fn reads(api: &Api) {
    let list = api.get(&format!("{POD_LIST}?limit=1")).await.unwrap();
    let path = format!("{POD_LIST}/{}", list["items"][0]["metadata"]["name"].as_str().unwrap());
    let mut connection = api.connect().await.unwrap();
    let mut took = Samples::default();
    for _ in 0..READS {
        let start = Instant::now();
        let (status, _) = connection.ask(Method::GET, &path, &Value::Null).await.unwrap();
        took.0.push(ms(start.elapsed()));
        assert!(status.is_success());
    }
    println!("  {READS} reads of one of them:");
    alone("one, median", "ms", &Samples::one(took.median()));
    bounded("one, p99", "ms", Better::Lower, 1.0, &Samples::one(took.at(0.99)));
}

fn map(name: &str, n: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": n.to_string()}})
}

/// Creates of many clients, and writes of one against bare commits on the same disk.
async fn writes(server: &Server, api: &Api) {
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut writers = Vec::new();
    let start = Instant::now();
    for writer in 0..WRITERS {
        let (mut connection, stop, made) = (api.connect().await.unwrap(), stop.clone(), made.clone());
        writers.push(tokio::spawn(async move {
            for n in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let object = map(&format!("made-{writer}-{n}"), n);
                let (status, body) = connection.ask(Method::POST, MAPS, &object).await.unwrap();
                assert!(status.is_success(), "{}", String::from_utf8_lossy(&body));
                made.fetch_add(1, Ordering::SeqCst);
            }
        }));
    }
    tokio::time::sleep(WRITING).await;
    let rate = made.load(Ordering::SeqCst) as f64 / start.elapsed().as_secs_f64();
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    alone(&format!("creates of {WRITERS} clients, each durable"), "/s", &Samples::one(rate));

    api.send(Method::POST, MAPS, &map("one", 0)).await.unwrap();
    let database = bare(server.dir());
    let mut connection = api.connect().await.unwrap();
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        // The first side of a round changes each time.
        for side in 0..2 {
            if (round + side) % 2 == 0 {
                ours.0.push(patches(&mut connection, round).await.at(0.99));
            } else {
                theirs.0.push(commits(&database).at(0.99));
            }
        }
    }
    let what = ("one durable write of one client, p99", "a bare commit of one row, FULL, on the same disk, p99");
    compared(what, "ms", Better::Lower, (3.0, 0.0), (&ours, &theirs));
}

async fn patches(connection: &mut Connection, round: usize) -> Samples {
    let mut took = Samples::default();
    for n in 0..WRITES {
        let patch = json!({"data": {"n": format!("{round}.{n}")}});
        let start = Instant::now();
        let (status, _) = connection.ask(Method::PATCH, &format!("{MAPS}/one"), &patch).await.unwrap();
        took.0.push(ms(start.elapsed()));
        assert!(status.is_success());
    }
    took
}

fn bare(dir: &Path) -> Database {
    let database = Database::open(dir.join("bare.db")).unwrap();
    let set = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; \
               PRAGMA wal_autocheckpoint=16384; CREATE TABLE o (id INTEGER PRIMARY KEY, body BLOB); \
               INSERT INTO o VALUES (1, x'00')";
    database.execute_batch(set).unwrap();
    database
}

fn commits(database: &Database) -> Samples {
    let mut took = Samples::default();
    for n in 0..WRITES {
        let body = format!("{{\"data\":{{\"n\":\"{n}\"}}}}").into_bytes();
        let start = Instant::now();
        database.execute("UPDATE o SET body = ?1 WHERE id = 1", [body]).unwrap();
        took.0.push(ms(start.elapsed()));
    }
    took
}

async fn watchers(server: &Server, api: &Api) {
    api.send(Method::POST, MAPS, &map("watched", 0)).await.unwrap();
    let path = format!("{MAPS}?fieldSelector=metadata.name%3Dwatched&watch=true&resourceVersion=0");
    let before = status_kib(server.pid(), "RssAnon");
    let (told, mut telling) = mpsc::unbounded_channel();
    for _ in 0..WATCHERS {
        let mut connection = api.connect().await.unwrap();
        let answer = connection.open(Method::GET, &path, &Value::Null).await.unwrap();
        assert!(answer.status().is_success());
        tokio::spawn(watch(connection, answer.into_body(), told.clone()));
    }
    // What is there is told first.
    for _ in 0..WATCHERS {
        telling.recv().await.unwrap();
    }
    let after = status_kib(server.pid(), "RssAnon");
    let mut connection = api.connect().await.unwrap();
    let (mut each, mut last) = (Samples::default(), Samples::default());
    for n in 0..CHANGES {
        // What is there already would be no change.
        let change = json!({"data": {"n": (n + 1).to_string()}});
        let start = Instant::now();
        let (status, _) = connection.ask(Method::PATCH, &format!("{MAPS}/watched"), &change).await.unwrap();
        assert!(status.is_success());
        let mut slowest = 0.0_f64;
        for _ in 0..WATCHERS {
            let took = ms(telling.recv().await.unwrap() - start);
            each.0.push(took);
            slowest = slowest.max(took);
        }
        last.0.push(slowest);
    }
    println!("  {CHANGES} changes, each told to {WATCHERS} watchers on connections of their own:");
    alone("from the request to a watcher, median", "ms", &Samples::one(each.median()));
    bounded("the same, p99", "ms", Better::Lower, 50.0, &Samples::one(each.at(0.99)));
    alone("to the last watcher, median", "ms", &Samples::one(last.median()));
    alone(
        "the server's memory for each watcher, with its connection",
        "KiB",
        &Samples::one((after - before) / WATCHERS as f64),
    );
}

/// Tells when an event came.
async fn watch(connection: Connection, mut body: Incoming, told: mpsc::UnboundedSender<Instant>) {
    let _open = connection;
    while let Some(Ok(frame)) = body.frame().await {
        // An event this small is one piece.
        let events = frame.into_data().map_or(0, |data| data.split(|b| *b == b'\n').count() - 1);
        for _ in 0..events {
            if told.send(Instant::now()).is_err() {
                return;
            }
        }
    }
}
