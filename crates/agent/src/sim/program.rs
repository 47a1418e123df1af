//! What simulated images contain: programs that run, crash, never get ready, cannot start.

use std::time::Duration;

/// A program's conduct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Ends by itself after this time with this code; the flag says for want of memory.
    pub ends: Option<(Duration, i32, bool)>,
    /// Its readiness and startup probes succeed from then on; never with `None`.
    pub ready_after: Option<Duration>,
    /// Its liveness probe fails from then on.
    pub sick_after: Option<Duration>,
    /// Ends so long after the stop signal; with `None` it ignores the signal.
    pub stops_after: Option<Duration>,
    /// Its command exists.
    pub startable: bool,
    /// The engine accepts its configuration.
    pub creatable: bool,
}

impl Program {
    /// Runs, gets ready at once, stops at once.
    pub fn good() -> Self {
        Self {
            ends: None,
            ready_after: Some(Duration::ZERO),
            sick_after: None,
            stops_after: Some(Duration::from_millis(20)),
            startable: true,
            creatable: true,
        }
    }

    /// Gets ready after a while.
    pub fn slow(ready_after: Duration) -> Self {
        Self { ready_after: Some(ready_after), ..Self::good() }
    }

    /// Ends by itself with this code.
    pub fn ends(after: Duration, code: i32) -> Self {
        Self { ends: Some((after, code, false)), ..Self::good() }
    }

    /// Runs and never gets ready.
    pub fn never_ready() -> Self {
        Self { ready_after: None, ..Self::good() }
    }

    /// Its command does not exist.
    pub fn cannot_start() -> Self {
        Self { startable: false, ..Self::good() }
    }

    /// The engine refuses to create it.
    pub fn cannot_create() -> Self {
        Self { creatable: false, ..Self::good() }
    }
}
