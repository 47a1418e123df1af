//! What one side says is what the other hears; what it cannot read is refused with the place.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use evenkeel_model::{Content, Digest, Time, Uid, Version, meta::Deletion, net::NetworkTrouble, session::Stamp};
use evenkeel_wire::{
    Assignment, ContainerDrift, DriftAction, Hello, KnownPod, NodeReport, NodeTaint, PodContent, PodEvent, PodOrder,
    PodReport, Report, SourceCopy, TaintEffect, ToAgent,
    convert::{hello, read_hello, read_report, report, to_agent},
    proto::{self, from_agent::Message},
};
use prost::Message as _;
use serde_json::json;

const AT: Stamp = Stamp { session: 5, seq: 6 };

fn order() -> PodOrder {
    let data = BTreeMap::from([("password".to_string(), Arc::from(&b"correct horse"[..]))]);
    PodOrder {
        uid: Uid(7),
        namespace: "shop".into(),
        name: "web-1".into(),
        version: Version(9),
        pod: json!({"kind": "Pod", "spec": {"containers": [{"name": "a"}]}}),
        deletion: Some(Deletion { at: Time(5), grace_seconds: 30 }),
        contents: vec![PodContent {
            secret: true,
            name: "db".into(),
            secret_type: "Opaque".into(),
            digest: Digest([3; 32]),
            content: Arc::new(Content { secret: true, data }),
        }],
        image_ids: BTreeMap::from([("a".into(), "sha256:1".into())]),
        self_heal: true,
    }
}

fn node() -> NodeReport {
    NodeReport {
        capacity: BTreeMap::from([("cpu".into(), "2".into())]),
        taints: vec![NodeTaint { key: "a".into(), value: String::new(), effect: TaintEffect::NoExecute }],
        node_info: json!({"architecture": "amd64"}),
        addresses: vec![("InternalIP".into(), "10.0.0.1".into())],
        not_ready: Some("the engine is away".into()),
        pressures: vec!["DiskPressure".into()],
        version: "0.1.0".into(),
        ..NodeReport::default()
    }
}

fn source() -> SourceCopy {
    SourceCopy {
        name: "shop".into(),
        version: Version(8),
        spec: serde_json::from_value(json!({"git": {"url": "https://git.example/shop.git"}})).unwrap(),
        status: serde_json::from_value(json!({"appliedDigest": Digest([1; 32])})).unwrap(),
    }
}

/// Over the wire and back.
fn sent<M: prost::Message + Default>(message: &M) -> M {
    M::decode(message.encode_to_vec().as_slice()).unwrap()
}

fn heard(message: ToAgent) -> ToAgent {
    to_agent(sent(&proto::FromServer::from(message)).message.unwrap()).unwrap().unwrap()
}

/// All that a server says, by the name of its sample.
fn from_server() -> Vec<(&'static str, ToAgent)> {
    let assignment = Assignment {
        epoch: 4,
        session: 11,
        seq: 2,
        full: true,
        pods: vec![Arc::new(order())],
        forget: vec![Uid(1)],
        keep_images: Some(Arc::from(["sha256:1".to_string()])),
        recovering: true,
    };
    vec![
        ("assignment", ToAgent::Assign(Arc::new(assignment))),
        ("sources", ToAgent::Sources(Arc::from([source()]))),
        ("heal-sandbox", ToAgent::HealDrift { pod: Uid(3), container: None, heal: true }),
        ("leave-container", ToAgent::HealDrift { pod: Uid(3), container: Some("a".into()), heal: false }),
        ("roll-call", ToAgent::RollCall { at: Time(1_700_000_000_123) }),
        ("heard", ToAgent::Heard(AT)),
    ]
}

#[test]
fn orders_arrive_as_they_were_given() {
    for (_, message) in from_server() {
        assert_eq!(heard(message.clone()), message);
    }
}

/// A report with something of everything.
fn full_report() -> Report {
    let pods = vec![PodReport {
        uid: Uid(7),
        namespace: "shop".into(),
        name: "web-1".into(),
        status: Arc::from(&b"{}"[..]),
        gone: true,
        image_ids: BTreeMap::new(),
        logs: BTreeMap::from([("a".into(), vec!["last".into(), "words".into()])]),
    }];
    let drift = |action| ContainerDrift {
        pod: Uid(7),
        namespace: "shop".into(),
        name: "web-1".into(),
        container: Some("a".into()),
        action,
        desired: json!("running"),
        live: json!(null),
        healed: true,
    };
    let drifts = vec![drift(DriftAction::Stopped), drift(DriftAction::Differs)];
    let happened = PodEvent {
        pod: Uid(7),
        namespace: "shop".into(),
        name: "web-1".into(),
        field: "spec.containers{a}".into(),
        warning: true,
        reason: "Unhealthy".into(),
        message: "Readiness probe failed: no answer".into(),
        count: 3,
        first: Time(1_000_001),
        last: Time(2_000_002),
    };
    let answers = Some(Time(1_700_000_000_123));
    Report {
        node: Some(node()),
        pods,
        drifts,
        events: vec![happened],
        answers,
        network: None,
        ingresses: None,
        network_drifts: Vec::new(),
        assigned: None,
    }
}

#[test]
fn reports_arrive_as_they_were_made() {
    let trouble = NetworkTrouble { reason: "AddressTaken".into(), message: "by somebody".into() };
    let about = NodeReport { pod_cidr: Some("10.42.7.0/24".parse().unwrap()), troubles: vec![trouble], ..node() };
    let (network, ingresses) = (Some(1_700_000_000_000_123), Some(1_700_000_000_000_124));
    let told = Report { network, ingresses, node: Some(about), ..full_report() };
    assert_eq!(read_report(sent(&report(AT, &told))).unwrap(), (AT, told));
    assert_eq!(read_report(sent(&report(AT, &Report::default()))).unwrap(), (AT, Report::default()));
}

