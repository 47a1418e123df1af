//! Notices when someone else changes our table.
//!
//! The kernel counts every change of the rules (its generation) and tells a group of listeners what
//! changed. A look costs one call of the kernel when nothing happened. Of our own changes we hear too:
//! a change is ours when it is the only one between the two counts around it. Deliberately not here:
//! what is done about it.

use std::io;

use super::netlink::{Heard, Message, Socket};

/// Netfilter's number for nftables, as it stands in a message's kind, and for its listeners.
const NFTABLES: u16 = 10;
const GROUP: u32 = 7;

/// Messages that say, and ask for, the generation.
const NEW_GENERATION: u16 = (NFTABLES << 8) | 15;
const GET_GENERATION: u16 = (NFTABLES << 8) | 16;

/// The attribute with the generation's number, and the one with the table's name, which is the same
/// for tables, chains, rules, sets and elements.
const GENERATION: u16 = 1;
const TABLE: u16 = 1;

/// The family of IPv4.
const IPV4: u8 = 2;

/// A watch over one table.
#[derive(Debug)]
pub(super) struct Watch {
    ask: Socket,
    /// `None` while nothing is to be heard.
    hear: Option<Socket>,
    table: String,
    /// Whether the change that is being told touches the table.
    touching: bool,
}

/// What was seen since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Changes that touched the table.
    pub(super) touched: u32,
    /// Whether something was not heard.
    pub(super) lost: bool,
}

impl Watch {
    pub(super) fn new(table: String) -> io::Result<Self> {
        Ok(Self { ask: Socket::ask()?, hear: Some(Socket::hear(GROUP)?), table, touching: false })
    }

    /// The number of the last change of any table.
    pub(super) fn generation(&mut self) -> io::Result<u32> {
        let mut found = None;
        self.ask.request(GET_GENERATION, 0, 0, &[], |message| {
            found =
                message.attributes().find(|(kind, _)| *kind == GENERATION).and_then(|(_, v)| v.first_chunk().copied());
        })?;
        found.map(u32::from_be_bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// What was said since the last look.
    pub(super) fn look(&mut self) -> io::Result<Seen> {
        let mut seen = Seen::default();
        let hear = match &mut self.hear {
            Some(hear) => hear,
            none => none.insert(Socket::hear(GROUP)?),
        };
        loop {
            let (table, touching) = (&self.table, &mut self.touching);
            let heard = hear.read(|message| {
                if message.kind == NEW_GENERATION {
                    seen.touched += u32::from(*touching);
                    *touching = false;
                } else if of_table(message, table) {
                    *touching = true;
                }
            })?;
            match heard {
                Heard::Messages => {}
                Heard::Nothing => {
                    // What was told in part will not be told to its end.
                    self.touching &= !seen.lost;
                    return Ok(seen);
                }
                Heard::Lost => seen.lost = true,
            }
        }
    }

    /// Hears nothing until the next look. While anybody listens, the kernel tells each element of a
    /// load, which takes it as long as the load itself.
    pub(super) fn close_ears(&mut self) {
        self.hear = None;
        self.touching = false;
    }

    /// A socket of the same network namespace, for another thread.
    pub(super) fn socket(&self) -> io::Result<Socket> {
        self.ask.again()
    }
}

fn of_table(message: Message<'_>, table: &str) -> bool {
    let named = |value: &[u8]| value.strip_suffix(&[0]).unwrap_or(value) == table.as_bytes();
    message.family == IPV4
        && message.kind >> 8 == NFTABLES
        && message.attributes().any(|(kind, value)| kind == TABLE && named(value))
}
