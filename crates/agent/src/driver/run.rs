//! The driver's loop: one input in, commands out, in order.

use std::{panic::AssertUnwindSafe, path::PathBuf, sync::Arc, time::Duration};

use evenkeel_net::plane::{self, Plane};
use evenkeel_runtime::Runtime;
use evenkeel_wire::ToServer;
use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Dial, DriverConfig, DriverError,
    engine::{Beside, Disk, Follower},
    ingress::{IngressSettings, Ingresses},
    journal::{JournalError, JournalStore},
    node,
    saving::{Inputs, Unsaved},
    session::{Heard, Session, SessionState, keep_file},
    steady::Steady,
    work::Worker,
};
use crate::{
    logic::{
        AgentLogic,
        command::{Command, Failure, Input, selector},
        journal::Journal,
    },
    tokens::TokenSource,
};

/// Inputs that wait for the loop. When it is full, ends of work and events wait in their tasks.
const INPUTS: usize = 1024;
/// Drifts of the network that wait for the loop.
const DRIFTS: usize = 16;
/// Inputs taken before their commands are carried out: one sync of the disk for all of them.
const BATCH: usize = 64;
/// A session is not dialled before the engine was asked, but no later than this: else every node
/// would begin as one that is not ready.
const ENGINE_FIRST: Duration = Duration::from_secs(3);
/// At the agent's end, work under way (a container just being made) gets this long to be noted.
const DRAIN: Duration = Duration::from_secs(5);
/// Says whether there is a session, for people on the node.
const SESSION_FILE: &str = "session.json";
/// How often the engine's disk is looked at for images to remove.
const CLEAN_UP: Duration = Duration::from_mins(5);

/// Runs an agent until `stop` is cancelled. Containers run on. `tokens` gives those of pods' ServiceAccounts.
pub async fn run<R: Runtime, D: Dial>(
    runtime: Arc<R>,
    config: DriverConfig,
    dial: D,
    tokens: TokenSource,
    stop: CancellationToken,
) -> Result<(), DriverError> {
    if let Some(beyond) = node::overdrawn(&config.node) {
        return Err(DriverError::Reserve(beyond));
    }
    let (store, journal) = open_journal(config.dir.clone()).await?;
    let (drifts, of_network) = mpsc::channel(DRIFTS);
    let plane = Plane::start(plane::Settings {
        cluster: config.logic.cluster.clone(),
        node: config.logic.node.clone(),
        address: config.logic.node_ip,
        dir: config.dir.clone(),
        choice: config.network,
        engine_elsewhere: config.engine_elsewhere,
        reserved: config.ingress.as_ref().map(IngressSettings::ports).unwrap_or_default(),
        drifts,
    })?;
    config.net.set(plane.clone(), config.logic.node.clone());
    let ingress = Ingresses::start(config.ingress.as_ref(), &config.dir)?;
    let worker = Arc::new(Worker::new(runtime.clone(), &config.dir, plane.clone(), config.logic.node_ip, tokens)?);
    let selector: Vec<(String, String)> = selector(&config.logic.cluster).into_iter().collect();
    let (send, receive) = mpsc::channel(INPUTS);
    let (engine_send, engine) = watch::channel(None);
    let (keep_send, keep) = watch::channel(None);
    let follower = Follower::new(
        runtime.clone(),
        selector.clone(),
        config.node.clone(),
        config.dir.clone(),
        send.clone(),
        engine_send,
        Beside {
            network: plane.status(),
            ingress: ingress.status(),
            balanced: plane.balanced(),
            troubles: plane.troubles(),
        },
    );
    let side = CancellationToken::new();
    let _side_ends_with_this = side.clone().drop_guard();
    tokio::spawn(side.clone().run_until_cancelled_owned(follower.run()));
    tokio::spawn(side.clone().run_until_cancelled_owned(clean_images(worker.clone(), engine, keep)));
    let renewing = worker.clone();
    tokio::spawn(side.clone().run_until_cancelled_owned(async move { renewing.renew_tokens().await }));
    follow_reached(&side, plane.applied(), ingress.served(), &send);
    tokio::spawn(side.clone().run_until_cancelled_owned(tell_drifts(of_network, send.clone())));
    let (state_send, state) = watch::channel(SessionState::Starting);
    follow_session(&side, config.dir.join(SESSION_FILE), state, worker.plane.clone());
    let mut driver = Loop {
        logic: AgentLogic::new(config.logic),
        clock: Steady::new(),
        worker,
        ingress,
        selector,
        send,
        receive: Inputs::new(receive),
        tasks: TaskTracker::new(),
        store: Arc::new(store),
        unsaved: Unsaved::default(),
        keep: keep_send,
        session: Session::new(dial, state_send),
        dial_from: tokio::time::Instant::now() + ENGINE_FIRST,
        stopping: false,
    };
    driver.take(Input::Restored(Box::new(journal))).await?;
    let served = driver.ingress.clone();
    driver.turn(&stop).await?;
    let (drained, ()) = tokio::join!(driver.drain(), served.stop());
    drained
}

