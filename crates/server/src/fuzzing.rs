//! What reads bytes that anybody may send, as functions of bytes alone: none may panic, hang or take memory
//! without a bound, whatever comes.
//!
//! Called by the targets in `fuzz/`, which look for bytes that do, and by the test below, which runs the same
//! functions on the inputs that are kept there and on mutations of them. Built for these two alone.

use evenkeel_manifest::{Options, assemble, parse_file};
use evenkeel_model::{Kind, Selector, Time};
use evenkeel_schema::{
    Customs, SchemaRef,
    custom::{Before, Definition},
    decode,
    merge::{self, Apply, FieldSet, Managed},
    of_kind, protobuf, validate,
};
use serde_json::{Value, json};

use crate::api::fuzzing::{Patch, channel_messages, json_patch, query, sent_body, sent_options, spdy_frames};

/// A reader of bytes, by the name of its target.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("yaml", yaml),
    ("bodies", bodies),
    ("patches", patches),
    ("protobuf", protobufs),
    ("selectors", selectors),
    ("spdy", spdy),
    ("channels", channels),
    ("cel", cel),
];

/// Kinds whose types have what others have, and more.
const KINDS: [Kind; 6] =
    [Kind::Pod, Kind::Deployment, Kind::Service, Kind::CustomResourceDefinition, Kind::Secret, Kind::ClusterRole];

fn kind(byte: u8) -> Kind {
    KINDS[usize::from(byte) % KINDS.len()]
}

/// A file of a source: its documents, and the snapshot they make.
pub fn yaml(bytes: &[u8]) {
    let file = std::sync::Arc::new(parse_file("a.yaml", bytes, &Options::default()));
    let _told = assemble(&[file], &Customs::default());
}

/// A body as a request brings it, in a format and for a kind by the first byte, up to what is put to core.
pub fn bodies(bytes: &[u8]) {
    const MEDIA: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
    let Some((first, body)) = bytes.split_first() else { return };
    let sort = usize::from(*first);
    let kind = KINDS[sort / MEDIA.len() % KINDS.len()];
    if let Some(value) = sent_body(kind, MEDIA[sort % MEDIA.len()], body) {
        let _problems = validate::object(kind, &value);
    }
}

fn live() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"a": "b"}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                {"name": "a", "image": "a:1", "ports": [{"containerPort": 80}], "env": [{"name": "X", "value": "y"}]},
                {"name": "b", "image": "b:1", "args": ["x", "y"]}]}}}})
}

/// A patch of each sort, by the first byte, on a Deployment; and what it makes of it, decoded and checked.
pub fn patches(bytes: &[u8]) {
    let Some((sort, body)) = bytes.split_first() else { return };
    let live = live();
    let made = match sort % 4 {
        0 => json_patch(Patch::Merge, body, &live),
        1 => json_patch(Patch::Json, body, &live),
        2 => json_patch(Patch::Strategic, body, &live),
        _ => serde_yaml::from_slice::<Value>(body).ok().and_then(|applied| {
            let managed = Managed::default();
            let by = Apply { manager: "me", force: true, time: Time(0), exclude: FieldSet::EMPTY, subresource: "" };
            let schema = SchemaRef::Table(Kind::Deployment).node();
            merge::apply(schema, &live, &managed, &applied, &by).ok().map(|made| made.value)
        }),
    };
    if let Some(made) = made {
        judge(Kind::Deployment, &made);
    }
}

/// A tree as an object of a kind.
fn judge(kind: Kind, tree: &Value) {
    let value = decode::decode(of_kind(kind), tree, decode::Options::default(), &mut |_: decode::Fault<&Value>| {});
    let _problems = validate::object(kind, &value);
}

/// A message as an object of a kind, by the first byte, and as the options of a deletion.
pub fn protobufs(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else { return };
    let raw = protobuf::envelope(body).map_or(body, |envelope| envelope.raw);
    if let Ok(value) = protobuf::decode(of_kind(kind(*first)), raw) {
        judge(kind(*first), &value);
    }
    sent_options(body);
}

/// Text as selectors of both kinds, and as a query.
pub fn selectors(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(selector) = Selector::parse(text) {
        let _fits = selector.matches(&[("app".to_owned(), "web".to_owned())].into());
    }
    query(text);
}

/// A client's bytes of SPDY, in two pieces: the first byte says where they part.
pub fn spdy(bytes: &[u8]) {
    let Some((at, bytes)) = bytes.split_first() else { return };
    let (first, second) = bytes.split_at(usize::from(*at).min(bytes.len()));
    spdy_frames(&[first, second]);
}

/// A client's messages of a command in a pod: each begins with its length, and the first byte says which version
/// of the protocol they speak.
pub fn channels(bytes: &[u8]) {
    let Some((version, mut rest)) = bytes.split_first() else { return };
    while let Some((len, after)) = rest.split_first() {
        let (message, after) = after.split_at(usize::from(*len).min(after.len()));
        channel_messages(version % 2 == 0, message);
        rest = after;
    }
}

