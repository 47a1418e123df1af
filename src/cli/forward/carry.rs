//! Bytes between a connection here and a port of a pod.
//!
//! Channels are Kubernetes': 0 the bytes, 1 an error's text, 255 the end of a channel; each of the
//! server's begins with the port in two bytes.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::client::Socket;

const DATA: u8 = 0;
const ERROR: u8 = 1;
const CLOSE: u8 = 255;
/// Bytes read from a connection at once.
const READ: usize = 32 << 10;
/// What each of the server's channels begins with.
const PORT_BYTES: usize = 2;

/// Why a connection ended early.
#[derive(Debug, Error)]
pub(super) enum Broken {
    /// The server says so.
    #[error("{0}")]
    Told(String),
    /// The way to the server.
    #[error("the connection to the server broke")]
    Server(#[source] tungstenite::Error),
    /// The end here.
    #[error("the connection here broke")]
    Here(#[source] io::Error),
}

/// Carries a connection until both ways have ended.
pub(super) async fn run(stream: TcpStream, socket: Socket) -> Result<(), Broken> {
    // What is small goes at once, as it would without us; else it goes all the same.
    let _slower = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let (sink, source) = socket.split();
    tokio::select! {
        ended = hear(source, write) => ended,
        broken = say(read, sink) => Err(broken),
    }
}

/// From the pod to here, until the server ends it.
async fn hear(mut source: SplitStream<Socket>, mut write: OwnedWriteHalf) -> Result<(), Broken> {
    // How many bytes of the channels' beginnings are still to come.
    let mut heads = [PORT_BYTES; 2];
    while let Some(message) = source.next().await {
        let mut bytes = match message {
            Ok(Message::Binary(bytes)) if !bytes.is_empty() => bytes,
            Ok(Message::Close(_)) => break,
            Ok(_) => continue,
            Err(error) => return Err(Broken::Server(error)),
        };
        let channel = bytes.split_to(1)[0];
        if let Some(head) = heads.get_mut(usize::from(channel)) {
            let some = bytes.len().min(*head);
            *head -= some;
            drop(bytes.split_to(some));
        }
        match channel {
            DATA => write.write_all(&bytes).await.map_err(Broken::Here)?,
            ERROR if !bytes.is_empty() => return Err(Broken::Told(String::from_utf8_lossy(&bytes).into_owned())),
            // Who has gone already does not hear it.
            CLOSE if bytes.as_ref() == [DATA] => drop(write.shutdown().await),
            _ => {}
        }
    }
    Ok(())
}

/// From here to the pod; never ends but broken.
async fn say(mut read: OwnedReadHalf, mut sink: SplitSink<Socket, Message>) -> Broken {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ + 1);
        buffer.extend_from_slice(&[DATA]);
        match read.read_buf(&mut buffer).await {
            Ok(0) => break,
            Ok(_) => send(&mut sink, buffer.split().freeze()).await,
            Err(error) => return Broken::Here(error),
        }
    }
    send(&mut sink, Bytes::from_static(&[CLOSE, DATA])).await;
    std::future::pending().await
}

/// Sends a message. A connection that broke is told by whoever reads it, who may still have the
/// server's last words.
async fn send(sink: &mut SplitSink<Socket, Message>, message: Bytes) {
    if sink.send(Message::Binary(message)).await.is_err() {
        std::future::pending::<()>().await;
    }
}
