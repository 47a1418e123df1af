//! The sockets: questions come in over UDP and TCP, and answers go out to this node alone.
//!
//! The cluster's names, and what is kept, are answered at once where the question is read; what must
//! be asked elsewhere becomes a task, of which there are so many. Deliberately not here: what is
//! answered.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_proto::{
    op::{Query, ResponseCode},
    rr::{Record, RecordType},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Dns, DnsError,
    answer::{Reply, Step, answer},
    message::{Ask, QUESTION_SIZE, Read, Transport, read, write},
    slots::{Slot, Slots},
};

/// Tasks that read the UDP socket: one core reads and answers some ten thousand questions a second.
const READERS: usize = 2;

/// Questions that are under way elsewhere: all, and those of one client.
const ASKING: (usize, usize) = (512, 64);

/// Connections over TCP: all, and those of one client.
const CONNECTIONS: (usize, usize) = (256, 32);

/// How long a connection may say nothing (RFC 7766 asks for some seconds).
const IDLE: Duration = Duration::from_secs(10);

/// How long a message may take once it began, in and out.
const MESSAGE: Duration = Duration::from_secs(2);

/// How long a socket that fails is left alone: what it lacks (memory, files) does not come at once.
const PAUSE: Duration = Duration::from_millis(50);

/// Times that another port is tried where any would do.
const ANY_PORT: usize = 16;

/// Sockets that are bound and not served yet.
#[derive(Debug)]
pub struct Bound {
    dns: Arc<Dns>,
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
    asking: Arc<Slots>,
    connections: Arc<Slots>,
}

/// What becomes of a message.
enum Begun {
    Silence,
    Ready(Vec<u8>),
    Elsewhere(Box<Pending>),
}

/// A question whose answer is elsewhere.
struct Pending {
    ask: Box<Ask>,
    query: Query,
    chain: Vec<Record>,
}

impl Bound {
    /// Binds both sockets.
    pub(super) async fn new(dns: Arc<Dns>, at: SocketAddr) -> Result<Self, DnsError> {
        let fail = |source| DnsError::Bind { at, source };
        let (udp, tcp) = both(at).await.map_err(fail)?;
        let asking = Slots::new(ASKING.0, ASKING.1);
        let connections = Slots::new(CONNECTIONS.0, CONNECTIONS.1);
        Ok(Self { dns, udp: Arc::new(udp), tcp, asking, connections })
    }

    /// Where it is reached.
    pub fn address(&self) -> Result<SocketAddr, DnsError> {
        self.tcp.local_addr().map_err(DnsError::Socket)
    }