/// Opens the journal and reads it.
async fn open_journal(dir: PathBuf) -> Result<(JournalStore, Journal), DriverError> {
    let opened = tokio::task::spawn_blocking(move || {
        let store = JournalStore::open(&dir)?;
        let journal = store.load()?;
        Ok::<_, JournalError>((store, journal))
    });
    Ok(opened.await.map_err(|e| DriverError::Fault(e.to_string()))??)
}

pub(super) struct Loop<R, D> {
    pub(super) logic: AgentLogic,
    clock: Steady,
    worker: Arc<Worker<R>>,
    ingress: Ingresses,
    selector: Vec<(String, String)>,
    send: mpsc::Sender<Input>,
    pub(super) receive: Inputs,
    tasks: TaskTracker,
    pub(super) store: Arc<JournalStore>,
    pub(super) unsaved: Unsaved,
    keep: watch::Sender<Option<Arc<[String]>>>,
    pub(super) session: Session<D>,
    /// No session is dialled before.
    dial_from: tokio::time::Instant,
    /// Nothing new is begun.
    stopping: bool,
}

impl<R: Runtime, D: Dial> Loop<R, D> {
    async fn turn(&mut self, stop: &CancellationToken) -> Result<(), DriverError> {
        loop {
            let wants_to_write = self.session.greet || self.logic.has_report() || self.session.heartbeat_due();
            let heartbeat = self.session.heartbeat_at();
            let wake = self.logic.next_wake().map(|at| at.since(self.clock.now()));
            let retry = self.unsaved.retry;
            let early = self.dial_from > tokio::time::Instant::now();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(input) = self.receive.recv() => self.take(input).await?,
                heard = self.session.next(wants_to_write), if !early => self.heard(heard).await?,
                () = tokio::time::sleep_until(self.dial_from), if early => {}
                () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => self.take(Input::Wake).await?,
                () = tokio::time::sleep_until(heartbeat.unwrap_or_else(tokio::time::Instant::now)),
                    if heartbeat.is_some() && !wants_to_write => self.write(),
                () = tokio::time::sleep_until(retry.unwrap_or_else(tokio::time::Instant::now)), if retry.is_some() => {
                    self.save().await?;
                    self.write();
                }
            }
        }
    }

    async fn heard(&mut self, heard: Heard) -> Result<(), DriverError> {
        match heard {
            Heard::Opened(end) => {
                self.session.opened(end);
                self.take(Input::SessionOpened).await
            }
            Heard::Message(message) => self.take(Input::Server(message)).await,
            Heard::Closed => {
                self.session.broke();
                self.take(Input::SessionClosed).await
            }
            Heard::Writable => {
                self.write();
                Ok(())
            }
        }
    }

    /// Sends what there is to say, as far as the server takes it. What waits is merged by the logic.
    fn write(&mut self) {
        let now = self.clock.now();
        let Some(end) = &self.session.open else { return };
        while self.session.greet || self.logic.has_report() || self.session.heartbeat_due() {
            let Ok(permit) = end.send.try_reserve() else { return };
            if std::mem::take(&mut self.session.greet) {
                permit.send(ToServer::Hello(Box::new(self.logic.hello(now))));
            } else {
                permit.send(self.logic.next_message());
            }
            self.session.last_sent = tokio::time::Instant::now();
        }
    }

    /// Takes an input, and what else waits by now. All that is to be kept is on disk before
    /// anything begins: one write for the whole batch. What packets live by begins before: what is heard of it
    /// while the journal is written is newer, and must not be overtaken by it.
    async fn take(&mut self, input: Input) -> Result<(), DriverError> {
        let mut rest = Vec::new();
        let mut gone = Vec::new();
        if let Some(millis) = self.clock.follow() {
            tracing::info!(millis, "the machine slept or its clock was set; waits keep their length");
            for command in self.logic.step(self.clock.now(), Input::ClockMoved { millis }) {
                rest.extend(self.unsaved.gather(command));
            }
        }
        let mut next = Some(input);
        let mut taken = 0;
        while let Some(input) = next {
            if matches!(input, Input::EngineUp | Input::EngineDown { .. }) {
                self.dial_from = tokio::time::Instant::now();
            }
            for command in self.logic.step(self.clock.now(), input) {
                if let Command::Forget(pod) = &command {
                    gone.push(*pod);
                }
                rest.extend(self.unsaved.gather(command));
            }
            taken += 1;
            next = if taken < BATCH { self.receive.at_once() } else { None };
        }
        let of_packets = |c: &Command| matches!(c, Command::Network(_) | Command::Ingresses(_));
        let (packets, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(of_packets);
        for command in packets {
            self.begin(command).await;
        }
        if !self.unsaved.is_empty() {
            self.save().await?;
        }
        for pod in gone {
            self.worker.plane.forget(pod).await;
        }
        for command in rest {
            self.begin(command).await;
        }
        self.write();
        Ok(())
    }

    pub(super) async fn begin(&mut self, command: Command) {
        match command {
            Command::Run { op, pod, work } if !self.stopping => {
                let (worker, send) = (self.worker.clone(), self.send.clone());
                self.tasks.spawn(async move {
                    let work = AssertUnwindSafe(worker.run(pod, work)).catch_unwind();
                    let result = work.await.unwrap_or_else(|_| {
                        Err(Failure::Internal("the work was cut off by a fault of the agent".into()))
                    });
                    // The loop is gone only at the agent's end.
                    let _ = send.send(Input::Done { op, result }).await;
                });
            }
            Command::List { op } if !self.stopping => {
                let (worker, selector, send) = (self.worker.clone(), self.selector.clone(), self.send.clone());
                self.tasks.spawn(async move {
                    let result = worker.list(&selector).await;
                    let _ = send.send(Input::Listing { op, result }).await;
                });
            }
            Command::Reconnect { reason } => {
                tracing::info!(reason, "the session is opened anew");
                self.session.cut(&reason);
            }
            Command::KeepImages(images) => {
                self.keep.send_replace(Some(images));
            }
            // One after the other, as they came.
            Command::Network(update) => {
                self.ingress.network(&update);
                self.worker.plane.update(update).await;
            }
            Command::Ingresses(update) => self.ingress.update(&update),
            // Nothing is begun while stopping; the journal's kinds were gathered.
            Command::Run { .. }
            | Command::List { .. }
            | Command::Persist(_)
            | Command::Forget(_)
            | Command::PersistAgent(_) => {}
        }
    }

    /// Waits for work under way, so that what it made is in the journal.
    async fn drain(mut self) -> Result<(), DriverError> {
        self.stopping = true;
        self.tasks.close();
        let end = tokio::time::Instant::now() + DRAIN;
        loop {
            tokio::select! {
                biased;
                Some(input) = self.receive.recv() => {
                    if matches!(input, Input::Done { .. }) {
                        self.take(input).await?;
                    }
                }
                () = self.tasks.wait() => return Ok(()),
                () = tokio::time::sleep_until(end) => return Ok(()),
            }
        }
    }
}

