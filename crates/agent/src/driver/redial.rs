//! How long to wait before a session is dialled again: chance over a window that doubles with each
//! failure, so that a thousand agents that lost one server do not come back at one moment. Used by
//! `session`, where the chance itself comes from, and by the simulation.

use std::time::Duration;

/// The first window. All agents of a server that was started again come back within it: a thousand
/// of them are a thousand handshakes a second.
const FIRST: Duration = Duration::from_secs(1);
/// Longest window: a server that is back after hours is found within this.
const MAX: Duration = Duration::from_secs(15);
/// Least wait, so that chance never makes a loop without one.
const LEAST: Duration = Duration::from_millis(50);

/// The window, and how often in a row no session came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redial {
    /// Zero: at once, as in the agent's first try.
    window: Duration,
    failures: u32,
}

impl Redial {
    /// A try failed. True if that is to be said aloud: the first of a row, and each time their number
    /// has doubled.
    pub fn failed(&mut self) -> bool {
        self.widen();
        self.failures = self.failures.saturating_add(1);
        self.failures.is_power_of_two()
    }

    /// A session was opened; gives how many tries had failed before.
    pub fn opened(&mut self) -> u32 {
        std::mem::take(&mut self.failures)
    }

    /// A session ended after so long. One that lived longer than the last window was a good one; a
    /// server that takes sessions and drops them is asked ever more seldom.
    pub fn ended(&mut self, lived: Duration) {
        if lived > self.window.max(FIRST) {
            self.window = FIRST;
        } else {
            self.widen();
        }
    }

    /// Tries in a row that failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The wait before the next try, by `chance` evenly over the whole window.
    pub fn wait(&self, chance: u64) -> Duration {
        if self.window.is_zero() {
            return Duration::ZERO;
        }
        let millis = u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(chance % (millis + 1)).max(LEAST)
    }

    fn widen(&mut self) {
        self.window = (self.window * 2).clamp(FIRST, MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_doubles_up_to_its_limit_and_a_session_that_lived_begins_it_anew() {
        let mut redial = Redial::default();
        assert_eq!(redial.wait(7), Duration::ZERO, "the first try is at once");
        let windows: Vec<u64> = (0..6)
            .map(|_| {
                redial.failed();
                redial.window.as_secs()
            })
            .collect();
        assert_eq!(windows, [1, 2, 4, 8, 15, 15]);
        assert_eq!((redial.opened(), redial.failures()), (6, 0));
        redial.ended(Duration::from_secs(15));
        assert_eq!(redial.window, MAX, "it lived no longer than the last window");
        redial.ended(Duration::from_millis(15_001));
        assert_eq!(redial.window, FIRST);
        for _ in 0..3 {
            redial.opened();
            redial.ended(Duration::from_millis(5));
        }
        assert_eq!(redial.window, Duration::from_secs(8), "sessions that die at once count as failures");
    }

    #[test]
    fn it_is_said_aloud_at_the_first_failure_and_at_each_doubling() {
        let mut redial = Redial::default();
        let said: Vec<u32> = (1..=40).filter(|_| redial.failed()).collect();
        assert_eq!(said, [1, 2, 4, 8, 16, 32]);
        redial.opened();
        assert!(redial.failed());
    }

    #[test]
    fn waits_fill_the_whole_window_and_are_never_none() {
        let mut redial = Redial::default();
        (0..4).for_each(|_| assert!(redial.failed() || redial.failures() == 3));
        assert_eq!((redial.wait(0), redial.wait(u64::MAX)), (LEAST, Duration::from_millis(u64::MAX % 8001)));
        let mut slots = [0_u32; 8];
        for chance in 0..8000_u64 {
            let wait = redial.wait(chance.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11);
            assert!(wait >= LEAST && wait <= Duration::from_secs(8), "{wait:?}");
            slots[usize::try_from(wait.as_millis() / 1001).unwrap()] += 1;
        }
        assert!(slots.iter().all(|n| (800..1200).contains(n)), "{slots:?}");
    }
}
