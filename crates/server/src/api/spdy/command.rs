//! A command's streams over SPDY/3.1 as messages of Kubernetes' channels, so that `exec` serves clients
//! that know no WebSocket (kubectl before 1.30, and most programs of that time) as it serves the others.
//!
//! A client opens a stream for each of the command's, named by a header, and an error stream for how it
//! ended; all of them are taken up before the first word goes out.
//! (`k8s.io/apimachinery/pkg/util/remotecommand`, `v4.channel.k8s.io`.)

use std::{collections::BTreeMap, time::Duration};

use axum::extract::ws::Message;
use bytes::{Bytes, BytesMut};
use evenkeel_wire::stream::put;
use futures_util::{Sink, Stream, StreamExt as _, future::join3};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    frame::{Frame, Reader, Reset, Writer},
    upgrade::{Incoming, Outgoing},
    write,
};
use crate::api::channels::{self, CLOSE, ERROR, RESIZE, STDERR, STDIN, STDOUT};

/// What is spoken on the streams: the error stream holds a `Status`.
pub(in crate::api) const PROTOCOL: &str = "v4.channel.k8s.io";
/// A client gets this long to open its streams, as the kubelet's.
const OPENING: Duration = Duration::from_secs(30);
/// Messages and frames on their way. More would only be kept.
const DEPTH: usize = 4;
/// Bytes of a terminal's size.
const SIZE: usize = 256;

/// The streams by their channel, as far as the client has opened them.
type Opened = BTreeMap<u8, u32>;

/// Serves a client's connection by `serve`, which gets the two halves of it as a WebSocket's would be.
pub(in crate::api) async fn serve<F>(
    incoming: Incoming,
    outgoing: Outgoing,
    wanted: Vec<u8>,
    serve: impl FnOnce(ToClient, FromClient) -> F,
) where
    F: Future<Output = ()>,
{
    let (to_serve, from_client) = mpsc::channel(DEPTH);
    let (to_client, from_serve) = mpsc::channel(DEPTH);
    let (out, frames) = mpsc::channel(DEPTH);
    let (tell, opened) = watch::channel(Opened::new());
    let session =
        Session { to_serve, out: out.clone(), writer: Writer::default(), opened: tell, size: BytesMut::new() };
    let from_client =
        futures_util::stream::unfold(from_client, |mut from| async { Some((Ok(from.recv().await?), from)) });
    let to_client = futures_util::sink::unfold(to_client, |to: mpsc::Sender<Message>, message| async move {
        to.send(message).await.map_err(axum::Error::new)?;
        Ok(to)
    });
    let served = serve(Box::pin(to_client), Box::pin(from_client));
    // Each ends by the end of those before it.
    let session = join3(session.read(incoming), say(from_serve, out, opened, wanted), write(frames, outgoing));
    tokio::join!(served, session);
}

/// What `serve` writes to.
pub(in crate::api) type ToClient = std::pin::Pin<Box<dyn Sink<Message, Error = axum::Error> + Send>>;
/// What `serve` reads from.
pub(in crate::api) type FromClient = std::pin::Pin<Box<dyn Stream<Item = Result<Message, axum::Error>> + Send>>;

/// The client is gone, or nobody serves it any more.
struct Gone;

/// What a client says.
struct Session {
    to_serve: mpsc::Sender<Message>,
    out: mpsc::Sender<Bytes>,
    writer: Writer,
    opened: watch::Sender<Opened>,
    /// A terminal's size that has not come whole.
    size: BytesMut,
}

impl Session {
    async fn read(mut self, mut incoming: Incoming) {
        let mut reader = Reader::new();
        loop {
            let piece = tokio::select! {
                piece = incoming.next() => piece,
                () = self.to_serve.closed() => None,
            };
            let Some(piece) = piece else { return };
            reader.push(&piece);
            loop {
                match reader.next() {
                    Ok(Some(frame)) => {
                        if self.frame(frame).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(error = %evenkeel_model::causes(&error), "a client of a command sent what is no frame");
                        return;
                    }
                }
            }
        }
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), Gone> {
        match frame {
            Frame::Open { stream, headers, end } => {
                let channel = headers.get("streamtype").and_then(|kind| channels::of_stream(kind));
                let free = channel.filter(|c| stream % 2 == 1 && !self.opened.borrow().contains_key(c));
                let Some(channel) = free else { return self.say(Writer::reset(stream, Reset::Protocol)).await };
                let reply = self.writer.reply(stream);
                self.say(reply).await?;
                self.opened.send_modify(|all| {
                    all.insert(channel, stream);
                });
                if end { self.end(stream).await } else { Ok(()) }
            }
            Frame::Data { stream, bytes, end } => {
                self.data(stream, &bytes).await?;
                if end { self.end(stream).await } else { Ok(()) }
            }
            // A client that gives standard input up has ended it; of the others it reads no more, and its end says so.
            Frame::Reset(stream) => self.end(stream).await,
            // An even one is the answer to one of ours.
            Frame::Ping(number) if number % 2 == 0 => self.hand(Message::Pong(Bytes::new())).await,
            Frame::Ping(number) => self.say(Writer::ping(number)).await,
            Frame::Away => Ok(()),
        }
    }

