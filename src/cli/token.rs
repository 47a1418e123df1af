//! `evenkeel token`: create, list, revoke.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use hyper::Method;
use serde_json::{Value, json};

use super::{Cx, lasting::label, output::Format};

/// Where the server has them.
const PATH: &str = "/evenkeel/tokens";

/// Make, list and revoke tokens by which machines join
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Print a new token, alone, on stdout
    #[command(
        after_help = "Examples:\n  evenkeel token create\n  evenkeel token create --ttl 10m --uses 1 --labels zone=a > token"
    )]
    Create {
        /// How long machines may join by it; 0 is for ever
        #[arg(long, value_name = "DURATION", default_value = "24h")]
        ttl: String,
        /// How many machines may join by it [default: any number]
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        uses: Option<u32>,
        /// Labels of the nodes that join by it, as zone=a,disk=ssd
        #[arg(long, value_name = "K=V,...", value_delimiter = ',', value_parser = label)]
        labels: Vec<(String, String)>,
    },
    /// Show the tokens; their secrets are not kept and cannot be shown
    #[command(after_help = "Example:\n  evenkeel token list")]
    List {
        /// Form of the answer
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Let no machine join by a token any more; nodes that did stay
    #[command(after_help = "Example:\n  evenkeel token revoke 0a1b2c3d")]
    Revoke {
        /// Id of the token: the part after `ek1.`
        id: String,
    },
}

/// Runs the verb.
pub(crate) async fn run(verb: Verb, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    match verb {
        Verb::Create { ttl, uses, labels } => {
            let labels: serde_json::Map<String, Value> = labels.into_iter().map(|(k, v)| (k, v.into())).collect();
            let asked = json!({"ttl": ttl, "uses": uses, "labels": labels});
            let made = client.send(Method::POST, PATH, &asked).await?;
            let text = made.get("token").and_then(Value::as_str).context("the server's answer has no token")?;
            cx.out.line(text)?;
        }
        Verb::List { output } => {
            let all = client.get(PATH).await?;
            if matches!(output, Format::Json | Format::Yaml) {
                cx.out.object(&all, output)?;
            } else {
                let header: Vec<String> =
                    ["ID", "EXPIRES", "USED", "LABELS", "NODES"].into_iter().map(Into::into).collect();
                let rows: Vec<Vec<String>> = all["items"].as_array().into_iter().flatten().map(row).collect();
                cx.out.table(&header, &rows)?;
            }
        }
        Verb::Revoke { id } => {
            client.send(Method::DELETE, &format!("{PATH}/{id}"), &Value::Null).await?;
            cx.out.line(format!("token {id} revoked"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(token: &Value) -> Vec<String> {
    let text = |field: &str| token[field].as_str().unwrap_or_default().to_owned();
    let used = match token["uses"].as_u64() {
        Some(uses) => format!("{}/{uses}", token["used"]),
        None => token["used"].to_string(),
    };
    let labels: Vec<String> = token["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    let nodes: Vec<&str> = token["nodes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let expires = if token["expires"].is_null() { "never".into() } else { remaining(&text("expires")) };
    vec![text("id"), expires, used, labels.join(","), nodes.join(",")]
}

/// How long from now, in words.
fn remaining(at: &str) -> String {
    let Ok(at) = at.parse::<jiff::Timestamp>() else { return at.to_owned() };
    let left = at.duration_since(jiff::Timestamp::now());
    match Duration::try_from(left) {
        Ok(left) if !left.is_zero() => {
            format!("in {}", humantime::format_duration(Duration::from_secs(left.as_secs())))
        }
        _ => "expired".into(),
    }
}
