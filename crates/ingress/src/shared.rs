//! What all connections of a node share.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Settings, members::Ill, pool::Pool, state::State};

/// Shared by all connections.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) state: State,
    pub(crate) pool: Arc<Pool>,
    pub(crate) ill: Ill,
    /// Connections of clients and those that went over to another protocol.
    pub(crate) tasks: TaskTracker,
    /// Connections take no new request.
    pub(crate) closing: CancellationToken,
    /// Connections end whatever they carry.
    pub(crate) end: CancellationToken,
    https: RwLock<Option<SocketAddr>>,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: State::default(),
            pool: Arc::default(),
            ill: Ill::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            end: CancellationToken::new(),
            https: RwLock::new(None),
        }
    }

    /// Where TLS is served at the moment.
    pub(crate) fn https_port(&self) -> Option<u16> {
        self.https.read().unwrap_or_else(PoisonError::into_inner).map(|a| a.port())
    }

    pub(crate) fn https_at(&self, at: Option<SocketAddr>) {
        *self.https.write().unwrap_or_else(PoisonError::into_inner) = at;
    }
}
