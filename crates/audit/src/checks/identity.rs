//! Uids, versions, generations, owners: what the store must never get wrong.

use alloc::{collections::BTreeMap, format, vec::Vec};

use evenkeel_model::{Kind, Object, Uid, Version};

use crate::{
    Input,
    facts::{Condition, World},
    finding::{Finding, Promise},
};

pub(crate) fn check(_: &Input<'_>, world: &World<'_>, before: Option<&World<'_>>, out: &mut Vec<Finding>) {
    unique(world, out);
    owners(world, out);
    if let Some(before) = before {
        history(world, before, out);
    }
}

fn unique(world: &World<'_>, out: &mut Vec<Finding>) {
    let mut uids: BTreeMap<Uid, &Object> = BTreeMap::new();
    let mut versions: BTreeMap<Version, &Object> = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for object in world.objects {
        if object.uid == Uid::default() {
            out.push(Finding::broken(Promise::Durable, &object.key, "it has no uid"));
        } else if let Some(other) = uids.insert(object.uid, object) {
            out.push(Finding::broken(Promise::Durable, &object.key, format!("it has the uid of {}", other.key)));
        }
        if keys.insert(&object.key, object).is_some() {
            out.push(Finding::broken(Promise::Durable, &object.key, "it is there twice"));
        }
        if object.version == Version(0) {
            out.push(Finding::broken(Promise::Durable, &object.key, "it is seen but was never committed"));
        } else if let Some(other) = versions.insert(object.version, object) {
            let message = format!("it has version {} as {} has", object.version, other.key);
            out.push(Finding::broken(Promise::Durable, &object.key, message));
        }
    }
}

fn owners(world: &World<'_>, out: &mut Vec<Finding>) {
    for object in world.objects {
        if object.meta.owners.iter().filter(|o| o.controller).count() > 1 {
            out.push(Finding::broken(Promise::Available, &object.key, "two controllers own it"));
        }
        // One that is left is enough, as for Kubernetes' garbage collector.
        let known = |uid: &Uid| world.by_uid.contains_key(uid);
        if object.deleting() || object.meta.owners.is_empty() || object.meta.owners.iter().any(|o| known(&o.uid)) {
            continue;
        }
        if let Some(owner) = object.meta.owners.first() {
            let message = format!("its owner {} {} is gone and it is not being deleted", owner.kind, owner.name);
            out.push(Finding::unsettled(Promise::Whole, &object.key, message));
        }
    }
}

fn history(world: &World<'_>, before: &World<'_>, out: &mut Vec<Finding>) {
    let newest = |w: &World<'_>| w.objects.iter().map(|o| o.version).max().unwrap_or_default();
    let last = newest(before);
    for object in world.objects {
        let Some(old) = before.by_uid.get(&object.uid) else {
            if object.version <= last {
                let message = format!("it is new, but its version {} is not above {last}", object.version);
                out.push(Finding::broken(Promise::Durable, &object.key, message));
            }
            continue;
        };
        let broken = |message| Finding::broken(Promise::Durable, &object.key, message);
        if object.version < old.version {
            out.push(broken(format!("its version went back from {} to {}", old.version, object.version)));
        }
        // A node's heartbeat is served from memory and never written.
        if object.version == old.version && object.key.kind != Kind::Node && differs(object, old) {
            out.push(broken(format!("it changed and kept its version {}", object.version)));
        }
        if object.version > old.version && object.version <= last {
            out.push(broken(format!("it changed, but its version {} is not above {last}", object.version)));
        }
        if object.meta.generation < old.meta.generation {
            out.push(broken("its generation went back".into()));
        }
        if object.meta.created.secs() != old.meta.created.secs() {
            out.push(broken("its creationTimestamp changed".into()));
        }
        if old.deleting() && !object.deleting() && !evicted(before, old) {
            out.push(broken("its deletion was taken back".into()));
        }
    }
}

/// Whether a pod was asked to go because its node was lost: it stays after all when the node comes
/// back with it.
fn evicted(before: &World<'_>, pod: &Object) -> bool {
    let of_eviction =
        |c: &Condition| c.kind == "DisruptionTarget" && c.reason.as_deref() == Some("DeletionByTaintManager");
    before.pods.get(&pod.uid).is_some_and(|p| p.status.conditions.iter().flatten().any(of_eviction))
}

