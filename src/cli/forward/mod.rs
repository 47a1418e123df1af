//! `evenkeel port-forward`: ports of this machine that lead to ports of a pod.
//!
//! Parses, finds the pod, listens; `carry` moves the bytes of a connection. Each connection has a
//! WebSocket of its own, so that one that is not read holds up no other, and one that fails ends
//! alone. Deliberately not here: UDP, which Kubernetes does not forward either.

mod carry;
mod ports;

use std::{
    cell::RefCell,
    io::{ErrorKind, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    rc::Rc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use evenkeel_model::Kind;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinSet, LocalSet},
    time::sleep,
};

use self::ports::{Pair, Wanted};
use super::{
    Cx,
    error::hinted,
    objects::{name, text},
    paths, pods,
};
use crate::client::{Client, ClientError};

/// Forward ports of this machine to a pod, named itself or by what it belongs to
///
/// Runs until it is stopped. A connection that the pod refuses is told on stderr and ends alone. The
/// pods of a deployment or of a service are followed: when the pod is gone, the next connection goes to
/// another one. Of a service, REMOTE is one of its own ports.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel port-forward web-5d7f-abcde 8080\n  evenkeel port-forward deployment/web -n shop 8080:80 9090:metrics\n  evenkeel port-forward svc/web 8080:80                     # port 80 of the service, whatever the pods call it\n  evenkeel port-forward pod/db-0 :5432                       # any free port here\n  evenkeel port-forward web-5d7f-abcde --address 0.0.0.0 8080  # for other machines, too\n\nExit codes: 1 where no port can be listened at, or the pod is gone."
)]
pub(crate) struct Args {
    /// A pod, or deployment/NAME, replicaset/NAME, service/NAME: one of its pods, a ready one first
    #[arg(value_name = "POD")]
    what: String,
    /// A port here and a port of the pod, by number or by name; with one alone it is the same, an empty LOCAL is any free one
    #[arg(required = true, value_name = "[LOCAL:]REMOTE")]
    ports: Vec<Wanted>,
    /// Namespace [default: that of the kubeconfig's context, else `default`]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Addresses of this machine to listen at; localhost is 127.0.0.1 and ::1
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', default_value = "localhost")]
    address: Vec<String>,
}

/// The protocol of this client: the one in which each way ends by itself.
const PROTOCOL: &str = "v5.channel.k8s.io";
/// After a failed accept (no file descriptors left, most of all) a listener waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let namespace = args.namespace.clone().unwrap_or_else(|| client.namespace().to_owned());
    let meant = pods::Meant::parse(&args.what)?;
    let forward = Forward { client, namespace, meant, pod: RefCell::default() };
    let (pod, service) = forward.find().await?;
    let mut open = Vec::new();
    for wanted in &args.ports {
        open.extend(listen(&args.address, wanted.on(&pod, service.as_ref())?).await?);
    }
    for (listener, pair) in &open {
        cx.out.line(format!("Forwarding from {} -> {}", listener.local_addr()?, pair.remote))?;
    }
    cx.out.flush()?;
    let forward = Rc::new(forward);
    let local = LocalSet::new();
    let serve = async {
        let mut all = JoinSet::new();
        for (listener, pair) in open {
            all.spawn_local(accept(forward.clone(), listener, pair));
        }
        // None ends but by an error, and one is enough.
        all.join_next().await.map_or(Ok(()), |ended| ended?)
    };
    local.run_until(serve).await?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the listeners of a pair: at least one of an address, all with the same port.
async fn listen(addresses: &[String], pair: Pair) -> Result<Vec<(TcpListener, Pair)>> {
    let mut pair = pair;
    let mut open = Vec::new();
    for address in addresses {
        let all: Vec<IpAddr> = match address.as_str() {
            "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            other => vec![other.parse().with_context(|| format!("--address {other} is no IP address"))?],
        };
        let (before, mut failed) = (open.len(), None);
        for ip in all {
            match TcpListener::bind(SocketAddr::new(ip, pair.local)).await {
                Ok(listener) => {
                    pair.local = listener.local_addr()?.port();
                    open.push((listener, pair));
                }
                Err(error) => failed = failed.or(Some((ip, error))),
            }
        }
        if open.len() == before
            && let Some((ip, error)) = failed
        {
            let at = SocketAddr::new(ip, pair.local);
            let hint =
                if error.kind() == ErrorKind::AddrInUse { "an empty LOCAL, as in :80, takes a free port" } else { "" };
            return Err(hinted(format!("{at} cannot be listened at: {error}"), hint));
        }
    }
    Ok(open)
}

async fn accept(forward: Rc<Forward>, listener: TcpListener, pair: Pair) -> Result<()> {
    let mut connections: JoinSet<Result<()>> = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // As kubectl, and at once: who reads it waits for it.
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "Handling connection for {}", pair.local)?;
                    out.flush()?;
                    drop(out);
                    let forward = forward.clone();
                    connections.spawn_local(async move { forward.connection(stream, pair).await });
                }
                Err(error) => {
                    eprintln!("error: a connection for {} cannot be taken: {error}", pair.local);
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => ended??,
        }
    }
}

/// Where all connections go.
struct Forward {
    client: Client,
    namespace: String,
    meant: pods::Meant,
    /// The pod that was found last.
    pod: RefCell<String>,
}

impl Forward {
    /// Finds the pod, which must run, and the Service that was named.
    async fn find(&self) -> Result<(Value, Option<Value>)> {
        let (client, namespace) = (&self.client, &self.namespace);
        let (pod, service) = match &self.meant {
            pods::Meant::Pod(pod) => (client.get(&paths::item(Kind::Pod, namespace, pod)).await?, None),
            pods::Meant::Owner(kind, owner) => {
                let object = client.get(&paths::item(*kind, namespace, owner)).await?;
                let all = pods::list(client, namespace, &pods::selector_in(*kind, &object)?).await?;
                let pod = pods::best(&all).cloned().unwrap_or_default();
                (pod, (*kind == Kind::Service).then_some(object))
            }
        };
        let phase = text(&pod, "/status/phase");
        if phase != "Running" {
            let message = format!("ports of pod {} cannot be forwarded: it is {phase}, not Running", name(&pod));
            return Err(hinted(message, "evenkeel why pod NAME says what it waits for"));
        }
        name(&pod).clone_into(&mut self.pod.borrow_mut());
        Ok((pod, service))
    }

    /// One connection, from its beginning to its end. An error is one that no later connection survives.
    async fn connection(&self, stream: TcpStream, pair: Pair) -> Result<()> {
        let mut opened = self.open(pair.remote).await;
        if matches!(&opened, Err(ClientError::Status { code: 404, .. })) {
            // Gone: a workload has others by now.
            self.find().await?;
            opened = self.open(pair.remote).await;
        }
        let said = match opened {
            Ok(socket) => carry::run(stream, socket).await.err().map(|e| e.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = said {
            eprintln!("error: an error occurred forwarding {} -> {}: {why}", pair.local, pair.remote);
        }
        Ok(())
    }

    async fn open(&self, port: u16) -> Result<crate::client::Socket, ClientError> {
        let pod = paths::item(Kind::Pod, &self.namespace, &self.pod.borrow());
        self.client.socket(&format!("{pod}/portforward?ports={port}"), PROTOCOL).await
    }
}