    /// Answers until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        let all = Arc::new(self);
        let tasks = TaskTracker::new();
        for _ in 0..READERS {
            let (all, inner, until) = (Arc::clone(&all), tasks.clone(), stop.clone());
            tasks.spawn(stop.clone().run_until_cancelled_owned(async move { all.datagrams(&inner, &until).await }));
        }
        let reviving = Arc::clone(&all);
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            let dns = &reviving.dns;
            dns.upstream.revive(|| dns.zone().map(|zone| zone.own_address())).await;
        }));
        let (inner, until) = (tasks.clone(), stop.clone());
        stop.run_until_cancelled(async { all.connections(&inner, &until).await }).await;
        tasks.close();
        tasks.wait().await;
    }

    async fn datagrams(self: &Arc<Self>, tasks: &TaskTracker, stop: &CancellationToken) {
        let mut buffer = vec![0; QUESTION_SIZE + 1];
        loop {
            let (n, client) = match self.udp.recv_from(&mut buffer).await {
                Ok(got) => got,
                Err(error) => {
                    tracing::debug!(%error, "no question can be read");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            match self.begin(buffer.get(..n).unwrap_or_default(), client.ip(), Transport::Udp) {
                Begun::Silence => {}
                Begun::Ready(bytes) => self.send(&bytes, client).await,
                Begun::Elsewhere(pending) => match self.asking.take(client.ip()) {
                    Some(slot) => {
                        let answer = Arc::clone(self).elsewhere(pending, client, slot);
                        tasks.spawn(stop.clone().run_until_cancelled_owned(answer));
                    }
                    None => self.send(&busy(&pending, Transport::Udp), client).await,
                },
            }
        }
    }

    async fn elsewhere(self: Arc<Self>, pending: Box<Pending>, client: SocketAddr, slot: Slot) {
        let bytes = self.finish(*pending, Transport::Udp).await;
        self.send(&bytes, client).await;
        drop(slot);
    }

    async fn send(&self, bytes: &[u8], client: SocketAddr) {
        if bytes.is_empty() {
            return;
        }
        // A client that is gone asks no more; one that is not asks again.
        if let Err(error) = self.udp.send_to(bytes, client).await {
            tracing::debug!(%client, %error, "an answer was not sent");
        }
    }

    async fn connections(self: &Arc<Self>, tasks: &TaskTracker, stop: &CancellationToken) {
        loop {
            match self.tcp.accept().await {
                Ok((stream, client)) => {
                    let served = self.dns.serves(client.ip());
                    // Who finds no place is sent away at once, and may come again.
                    if let Some(slot) = served.then(|| self.connections.take(client.ip())).flatten() {
                        let talk = Arc::clone(self).talk(stream, client.ip(), slot);
                        tasks.spawn(stop.clone().run_until_cancelled_owned(talk));
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "no connection can be taken");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn talk(self: Arc<Self>, mut stream: TcpStream, client: IpAddr, slot: Slot) {
        if let Err(error) = self.questions(&mut stream, client).await {
            tracing::debug!(%client, %error, "a connection ended");
        }
        drop(slot);
    }

    /// One question after the other, until the client closes or is too slow.
    async fn questions(&self, stream: &mut TcpStream, client: IpAddr) -> io::Result<()> {
        loop {
            let length = match timeout(IDLE, stream.read_u16()).await {
                Ok(Ok(length)) => usize::from(length),
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Ok(()),
            };
            if length > QUESTION_SIZE {
                return Err(io::Error::other(format!("a question of {length} bytes")));
            }
            let mut question = vec![0; length];
            timeout(MESSAGE, stream.read_exact(&mut question)).await??;
            let bytes = match self.begin(&question, client, Transport::Tcp) {
                Begun::Silence => return Ok(()),
                Begun::Ready(bytes) => bytes,
                Begun::Elsewhere(pending) => match self.asking.take(client) {
                    Some(_slot) => self.finish(*pending, Transport::Tcp).await,
                    None => busy(&pending, Transport::Tcp),
                },
            };
            let Ok(length) = u16::try_from(bytes.len()) else { return Ok(()) };
            timeout(MESSAGE, stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat())).await??;
        }
    }

    /// Answers what can be answered without waiting.
    fn begin(&self, bytes: &[u8], client: IpAddr, transport: Transport) -> Begun {
        if !self.dns.serves(client) {
            return Begun::Silence;
        }
        let ask = match read(bytes) {
            Read::Silence => return Begun::Silence,
            Read::Error(bytes) => return Begun::Ready(bytes),
            Read::Ask(ask) => ask,
        };
        let ready = |reply| write(&ask, reply, transport).map_or(Begun::Silence, Begun::Ready);
        let Some(zone) = self.dns.zone() else { return ready(Reply::of(ResponseCode::ServFail)) };
        let kind = ask.query.query_type();
        let (name, chain) = match answer(&zone, ask.query.name(), kind, self.dns.turn()) {
            Step::Done(reply) => return ready(reply),
            Step::Ask(name, chain) => (name, chain),
        };
        if kind == RecordType::ANY {
            // RFC 8482: a large answer that nobody needs.
            return ready(Reply::of(ResponseCode::NotImp));
        }
        let query = Query::query(name, kind);
        match self.dns.upstream.kept(&query) {
            Some(reply) => ready(behind(chain, reply)),
            None => Begun::Elsewhere(Box::new(Pending { ask, query, chain })),
        }
    }

    async fn finish(&self, pending: Pending, transport: Transport) -> Vec<u8> {
        let own = self.dns.zone().map(|zone| zone.own_address());
        let reply = self.dns.upstream.resolve(&pending.query, own).await;
        write(&pending.ask, behind(pending.chain, reply), transport).unwrap_or_default()
    }
}

/// An answer behind the aliases that led to it.
fn behind(mut chain: Vec<Record>, mut reply: Reply) -> Reply {
    chain.append(&mut reply.answers);
    Reply { answers: chain, ..reply }
}

/// What a client is told for whom there is no place.
fn busy(pending: &Pending, transport: Transport) -> Vec<u8> {
    write(&pending.ask, Reply::of(ResponseCode::ServFail), transport).unwrap_or_default()
}

/// Both sockets at one address; where any port would do, at one that both have free.
async fn both(at: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tried = 0;
    loop {
        let tcp = TcpListener::bind(at).await?;
        tried += 1;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Err(error) if at.port() == 0 && error.kind() == io::ErrorKind::AddrInUse && tried < ANY_PORT => {}
            udp => return Ok((udp?, tcp)),
        }
    }
}

#[cfg(test)]
mod tests;
