//! Tests of volumes on a real file system. Those of mounts run only where mounting is possible.

use std::{os::unix::fs::MetadataExt as _, sync::Arc};

use evenkeel_model::{Content, Digest, Version};
use evenkeel_wire::PodContent;
use serde_json::json;

use super::*;

impl Volumes {
    /// Without tokens.
    fn plain(&self, order: &PodOrder) -> Result<(), VolumeError> {
        self.prepare(order, &Tokens::new())
    }
}

fn content(secret: bool, name: &str, data: &[(&str, &str)]) -> PodContent {
    let data = data.iter().map(|(k, v)| ((*k).to_owned(), Arc::from(v.as_bytes()))).collect();
    let content = Content { secret, data };
    PodContent {
        secret,
        name: name.into(),
        secret_type: String::new(),
        digest: Digest::of(name.as_bytes()),
        content: Arc::new(content),
    }
}

fn order(spec: &serde_json::Value, contents: Vec<PodContent>) -> PodOrder {
    PodOrder {
        uid: Uid(7),
        namespace: "shop".into(),
        name: "web".into(),
        version: Version(1),
        pod: json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "web", "namespace": "shop", "uid": Uid(7).to_string(), "labels": { "app": "we\"b", "z": "1" } },
            "spec": spec,
        }),
        deletion: None,
        contents,
        image_ids: BTreeMap::default(),
        self_heal: true,
    }
}

fn usage(volume: &str, sub_path: Option<&str>) -> VolumeUse {
    VolumeUse {
        volume: volume.into(),
        target: "/x".into(),
        sub_path: sub_path.map(Into::into),
        read_only: false,
        propagation: Propagation::Private,
    }
}

fn volumes() -> (tempfile::TempDir, Volumes) {
    let dir = tempfile::tempdir().unwrap();
    let mut volumes = Volumes::new(dir.path()).unwrap();
    volumes.mounts = false;
    (dir, volumes)
}

fn spec(volumes: &serde_json::Value) -> serde_json::Value {
    json!({ "containers": [{ "name": "c", "image": "i", "resources": { "limits": { "cpu": "1500m" } } }], "volumes": volumes })
}

#[test]
fn files_switch_as_a_whole_and_only_when_they_change() {
    let (_dir, volumes) = volumes();
    let spec = spec(&json!([{ "name": "cfg", "configMap": { "name": "a", "defaultMode": 0o600, "items": [
        { "key": "one", "path": "sub/one.txt" }, { "key": "two", "path": "two", "mode": 0o444 } ] } }]));
    let first = order(&spec, vec![content(false, "a", &[("one", "1"), ("two", "2"), ("three", "3")])]);
    volumes.plain(&first).unwrap();
    let mount = volumes.resolve(Uid(7), "c", &[usage("cfg", None)]).unwrap().remove(0);
    assert!(mount.read_only);
    let root = mount.source;
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    assert_eq!((read("sub/one.txt").as_str(), read("two").as_str()), ("1", "2"));
    assert!(!root.join("three").exists());
    let mode = |name: &str| fs::metadata(root.join(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("sub/one.txt"), mode("two")), (0o600, 0o444));

    let target = fs::read_link(root.join("..data")).unwrap();
    volumes.plain(&first).unwrap();
    assert_eq!(fs::read_link(root.join("..data")).unwrap(), target, "nothing changed, nothing written");

    volumes.plain(&order(&spec, vec![content(false, "a", &[("one", "1b"), ("two", "2")])])).unwrap();
    assert_eq!(read("sub/one.txt"), "1b");
    assert_ne!(fs::read_link(root.join("..data")).unwrap(), target);
    assert!(!root.join(target).exists(), "the old set is gone");
    let file = volumes.resolve(Uid(7), "c", &[usage("cfg", Some("two"))]).unwrap().remove(0).source;
    assert_eq!(fs::read_to_string(file).unwrap(), "2");

    volumes.remove(Uid(7)).unwrap();
    volumes.remove(Uid(7)).unwrap();
    assert!(!root.exists());
}

