//! The Kubernetes API over the published state.
pub mod backend;
pub mod live;

pub use backend::{AskError, Backend, Health, Later, LogError, LogRequest, LogStream, SnapshotError};
pub use live::{Live, WatchEvent};
