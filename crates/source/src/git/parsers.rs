//! Parsing on other threads while the walk reads: a first look at a large repository is mostly
//! parsing.
//!
//! Used by `tree`, for one walk. A few files are parsed where they are read; from then on helpers
//! take what they can, and whatever finds their queue full is parsed by the reader itself, so that
//! nobody waits and memory stays bounded by the queue.

use std::{
    cell::{Cell, OnceCell},
    panic::resume_unwind,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use evenkeel_manifest::{FileParse, Options, parse_file};

/// So many files are parsed without helpers: a thread costs as much as some files.
const ALONE: usize = 16;
/// Most helpers: the reader is the limit beyond.
const MAX_HELPERS: usize = 3;
/// Jobs that wait, and how large a file may be for it: 32 MiB at most.
const QUEUE: usize = 128;
const MAX_QUEUED_BYTES: usize = 256 << 10;

/// Holds a file's parse once it is done: at the latest when [`Parsers::finish`] returns.
pub(super) type Slot = Arc<OnceLock<Arc<FileParse>>>;

struct Job {
    path: String,
    bytes: Vec<u8>,
    slot: Slot,
}

struct Team {
    jobs: SyncSender<Job>,
    threads: Vec<JoinHandle<()>>,
}

/// What parses the files of one walk.
pub(super) struct Parsers {
    options: Options,
    seen: Cell<usize>,
    team: OnceCell<Option<Team>>,
}

impl Parsers {
    pub(super) fn new(options: Options) -> Self {
        Self { options, seen: Cell::new(0), team: OnceCell::new() }
    }

    /// Parses a file, now or soon.
    pub(super) fn parse(&self, path: &str, bytes: &[u8]) -> Slot {
        let slot = Slot::default();
        self.seen.set(self.seen.get() + 1);
        if self.seen.get() > ALONE
            && bytes.len() <= MAX_QUEUED_BYTES
            && let Some(team) = self.team.get_or_init(|| Team::new(self.options))
        {
            let job = Job { path: path.into(), bytes: bytes.into(), slot: slot.clone() };
            if team.jobs.try_send(job).is_ok() {
                return slot;
            }
        }
        slot.get_or_init(|| Arc::new(parse_file(path, bytes, &self.options)));
        slot
    }

    /// Waits for all of them. A helper's panic goes on in the caller.
    pub(super) fn finish(self) {
        let Some(Some(Team { jobs, threads })) = self.team.into_inner() else { return };
        drop(jobs);
        for thread in threads {
            if let Err(panic) = thread.join() {
                resume_unwind(panic);
            }
        }
    }
}

impl Team {
    /// `None` on a machine with one core, or where no thread can be had.
    fn new(options: Options) -> Option<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let (jobs, queue) = sync_channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        let threads: Vec<JoinHandle<()>> = (1..cores.min(MAX_HELPERS + 1))
            .map_while(|_| {
                let queue = queue.clone();
                thread::Builder::new().name("parse".into()).spawn(move || help(&queue, options)).ok()
            })
            .collect();
        (!threads.is_empty()).then_some(Self { jobs, threads })
    }
}

/// Works until the walk has ended.
fn help(queue: &Mutex<Receiver<Job>>, options: Options) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { path, bytes, slot }) = next else { return };
        slot.get_or_init(|| Arc::new(parse_file(&path, &bytes, &options)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_parsed_as_if_alone() {
        let parsers = Parsers::new(Options::default());
        let text = |n: usize| {
            if n.is_multiple_of(7) {
                format!("kind: [{n}")
            } else {
                format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{n}, namespace: a}}\n")
            }
        };
        let slots: Vec<Slot> = (0..500).map(|n| parsers.parse(&format!("{n}.yaml"), text(n).as_bytes())).collect();
        parsers.finish();
        for (n, slot) in slots.iter().enumerate() {
            let alone = parse_file(&format!("{n}.yaml"), text(n).as_bytes(), &Options::default());
            assert_eq!(**slot.get().unwrap(), alone);
        }
    }
}
