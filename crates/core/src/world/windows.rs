//! Which sources have a release within its watch window: those wait for what nodes answer.

use alloc::sync::Arc;

use evenkeel_model::{
    Key, Object, SourceName,
    own::{Phase, ReleaseSpec, ReleaseStatus},
};
use imbl::{OrdMap, OrdSet};

use crate::change::Changed;

/// The reason of a `Healthy` release within its window.
pub(crate) const WATCHING: &str = "Watching";

/// Releases that are watched.
#[derive(Debug, Clone, Default)]
pub struct Windows {
    by_release: OrdMap<Key, SourceName>,
    open: OrdSet<(SourceName, Key)>,
}

impl Windows {
    /// Sources with an open window, in the order of their names.
    pub fn open(&self) -> impl Iterator<Item = &SourceName> {
        // A source has one release that is watched, so none comes twice.
        self.open.iter().map(|(source, _)| source)
    }

    /// Follows a Release.
    pub(super) fn update(&mut self, changed: &Changed) {
        if let Some(source) = self.by_release.remove(&changed.key) {
            self.open.remove(&(source, changed.key.clone()));
        }
        if let Some(source) = changed.new.as_ref().and_then(watched) {
            self.open.insert((source.clone(), changed.key.clone()));
            self.by_release.insert(changed.key.clone(), source);
        }
    }
}

fn watched(release: &Arc<Object>) -> Option<SourceName> {
    let status: ReleaseStatus = release.status().ok().flatten()?;
    let spec: ReleaseSpec = release.spec().ok()?;
    (status.phase == Phase::Healthy && status.reason == WATCHING).then(|| spec.source.into())
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec::Vec};

    use evenkeel_model::Kind;
    use serde_json::json;

    use super::*;
    use crate::{change::Change, world::World};

    fn release(source: &str, phase: &str, reason: &str) -> Change {
        let object = Object::from_value(json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Release",
            "metadata": {"name": alloc::format!("{source}-1")},
            "spec": {"source": source, "revision": "main@sha1:0000000000000000000000000000000000000001"},
            "status": {"phase": phase, "reason": reason}}));
        Change::Put(Arc::new(object.unwrap()))
    }

    #[test]
    fn those_that_are_healthy_and_still_watched() {
        let mut world = World::default();
        let mut after = |change| {
            world.apply(change);
            world.windows.open().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(after(release("a", "Progressing", "")).is_empty());
        assert_eq!(after(release("b", "Healthy", WATCHING)), ["b"]);
        assert_eq!(after(release("a", "Healthy", WATCHING)), ["a", "b"]);
        assert_eq!(after(release("a", "Healthy", "")), ["b"]);
        assert!(after(Change::Delete(Key::cluster(Kind::Release, "b-1"))).is_empty());
    }
}
