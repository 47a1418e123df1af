//! Points in time and spans of it.

use alloc::{format, string::String};

use evenkeel_model::Time;

use crate::cel::value::MILLI;

const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1000),
    ("\u{b5}s", 1000),
    ("\u{3bc}s", 1000),
    ("ms", MILLI),
    ("s", 1000 * MILLI),
    ("m", 60_000 * MILLI),
    ("h", 3_600_000 * MILLI),
];

/// Reads Go's form of a duration (`1h30m`), in nanoseconds.
pub(in crate::cel) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut all: i64 = 0;
    loop {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 9 {
            return None;
        }
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        all = all.checked_add(whole.checked_mul(*scale)?)?;
        if !fraction.is_empty() {
            let digits: i128 = fraction.parse::<i64>().ok()?.into();
            let part = digits * i128::from(*scale) / 10_i128.pow(u32::try_from(fraction.len()).ok()?);
            all = all.checked_add(i64::try_from(part).ok()?)?;
        }
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    Some(if negative { -all } else { all })
}

/// As cel-go writes it: in seconds.
pub(super) fn duration_text(nanos: i64) -> String {
    let (whole, part) = (nanos / (1000 * MILLI), (nanos % (1000 * MILLI)).unsigned_abs());
    if part == 0 {
        return format!("{whole}s");
    }
    let sign = if nanos < 0 && whole == 0 { "-" } else { "" };
    let digits = format!("{part:09}");
    format!("{sign}{whole}.{}s", digits.trim_end_matches('0'))
}

/// A part of a point in time, in UTC.
pub(super) fn part(name: &str, time: Time) -> Option<i64> {
    let milli = time.0;
    let (seconds, day) = (milli.div_euclid(1000), milli.div_euclid(86_400_000));
    let (year, month, date) = civil(day);
    Some(match name {
        "getFullYear" => year,
        "getMonth" => month - 1,
        "getDate" => date,
        "getDayOfMonth" => date - 1,
        // The first of January 1970 was a Thursday.
        "getDayOfWeek" => (day + 4).rem_euclid(7),
        "getDayOfYear" => day - days(year, 1, 1),
        "getHours" => seconds.div_euclid(3600).rem_euclid(24),
        "getMinutes" => seconds.div_euclid(60).rem_euclid(60),
        "getSeconds" => seconds.rem_euclid(60),
        "getMilliseconds" => milli.rem_euclid(1000),
        _ => return None,
    })
}

/// The day of the Gregorian calendar, from days since 1970: years are counted from March, so that the day that
/// a leap year has more is the last one.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, date)
}

/// Days since 1970 of a day.
fn days(year: i64, month: i64, date: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + date - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, nanos) in [
            ("1h30m", Some(5_400_000 * MILLI)),
            ("1.5s", Some(1500 * MILLI)),
            ("-2ms", Some(-2 * MILLI)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("1", None),
            ("1d", None),
            ("9999999999h", None),
        ] {
            assert_eq!(parse_duration(text), nanos, "{text}");
        }
        assert_eq!(duration_text(1500 * MILLI), "1.5s");
        assert_eq!(duration_text(-500 * MILLI), "-0.5s");
        assert_eq!(duration_text(3_600_000 * MILLI), "3600s");
    }

    #[test]
    fn the_calendar_is_right() {
        let time = Time::parse_rfc3339("2024-02-29T13:14:15.016Z").unwrap();
        for (name, expected) in [
            ("getFullYear", 2024),
            ("getMonth", 1),
            ("getDate", 29),
            ("getDayOfMonth", 28),
            ("getDayOfWeek", 4),
            ("getDayOfYear", 59),
            ("getHours", 13),
            ("getMinutes", 14),
            ("getSeconds", 15),
            ("getMilliseconds", 16),
        ] {
            assert_eq!(part(name, time), Some(expected), "{name}");
        }
        for text in ["1970-01-01T00:00:00Z", "1900-03-01T00:00:00Z", "2100-12-31T23:59:59Z"] {
            let time = Time::parse_rfc3339(text).unwrap();
            let (y, m, d) = civil(time.0.div_euclid(86_400_000));
            assert_eq!(format!("{y:04}-{m:02}-{d:02}"), text[..10]);
            assert_eq!(days(y, m, d), time.0.div_euclid(86_400_000));
        }
    }
}
