//! The conductor's time: the wall clock, which never goes back here.
//!
//! It runs on the monotonic clock and follows the wall clock only forwards: after a sleep of the
//! machine, or when a clock that was behind is set right. A jump is noticed by the conductor as a
//! pause. A wall clock that is set back is followed only by the next start.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use evenkeel_model::Time;

/// Differences below this are left to the monotonic clock.
const SLACK: Duration = Duration::from_secs(2);

/// How often the conductor's thread looks at the clock where nothing else wakes it, so that a gap
/// is known for one: below half of the pause that counts.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Notices that this process did not run: that it was stopped, its machine slept or was paused, or
/// the clock was set forward. What nobody watched counts for nobody's silence.
#[derive(Debug)]
pub(super) struct Watch {
    limit: Duration,
    last: Option<Time>,
    gap: Option<Duration>,
}

impl Watch {
    /// A gap is what is longer than `limit`.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, last: None, gap: None }
    }

    /// Looks at the clock, at least every [`LOOK_EVERY`]. Whether there is a gap that nobody was told.
    pub(super) fn look(&mut self, now: Time) -> bool {
        let gap = self.last.replace(now).map(|last| now.since(last)).filter(|gap| *gap > self.limit);
        self.gap = self.gap.max(gap);
        self.gap.is_some()
    }

    /// Takes the gap, if there was one.
    pub(super) fn gap(&mut self, now: Time) -> Option<Duration> {
        self.look(now);
        self.gap.take()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_noticed_once_wherever_it_falls() {
        let at = |millis: i64| Time(1_000_000 + millis);
        let mut watch = Watch::new(Duration::from_secs(5));
        assert!(!watch.look(at(0)));
        assert!(!watch.look(at(2000)) && !watch.look(at(7000)), "5 s are none");
        assert_eq!(watch.gap(at(7001)), None);
        // While it waited for messages.
        assert!(watch.look(at(12_002)));
        assert_eq!(watch.gap(at(12_010)), Some(Duration::from_millis(5001)));
        assert_eq!(watch.gap(at(12_020)), None, "told once");
        // Between its wait and the step: the longest counts.
        assert!(watch.look(at(20_000)));
        assert_eq!(watch.gap(at(80_000)), Some(Duration::from_mins(1)));
        assert!(!watch.look(at(82_000)));
    }
}