    fn channel(&self, stream: u32) -> Option<u8> {
        self.opened.borrow().iter().find(|(_, s)| **s == stream).map(|(channel, _)| *channel)
    }

    async fn data(&mut self, stream: u32, bytes: &[u8]) -> Result<(), Gone> {
        match self.channel(stream) {
            Some(STDIN) if !bytes.is_empty() => self.hand(Message::Binary(channels::on(STDIN, bytes))).await,
            Some(RESIZE) => {
                self.size.extend_from_slice(bytes);
                while let Some(at) = self.size.iter().position(|b| *b == b'\n') {
                    let line = self.size.split_to(at + 1);
                    self.hand(Message::Binary(channels::on(RESIZE, &line))).await?;
                }
                // It is told of what makes no sense, and ends.
                if self.size.len() > SIZE {
                    let line = self.size.split();
                    self.hand(Message::Binary(channels::on(RESIZE, &line))).await?;
                }
                Ok(())
            }
            // Clients have nothing to say on the others.
            _ => Ok(()),
        }
    }

    async fn end(&self, stream: u32) -> Result<(), Gone> {
        if self.channel(stream) == Some(STDIN) {
            self.hand(Message::Binary(channels::on(CLOSE, &[STDIN]))).await?;
        }
        Ok(())
    }

    async fn hand(&self, message: Message) -> Result<(), Gone> {
        self.to_serve.send(message).await.map_err(|_| Gone)
    }

    async fn say(&self, bytes: Bytes) -> Result<(), Gone> {
        put(&self.out, bytes).await.map_err(|_| Gone)
    }
}

/// Says messages to a client on its streams, once all of them are there.
async fn say(
    mut messages: mpsc::Receiver<Message>,
    out: mpsc::Sender<Bytes>,
    mut opened: watch::Receiver<Opened>,
    wanted: Vec<u8>,
) {
    let all = opened.wait_for(|opened| wanted.iter().all(|channel| opened.contains_key(channel)));
    let Ok(Ok(all)) = timeout(OPENING, all).await.map(|all| all.map(|all| all.clone())) else { return };
    let mut number = 0_u32;
    while let Some(message) = messages.recv().await {
        let frames = match message {
            Message::Binary(bytes) => data(&all, bytes),
            Message::Ping(_) => {
                // Ours are even.
                number = number.wrapping_add(2);
                vec![Writer::ping(number)]
            }
            Message::Close(_) => vec![Writer::away(all.values().copied().max().unwrap_or_default())],
            Message::Text(_) | Message::Pong(_) => vec![],
        };
        for frame in frames {
            if put(&out, frame).await.is_err() {
                return;
            }
        }
    }
}

/// The frames of a channel's message. The one on how the command ended is the last of all streams.
fn data(all: &Opened, mut message: Bytes) -> Vec<Bytes> {
    if message.is_empty() {
        return vec![];
    }
    let channel = message.split_to(1)[0];
    let Some(stream) = all.get(&channel).filter(|_| !message.is_empty()) else { return vec![] };
    let last = channel == ERROR;
    let others = [STDOUT, STDERR].into_iter().filter(|_| last).filter_map(|other| all.get(&other));
    let mut frames: Vec<Bytes> = others.map(|stream| Writer::data(*stream, &[], true)).collect();
    frames.push(Writer::data(*stream, &message, last));
    frames
}

#[cfg(test)]
mod tests {
    use futures_util::SinkExt as _;

    use super::{super::headers::tests::Packer, *};

    /// A client's end, and the server's as messages.
    struct Client {
        packer: Packer,
        reader: Reader,
        to: mpsc::Sender<Bytes>,
        from: mpsc::Receiver<Bytes>,
        messages: mpsc::Sender<Message>,
        heard: mpsc::Receiver<Message>,
        session: tokio::task::JoinHandle<()>,
    }