/// Whether the two differ in Kubernetes' form, which has times in whole seconds.
fn differs(a: &Object, b: &Object) -> bool {
    !a.same_content(b) && a.to_value() != b.to_value()
}

#[cfg(test)]
mod tests {
    use evenkeel_model::{OwnerRef, Time, meta::Deletion};
    use serde_json::json;

    use crate::testing::{World, deployment, pod, replica_set};

    #[test]
    fn a_sound_world_has_no_findings() {
        let mut world = World::default();
        world.web(2);
        world.expect(&[]);
        world.step();
        world.expect(&[]);
    }

    #[test]
    fn uids_versions_and_keys_are_unique() {
        let mut world = World::default();
        world.web(1);
        let mut twin = world.now.objects[0].clone();
        twin.uid = world.now.objects[1].uid;
        world.now.objects.push(twin);
        world.expect(&["it has the uid of", "it is there twice", "it has version"]);
        let mut world = World::default();
        world.web(1);
        world.now.objects[0].version = evenkeel_model::Version(0);
        world.expect(&["never committed"]);
    }

    #[test]
    fn owners_are_there_or_the_object_goes() {
        let mut world = World::default();
        world.node("n1", &json!({"pods": "9"}));
        let d = deployment("web", &json!({}));
        let rs = replica_set("web-1", &d, 1);
        let mut p = pod("web-1-a", Some(&rs), "n1", true);
        world.add(p.clone());
        world.expect(&["its owner ReplicaSet web-1 is gone"]);
        p.meta.deletion = Some(Deletion { at: Time(1), grace_seconds: 0 });
        world.now.objects.clear();
        world.add(p);
        world.expect(&[]);

        let mut world = World::default();
        world.web(1);
        let other = OwnerRef::controller(&world.now.objects[0].key, world.now.objects[0].uid);
        let p = world.pod_mut(0);
        let mut owners = p.meta.owners.to_vec();
        owners.push(other);
        p.meta.owners = owners.into();
        world.expect(&["two controllers own it"]);
    }

    #[test]
    fn versions_and_marks_never_go_back() {
        type Case = (&'static str, fn(&mut evenkeel_model::Object));
        let cases: &[Case] = &[
            ("kept its version", |o| o.meta.generation += 1),
            ("went back from", |o| o.version.0 -= 1),
            ("generation went back", |o| {
                o.meta.generation -= 1;
                o.version.0 += 1000;
            }),
            ("creationTimestamp changed", |o| {
                o.meta.created = Time(7000);
                o.version.0 += 1000;
            }),
        ];
        for (part, change) in cases {
            let mut world = World::default();
            world.web(1);
            world.now.objects[1].meta.generation = 5;
            world.step();
            change(&mut world.now.objects[1]);
            world.expect(&[part]);
        }
        let mut world = World::default();
        world.web(1);
        world.pod_mut(0).meta.deletion = Some(Deletion { at: Time(i64::MAX), grace_seconds: 0 });
        world.step();
        world.pod_mut(0).meta.deletion = None;
        world.pod_mut(0).version.0 += 1000;
        world.expect(&["its deletion was taken back"]);
        // One that was evicted stays where its node comes back with it.
        for (reason, findings) in [("DeletionByTaintManager", &[][..]), ("Other", &["its deletion was taken back"])] {
            let mut world = World::default();
            world.web(1);
            let evicted = json!({"type": "DisruptionTarget", "status": "True", "reason": reason});
            let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}, evicted]});
            world.set_status(0, &status);
            world.pod_mut(0).meta.deletion = Some(Deletion { at: Time(i64::MAX), grace_seconds: 0 });
            world.step();
            world.pod_mut(0).meta.deletion = None;
            world.pod_mut(0).version.0 += 1000;
            world.expect(findings);
        }
        // A new object with an old number.
        let mut world = World::default();
        world.web(1);
        world.step();
        let mut late = deployment("late", &json!({"replicas": 0}));
        late.version.0 = 1;
        world.now.objects.push(late);
        world.expect(&["it is new, but its version 1"]);
    }
}
