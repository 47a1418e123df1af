//! Query parameters of get, list and watch, checked.
//!
//! Called by `rest`. Unknown parameters are left alone, as Kubernetes does.

use std::time::Duration;

use axum::{extract::Query, http::Uri};
use evenkeel_model::{Selector, Version};

use super::{select::Fields, status::Failure};

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
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| !matches!(v.as_str(), "false" | "0"))
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
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
        let fields = Fields::parse(pairs.get("fieldSelector").unwrap_or_default()).map_err(Failure::bad_request)?;
        let at = match pairs.get("resourceVersion") {
            None => At::Newest,
            Some("0") => At::Any,
            Some(text) => At::Version(Version(text.parse().map_err(|_| {
                Failure::bad_request(format!("resourceVersion: Invalid value: \"{text}\": it is not a number"))
            })?)),
        };
        let version_match = match pairs.get("resourceVersionMatch") {
            None => Match::Free,
            Some("Exact") => Match::Exact,
            Some("NotOlderThan") => Match::NotOlder,
            Some(other) => {
                return Err(Failure::bad_request(format!(
                    "resourceVersionMatch: Unsupported value: \"{other}\": supported values: \"Exact\", \"NotOlderThan\""
                )));
            }
        };
        let limit = pairs.number("limit")?.filter(|n| *n > 0).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let timeout =
            pairs.number("timeoutSeconds")?.map_or(WATCH_DEFAULT, |s| Duration::from_secs(s).min(WATCH_DEFAULT));
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
            go_on: pairs.get("continue").map(Into::into),
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