    impl Client {
        fn start(wanted: &[u8]) -> Self {
            let (to, incoming) = mpsc::channel(64);
            let (outgoing, from) = mpsc::channel(64);
            let incoming = futures_util::stream::unfold(incoming, |mut r| async { Some((r.recv().await?, r)) });
            let outgoing = futures_util::sink::unfold(outgoing, |o: mpsc::Sender<Bytes>, bytes| async move {
                o.send(bytes).await.map_err(std::io::Error::other).map(|()| o)
            });
            let (messages, mut given) = mpsc::channel(64);
            let (hear, heard) = mpsc::channel(64);
            let serve = |mut sink: ToClient, mut source: FromClient| async move {
                loop {
                    tokio::select! {
                        given = given.recv() => match given {
                            Some(message) => sink.send(message).await.unwrap(),
                            None => return,
                        },
                        said = source.next() => match said {
                            Some(said) => hear.send(said.unwrap()).await.unwrap(),
                            None => return,
                        },
                    }
                }
            };
            let session = super::serve(Box::pin(incoming), Box::pin(outgoing), wanted.to_vec(), serve);
            let session = tokio::spawn(session);
            Self { packer: Packer::new(), reader: Reader::new(), to, from, messages, heard, session }
        }

        async fn open(&mut self, stream: u32, kind: &str) {
            let frame = self.packer.open(stream, &[("streamtype", kind)]);
            self.to.send(frame).await.unwrap();
        }

        /// The next frame that is no reply.
        async fn next(&mut self) -> Option<Frame> {
            loop {
                match self.reader.next().unwrap() {
                    Some(frame) => return Some(frame),
                    None => self.reader.push(&self.from.recv().await?),
                }
            }
        }

        async fn says(&self, bytes: &'static [u8]) {
            self.messages.send(Message::Binary(Bytes::from_static(bytes))).await.unwrap();
        }

        async fn hears(&mut self) -> Bytes {
            match self.heard.recv().await.unwrap() {
                Message::Binary(bytes) => bytes,
                other => panic!("{other:?}"),
            }
        }
    }

    fn data(stream: u32, bytes: &'static str, end: bool) -> Frame {
        Frame::Data { stream, bytes: bytes.into(), end }
    }

    #[tokio::test]
    async fn what_is_said_on_streams_is_said_on_channels_and_the_other_way_round() {
        let mut client = Client::start(&[ERROR, STDIN, STDOUT, STDERR]);
        // Said before the streams are there, and not lost.
        client.says(b"\x01").await;
        client.says(b"\x01out").await;
        for (stream, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
            client.open(stream, kind).await;
        }
        assert_eq!(client.next().await, Some(data(5, "out", false)));
        client.says(b"\x02err").await;
        assert_eq!(client.next().await, Some(data(7, "err", false)));
        client.to.send(Writer::data(3, b"in", false)).await.unwrap();
        client.to.send(Writer::data(3, b"", true)).await.unwrap();
        assert_eq!(client.hears().await, b"\0in"[..]);
        assert_eq!(client.hears().await, b"\xff\0"[..]);
        client.to.send(Writer::ping(1)).await.unwrap();
        assert_eq!(client.next().await, Some(Frame::Ping(1)));
        client.messages.send(Message::Ping(Bytes::new())).await.unwrap();
        assert_eq!(client.next().await, Some(Frame::Ping(2)));
        client.to.send(Writer::ping(2)).await.unwrap();
        assert_eq!(client.heard.recv().await, Some(Message::Pong(Bytes::new())));
        // How it ended is the last word, after the others' ends.
        client.says(b"\x03how").await;
        client.messages.send(Message::Close(None)).await.unwrap();
        for expected in [data(5, "", true), data(7, "", true), data(1, "how", true), Frame::Away] {
            assert_eq!(client.next().await, Some(expected));
        }
        drop(client.messages);
        client.session.await.unwrap();
    }

    #[tokio::test]
    async fn a_terminals_size_comes_whole_and_a_client_that_goes_is_told_of() {
        let mut client = Client::start(&[ERROR, STDOUT, RESIZE]);
        for (stream, kind) in [(1, "error"), (3, "stdout"), (5, "resize")] {
            client.open(stream, kind).await;
        }
        client.to.send(Writer::data(5, b"{\"Width\":80,", false)).await.unwrap();
        client.to.send(Writer::data(5, b"\"Height\":24}\n{\"Wid", false)).await.unwrap();
        assert_eq!(client.hears().await, b"\x04{\"Width\":80,\"Height\":24}\n"[..]);
        // No stream of a command, and one that is there already.
        for (stream, kind) in [(7, "video"), (9, "stdout"), (10, "stderr")] {
            client.open(stream, kind).await;
            assert_eq!(client.next().await, Some(Frame::Reset(stream)));
        }
        drop(client.to);
        assert_eq!(client.heard.recv().await, None);
        client.session.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_opens_no_streams_is_given_up() {
        let mut client = Client::start(&[ERROR, STDOUT]);
        client.open(1, "error").await;
        let begun = tokio::time::Instant::now();
        while client.messages.send(Message::Ping(Bytes::new())).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(begun.elapsed() >= OPENING && begun.elapsed() < 2 * OPENING, "{:?}", begun.elapsed());
    }
}
