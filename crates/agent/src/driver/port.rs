//! A connection to a port of a pod, on a stream to its caller.
//!
//! Called by `streams`. Connects as Kubernetes does, to the pod's own loopback from within its network,
//! so that programs are reached that listen there alone and no rule of the network is in the way;
//! where this agent may not enter that network, to the pod's address. Both ways run at once, and
//! each ends by itself. Deliberately not here: whether the pod should be reached at all (the server
//! has decided).

use std::{
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as StdStream},
    os::fd::AsFd as _,
    thread,
    time::Duration,
};

use bytes::BytesMut;
use evenkeel_runtime::{ContainerId, ContainerInfo, ContainerState};
use evenkeel_wire::stream::{self, FailureKind, NodeEnd, SendError, StreamError, StreamInput, StreamOutput};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};

use super::streams::Broken;

/// A program on the same machine takes a connection at once; its queue may be full for a moment.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes read from a port at once.
const READ: usize = 32 << 10;

/// Carries a connection to its end. `found` are the pod's sandboxes, the newest first.
pub(super) async fn serve(end: &mut NodeEnd, port: u16, found: Vec<ContainerInfo>) -> Result<(), Broken> {
    let connection = connect(port, found).await?;
    carry(end, connection).await
}

async fn carry(end: &mut NodeEnd, connection: TcpStream) -> Result<(), Broken> {
    // What is small goes at once, as it would without us.
    if let Err(error) = connection.set_nodelay(true) {
        tracing::debug!(%error, "a connection to a port waits to fill packets");
    }
    let (read, write) = connection.into_split();
    let (send, recv) = (&end.send, &mut end.recv);
    stream::put(send, StreamOutput::Opened).await?;
    let said = Notify::new();
    let both = async {
        outward(read, send).await?;
        said.notified().await;
        Ok(())
    };
    tokio::select! {
        ended = both => ended,
        () = inward(recv, write, &said) => Err(SendError::Gone.into()),
        () = send.closed() => Err(SendError::Gone.into()),
    }
}

/// From the port to the caller, until the port closes this way.
async fn outward(mut read: OwnedReadHalf, send: &mpsc::Sender<StreamOutput>) -> Result<(), Broken> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ);
        match read.read_buf(&mut buffer).await {
            Ok(0) => break,
            Ok(_) => {
                for chunk in stream::chunks(buffer.split().freeze()) {
                    stream::put(send, StreamOutput::Stdout(chunk)).await?;
                }
            }
            Err(error) => {
                let message = format!("the pod broke the connection off: {error}");
                return Err(StreamError::new(FailureKind::Refused, message).into());
            }
        }
    }
    Ok(stream::put(send, StreamOutput::StdoutEnd).await?)
}

/// From the caller to the port. Returns when the caller goes; `said` hears that it has said all, or
/// that the port takes no more.
async fn inward(recv: &mut mpsc::Receiver<StreamInput>, write: OwnedWriteHalf, said: &Notify) {
    let mut write = Some(write);
    while let Some(message) = recv.recv().await {
        match (message, &mut write) {
            (StreamInput::Stdin(bytes), Some(to)) => {
                if to.write_all(&bytes).await.is_err() {
                    write = None;
                    said.notify_one();
                }
            }
            (StreamInput::StdinEnd, Some(to)) => {
                let _closed_already = to.shutdown().await;
                write = None;
                said.notify_one();
            }
            (StreamInput::Close, _) => return,
            (StreamInput::Stdin(_) | StreamInput::StdinEnd, None) | (StreamInput::Resize { .. }, _) => {}
        }
    }
}

async fn connect(port: u16, found: Vec<ContainerInfo>) -> Result<TcpStream, StreamError> {
    let Some(sandbox) = found.into_iter().next() else {
        return Err(StreamError::new(FailureKind::NotFound, "the pod is not on this node yet, or is gone"));
    };
    let ContainerState::Running { pid, .. } = sandbox.state else {
        return Err(StreamError::new(FailureKind::NotRunning, "the pod does not run (yet, or any more)"));
    };
    let within = match within(pid, sandbox.id, port).await {
        Ok(connection) => return Ok(connection),
        Err(error) => error,
    };
    let Some(address) = sandbox.ip else { return Err(refused(port, &within)) };
    match timeout(CONNECT, TcpStream::connect((address, port))).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(refused(port, &error)),
        Err(_) => Err(refused(port, &io::Error::from(io::ErrorKind::TimedOut))),
    }
}

