//! Port-forwarding as kubectl speaks it: streams of SPDY/3.1, two for each connection.
//!
//! A client opens an error stream and a data stream under one request id, with the port in their
//! headers. One task a connection moves bytes between its data stream and the node; the session reads
//! frames and hands them out. A pod that does not read holds up the others of its client, as there is
//! no flow control in what clients speak, and for a minute at most. Bytes come and go as pieces:
//! `forward` says over what. `frame` and `headers` are the protocol, without effects.

pub(super) mod command;
mod frame;
mod headers;
pub(super) mod upgrade;

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use evenkeel_model::Object;
use evenkeel_wire::stream::{
    CallerEnd, FailureKind, PROGRESS, PortRequest, StreamError, StreamInput, StreamOutput, StreamRequest, chunks, put,
};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at},
};

use self::{
    frame::{Frame, FrameError, Reader, Reset, Writer},
    headers::Headers,
};
use super::Api;

/// Reads frames out of bytes that come in pieces, until one is none.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn read_all(pieces: &[&[u8]]) {
    let mut reader = frame::Reader::new();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// Connections of one client at once: a node serves as many streams in all.
const CONNECTIONS: usize = 128;
/// Pieces of a connection on their way to the node. More would only be kept.
const DEPTH: usize = 4;
/// Frames on their way to the client.
const OUT: usize = 8;
/// How often a client is asked whether it is there.
const PING: Duration = Duration::from_secs(30);
/// A client that says nothing for so long, not even to pings, is gone.
const SILENCE: Duration = Duration::from_secs(90);

/// One client, from its first frame until it goes.
pub(super) async fn run<I, O>(api: Arc<Api>, pod: Arc<Object>, incoming: I, outgoing: O)
where
    I: Stream<Item = Bytes> + Unpin,
    O: Sink<Bytes> + Unpin,
{
    let (out, frames) = mpsc::channel(OUT);
    let session = Session {
        api: api.clone(),
        pod,
        out,
        writer: Writer::default(),
        streams: HashMap::new(),
        pairs: HashMap::new(),
        last: 0,
        tasks: JoinSet::new(),
    };
    // The session drops its end of the queue when it ends: what it said last still goes out.
    let read = async {
        tokio::select! {
            () = session.read(incoming) => {}
            () = api.stop.cancelled() => {}
        }
    };
    let mut write = Box::pin(write(frames, outgoing));
    tokio::select! {
        () = &mut write => return,
        () = read => {}
    }
    write.await;
}

