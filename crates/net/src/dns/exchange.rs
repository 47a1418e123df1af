//! One question to one resolver: over UDP, and over TCP where the answer does not fit.
//!
//! Each question has a socket and a number of its own, both random, and only an answer from that
//! address to that number and that question counts. Deliberately not here: whom to ask (`upstream`).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::message::UDP_SIZE;

/// How long one resolver is waited for: one that answers at all does so in far less, and a client
/// itself waits for 5 seconds.
pub(super) const PATIENCE: Duration = Duration::from_millis(1500);

/// Bytes of an answer over UDP that are taken; some send more than they were asked for.
const BUFFER: usize = 4096;

/// Why a resolver gave no answer.
#[derive(Debug, Error)]
pub(super) enum ExchangeError {
    #[error("it did not answer within {} ms", PATIENCE.as_millis())]
    Late,
    #[error("it cannot be reached")]
    Io(#[from] io::Error),
    #[error("its answer over TCP is not one to the question")]
    Wrong,
    #[error("the question cannot be written")]
    Unwritable,
}

/// Asks a resolver.
pub(super) async fn exchange(server: SocketAddr, query: &Query) -> Result<Message, ExchangeError> {
    let within = async {
        let mut asked = question(query, true);
        let mut answer = over_udp(server, &asked).await?;
        if answer.metadata.response_code == ResponseCode::FormErr {
            // One that does not know EDNS.
            asked = question(query, false);
            answer = over_udp(server, &asked).await?;
        }
        if answer.metadata.truncation {
            answer = over_tcp(server, &asked).await?;
        }
        Ok(answer)
    };
    timeout(PATIENCE, within).await.unwrap_or(Err(ExchangeError::Late))
}

/// A question under a new random number.
fn question(query: &Query, edns: bool) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.queries.push(query.clone());
    if edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_SIZE);
        message.edns = Some(edns);
    }
    message
}

async fn over_udp(server: SocketAddr, asked: &Message) -> Result<Message, ExchangeError> {
    let bytes = asked.to_vec().map_err(|_| ExchangeError::Unwritable)?;
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    // From here on the kernel takes packets of this address alone.
    socket.connect(server).await?;
    socket.send(&bytes).await?;
    let mut buffer = [0; BUFFER];
    loop {
        let n = socket.recv(&mut buffer).await?;
        // What does not fit may be forged: the right one is waited for on.
        if let Some(answer) = buffer.get(..n).and_then(|bytes| answer_to(asked, bytes)) {
            return Ok(answer);
        }
    }
}

async fn over_tcp(server: SocketAddr, asked: &Message) -> Result<Message, ExchangeError> {
    let bytes = asked.to_vec().map_err(|_| ExchangeError::Unwritable)?;
    let length = u16::try_from(bytes.len()).map_err(|_| ExchangeError::Unwritable)?;
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    answer_to(asked, &answer).ok_or(ExchangeError::Wrong)
}

/// A message, if it is an answer to this question.
fn answer_to(asked: &Message, bytes: &[u8]) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let same = answer.metadata.id == asked.metadata.id
        && answer.metadata.message_type == MessageType::Response
        // Some leave the question out of an error.
        && (answer.queries == asked.queries
            || (answer.queries.is_empty() && answer.metadata.response_code == ResponseCode::FormErr));
    same.then_some(answer)
}
