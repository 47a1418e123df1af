//! Questions and their answers, name by name.

use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RData, Record, RecordType},
};

use RecordType::{A, AAAA, ANY, CNAME, MX, NS, PTR, SOA, SRV, TXT};

use super::{super::testkit::some_zone, Step, TTL, answer};

fn text(record: &Record) -> String {
    let data = match &record.data {
        RData::A(a) => a.to_string(),
        RData::CNAME(name) => name.0.to_string(),
        RData::PTR(name) => name.0.to_string(),
        RData::NS(name) => name.0.to_string(),
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target),
        RData::TXT(text) => String::from_utf8_lossy(&text.txt_data.concat()).into_owned(),
        RData::SOA(soa) => format!("{} {}", soa.mname, soa.minimum),
        other => panic!("a record of a kind that is not ours: {other:?}"),
    };
    format!("{} {data}", record.record_type())
}

/// One line: the code where it is not `NOERROR`, answers in order, `| SOA of whom` where it is negative.
fn asked(name: &str, kind: RecordType) -> String {
    match answer(&some_zone(), &Name::from_ascii(name).unwrap(), kind, 0) {
        Step::Ask(name, chain) => {
            let mut parts: Vec<String> = chain.iter().map(text).collect();
            parts.push(format!("ask {name}"));
            parts.join(", ")
        }
        Step::Done(reply) => {
            assert!(reply.answers.iter().chain(&reply.authorities).all(|r| r.ttl == TTL));
            let answers: Vec<String> = reply.answers.iter().map(text).collect();
            let mut line = answers.join(", ");
            match reply.code {
                ResponseCode::NoError => {}
                ResponseCode::NXDomain => line = format!("{line}NX"),
                other => line = format!("{line} {other}"),
            }
            assert_eq!(
                reply.authorities.is_empty(),
                !reply.answers.is_empty(),
                "{name}: negative answers alone say SOA"
            );
            for soa in &reply.authorities {
                line = format!("{line}| {}", soa.name);
            }
            line
        }
    }
}

const NOTHING: &str = "| cluster.local.";
const MISSING: &str = "NX| cluster.local.";

/// A name, what is asked of it, and what is answered.
const CASES: &[(&str, RecordType, &str)] = &[
    // Services with an address.
    ("kubernetes.default.svc.cluster.local.", A, "A 10.43.0.1"),
    ("web.shop.svc.cluster.local.", A, "A 10.43.0.20"),
    ("WEB.Shop.SVC.cluster.LOCAL.", A, "A 10.43.0.20"),
    ("web.shop.svc.cluster.local.", AAAA, NOTHING),
    ("web.shop.svc.cluster.local.", MX, NOTHING),
    ("web.shop.svc.cluster.local.", SRV, NOTHING),
    ("web.shop.svc.cluster.local.", ANY, "A 10.43.0.20"),
    ("webs.shop.svc.cluster.local.", A, MISSING),
    ("webs.shop.svc.cluster.local.", AAAA, MISSING),
    ("web.shops.svc.cluster.local.", A, MISSING),
    // What stands above them.
    ("shop.svc.cluster.local.", A, NOTHING),
    ("shops.svc.cluster.local.", A, MISSING),
    ("sho.svc.cluster.local.", A, MISSING),
    ("svc.cluster.local.", A, NOTHING),
    ("pod.cluster.local.", A, NOTHING),
    ("cluster.local.", A, NOTHING),
    ("cluster.local.", SOA, "SOA ns.dns.cluster.local. 5"),
    ("cluster.local.", NS, "NS ns.dns.cluster.local."),
    ("dns.cluster.local.", A, NOTHING),
    ("ns.dns.cluster.local.", A, "A 10.43.0.10"),
    ("dns-version.cluster.local.", TXT, "TXT 1.1.0"),
    ("dns-version.cluster.local.", A, NOTHING),
    ("other.cluster.local.", A, MISSING),
    ("web.shop.cluster.local.", A, MISSING),
    // What a search list makes of names.
    ("web.shop.svc.cluster.local.shop.svc.cluster.local.", A, MISSING),
    ("example.org.shop.svc.cluster.local.", A, MISSING),
    ("example.org.svc.cluster.local.", A, MISSING),
    ("example.org.cluster.local.", A, MISSING),
    // Ports.
    ("_http._tcp.web.shop.svc.cluster.local.", SRV, "SRV 0 100 80 web.shop.svc.cluster.local."),
    ("_DNS._UDP.web.shop.svc.cluster.local.", SRV, "SRV 0 100 53 web.shop.svc.cluster.local."),
    ("_http._udp.web.shop.svc.cluster.local.", SRV, MISSING),
    ("_https._tcp.web.shop.svc.cluster.local.", SRV, MISSING),
    ("http._tcp.web.shop.svc.cluster.local.", SRV, MISSING),
    ("_http._tcp.web.shop.svc.cluster.local.", A, NOTHING),
    ("_tcp.web.shop.svc.cluster.local.", SRV, NOTHING),
    ("_sctp.web.shop.svc.cluster.local.", SRV, MISSING),
    ("_._tcp.plain.shop.svc.cluster.local.", SRV, MISSING),
    ("_tcp.plain.shop.svc.cluster.local.", SRV, MISSING),
    // Headless Services.
    ("db.shop.svc.cluster.local.", A, "A 10.42.1.2, A 10.42.2.3, A 10.42.2.4, A 10.42.2.6"),
    ("db-0.db.shop.svc.cluster.local.", A, "A 10.42.1.2"),
    ("DB-1.db.shop.svc.cluster.local.", A, "A 10.42.2.3"),
    ("db-0.db.shop.svc.cluster.local.", AAAA, NOTHING),
    ("db-3.db.shop.svc.cluster.local.", A, MISSING),
    ("10-42-2-4.db.shop.svc.cluster.local.", A, "A 10.42.2.4"),
    ("10-42-1-2.db.shop.svc.cluster.local.", A, MISSING),
    ("10-42-2-04.db.shop.svc.cluster.local.", A, MISSING),
    ("a.db-0.db.shop.svc.cluster.local.", A, MISSING),
    (
        "_http._tcp.db.shop.svc.cluster.local.",
        SRV,
        "SRV 0 33 8080 db-0.db.shop.svc.cluster.local., SRV 0 33 8080 db-1.db.shop.svc.cluster.local., \
             SRV 0 33 8080 10-42-2-4.db.shop.svc.cluster.local.",
    ),
    ("peers.shop.svc.cluster.local.", A, "A 10.42.3.1"),
    ("peer-0.peers.shop.svc.cluster.local.", A, "A 10.42.3.1"),
    ("nobody.shop.svc.cluster.local.", A, NOTHING),
    ("_http._tcp.nobody.shop.svc.cluster.local.", SRV, NOTHING),
    ("w-0.web.shop.svc.cluster.local.", A, "A 10.42.1.9"),
    // Names alone.
    ("mail.shop.svc.cluster.local.", A, "CNAME mx.example.org., ask mx.example.org."),
    ("mail.shop.svc.cluster.local.", AAAA, "CNAME mx.example.org., ask mx.example.org."),
    ("mail.shop.svc.cluster.local.", CNAME, "CNAME mx.example.org."),
    ("mail.shop.svc.cluster.local.", ANY, "CNAME mx.example.org."),
    ("inner.shop.svc.cluster.local.", A, "CNAME web.shop.svc.cluster.local., A 10.43.0.20"),
    ("_http._tcp.mail.shop.svc.cluster.local.", SRV, MISSING),
    // Pods.
    ("10-42-0-7.shop.pod.cluster.local.", A, "A 10.42.0.7"),
    ("10-42-0-7.shop.pod.cluster.local.", AAAA, NOTHING),
    ("10-99-0-7.shop.pod.cluster.local.", A, MISSING),
    ("web.shop.pod.cluster.local.", A, MISSING),
    ("shop.pod.cluster.local.", A, NOTHING),
    // Back from addresses.
    ("20.0.43.10.in-addr.arpa.", PTR, "PTR web.shop.svc.cluster.local."),
    ("20.0.43.10.in-addr.arpa.", A, "| 43.10.in-addr.arpa."),
    ("2.1.42.10.IN-ADDR.arpa.", PTR, "PTR db-0.db.shop.svc.cluster.local."),
    ("4.2.42.10.in-addr.arpa.", PTR, "PTR 10-42-2-4.db.shop.svc.cluster.local."),
    ("5.2.42.10.in-addr.arpa.", PTR, "NX| 42.10.in-addr.arpa."),
    ("9.1.42.10.in-addr.arpa.", PTR, "NX| 42.10.in-addr.arpa."),
    ("99.0.43.10.in-addr.arpa.", PTR, "NX| 43.10.in-addr.arpa."),
    ("1.2.0.192.in-addr.arpa.", PTR, "ask 1.2.0.192.in-addr.arpa."),
    ("x.1.42.10.in-addr.arpa.", PTR, "ask x.1.42.10.in-addr.arpa."),
    // Somebody else's.
    ("example.org.", A, "ask example.org."),
    ("local.", A, "ask local."),
    ("mycluster.local.", A, "ask mycluster.local."),
    (".", A, "ask ."),
];

