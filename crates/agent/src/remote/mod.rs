//! A server on another machine: who this node is to it, and the connections to it.
//!
//! `evenkeel agent` joins once ([`join`]), then gives the driver a [`Dialer`], which opens sessions,
//! and runs [`renewal`] beside it. One connection carries the session, a second one streams
//! (`streams`). Deliberately not here: what is said in a session.

mod connect;
mod dialer;
mod identity;
mod join;
mod renew;
mod session;
mod streams;
mod tls;
mod tokens;

use std::sync::{Arc, PoisonError, RwLock};

use evenkeel_wire::stream::{CallerEnd, StreamRequest};
use thiserror::Error;

pub use connect::ServerAddress;
pub use dialer::Dialer;
pub use identity::{Identity, IdentityStore};
pub use join::{JoinFailure, JoinOptions, Token, join};
pub use renew::renewal;
pub use tokens::tokens;

use crate::driver::JournalError;

/// Serves a stream's request: [`crate::driver::Streams::open`] of the node's runtime.
pub type Serve = Arc<dyn Fn(StreamRequest) -> CallerEnd + Send + Sync>;

/// The identity in force. A renewal puts the next one in its place; the next dial uses it.
#[derive(Debug, Clone)]
pub struct Current {
    held: Arc<RwLock<Arc<Identity>>>,
    store: Arc<IdentityStore>,
    /// Wakes the renewal: another CA signs now.
    renew: Arc<tokio::sync::Notify>,
}

impl Current {
    /// Begins with what was read from disk or got by joining.
    pub fn new(identity: Identity, store: IdentityStore) -> Self {
        Self {
            held: Arc::new(RwLock::new(Arc::new(identity))),
            store: Arc::new(store),
            renew: Arc::new(tokio::sync::Notify::new()),
        }
    }

    /// What is in force.
    pub fn get(&self) -> Arc<Identity> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another one into force; on disk when this returns.
    async fn replace(&self, next: Identity) -> Result<(), JournalError> {
        let (store, kept) = (self.store.clone(), next.clone());
        let kept = tokio::task::spawn_blocking(move || store.keep(&kept)).await;
        kept.map_err(|e| JournalError::Random(e.to_string()))??;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(())
    }

    /// Takes the CAs that the server names. Where its first, the one that signs, is new, the
    /// certificate is renewed soon.
    async fn trust(&self, pem: &str) -> Result<(), JournalError> {
        let now = self.get();
        if pem.is_empty() || now.trust_pem == pem {
            return Ok(());
        }
        self.replace(Identity { trust_pem: pem.to_owned(), ..Identity::clone(&now) }).await?;
        self.renew.notify_one();
        Ok(())
    }
}

/// A connection to the server could not be made or used.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// The address leads nowhere.
    #[error("cannot reach the server at {address}")]
    Unreachable {
        /// As given.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It takes too long.
    #[error("the server at {address} did not answer within {seconds} s")]
    Slow {
        /// As given.
        address: String,
        /// The limit.
        seconds: u64,
    },
    /// TLS refused, in words that say what to do.
    #[error("no secure connection with the server at {address}: {reason}")]
    Tls {
        /// As given.
        address: String,
        /// For people.
        reason: String,
    },
    /// The keys on disk cannot be used.
    #[error("this node's key and certificate cannot be used: {0}")]
    Keys(String),
    /// HTTP failed below a call.
    #[error("the connection with the server at {address} failed: {reason}")]
    Http {
        /// As given.
        address: String,
        /// Why.
        reason: String,
    },
    /// The server said no.
    #[error("{0}")]
    Refused(String),
}
