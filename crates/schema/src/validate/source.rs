//! Evenkeel's own kind Source.

use serde_json::Value;

use super::{complaints::Complaints, list, names, pod, text};
use crate::path::Trail;

/// `Source.spec`.
pub(super) fn spec(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if !value.is_object() {
        return;
    }
    match (value["git"].is_object(), text(value, "directory")) {
        (false, None) => out.required(at, "one of git and directory"),
        (true, Some(_)) => out.forbidden(&at.field("directory"), "may not be set beside git"),
        (false, Some(directory)) if !directory.starts_with('/') => {
            out.invalid_str(&at.field("directory"), directory, "must be an absolute path");
        }
        _ => {}
    }
    git(&value["git"], &at.field("git"), out);
    if let Some(path) = text(value, "path")
        && let Some(why) = pod::inner_path(path)
    {
        out.invalid_str(&at.field("path"), path, &why);
    }
    for field in ["interval", "watchWindow"] {
        duration(&value[field], &at.field(field), out);
    }
    duration(&value["maxUnsettled"]["age"], &at.field("maxUnsettled").field("age"), out);
    let fraction = &value["massDelete"]["fraction"];
    if fraction.as_f64().is_some_and(|f| !(0.0..=1.0).contains(&f)) {
        out.invalid(&at.field("massDelete").field("fraction"), fraction, "must be between 0 and 1");
    }
    let ignored = at.field("ignoreDifferences");
    for (i, item) in list(value, "ignoreDifferences").iter().enumerate() {
        if let Some(kind) = text(item, "kind")
            && kind.parse::<evenkeel_model::Kind>().is_err()
            && !is_custom(kind)
        {
            let why = "no kind that a source can hold; a custom kind is written with its group, as Widget.example.com";
            out.invalid_str(&ignored.index(i).field("kind"), kind, why);
        }
    }
}

/// The name of a custom kind. Its definition may come later, with the source itself.
fn is_custom(kind: &str) -> bool {
    kind.split_once('.').is_some_and(|(kind, group)| {
        let capital = kind.starts_with(|c: char| c.is_ascii_uppercase());
        capital
            && kind.bytes().all(|b| b.is_ascii_alphanumeric())
            && names::dns_subdomain(group).is_none()
            && group.contains('.')
    })
}

fn git(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    let mut given = ["branch", "tag", "commit"].into_iter().filter(|f| text(value, f).is_some());
    let first = given.next();
    for more in given {
        let why = alloc::format!("may not be set beside {}", first.unwrap_or_default());
        out.forbidden(&at.field(more), &why);
    }
    if let Some(commit) = text(value, "commit")
        && !(commit.len() == 40 && commit.bytes().all(|c| c.is_ascii_hexdigit()))
    {
        out.invalid_str(&at.field("commit"), commit, "must be 40 hexadecimal digits");
    }
    if text(value, "tokenFile").is_some() && text(value, "passwordFile").is_some() {
        out.forbidden(&at.field("passwordFile"), "may not be set beside tokenFile");
    }
}

/// A duration as `90s` or `1h 30m`: numbers, each with a unit.
fn duration(value: &Value, at: &Trail<'_>, out: &mut Complaints) {
    if let Some(text) = value.as_str()
        && !is_duration(text)
    {
        out.invalid_str(at, text, "must be a duration, such as 30s, 5m or 1h 30m");
    }
}

fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 27] = [
        "ns", "nsec", "us", "usec", "ms", "msec", "millis", "s", "sec", "secs", "second", "seconds", "m", "min",
        "mins", "minute", "minutes", "h", "hr", "hrs", "hour", "hours", "d", "day", "days", "w", "week",
    ];
    let mut rest = text.trim();
    let mut parts = 0;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(unit_at);
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        if number.is_empty() || number.len() > 15 || !UNITS.contains(&unit) {
            return false;
        }
        parts += 1;
        rest = next.trim_start();
    }
    parts > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        for good in ["30s", "5m", "1h 30m", "90 s", "1h30m"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "30", "s", "5x", "-5s", "1.5h"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }
}
