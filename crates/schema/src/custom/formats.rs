//! Formats of text that Kubernetes checks. An unknown one says nothing, as there.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use evenkeel_model::Time;

/// Whether a text has a format.
pub(super) fn fits(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => Time::parse_rfc3339(text).is_some(),
        "date" => Time::parse_rfc3339(&alloc::format!("{text}T00:00:00Z")).is_some() && text.len() == 10,
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => cidr(text),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => uuid(text),
        "byte" => evenkeel_model::base64::decode(text).is_some(),
        "hostname" => hostname(text),
        "email" => text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && hostname(host)),
        "uri" => uri(text),
        "duration" => duration(text),
        "mac" => mac(text),
        _ => true,
    }
}

fn cidr(text: &str) -> bool {
    let Some((ip, bits)) = text.split_once('/') else { return false };
    let most = match ip.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|b| b <= most)
}

fn uuid(text: &str) -> bool {
    let plain = text.chars().filter(|c| *c != '-').count();
    plain == 32 && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

fn hostname(text: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= 253 && text.trim_end_matches('.').split('.').all(label)
}

/// As Go's `url.ParseRequestURI`: absolute, or a path from the root.
fn uri(text: &str) -> bool {
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let scheme_is = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    scheme_is && !rest.is_empty() && !text.contains(char::is_whitespace)
}

/// As Go writes durations: `1h30m`, `1.5s`; and whole words of one unit, as `3 days`.
fn duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        if digits == 0 || rest[..digits].parse::<f64>().is_err() {
            return false;
        }
        rest = rest[digits..].trim_start();
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let known = [
            "ns", "us", "µs", "ms", "s", "m", "h", "d", "w", "sec", "secs", "second", "seconds", "min", "mins",
            "minute", "minutes", "hr", "hrs", "hour", "hours", "day", "days", "wk", "week", "weeks",
        ];
        if !known.contains(&rest[..unit].trim_end()) {
            return false;
        }
        rest = &rest[unit..];
    }
    true
}

fn mac(text: &str) -> bool {
    let parts = text.split([':', '-']);
    parts.clone().count() == 6 && parts.into_iter().all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_take_what_they_name() {
        for (format, good, bad) in [
            ("date-time", "2026-01-02T03:04:05Z", "2026-01-02"),
            ("date", "2026-01-02", "2026-13-02"),
            ("ipv4", "10.0.0.1", "10.0.0"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("uuid", "00000000-0000-4000-8000-000000000001", "x"),
            ("duration", "1h30m", "1x"),
            ("uri", "https://example.com/a", "no uri"),
            ("hostname", "a.example.com", "a_b"),
            ("email", "a@example.com", "a"),
        ] {
            assert!(fits(format, good), "{format} {good}");
            assert!(!fits(format, bad), "{format} {bad}");
        }
        assert!(fits("unheard-of", "anything"));
    }
}
