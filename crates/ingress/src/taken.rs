//! Whether the other end of a connection takes what is sent to it, as the kernel sees it.
//!
//! A time that the kernel keeps itself (`TCP_USER_TIMEOUT`) does not tell a machine that is gone from a program
//! that does not read for a while: it ends both. So the kernel is asked what it knows of the connection, by
//! `sock_diag` (7), which needs no rights. Called by `wire`. Deliberately not here: what follows from it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
    netlink::{SOCK_DIAG, SocketAddrNetlink},
    recv, sendto, socket_with,
};

/// Kind of a request for sockets of one family, and of its answers.
const BY_FAMILY: u16 = 20;
/// Flag of each request.
const REQUEST: u16 = 1;
/// Bytes of netlink's head, and of what the kernel says of a socket before its attributes.
const HEAD: usize = 16;
const SOCKET: usize = 72;
/// The attribute with what TCP knows, by its number and by the flag that asks for it.
const INFO: u16 = 2;
const ASK_INFO: u8 = 1 << (INFO - 1);
/// The kernel's word for any cookie of a socket.
const ANY: u32 = u32::MAX;
/// Sockets in all states.
const STATES: u32 = u32::MAX;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const TCP: u8 = 6;

/// What the kernel knows of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Packets are on their way that nobody has said to have, or the other end has no room.
    pub(crate) waits: bool,
    /// Nothing answers: what was sent, or the question for room, at least twice.
    pub(crate) unanswered: bool,
    /// Since when nothing came back.
    pub(crate) silent: Duration,
}

/// Asks for a connection from one address to the other, in the network of the thread that calls.
pub(crate) fn taken(from: SocketAddr, to: SocketAddr) -> io::Result<Taken> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(SOCK_DIAG))?;
    // The kernel answers while it is asked.
    sendto(&socket, &request(from, to), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut buffer = [0; 2048];
    let (length, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
    read(&buffer[..length]).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

fn request(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let family = if from.is_ipv4() { IPV4 } else { IPV6 };
    let mut body = vec![family, TCP, ASK_INFO, 0];
    body.extend(STATES.to_ne_bytes());
    body.extend(from.port().to_be_bytes());
    body.extend(to.port().to_be_bytes());
    body.extend(address(from.ip()));
    body.extend(address(to.ip()));
    // Whatever link it goes by.
    body.extend(0_u32.to_ne_bytes());
    body.extend(ANY.to_ne_bytes());
    body.extend(ANY.to_ne_bytes());
    let mut all = Vec::with_capacity(HEAD + body.len());
    all.extend(u32::try_from(HEAD + body.len()).unwrap_or_default().to_ne_bytes());
    all.extend(BY_FAMILY.to_ne_bytes());
    all.extend(REQUEST.to_ne_bytes());
    all.extend(1_u32.to_ne_bytes());
    all.extend(0_u32.to_ne_bytes());
    all.extend(body);
    all
}

fn address(of: IpAddr) -> [u8; 16] {
    match of {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Reads an answer; `None` where it is an error, which it also is when there is no such connection any more.
fn read(answer: &[u8]) -> Option<Taken> {
    let number = |bytes: &[u8], at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let short = |bytes: &[u8], at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    if short(answer, 4)? != BY_FAMILY {
        return None;
    }
    let timer = *answer.get(HEAD + 2)?;
    let mut rest = answer.get(HEAD + SOCKET..)?;
    loop {
        let (length, kind) = (usize::from(short(rest, 0)?), short(rest, 2)?);
        if kind == INFO {
            // `struct tcp_info`: see tcp.h of the kernel.
            let info = rest.get(4..length)?;
            let (probes, unacknowledged, since) = (*info.get(3)?, number(info, 24)?, number(info, 56)?);
            return Some(Taken {
                // Timers of what is sent again, and of the question for room.
                waits: unacknowledged > 0 || timer == 1 || timer == 4,
                unanswered: unacknowledged > 0 || probes > 1,
                silent: Duration::from_millis(since.into()),
            });
        }
        rest = rest.get(length.next_multiple_of(4).max(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{Ipv4Addr, TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;

    #[test]
    fn what_was_taken_is_told_from_what_nobody_reads() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut there, _) = listener.accept().unwrap();
        let ask = || taken(here.local_addr().unwrap(), here.peer_addr().unwrap()).unwrap();
        let begun = Instant::now();
        (&here).write_all(b"request").unwrap();
        there.read_exact(&mut [0; 7]).unwrap();
        while ask().waits {
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", ask());
        }
        // A program that reads nothing has no room, and its kernel says so.
        here.set_nonblocking(true).unwrap();
        while (&here).write(&[0; 4096]).is_ok() {}
        let told = ask();
        assert!(told.waits, "{told:?}");
        assert!(told.silent < Duration::from_secs(5), "{told:?}");
        here.shutdown(std::net::Shutdown::Both).unwrap();
    }

    #[test]
    fn a_connection_that_is_not_there_is_an_error() {
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        assert_eq!(taken(nobody, nobody).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn answers_that_are_cut_are_none() {
        let mut answer = vec![0; HEAD + SOCKET + 4 + 64];
        answer[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        answer[HEAD + 2] = 4;
        answer[HEAD + SOCKET..HEAD + SOCKET + 2].copy_from_slice(&68_u16.to_ne_bytes());
        answer[HEAD + SOCKET + 2..HEAD + SOCKET + 4].copy_from_slice(&INFO.to_ne_bytes());
        answer[HEAD + SOCKET + 4 + 3] = 2;
        answer[HEAD + SOCKET + 4 + 56..HEAD + SOCKET + 4 + 60].copy_from_slice(&7_u32.to_ne_bytes());
        let whole = Taken { waits: true, unanswered: true, silent: Duration::from_millis(7) };
        assert_eq!(read(&answer), Some(whole));
        for length in 0..answer.len() {
            assert_eq!(read(&answer[..length]), None, "{length} bytes");
        }
        // Attributes without a length have no end.
        answer[HEAD + SOCKET..].fill(0);
        assert_eq!(read(&answer), None);
    }
}
