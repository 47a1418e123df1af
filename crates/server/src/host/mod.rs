//! The host: the conductor's thread and everything that feeds it and acts on what it says.
//!
//! `evenkeel up` starts one; it owns the data directory. Events come from the followers of the
//! sources, the agents' sessions and the API; what a step commits goes to the readers' view, the
//! sessions and the followers. Deliberately not here: HTTP (`api`), certificates (`pki`), and any
//! decision about objects.

mod backend;
mod backups;
mod checkpoint;
mod clock;
mod conductor;
mod followers;
mod serving;
mod sessions;
mod story;
mod streams;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Instant,
};

use evenkeel_core::{Settings, network::LayoutError};
use evenkeel_model::{Key, Kind, Object, net::Cidr};
use evenkeel_store::{DirLock, EncryptionKey, KeyError, StoreError};
use k8s_openapi::api::core::v1::NodeSpec;
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::task::TaskTracker;

pub use backend::NodeAccess;
pub use backups::BackupOptions;
pub(crate) use clock::wall;
pub use story::Told;

use crate::api::{AskError, live::Live};

/// Events that may wait for the conductor. When it is full, requests get 429 and reports wait.
const QUEUE: usize = 4096;
/// What the terminal's story may lag behind before it skips.
const STORY: usize = 1024;

/// How a host is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; made if it is not there.
    pub data_dir: PathBuf,
    /// Settings of the core.
    pub settings: Settings,
    /// Seed of what is chosen by chance; from the operating system.
    pub seed: u64,
    /// Key of digests that stand for Secret values.
    pub digest_key: [u8; 32],
    /// The file of the key that encrypts Secrets at rest, if not `encryption.key` in the data directory.
    pub encryption_key: Option<PathBuf>,
    /// Nodes that have a certificate, where the cluster is older than this process; `None` for a
    /// new installation. A new or restored store then waits for them.
    pub known_nodes: Option<BTreeSet<Arc<str>>>,
    /// Copies of the database that the host makes by itself.
    pub backups: BackupOptions,
}

