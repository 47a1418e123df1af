//! A Source and its Releases as the release controllers read and write them.
//!
//! Everything these controllers know is in the status of objects, so that a restart loses nothing.
//! Called by every file of this folder. Deliberately not here: any decision.

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{
    Diagnostic, Digest, Key, Kind, Object, OwnerRef, Revision, SourceName,
    own::{Condition, Phase, PhaseAt, ReleaseSpec, ReleaseStatus, SourceSpec, SourceStatus},
};
use serde_json::json;

use crate::{
    cx::{Cx, EventKind},
    world::World,
};

/// Complaints that a Release keeps: enough to mend a revision, little enough for one object.
const DIAGNOSTICS_LIMIT: usize = 100;
/// Digits of a revision's hash in a Release's name.
const NAME_DIGITS: usize = 10;
/// Steps of a timeline that are kept: a release that flaps must not grow without bound.
const TIMELINE_LIMIT: usize = 50;

/// A Source, decoded.
#[derive(Debug, Clone)]
pub(crate) struct Src {
    pub(crate) object: Arc<Object>,
    pub(crate) name: SourceName,
    pub(crate) spec: SourceSpec,
    pub(crate) status: SourceStatus,
    before: SourceStatus,
}

impl Src {
    /// The Source of a name; `None` if there is none, or none that can be read.
    pub(crate) fn load(world: &World, name: &str) -> Option<Self> {
        let object = world.get(&Key::cluster(Kind::Source, name))?;
        let spec = object.spec().ok()?;
        let status: SourceStatus = object.status().ok()?.unwrap_or_default();
        Some(Self { object: object.clone(), name: object.key.name.clone(), spec, before: status.clone(), status })
    }

    /// Writes the status if it changed.
    pub(crate) fn save(&self, cx: &mut Cx<'_>) {
        if self.status != self.before {
            cx.put(self.object.with_status(&self.status));
        }
    }

    /// The Release that was applied last.
    pub(crate) fn current(&self, world: &World) -> Option<Rel> {
        Rel::load(world, self.status.current_release.as_deref()?)
    }

    /// The newest Release where it is not applied.
    pub(crate) fn pending(&self, world: &World) -> Option<Rel> {
        Rel::load(world, self.status.pending_release.as_deref()?)
    }

    /// Sets a condition.
    pub(crate) fn condition(&mut self, kind: &str, status: bool, reason: &str, message: &str, cx: &Cx<'_>) {
        Condition::set(&mut self.status.conditions, kind, status, reason, message, cx.now);
    }

    /// Whether content is quarantined.
    pub(crate) fn quarantined(&self, digest: &Digest) -> bool {
        self.status.quarantined.iter().any(|q| q.digest == *digest)
    }

    /// Whether drift is written back.
    pub(crate) fn self_heal(&self) -> bool {
        self.spec.self_heal.unwrap_or(true)
    }
}

/// A Release, decoded; it may not be in the world yet.
#[derive(Debug, Clone)]
pub(crate) struct Rel {
    pub(crate) object: Object,
    pub(crate) spec: ReleaseSpec,
    pub(crate) status: ReleaseStatus,
    before: Option<ReleaseStatus>,
}

impl Rel {
    /// The Release of a name.
    pub(crate) fn load(world: &World, name: &str) -> Option<Self> {
        Self::read(world.get(&Key::cluster(Kind::Release, name))?)
    }

    /// Decodes a Release.
    pub(crate) fn read(object: &Arc<Object>) -> Option<Self> {
        let spec = object.spec().ok()?;
        let status: ReleaseStatus = object.status().ok()??;
        Some(Self { object: Object::clone(object), spec, before: Some(status.clone()), status })
    }

    /// A further attempt at a revision, `Pending`.
    pub(crate) fn draft(world: &World, src: &Src, spec: ReleaseSpec, cx: &mut Cx<'_>) -> Self {
        let name = next_name(world, &src.name, &spec.revision, cx);
        let mut object = cx.draft(Key::cluster(Kind::Release, name), &json!({"spec": spec}));
        object.meta.owners = [OwnerRef::controller(&src.object.key, src.object.uid)].into();
        let status = ReleaseStatus::new(cx.now);
        Self { object, spec, status, before: None }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.object.key.name
    }

