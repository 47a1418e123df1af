//! Messages that are too big for one frame travel in parts.
//!
//! A full assignment holds every pod of a node with its ConfigMaps and Secrets; gRPC's own bound of
//! 4 MiB stays in force for each frame. What is gathered is bounded too.

use bytes::{Bytes, BytesMut};
use prost::Message;
use thiserror::Error;

use crate::proto::{FromAgent, FromServer, Part, from_agent, from_server};

/// Bytes of one part, and of the biggest message that travels whole: well below the 4 MiB that a
/// gRPC message may have.
pub const PART: usize = 1 << 20;
/// Bytes of the biggest message to an agent: 110 pods, each with a ConfigMap of 1 MiB, twice over.
pub const MOST_TO_AGENT: usize = 256 << 20;
/// Bytes of the biggest message from an agent: a hello with 1,000 pods of 32 KiB, twice over.
pub const MOST_TO_SERVER: usize = 64 << 20;

/// A message in parts cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PartError {
    /// It is too big.
    #[error("a message has more than {most} bytes")]
    TooBig {
        /// How many it may have.
        most: usize,
    },
    /// It is no message.
    #[error("a message in parts cannot be decoded: {0}")]
    Broken(String),
    /// Something else came between its parts.
    #[error("a message began before the parts of the last one were complete")]
    Interrupted,
}

/// A message that can travel in parts.
pub trait Parted: Message + Default {
    /// A frame with a part.
    fn of_part(part: Part) -> Self;
    /// The part, if it is one.
    fn part(self) -> Result<Part, Self>;
}

impl Parted for FromAgent {
    fn of_part(part: Part) -> Self {
        Self { message: Some(from_agent::Message::Part(part)) }
    }

    fn part(self) -> Result<Part, Self> {
        match self.message {
            Some(from_agent::Message::Part(part)) => Ok(part),
            _ => Err(self),
        }
    }
}

impl Parted for FromServer {
    fn of_part(part: Part) -> Self {
        Self { message: Some(from_server::Message::Part(part)) }
    }

    fn part(self) -> Result<Part, Self> {
        match self.message {
            Some(from_server::Message::Part(part)) => Ok(part),
            _ => Err(self),
        }
    }
}

/// The frames of a message: itself, or its parts.
pub fn split<M: Parted>(message: M) -> Vec<M> {
    if message.encoded_len() <= PART {
        return vec![message];
    }
    let mut rest = Bytes::from(message.encode_to_vec());
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let bytes = rest.split_to(rest.len().min(PART));
        frames.push(M::of_part(Part { bytes, last: rest.is_empty() }));
    }
    frames
}

/// Puts messages together.
#[derive(Debug)]
pub struct Joiner {
    most: usize,
    gathered: BytesMut,
}

impl Joiner {
    /// For messages of at most so many bytes.
    pub fn new(most: usize) -> Self {
        Self { most, gathered: BytesMut::new() }
    }

    /// Takes a frame; gives a message when it is whole.
    pub fn take<M: Parted>(&mut self, frame: M) -> Result<Option<M>, PartError> {
        let part = match frame.part() {
            Ok(part) => part,
            Err(_) if !self.gathered.is_empty() => return Err(PartError::Interrupted),
            Err(whole) => return Ok(Some(whole)),
        };
        if self.gathered.len() + part.bytes.len() > self.most {
            return Err(PartError::TooBig { most: self.most });
        }
        self.gathered.extend_from_slice(&part.bytes);
        if !part.last {
            return Ok(None);
        }
        let whole = M::decode(std::mem::take(&mut self.gathered)).map_err(|e| PartError::Broken(e.to_string()))?;
        // A part inside of parts would make the bound void.
        whole.part().map_or_else(|whole| Ok(Some(whole)), |_| Err(PartError::Interrupted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Assignment, PodOrder};

    fn assignment(bytes: usize) -> FromServer {
        let pods = vec![PodOrder { pod: vec![7; bytes].into(), ..PodOrder::default() }];
        FromServer {
            message: Some(from_server::Message::Assignment(Assignment { seq: 3, pods, ..Assignment::default() })),
        }
    }

    fn joined(frames: Vec<FromServer>, most: usize) -> Result<Option<FromServer>, PartError> {
        let mut joiner = Joiner::new(most);
        let mut last = None;
        for frame in frames {
            last = joiner.take(frame)?;
        }
        Ok(last)
    }

    #[test]
    fn a_message_of_any_size_arrives_as_it_was() {
        for bytes in [0, 10, PART - 20, PART, 3 * PART + 5] {
            let frames = split(assignment(bytes));
            assert!(frames.iter().all(|f| f.encoded_len() <= PART + 16), "{bytes}");
            assert_eq!(joined(frames, MOST_TO_AGENT).unwrap(), Some(assignment(bytes)), "{bytes}");
        }
    }

    #[test]
    fn what_is_gathered_is_bounded_and_whole() {
        let frames = split(assignment(3 * PART));
        assert_eq!(joined(frames.clone(), 2 * PART), Err(PartError::TooBig { most: 2 * PART }));
        let interrupted = vec![frames[0].clone(), assignment(1)];
        assert_eq!(joined(interrupted, MOST_TO_AGENT), Err(PartError::Interrupted));
        let broken = FromServer::of_part(Part { bytes: Bytes::from_static(&[0xff; 9]), last: true });
        assert!(matches!(joined(vec![broken], MOST_TO_AGENT), Err(PartError::Broken(_))));
    }
}
