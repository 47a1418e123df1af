//! When what is known of the network comes to the disk, and what may be said once it is there.
//!
//! A disk that others keep busy takes seconds for a line, so packets never wait for it: the kernel follows
//! a change first, the change is then added to the file of changes beside the task's turns, and only then
//! said to be followed, for an agent that is killed must not lead anybody to an endpoint whose end it had
//! said to follow. Some moments later all of it is written as a whole, which costs what there is. Only how
//! the network is laid out is on the disk before the kernel has it: by that file it is taken away again.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use evenkeel_model::net::NetworkUpdate;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{
    known::{self, Known},
    task::LOOK,
};

/// What is known is written down as a whole this long after it changed: changes come in crowds.
const SAVE: Duration = Duration::from_secs(2);
/// Changes that wait for a disk that hangs; beyond that the whole is written instead.
const FRESH: usize = 1024;

type Work = JoinHandle<io::Result<()>>;

/// What came of a wait.
pub(super) enum Turn {
    /// The whole is to be written: [`Keeper::begin`].
    Write,
    /// Something came to an end, and with it what was followed up to a number is kept.
    Done(Option<u64>),
}

/// What is done to the file of changes, one thing at a time.
enum Small {
    /// Changes are added, after which a number is kept.
    Append(Work, Option<u64>),
    /// They are set aside, for they are in what is written next, with which a number is kept.
    Aside(Work, Box<Known>, Option<u64>),
}

/// What is to be written, and what is being written.
pub(super) struct Keeper {
    path: PathBuf,
    /// Changes that are on no disk yet, and whether a power loss may not take them.
    fresh: Vec<Arc<NetworkUpdate>>,
    sync: bool,
    /// The last number that the kernel follows, until it is kept.
    reached: Option<u64>,
    /// One whose changes were not added: it is kept with the next whole.
    with_whole: Option<u64>,
    /// Whether changes are left to the next whole.
    skips: bool,
    /// Whether the kernel waits for the next whole.
    first: bool,
    /// When the whole is written, if it changed.
    at: Option<Instant>,
    small: Option<Small>,
    whole: Option<(Work, Option<u64>)>,
}

impl Keeper {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            fresh: Vec::new(),
            sync: false,
            reached: None,
            with_whole: None,
            skips: false,
            first: false,
            at: None,
            small: None,
            whole: None,
        }
    }

    /// Takes a change that is to be kept. `sync`: also over a loss of power, after which this node may
    /// start pods before its server is back.
    pub(super) fn take(&mut self, update: Arc<NetworkUpdate>, sync: bool) {
        self.fresh.push(update);
        self.sync |= sync;
        if self.fresh.len() > FRESH {
            self.skips = true;
            self.soon(Duration::ZERO);
        }
        if self.skips {
            self.fresh.clear();
        }
    }

    /// The whole is to be written within so long.
    pub(super) fn soon(&mut self, within: Duration) {
        let at = Instant::now() + within;
        self.at = Some(self.at.map_or(at, |before| before.min(at)));
    }

    /// The kernel follows all that was taken.
    pub(super) fn reached(&mut self, number: u64) {
        self.reached = Some(number);
    }

    /// Begins to add what was taken, unless something is being added; [`Keeper::turn`] goes on. Gives the
    /// number that is kept already, because nothing has to be added for it.
    pub(super) fn keep(&mut self) -> Option<u64> {
        if self.skips {
            self.with_whole = self.reached.take().or(self.with_whole);
            return None;
        }
        if self.small.is_some() {
            return None;
        }
        if self.fresh.is_empty() {
            return self.reached.take();
        }
        let (fresh, sync) = (std::mem::take(&mut self.fresh), std::mem::take(&mut self.sync));
        self.soon(SAVE);
        let path = self.path.clone();
        let work = tokio::task::spawn_blocking(move || known::append(&path, &fresh, sync));
        self.small = Some(Small::Append(work, self.reached.take()));
        None
    }

    /// Waits for something to happen. May be given up at any time.
    pub(super) async fn turn(&mut self) -> Turn {
        let at = self.at.filter(|_| self.small.is_none() && self.whole.is_none());
        tokio::select! {
            result = ended(self.small.as_mut().map(Small::work)) => Turn::Done(self.small_ended(result)),
            result = ended(self.whole.as_mut().map(|(work, _)| work)) => {
                let number = self.whole.take().and_then(|(_, number)| number);
                Turn::Done(self.whole_ended(result, number))
            }
            () = sleep_until(at.unwrap_or_else(Instant::now)), if at.is_some() => Turn::Write,
        }
    }

    /// Begins to write the whole. What changes meanwhile is not in it, and kept as a change.
    pub(super) fn begin(&mut self, known: &Known) {
        self.at = None;
        self.skips = false;
        self.first = false;
        let path = self.path.clone();
        let work = tokio::task::spawn_blocking(move || known::set_aside(&path));
        self.small = Some(Small::Aside(work, Box::new(known.clone()), self.with_whole.take()));
    }

    /// How the network is laid out changed: the whole comes first.
    pub(super) fn lay_out(&mut self) {
        self.first = true;
    }

    /// Writes the whole, and waits for that, if the kernel is to. Gives a number that is kept now.
    pub(super) async fn first(&mut self, known: &Known) -> Option<u64> {
        if self.first { self.write(known).await } else { None }
    }

    async fn write(&mut self, known: &Known) -> Option<u64> {
        self.soon(Duration::ZERO);
        let mut kept = None;
        let mut begun = false;
        // What is under way first.
        while !begun || self.small.is_some() || self.whole.is_some() {
            match self.turn().await {
                Turn::Done(number) => kept = number.or(kept),
                Turn::Write => {
                    self.begin(known);
                    begun = true;
                }
            }
        }
        kept
    }

    /// Brings everything to the disk: the agent ends.
    pub(super) async fn end(&mut self, known: &Known) {
        if self.at.is_some() || self.small.is_some() || self.whole.is_some() {
            self.write(known).await;
        }
    }

    fn small_ended(&mut self, result: io::Result<()>) -> Option<u64> {
        match (self.small.take()?, result) {
            (Small::Append(_, number), Ok(())) => number,
            (Small::Append(_, number), Err(error)) => {
                tracing::debug!(%error, "changes of the network could not be kept; all of it is written instead");
                self.with_whole = number.or(self.with_whole);
                self.soon(Duration::ZERO);
                None
            }
            (Small::Aside(_, mut known, number), Ok(())) => {
                let path = self.path.clone();
                self.whole = Some((tokio::task::spawn_blocking(move || known.write(&path)), number));
                None
            }
            (Small::Aside(_, _, number), Err(error)) => self.whole_ended(Err(error), number),
        }
    }

    /// A disk that refuses holds no rollout up: what is followed is said to be so in any case.
    fn whole_ended(&mut self, result: io::Result<()>, number: Option<u64>) -> Option<u64> {
        if let Err(error) = result {
            tracing::warn!(%error, "what is known of the network could not be kept");
            self.at = Some(Instant::now() + LOOK);
        }
        number
    }
}

impl Small {
    fn work(&mut self) -> &mut Work {
        match self {
            Self::Append(work, _) | Self::Aside(work, ..) => work,
        }
    }
}

/// Waits for work off the runtime's threads; for ever where there is none.
async fn ended(work: Option<&mut Work>) -> io::Result<()> {
    match work {
        Some(work) => work.await.unwrap_or_else(|e| Err(io::Error::other(e))),
        None => std::future::pending().await,
    }
}