/// A rule of a definition, and an object that is judged by it.
pub fn cel(bytes: &[u8]) {
    let Ok(rule) = std::str::from_utf8(bytes) else { return };
    let schema = json!({"type": "object", "x-kubernetes-validations": [{"rule": rule}], "properties": {
        "spec": {"type": "object", "properties": {
            "n": {"type": "integer"}, "text": {"type": "string", "maxLength": 100},
            "list": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 20}},
            "map": {"type": "object", "maxProperties": 10, "additionalProperties": {"type": "integer"}}}}}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.fuzz.example"},
        "spec": {"group": "fuzz.example", "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things", "singular": "thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    if !validate::object(Kind::CustomResourceDefinition, &definition).is_empty() {
        return;
    }
    let Some(read) = Definition::read(&definition["spec"], false) else { return };
    let Some(version) = read.version("v1") else { return };
    let thing = json!({"apiVersion": "fuzz.example/v1", "kind": "Thing", "metadata": {"name": "a", "namespace": "b"},
        "spec": {"n": 5, "text": "a text", "list": ["x", "y"], "map": {"k": 1}}});
    let mut before = thing.clone();
    before["spec"]["n"] = json!(4);
    for before in [Before::Nothing, Before::Was(&before)] {
        let _problems = SchemaRef::Custom(version).validate(&thing, before);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        panic::catch_unwind,
        path::Path,
        time::{Duration, Instant},
    };

    use evenkeel_model::Rng;

    use super::*;

    /// Of each target, unless `EVENKEEL_FUZZ_SECONDS` says more.
    const TIME: Duration = Duration::from_secs(2);
    /// One input takes no longer than this, on a machine that does much else.
    const MOST: Duration = Duration::from_secs(10);
    /// Bytes of an input.
    const LONGEST: usize = 4096;

    /// The inputs that are kept of a target.
    fn kept(target: &str) -> Vec<Vec<u8>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|file| fs::read(file).unwrap()).collect()
    }

    fn at(rng: &mut Rng, len: usize) -> usize {
        usize::try_from(rng.below(len.max(1) as u64)).unwrap()
    }

    /// One input from others: some bytes changed, taken out, repeated, or put together from two.
    fn mutated(all: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
        let mut out = all[at(rng, all.len())].clone();
        for _ in 0..=rng.below(6) {
            let (i, len) = (at(rng, out.len()), out.len());
            match rng.below(7) {
                0 if len > 0 => out[i] ^= 1 << rng.below(8),
                1 if len > 0 => {
                    out[i] = [0, 1, 0x7f, 0x80, 0xff, b'{', b'[', b'"', b'&', b'*', b'(', b'\n'][at(rng, 12)];
                }
                2 if len > 0 => drop(out.drain(i..(i + 1 + at(rng, 16)).min(len))),
                3 => out.insert(i, u8::try_from(rng.below(256)).unwrap()),
                4 if len > 0 => {
                    let piece = out[i..(i + 1 + at(rng, 64)).min(len)].to_vec();
                    (0..=rng.below(8)).for_each(|_| out.splice(i..i, piece.clone()).for_each(drop));
                }
                5 => out.truncate(i),
                _ => {
                    let other = &all[at(rng, all.len())];
                    out.truncate(i);
                    out.extend_from_slice(&other[at(rng, other.len()).min(other.len())..]);
                }
            }
        }
        out.truncate(LONGEST);
        out
    }

    fn run((name, read): Target, input: &[u8]) {
        let start = Instant::now();
        let text = String::from_utf8_lossy(input);
        assert!(catch_unwind(|| read(input)).is_ok(), "{name} panics on {input:?}: {text}");
        assert!(start.elapsed() < MOST, "{name} takes {:?} for {input:?}: {text}", start.elapsed());
    }

    /// Tries a target with what is kept of it, and with mutations of that for some time.
    fn tried(target: Target, mut all: Vec<Vec<u8>>, time: Duration) {
        for input in &all {
            run(target, input);
        }
        // Fixed, so that a failure has the same inputs again.
        let (mut rng, end, mut tried) = (Rng::new(7), Instant::now() + time, 0_u32);
        while Instant::now() < end || tried < 50 {
            let input = mutated(&all, &mut rng);
            run(target, &input);
            tried += 1;
            // Some become beginnings themselves.
            if all.len() < 500 && rng.below(8) == 0 {
                all.push(input);
            }
        }
    }

    #[test]
    fn no_bytes_break_a_reader() {
        let seconds = std::env::var("EVENKEEL_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
        let time = seconds.map_or(TIME, Duration::from_secs);
        std::thread::scope(|scope| {
            for target in TARGETS {
                scope.spawn(move || {
                    let all = kept(target.0);
                    assert!(all.len() >= 3, "{}: too little to begin with", target.0);
                    tried(target, all, time);
                });
            }
        });
    }

    #[test]
    fn a_reader_that_breaks_is_found() {
        // Nothing that is kept breaks it, only what becomes of it: a byte that is none of text.
        let fragile: Target = ("fragile", |bytes| assert!(bytes.iter().all(u8::is_ascii), "no text"));
        let found = catch_unwind(|| tried(fragile, vec![b"some text".to_vec(), b"more".to_vec()], TIME));
        let told = found.unwrap_err().downcast::<String>().unwrap();
        assert!(told.contains("fragile panics on ["), "{told}");
    }
}
