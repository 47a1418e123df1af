//! ARP on one link: says whose an address is, and hears what others say. What is said and heard is plain
//! data; the socket is small.
//!
//! A pool's address is on no link of this machine: the kernel would take it for one of its own, with all
//! that listens there. So the agent answers for it, and stops to when it ends.

use std::{io, net::Ipv4Addr, os::fd::AsRawFd as _};

use nix::{ifaddrs::getifaddrs, sys::socket as raw};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, eth};
use tokio::net::UnixDatagram;

/// Ethernet's header and ARP's message of IPv4.
const FRAME: usize = 42;
/// ENOBUFS.
const NO_BUFFERS: i32 = 105;
const EVERYBODY: [u8; 6] = [0xff; 6];
/// Ethernet, IPv4, and the lengths of their addresses.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    /// Whether it asks who has `target`.
    pub(crate) asks: bool,
    /// Who says it.
    pub(crate) mac: [u8; 6],
    /// The address that it says to have; 0.0.0.0 of one that only asks.
    pub(crate) sender: Ipv4Addr,
    /// The address that it is about.
    pub(crate) target: Ipv4Addr,
}

impl Message {
    /// As a frame for one machine.
    fn frame(self, to: [u8; 6]) -> [u8; FRAME] {
        let mut out = [0; FRAME];
        out[..6].copy_from_slice(&to);
        out[6..12].copy_from_slice(&self.mac);
        out[12..14].copy_from_slice(&[8, 6]);
        out[14..20].copy_from_slice(&KIND);
        out[21] = if self.asks { 1 } else { 2 };
        out[22..28].copy_from_slice(&self.mac);
        out[28..32].copy_from_slice(&self.sender.octets());
        out[32..38].copy_from_slice(if self.asks { &[0; 6] } else { &to });
        out[38..42].copy_from_slice(&self.target.octets());
        out
    }

    /// Of a frame; `None` for what is no ARP of IPv4.
    fn read(frame: &[u8]) -> Option<Self> {
        let body: &[u8; FRAME - 14] = frame.get(14..FRAME)?.try_into().ok()?;
        let ours = frame[12..14] == [8, 6] && body[..6] == KIND && body[6] == 0 && matches!(body[7], 1 | 2);
        let address = |at: usize| Ipv4Addr::new(body[at], body[at + 1], body[at + 2], body[at + 3]);
        ours.then(|| Self {
            asks: body[7] == 1,
            mac: [body[8], body[9], body[10], body[11], body[12], body[13]],
            sender: address(14),
            target: address(24),
        })
    }
}

/// A socket on one link.
#[derive(Debug)]
pub(crate) struct Arp {
    /// Of packets; the runtime waits on datagrams whatever their kind.
    socket: UnixDatagram,
    mac: [u8; 6],
}

impl Arp {
    /// Opens one on the link of a name, in the network namespace of the thread that calls.
    pub(crate) fn open(link: &str) -> io::Result<Self> {
        let at = getifaddrs()?.filter(|i| i.interface_name == link).find_map(|i| i.address?.as_link_addr().copied());
        let at = at.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no link {link}")))?;
        let mac = at.addr().ok_or_else(|| io::Error::other(format!("the link {link} has no hardware address")))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, Some(eth::ARP))?;
        // The address says no protocol, so that of the socket stays.
        raw::bind(socket.as_raw_fd(), &at)?;
        Ok(Self { socket: UnixDatagram::from_std(socket.into())?, mac })
    }

    /// Says to everybody that this machine has an address, in both ways that machines listen to.
    pub(crate) fn announce(&self, address: Ipv4Addr) -> io::Result<()> {
        let message = Message { asks: true, mac: self.mac, sender: address, target: address };
        self.send(message, EVERYBODY)?;
        self.send(Message { asks: false, ..message }, EVERYBODY)
    }

    /// Answers one who asked.
    pub(crate) fn answer(&self, asked: &Message) -> io::Result<()> {
        let answer = Message { asks: false, mac: self.mac, sender: asked.target, target: asked.sender };
        self.send(answer, asked.mac)
    }

    /// Asks who has an address, without saying that this machine has one.
    pub(crate) fn ask(&self, target: Ipv4Addr) -> io::Result<()> {
        self.send(Message { asks: true, mac: self.mac, sender: Ipv4Addr::UNSPECIFIED, target }, EVERYBODY)
    }

    fn send(&self, message: Message, to: [u8; 6]) -> io::Result<()> {
        match self.socket.try_send(&message.frame(to)) {
            // A link whose queue is full loses packets: all of this is said again.
            Err(e) if e.kind() != io::ErrorKind::WouldBlock && e.raw_os_error() != Some(NO_BUFFERS) => Err(e),
            _ => Ok(()),
        }
    }

    /// The next message of another machine.
    pub(crate) async fn next(&self) -> io::Result<Message> {
        let mut buffer = [0; 128];
        loop {
            let got = self.socket.recv(&mut buffer).await?;
            if let Some(message) = buffer.get(..got).and_then(Message::read).filter(|m| m.mac != self.mac) {
                return Ok(message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_frame_and_back() {
        let mac = [2, 0, 0, 0, 0, 7];
        let ask = Message { asks: true, mac, sender: Ipv4Addr::UNSPECIFIED, target: Ipv4Addr::new(192, 0, 2, 9) };
        let frame = ask.frame(EVERYBODY);
        assert_eq!(frame[..22], [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 7, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(Message::read(&frame), Some(ask));
        let says = Message { asks: false, sender: Ipv4Addr::new(192, 0, 2, 9), ..ask };
        assert_eq!(Message::read(&says.frame(mac)), Some(says));
        assert_eq!(Message::read(&frame[..41]), None);
        let mut other = frame;
        other[13] = 0;
        assert_eq!(Message::read(&other), None);
    }
}