fn full_hello() -> Hello {
    let known = KnownPod {
        pod: json!({"kind": "Pod"}),
        uid: Uid(7),
        status: json!({"phase": "Running"}),
        image_ids: BTreeMap::new(),
        drifted: vec![None, Some("a".into())],
    };
    Hello { node: "n1".into(), session: 5, epoch: 3, report: node(), pods: vec![known], sources: vec![source()] }
}

#[test]
fn a_hello_arrives_as_it_was_said() {
    let told = full_hello();
    assert_eq!(read_hello(sent(&hello(&told))).unwrap(), told);
}

#[test]
fn what_cannot_be_read_is_refused_without_showing_it() {
    let mut broken =
        hello(&Hello { node: "n1".into(), session: 0, epoch: 0, report: node(), pods: vec![], sources: vec![] });
    broken.sources = vec![proto::SourceCopy { spec: Bytes::from_static(b"{\"a\": hunter2"), ..Default::default() }];
    let error = read_hello(broken).unwrap_err().to_string();
    assert!(error.contains("spec") && !error.contains("hunter2"), "{error}");
}

#[test]
fn what_a_newer_side_adds_is_ignored() {
    let later = proto::ContainerDrift { pod: Uid(7).to_string(), action: 99, ..Default::default() };
    let (_, told) = read_report(proto::Report { drifts: vec![later], ..Default::default() }).unwrap();
    assert_eq!(told.drifts[0].action, DriftAction::Differs);
    // Field 14 of length 1: no message that this version knows.
    let unknown = proto::FromServer::decode(&[0x72, 1, 0][..]).unwrap();
    assert_eq!(unknown.message, None);
}

#[test]
fn no_message_shows_a_secret() {
    let content = proto::FromServer::from(ToAgent::Assign(Arc::new(Assignment {
        epoch: 0,
        session: 0,
        seq: 0,
        full: true,
        pods: vec![Arc::new(order())],
        forget: vec![],
        keep_images: None,
        recovering: false,
    })));
    assert!(!format!("{content:?}").contains("horse"));
    let join = proto::JoinRequest { token: "abc.def".into(), ..Default::default() };
    assert!(!format!("{join:?}").contains("abc.def"));
}

/// What each side of protocol 1 says, by the sample's name. Of a field that comes later these have
/// what an older side's message has: nothing.
fn samples() -> Vec<(String, Vec<u8>)> {
    let agents = [Message::Hello(hello(&full_hello())), Message::Report(report(AT, &full_report()))];
    let names = ["hello", "report"].map(|name| format!("{name}.bin"));
    let agents = agents.map(|m| proto::FromAgent { message: Some(m) }.encode_to_vec());
    let encoded = |m| proto::FromServer::from(m).encode_to_vec();
    let server = from_server().into_iter().map(|(name, m)| (format!("{name}.bin"), encoded(m)));
    names.into_iter().zip(agents).chain(server).collect()
}

fn sample(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Made once for each version of the protocol, with `EVENKEEL_WRITE_SAMPLE=1`, by a program that spoke
/// it; never again.
fn write_the_samples() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/v1");
    std::fs::create_dir_all(&dir).unwrap();
    for (name, bytes) in samples() {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
}

fn reads(agent: [&[u8]; 2], server: &[Vec<u8>]) {
    let message = |bytes: &[u8]| proto::FromAgent::decode(bytes).unwrap().message.unwrap();
    let Message::Hello(said) = message(agent[0]) else { panic!("the hello is none") };
    assert_eq!(read_hello(said).unwrap(), full_hello());
    let Message::Report(said) = message(agent[1]) else { panic!("the report is none") };
    assert_eq!(read_report(said).unwrap(), (AT, full_report()));
    let said = server.iter().map(|bytes| proto::FromServer::decode(&bytes[..]).unwrap().message.unwrap());
    let heard: Vec<ToAgent> = said.map(|message| to_agent(message).unwrap().unwrap()).collect();
    let expected: Vec<ToAgent> = from_server().into_iter().map(|(_, message)| message).collect();
    assert_eq!(heard, expected);
}

#[test]
fn the_samples_of_protocol_1_are_read() {
    if std::env::var_os("EVENKEEL_WRITE_SAMPLE").is_some() {
        write_the_samples();
    }
    let server: Vec<Vec<u8>> = from_server().iter().map(|(name, _)| sample(&format!("{name}.bin"))).collect();
    reads([&sample("hello.bin"), &sample("report.bin")], &server);
}

/// A message of a side that is newer by one field, 1000, in the message inside and beside it: what is
/// known of it counts as ever.
#[test]
fn a_field_that_is_not_known_is_passed_over() {
    let newer = |bytes: Vec<u8>| {
        let mut unknown = Vec::new();
        prost::encoding::string::encode(1000, &"what a later version says".to_string(), &mut unknown);
        // Tag, length, then the message inside.
        let mut rest = &bytes[1..];
        let length = prost::encoding::decode_varint(&mut rest).unwrap();
        assert_eq!(usize::try_from(length).unwrap(), rest.len());
        let inside = [rest, &unknown[..]].concat();
        let mut out = vec![bytes[0]];
        prost::encoding::encode_varint(inside.len() as u64, &mut out);
        out.extend(inside);
        out.extend(unknown);
        out
    };
    let mut all: Vec<Vec<u8>> = samples().into_iter().map(|(_, bytes)| newer(bytes)).collect();
    let server = all.split_off(2);
    reads([&all[0], &all[1]], &server);
}