#[test]
fn what_is_missing_is_said_without_values() {
    let (_dir, volumes) = volumes();
    let missing = spec(&json!([{ "name": "s", "secret": { "secretName": "key" } }]));
    let error = volumes.plain(&order(&missing, vec![])).unwrap_err().full();
    assert_eq!(error, "volume `s`: secret \"key\" not found");
    let no_key =
        spec(&json!([{ "name": "s", "secret": { "secretName": "key", "items": [{ "key": "k", "path": "p" }] } }]));
    let error = volumes.plain(&order(&no_key, vec![content(true, "key", &[("j", "hidden")])])).unwrap_err().full();
    assert!(error.contains("no key `k`") && !error.contains("hidden"));
    let optional = spec(&json!([{ "name": "s", "secret": { "secretName": "key", "optional": true } }]));
    volumes.plain(&order(&optional, vec![])).unwrap();
    let escape =
        spec(&json!([{ "name": "s", "configMap": { "name": "a", "items": [{ "key": "k", "path": "../p" }] } }]));
    assert!(volumes.plain(&order(&escape, vec![content(false, "a", &[("k", "v")])])).is_err());
    let other = spec(&json!([{ "name": "s", "nfs": { "server": "h", "path": "/" } }]));
    assert!(volumes.plain(&order(&other, vec![])).unwrap_err().full().contains("not supported yet"));
}

#[test]
fn projected_and_downward() {
    let (_dir, volumes) = volumes();
    let spec = spec(&json!([{ "name": "all", "projected": { "sources": [
        { "configMap": { "name": "a" } },
        { "secret": { "name": "s" } },
        { "downwardAPI": { "items": [
            { "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } },
            { "path": "app", "fieldRef": { "fieldPath": "metadata.labels['z']" } },
            { "path": "cpu", "resourceFieldRef": { "containerName": "c", "resource": "limits.cpu" } },
            { "path": "milli", "resourceFieldRef": { "containerName": "c", "resource": "limits.cpu", "divisor": "1m" } } ] } } ] } }]));
    let contents = vec![content(false, "a", &[("k", "v")]), content(true, "s", &[("p", "w")])];
    volumes.plain(&order(&spec, contents)).unwrap();
    let root = volumes.resolve(Uid(7), "c", &[usage("all", None)]).unwrap().remove(0).source;
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    assert_eq!((read("k"), read("p")), ("v".into(), "w".into()));
    assert_eq!(read("labels"), "app=\"we\\\"b\"\nz=\"1\"");
    assert_eq!((read("app"), read("cpu"), read("milli")), ("1".into(), "2".into(), "1500".into()));
}

#[test]
fn a_sub_path_stays_in_its_volume() {
    let (dir, volumes) = volumes();
    volumes.plain(&order(&spec(&json!([{ "name": "d", "emptyDir": {} }])), vec![])).unwrap();
    let root = volumes.resolve(Uid(7), "c", &[usage("d", None)]).unwrap().remove(0).source;
    assert_eq!(fs::metadata(&root).unwrap().mode() & 0o777, 0o777);
    let made = volumes.resolve(Uid(7), "c", &[usage("d", Some("a/b"))]).unwrap().remove(0);
    assert_eq!(made.source.canonicalize().unwrap(), root.join("a/b").canonicalize().unwrap());
    assert!(!made.read_only && made.source.is_dir());

    std::os::unix::fs::symlink(dir.path(), root.join("out")).unwrap();
    std::os::unix::fs::symlink("../../..", root.join("up")).unwrap();
    std::os::unix::fs::symlink("a", root.join("in")).unwrap();
    for bad in ["out", "out/x", "up", "up/etc", "../x", "/etc"] {
        let error = volumes.resolve(Uid(7), "c", &[usage("d", Some(bad))]).unwrap_err();
        assert!(matches!(error, VolumeError::Unfit(_)), "{bad}: {error:?}");
    }
    let inside = volumes.resolve(Uid(7), "c", &[usage("d", Some("in/b"))]).unwrap().remove(0).source;
    assert_eq!(inside.canonicalize().unwrap(), root.join("a/b").canonicalize().unwrap());
    assert!(volumes.resolve(Uid(7), "c", &[usage("nope", None)]).is_err());
}

#[test]
fn host_paths_are_checked() {
    let (dir, volumes) = volumes();
    let base = dir.path().join("host");
    let check = |path: &Path, kind: &str| {
        let path = path.to_str().unwrap();
        volumes.plain(&order(&spec(&json!([{ "name": "h", "hostPath": { "path": path, "type": kind } }])), vec![]))
    };
    assert!(check(&base, "Directory").unwrap_err().full().contains("does not exist"));
    check(&base, "DirectoryOrCreate").unwrap();
    check(&base, "Directory").unwrap();
    assert!(check(&base, "File").unwrap_err().full().contains("is not a File"));
    check(&base.join("f"), "FileOrCreate").unwrap();
    check(&base.join("f"), "File").unwrap();
    assert!(check(&base.join("f"), "Socket").is_err());
    assert!(check(Path::new("relative"), "").is_err());
    assert!(check(&base.join("../x"), "").is_err());
}

#[test]
fn fs_group_and_memory() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = Volumes::new(dir.path()).unwrap();
    if !volumes.mounts {
        return;
    }
    let mut spec = spec(&json!([
        { "name": "mem", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } },
        { "name": "disk", "emptyDir": {} },
        { "name": "s", "secret": { "secretName": "key", "defaultMode": 0o400 } } ]));
    spec["securityContext"] = json!({ "fsGroup": 4321 });
    let order = order(&spec, vec![content(true, "key", &[("p", "w")])]);
    volumes.plain(&order).unwrap();
    volumes.plain(&order).unwrap();
    let uses = [usage("mem", None), usage("disk", None), usage("s", None), usage("mem", Some("sub"))];
    let mounts = volumes.resolve(Uid(7), "c", &uses).unwrap();
    assert_eq!(volumes.resolve(Uid(7), "c", &uses).unwrap(), mounts);
    assert_eq!(mounts[4].target, "/dev/termination-log");
    assert!(memory::is_mounted(&mounts[0].source).unwrap() && !memory::is_mounted(&mounts[1].source).unwrap());
    assert!(memory::is_mounted(&mounts[2].source).unwrap(), "secrets stay off the disk");
    for mount in &mounts[..2] {
        let meta = fs::metadata(&mount.source).unwrap();
        assert_eq!((meta.gid(), meta.mode() & 0o7777), (4321, 0o2777));
    }
    let file = fs::metadata(mounts[2].source.join("p")).unwrap();
    assert_eq!((file.gid(), file.mode() & 0o777), (4321, 0o440));
    let big = fs::write(mounts[0].source.join("big"), vec![0; 2 << 20]).unwrap_err();
    assert_eq!(big.kind(), io::ErrorKind::StorageFull);
    fs::remove_file(mounts[0].source.join("big")).unwrap();
    fs::write(mounts[3].source.join("f"), "x").unwrap();
    assert!(mounts[0].source.join("sub/f").exists());
    volumes.remove(Uid(7)).unwrap();
    assert!(memory::mounts_below(dir.path()).unwrap().is_empty());
}