fn refused(port: u16, error: &io::Error) -> StreamError {
    let message = match error.kind() {
        io::ErrorKind::ConnectionRefused => format!("nothing listens on port {port} of the pod: connection refused"),
        io::ErrorKind::TimedOut => format!("port {port} of the pod did not answer within {} s", CONNECT.as_secs()),
        _ => format!("port {port} of the pod cannot be reached: {error}"),
    };
    StreamError::new(FailureKind::Refused, message)
}

/// Connects to the loopback of the network that a process is in.
async fn within(pid: u32, container: ContainerId, port: u16) -> io::Result<TcpStream> {
    let (tell, told) = oneshot::channel();
    // A thread of its own, which ends with it: it never comes back from that network.
    thread::Builder::new().name("port".into()).spawn(move || {
        // Nobody waits any more where the caller has gone.
        let _gone = tell.send(enter(pid, &container).and_then(|()| dial(port)));
    })?;
    let connection = told.await.map_err(|_| io::Error::other("the thread that connects has ended"))??;
    connection.set_nonblocking(true)?;
    TcpStream::from_std(connection)
}

/// Moves this thread into the network of a container's process.
fn enter(pid: u32, container: &ContainerId) -> io::Result<()> {
    let network = File::open(format!("/proc/{pid}/ns/net"))?;
    // The engine may count process ids otherwise, or the process may be gone and its id another's:
    // what was opened is the container's if the process is, now that it is open.
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    if container.0.is_empty() || !cgroup.contains(&container.0) {
        return Err(io::Error::other(format!("its process {pid} is not among those that this agent sees")));
    }
    Ok(move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?)
}

fn dial(port: u16) -> io::Result<StdStream> {
    let at = |address: IpAddr| StdStream::connect_timeout(&SocketAddr::new(address, port), CONNECT);
    // As Kubernetes' runtimes: what is said of the first one counts where both fail.
    at(Ipv4Addr::LOCALHOST.into()).or_else(|error| at(Ipv6Addr::LOCALHOST.into()).map_err(|_| error))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A caller's end, the program's end, and how it ends.
    async fn connected() -> (stream::CallerEnd, TcpStream, tokio::task::JoinHandle<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connection = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (program, _) = listener.accept().await.unwrap();
        let (caller, mut end) = stream::pair();
        let carried = tokio::spawn(async move { carry(&mut end, connection).await.is_ok() });
        (caller, program, carried)
    }

    #[tokio::test]
    async fn each_way_ends_by_itself() {
        let (mut caller, mut program, carried) = connected().await;
        assert_eq!(caller.recv.recv().await, Some(StreamOutput::Opened));
        caller.send(StreamInput::Stdin("question".into())).await.unwrap();
        caller.send(StreamInput::StdinEnd).await.unwrap();
        let mut heard = String::new();
        program.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "question");
        program.write_all(b"answer").await.unwrap();
        drop(program);
        assert_eq!(caller.recv.recv().await, Some(StreamOutput::Stdout("answer".into())));
        assert_eq!(caller.recv.recv().await, Some(StreamOutput::StdoutEnd));
        assert!(carried.await.unwrap());
    }

    #[tokio::test]
    async fn a_port_that_has_closed_one_way_still_hears() {
        let (mut caller, mut program, carried) = connected().await;
        assert_eq!(caller.recv.recv().await, Some(StreamOutput::Opened));
        program.shutdown().await.unwrap();
        assert_eq!(caller.recv.recv().await, Some(StreamOutput::StdoutEnd));
        caller.send(StreamInput::Stdin("late".into())).await.unwrap();
        caller.send(StreamInput::StdinEnd).await.unwrap();
        let mut heard = String::new();
        program.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "late");
        assert!(carried.await.unwrap());
    }

    #[tokio::test]
    async fn a_caller_that_goes_ends_the_connection() {
        let (mut caller, mut program, carried) = connected().await;
        assert_eq!(caller.recv.recv().await, Some(StreamOutput::Opened));
        drop(caller);
        assert_eq!(program.read(&mut [0; 1]).await.unwrap_or(0), 0);
        assert!(!carried.await.unwrap());
    }

    #[tokio::test]
    async fn a_pod_that_is_not_there_is_told_from_one_that_does_not_listen() {
        let error = connect(80, Vec::new()).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::NotFound);
        let error = refused(80, &io::Error::from(io::ErrorKind::ConnectionRefused));
        assert!(error.kind == FailureKind::Refused && error.message.contains("nothing listens on port 80"));
    }

    #[test]
    fn a_process_of_somebody_else_is_not_entered() {
        let other = ContainerId("0123456789abcdef".into());
        let error = enter(std::process::id(), &other).unwrap_err();
        assert!(error.to_string().contains("not among those"), "{error}");
    }
}
