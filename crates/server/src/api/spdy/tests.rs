//! Sessions of clients that speak frames, with a fake node behind them.

use evenkeel_model::Object;
use evenkeel_wire::stream::NodeEnd;

use super::{headers::tests::Packer, *};
use crate::api::tests::{Fake, REFUSED, bare, pod};

/// A client's end.
struct Client {
    fake: Arc<Fake>,
    packer: Packer,
    reader: Reader,
    to: mpsc::Sender<Bytes>,
    from: mpsc::Receiver<Bytes>,
    session: tokio::task::JoinHandle<()>,
}

impl Client {
    fn start() -> Self {
        let fake = Fake::new();
        let api = bare(&fake);
        let pod = Arc::new(Object::from_value(pod("web", "Running")).unwrap());
        let (to, incoming) = mpsc::channel(64);
        // Replies that nobody reads meanwhile.
        let (outgoing, from) = mpsc::channel(1024);
        let incoming = futures_util::stream::unfold(incoming, |mut r| async { Some((r.recv().await?, r)) });
        let outgoing = futures_util::sink::unfold(outgoing, |o, bytes: Bytes| async move {
            mpsc::Sender::send(&o, bytes).await.map(|()| o)
        });
        let session = tokio::spawn(run(api, pod, Box::pin(incoming), Box::pin(outgoing)));
        Self { fake, packer: Packer::new(), reader: Reader::new(), to, from, session }
    }

    async fn send(&self, bytes: Bytes) {
        self.to.send(bytes).await.unwrap();
    }

    async fn open(&mut self, stream: u32, kind: &str, port: &str, request: &str) {
        let headers = [("streamtype", kind), ("port", port), ("requestid", request)];
        let frame = self.packer.open(stream, &headers);
        self.send(frame).await;
    }

    /// Both streams of a connection, `stream` and the next.
    async fn connect(&mut self, stream: u32, port: &str) {
        let request = stream.to_string();
        self.open(stream, "error", port, &request).await;
        self.send(Writer::data(stream, &[], true)).await;
        self.open(stream + 2, "data", port, &request).await;
    }

