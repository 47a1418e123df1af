//! The agent's end of one session: moves messages between the driver's channels and the connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use evenkeel_wire::{
    ToServer, convert,
    local::{ServerEnd, Why},
    parts::{Joiner, MOST_TO_AGENT, split},
    proto::{FromAgent, FromServer, Pong, from_agent, from_server},
    stream::put,
    version::{self, Side as Speaker},
};
use tokio::{sync::mpsc, time::timeout};
use tonic::{Code, Status, Streaming};

use super::{
    Current, JoinOptions, ServerAddress,
    connect::{client, refusal},
    join::{clock, machine_id},
    streams::Side,
};
use crate::channel::Channel;

/// The driver introduces itself at once.
const HELLO: Duration = Duration::from_secs(30);
/// The server answers a hello within this time: a thousand agents may be saying it.
const ANSWER: Duration = Duration::from_mins(1);
/// Frames on their way out: the connection has its own buffer.
const OUT: usize = 4;

/// What all sessions of an agent's process share.
pub(super) struct Link {
    pub(super) server: ServerAddress,
    pub(super) current: Current,
    pub(super) again: Option<JoinOptions>,
    instance: [u8; 16],
    side: Side,
    /// The server does not know this node's certificate.
    forgotten: AtomicBool,
}

impl Link {
    pub(super) fn new(
        server: ServerAddress,
        current: Current,
        again: Option<JoinOptions>,
        instance: [u8; 16],
        side: Side,
    ) -> Self {
        Self { server, current, again, instance, side, forgotten: AtomicBool::new(false) }
    }

    /// Whether a token is to be used before the next session.
    pub(super) fn join_again(&self) -> bool {
        let over = || self.current.get().validity().is_ok_and(|v| v.until <= std::time::SystemTime::now());
        self.again.is_some() && (self.forgotten.load(Ordering::Acquire) || over())
    }

    pub(super) fn joined(&self) {
        self.forgotten.store(false, Ordering::Release);
    }
}

/// Runs one session until it ends; `why` says to the driver what ended it.
pub(super) async fn run(link: Arc<Link>, channel: Channel, mut end: ServerEnd, why: Why) {
    // Its end stays open until the reason is said: the driver asks for it as soon as it closes.
    let ended = serve(&link, channel, &mut end).await;
    if let Err(status) = ended {
        if status.code() == Code::PermissionDenied {
            link.forgotten.store(true, Ordering::Release);
        }
        why.say(refusal(&link.server, &status).to_string());
    }
}

async fn serve(link: &Arc<Link>, channel: Channel, end: &mut ServerEnd) -> Result<(), Status> {
    let (to_driver, from_driver) = (end.send.clone(), &mut end.recv);
    let first = timeout(HELLO, from_driver.recv()).await;
    let Ok(Some(ToServer::Hello(hello))) = first else { return Ok(()) };
    let hello = evenkeel_wire::proto::Hello {
        speaks: Some(version::speaks()),
        instance: Bytes::copy_from_slice(&link.instance),
        machine_id: machine_id(),
        clock_ms: clock().0,
        ..convert::hello(&hello)
    };
    let (send, receive) = mpsc::channel(OUT);
    let outbound = futures_util::stream::unfold(receive, |mut receive| async {
        let next: FromAgent = receive.recv().await?;
        Some((next, receive))
    });
    let call = async move {
        let mut client = client(channel);
        let opened = timeout(ANSWER, client.session(outbound)).await;
        opened.map_err(|_| Status::deadline_exceeded("the server did not take the session in time"))?
    };
    let greet = say(&send, from_agent::Message::Hello(hello));
    let (opened, greeted) = tokio::join!(call, greet);
    greeted?;
    let (pongs, asked) = mpsc::channel(1);
    tokio::select! {
        ended = hear(link, opened?.into_inner(), to_driver, pongs) => ended,
        ended = speak(from_driver, asked, &send) => ended,
    }
}

async fn say(send: &mpsc::Sender<FromAgent>, message: from_agent::Message) -> Result<(), Status> {
    for frame in split(FromAgent { message: Some(message) }) {
        put(send, frame).await.map_err(|_| Status::unavailable("the connection takes nothing"))?;
    }
    Ok(())
}

/// What the driver says, and answers to pings.
async fn speak(
    from_driver: &mut mpsc::Receiver<ToServer>,
    mut pings: mpsc::Receiver<u64>,
    send: &mpsc::Sender<FromAgent>,
) -> Result<(), Status> {
    loop {
        let message = tokio::select! {
            next = from_driver.recv() => match next {
                Some(ToServer::Report { stamp, report }) => {
                    from_agent::Message::Report(convert::report(stamp, &report))
                }
                // A driver says one hello a session.
                Some(ToServer::Hello(_)) => continue,
                None => return Ok(()),
            },
            Some(nonce) = pings.recv() => from_agent::Message::Pong(Pong { nonce }),
        };
        say(send, message).await?;
    }
}

/// What the server says.
async fn hear(
    link: &Arc<Link>,
    mut inbound: Streaming<FromServer>,
    to_driver: mpsc::Sender<evenkeel_wire::ToAgent>,
    pings: mpsc::Sender<u64>,
) -> Result<(), Status> {
    let mut joiner = Joiner::new(MOST_TO_AGENT);
    loop {
        let Some(frame) = inbound.message().await? else {
            return Err(Status::unavailable("the server ended the session"));
        };
        let whole = joiner.take(frame).map_err(|e| Status::data_loss(e.to_string()))?;
        let Some(message) = whole.and_then(|w| w.message) else { continue };
        match message {
            from_server::Message::Welcome(welcome) => {
                version::agree(welcome.speaks.as_ref(), Speaker::Server).map_err(Status::failed_precondition)?;
                if welcome.cluster_id != link.current.get().cluster {
                    return Err(Status::failed_precondition(format!(
                        "the server is of cluster {}, this node of {}",
                        welcome.cluster_id,
                        link.current.get().cluster
                    )));
                }
                link.current.trust(&welcome.trust_pem).await.map_err(|e| Status::data_loss(e.to_string()))?;
            }
            // One that waits is enough: the answer is the same.
            from_server::Message::Ping(ping) => {
                let _one_waits = pings.try_send(ping.nonce);
            }
            from_server::Message::Open(open) => link.side.open(open),
            other => {
                let message = convert::to_agent(other).map_err(|e| Status::data_loss(e.to_string()))?;
                if let Some(message) = message
                    && to_driver.send(message).await.is_err()
                {
                    return Ok(());
                }
            }
        }
    }
}
