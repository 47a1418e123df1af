//! Flows of UDP that lead to one that is gone are forgotten, so that their next packet goes to one
//! that is there: conntrack keeps a flow's way for as long as packets come. Of TCP only those go that
//! nobody has answered yet: their next attempt, and a later connection from the same port, would go to
//! a node without power for two minutes more. Others are left alone: what an ending program still
//! answers, it may; but not what began while policies that forbid it were away. Deliberately not here: who is there (`book`).

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::Ipv4Addr,
};

use evenkeel_model::net::PortProtocol;

use super::{
    front::{At, Backend, Front},
    netlink::{ACK, DUMP, Socket, nested, write},
    policy,
};

/// Netfilter's number for conntrack with the two requests.
const GET: u16 = (1 << 8) | 1;
const DELETE: u16 = (1 << 8) | 2;

const IPV4: u8 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Attributes of a flow: how its packets go, how the answers come, its number, its zone.
const THERE: u16 = 1;
const BACK: u16 = 2;
const STATE: u16 = 4;
const ID: u16 = 12;
const ZONE: u16 = 18;

/// And within the first two.
const ADDRESSES: u16 = 1;
const SOURCE: u16 = 1;
const TARGET: u16 = 2;
const PROTOCOL: u16 = 2;
const NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const TARGET_PORT: u16 = 3;

/// And within the state: TCP's, and the one after the first packet.
const OF_TCP: u16 = 1;
const STEP: u16 = 1;
const SYN_SENT: u8 = 1;

/// Forgets flows to these fronts that are answered by none of those who are there now. Says how many.
pub(super) fn forget(socket: &mut Socket, there: &BTreeMap<Front, BTreeSet<Backend>>) -> io::Result<usize> {
    end(socket, |message| Flow::read(message).is_some_and(|flow| flow.is_stale(there)))
}

/// Forgets flows that policies do not let through, but not those of these addresses, which are the
/// machine's own. Their next packet is judged as a first one is. Says how many.
pub(super) fn forbid(
    socket: &mut Socket,
    own: &BTreeSet<Ipv4Addr>,
    allows: impl Fn(policy::Flow) -> bool,
) -> io::Result<usize> {
    end(socket, |message| {
        let protocol = match nested(message, &[THERE, PROTOCOL, NUMBER]) {
            Some([UDP]) => PortProtocol::Udp,
            Some([TCP]) => PortProtocol::Tcp,
            _ => return false,
        };
        let (Some(from), Some(to)) = (asks(message), endpoint(message, BACK, SOURCE, SOURCE_PORT)) else {
            return false;
        };
        !own.contains(&from) && !allows(policy::Flow { from, to: to.address, port: to.port, protocol })
    })
}

/// Ends the flows of which this is true.
fn end(socket: &mut Socket, is: impl Fn(&[u8]) -> bool) -> io::Result<usize> {
    let mut gone: Vec<Vec<u8>> = Vec::new();
    socket.request(GET, DUMP, IPV4, &[], |message| {
        if is(message.rest()) {
            gone.push(name(message.rest()));
        }
    })?;
    let mut count = 0;
    for flow in gone {
        match socket.request(DELETE, ACK, IPV4, &flow, |_| {}) {
            Ok(()) => count += 1,
            // It ended by itself.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(count)
}

/// The attributes that name a flow, as they came.
fn name(all: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, is_nested) in [(THERE, true), (ID, false), (ZONE, false)] {
        if let Some(value) = nested(all, &[kind]) {
            write(&mut out, kind, is_nested, value);
        }
    }
    out
}

fn endpoint(all: &[u8], way: u16, address: u16, port: u16) -> Option<Backend> {
    let address: [u8; 4] = *nested(all, &[way, ADDRESSES, address])?.first_chunk()?;
    let port: [u8; 2] = *nested(all, &[way, PROTOCOL, port])?.first_chunk()?;
    Some(Backend { address: Ipv4Addr::from(address), port: u16::from_be_bytes(port) })
}

/// Who asks, before any translation.
fn asks(all: &[u8]) -> Option<Ipv4Addr> {
    let address: [u8; 4] = *nested(all, &[THERE, ADDRESSES, SOURCE])?.first_chunk()?;
    Some(address.into())
}

/// A flow of UDP, or one of TCP that nobody has answered: where its packets were sent, and who answers.
#[derive(Debug, PartialEq, Eq)]
struct Flow {
    protocol: PortProtocol,
    target: Backend,
    answers: Backend,
}

impl Flow {
    fn read(all: &[u8]) -> Option<Self> {
        let protocol = match nested(all, &[THERE, PROTOCOL, NUMBER])? {
            [UDP] => PortProtocol::Udp,
            [TCP] if nested(all, &[STATE, OF_TCP, STEP])? == [SYN_SENT] => PortProtocol::Tcp,
            _ => return None,
        };
        let target = endpoint(all, THERE, TARGET, TARGET_PORT)?;
        Some(Self { protocol, target, answers: endpoint(all, BACK, SOURCE, SOURCE_PORT)? })
    }

    fn is_stale(&self, there: &BTreeMap<Front, BTreeSet<Backend>>) -> bool {
        let front = |at| Front { at, protocol: self.protocol, port: self.target.port };
        if let Some(known) = there.get(&front(At::Address(self.target.address))) {
            return !known.contains(&self.answers);
        }
        // At the node's own addresses, which are not known here: only what was sent on to another.
        let sent_on = self.answers != self.target;
        sent_on && there.get(&front(At::Node)).is_some_and(|known| !known.contains(&self.answers))
    }
}