/// Keeps the file that says whether there is a session, and tells the network when one has ended.
fn follow_session(side: &CancellationToken, file: PathBuf, state: watch::Receiver<SessionState>, plane: Plane) {
    tokio::spawn(side.clone().run_until_cancelled_owned(tell_away(state.clone(), plane)));
    tokio::spawn(side.clone().run_until_cancelled_owned(keep_file(file, state)));
}

/// Tells the network when a session has ended.
async fn tell_away(mut state: watch::Receiver<SessionState>, plane: Plane) {
    while state.changed().await.is_ok() {
        let away = matches!(&*state.borrow_and_update(), SessionState::Away { .. });
        if away {
            plane.away().await;
        }
    }
}

/// Tells what others did to the node's network.
async fn tell_drifts(mut drifts: mpsc::Receiver<plane::Drift>, send: mpsc::Sender<Input>) {
    while let Some(plane::Drift { message }) = drifts.recv().await {
        if send.send(Input::NetworkDrift { message }).await.is_err() {
            return;
        }
    }
}

/// Tells how far the node is with what the server says.
fn follow_reached(
    side: &CancellationToken,
    applied: watch::Receiver<u64>,
    served: watch::Receiver<u64>,
    send: &mpsc::Sender<Input>,
) {
    let applied = tell(applied, |number| Input::NetworkApplied { number }, send.clone());
    let served = tell(served, |number| Input::IngressesServed { number }, send.clone());
    tokio::spawn(side.clone().run_until_cancelled_owned(applied));
    tokio::spawn(side.clone().run_until_cancelled_owned(served));
}

async fn tell(mut reached: watch::Receiver<u64>, input: fn(u64) -> Input, send: mpsc::Sender<Input>) {
    while reached.changed().await.is_ok() {
        let number = *reached.borrow_and_update();
        if send.send(input(number)).await.is_err() {
            return;
        }
    }
}

async fn clean_images<R: Runtime>(
    worker: Arc<Worker<R>>,
    mut engine: watch::Receiver<Option<Disk>>,
    keep: watch::Receiver<Option<Arc<[String]>>>,
) {
    let mut interval = tokio::time::interval(CLEAN_UP);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            // A disk that became short does not wait.
            changed = engine.changed() => if changed.is_err() { return },
        }
        let disk = engine.borrow_and_update().clone();
        // Until the server has said what to keep, everything is kept.
        let keep = keep.borrow().clone();
        if let (Some(disk), Some(keep)) = (disk, keep)
            && let Err(error) = worker.images.clean_up(&disk.engine.root_dir, &keep, disk.short).await
        {
            tracing::warn!(%error, "cannot clean up images");
        }
    }
}
