//! `evenkeel diff`: what a directory or a revision would change, decided by the server.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use evenkeel_manifest::is_manifest_path;
use evenkeel_model::own::SourceSpec;
use hyper::Method;
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

use super::{
    Cx, Out,
    objects::{text, typed},
    output::{Format, Tone, yaml},
    paths,
};

/// Bytes of manifests that are sent: the server's own bound, less what JSON adds.
const MAX_BYTES: u64 = 48 << 20;
/// Lines around a change.
const CONTEXT: usize = 3;

/// Show what a directory or a revision would change, and where pods would go
///
/// Nothing is written. Secret values are shown as digests. Exit code 0: nothing would change; 2:
/// something would; 1: error, or the revision would be rejected.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel diff ./manifests\n  evenkeel diff 0123456789 --source shop\n  evenkeel diff                 the newest revision that was seen"
)]
pub(crate) struct Args {
    /// A directory, or a branch, tag or commit of the source [default: the newest revision seen]
    #[arg(value_name = "DIR|REVISION")]
    what: Option<String>,
    /// Source whose revision it would be [default: the only one]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let name = paths::one_source(&client, args.source.as_deref()).await?;
    let source = client.get(&paths::source(&name)).await?;
    let body = match &args.what {
        Some(what) if Path::new(what).is_dir() => {
            let spec: SourceSpec = typed(&source, "/spec")?;
            json!({"files": files(Path::new(what), spec.path.as_deref().unwrap_or_default())?})
        }
        Some(revision) => json!({"revision": revision}),
        None => match text(&source, "/status/observedRevision") {
            "" => bail!("no revision of {name} was seen yet"),
            revision => json!({"revision": revision}),
        },
    };
    let plan = client.send(Method::POST, &format!("{}/diff", paths::source(&name)), &body).await?;
    if matches!(args.output, Format::Json | Format::Yaml) {
        cx.out.object(&plan, args.output)?;
        return Ok(code(&plan));
    }
    for d in strings(&plan, "diagnostics") {
        eprintln!("{d}");
    }
    if plan.get("rejected").and_then(Value::as_bool) == Some(true) {
        bail!("the revision would be rejected: nothing of it would be applied");
    }
    let mut counts = [0_u32; 3];
    for object in changes(&plan) {
        counts[show(&mut cx.out, object)?] += 1;
    }
    let [create, change, delete] = counts;
    let unchanged = plan.get("unchanged").and_then(Value::as_u64).unwrap_or(0);
    let summary = format!("Plan: {create} to create, {change} to change, {delete} to delete, {unchanged} unchanged");
    let summary = cx.out.paint(Tone::Bold, &summary);
    cx.out.line(summary)?;
    Ok(code(&plan))
}

fn changes(plan: &Value) -> impl Iterator<Item = &Value> {
    plan.get("objects").and_then(Value::as_array).into_iter().flatten()
}

fn code(plan: &Value) -> ExitCode {
    if plan.get("rejected").and_then(Value::as_bool) == Some(true) {
        ExitCode::FAILURE
    } else if changes(plan).next().is_some() {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}

fn strings<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    value.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Shows one object's change; says whether it is a creation, a change or a deletion (0, 1, 2).
fn show(out: &mut Out, object: &Value) -> Result<usize> {
    let side = |name: &str| object.get(name).filter(|v| !v.is_null());
    let (before, after) = (side("before"), side("after"));
    let what = text(object, "/object");
    let kind = match (before, after) {
        (None, _) => 0,
        (Some(_), Some(_)) => 1,
        (Some(_), None) => 2,
    };
    let title = out.paint(Tone::Bold, &format!("{} {what}", ["create", "change", "delete"][kind]));
    out.line(title)?;
    let yaml_of = |v: Option<&Value>| v.map_or_else(|| Ok(String::new()), |v| yaml(&plain(v)));
    for (tone, line) in unified(&yaml_of(before)?, &yaml_of(after)?) {
        let line = tone.map_or_else(|| line.clone(), |t| out.paint(t, &line));
        out.line(line)?;
    }
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for place in strings(object, "placement") {
        *places.entry(place).or_default() += 1;
    }
    for (place, count) in places {
        out.line(format!("  pods: {count} to {place}"))?;
    }
    out.line("")?;
    Ok(kind)
}

/// A tree without what the server sets: it says nothing about the change.
fn plain(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(map) = value.as_object_mut() {
        map.remove("status");
    }
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        for field in ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"] {
            metadata.remove(field);
        }
    }
    value
}

