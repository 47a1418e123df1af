//! Durations as a Source's `spec` writes them: `30s`, `5m`, `1h 30m`, as humantime does.
//!
//! Deliberately not here: checking them (the schema refuses a bad one when the Source is written).

use core::time::Duration;

/// Reads a duration; `None` if it is none.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    let mut any = false;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let millis = match &rest[..letters] {
            "ms" | "msec" | "millis" => 1,
            "s" | "sec" | "secs" | "second" | "seconds" => 1000,
            "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
            "h" | "hr" | "hour" | "hours" => 3_600_000,
            "d" | "day" | "days" => 86_400_000,
            "w" | "week" | "weeks" => 604_800_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(millis)?))?;
        any = true;
        rest = rest[letters..].trim_start();
    }
    any.then_some(total)
}

/// Reads an optional duration with a default.
pub(crate) fn or(text: Option<&str>, default: Duration) -> Duration {
    text.and_then(parse).unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_as_humantime() {
        for (text, secs) in [("30s", Some(30)), ("5m", Some(300)), ("1h 30m", Some(5400)), ("1h30m", Some(5400))] {
            assert_eq!(parse(text), secs.map(Duration::from_secs), "{text}");
        }
        for bad in ["", "5", "m", "5x", "-1s", "99999999999999999999s"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
