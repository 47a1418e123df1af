//! The conductor's time: the wall clock, which never goes back here.
//!
//! It runs on the monotonic clock and follows the wall clock only forwards: after a sleep of the
//! machine, or when a clock that was behind is set right. A jump is noticed by the conductor as a
//! pause. A wall clock that is set back is followed only by the next start.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use evenkeel_model::Time;

/// Differences below this are left to the monotonic clock.
const SLACK: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub(crate) struct Clock {
    base: Time,
    since: Instant,
}

/// The wall clock.
pub(crate) fn wall() -> Time {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { base: wall(), since: Instant::now() }
    }

    pub(crate) fn now(&mut self) -> Time {
        let now = self.base + self.since.elapsed();
        let wall = wall();
        if wall.since(now) > SLACK {
            *self = Self { base: wall, since: Instant::now() };
            return wall;
        }
        now
    }
}
