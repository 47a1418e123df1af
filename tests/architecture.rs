//! The walls of the workspace, as `docs/architecture.md` draws them.
//!
//! A new edge between crates, an effect in a pure one, or a feature that changes what canonical
//! JSON means fails here first. Deliberately not here: what the compiler or clippy say themselves.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Each crate and the crates of this workspace that it may use. Another edge is a change of the
/// design: it comes in a commit of its own, with this table and the document.
const EDGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("schema", &["model"]),
    ("manifest", &["model", "schema"]),
    ("core", &["model", "schema"]),
    ("audit", &["model"]),
    ("store", &["files", "model"]),
    ("files", &[]),
    ("source", &["model", "manifest"]),
    ("conductor", &["model", "core", "store"]),
    ("wire", &["model"]),
    ("net", &["files", "model"]),
    ("ingress", &["files", "model"]),
    ("runtime", &["model"]),
    ("agent", &["files", "model", "ingress", "net", "runtime", "wire"]),
    ("server", &["files", "model", "schema", "manifest", "core", "audit", "store", "source", "conductor", "wire"]),
    ("lab", &[]),
    ("evenkeel", &["files", "model", "manifest", "core", "store", "source", "server", "agent", "runtime", "wire"]),
];

/// The pure crates and all that they may use from elsewhere: nothing with a clock, a file, a socket
/// or a generator of its own.
const PURE: &[(&str, &[&str])] = &[
    ("model", &["base64", "hmac", "jiff", "k8s-openapi", "once_cell", "serde", "serde_json", "sha2", "thiserror"]),
    ("schema", &["regex", "serde", "serde_json", "thiserror"]),
    ("manifest", &["saphyr-parser", "serde_json"]),
    ("core", &["imbl", "k8s-openapi", "serde", "serde_json"]),
    ("audit", &["serde", "serde_json"]),
];

/// Pure crates that do without the standard library, which takes its effects away.
const NO_STD: &[&str] = &["model", "schema", "core", "audit"];

/// Words that have no place in a pure crate.
const EFFECTS: &[&str] = &[
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "SystemTime",
    "HashMap",
    "HashSet",
    "static mut",
    "thread_local!",
];

/// Lines of one file, its tests not counted: beyond it nobody sees a file as a whole.
const LINES: usize = 600;

/// What a program writes.
const GENERATED: [&str; 2] = ["crates/schema/src/tables/", "crates/wire/src/generated/"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn cargo(arguments: &[&str]) -> String {
    let out = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(out.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// A crate's dependencies by kind (`normal`, `dev`, `build`).
type Dependencies = BTreeMap<String, BTreeSet<String>>;

/// All crates of the workspace by their short names.
fn crates() -> BTreeMap<String, Dependencies> {
    let text = cargo(&["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let short = |name: &Value| name.as_str().unwrap().trim_start_matches("evenkeel-").to_string();
    let mut out = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let mut dependencies = Dependencies::new();
        for dependency in package["dependencies"].as_array().unwrap() {
            let kind = dependency["kind"].as_str().unwrap_or("normal").to_string();
            let inside = !dependency["path"].is_null();
            let name = if inside { short(&dependency["name"]) } else { format!("+{}", short(&dependency["name"])) };
            dependencies.entry(kind).or_default().insert(name);
        }
        out.insert(short(&package["name"]), dependencies);
    }
    out
}

/// Source files below a folder, as paths from the root with their text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_string();
                out.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    out.sort();
    out
}

fn own_sources() -> Vec<(String, String)> {
    ["crates", "src", "tests", "benches"].into_iter().flat_map(sources).collect()
}

/// A file without its unit tests, which stand at its end.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests {").map_or(text, |at| &text[..at])
}

fn is_test(name: &str) -> bool {
    name.contains("/tests/") || name.starts_with("tests/") || name.ends_with("tests.rs") || name.ends_with("testkit.rs")
}

/// Code without comments, by line.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(n, line)| (n + 1, line.split("//").next().unwrap_or_default()))
}

#[test]
fn crates_use_only_the_layers_below_them() {
    let crates = crates();
    let known: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    assert_eq!(crates.keys().map(String::as_str).collect::<BTreeSet<_>>(), known, "the crates of the workspace");
    for (name, allowed) in EDGES {
        let inside = |kind: &str| -> BTreeSet<&str> {
            let all = crates[*name].get(kind).into_iter().flatten();
            all.map(String::as_str).filter(|d| !d.starts_with('+')).collect()
        };
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert_eq!(inside("normal"), allowed, "what `{name}` uses");
        assert!(inside("build").is_empty(), "`{name}` builds with crates of the workspace");
        if *name != "evenkeel" {
            assert!(inside("dev").is_subset(&allowed), "what the tests of `{name}` use: {:?}", inside("dev"));
        }
    }
}

#[test]
fn pure_crates_use_nothing_with_effects() {
    let crates = crates();
    for (name, allowed) in PURE {
        let outside: BTreeSet<&str> = crates[*name]["normal"].iter().filter_map(|d| d.strip_prefix('+')).collect();
        assert_eq!(outside, allowed.iter().copied().collect(), "what `{name}` uses from elsewhere");
        let mut found = Vec::new();
        for (file, text) in sources(&format!("crates/{name}/src")) {
            for (line, code) in code(without_tests(&text)) {
                found.extend(EFFECTS.iter().filter(|w| code.contains(**w)).map(|w| format!("{file}:{line}: {w}")));
            }
        }
        assert!(found.is_empty(), "effects in a pure crate: {found:#?}");
    }
    for name in NO_STD {
        let text = fs::read_to_string(root().join(format!("crates/{name}/src/lib.rs"))).unwrap();
        assert!(text.lines().any(|l| l == "#![no_std]"), "`{name}` is no_std");
    }
}

/// Canonical JSON relies on maps that sort, and on numbers that are what they are.
#[test]
fn no_feature_changes_what_json_means() {
    let tree = cargo(&[
        "tree",
        "--offline",
        "--locked",
        "--workspace",
        "--depth",
        "0",
        "--invert",
        "serde_json",
        "--format",
        "{p} {f}",
    ]);
    assert!(tree.contains("serde_json"), "{tree}");
    for feature in ["preserve_order", "arbitrary_precision"] {
        assert!(!tree.contains(feature), "something switches on serde_json's `{feature}`: {tree}");
    }
}

#[test]
fn every_file_says_what_it_is_for_and_can_be_seen_as_a_whole() {
    let mut bad = Vec::new();
    for (name, text) in own_sources().into_iter().chain(sources("manifests-example")) {
        if !text.starts_with("//!") {
            bad.push(format!("{name} does not open with `//!`"));
        }
        let lines = without_tests(&text).lines().count();
        if lines > LINES && !is_test(&name) && !GENERATED.iter().any(|g| name.starts_with(g)) {
            bad.push(format!("{name} has {lines} lines"));
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn nothing_is_unsafe() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for (name, _) in EDGES.iter().filter(|(name, _)| *name != "evenkeel") {
        let manifest = fs::read_to_string(root().join(format!("crates/{name}/Cargo.toml"))).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "`{name}` takes the workspace's lints");
    }
    let keyword = concat!("unsafe", " {");
    let found: Vec<String> = own_sources()
        .iter()
        .flat_map(|(name, text)| {
            code(text)
                .filter(|(_, code)| code.contains(keyword))
                .map(|(n, _)| format!("{name}:{n}"))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(found.is_empty(), "{found:?}");
}
