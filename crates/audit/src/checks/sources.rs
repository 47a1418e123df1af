//! Sources and their objects: whole revisions, one owner each, quarantine, pins.

use alloc::{collections::BTreeMap, format, vec::Vec};

use evenkeel_model::{
    Kind, Object,
    own::{Phase, ReleaseSpec, ReleaseStatus, RollbackMode, SourceSpec, SourceStatus},
};

use crate::{
    Input,
    facts::{World, spec, status},
    finding::{Finding, Promise},
};

pub(crate) fn check(input: &Input<'_>, world: &World<'_>, before: Option<&World<'_>>, out: &mut Vec<Finding>) {
    ownership(input, out);
    whole(input, world, out);
    for object in world.of_kind(Kind::Source) {
        let now: SourceStatus = status(object, out);
        quarantine(object, &now, out);
        pin(object, &now, before, out);
    }
    under_way(world, out);
}

fn ownership(input: &Input<'_>, out: &mut Vec<Finding>) {
    let mut owner: BTreeMap<_, &str> = BTreeMap::new();
    for source in input.sources {
        for key in &source.keys {
            if let Some(other) = owner.insert(key, &source.source)
                && other != source.source
            {
                let message = format!("the sources {other} and {} both apply it", source.source);
                out.push(Finding::broken(Promise::Foreign, key, message));
            }
        }
    }
}

fn whole(input: &Input<'_>, world: &World<'_>, out: &mut Vec<Finding>) {
    for source in input.sources {
        let name = &source.source;
        for key in &source.keys {
            let message = match world.by_key.get(key) {
                None => format!("source {name} applies it and it is not there"),
                Some(o) if o.deleting() => format!("source {name} applies it and it is being deleted"),
                Some(o) if o.source() != Some(name) => {
                    format!("source {name} applies it and it is labelled as of {}", o.source().unwrap_or("none"))
                }
                Some(_) => continue,
            };
            out.push(Finding::unsettled(Promise::Whole, key, message));
        }
    }
}

fn quarantine(object: &Object, now: &SourceStatus, out: &mut Vec<Finding>) {
    let quarantined = |digest| now.quarantined.iter().any(|q| Some(q.digest) == digest);
    if now.last_good_digest.is_some() && quarantined(now.last_good_digest) {
        let message = "its last good revision is quarantined";
        out.push(Finding::broken(Promise::Whole, &object.key, message));
        return;
    }
    // A first release that failed stays applied, and so does one that nobody asked to roll back.
    let spec: SourceSpec = spec(object, out);
    let rolls_back = now.last_good_digest.is_some() && spec.rollback.unwrap_or_default() == RollbackMode::Auto;
    if rolls_back && now.applied_digest.is_some() && quarantined(now.applied_digest) {
        let message = "what it has applied is quarantined, and there is a good revision to go back to";
        out.push(Finding::unsettled(Promise::Whole, &object.key, message));
    }
}

fn pin(object: &Object, now: &SourceStatus, before: Option<&World<'_>>, out: &mut Vec<Finding>) {
    let Some(pin) = &now.pinned else { return };
    if now.applied_revision.as_ref() == Some(&pin.revision) {
        return;
    }
    let applied = now.applied_revision.as_ref().map_or("nothing", |r| r.as_str());
    let message = format!("it is pinned to {} and has {applied} applied", pin.revision);
    // A fresh pin takes a while; one that was kept does not come undone.
    let kept = before.and_then(|b| b.by_uid.get(&object.uid)).is_some_and(|old| {
        let old: SourceStatus = status(old, &mut Vec::new());
        old.pinned.as_ref() == Some(pin) && old.applied_revision.as_ref() == Some(&pin.revision)
    });
    out.push(if kept {
        Finding::broken(Promise::Whole, &object.key, message)
    } else {
        Finding::unsettled(Promise::Whole, &object.key, message)
    });
}