#[test]
fn termination_messages() {
    let (_dir, volumes) = volumes();
    assert_eq!(volumes.termination_message(Uid(7), "c"), "");
    let file = volumes.new_termination_file(Uid(7), "c").unwrap();
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o666);
    fs::write(&file, "x".repeat(5000)).unwrap();
    assert_eq!(volumes.termination_message(Uid(7), "c").len(), 4096);
    volumes.new_termination_file(Uid(7), "c").unwrap();
    assert_eq!(volumes.termination_message(Uid(7), "c"), "");
}

#[test]
fn a_token_is_a_file_for_the_one_who_shall_use_it() {
    let dir = tempfile::tempdir().unwrap();
    let volumes = Volumes::new(dir.path()).unwrap();
    let spec = |more: serde_json::Value| {
        let mut spec = json!({"containers": [{"name": "c"}], "volumes": [{"name": "t", "projected": {"sources": [
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            {"serviceAccountToken": {"path": "token"}}]}}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let tokens = |text: &str| Tokens::from([(("t".to_owned(), 1), Arc::from(text.as_bytes()))]);
    let made = order(&spec(json!({})), vec![]);
    let file = volumes.pod_dir(made.uid).join("volumes/t/token");
    let look = || (fs::read_to_string(&file).unwrap(), fs::metadata(&file).unwrap());
    volumes.prepare(&made, &tokens("one")).unwrap();
    assert_eq!((look().0.as_str(), look().1.mode() & 0o777), ("one", 0o644));
    volumes.prepare(&made, &tokens("two")).unwrap();
    assert_eq!(look().0, "two");
    assert!(volumes.plain(&made).unwrap_err().full().contains("its token was not given"));
    if rustix::process::geteuid().is_root() {
        let of_user = order(&spec(json!({"securityContext": {"runAsUser": 1000}})), vec![]);
        volumes.prepare(&of_user, &tokens("three")).unwrap();
        assert_eq!((look().1.mode() & 0o777, look().1.uid()), (0o600, 1000));
        let of_group = order(&spec(json!({"securityContext": {"fsGroup": 2000}})), vec![]);
        volumes.prepare(&of_group, &tokens("four")).unwrap();
        assert_eq!((look().1.mode() & 0o777, look().1.gid()), (0o640, 2000));
    }
    volumes.remove(made.uid).unwrap();
}
