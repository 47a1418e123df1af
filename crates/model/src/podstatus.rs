//! What agents say in a PodStatus beyond Kubernetes' fields: two conditions with counts by container.
//!
//! Written by the agent, read by the release and the auditor. They stand in conditions because
//! those are stored and shown with the pod, and Kubernetes allows any type there.
//!
//! - `restartCount` counts every restart, as in Kubernetes. [`DISTURBED`] counts those among them
//!   that the container did not cause itself (drift, engine, node). So crashes are
//!   `restartCount` less the count here: see [`crashes`]. The run that was disturbed has
//!   `lastState.terminated.reason` [`REASON_DRIFT`] or [`REASON_ENGINE`].
//! - [`FAILED_STARTS`] counts tries in a row that failed before the container ran (image, create,
//!   start), with the reason of the last one and whether its cause lies outside the revision. It
//!   goes when the container runs.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

/// Type of the condition with restarts not of the container's own making.
pub const DISTURBED: &str = "evenkeel.dev/DisturbedRestarts";
/// Type of the condition with failed starts.
pub const FAILED_STARTS: &str = "evenkeel.dev/FailedStarts";
/// `reason` of a run that someone other than the agent ended.
pub const REASON_DRIFT: &str = "ContainerDrift";
/// `reason` of a run that ended because the engine or the node went away.
pub const REASON_ENGINE: &str = "EngineRestarted";

/// Tries in a row that failed before the container ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedStart {
    /// How many.
    pub tries: u32,
    /// Kubernetes' reason of the last one, as `ErrImagePull`.
    pub reason: String,
    /// Whether the cause lies outside the revision (registry unreachable, no room).
    pub outside: bool,
}

/// The message of [`DISTURBED`]: `web=2,log=1`.
pub fn disturbed_text(counts: &BTreeMap<String, u32>) -> String {
    counts.iter().map(|(k, n)| format!("{k}={n}")).collect::<Vec<_>>().join(",")
}

/// Reads what [`disturbed_text`] wrote; what is not of its form is left out.
pub fn disturbed_parse(message: &str) -> BTreeMap<String, u32> {
    message
        .split(',')
        .filter_map(|p| p.split_once('='))
        .filter_map(|(k, n)| Some((k.into(), n.parse().ok()?)))
        .collect()
}

/// The message of [`FAILED_STARTS`]: `web=3:ErrImagePull,log=1:RegistryUnavailable:outside`.
pub fn failed_starts_text(counts: &BTreeMap<String, FailedStart>) -> String {
    let one = |(k, f): (&String, &FailedStart)| {
        format!("{k}={}:{}{}", f.tries, f.reason, if f.outside { ":outside" } else { "" })
    };
    counts.iter().map(one).collect::<Vec<_>>().join(",")
}

/// Reads what [`failed_starts_text`] wrote; what is not of its form is left out.
pub fn failed_starts_parse(message: &str) -> BTreeMap<String, FailedStart> {
    let one = |part: &str| {
        let (name, rest) = part.split_once('=')?;
        let mut fields = rest.split(':');
        let tries = fields.next()?.parse().ok()?;
        let reason = fields.next()?.to_string();
        Some((name.to_string(), FailedStart { tries, reason, outside: fields.next() == Some("outside") }))
    };
    message.split(',').filter_map(one).collect()
}

/// Restarts of a container that were crashes of its own.
pub fn crashes(restart_count: i32, disturbed: &BTreeMap<String, u32>, container: &str) -> u32 {
    u32::try_from(restart_count).unwrap_or(0).saturating_sub(disturbed.get(container).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_round_trip() {
        let disturbed = BTreeMap::from([("web".to_string(), 2), ("a-b".to_string(), 1)]);
        assert_eq!(disturbed_parse(&disturbed_text(&disturbed)), disturbed);
        assert_eq!(crashes(3, &disturbed, "web"), 1);
        assert_eq!(crashes(3, &disturbed, "x"), 3);
        let failed = BTreeMap::from([
            ("web".to_string(), FailedStart { tries: 3, reason: "ErrImagePull".into(), outside: false }),
            ("log".to_string(), FailedStart { tries: 1, reason: "RegistryUnavailable".into(), outside: true }),
        ]);
        assert_eq!(failed_starts_parse(&failed_starts_text(&failed)), failed);
        assert!(failed_starts_parse("nonsense").is_empty());
    }
}
