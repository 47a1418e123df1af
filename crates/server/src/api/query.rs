//! Query parameters of get, list and watch, checked.
//!
//! Called by `rest`. Unknown parameters are left alone, as Kubernetes does.

use std::time::Duration;

use axum::{extract::Query, http::Uri};
use evenkeel_model::{Selector, Version, labels::Requirement};
use evenkeel_schema::validate::{self, Cause};

use super::{options, select::Fields, status::Failure};

/// A watch ends by itself after this long, unless the client says less: connections do not pile up.
pub(crate) const WATCH_DEFAULT: Duration = Duration::from_hours(1);

/// All pairs of a query.
#[derive(Debug, Default)]
pub(crate) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Of a request.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Failure> {
        Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|q| Self(q.0))
            .map_err(|e| Failure::bad_request(format!("the query cannot be read: {e}")))
    }

    /// A value that is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, v)| k == name && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// All values of a name that may come more than once.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// A switch: `true`, `1`, or there without a value, as in Kubernetes.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.maybe_flag(name).unwrap_or(false)
    }

    /// A switch that may be absent.
    pub(crate) fn maybe_flag(&self, name: &str) -> Option<bool> {
        let off = |v: &str| v == "0" || v.eq_ignore_ascii_case("false");
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| !off(v))
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        self.get(name)
            .map(|v| v.parse().map_err(|_| Failure::bad_request(format!("{name}: `{v}` is not a number"))))
            .transpose()
    }
}

/// What `resourceVersion` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// Absent: the newest.
    Newest,
    /// `0`: any.
    Any,
    /// A number.
    Version(Version),
}

/// What `resourceVersionMatch` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// Absent.
    Free,
    /// Exactly that version.
    Exact,
    /// That version or a newer one.
    NotOlder,
}

/// What a table's rows carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    /// Only metadata.
    Metadata,
    /// Nothing.
    None,
    /// The whole object.
    Object,
}

/// The parameters of get, list and watch.
#[derive(Debug)]
pub(crate) struct Params {
    pub(crate) labels: Selector,
    pub(crate) fields: Fields,
    pub(crate) limit: Option<usize>,
    pub(crate) go_on: Option<String>,
    pub(crate) at: At,
    pub(crate) version_match: Match,
    pub(crate) watch: bool,
    pub(crate) bookmarks: bool,
    pub(crate) initial: Option<bool>,
    pub(crate) timeout: Duration,
    pub(crate) include: Include,
}

impl Params {
    /// Reads and checks them.
    pub(crate) fn read(pairs: &Pairs) -> Result<Self, Failure> {
        let labels = pairs.get("labelSelector").unwrap_or_default();
        let labels = Selector::parse(labels).map_err(|e| Failure::bad_request(e.to_string()))?;
        check_labels(&labels)?;
        let fields = Fields::parse(pairs.get("fieldSelector").unwrap_or_default()).map_err(Failure::bad_request)?;
        let at = match pairs.get("resourceVersion") {
            None => At::Newest,
            Some("0") => At::Any,
            Some(text) => At::Version(Version(text.parse().map_err(|_| {
                Failure::bad_request(format!("resourceVersion: Invalid value: \"{text}\": it is not a number"))
            })?)),
        };
        let version_match = match pairs.get("resourceVersionMatch") {
            Some("Exact") => Match::Exact,
            Some("NotOlderThan") => Match::NotOlder,
            // What else stands there was refused by `list_options`.
            _ => Match::Free,
        };
        let limit = pairs.number("limit")?.filter(|n| *n > 0).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        // As in Kubernetes: none is as long as the server likes, less is over at once.
        let timeout = pairs
            .number("timeoutSeconds")?
            .filter(|s| *s != 0)
            .map_or(WATCH_DEFAULT, |s| Duration::from_secs(u64::try_from(s).unwrap_or_default()).min(WATCH_DEFAULT));
        list_options(pairs)?;
        let go_on = pairs.get("continue");
        if go_on.is_some() && matches!(at, At::Version(_)) {
            return Err(Failure::bad_request("specifying resource version is not allowed when using continue"));
        }
        let include = match pairs.get("includeObject") {
            None | Some("Metadata") => Include::Metadata,
            Some("None") => Include::None,
            Some("Object") => Include::Object,
            Some(other) => return Err(Failure::bad_request(format!("includeObject: unknown value `{other}`"))),
        };
        Ok(Self {
            labels,
            fields,
            limit,
            go_on: go_on.map(Into::into),
            at,
            version_match,
            watch: pairs.flag("watch"),
            bookmarks: pairs.flag("allowWatchBookmarks"),
            initial: pairs.maybe_flag("sendInitialEvents"),
            timeout,
            include,
        })
    }
}

/// Refuses what no label can be.
fn check_labels(selector: &Selector) -> Result<(), Failure> {
    for requirement in &selector.0 {
        let (key, values) = match requirement {
            Requirement::In(key, values) | Requirement::NotIn(key, values) => (key, values.as_slice()),
            Requirement::Exists(key)
            | Requirement::Absent(key)
            | Requirement::Greater(key, _)
            | Requirement::Less(key, _) => (key, &[][..]),
        };
        let values = if values.is_empty() { &[String::new()][..] } else { values };
        if let Some(why) = values.iter().find_map(|value| validate::label(key, value)) {
            return Err(Failure::bad_request(format!("invalid label selector: {key}: {why}")));
        }
    }
    Ok(())
}

