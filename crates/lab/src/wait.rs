//! Waits on conditions, each with a deadline. For all tests on real parts.
//!
//! Deliberately not here: waits for a time. A test that sleeps guesses.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a condition may take at most, on a slow machine under load.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until `check` gives something; panics with `what` after [`PATIENCE`].
pub fn eventually<T>(what: &str, check: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, check)
}

/// Waits until `check` gives something; panics with `what` after `limit`.
pub fn within<T>(limit: Duration, what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        pause();
    }
}

/// Holds for the whole time: `check` says what is wrong if it does not.
pub fn holds_for(time: Duration, mut check: impl FnMut() -> Result<(), String>) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if let Err(wrong) = check() {
            panic!("{wrong}");
        }
        pause();
    }
}

/// The step of all polling.
pub fn pause() {
    thread::sleep(Duration::from_millis(50));
}
