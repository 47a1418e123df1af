//! Many nodes in one process: each joins by a token and holds a real session, over an engine that is
//! simulated. The figures use it, too.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use evenkeel_agent::{
    logic::settings::{Config, Settings},
    remote::{Current, Dialer, Identity, IdentityStore, JoinFailure, JoinOptions, Serve, ServerAddress, Token, join},
    sim::{Conduct, SharedNode, SimClock, SimNode, SimRegistry, live},
};
use evenkeel_model::session::NodeReport;
use evenkeel_wire::stream;
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// Machines that join at one time; the server takes sixteen.
const JOINING: usize = 12;

/// Nodes that run until they are stopped.
pub struct Fleet {
    pub nodes: Vec<SharedNode>,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Fleet {
    /// Lets so many nodes join, `n0` and on, each with a folder of its own below `dir`, and starts
    /// them. `registry` has the images that there are.
    pub async fn start(count: usize, dir: &Path, server: &ServerAddress, token: &Token, registry: SimRegistry) -> Self {
        let registry = Arc::new(registry);
        let stop = CancellationToken::new();
        let mut fleet = Self { nodes: Vec::new(), tasks: Vec::new(), stop };
        for (identity, store) in all_joined(count, dir, server, token).await {
            fleet.add(identity, store, server, &registry);
        }
        fleet
    }

    fn add(&mut self, identity: Identity, store: IdentityStore, server: &ServerAddress, registry: &Arc<SimRegistry>) {
        let seed = self.nodes.len() as u64;
        let node = Arc::new(std::sync::Mutex::new(simulated(&identity, seed)));
        let dialer = dialer(server, identity, store);
        self.tasks.push(tokio::spawn(live(node.clone(), registry.clone(), dialer, self.stop.clone())));
        self.nodes.push(node);
    }

    /// Ends all.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// Lets so many nodes join, `n0` and on, each with a folder of its own below `dir`.
pub async fn all_joined(
    count: usize,
    dir: &Path,
    server: &ServerAddress,
    token: &Token,
) -> Vec<(Identity, IdentityStore)> {
    let turns = Arc::new(Semaphore::new(JOINING));
    let mut joins = JoinSet::new();
    for n in 0..count {
        let (turns, name) = (turns.clone(), format!("n{n}"));
        let store = IdentityStore::open(&dir.join(&name)).unwrap();
        let options = JoinOptions { server: server.clone(), token: token.clone(), node: name };
        joins.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            (until_joined(&options, &store).await, store)
        });
    }
    joins.join_all().await
}

/// What opens a node's sessions.
pub fn dialer(server: &ServerAddress, identity: Identity, store: IdentityStore) -> Dialer {
    Dialer::new(server.clone(), Current::new(identity, store), None, no_streams()).unwrap()
}

async fn until_joined(options: &JoinOptions, store: &IdentityStore) -> Identity {
    loop {
        match join(options, store).await {
            Ok(identity) => return identity,
            // Others may be joining besides.
            Err(JoinFailure::Away(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{} could not join: {error}", options.node),
        }
    }
}

fn simulated(identity: &Identity, seed: u64) -> SimNode {
    let config = Config {
        node: identity.node.as_str().into(),
        cluster: identity.cluster.clone(),
        node_ip: Some("192.0.2.1".parse().unwrap()),
        settings: Settings::default(),
    };
    SimNode::new(config, report(identity), seed, Conduct::default(), SimClock::new(crate::now(), 0))
}

/// What a node says of itself.
pub fn report(identity: &Identity) -> NodeReport {
    let room: BTreeMap<String, String> =
        [("cpu", "4"), ("memory", "8Gi"), ("pods", "110")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    NodeReport {
        capacity: room.clone(),
        allocatable: room,
        labels: [("kubernetes.io/hostname".to_owned(), identity.node.clone())].into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..NodeReport::default()
    }
}

/// These nodes have no logs and run no commands: a stream ends as soon as it begins.
fn no_streams() -> Serve {
    Arc::new(|_| stream::pair().0)
}
