//! The clock of the agent's logic: monotonic time, set to the wall clock wherever the two part. A
//! sleep of the machine and a wall clock that is set are such jumps, in either direction; the logic
//! is told by how much, so that its waits keep their length and its records show the wall's time.

use std::time::{Duration, Instant};

use evenkeel_model::Time;

use super::clock;

/// Differences up to this are left: a clock that is slewed does not jump. Conditions' times are off
/// by no more than this.
const SLACK_MILLIS: u64 = 2000;

/// See the module.
pub(super) struct Steady {
    start: Instant,
    base: Base,
}

/// What the wall clock showed at the start, as far as is known by now.
struct Base(Time);

impl Base {
    /// By how many milliseconds the wall clock has moved against the time that ran since the start.
    fn moved(&mut self, wall: Time, elapsed: Duration) -> Option<i64> {
        let by = wall.0.saturating_sub((self.0 + elapsed).0);
        if by.unsigned_abs() <= SLACK_MILLIS {
            return None;
        }
        self.0 = Time(self.0.0.saturating_add(by));
        Some(by)
    }
}

impl Steady {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), base: Base(clock()) }
    }

    pub(super) fn now(&self) -> Time {
        self.base.0 + self.start.elapsed()
    }

    /// Follows the wall clock; gives by how many milliseconds it jumped, if it did.
    pub(super) fn follow(&mut self) -> Option<i64> {
        self.base.moved(clock(), self.start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_followed_both_ways_and_only_where_it_jumps() {
        let mut base = Base(Time(1_000_000));
        let secs = Duration::from_secs;
        assert_eq!(base.moved(Time(1_010_000), secs(10)), None);
        assert_eq!(base.moved(Time(1_012_000), secs(10)), None, "slewed");
        // The machine slept for an hour: monotonic time stood still.
        assert_eq!(base.moved(Time(4_610_000), secs(10)), Some(3_600_000));
        assert_eq!(base.moved(Time(4_620_000), secs(20)), None);
        // The clock is set back.
        assert_eq!(base.moved(Time(1_000_000), secs(20)), Some(-3_620_000));
        assert_eq!(base.0 + secs(20), Time(1_000_000));
    }
}