/// Checks `timeout`, which any request may have: a duration of Go's. How long the server takes is its own affair.
pub(crate) fn check_timeout(pairs: &Pairs) -> Result<(), Failure> {
    match pairs.get("timeout").filter(|text| !is_duration(text)) {
        Some(text) => {
            let message = format!("invalid timeout specified in the request URL - time: invalid duration {text:?}");
            Err(Failure::bad_request(message))
        }
        None => Ok(()),
    }
}

/// As `1h15m30.5s`, `-5s` or `0`.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let whole = !rest.is_empty();
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, after) = rest.split_at(number);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let known = ["ns", "us", "\u{b5}s", "\u{3bc}s", "ms", "s", "m", "h"].contains(&unit);
        if !known || !digits.contains(|c: char| c.is_ascii_digit()) || digits.matches('.').count() > 1 {
            return false;
        }
        rest = after;
    }
    whole
}

/// Which of these may stand beside each other: as in Kubernetes.
fn list_options(pairs: &Pairs) -> Result<(), Failure> {
    const MATCH: &str = "resourceVersionMatch";
    let (watch, initial) = (pairs.flag("watch"), pairs.maybe_flag("sendInitialEvents").is_some());
    let mut wrong = Vec::new();
    if watch && initial && pairs.get(MATCH) != Some("NotOlderThan") {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        wrong.push(Cause::forbidden(MATCH, why));
    }
    if let Some(found) = pairs.get(MATCH) {
        let (known, version) = (["Exact", "NotOlderThan", ""], pairs.get("resourceVersion"));
        let known = if watch { &known[1..2] } else { &known[..] };
        if watch && !initial {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            wrong.push(Cause::forbidden(MATCH, why));
        }
        if !watch && version.is_none() {
            let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            wrong.push(Cause::forbidden(MATCH, why));
        }
        if pairs.get("continue").is_some() {
            wrong.push(Cause::forbidden(MATCH, "resourceVersionMatch is forbidden when continue is provided"));
        }
        if !known.contains(&found) {
            wrong.push(Cause::unsupported(MATCH, found, known));
        }
        if !watch && found == "Exact" && version == Some("0") {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            wrong.push(Cause::forbidden(MATCH, why));
        }
    }
    if !watch && initial {
        wrong.push(Cause::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    options::judged("ListOptions", &wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Params, Failure> {
        Params::read(&Pairs::of(&format!("/x?{query}").parse().unwrap()).unwrap())
    }

    #[test]
    fn switches_and_numbers_are_read_as_kubernetes_does() {
        for (query, watch) in [("watch=True", true), ("watch", true), ("watch=False", false), ("watch=0", false)] {
            assert_eq!(read(query).unwrap().watch, watch, "{query}");
        }
        assert_eq!(read("limit=-1").unwrap().limit, None);
        assert_eq!(read("limit=7").unwrap().limit, Some(7));
        assert_eq!(read("timeoutSeconds=0").unwrap().timeout, WATCH_DEFAULT);
        assert_eq!(read("timeoutSeconds=-5").unwrap().timeout, Duration::ZERO);
        assert_eq!(read("timeoutSeconds=99999999").unwrap().timeout, WATCH_DEFAULT);
        assert_eq!(read("limit=many").unwrap_err().code, 400);
    }

    #[test]
    fn options_of_a_list_fit_each_other() {
        let said = |query: &str| read(query).err().map(|f| (f.code, f.message));
        let invalid = |text: &str| Some((422, format!("ListOptions.meta.k8s.io \"\" is invalid: {text}")));
        assert_eq!(
            said("resourceVersionMatch=Exact"),
            invalid(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
        );
        assert_eq!(
            said("resourceVersionMatch=New&resourceVersion=7"),
            invalid(r#"resourceVersionMatch: Unsupported value: "New": supported values: "Exact", "NotOlderThan", """#)
        );
        assert_eq!(
            said("sendInitialEvents=true"),
            invalid("sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list")
        );
        assert_eq!(
            said("watch=true&sendInitialEvents=true"),
            invalid(
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            )
        );
        for query in [
            "resourceVersionMatch=Exact&resourceVersion=0",
            "resourceVersionMatch=NotOlderThan&resourceVersion=0&continue=x",
            "watch=true&resourceVersionMatch=NotOlderThan",
            "watch=true&resourceVersionMatch=Exact&sendInitialEvents=true",
        ] {
            assert_eq!(said(query).map(|(code, _)| code), Some(422), "{query}");
        }
        assert_eq!(said("continue=x&resourceVersion=7").map(|(code, _)| code), Some(400));
        for query in [
            "continue=x&resourceVersion=0",
            "resourceVersionMatch=NotOlderThan&resourceVersion=0",
            "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        ] {
            assert_eq!(said(query), None, "{query}");
        }
    }

    #[test]
    fn a_timeout_is_a_duration_of_go() {
        for fine in ["32s", "1h15m30.918s", "-5s", "0", "1.5h", ".5s", "100ms", "5\u{b5}s"] {
            assert!(is_duration(fine), "{fine}");
        }
        for wrong in ["", "5", "s", "1x", "1s2", "1.2.3s", "one", ".s", "-"] {
            assert!(!is_duration(wrong), "{wrong}");
        }
    }
}
