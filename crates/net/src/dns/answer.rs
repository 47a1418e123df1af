//! From a question to the records that answer it, out of the zone alone.
//!
//! A name of somebody else is handed back, with the aliases that led to it. Deliberately not here:
//! sizes of messages (`message`), asking others (`upstream`).

use std::net::IpAddr;

use hickory_proto::{
    op::ResponseCode,
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT},
    },
};

use super::zone::{Meaning, Place, Target, Zone};

/// Seconds that an answer may be kept, also a negative one: what changed is seen within it.
pub(super) const TTL: u32 = 5;

/// Records of one answer: a client takes one of them, and more than this many leave nobody out, as
/// each answer begins at another one.
const MOST_RECORDS: usize = 500;

/// Aliases that are followed within the zone: two `ExternalName` may name each other.
const MOST_ALIASES: usize = 8;

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    pub(super) code: ResponseCode,
    /// Whether it comes from the cluster's own names.
    pub(super) authoritative: bool,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
}

/// How a question goes on.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// It is answered.
    Done(Reply),
    /// The answer is at this name, which is not the cluster's; the aliases that led there come first.
    Ask(Name, Vec<Record>),
}

impl Reply {
    /// An answer without records.
    pub(super) fn of(code: ResponseCode) -> Self {
        Self { code, authoritative: false, answers: Vec::new(), authorities: Vec::new(), additionals: Vec::new() }
    }
}

/// Answers a question, beginning with record number `turn` where there are several.
pub(super) fn answer(zone: &Zone, name: &Name, kind: RecordType, turn: usize) -> Step {
    let mut at = name.clone();
    let mut chain = Vec::new();
    for _ in 0..=MOST_ALIASES {
        match zone.read(&labels(&at).iter().map(String::as_str).collect::<Vec<_>>()) {
            Place::Elsewhere => return Step::Ask(at, chain),
            Place::Here { meaning: Meaning::Alias(target), .. } if !takes_alias(kind) => {
                let Ok(target) = Name::from_ascii(target + ".") else {
                    return Step::Done(Reply { answers: chain, ..Reply::of(ResponseCode::ServFail) });
                };
                chain.push(Record::from_rdata(at, TTL, RData::CNAME(CNAME(target.clone()))));
                at = target;
            }
            Place::Here { meaning, origin } => {
                let mut reply = records(&at, kind, meaning, &origin, zone.domain(), turn);
                chain.append(&mut reply.answers);
                return Step::Done(Reply { answers: chain, ..reply });
            }
        }
    }
    Step::Done(Reply { answers: chain, ..Reply::of(ResponseCode::ServFail) })
}

/// Whether a question ends at an alias instead of going on behind it.
fn takes_alias(kind: RecordType) -> bool {
    matches!(kind, RecordType::CNAME | RecordType::ANY)
}

/// A name's labels in lower case. One that is no text equals no name of ours.
fn labels(name: &Name) -> Vec<String> {
    name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect()
}

fn records(at: &Name, kind: RecordType, meaning: Meaning, origin: &str, domain: &str, turn: usize) -> Reply {
    let mut reply = Reply { authoritative: true, ..Reply::of(ResponseCode::NoError) };
    let record = |data: RData| Record::from_rdata(at.clone(), TTL, data);
    let wants = |of: RecordType| kind == of || kind == RecordType::ANY;
    match meaning {
        Meaning::Missing => reply.code = ResponseCode::NXDomain,
        Meaning::Apex => {
            if wants(RecordType::SOA) {
                reply.answers.extend(authority(domain, domain));
            }
            if wants(RecordType::NS) {
                reply.answers.extend(full(&format!("ns.dns.{domain}")).map(|name| record(RData::NS(NS(name)))));
            }
        }
        Meaning::Addresses(found) => {
            let found = turned(found, turn).into_iter().map(of_address);
            reply.answers.extend(found.filter(|data| wants(data.record_type())).map(record));
        }
        Meaning::Ports(targets) if wants(RecordType::SRV) => ports(&mut reply, record, turned(targets, turn)),
        Meaning::Alias(target) => reply.answers.extend(full(&target).map(|name| record(RData::CNAME(CNAME(name))))),
        Meaning::Text(text) if wants(RecordType::TXT) => {
            reply.answers.push(record(RData::TXT(TXT::new(vec![text.into()]))));
        }
        Meaning::Pointers(names) if wants(RecordType::PTR) => {
            reply.answers.extend(names.iter().filter_map(|name| full(name)).map(|name| record(RData::PTR(PTR(name)))));
        }
        Meaning::Empty | Meaning::Ports(_) | Meaning::Text(_) | Meaning::Pointers(_) => {}
    }
    if reply.answers.is_empty() {
        reply.authorities.extend(authority(origin, domain));
    }
    reply
}

fn ports(reply: &mut Reply, record: impl Fn(RData) -> Record, targets: Vec<Target>) {
    // Weights are shares of a hundred; each that is there must have a chance.
    let weight = u16::try_from(100 / targets.len().max(1)).unwrap_or(1).max(1);
    for target in targets {
        let Some(name) = full(&target.name) else { continue };
        reply.answers.push(record(RData::SRV(SRV::new(0, weight, target.port, name.clone()))));
        let addresses = target.addresses.into_iter().map(of_address);
        reply.additionals.extend(addresses.map(|data| Record::from_rdata(name.clone(), TTL, data)));
    }
}

fn of_address(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

/// The record that says how long a negative answer may be kept.
fn authority(origin: &str, domain: &str) -> Option<Record> {
    let soa =
        SOA::new(full(&format!("ns.dns.{domain}"))?, full(&format!("hostmaster.{domain}"))?, 1, 7200, 1800, 86400, TTL);
    Some(Record::from_rdata(full(origin)?, TTL, RData::SOA(soa)))
}

/// Where none can be made of it (a label of more than 63 bytes), there is none.
fn full(name: &str) -> Option<Name> {
    Name::from_labels(name.split('.').map(str::as_bytes)).ok()
}

/// The records in the order of this turn, so that clients spread that take the first one.
fn turned<T>(mut all: Vec<T>, turn: usize) -> Vec<T> {
    let at = turn % all.len().max(1);
    all.rotate_left(at);
    all.truncate(MOST_RECORDS);
    all
}

#[cfg(test)]
mod tests;
