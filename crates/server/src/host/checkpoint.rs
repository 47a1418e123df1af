//! Moves the database's log into the database beside the conductor's loop, on a thread and a
//! connection of its own, so that no batch waits for it.
//!
//! The loop wishes for it; one wish waits at most. Where the thread cannot run, SQLite's own
//! checkpoint at a longer log is the net.

use std::{
    sync::mpsc::{SyncSender, sync_channel},
    thread::JoinHandle,
};

use evenkeel_store::Checkpointer;
use tracing::warn;

/// The thread; its end waits for the checkpoint under way.
#[derive(Debug)]
pub(super) struct Checkpoints {
    wishes: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    pub(super) fn start(mut checkpointer: Checkpointer) -> Self {
        let (wishes, inbox) = sync_channel(1);
        let work = move || {
            for () in inbox {
                if let Err(e) = checkpointer.run() {
                    warn!(error = %evenkeel_model::causes(&e), "the database could not be checkpointed; its log grows");
                }
            }
        };
        let thread = std::thread::Builder::new().name("checkpoint".into()).spawn(work);
        let thread = thread.inspect_err(|e| warn!(error = %e, "no thread for checkpoints")).ok();
        Self { wishes: Some(wishes), thread }
    }

    /// A checkpoint is due. One that waits already serves for both.
    pub(super) fn wish(&self) {
        if let Some(wishes) = &self.wishes {
            let _one_waits = wishes.try_send(());
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.wishes = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread of checkpoints ended badly");
        }
    }
}
