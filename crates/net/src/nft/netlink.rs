//! The little of netlink that rules and connections need: a socket to netfilter's part of the kernel,
//! requests, and attributes. Deliberately not here: what is asked (`watch`, `conntrack`).

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
    netlink::{NETFILTER, SocketAddrNetlink},
    recv, sendto, socket_with,
    sockopt::{Timeout, set_socket_recv_buffer_size_force, set_socket_timeout},
};

/// Longest wait for an answer. The kernel answers while it is asked; this is for what nobody thought of.
const LONGEST: Duration = Duration::from_secs(5);

/// Most bytes of what is not yet read, which the kernel takes when it needs them: what comes beyond is
/// lost, and the loss is said. A load of ten thousand Services is told in about 40 MB.
const BUFFER: usize = 64 << 20;

/// The kernel never sends more at once.
const LARGEST: usize = 1 << 16;

/// Message kinds that every part of netlink has.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// Flags of a request.
pub(super) const REQUEST: u16 = 1;
pub(super) const ACK: u16 = 4;
pub(super) const DUMP: u16 = 0x300;

/// Every container of attributes says so in its kind.
const NESTED: u16 = 0x8000;

/// A socket to netfilter, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

/// What one look at a socket gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It gave messages.
    Messages,
    /// Nothing more for now.
    Nothing,
    /// More came than was kept.
    Lost,
}

impl Socket {
    /// One that asks and waits for its answers.
    pub(super) fn ask() -> io::Result<Self> {
        let fd = Self::open(SocketFlags::CLOEXEC, 0)?;
        set_socket_timeout(&fd, Timeout::Recv, Some(LONGEST))?;
        Ok(Self { fd, buffer: vec![0; LARGEST], sequence: 0 })
    }

    /// One that hears what a group (its number, from 1 to 32) is told, and never waits.
    pub(super) fn hear(group: u32) -> io::Result<Self> {
        let fd = Self::open(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, 1 << (group - 1))?;
        set_socket_recv_buffer_size_force(&fd, BUFFER)?;
        Ok(Self { fd, buffer: vec![0; LARGEST], sequence: 0 })
    }

    fn open(flags: SocketFlags, groups: u32) -> io::Result<OwnedFd> {
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(NETFILTER))?;
        bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(fd)
    }

    /// The same socket again, for another thread.
    pub(super) fn again(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.as_fd().try_clone_to_owned()?, buffer: vec![0; LARGEST], sequence: self.sequence })
    }

    /// Reads what is there, one call of the kernel.
    pub(super) fn read(&mut self, mut each: impl FnMut(Message<'_>)) -> io::Result<Heard> {
        let (length, _) = match recv(&self.fd, &mut self.buffer[..], RecvFlags::empty()) {
            Ok(got) => got,
            Err(rustix::io::Errno::AGAIN) => return Ok(Heard::Nothing),
            Err(rustix::io::Errno::NOBUFS) => return Ok(Heard::Lost),
            Err(rustix::io::Errno::INTR) => return Ok(Heard::Messages),
            Err(e) => return Err(e.into()),
        };
        messages(&self.buffer[..length]).for_each(&mut each);
        Ok(Heard::Messages)
    }

    /// Asks, and gives each message of the answer until its end.
    pub(super) fn request(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        attributes: &[u8],
        mut each: impl FnMut(Message<'_>),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut out = Vec::with_capacity(20 + attributes.len());
        out.extend(u32::try_from(20 + attributes.len()).map_err(io::Error::other)?.to_ne_bytes());
        out.extend(kind.to_ne_bytes());
        out.extend((REQUEST | flags).to_ne_bytes());
        out.extend(self.sequence.to_ne_bytes());
        out.extend([0; 4]);
        out.extend([family, 0, 0, 0]);
        out.extend(attributes);
        sendto(&self.fd, &out, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        loop {
            let mut end = None;
            let sequence = self.sequence;
            let heard = self.read(|message| {
                if message.sequence != sequence {
                    // Of an answer that nobody waited for to its end.
                    return;
                }
                match message.kind {
                    DONE => end = Some(Ok(())),
                    ERROR => end = Some(message.error()),
                    _ => {
                        each(message);
                        if flags & (DUMP | ACK) == 0 {
                            end = Some(Ok(()));
                        }
                    }
                }
            })?;
            match (end, heard) {
                (Some(end), _) => return end,
                (None, Heard::Messages) => {}
                (None, Heard::Nothing) => return Err(io::ErrorKind::TimedOut.into()),
                (None, Heard::Lost) => {
                    return Err(io::Error::other("the kernel's answer was larger than what is kept"));
                }
            }
        }
    }
}

/// One message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) sequence: u32,
    /// The protocol family that it is about.
    pub(super) family: u8,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Its attributes, by kind.
    pub(super) fn attributes(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        attributes(self.rest())
    }

    /// Its attributes as they came.
    pub(super) fn rest(self) -> &'a [u8] {
        self.body.get(4..).unwrap_or_default()
    }

    fn error(self) -> io::Result<()> {
        match self.body.first_chunk().map(|b| i32::from_ne_bytes(*b)) {
            Some(0) => Ok(()),
            Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
            None => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn messages(mut all: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let head: &[u8; 16] = all.first_chunk()?;
        let length = usize::try_from(u32::from_ne_bytes([head[0], head[1], head[2], head[3]])).ok()?;
        let body = all.get(16..length)?;
        let message = Message {
            kind: u16::from_ne_bytes([head[4], head[5]]),
            sequence: u32::from_ne_bytes([head[8], head[9], head[10], head[11]]),
            family: body.first().copied().unwrap_or(0),
            body,
        };
        all = all.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// Attributes, by kind.
pub(super) fn attributes(mut all: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head: &[u8; 4] = all.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let value = all.get(4..length)?;
        let kind = u16::from_ne_bytes([head[2], head[3]]) & 0x3fff;
        all = all.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The attribute of a kind.
fn attribute(all: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(all).find(|(k, _)| *k == kind).map(|(_, value)| value)
}

/// The attribute at the end of a path of kinds.
pub(super) fn nested<'a>(all: &'a [u8], kinds: &[u16]) -> Option<&'a [u8]> {
    kinds.iter().try_fold(all, |at, kind| attribute(at, *kind))
}

/// Writes an attribute; `nested` where its value is attributes.
pub(super) fn write(out: &mut Vec<u8>, kind: u16, nested: bool, value: &[u8]) {
    // Values here are a few dozen bytes.
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    out.extend(length.to_ne_bytes());
    out.extend((if nested { kind | NESTED } else { kind }).to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_are_written() {
        let mut out = Vec::new();
        write(&mut out, 1, false, b"abcde");
        write(&mut out, 2, true, &[1, 2, 3, 4]);
        let read: Vec<_> = attributes(&out).collect();
        assert_eq!(read, [(1, &b"abcde"[..]), (2, &[1, 2, 3, 4][..])]);
        assert_eq!(attribute(&out, 2), Some(&[1, 2, 3, 4][..]));
    }

    #[test]
    fn what_is_cut_off_ends_the_reading() {
        let mut out = Vec::new();
        write(&mut out, 1, false, b"abcd");
        for length in 0..out.len() {
            assert_eq!(attributes(&out[..length]).count(), 0, "{length}");
            assert_eq!(messages(&out[..length]).count(), 0, "{length}");
        }
        // A length of nothing would go round for ever.
        assert_eq!(attributes(&[0; 64]).count(), 0);
        assert_eq!(messages(&[0; 64]).count(), 0);
    }
}
