//! Asking others: good ones, dead ones, forged ones.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Query, ResponseCode},
    rr::{Name, RData, RecordType},
};

use super::{
    super::{
        resolvers::Resolvers,
        testresolver::{Manner, Resolver},
    },
    TOTAL, Upstream,
};

fn query(name: &str) -> Query {
    Query::query(Name::from_ascii(name).unwrap(), RecordType::A)
}

/// A port that nobody listens on.
async fn closed() -> SocketAddr {
    tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn resolved(servers: Vec<SocketAddr>) -> String {
    told(&Upstream::new(Resolvers::Fixed(servers)), "a.example.").await
}

async fn told(upstream: &Upstream, name: &str) -> String {
    let reply = upstream.resolve(&query(name), None).await;
    match (reply.code, reply.answers.first().map(|record| &record.data)) {
        (ResponseCode::NoError, Some(RData::A(a))) => a.to_string(),
        (code, _) => code.to_string(),
    }
}

#[tokio::test]
async fn each_manner_of_a_resolver_has_its_answer() {
    for (manner, expected) in [
        (Manner::Good, "192.0.2.1"),
        (Manner::Lossy, "192.0.2.1"),
        (Manner::Truncating, "192.0.2.53"),
        (Manner::Forged, "192.0.2.1"),
        (Manner::Old, "192.0.2.1"),
        (Manner::Missing, "Non-Existent Domain"),
        (Manner::Code(ResponseCode::ServFail), "Server Failure"),
        (Manner::Code(ResponseCode::Refused), "Query Refused"),
        (Manner::Silent, "Server Failure"),
    ] {
        let resolver = Resolver::start(manner).await;
        let start = Instant::now();
        assert_eq!(resolved(vec![resolver.at]).await, expected, "{manner:?}");
        assert!(start.elapsed() < TOTAL + Duration::from_millis(400), "{manner:?} took {:?}", start.elapsed());
    }
}

#[tokio::test]
async fn the_next_one_is_asked_where_one_fails() {
    let good = Resolver::start(Manner::Good).await;
    let failing = Resolver::start(Manner::Code(ResponseCode::ServFail)).await;
    let silent = Resolver::start(Manner::Silent).await;
    for first in [failing.at, closed().await, silent.at] {
        assert_eq!(resolved(vec![first, good.at]).await, "192.0.2.1");
    }
}

#[tokio::test]
async fn one_that_is_silent_is_asked_last_from_then_on() {
    let (silent, good) = (Resolver::start(Manner::Silent).await, Resolver::start(Manner::Good).await);
    let upstream = Upstream::new(Resolvers::Fixed(vec![silent.at, good.at]));
    for name in ["a.example.", "b.example.", "c.example."] {
        assert_eq!(told(&upstream, name).await, "192.0.2.1");
    }
    assert_eq!((silent.asked(), good.asked()), (1, 3));
}

#[tokio::test]
async fn none_there_and_oneself_are_failures_at_once() {
    let start = Instant::now();
    assert_eq!(resolved(Vec::new()).await, "Server Failure");
    let good = Resolver::start(Manner::Good).await;
    let upstream = Upstream::new(Resolvers::Fixed(vec![good.at]));
    let reply = upstream.resolve(&query("a.example."), Some(good.at.ip())).await;
    assert_eq!((reply.code, good.asked()), (ResponseCode::ServFail, 0));
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn answers_are_kept_also_that_there_is_none() {
    for manner in [Manner::Good, Manner::Missing] {
        let resolver = Resolver::start(manner).await;
        let upstream = Upstream::new(Resolvers::Fixed(vec![resolver.at]));
        let first = told(&upstream, "a.example.").await;
        assert_eq!(told(&upstream, "A.example.").await, first);
        assert_eq!(resolver.asked(), 1, "{manner:?}");
    }
    let failing = Resolver::start(Manner::Code(ResponseCode::ServFail)).await;
    let upstream = Upstream::new(Resolvers::Fixed(vec![failing.at]));
    told(&upstream, "a.example.").await;
    told(&upstream, "a.example.").await;
    assert_eq!(failing.asked(), 2, "a failure is not kept");
}

#[tokio::test]
async fn who_asks_the_same_waits_for_one_answer() {
    let resolver = Resolver::start(Manner::Lossy).await;
    let upstream = Arc::new(Upstream::new(Resolvers::Fixed(vec![resolver.at])));
    let all: Vec<_> = (0..20)
        .map(|_| {
            let upstream = Arc::clone(&upstream);
            tokio::spawn(async move { told(&upstream, "a.example.").await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), "192.0.2.1");
    }
    assert_eq!(resolver.asked(), 2, "the lost one, and the one that was answered");
    assert!(upstream.asking.lock().unwrap().is_empty());
}

#[tokio::test]
async fn who_gives_up_leaves_the_question_to_the_next() {
    let resolver = Resolver::start(Manner::Lossy).await;
    let upstream = Upstream::new(Resolvers::Fixed(vec![resolver.at]));
    let first = tokio::time::timeout(Duration::from_millis(100), told(&upstream, "a.example.")).await;
    assert!(first.is_err(), "the first question gets lost");
    assert!(upstream.asking.lock().unwrap().is_empty());
    assert_eq!(told(&upstream, "a.example.").await, "192.0.2.1");
}
