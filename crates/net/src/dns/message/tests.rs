//! What strangers send, and how answers are made to fit.

use hickory_proto::{
    op::{Edns, Message, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType, rdata::A},
};
use proptest::prelude::*;

use super::{super::answer::Reply, Read, Transport, UDP_SIZE, read, write};

fn question(kind: RecordType, edns: Option<u16>) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.queries.push(Query::query(Name::from_ascii("Web.shop.svc.cluster.local.").unwrap(), kind));
    if let Some(size) = edns {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        message.edns = Some(edns);
    }
    message
}

fn code(bytes: &[u8]) -> ResponseCode {
    match read(bytes) {
        Read::Error(answer) => Message::from_vec(&answer).unwrap().metadata.response_code,
        Read::Ask(_) => ResponseCode::NoError,
        Read::Silence => panic!("nothing is answered"),
    }
}

fn addresses(n: u16) -> Reply {
    let name = Name::from_ascii("web.shop.svc.cluster.local.").unwrap();
    let record = |i: u16| {
        let [hi, lo] = i.to_be_bytes();
        Record::from_rdata(name.clone(), 5, RData::A(A([10, 42, hi, lo].into())))
    };
    let answers: Vec<Record> = (0..n).map(record).collect();
    Reply { additionals: answers.clone(), answers, ..Reply::of(ResponseCode::NoError) }
}

#[test]
fn strangers_are_told_what_is_wrong_or_nothing() {
    let good = question(RecordType::A, None).to_vec().unwrap();
    assert!(matches!(read(&good), Read::Ask(_)));
    for n in 0..12 {
        assert!(matches!(read(&good[..n]), Read::Silence), "{n} bytes");
    }
    for n in 12..good.len() {
        assert_eq!(code(&good[..n]), ResponseCode::FormErr, "{n} bytes");
    }
    let mut answer = good.clone();
    answer[2] |= 0x80;
    assert!(matches!(read(&answer), Read::Silence), "an answer is never answered");

    let mut two = question(RecordType::A, None);
    two.queries.push(two.queries[0].clone());
    assert_eq!(code(&two.to_vec().unwrap()), ResponseCode::FormErr);
    let mut notify = question(RecordType::SOA, None);
    notify.metadata.op_code = OpCode::Notify;
    assert_eq!(code(&notify.to_vec().unwrap()), ResponseCode::NotImp);
    assert_eq!(code(&question(RecordType::AXFR, None).to_vec().unwrap()), ResponseCode::Refused);
    let mut chaos = question(RecordType::TXT, None);
    chaos.queries[0].query_class = DNSClass::CH;
    assert_eq!(code(&chaos.to_vec().unwrap()), ResponseCode::Refused);
    let mut later = question(RecordType::A, Some(1232));
    later.edns.as_mut().unwrap().set_version(1);
    // `BADVERS` and `BADSIG` share their number.
    assert_eq!(u16::from(code(&later.to_vec().unwrap())), u16::from(ResponseCode::BADVERS));
    let mut long = good;
    long.resize(5000, 0);
    assert_eq!(code(&long), ResponseCode::FormErr);
}

#[test]
fn an_answer_names_the_question_as_it_was_asked() {
    let asked = question(RecordType::A, Some(4096));
    let Read::Ask(ask) = read(&asked.to_vec().unwrap()) else { panic!("a good question") };
    let answer = Message::from_vec(&write(&ask, addresses(1), Transport::Udp).unwrap()).unwrap();
    assert_eq!(answer.metadata.id, asked.metadata.id);
    assert!(answer.metadata.recursion_desired && answer.metadata.recursion_available);
    assert!(answer.queries[0].name.eq_case(&asked.queries[0].name));
    assert_eq!(answer.edns.unwrap().max_payload(), UDP_SIZE);
}

#[test]
fn an_answer_fits_and_says_so_where_it_is_cut() {
    for (edns, transport, n, most, cut) in [
        (None, Transport::Udp, 10, 512, false),
        (None, Transport::Udp, 100, 512, true),
        (Some(1232), Transport::Udp, 50, 1232, false),
        (Some(1232), Transport::Udp, 100, 1232, true),
        (Some(65535), Transport::Udp, 100, 1232, true),
        (Some(1), Transport::Udp, 100, 512, true),
        (None, Transport::Tcp, 500, 65535, false),
        (None, Transport::Tcp, 6000, 65535, true),
    ] {
        let Read::Ask(ask) = read(&question(RecordType::A, edns).to_vec().unwrap()) else { panic!("a good question") };
        let bytes = write(&ask, addresses(n), transport).unwrap();
        assert!(bytes.len() <= most, "{n} in {}", bytes.len());
        let answer = Message::from_vec(&bytes).unwrap();
        assert_eq!(answer.metadata.truncation, cut, "{n} for {edns:?}");
        assert_eq!(answer.edns.is_some(), edns.is_some());
        if cut {
            assert!(bytes.len() > most / 2, "as many as fit: {} of {most}", bytes.len());
        } else {
            assert_eq!(answer.answers.len(), usize::from(n));
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_fall(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Read::Error(answer) = read(&bytes) {
            prop_assert!(answer.len() <= bytes.len().max(12) + 11, "an error is no larger than what it answers");
        }
    }

    #[test]
    fn no_spoiled_question_makes_it_fall(at in 0_usize..60, to in any::<u8>()) {
        let mut bytes = question(RecordType::A, Some(1232)).to_vec().unwrap();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Read::Ask(ask) = read(&bytes) {
            prop_assert!(write(&ask, addresses(3), Transport::Udp).is_some());
        }
    }
}
