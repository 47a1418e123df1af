//! What people type: `commands/script.txt`, run by the oldest and the newest kubectl of the machine (by all of
//! them with `EVENKEEL_KUBECTLS=all`), each in a namespace of its own, and held against what it says there.
//!
//! A line of the script that begins with `$ ` is a command of a shell, whose output (both streams) must be the
//! lines with `> ` below it, in their order. In those `*` stands for anything within a line, `...` for any number
//! of lines, and a run of blanks for another. A `! N` says that the command ends with that code. Ways into pods
//! have stories of their own (`exec`, `forward`, `debug`, `streams`).

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{Cluster, eventually, output};

const SCRIPT: &str = include_str!("commands/script.txt");

/// One command and what is expected of it.
#[derive(Debug, Default)]
struct Case<'s> {
    line: usize,
    command: String,
    expected: Vec<&'s str>,
    code: i32,
}

fn cases(script: &str) -> Vec<Case<'_>> {
    let mut out: Vec<Case<'_>> = Vec::new();
    for (i, line) in script.lines().enumerate() {
        if let Some(command) = line.strip_prefix("$ ") {
            out.push(Case { line: i + 1, command: command.into(), ..Case::default() });
            continue;
        }
        let last = out.last_mut();
        match (line.split_once(' ').unwrap_or((line, "")), last) {
            (("" | "#", _), _) => {}
            ((">", text), Some(case)) => case.expected.push(text),
            (("!", code), Some(case)) => case.code = code.parse().unwrap(),
            // A command goes on.
            (("|", text), Some(case)) => case.command = format!("{}\n{text}", case.command),
            _ => panic!("line {} of the script: {line}", i + 1),
        }
    }
    out
}

/// Whether a text is what a pattern with `*` says.
fn fits(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) => (0..=text.len()).any(|n| fits(rest, &text[n..])),
        (Some((p, rest)), Some((t, more))) if p == t => fits(rest, more),
        _ => false,
    }
}

fn line_fits(pattern: &str, line: &str) -> bool {
    let words = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect::<Vec<_>>();
    fits(&words(pattern), &words(line))
}

fn all_fit(patterns: &[&str], lines: &[&str]) -> bool {
    match (patterns.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((&"...", rest)), _) => (0..=lines.len()).any(|n| all_fit(rest, &lines[n..])),
        (Some((pattern, rest)), Some((line, more))) if line_fits(pattern, line) => all_fit(rest, more),
        _ => false,
    }
}

#[test]
fn expectations_are_held_against_whole_outputs() {
    let lines = ["NAME   AGE", "a 5s", "b 7m", "c"];
    for (patterns, holds) in [
        (&["NAME AGE", "a *", "b *", "c"][..], true),
        (&["NAME AGE", "...", "c"], true),
        (&["...", "c", "..."], true),
        (&["NAME AGE", "a *", "c"], false),
        (&["NAME AGE", "b *", "..."], false),
        (&[], false),
    ] {
        assert_eq!(all_fit(patterns, &lines), holds, "{patterns:?}");
    }
    let all = cases(SCRIPT);
    assert!(all.len() >= 60, "{}", all.len());
    for case in all {
        assert!(!case.expected.iter().all(|e| *e == "..."), "line {}: nothing is expected", case.line);
    }
}

/// The kubectls of this machine, the oldest first: the one of the path, and those that lie beside it.
fn kubectls() -> Vec<(u32, PathBuf)> {
    let found = output(Command::new("sh").args(["-c", "command -v kubectl"]));
    let path = fs::canonicalize(String::from_utf8_lossy(&found.stdout).trim()).unwrap();
    let beside = fs::read_dir(path.parent().unwrap()).unwrap().flatten().map(|e| e.path());
    let named = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("kubectl."));
    let mut all: Vec<(u32, PathBuf)> =
        beside.filter(named).chain([path.clone()]).filter_map(|p| Some((minor(&p)?, p))).collect();
    all.sort();
    all.dedup_by_key(|(minor, _)| *minor);
    assert!(!all.is_empty(), "there is no kubectl");
    if std::env::var("EVENKEEL_KUBECTLS").is_ok_and(|v| v == "all") {
        return all;
    }
    let (first, last) = (all[0].clone(), all[all.len() - 1].clone());
    let mut ends = vec![first, last];
    ends.dedup();
    ends
}

fn minor(kubectl: &Path) -> Option<u32> {
    let said = Command::new(kubectl).args(["version", "--client", "-o", "json"]).stdin(Stdio::null()).output().ok()?;
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).ok()?;
    said["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse().ok()
}

/// A folder with this kubectl under its plain name, a kubeconfig and what the script needs.
fn place(cluster: &Cluster, minor: u32, kubectl: &Path) -> PathBuf {
    let dir = cluster.dir.path().join(format!("kubectl-{minor}"));
    fs::create_dir(&dir).unwrap();
    symlink(kubectl, dir.join("kubectl")).unwrap();
    fs::copy(cluster.data().join("admin.kubeconfig"), dir.join("config")).unwrap();
    let editor = dir.join("editor");
    fs::write(&editor, "#!/bin/sh\nsed -i \"$EDIT\" \"$1\"\n").unwrap();
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
    for (name, text) in [
        ("web.yaml", include_str!("commands/web.yaml")),
        ("map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: map}\ndata: {a: \"1\", b: \"1\"}\n"),
        ("map2.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: map}\ndata: {a: \"2\"}\n"),
    ] {
        fs::write(dir.join(name), text).unwrap();
    }
    dir
}

#[test]
fn every_command_of_kubectl_does_what_it_does_elsewhere() {
    let cluster = Cluster::start(&[]);
    let node = eventually("the node is there", || {
        cluster.items(&["nodes"]).first().and_then(|n| n["metadata"]["name"].as_str().map(String::from))
    });
    cluster.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", &format!("node/{node}")]);
    let mut wrong = Vec::new();
    for (minor, kubectl) in kubectls() {
        println!("kubectl 1.{minor}: {}", kubectl.display());
        let dir = place(&cluster, minor, &kubectl);
        let namespace = format!("k{minor}");
        for case in cases(SCRIPT) {
            let mut shell = Command::new("sh");
            let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
            shell.args(["-c", &format!("{{ {}\n}} 2>&1", case.command)]).current_dir(&dir).stdin(Stdio::null());
            shell.env("PATH", path).env("HOME", &dir).env("KUBECONFIG", dir.join("config")).env("NO_PROXY", "*");
            shell.env("NS", &namespace).env("NODE", &node).env("IMAGE", "shop.example/shop");
            shell.env("EDITOR", dir.join("editor")).env("KUBE_EDITOR", dir.join("editor"));
            let said = output(&mut shell);
            let text = String::from_utf8_lossy(&said.stdout).replace(&namespace, "NS").replace(&node, "NODE");
            let lines: Vec<&str> = text.lines().collect();
            let code = said.status.code().unwrap_or(-1);
            if code != case.code || !all_fit(&case.expected, &lines) {
                let expected = case.expected.join("\n  ");
                wrong.push(format!(
                    "kubectl 1.{minor}, line {}: {}\nended with {code}, expected {}, and said\n  {}\nexpected\n  {expected}\n",
                    case.line, case.command, case.code, lines.join("\n  ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} commands differ:\n{}", wrong.len(), wrong.join("\n"));
    cluster.audit();
}
