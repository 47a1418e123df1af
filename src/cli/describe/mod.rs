//! `evenkeel describe`: one object in words, with its events.

mod behind;

use std::process::ExitCode;

use anyhow::Result;
use evenkeel_model::Kind;
use serde_json::{Map, Value};

use super::{
    Cx, Out,
    error::hinted,
    kinds,
    objects::{ago, happened, items, name, text},
    output::{Tone, align, one_line, yaml},
    paths::{self, Scope},
};
use crate::client::Client;

/// Show one object in full, with its events
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  evenkeel describe pod web-5d7f-abcde -n shop\n  evenkeel describe release shop-0123456789\n  evenkeel describe deployment/web\n  evenkeel describe service web"
)]
pub(crate) struct Args {
    /// KIND or KIND/NAME
    #[arg(value_name = "KIND")]
    kind: String,
    /// Name of the object; a beginning of it is enough
    name: Option<String>,
    #[command(flatten)]
    scope: Scope,
}

/// Runs the verb.
pub(crate) async fn run(args: Args, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let (kind, wanted) = paths::kind_and_name(&args.kind, args.name)?;
    let kind = kinds::find(&client, kind).await?;
    let namespace = args.scope.of(&client);
    let objects = find(&client, kind, &namespace, wanted.as_deref()).await?;
    for (i, object) in objects.iter().enumerate() {
        if i > 0 {
            cx.out.line("\n")?;
        }
        describe(&client, kind, object, &mut cx.out).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The object of that name, else those whose names begin so; all without a name.
async fn find(client: &Client, kind: Kind, namespace: &str, wanted: Option<&str>) -> Result<Vec<Value>> {
    if let Some(wanted) = wanted.filter(|_| !namespace.is_empty() || !kind.namespaced())
        && let Some(object) = client.find(&paths::item(kind, namespace, wanted)).await?
    {
        return Ok(vec![object]);
    }
    let list = client.get(&paths::collection(kind, namespace)).await?;
    let begins = |o: &&Value| wanted.is_none_or(|w| name(o).starts_with(w));
    let found: Vec<Value> = items(&list).iter().filter(begins).cloned().collect();
    if found.is_empty() {
        let what = kind.resource();
        return Err(match wanted {
            Some(wanted) => hinted(
                format!("{what} \"{wanted}\" not found"),
                "`evenkeel get` lists what there is; -n names a namespace",
            ),
            None => hinted(format!("there are no {what}"), "-n names a namespace, -A means all"),
        });
    }
    Ok(found)
}

async fn describe(client: &Client, kind: Kind, object: &Value, out: &mut Out) -> Result<()> {
    let head = [
        ("Name", name(object)),
        ("Namespace", text(object, "/metadata/namespace")),
        ("Created", text(object, "/metadata/creationTimestamp")),
        ("Deleting since", text(object, "/metadata/deletionTimestamp")),
    ];
    for (label, value) in head.into_iter().filter(|(_, v)| !v.is_empty()) {
        out.line(format!("{:<16}{value}", format!("{label}:")))?;
    }
    pairs(out, "Labels", object.pointer("/metadata/labels"))?;
    pairs(out, "Annotations", object.pointer("/metadata/annotations"))?;
    for owner in object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten() {
        out.line(format!("{:<16}{}/{}", "Controlled by:", text(owner, "/kind"), text(owner, "/name")))?;
    }
    let shown = if kind == Kind::Secret { without_values(object) } else { object.clone() };
    let known = ["apiVersion", "kind", "metadata"];
    for (field, value) in shown.as_object().into_iter().flatten().filter(|(k, _)| !known.contains(&k.as_str())) {
        block(out, field, value)?;
    }
    if kind == Kind::Service {
        behind::show(client, object, out).await?;
    }
    events(client, object, out).await
}

fn pairs(out: &mut Out, label: &str, map: Option<&Value>) -> Result<()> {
    let mut label = format!("{label}:");
    for (key, value) in map.and_then(Value::as_object).into_iter().flatten() {
        let value = one_line(value.as_str().unwrap_or_default());
        out.line(format!("{label:<16}{key}={value}"))?;
        label.clear();
    }
    Ok(())
}

/// A field as an indented block.
fn block(out: &mut Out, field: &str, value: &Value) -> Result<()> {
    let mut letters = field.chars();
    let title: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if let Some(plain) = value.as_str().filter(|s| !s.contains('\n')) {
        return out.line(format!("{:<16}{plain}", format!("{title}:")));
    }
    let title = out.paint(Tone::Bold, &format!("{title}:"));
    out.line(title)?;
    for line in yaml(value)?.lines() {
        out.line(format!("  {line}"))?;
    }
    Ok(())
}

/// A Secret with sizes in place of values.
fn without_values(secret: &Value) -> Value {
    let mut secret = secret.clone();
    for field in ["data", "stringData"] {
        if let Some(Value::Object(map)) = secret.get_mut(field) {
            let sizes: Map<String, Value> = map
                .iter()
                .map(|(k, v)| {
                    let base64 = v.as_str().unwrap_or_default();
                    let padding = base64.bytes().rev().take_while(|b| *b == b'=').count();
                    (k.clone(), format!("{} bytes", (base64.len() / 4 * 3).saturating_sub(padding)).into())
                })
                .collect();
            *map = sizes;
        }
    }
    secret
}

async fn events(client: &Client, object: &Value, out: &mut Out) -> Result<()> {
    let selector = format!("involvedObject.uid={}", text(object, "/metadata/uid"));
    let path = format!("{}{}", paths::collection(Kind::Event, ""), paths::query(&[("fieldSelector", &selector)]));
    let list = client.get(&path).await?;
    let mut events: Vec<&Value> = items(&list).iter().collect();
    if events.is_empty() {
        return out.line(format!("{:<16}<none>", "Events:"));
    }
    events.sort_by_key(|e| happened(e));
    let title = out.paint(Tone::Bold, "Events:");
    out.line(title)?;
    let head: Vec<String> = ["AGE", "TYPE", "REASON", "MESSAGE"].map(Into::into).to_vec();
    let rows: Vec<Vec<String>> = events
        .iter()
        .map(|e| {
            let count = e.get("count").and_then(Value::as_i64).filter(|n| *n > 1);
            let times = count.map(|n| format!(" (x{n})")).unwrap_or_default();
            let age = format!("{}{times}", ago(e, "/lastTimestamp"));
            vec![age, text(e, "/type").into(), text(e, "/reason").into(), one_line(text(e, "/message"))]
        })
        .collect();
    let all: Vec<&[String]> = std::iter::once(head.as_slice()).chain(rows.iter().map(Vec::as_slice)).collect();
    align(&all).into_iter().try_for_each(|line| out.line(format!("  {line}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_shows_sizes() {
        let shown = without_values(&json!({"data": {"a": "YQ==", "b": "YWJj"}}));
        assert_eq!(shown, json!({"data": {"a": "1 bytes", "b": "3 bytes"}}));
    }
}
