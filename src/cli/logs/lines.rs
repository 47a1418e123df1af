//! The place in one container's log, kept by the time stamps of its lines.
//!
//! Lines are asked for with their times, also where these are not shown: a stream that is opened
//! anew begins at the second of the last line, and what was shown already is left out. Pure.

use std::time::Duration;

use evenkeel_model::Time;

/// Lines of one very time that are remembered at most: an engine's times have nanoseconds.
const AT_LAST: usize = 256;

/// How far a log was read.
#[derive(Debug, Default, Clone)]
pub(super) struct Place {
    /// The time stamp of the last line.
    last: String,
    /// The lines of that very time.
    at_last: Vec<Vec<u8>>,
    /// Whether what comes may be a repetition.
    again: bool,
}

impl Place {
    /// From when to read on; `None` where nothing was read yet.
    pub(super) fn resume(&mut self) -> Option<Time> {
        self.again = !self.last.is_empty();
        Time::parse_rfc3339(&self.last)
    }

    /// The time stamp of the last line; empty where nothing was read yet.
    pub(super) fn at(&self) -> &str {
        &self.last
    }

    /// Takes a line with its time; gives it back unless it was seen before.
    pub(super) fn take<'a>(&mut self, line: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let split = line.iter().position(|b| *b == b' ').filter(|at| is_time(&line[..*at]));
        // A line without a time is a part of the one before it.
        let Some(at) = split else { return Some((&[], line)) };
        let (stamp, rest) = (&line[..at], &line[at + 1..]);
        let time = String::from_utf8_lossy(stamp);
        let order = order(&time).cmp(&order(&self.last));
        if self.again && (order.is_lt() || order.is_eq() && self.at_last.iter().any(|l| l == rest)) {
            return None;
        }
        if order.is_ne() {
            self.last = time.into_owned();
            self.at_last.clear();
            self.again = false;
        }
        if self.at_last.len() < AT_LAST {
            self.at_last.push(rest.to_vec());
        }
        Some((stamp, rest))
    }
}

/// Whether a word is a time stamp, as `2026-01-01T12:00:00.123456789Z`.
fn is_time(word: &[u8]) -> bool {
    std::str::from_utf8(word).is_ok_and(|w| w.len() >= 20 && Time::parse_rfc3339(w).is_some())
}

/// A time stamp in a form whose order as text is that of time: trailing zeros of a fraction are
/// left out by engines.
fn order(time: &str) -> (String, String) {
    let time = time.trim_end_matches('Z');
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    (seconds.to_owned(), format!("{fraction:0<9}"))
}

/// How long to wait before a stream is opened anew, after so many failures in a row: doubled from
/// a half second to ten.
pub(super) fn pause(failures: u32) -> Duration {
    Duration::from_millis(500 << failures.min(5)).min(Duration::from_secs(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(place: &mut Place, lines: &[&str]) -> Vec<String> {
        let taken = lines.iter().filter_map(|l| place.take(l.as_bytes()).map(|(_, rest)| rest.to_vec()));
        taken.map(|l| String::from_utf8(l).unwrap()).collect()
    }

    #[test]
    fn a_log_is_read_on_without_a_line_twice() {
        let mut place = Place::default();
        assert_eq!(place.resume(), None);
        let first = ["2026-01-01T12:00:00.1Z a", "2026-01-01T12:00:00.12Z b", "2026-01-01T12:00:00.12Z b"];
        // What is the same twice in one stream was printed twice.
        assert_eq!(shown(&mut place, &first), ["a", "b", "b"]);
        assert_eq!(place.resume().map(Time::rfc3339).as_deref(), Some("2026-01-01T12:00:00Z"));
        let second = [
            "2026-01-01T12:00:00.05Z before",
            "2026-01-01T12:00:00.1Z a",
            "2026-01-01T12:00:00.12Z b",
            "2026-01-01T12:00:00.12Z b",
            "2026-01-01T12:00:00.12Z c",
            "2026-01-01T12:00:00.120000001Z d",
            "2026-01-01T12:00:00.120000001Z d",
        ];
        assert_eq!(shown(&mut place, &second), ["c", "d", "d"]);
    }

    #[test]
    fn what_has_no_time_is_passed_on() {
        let mut place = Place::default();
        assert_eq!(place.take(b"hello you"), Some((&b""[..], &b"hello you"[..])));
        assert_eq!(place.take(b"2026-01-01T12:00:00Z "), Some((&b"2026-01-01T12:00:00Z"[..], &b""[..])));
        assert_eq!(pause(0), Duration::from_millis(500));
        assert_eq!(pause(40), Duration::from_secs(10));
    }
}