/// At most one release of a source is under way.
fn under_way(world: &World<'_>, out: &mut Vec<Finding>) {
    let mut busy: BTreeMap<alloc::string::String, &Object> = BTreeMap::new();
    for object in world.of_kind(Kind::Release) {
        let now = object.status::<ReleaseStatus>();
        let of = object.spec::<ReleaseSpec>();
        let (Ok(Some(now)), Ok(of)) = (now, of) else {
            out.push(Finding::broken(Promise::Durable, &object.key, "it cannot be read"));
            continue;
        };
        if matches!(now.phase, Phase::Progressing | Phase::RollingBack)
            && let Some(other) = busy.insert(of.source, object)
        {
            let message = format!("it is under way, and so is {}", other.key);
            out.push(Finding::broken(Promise::Whole, &object.key, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use evenkeel_model::{Digest, Key, Kind, names};
    use serde_json::{Value, json};

    use crate::{AppliedSource, testing::World};

    fn key() -> Key {
        Key::new(Kind::Deployment, "shop", "web")
    }

    fn applied(source: &str) -> AppliedSource {
        AppliedSource { source: source.into(), keys: [key()].into() }
    }

    #[test]
    fn a_revision_is_there_as_a_whole() {
        let mut w = World::default();
        w.web(1);
        w.sources.push(applied("s"));
        w.expect(&["it is labelled as of none"]);
        w.now.objects[1].meta.set_label(names::SOURCE, "s");
        w.expect(&[]);
        w.sources[0].keys.push(Key::new(Kind::ConfigMap, "shop", "c"));
        w.expect(&["source s applies it and it is not there"]);
        w.expect_broken(&[]);
        w.settled = true;
        w.expect_broken(&["source s applies it and it is not there"]);
    }

    #[test]
    fn an_object_has_one_source() {
        let mut w = World::default();
        w.web(1);
        w.now.objects[1].meta.set_label(names::SOURCE, "s");
        w.sources.extend([applied("s"), applied("t")]);
        w.expect_broken(&["the sources s and t both apply it"]);
    }

    fn source(status: &Value) -> Value {
        json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Source",
            "metadata": {"name": "s", "uid": "00000000-0000-4000-8000-0000000000aa", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"directory": "/x"}, "status": status})
    }

    #[test]
    fn quarantined_content_is_not_applied() {
        let [good, bad] = [Digest::of(b"good"), Digest::of(b"bad")];
        let revision = format!("dir@sha256:{bad}");
        let quarantined = json!([{"digest": bad, "revision": revision, "since": "2026-01-01T00:00:00Z"}]);
        for (applied, last_good, part) in [
            (good, Some(good), None),
            (bad, Some(good), Some("what it has applied is quarantined")),
            (bad, None, None),
            (good, Some(bad), Some("its last good revision is quarantined")),
        ] {
            let mut w = World::default();
            w.add_value(source(
                &json!({"appliedDigest": applied, "lastGoodDigest": last_good, "quarantined": quarantined}),
            ));
            w.expect(part.as_slice());
        }
    }

    #[test]
    fn a_pin_holds() {
        let revision = |c: &str| format!("main@sha1:{}", c.repeat(40));
        let status = |applied: &str| {
            json!({"appliedRevision": revision(applied),
                "pinned": {"revision": revision("a"), "by": "x", "since": "2026-01-01T00:00:00Z"}})
        };
        let mut w = World::default();
        w.add_value(source(&status("a")));
        w.expect(&[]);
        w.step();
        w.set_status_of(0, &status("b"));
        w.expect_broken(&["it is pinned to main@sha1:aaaa"]);
        // One that was just set is not applied yet.
        w.before = None;
        w.expect_broken(&[]);
        w.expect(&["it is pinned to main@sha1:aaaa"]);
    }

    #[test]
    fn one_release_is_under_way() {
        let release = |n: u32, phase: &str| {
            json!({"apiVersion": "evenkeel.dev/v1alpha1", "kind": "Release",
                "metadata": {"name": format!("s-{n}"), "uid": format!("00000000-0000-4000-8000-00000000000{n}"),
                    "creationTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"source": "s", "revision": format!("dir@sha256:{}", Digest::of(b"x"))},
                "status": {"phase": phase, "timeline": [{"phase": phase, "at": "2026-01-01T00:00:00Z"}]}})
        };
        let mut w = World::default();
        w.add_value(release(1, "Progressing"));
        w.add_value(release(2, "Superseded"));
        w.expect(&[]);
        w.add_value(release(3, "Progressing"));
        w.expect_broken(&["it is under way, and so is Release s-1"]);
    }
}
