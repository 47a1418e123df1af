//! Changes while requests are under way: none fails.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use evenkeel_ingress::Limits;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Frame, Incoming},
};

use crate::kit::{Backend, Node, PATIENCE, dial, get, ingress, service};

/// Clients that ask until they are stopped; gives how many asked, and what failed.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<[AtomicUsize]>,
    clients: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(at: SocketAddr, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done: Arc<[AtomicUsize]> = (0..clients).map(|_| AtomicUsize::new(0)).collect();
        let client = |n: usize| {
            let (stop, done) = (stop.clone(), done.clone());
            tokio::spawn(async move {
                let mut failed = Vec::new();
                let mut sender = dial(at).await;
                while !stop.load(Ordering::Relaxed) {
                    // Some change something, some do not.
                    let (method, body) = if n.is_multiple_of(2) {
                        ("GET", Bytes::new())
                    } else {
                        ("POST", Bytes::from_static(b"order"))
                    };
                    let request =
                        Request::builder().method(method).uri("/").header("host", "web.example").body(Full::new(body));
                    match sender.send_request(request.unwrap()).await {
                        Ok(response) => {
                            let status = response.status();
                            let body = response.into_body().collect().await;
                            if status != StatusCode::OK || body.is_err() {
                                failed.push(format!("{status} {body:?}"));
                            }
                            sender.ready().await.unwrap();
                        }
                        Err(error) => {
                            failed.push(error.to_string());
                            sender = dial(at).await;
                        }
                    }
                    done[n].fetch_add(1, Ordering::Relaxed);
                }
                failed
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { stop, done, clients }
    }

    fn counts(&self) -> Vec<usize> {
        self.done.iter().map(|d| d.load(Ordering::Relaxed)).collect()
    }

    /// Waits until every client has had so many more answers: after one, no request is under way that
    /// began before.
    async fn more(&self, each: usize) {
        let before = self.counts();
        let begun = std::time::Instant::now();
        while self.counts().iter().zip(&before).any(|(now, before)| *now < before + each) {
            assert!(begun.elapsed() < PATIENCE, "requests stand still");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        for client in self.clients {
            failed.extend(client.await.unwrap());
        }
        (self.done.iter().map(|d| d.load(Ordering::Relaxed)).sum(), failed)
    }
}

/// A rolling update: each backend is replaced, ends when it is out of the Service, and every client
/// keeps its connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_under_load_loses_no_request() {
    let mut backends = vec![Backend::named("a").await, Backend::named("b").await, Backend::named("c").await];
    let node = Node::start(Limits::default());
    let addresses = |all: &[Backend]| all.iter().map(|b| b.at).collect::<Vec<_>>();
    let at = node.leads(&addresses(&backends)).await;
    let load = Load::start(at, 8);
    load.more(20).await;
    for round in 0..9 {
        backends.push(Backend::named("new").await);
        node.services(vec![service("web", &addresses(&backends))]);
        load.more(10).await;
        let old = backends.remove(0);
        node.services(vec![service("web", &addresses(&backends))]);
        // Ingresses change meanwhile, too.
        let other = format!("other{round}.example");
        node.ingresses(
            vec![ingress("web", &[("web.example", "/", "web")]), ingress("other", &[(&other, "/", "web")])],
            Vec::new(),
        );
        let served = old.requests.load(Ordering::Relaxed);
        assert!(served > 0, "round {round}: it had its turns");
        // Its end comes when nobody is on the way to it by what was so before.
        load.more(1).await;
        old.end().await;
        load.more(10).await;
    }
    let (done, failed) = load.end().await;
    assert!(failed.is_empty(), "{} of {done} failed: {:?}", failed.len(), &failed[..failed.len().min(5)]);
    assert!(done > 1000);
}

#[tokio::test]
async fn who_is_gone_gets_no_request_from_the_next_on() {
    let (old, new) = (Backend::named("old").await, Backend::named("new").await);
    let node = Node::start(Limits::default());
    let at = node.leads(&[old.at]).await;
    for _ in 0..5 {
        assert!(get(at, "web.example", "/").await.text.starts_with("old "));
    }
    node.services(vec![service("web", &[new.at])]);
    for _ in 0..5 {
        assert!(get(at, "web.example", "/").await.text.starts_with("new "));
    }
    // Its idle connections were closed, so it ends at once.
    old.end().await;
}

#[tokio::test]
async fn an_answer_under_way_comes_to_its_end_whatever_changes() {
    let go = Arc::new(tokio::sync::Notify::new());
    let wait = go.clone();
    let slow = Backend::with(move |_: Request<Incoming>| {
        let wait = wait.clone();
        async move {
            let parts = futures_util::stream::unfold(0, move |n| {
                let wait = wait.clone();
                async move {
                    if n == 1 {
                        wait.notified().await;
                    }
                    (n < 2).then(|| (Ok::<_, std::io::Error>(Frame::data(Bytes::from(format!("part {n}\n")))), n + 1))
                }
            });
            Response::new(StreamBody::new(parts))
        }
    })
    .await;
    let node = Node::start(Limits::default());
    let at = node.leads(&[slow.at]).await;
    let mut sender = dial(at).await;
    let request = Request::get("/").header("host", "web.example").body(Full::<Bytes>::default()).unwrap();
    let mut body = sender.send_request(request).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "part 0\n");
    node.services(vec![service("web", &[])]);
    node.ingresses(Vec::new(), Vec::new());
    // The agent ends: it waits for what is under way.
    let ingress = node.ingress.clone();
    let stop = tokio::spawn(async move { ingress.stop().await });
    go.notify_one();
    let rest = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes();
    assert_eq!(rest, "part 1\n");
    tokio::time::timeout(PATIENCE, stop).await.unwrap().unwrap();
    slow.end().await;
}