/// A unified diff's lines, with what colours them.
fn unified(before: &str, after: &str) -> Vec<(Option<Tone>, String)> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        lines.push((Some(Tone::Faint), hunk.header().to_string()));
        for change in hunk.iter_changes() {
            let (sign, tone) = match change.tag() {
                ChangeTag::Equal => (' ', None),
                ChangeTag::Delete => ('-', Some(Tone::Bad)),
                ChangeTag::Insert => ('+', Some(Tone::Good)),
            };
            lines.push((tone, format!("{sign}{}", change.value().trim_end_matches('\n'))));
        }
    }
    lines
}

/// The manifests of a directory; of the source's folder in it, if that is there.
fn files(dir: &Path, folder: &str) -> Result<Vec<Value>> {
    let inner = dir.join(folder);
    let root = if !folder.is_empty() && inner.is_dir() { inner } else { dir.to_owned() };
    let (mut out, mut bytes, mut folders) = (Vec::new(), 0_u64, vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        let here = root.join(&folder);
        let entries = fs::read_dir(&here).with_context(|| format!("cannot read {}", here.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", here.display()))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = folder.join(&name);
            // A link to a file is read as the server would; one to a folder is not followed.
            let kind = entry.file_type().with_context(|| format!("cannot read {}", entry.path().display()))?;
            if kind.is_dir() && !name.starts_with('.') {
                folders.push(path);
                continue;
            }
            let path = path.to_string_lossy().into_owned();
            if kind.is_dir() || !is_manifest_path(&path) || !entry.path().is_file() {
                continue;
            }
            let text = fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
            bytes += text.len() as u64;
            if bytes > MAX_BYTES {
                bail!("{} holds more than {} MiB of manifests", root.display(), MAX_BYTES >> 20);
            }
            let text = String::from_utf8(text).map_err(|_| anyhow::anyhow!("{path} is not UTF-8"))?;
            out.push(json!({"path": path, "text": text}));
        }
    }
    out.sort_by(|a, b| text(a, "/path").cmp(text(b, "/path")));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_shown_with_their_surroundings() {
        let lines: Vec<String> = unified("a: 1\nb: 2\n", "a: 1\nb: 3\n").into_iter().map(|(_, l)| l).collect();
        assert_eq!(lines, ["@@ -1,2 +1,2 @@\n", " a: 1", "-b: 2", "+b: 3"].map(str::trim_end).map(String::from));
    }

    #[test]
    fn the_exit_code_tells_whether_anything_would_change() {
        let success = format!("{:?}", ExitCode::SUCCESS);
        assert_eq!(format!("{:?}", code(&json!({"objects": []}))), success);
        assert_ne!(format!("{:?}", code(&json!({"objects": [{}]}))), success);
    }

    #[test]
    fn manifests_of_a_directory_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("b.yaml", "b"), ("deploy/a.yml", "a"), (".git/x.yaml", "x"), ("notes.txt", "n")] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let names = |folder: &str| {
            let files = files(dir.path(), folder).unwrap();
            files.iter().map(|f| text(f, "/path").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(""), ["b.yaml", "deploy/a.yml"]);
        assert_eq!(names("deploy"), ["a.yml"]);
        assert_eq!(names("missing"), ["b.yaml", "deploy/a.yml"]);
    }
}
