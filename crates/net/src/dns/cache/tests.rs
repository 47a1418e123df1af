//! How long answers are kept.

use std::time::{Duration, Instant};

use hickory_proto::{
    op::{Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, SOA, TXT},
    },
};

use super::{super::answer::Reply, Cache, GENERATION};

fn query(name: &str) -> Query {
    Query::query(Name::from_ascii(name).unwrap(), RecordType::A)
}

fn positive(ttl: u32) -> Reply {
    let record = Record::from_rdata(Name::from_ascii("a.example.").unwrap(), ttl, RData::A(A([192, 0, 2, 1].into())));
    Reply { answers: vec![record], ..Reply::of(ResponseCode::NoError) }
}

fn negative(code: ResponseCode, ttl: u32, minimum: u32) -> Reply {
    let name = Name::from_ascii("example.").unwrap();
    let soa = SOA::new(name.clone(), name.clone(), 1, 1, 1, 1, minimum);
    Reply { authorities: vec![Record::from_rdata(name, ttl, RData::SOA(soa))], ..Reply::of(code) }
}

/// Whole seconds for which an answer is kept.
fn kept_for(reply: &Reply) -> u64 {
    let start = Instant::now();
    let mut cache = Cache::default();
    cache.insert(query("a.example."), reply, start);
    (0..1000).find(|s| cache.get(&query("a.example."), start + Duration::from_secs(*s)).is_none()).unwrap()
}

#[test]
fn answers_live_as_long_as_they_say_within_bounds() {
    let bare = Reply::of(ResponseCode::NXDomain);
    for (reply, seconds) in [
        (positive(7), 7),
        (positive(0), 0),
        (positive(86400), 300),
        (negative(ResponseCode::NXDomain, 9, 20), 9),
        (negative(ResponseCode::NXDomain, 20, 9), 9),
        (negative(ResponseCode::NoError, 86400, 86400), 30),
        (bare, 0),
        (negative(ResponseCode::ServFail, 9, 9), 0),
        (negative(ResponseCode::Refused, 9, 9), 0),
    ] {
        assert_eq!(kept_for(&reply), seconds, "{reply:?}");
    }
}

#[test]
fn times_to_live_count_down_and_case_does_not_matter() {
    let start = Instant::now();
    let mut cache = Cache::default();
    cache.insert(query("a.Example."), &positive(10), start);
    let later = cache.get(&query("A.example."), start + Duration::from_secs(4)).unwrap();
    assert_eq!(later.answers[0].ttl, 6);
    assert_eq!(later.code, ResponseCode::NoError);
    let other = Query::query(Name::from_ascii("a.example.").unwrap(), RecordType::AAAA);
    assert_eq!(cache.get(&other, start), None);
}

#[test]
fn it_is_bounded_and_keeps_what_is_asked_for() {
    let start = Instant::now();
    let mut cache = Cache::default();
    cache.insert(query("asked.example."), &positive(100), start);
    for n in 0..GENERATION * 5 {
        cache.insert(query(&format!("n{n}.example.")), &positive(100), start);
        assert!(cache.get(&query("asked.example."), start).is_some());
    }
    assert!(cache.young.len() + cache.old.len() <= GENERATION * 2);
    assert!(cache.get(&query("n0.example."), start).is_none());
}

#[test]
fn a_newer_answer_is_not_covered_by_an_older_one() {
    let start = Instant::now();
    let mut cache = Cache::default();
    cache.insert(query("a.example."), &positive(100), start);
    for n in 0..GENERATION {
        cache.insert(query(&format!("n{n}.example.")), &positive(100), start);
    }
    cache.insert(query("a.example."), &positive(50), start);
    assert_eq!(cache.get(&query("a.example."), start).unwrap().answers[0].ttl, 50);
}

#[test]
fn a_large_answer_is_not_kept() {
    let text = TXT::new(vec!["x".repeat(255); 20]);
    let record = Record::from_rdata(Name::from_ascii("a.example.").unwrap(), 100, RData::TXT(text));
    assert_eq!(kept_for(&Reply { answers: vec![record], ..Reply::of(ResponseCode::NoError) }), 0);
}