    /// The next frame that is no ping of the server and no reply.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            match self.reader.next().unwrap() {
                Some(Frame::Ping(n)) if n % 2 == 0 => {}
                Some(frame) => return Some(frame),
                None => self.reader.push(&self.from.recv().await?),
            }
        }
    }

    async fn node(&self) -> (PortRequest, NodeEnd) {
        loop {
            if let Some(node) = self.fake.ports.lock().unwrap().pop() {
                return node;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn data(stream: u32, bytes: &'static str, end: bool) -> Frame {
    Frame::Data { stream, bytes: bytes.into(), end }
}

#[tokio::test]
async fn a_connection_has_both_ways_and_ends_on_both_streams() {
    let mut client = Client::start();
    client.connect(1, "8080").await;
    let (request, mut node) = client.node().await;
    assert_eq!(request.port, 8080);
    client.send(Writer::data(3, b"question", false)).await;
    client.send(Writer::data(3, b"", true)).await;
    assert_eq!(node.recv.recv().await, Some(StreamInput::Stdin("question".into())));
    assert_eq!(node.recv.recv().await, Some(StreamInput::StdinEnd));
    for output in [StreamOutput::Stdout("answer".into()), StreamOutput::StdoutEnd, StreamOutput::Ended { exit_code: 0 }]
    {
        node.send(output).await.unwrap();
    }
    assert_eq!(client.next().await, Some(data(3, "answer", false)));
    assert_eq!(client.next().await, Some(data(3, "", true)));
    assert_eq!(client.next().await, Some(data(1, "", true)));
    assert_eq!(node.recv.recv().await, None);
}

#[tokio::test]
async fn connections_do_not_meet() {
    let mut client = Client::start();
    client.connect(1, "80").await;
    let (_, mut first) = client.node().await;
    client.connect(5, "81").await;
    let (_, mut second) = client.node().await;
    client.send(Writer::data(7, b"two", false)).await;
    client.send(Writer::data(3, b"one", false)).await;
    assert_eq!(second.recv.recv().await, Some(StreamInput::Stdin("two".into())));
    assert_eq!(first.recv.recv().await, Some(StreamInput::Stdin("one".into())));
    // One is given up, the other goes on.
    client.send(Writer::reset(3, Reset::Cancel)).await;
    assert_eq!(first.recv.recv().await, None);
    assert_eq!(client.next().await, Some(data(1, "", true)));
    assert_eq!(client.next().await, Some(data(3, "", true)));
    second.send(StreamOutput::Stdout("on".into())).await.unwrap();
    assert_eq!(client.next().await, Some(data(7, "on", false)));
    second.send(StreamOutput::Failed(StreamError::new(FailureKind::Engine, "broken"))).await.unwrap();
    assert_eq!(client.next().await, Some(data(5, "broken", true)));
    assert_eq!(client.next().await, Some(data(7, "", true)));
    // The client goes.
    client.connect(9, "82").await;
    let (_, mut third) = client.node().await;
    drop(client.to);
    assert_eq!(third.recv.recv().await, None);
    client.session.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_the_pod_breaks_off_is_no_error_of_the_forwarding() {
    let mut client = Client::start();
    client.connect(1, "80").await;
    let (_, node) = client.node().await;
    node.send(StreamOutput::Stdout("enough".into())).await.unwrap();
    node.send(StreamOutput::Failed(StreamError::new(FailureKind::Refused, "reset"))).await.unwrap();
    assert_eq!(client.next().await, Some(data(3, "enough", false)));
    assert_eq!(client.next().await, Some(data(1, "", true)));
    assert_eq!(client.next().await, Some(data(3, "", true)));
}

#[tokio::test]
async fn what_cannot_be_served_is_told() {
    let mut client = Client::start();
    client.connect(1, &REFUSED.to_string()).await;
    assert_eq!(client.next().await, Some(data(1, "nothing listens on port 9", true)));
    assert_eq!(client.next().await, Some(data(3, "", true)));
    for (stream, kind, port, request) in [
        (5, "data", "0", "a"),
        (7, "data", "high", "b"),
        (9, "video", "80", "c"),
        (11, "data", "80", ""),
        (11, "data", "80", "d"),
        (12, "data", "80", "e"),
    ] {
        client.open(stream, kind, port, request).await;
        assert_eq!(client.next().await, Some(Frame::Reset(stream)), "{kind} {port}");
    }
    // Data before the connection is whole.
    client.open(13, "data", "80", "f").await;
    client.send(Writer::data(13, b"early", false)).await;
    assert_eq!(client.next().await, Some(Frame::Reset(13)));
    client.send(Writer::ping(5)).await;
    assert_eq!(client.next().await, Some(Frame::Ping(5)));
    client.send(Bytes::from_static(&[0x80, 9, 0, 1, 0, 0, 0, 0])).await;
    assert_eq!(client.next().await, Some(Frame::Away));
    assert_eq!(client.next().await, None);
    client.session.await.unwrap();
}

#[tokio::test]
async fn connections_are_bounded_and_their_places_come_back() {
    let mut client = Client::start();
    let most = u32::try_from(CONNECTIONS).unwrap();
    let mut nodes = Vec::new();
    for n in 0..most {
        client.connect(n * 4 + 1, "80").await;
        nodes.push(client.node().await);
    }
    client.open(most * 4 + 1, "error", "80", "more").await;
    assert_eq!(client.next().await, Some(Frame::Reset(most * 4 + 1)));
    let (_, last) = nodes.pop().unwrap();
    last.send(StreamOutput::StdoutEnd).await.unwrap();
    last.send(StreamOutput::Ended { exit_code: 0 }).await.unwrap();
    assert_eq!(client.next().await, Some(data(most * 4 - 1, "", true)));
    assert_eq!(client.next().await, Some(data(most * 4 - 3, "", true)));
    client.connect(most * 4 + 3, "81").await;
    assert_eq!(client.node().await.0.port, 81);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_gone_though_it_is_asked_meanwhile() {
    let mut client = Client::start();
    let begun = Instant::now();
    let mut asked = 0;
    while let Some(bytes) = client.from.recv().await {
        client.reader.push(&bytes);
        while let Some(frame) = client.reader.next().unwrap() {
            assert!(matches!(frame, Frame::Ping(n) if n % 2 == 0), "{frame:?}");
            asked += 1;
        }
        // One answer keeps it for as long again.
        if asked == 1 {
            client.send(Writer::ping(2)).await;
        }
    }
    assert_eq!(begun.elapsed(), PING + SILENCE);
    // The fourth question and the end fall together.
    assert!(matches!(asked, 3 | 4), "{asked}");
    client.session.await.unwrap();
}