/// Sends a client what is to go out, until nobody has more, or the client is gone or takes nothing.
async fn write(mut frames: mpsc::Receiver<Bytes>, mut outgoing: impl Sink<Bytes> + Unpin) {
    while let Some(bytes) = frames.recv().await {
        if !matches!(timeout(PROGRESS, outgoing.send(bytes)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// A client's streams.
struct Session {
    api: Arc<Api>,
    pod: Arc<Object>,
    out: mpsc::Sender<Bytes>,
    writer: Writer,
    /// Streams that are open, by number; bounded with the pairs.
    streams: HashMap<u32, Role>,
    /// What belongs together, by request id; at most [`CONNECTIONS`].
    pairs: HashMap<String, Pair>,
    /// The highest stream that was taken up.
    last: u32,
    /// One for each pair that is complete; they give its id back.
    tasks: JoinSet<String>,
}

/// What a stream is for.
enum Role {
    Error,
    /// Where its data go, once its pair is complete.
    Data(Option<mpsc::Sender<StreamInput>>),
}

/// The two streams of a connection.
#[derive(Debug, Clone, Copy)]
struct Pair {
    port: u16,
    error: Option<u32>,
    data: Option<u32>,
}

/// The client is gone: there is nobody to tell.
struct Gone;

impl Session {
    async fn read(mut self, mut incoming: impl Stream<Item = Bytes> + Unpin) {
        let mut reader = Reader::new();
        let mut ping = interval_at(Instant::now() + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Ours are even.
        let mut number = 0_u32;
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                piece = timeout_at(heard + SILENCE, incoming.next()) => {
                    let Ok(Some(piece)) = piece else { return };
                    reader.push(&piece);
                    if self.frames(&mut reader).await.is_err() {
                        return;
                    }
                    // Not before: a pod that does not read holds its client up, who is none the less there.
                    heard = Instant::now();
                }
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(request) => self.forget(&request),
                    Err(error) => tracing::warn!(%error, "a connection to a port ended in an unforeseen way"),
                },
                _ = ping.tick() => {
                    number = number.wrapping_add(2);
                    if self.say(Writer::ping(number)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn frames(&mut self, reader: &mut Reader) -> Result<(), Gone> {
        loop {
            match reader.next() {
                Ok(Some(frame)) => self.frame(frame).await?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.broken(&error).await),
            }
        }
    }

    /// Nothing after such bytes can be read.
    async fn broken(&mut self, error: &FrameError) -> Gone {
        tracing::debug!(error = %evenkeel_model::causes(error), "a client of a port sent what is no frame");
        let _told = self.say(Writer::away(self.last)).await;
        Gone
    }

    async fn say(&self, bytes: Bytes) -> Result<(), Gone> {
        put(&self.out, bytes).await.map_err(|_| Gone)
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), Gone> {
        match frame {
            Frame::Open { stream, headers, end } => match self.open(stream, &headers) {
                Ok(request) => {
                    let reply = self.writer.reply(stream);
                    self.say(reply).await?;
                    self.begin(&request);
                    if end { self.end(stream).await } else { Ok(()) }
                }
                Err(why) => self.say(Writer::reset(stream, why)).await,
            },
            Frame::Data { stream, bytes, end } => {
                self.data(stream, bytes).await?;
                if end { self.end(stream).await } else { Ok(()) }
            }
            Frame::Reset(stream) => {
                // Its task, if it has one, hears it by the missing sender.
                self.streams.remove(&stream);
                Ok(())
            }
            // An even one is the answer to one of ours.
            Frame::Ping(number) if number % 2 == 1 => self.say(Writer::ping(number)).await,
            Frame::Ping(_) | Frame::Away => Ok(()),
        }
    }

    /// Takes a stream up, and returns the request that it belongs to.
    fn open(&mut self, stream: u32, headers: &Headers) -> Result<String, Reset> {
        if stream.is_multiple_of(2) || stream <= self.last {
            return Err(Reset::Protocol);
        }
        self.last = stream;
        let header = |name: &str| headers.get(name).filter(|value| !value.is_empty()).ok_or(Reset::Protocol);
        let port: u16 = header("port")?.parse().ok().filter(|port| *port > 0).ok_or(Reset::Protocol)?;
        let request = header("requestid")?.clone();
        if self.pairs.len() >= CONNECTIONS && !self.pairs.contains_key(&request) {
            return Err(Reset::Refused);
        }
        let kind = header("streamtype")?.clone();
        let pair = self.pairs.entry(request.clone()).or_insert(Pair { port, error: None, data: None });
        let (place, role) = match kind.as_str() {
            "error" => (&mut pair.error, Role::Error),
            "data" => (&mut pair.data, Role::Data(None)),
            _ => return Err(Reset::Protocol),
        };
        if place.is_some() || pair.port != port {
            return Err(Reset::Protocol);
        }
        *place = Some(stream);
        self.streams.insert(stream, role);
        Ok(request)
    }

    /// Begins a connection, if both of its streams are there.
    fn begin(&mut self, request: &str) {
        let Some(Pair { port, error: Some(error), data: Some(data) }) = self.pairs.get(request).copied() else {
            return;
        };
        let (send, recv) = mpsc::channel(DEPTH);
        self.streams.insert(data, Role::Data(Some(send)));
        let connection = Connection { api: self.api.clone(), out: self.out.clone(), error, data };
        let (pod, request) = (self.pod.clone(), request.to_owned());
        self.tasks.spawn(async move {
            connection.run(pod, port, recv).await;
            request
        });
    }

    async fn data(&mut self, stream: u32, bytes: Bytes) -> Result<(), Gone> {
        let Some(Role::Data(to)) = self.streams.get(&stream) else {
            // Of a stream that has ended here, or one that carries nothing this way.
            return Ok(());
        };
        if bytes.is_empty() {
            return Ok(());
        }
        let Some(to) = to.clone() else {
            self.streams.remove(&stream);
            return self.say(Writer::reset(stream, Reset::Protocol)).await;
        };
        for chunk in chunks(bytes) {
            match put(&to, StreamInput::Stdin(chunk)).await {
                Ok(()) => {}
                Err(evenkeel_wire::stream::SendError::Gone) => return Ok(()),
                Err(evenkeel_wire::stream::SendError::Stalled) => {
                    self.streams.remove(&stream);
                    return self.say(Writer::reset(stream, Reset::Cancel)).await;
                }
            }
        }
        Ok(())
    }

    /// A client has said all on a stream. Its sender stays: without it, the client is gone.
    async fn end(&mut self, stream: u32) -> Result<(), Gone> {
        if let Some(Role::Data(Some(to))) = self.streams.get(&stream) {
            let _over = put(to, StreamInput::StdinEnd).await;
        }
        Ok(())
    }

    fn forget(&mut self, request: &str) {
        if let Some(pair) = self.pairs.remove(request) {
            for stream in pair.error.into_iter().chain(pair.data) {
                self.streams.remove(&stream);
            }
        }
    }
}

/// One connection to the port, on its two streams.
struct Connection {
    api: Arc<Api>,
    out: mpsc::Sender<Bytes>,
    error: u32,
    data: u32,
}

impl Connection {
    /// To its end, of which the client is told on both streams.
    async fn run(&self, pod: Arc<Object>, port: u16, recv: mpsc::Receiver<StreamInput>) {
        let request = StreamRequest::Port(PortRequest { pod: pod.uid, port });
        let mut ended = false;
        let failed = match self.api.backend.open(pod, request).await {
            Ok(end) => self.carry(end, recv, &mut ended).await.err(),
            Err(error) => Some(error),
        };
        let text = failed.map(|error| error.message).unwrap_or_default();
        let mut last = vec![Writer::data(self.error, text.as_bytes(), true)];
        if !ended {
            last.push(Writer::data(self.data, &[], true));
        }
        for frame in last {
            if put(&self.out, frame).await.is_err() {
                return;
            }
        }
    }

    async fn carry(
        &self,
        end: CallerEnd,
        mut recv: mpsc::Receiver<StreamInput>,
        ended: &mut bool,
    ) -> Result<(), StreamError> {
        let CallerEnd { send, recv: mut from_node } = end;
        let inward = async {
            while let Some(message) = recv.recv().await {
                // Where the node's end is gone, its last word is on its way.
                let _over = send.send(message).await;
            }
        };
        let outward = async {
            loop {
                let frame = match from_node.recv().await {
                    Some(StreamOutput::Stdout(bytes)) => Writer::data(self.data, &bytes, false),
                    Some(StreamOutput::StdoutEnd) => {
                        *ended = true;
                        Writer::data(self.data, &[], true)
                    }
                    Some(StreamOutput::Opened | StreamOutput::Stderr(_)) => continue,
                    Some(StreamOutput::Ended { .. }) => return Ok(()),
                    // The pod broke off what stood already. kubectl ends itself, with all its connections,
                    // where it is told of an error: this one is between the pod and its client.
                    Some(StreamOutput::Failed(error)) if error.kind == FailureKind::Refused => return Ok(()),
                    Some(StreamOutput::Failed(error)) => return Err(error),
                    None => {
                        let text = "the connection to the pod's node was cut off";
                        return Err(StreamError::new(FailureKind::NodeAway, text));
                    }
                };
                // Nobody is left to be told.
                if put(&self.out, frame).await.is_err() {
                    return Ok(());
                }
            }
        };
        tokio::select! {
            ended = outward => ended,
            // The client has given the connection up.
            () = inward => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
