//! `evenkeel up`: server and agent in one process, wired together.
//!
//! Tells the story on the terminal, and ends in order on Ctrl-C. Containers run on. Agents of other
//! machines may join, where it listens for them.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use evenkeel_agent::driver::{DialError, Dialing, NetHandle, Streams};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    access::{self, Access},
    control::{Control, ControlOptions},
    node::{self, NodeOptions},
    process::{End, raise_file_limit},
    terminal,
};

/// How long the ends of the parts may take before the process ends anyway: more than the agent's
/// and the listener's own limits together.
pub(super) const END: Duration = Duration::from_secs(20);

/// Runs until Ctrl-C or SIGTERM, or until a part that cannot be started again fails.
pub(crate) async fn run(control: ControlOptions, node: NodeOptions) -> Result<()> {
    raise_file_limit();
    let stop = CancellationToken::new();
    let runtime = node::engine(&node.runtime).await?;
    let mut names = vec![node.name.clone()];
    names.extend(node.ip.map(|ip| ip.to_string()));
    let mut server = Control::start(&control, &names, Some(&node.name), stop.clone()).await?;
    if control.story {
        server.say_start(&control, Some(&node.name));
    }
    let name: Arc<str> = node.name.as_str().into();
    server.pki.add_node(&name).context("the list of known nodes")?;
    let cluster = server.pki.cluster_id().to_owned();
    let net = NetHandle::default();
    let streams = Streams::new(runtime.clone(), cluster.clone(), net.clone());
    server.host.register_node(name, Arc::new(Access::new(streams)));
    let host = server.host.clone();
    let dial = move || -> Dialing {
        let host = host.clone();
        Box::pin(async move {
            let (agent, server) = evenkeel_wire::local::pair();
            host.accept(server);
            Ok::<_, DialError>(agent)
        })
    };
    let mut agent = node::start(
        &node,
        &control.data_dir,
        &cluster,
        runtime,
        dial,
        node::Beside { tokens: access::tokens(server.agents.clone(), &node.name), net },
        stop.clone(),
    );
    let ended = wait_for_end(&mut agent, &mut server.added).await;
    info!("stopping; containers run on");
    if control.story {
        terminal::say_end();
    }
    stop.cancel();
    let parts = async {
        // The agent first: what it has seen last is still taken.
        node::end(agent).await;
        server.end().await;
    };
    if tokio::time::timeout(END, parts).await.is_err() {
        warn!("some part did not end in time");
    }
    ended
}

/// Waits for a signal, or for a part that failed.
async fn wait_for_end(agent: &mut JoinHandle<Result<()>>, added: &mut JoinHandle<Result<()>>) -> Result<()> {
    let mut end = End::new()?;
    let mut source_pending = true;
    loop {
        tokio::select! {
            () = end.asked() => return Ok(()),
            ended = &mut *added, if source_pending => {
                source_pending = false;
                ended.context("adding the source")??;
            }
            ended = &mut *agent => {
                ended.context("the agent's task")??;
                bail!("the agent ended by itself");
            }
        }
    }
}
