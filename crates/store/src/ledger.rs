//! What the history is indexed by: read out of a Release, a Drift or an Event when it is written.
//!
//! Both implementations use it, so that they answer alike.

use evenkeel_model::{
    Key, Kind, Object, Time,
    own::{DriftSpec, DriftStatus, ReleaseSpec, ReleaseStatus},
};
use serde::Deserialize;

use crate::Ledger;

/// The indexed columns of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) source: String,
    /// [`Key`]'s text, or empty.
    pub(crate) about: String,
    pub(crate) time: Time,
    /// Phase of a release, resolution of a drift, reason of an event.
    pub(crate) state: String,
}

impl Ledger {
    /// The kind whose objects it lists.
    pub fn kind(self) -> Kind {
        match self {
            Self::Releases => Kind::Release,
            Self::Drifts => Kind::Drift,
            Self::Events => Kind::Event,
        }
    }

    /// The ledger of a kind, if it has one.
    pub fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Release => Some(Self::Releases),
            Kind::Drift => Some(Self::Drifts),
            Kind::Event => Some(Self::Events),
            _ => None,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct EventView {
    involved_object: Involved,
    reason: Option<String>,
    last_timestamp: Option<Time>,
    event_time: Option<Time>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Involved {
    api_version: String,
    kind: String,
    namespace: String,
    name: String,
}

fn about(api_version: &str, kind: &str, namespace: &str, name: &str) -> String {
    if let Some(kind) = Kind::of(api_version, kind) {
        return Key::new(kind, namespace, name).to_string();
    }
    // A custom kind's key, as it prints itself.
    match api_version.split_once('/') {
        Some((group, _)) if namespace.is_empty() => format!("{kind}.{group} {name}"),
        Some((group, _)) => format!("{kind}.{group} {namespace}/{name}"),
        None => String::new(),
    }
}

/// The columns of a record. What cannot be read is indexed by nothing but when it was made: a
/// record is never refused for it.
pub(crate) fn entry(ledger: Ledger, object: &Object) -> Entry {
    let mut entry =
        Entry { source: String::new(), about: String::new(), time: object.meta.created, state: String::new() };
    match ledger {
        Ledger::Releases => {
            if let Ok(spec) = object.spec::<ReleaseSpec>() {
                entry.source = spec.source;
            }
            if let Ok(Some(status)) = object.status::<ReleaseStatus>() {
                entry.state = status.phase.to_string();
            }
        }
        Ledger::Drifts => {
            if let Ok(spec) = object.spec::<DriftSpec>() {
                entry.about =
                    about(&spec.object.api_version, &spec.object.kind, &spec.object.namespace, &spec.object.name);
                entry.source = spec.source;
            }
            if let Ok(Some(status)) = object.status::<DriftStatus>() {
                entry.time = status.last_seen;
                entry.state = status.resolution.map(|r| format!("{r:?}")).unwrap_or_default();
            }
        }
        Ledger::Events => {
            if let Ok(view) = object.view::<EventView>() {
                let i = view.involved_object;
                entry.about = about(&i.api_version, &i.kind, &i.namespace, &i.name);
                entry.time = view.last_timestamp.or(view.event_time).unwrap_or(object.meta.created);
                entry.state = view.reason.unwrap_or_default();
            }
        }
    }
    entry
}
