//! The clocks of a simulated machine, against the simulation's own time: a wall clock that drifts and
//! jumps, and that of a process which follows it only forwards, as the server's does.

use std::time::Duration;

use evenkeel_model::Time;

const MILLION: i128 = 1_000_000;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct SimClock {
    /// How much faster than true time, in millionths.
    drift: i64,
    /// True time at which the wall clock stood at `wall`.
    anchor: Time,
    wall: Time,
    /// How far the process's clock is ahead of the wall clock, in milliseconds: what that one was set
    /// back since the process started.
    lead: i64,
}

impl SimClock {
    /// A clock that is right at `now`.
    pub fn new(now: Time, drift_ppm: i64) -> Self {
        Self { drift: drift_ppm, anchor: now, wall: now, lead: 0 }
    }

    fn rate(&self) -> i128 {
        MILLION + i128::from(self.drift)
    }

    /// What the wall clock shows.
    pub fn wall(&self, now: Time) -> Time {
        let passed = i128::from(now.0 - self.anchor.0) * self.rate() / MILLION;
        Time(self.wall.0 + i64::try_from(passed).unwrap_or(i64::MAX))
    }

    /// What the process takes for the time.
    pub fn process(&self, now: Time) -> Time {
        Time(self.wall(now).0 + self.lead)
    }

    /// When the process's clock will show this.
    pub fn when(&self, process: Time) -> Time {
        let ahead = i128::from(process.0.saturating_sub(self.lead).saturating_sub(self.wall.0)) * MILLION;
        let passed = ahead.div_euclid(self.rate()) + i128::from(ahead.rem_euclid(self.rate()) != 0);
        Time(self.anchor.0.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX)))
    }

    /// The wall clock is set, forwards or back.
    pub fn jump(&mut self, now: Time, by: Duration, back: bool) {
        let by = i64::try_from(by.as_millis()).unwrap_or(0);
        self.wall = self.wall(now);
        self.anchor = now;
        self.wall.0 += if back { -by } else { by };
        self.lead = if back { self.lead + by } else { (self.lead - by).max(0) };
    }

    /// The process starts, or sets its clock: it takes the wall clock as it is.
    pub fn follow_wall(&mut self) {
        self.lead = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processs_clock_never_goes_back_and_can_be_asked_when() {
        let mut clock = SimClock::new(Time(1_000_000), 30_000);
        assert_eq!(clock.wall(Time(1_100_000)), Time(1_103_000));
        clock.jump(Time(1_100_000), Duration::from_secs(50), true);
        assert_eq!(clock.wall(Time(1_100_000)), Time(1_053_000));
        assert_eq!(clock.process(Time(1_100_000)), Time(1_103_000));
        clock.jump(Time(1_100_000), Duration::from_secs(70), false);
        assert_eq!(clock.process(Time(1_100_000)), Time(1_123_000), "it follows forwards");
        clock.jump(Time(1_100_000), Duration::from_secs(9), true);
        for at in [1_100_000, 1_100_001, 1_234_567] {
            let shown = clock.process(Time(at));
            assert!(clock.when(shown) <= Time(at) && clock.process(clock.when(shown)) >= shown, "{at}");
        }
        clock.follow_wall();
        assert_eq!(clock.process(Time(1_100_000)), clock.wall(Time(1_100_000)));
    }
}
