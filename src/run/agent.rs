//! `evenkeel agent`: a node's half, with its server on another machine.
//!
//! Joins once, by a token; from then on its identity is on disk, and the node runs on whether the
//! server is there or not.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use evenkeel_agent::{
    driver::{NetHandle, Streams},
    remote::{
        Current, Dialer, Identity, IdentityStore, JoinFailure, JoinOptions, Serve, ServerAddress, Token, join, renewal,
        tokens,
    },
};
use evenkeel_store::DirLock;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    node::{self, NodeOptions},
    process::{End, raise_file_limit},
    up::END,
};

/// A join that found no server is tried again after this; it doubles up to [`JOIN_MAX`].
const JOIN_FIRST: Duration = Duration::from_secs(1);
/// Longest such wait.
const JOIN_MAX: Duration = Duration::from_secs(30);

/// What the agent is told.
#[derive(Debug, Clone)]
pub(crate) struct AgentOptions {
    /// The data directory.
    pub(crate) data_dir: PathBuf,
    /// The server.
    pub(crate) server: ServerAddress,
    /// For the first start, or when the node was removed or its certificate has expired.
    pub(crate) token: Option<Token>,
    /// The node.
    pub(crate) node: NodeOptions,
}

/// Runs until Ctrl-C or SIGTERM, or until the server refuses the join.
pub(crate) async fn run(options: AgentOptions) -> Result<()> {
    raise_file_limit();
    let stop = CancellationToken::new();
    let mut end = End::new()?;
    let folder = options.data_dir.join("agent");
    let store = IdentityStore::open(&folder).context("the agent's folder")?;
    // `evenkeel down` finds by it whom to stop. A server of the same data directory has a lock of its own.
    let _lock = DirLock::acquire(&folder).context("the agent's folder")?;
    let kept = store.load().context("this node's identity")?;
    let again = options.token.clone().map(|token| JoinOptions {
        server: options.server.clone(),
        token,
        node: options.node.name.clone(),
    });
    let identity = match (kept, &again) {
        (Some(identity), _) => known(identity, &options.node.name)?,
        (None, Some(ask)) => tokio::select! {
            joined = join_until_there(ask, &store) => joined?,
            () = end.asked() => return Ok(()),
        },
        (None, None) => bail!(
            "this machine has not joined yet: run `evenkeel token create` on the server, and start the agent with \
             --token TOKEN or --token-file FILE"
        ),
    };
    let mut node = options.node.clone();
    for (key, value) in &identity.labels {
        node.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    info!(node = identity.node, server = %options.server, "the agent starts");
    let runtime = node::engine(&node.runtime).await?;
    let cluster = identity.cluster.clone();
    let net = NetHandle::default();
    let streams = Streams::new(runtime.clone(), cluster.clone(), net.clone());
    let serve: Serve = Arc::new(move |request| streams.open(request));
    let current = Current::new(identity, store);
    let dialer = Dialer::new(options.server.clone(), current.clone(), again, serve)
        .context("random bytes of the operating system")?;
    let beside = node::Beside { tokens: tokens(options.server.clone(), current.clone()), net };
    let renewing = tokio::spawn(renewal(options.server.clone(), current, stop.clone()));
    let mut agent = node::start(&node, &options.data_dir, &cluster, runtime, dialer, beside, stop.clone());
    let ended = tokio::select! {
        () = end.asked() => Ok(()),
        ended = &mut agent => ended.context("the agent's task").flatten().and_then(|()| {
            bail!("the agent ended by itself")
        }),
    };
    info!("stopping; containers run on");
    stop.cancel();
    let parts = async {
        node::end(agent).await;
        // It ends at once when it is told to.
        let _ended = renewing.await;
    };
    if tokio::time::timeout(END, parts).await.is_err() {
        warn!("some part did not end in time");
    }
    ended
}

/// An identity that is there; under the name that was given.
fn known(identity: Identity, name: &str) -> Result<Identity> {
    if identity.node != name {
        bail!(
            "this machine joined as node {}, not as {name}: start it with --name {}, or remove it (`evenkeel node remove \
             {}`), empty its data directory and join anew",
            identity.node,
            identity.node,
            identity.node
        );
    }
    Ok(identity)
}

/// Joins; waits for a server that is not there yet.
async fn join_until_there(ask: &JoinOptions, store: &IdentityStore) -> Result<Identity> {
    let mut wait = JOIN_FIRST;
    loop {
        match join(ask, store).await {
            Ok(identity) => {
                info!(node = identity.node, server = %ask.server, "this machine has joined");
                return Ok(identity);
            }
            Err(JoinFailure::Away(error)) => {
                warn!(error = format!("{:#}", anyhow::Error::from(error)), ?wait, "no join yet; trying again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(JOIN_MAX);
            }
            Err(error) => return Err(anyhow::Error::from(error).context("this machine was not let in")),
        }
    }
}