    /// Goes to another phase and tells so.
    pub(crate) fn enter(
        &mut self,
        world: &World,
        src: &Src,
        phase: Phase,
        reason: &str,
        message: &str,
        cx: &mut Cx<'_>,
    ) {
        if self.status.phase != phase {
            self.status.phase = phase;
            self.status.timeline.push(PhaseAt { phase, at: cx.now });
            if self.status.timeline.len() > TIMELINE_LIMIT {
                self.status.timeline.remove(1);
            }
        }
        self.status.reason = reason.into();
        self.status.message = message.into();
        let kind = match phase {
            Phase::Rejected | Phase::Failed | Phase::RollingBack | Phase::RollbackFailed => EventKind::Warning,
            _ => EventKind::Normal,
        };
        let gap = if message.is_empty() { "" } else { ": " };
        let text = format!("release {} ({}){gap}{message}", self.name(), self.spec.revision.short());
        cx.event(world, &src.object, kind, &phase.to_string(), &text);
    }

    /// Says why it waits, without a further step of the timeline.
    pub(crate) fn wait(&mut self, world: &World, src: &Src, reason: &str, message: &str, cx: &mut Cx<'_>) {
        if self.status.phase != Phase::Pending {
            self.enter(world, src, Phase::Pending, reason, message, cx);
        } else if self.status.reason != reason {
            let text = format!("release {} waits: {message}", self.name());
            cx.event(world, &src.object, EventKind::Normal, reason, &text);
        }
        self.status.reason = reason.into();
        self.status.message = message.into();
    }

    /// Takes complaints in.
    pub(crate) fn complain(&mut self, diagnostics: &[Diagnostic]) {
        self.status.diagnostics = texts(diagnostics);
    }

    /// Adds what is to be known and is no complaint about a place.
    pub(crate) fn remark(&mut self, texts: impl Iterator<Item = String>) {
        let room = DIAGNOSTICS_LIMIT.saturating_sub(self.status.diagnostics.len());
        self.status.diagnostics.extend(texts.take(room));
    }

    /// Writes it if it changed.
    pub(crate) fn save(&self, cx: &mut Cx<'_>) {
        if self.before.as_ref() != Some(&self.status) {
            cx.put(self.object.with_status(&self.status));
        }
    }
}

/// Complaints as a Release keeps them.
pub(crate) fn texts(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().take(DIAGNOSTICS_LIMIT).map(ToString::to_string).collect()
}

/// The name that all attempts at a revision begin with.
pub(crate) fn base_name(source: &str, revision: &Revision) -> String {
    let hash = revision.hash();
    format!("{source}-{}", hash.get(..NAME_DIGITS).unwrap_or(hash))
}

/// All attempts at a revision, by number, as (number, object).
pub(crate) fn attempts<'a>(world: &'a World, source: &str, revision: &Revision) -> Vec<(u32, &'a Arc<Object>)> {
    let base = base_name(source, revision);
    let mut out: Vec<(u32, &Arc<Object>)> = world
        .list_from(Kind::Release, "", &base)
        .take_while(|o| o.key.name.starts_with(&base))
        .filter_map(|o| {
            let tail = &o.key.name[base.len()..];
            let n = if tail.is_empty() { 1 } else { tail.strip_prefix('-')?.parse().ok()? };
            Some((n, o))
        })
        .collect();
    out.sort_by_key(|(n, _)| *n);
    out
}

/// The last attempt at a revision.
pub(crate) fn latest(world: &World, source: &str, revision: &Revision) -> Option<Rel> {
    attempts(world, source, revision).last().and_then(|(_, o)| Rel::read(o))
}

fn next_name(world: &World, source: &str, revision: &Revision, cx: &Cx<'_>) -> String {
    let base = base_name(source, revision);
    let last = attempts(world, source, revision).last().map_or(0, |(n, _)| *n);
    // Two drafts of one run: the first stands among the run's own changes.
    let drafted = cx.changes.iter().filter(|c| {
        matches!(c, crate::change::Change::Put(o)
            if o.key.kind == Kind::Release && o.key.name.starts_with(&base) && world.get(&o.key).is_none())
    });
    match last + u32::try_from(drafted.count()).unwrap_or(0) + 1 {
        1 => base,
        n => format!("{base}-{n}"),
    }
}

/// All Releases of a source, decoded, in the order of their names.
pub(crate) fn releases(world: &World, source: &str) -> Vec<Rel> {
    let prefix = format!("{source}-");
    world
        .list_from(Kind::Release, "", &prefix)
        .take_while(|o| o.key.name.starts_with(&prefix))
        .filter_map(Rel::read)
        .filter(|r| r.spec.source == source)
        .collect()
}
