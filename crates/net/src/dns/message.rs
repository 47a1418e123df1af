//! Messages of DNS: what may come in, and how an answer goes out within its size.
//!
//! Checks what costs nothing before anything is decoded: a message from a pod is from a stranger.
//! Deliberately not here: what is answered.

use hickory_proto::{
    op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode},
    rr::{DNSClass, RecordType},
};

use super::answer::Reply;

/// Bytes of a message over UDP that pass every link unbroken; the figure that resolvers agreed on in
/// 2020. What is longer comes by TCP.
pub(super) const UDP_SIZE: u16 = 1232;

/// Bytes over UDP that every client takes (RFC 1035).
const UDP_LEAST: u16 = 512;

/// Bytes of a question: a name has 255 at most, options some more.
pub(super) const QUESTION_SIZE: usize = 4096;

/// Bytes of the fixed head of a message.
const HEAD: usize = 12;

/// A question that is to be answered.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    head: Metadata,
    pub(super) query: Query,
    /// The client speaks EDNS, and takes as many bytes over UDP.
    edns: Option<u16>,
}

/// How a message came, and goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// What a message is.
#[derive(Debug, Clone)]
pub(super) enum Read {
    /// A question.
    Ask(Box<Ask>),
    /// Something that is answered with an error.
    Error(Vec<u8>),
    /// Nothing that is answered: too short, or itself an answer.
    Silence,
}

/// Reads what a client sent.
pub(super) fn read(bytes: &[u8]) -> Read {
    let Some(head) = bytes.first_chunk::<HEAD>() else { return Read::Silence };
    let [id0, id1, flags, _, questions @ .., _, _, _, _, _, _] = *head;
    if flags & 0x80 != 0 {
        return Read::Silence;
    }
    let refuse = |code| {
        let mut message = Message::error_msg(u16::from_be_bytes([id0, id1]), OpCode::Query, code);
        message.metadata.op_code = OpCode::from_u8((flags >> 3) & 0xf);
        message.to_vec().map_or(Read::Silence, Read::Error)
    };
    if (flags >> 3) & 0xf != 0 {
        return refuse(ResponseCode::NotImp);
    }
    if questions != [0, 1] || bytes.len() > QUESTION_SIZE {
        return refuse(ResponseCode::FormErr);
    }
    let Ok(mut message) = Message::from_vec(bytes) else { return refuse(ResponseCode::FormErr) };
    let Some(query) = message.queries.pop() else { return refuse(ResponseCode::FormErr) };
    let ask = Ask { head: message.metadata, query, edns: message.edns.as_ref().map(Edns::max_payload) };
    let error = if message.edns.is_some_and(|edns| edns.version() > 0) {
        Some(ResponseCode::BADVERS)
    } else if ask.query.query_class() != DNSClass::IN {
        Some(ResponseCode::Refused)
    } else {
        matches!(ask.query.query_type(), RecordType::AXFR | RecordType::IXFR).then_some(ResponseCode::Refused)
    };
    match error {
        Some(code) => write(&ask, Reply::of(code), Transport::Udp).map_or(Read::Silence, Read::Error),
        None => Read::Ask(Box::new(ask)),
    }
}

/// The answer to a question, cut to what the client takes. `None` where it cannot be written at all.
pub(super) fn write(ask: &Ask, reply: Reply, transport: Transport) -> Option<Vec<u8>> {
    let mut message = Message::new(ask.head.id, MessageType::Response, OpCode::Query);
    message.metadata = Metadata::response_from_request(&ask.head);
    message.metadata.authoritative = reply.authoritative;
    message.metadata.recursion_available = true;
    message.metadata.response_code = reply.code;
    message.queries.push(ask.query.clone());
    message.answers = reply.answers;
    message.authorities = reply.authorities;
    message.additionals = reply.additionals;
    if ask.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_SIZE);
        message.edns = Some(edns);
    }
    let most = match transport {
        Transport::Udp => ask.edns.unwrap_or(UDP_LEAST).clamp(UDP_LEAST, UDP_SIZE),
        Transport::Tcp => u16::MAX,
    };
    fit(message, usize::from(most))
}

/// Leaves out what does not fit: first what nobody asked for, then answers, which the client is told.
fn fit(mut message: Message, most: usize) -> Option<Vec<u8>> {
    let mut bytes = message.to_vec().ok()?;
    if bytes.len() > most && !message.additionals.is_empty() {
        message.additionals.clear();
        bytes = message.to_vec().ok()?;
    }
    while bytes.len() > most {
        message.metadata.truncation = true;
        message.authorities.clear();
        // By its share, and one less, so that each round has fewer.
        let kept = (message.answers.len() * most / bytes.len()).min(message.answers.len().saturating_sub(1));
        if message.answers.is_empty() {
            return None;
        }
        message.answers.truncate(kept);
        bytes = message.to_vec().ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