#[test]
fn names_of_the_cluster() {
    for (name, kind, expected) in CASES {
        assert_eq!(asked(name, *kind), *expected, "{name} {kind}");
    }
}

#[test]
fn names_that_lead_in_a_circle_end() {
    let line = asked("loop-a.shop.svc.cluster.local.", RecordType::A);
    assert!(line.ends_with("Server Failure"), "{line}");
    assert_eq!(line.matches("CNAME").count(), 9, "{line}");
}

#[test]
fn a_label_that_is_no_text_is_missing() {
    let name = Name::from_labels([&b"we\xffb"[..], b"shop", b"svc", b"cluster", b"local"]).unwrap();
    let Step::Done(reply) = answer(&some_zone(), &name, RecordType::A, 0) else { panic!("it is ours") };
    assert_eq!(reply.code, ResponseCode::NXDomain);
}

#[test]
fn ports_bring_the_addresses_of_their_targets() {
    let name = Name::from_ascii("_http._tcp.db.shop.svc.cluster.local.").unwrap();
    let Step::Done(reply) = answer(&some_zone(), &name, RecordType::SRV, 0) else { panic!("it is ours") };
    let lines: Vec<String> = reply.additionals.iter().map(|r| format!("{} {}", r.name, text(r))).collect();
    assert_eq!(
        lines,
        [
            "db-0.db.shop.svc.cluster.local. A 10.42.1.2",
            "db-1.db.shop.svc.cluster.local. A 10.42.2.3",
            "10-42-2-4.db.shop.svc.cluster.local. A 10.42.2.4"
        ]
    );
}

#[test]
fn each_turn_begins_at_another_one() {
    let name = Name::from_ascii("db.shop.svc.cluster.local.").unwrap();
    let firsts: Vec<String> = (0..5)
        .map(|turn| match answer(&some_zone(), &name, RecordType::A, turn) {
            Step::Done(reply) => text(&reply.answers[0]),
            Step::Ask(..) => panic!("it is ours"),
        })
        .collect();
    assert_eq!(firsts, ["A 10.42.1.2", "A 10.42.2.3", "A 10.42.2.4", "A 10.42.2.6", "A 10.42.1.2"]);
}
