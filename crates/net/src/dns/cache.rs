//! Answers of other resolvers, for as long as they may be kept.
//!
//! Two generations: when the young one is full the old one goes, which takes away what was not asked
//! for lately at no cost of bookkeeping. Deliberately not here: asking (`upstream`).

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, OpCode, Query, ResponseCode},
    rr::{RData, Record},
};

use super::answer::Reply;

/// Answers of one generation; there are two. With [`MOST_BYTES`] this bounds memory at 16 MiB; a name
/// as they are takes 200 bytes.
const GENERATION: usize = 2048;

/// Bytes of an answer that is kept.
const MOST_BYTES: usize = 4096;

/// How long an answer is kept at most, whatever it says: what was put right elsewhere is seen then.
const LONGEST: Duration = Duration::from_mins(5);

/// How long it is kept at most that there is no such thing.
const LONGEST_NEGATIVE: Duration = Duration::from_secs(30);

/// Answers by question.
#[derive(Debug, Default)]
pub(super) struct Cache {
    young: HashMap<Query, Kept>,
    old: HashMap<Query, Kept>,
}

#[derive(Debug)]
struct Kept {
    since: Instant,
    until: Instant,
    /// As a message: the smallest form there is.
    bytes: Box<[u8]>,
}

impl Cache {
    /// What is known of a question at this moment, its times to live counted down.
    pub(super) fn get(&mut self, query: &Query, now: Instant) -> Option<Reply> {
        if !self.young.contains_key(query)
            && let Some(kept) = self.old.remove(query)
        {
            self.put(query.clone(), kept);
        }
        let kept = self.young.get(query)?;
        if kept.until <= now {
            self.young.remove(query);
            return None;
        }
        let age = u32::try_from(now.saturating_duration_since(kept.since).as_secs()).unwrap_or(u32::MAX);
        let message = Message::from_vec(&kept.bytes).ok()?;
        let mut reply = Reply {
            answers: message.answers,
            authorities: message.authorities,
            ..Reply::of(message.metadata.response_code)
        };
        for record in reply.answers.iter_mut().chain(&mut reply.authorities) {
            record.decrement_ttl(age.min(record.ttl));
        }
        Some(reply)
    }

    /// Keeps an answer for as long as it says.
    pub(super) fn insert(&mut self, query: Query, reply: &Reply, now: Instant) {
        let Some(life) = life(reply) else { return };
        let mut message = Message::response(0, OpCode::Query);
        message.metadata.response_code = reply.code;
        message.answers.clone_from(&reply.answers);
        message.authorities.clone_from(&reply.authorities);
        if let Ok(bytes) = message.to_vec()
            && bytes.len() <= MOST_BYTES
        {
            self.put(query, Kept { since: now, until: now + life, bytes: bytes.into() });
        }
    }

    fn put(&mut self, query: Query, kept: Kept) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&query) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(query, kept);
    }
}

/// How long an answer may be kept; `None` for not at all.
fn life(reply: &Reply) -> Option<Duration> {
    let shortest = |records: &[Record]| records.iter().map(|record| record.ttl).min();
    let (seconds, most) = match reply.code {
        ResponseCode::NoError if !reply.answers.is_empty() => (shortest(&reply.answers)?, LONGEST),
        // RFC 2308: as long as the zone's SOA says, which must be there.
        ResponseCode::NoError | ResponseCode::NXDomain => {
            let soa = reply.authorities.iter().find_map(|record| match &record.data {
                RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
                _ => None,
            })?;
            (soa.min(shortest(&reply.answers).unwrap_or(soa)), LONGEST_NEGATIVE)
        }
        _ => return None,
    };
    (seconds > 0).then(|| Duration::from_secs(seconds.into()).min(most))
}

#[cfg(test)]
mod tests;
