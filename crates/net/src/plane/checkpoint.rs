//! A check point: a network namespace that is wired like a pod's, without a container, for as long as a
//! check of the network lasts. It answers those of other nodes, and tries what they are.
//!
//! A thread of its own holds the namespace and serves all its sockets; with the thread both go, also when
//! the agent dies. Its address is one of the node's range, under a uid that no pod has. Deliberately not
//! here: what is tried, and what follows from it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    time::Duration,
};

use evenkeel_model::{Uid, net::Cidr};
use nix::sched::{CloneFlags, unshare};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{ClusterNames, Plane, PlaneError, Sandbox};
use crate::{
    dns::client,
    link::{
        KernelError,
        netns::Network,
        pods::POD_LINK,
        routes::{Plan, Way},
    },
};

/// No pod has it: theirs are of version 4.
const CHECK: Uid = Uid(u128::MAX);
/// The port of the echo service, where nobody else can be: the namespace is our own.
const PORT: u16 = 7;
/// An answer within a cluster takes milliseconds; a lost packet of TCP is sent again after one second.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// Times that a large packet is tried: one may get lost.
const LARGE_TRIES: u32 = 3;
/// Headers of IPv4 and UDP.
const HEADERS: usize = 28;
/// Bytes of the largest packet that is tried.
const LARGEST: usize = 9216;
/// Bytes of a node's name at most.
const NAME: u64 = 253;
/// Words under way to the thread.
const JOBS: usize = 8;
/// The first byte of a large packet that asks, and of one that answers: an answer is never answered.
const ASKS: u8 = b'?';
const ANSWERS: u8 = b'!';

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a node reaches the pods of others: the ranges with whether it is by VXLAN, and why not others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Between {
    /// Ranges of other nodes, each with whether VXLAN carries it.
    pub ways: Vec<(Cidr, bool)>,
    /// Nodes that there is no way to, with why.
    pub without: Vec<String>,
}

impl Between {
    pub(super) fn of(plan: &Plan) -> Self {
        let ways = plan.ways.iter().map(|(range, way)| (*range, matches!(way, Way::Tunnel { .. }))).collect();
        Self { ways, without: plan.without.clone() }
    }
}

/// There is no check point.
#[derive(Debug, Error)]
pub enum CheckError {
    /// Pods of this node are not on the cluster's network.
    #[error("pods of this node are on the container engine's network")]
    Engine,
    /// No address, or no cable.
    #[error(transparent)]
    Plane(#[from] PlaneError),
    /// The namespace.
    #[error("a network namespace cannot be made: {0}")]
    Namespace(io::Error),
    /// The link in it.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// A check point that is up. [`CheckPoint::close`] gives its address back.
#[derive(Debug)]
pub struct CheckPoint {
    plane: Plane,
    jobs: mpsc::Sender<Job>,
    address: Ipv4Addr,
    names: ClusterNames,
    mtu: u32,
}

impl CheckPoint {
    /// Puts it up; says `node` to those who ask. There must be one at a time.
    pub async fn open(plane: &Plane, node: &str) -> Result<Self, CheckError> {
        let lease = plane.lease(CHECK).await?.ok_or(CheckError::Engine)?;
        let opened = Self::wire(plane, node).await;
        if opened.is_err() {
            plane.forget(CHECK).await;
        }
        let (jobs, mtu) = opened?;
        Ok(Self { plane: plane.clone(), jobs, address: lease.address, names: lease.names, mtu })
    }

    async fn wire(plane: &Plane, node: &str) -> Result<(mpsc::Sender<Job>, u32), CheckError> {
        let (jobs, receive) = mpsc::channel(JOBS);
        let (ready, is_ready) = oneshot::channel();
        let name = node.to_owned();
        std::thread::Builder::new()
            .name("net-check".into())
            .spawn(move || hold(&name, receive, ready))
            .map_err(CheckError::Namespace)?;
        let ended = |_| CheckError::Namespace(io::Error::other("the thread for it ended by a fault"));
        let thread = is_ready.await.map_err(ended)?.map_err(CheckError::Namespace)?;
        let network = Network::of(thread).map_err(CheckError::Namespace)?;
        let title = "of evenkeel net check".to_owned();
        let sandbox = Sandbox { pod: CHECK, title, pid: thread, parameters: Vec::new(), ports: Vec::new() };
        plane.plug(sandbox).await?;
        let link = network.enter("look at the check point's link", async |inside| inside.link(POD_LINK).await).await?;
        Ok((jobs, link.map_or(0, |l| l.mtu)))
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The cluster's name server and domain.
    pub fn names(&self) -> &ClusterNames {
        &self.names
    }

    /// Does something in its network.
    pub async fn within<T: Send + 'static>(&self, act: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (send, receive) = oneshot::channel();
        let job: Job = Box::pin(async move {
            // Whoever asked may have given up.
            let _ = send.send(act.await);
        });
        self.jobs.send(job).await.ok()?;
        receive.await.ok()
    }

    /// Bytes of a large packet's content.
    pub fn large(&self) -> usize {
        usize::try_from(self.mtu).unwrap_or(0).saturating_sub(HEADERS).clamp(1, LARGEST)
    }

    /// Takes it away.
    pub async fn close(self) {
        let Self { plane, jobs, .. } = self;
        // The thread ends, and the namespace with it.
        drop(jobs);
        plane.forget(CHECK).await;
    }
}

/// The thread: a namespace of its own, then whatever it is given, until nobody can give any more.
fn hold(name: &str, mut jobs: mpsc::Receiver<Job>, ready: oneshot::Sender<io::Result<u32>>) {
    let begun = || -> io::Result<_> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sockets = runtime.block_on(async {
            let any = (Ipv4Addr::UNSPECIFIED, PORT);
            Ok::<_, io::Error>((TcpListener::bind(any).await?, UdpSocket::bind(any).await?))
        })?;
        let thread = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).map_err(io::Error::other)?;
        Ok((runtime, sockets, thread))
    };
    let (runtime, (listener, packets), thread) = match begun() {
        Ok(begun) => begun,
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    if ready.send(Ok(thread)).is_err() {
        return;
    }
    let name: std::sync::Arc<str> = name.into();
    runtime.block_on(async move {
        // They end with the runtime, which ends with this.
        tokio::spawn(answer(listener, name));
        tokio::spawn(echo(packets));
        while let Some(job) = jobs.recv().await {
            tokio::spawn(job);
        }
    });
}

/// Says the node's name to whoever connects, one after the other: it fits into the kernel's buffer.
async fn answer(listener: TcpListener, name: std::sync::Arc<str>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        if let Err(error) = stream.write_all(name.as_bytes()).await {
            tracing::debug!(%error, "a check of the network ended early");
        }
    }
}