/// Why a host cannot start.
#[derive(Debug, Error)]
pub enum HostError {
    /// The store.
    #[error("the store in {dir} cannot be used")]
    Store {
        /// The data directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The encryption key.
    #[error("the encryption key cannot be used")]
    Key(#[source] KeyError),
    /// The cluster was made with other ranges of addresses.
    #[error(transparent)]
    Network(#[from] LayoutError),
    /// A thread cannot be started.
    #[error("the conductor's thread cannot be started")]
    Thread(#[source] std::io::Error),
}

/// A request on its way to the conductor.
pub(crate) struct Question {
    pub(crate) ask: evenkeel_core::Ask,
    pub(crate) user: String,
    pub(crate) reply: oneshot::Sender<Result<evenkeel_core::Answer, AskError>>,
}

/// What the conductor's thread is sent.
pub(crate) enum Message {
    Event(evenkeel_conductor::Event),
    Question(Box<Question>),
    /// Asks for a copy of the world and its time.
    World(oneshot::Sender<(Box<evenkeel_core::World>, evenkeel_model::Time)>),
    /// Somebody began to wait for what each step tells: there is to be one.
    Look,
    Stop,
}

/// Shared by everything that belongs to one host.
pub(crate) struct Shared {
    pub(crate) live: Live,
    pub(crate) queue: mpsc::Sender<Message>,
    pub(crate) sessions: sessions::Sessions,
    pub(crate) serving: serving::Serving,
    pub(crate) followers: followers::Followers,
    pub(crate) nodes: RwLock<BTreeMap<Arc<str>, Arc<dyn NodeAccess>>>,
    pub(crate) story: broadcast::Sender<Told>,
    pub(crate) pulse: Pulse,
    pub(crate) backups: Arc<backups::Backups>,
    pub(crate) tasks: TaskTracker,
    pub(crate) begun: Instant,
}

/// Signs of life of the conductor's loop.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Whether what the store held was loaded.
    pub(crate) loaded: AtomicBool,
    /// Milliseconds since the host's start at which the batch under way began; 0 for none.
    pub(crate) batch_since: AtomicU64,
    /// Likewise, since when the conductor does not run because the store fails; 0 while it runs.
    pub(crate) down_since: AtomicU64,
    /// Whether writes are refused because the disk is full.
    pub(crate) disk_full: AtomicBool,
    /// Epoch of a newer store that a node has obeyed; 0 for none.
    pub(crate) newer: AtomicU64,
    /// Whether the world waits for what the agents know.
    pub(crate) recovering: AtomicBool,
}

/// A running host. Dropping it does not stop it: call [`Host::stop`].
#[derive(Clone)]
pub struct Host {
    shared: Arc<Shared>,
    thread: Arc<Mutex<Option<std::thread::JoinHandle<()>>>>,
    daily: Arc<Mutex<Option<backups::Daily>>>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").finish_non_exhaustive()
    }
}

impl Host {
    /// Locks the data directory, opens the store and starts the conductor's thread. To be called
    /// inside a tokio runtime, on a thread that may block.
    pub fn start(options: Options) -> Result<Self, HostError> {
        let dir = options.data_dir.clone();
        let store_error = |source| HostError::Store { dir: dir.clone(), source };
        let lock = Arc::new(DirLock::acquire(&options.data_dir).map_err(store_error)?);
        let key = EncryptionKey::load_or_create(&options.data_dir, options.encryption_key.as_deref())
            .map_err(HostError::Key)?;
        let (queue, inbox) = mpsc::channel(QUEUE);
        let (story, _) = broadcast::channel(STORY);
        let conductor = conductor::open(&options, &key, &lock).map_err(store_error)?;
        options.settings.network.fits(conductor.world())?;
        let pulse = Pulse::default();
        pulse.recovering.store(conductor.world().recovering.is_some(), std::sync::atomic::Ordering::Release);
        let shared = Arc::new(Shared {
            live: Live::new(conductor.view()),
            sessions: sessions::Sessions::default(),
            serving: serving::Serving::default(),
            followers: followers::Followers::new(options.data_dir.clone(), queue.clone()),
            queue,
            nodes: RwLock::default(),
            story,
            pulse,
            backups: backups::Backups::new(lock.dir().into(), options.encryption_key.clone(), options.backups),
            tasks: TaskTracker::new(),
            begun: Instant::now(),
        });
        let backups = shared.backups.clone();
        let thread =
            conductor::spawn(shared.clone(), inbox, options, key, lock, conductor).map_err(HostError::Thread)?;
        let daily = backups.start().map_err(HostError::Thread)?;
        Ok(Self { shared, thread: Arc::new(Mutex::new(Some(thread))), daily: Arc::new(Mutex::new(daily)) })
    }

    /// A copy of the world as it is.
    pub(crate) async fn world(&self) -> Result<Box<evenkeel_core::World>, AskError> {
        Ok(backend::world(&self.shared).await?.0)
    }

    /// Takes the server's end of an agent's session and serves it until it ends.
    pub fn accept(&self, end: evenkeel_wire::local::ServerEnd) {
        let shared = self.shared.clone();
        self.shared.tasks.spawn(sessions::serve(shared, end));
    }

    /// How a node's containers are reached.
    pub fn register_node(&self, node: Arc<str>, access: Arc<dyn NodeAccess>) {
        let mut nodes = self.shared.nodes.write().unwrap_or_else(PoisonError::into_inner);
        nodes.insert(node, access);
    }

    /// A node's streams are reached this way no longer.
    pub(crate) fn unregister_node(&self, node: &str, access: &Arc<dyn NodeAccess>) {
        let mut nodes = self.shared.nodes.write().unwrap_or_else(PoisonError::into_inner);
        if nodes.get(node).is_some_and(|a| Arc::ptr_eq(a, access)) {
            nodes.remove(node);
        }
    }

    /// What happens, for a terminal or a log. A reader that lags behind misses the oldest.
    pub fn story(&self) -> broadcast::Receiver<Told> {
        self.shared.story.subscribe()
    }

    /// Asks for something as the machine's administrator; see [`crate::api::Backend::ask`].
    pub async fn ask(&self, ask: evenkeel_core::Ask, user: &str) -> Result<evenkeel_core::Answer, AskError> {
        backend::ask(&self.shared, ask, user.to_string()).await
    }

    /// Whether the world waits for what the agents know: the database was lost.
    pub fn recovering(&self) -> bool {
        self.shared.pulse.recovering.load(std::sync::atomic::Ordering::Acquire)
    }

    /// An object as last committed.
    pub fn get(&self, key: &evenkeel_model::Key) -> Option<Arc<Object>> {
        self.shared.live.view().get(key).cloned()
    }

    /// Waits for a node to have another range of addresses than `but`; `None` when the server ends.
    pub async fn node_range(&self, node: &str, but: Option<Cidr>) -> Option<Cidr> {
        let live = &self.shared.live;
        let key = Key::cluster(Kind::Node, node);
        loop {
            let view = live.view();
            let spec: Option<NodeSpec> = view.get(&key).and_then(|o| o.spec().ok());
            let range = spec.and_then(|s| s.pod_cidr?.parse().ok());
            if range.is_some() && range != but {
                return range;
            }
            // Else the view is older by now than all that is kept.
            let Ok(mut changes) = live.subscribe(Kind::Node, view.version) else { continue };
            // What it was is looked at anew, also where the store was loaded again.
            let _changed = changes.next(live).await?;
        }
    }

    /// Ends the followers and sessions and the conductor's thread, in this order, and lets go of
    /// the data directory. Containers are left alone.
    pub async fn stop(&self) {
        self.shared.followers.stop();
        // A full queue drains: the thread goes on taking until it reads this.
        let _gone = self.shared.queue.send(Message::Stop).await;
        self.shared.sessions.close_all();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        let daily = self.daily.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(daily) = daily
            && tokio::task::spawn_blocking(move || daily.stop()).await.is_err()
        {
            tracing::error!("the backups' end failed");
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let ended = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(ended, Ok(Ok(()))) {
                tracing::error!("the conductor's thread ended badly");
            }
        }
    }
}