/// Sends large packets back.
async fn echo(socket: UdpSocket) {
    let mut buffer = vec![0; LARGEST];
    while let Ok((n, from)) = socket.recv_from(&mut buffer).await {
        if n > 0 && buffer[0] == ASKS {
            buffer[0] = ANSWERS;
            if let Err(error) = socket.send_to(&buffer[..n], from).await {
                tracing::debug!(%error, "a large packet is not answered");
            }
        }
    }
}

fn late() -> String {
    format!("timed out after {} s", PATIENCE.as_secs())
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::HostUnreachable => "no route to host".into(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".into(),
        _ => error.to_string(),
    }
}

async fn connect(to: SocketAddr) -> Result<TcpStream, io::Error> {
    timeout(PATIENCE, TcpStream::connect(to)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn failed(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::TimedOut { late() } else { said(error) }
}

/// Tries a node's check point: it must answer, with that node's name.
pub async fn check_point(at: Ipv4Addr, node: &str) -> Result<(), String> {
    let stream = connect((at, PORT).into()).await.map_err(|e| failed(&e))?;
    let mut name = String::new();
    let reading = timeout(PATIENCE, stream.take(NAME).read_to_string(&mut name)).await;
    reading.map_err(|_| late())?.map_err(|e| failed(&e))?;
    if name == node {
        Ok(())
    } else {
        Err(format!("somebody else answers at {at}, who says `{}`", name.escape_debug()))
    }
}

/// Tries a packet of so many bytes of content to a check point, and back.
pub async fn large_packet(at: Ipv4Addr, bytes: usize) -> Result<(), String> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.map_err(|e| said(&e))?;
    socket.connect((at, PORT)).await.map_err(|e| said(&e))?;
    let mut packet = vec![0; bytes];
    packet[0] = ASKS;
    let mut last = late();
    for _ in 0..LARGE_TRIES {
        if let Err(error) = socket.send(&packet).await {
            last = said(&error);
            continue;
        }
        let mut back = vec![0; LARGEST];
        match timeout(PATIENCE / LARGE_TRIES, socket.recv(&mut back)).await {
            Ok(Ok(n)) if n == bytes && back[0] == ANSWERS => return Ok(()),
            Ok(Ok(n)) => last = format!("{n} of {bytes} bytes came back"),
            Ok(Err(error)) => last = said(&error),
            Err(_) => last = late(),
        }
    }
    Err(last)
}

/// Tries whether a machine answers at an address, if only by a refusal.
pub async fn machine(at: SocketAddr) -> Result<(), String> {
    match connect(at).await {
        Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => Err(failed(&error)),
        _ => Ok(()),
    }
}

/// Tries a connection to a Service.
pub async fn service(at: SocketAddr) -> Result<(), String> {
    connect(at).await.map(drop).map_err(|e| failed(&e))
}

/// Asks the cluster's name server for a name, which must have this address.
pub async fn name(names: &ClusterNames, name: &str, address: Option<Ipv4Addr>) -> Result<(), String> {
    let server = SocketAddr::new(names.dns, 53);
    let found = client::addresses(server, &format!("{name}.svc.{}.", names.domain)).await?;
    match address {
        Some(address) if !found.contains(&address) => Err(format!("it answers {found:?}, not {address}")),
        _ if found.is_empty() => Err("it knows no such name".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_answers_at_an_address_is_noticed() {
        // A stand-in for the check point's own sockets, at the port that a test may have.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(answer(listener, "node-b".into()));
        let mut heard = String::new();
        connect(at).await.unwrap().read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "node-b");
        service(at).await.unwrap();
        machine(at).await.unwrap();
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        machine(nobody).await.unwrap();
        assert_eq!(service(nobody).await.unwrap_err(), "connection refused");
    }

    #[tokio::test]
    async fn a_large_packet_comes_back_once() {
        let here = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = here.local_addr().unwrap();
        tokio::spawn(echo(here));
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(at).await.unwrap();
        let mut packet = vec![0; 8000];
        packet[0] = ANSWERS;
        client.send(&packet).await.unwrap();
        packet[0] = ASKS;
        client.send(&packet).await.unwrap();
        let mut back = vec![0; LARGEST];
        let n = client.recv(&mut back).await.unwrap();
        assert_eq!((n, back[0]), (8000, ANSWERS));
        // The first one was an answer, which is not answered.
        assert!(timeout(Duration::from_millis(50), client.recv(&mut back)).await.is_err());
    }
}
