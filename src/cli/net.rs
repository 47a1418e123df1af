//! `evenkeel net check`: whether nodes, their pods, Services and names reach each other, and which leg of the
//! network is broken.

use std::process::ExitCode;

use anyhow::Result;
use hyper::Method;
use serde_json::Value;

use super::{
    Cx,
    objects::text,
    output::{Format, one_line},
    paths,
};

/// Look at the cluster's network
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Try the network between all nodes, and name every leg that is broken
    ///
    /// Each node's agent puts up an address that is wired like a pod's, for a few seconds, and tries those of
    /// all others, from it and from the node itself: small and large packets, the Service
    /// `default/kubernetes`, and its name. No image is fetched and no pod made. A node that is not ready is told and not asked.
    ///
    /// What an agent itself says is wrong with its node's network (the node's condition NetworkDegraded) is
    /// shown, too, and does not count as broken.
    ///
    /// Exit code 0: all that was tried works; 1: a leg is broken, or a node that is ready could not be asked.
    #[command(
        after_help = "Examples:\n  evenkeel net check\n  evenkeel net check --node node-b    # with all others, both ways\n  evenkeel net check -o json"
    )]
    Check(Check),
}

/// What is checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Only this node with all others
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Form of the answer; json and yaml are stable
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the verb.
pub(crate) async fn run(verb: Verb, cx: &mut Cx) -> Result<ExitCode> {
    let Verb::Check(args) = verb;
    let query = paths::query(&[("node", args.node.as_deref().unwrap_or_default())]);
    let report = cx.client()?.send(Method::POST, &format!("/evenkeel/net{query}"), &Value::Null).await?;
    match args.output {
        Format::Json | Format::Yaml => cx.out.object(&report, args.output)?,
        Format::Table | Format::Wide | Format::Name => {
            let header = ["NODE", "STATE", "TRIED", "FAILED", "SLOWEST", "CAUSE"].map(str::to_owned);
            let rows: Vec<Vec<String>> = list(&report, "nodes").iter().map(row).collect();
            cx.out.table(&header, &rows)?;
            let broken = list(&report, "broken");
            if !broken.is_empty() {
                cx.out.line("")?;
            }
            for leg in broken {
                cx.out.line(format!("BROKEN: {}", text(leg, "/message")))?;
            }
            for node in list(&report, "degraded") {
                cx.out.line(format!("DEGRADED: {}: {}", text(node, "/node"), one_line(text(node, "/message"))))?;
            }
        }
    }
    let ok = report.get("ok").and_then(Value::as_bool).unwrap_or(false);
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list<'a>(report: &'a Value, field: &str) -> &'a [Value] {
    report.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn row(node: &Value) -> Vec<String> {
    let number = |field: &str| node.get(field).and_then(Value::as_u64).unwrap_or(0);
    let slowest = number("slowestMicros");
    let message = one_line(text(node, "/message"));
    vec![
        text(node, "/name").to_owned(),
        text(node, "/state").to_owned(),
        number("tried").to_string(),
        number("failed").to_string(),
        if slowest == 0 { "-".to_owned() } else { format!("{}.{} ms", slowest / 1000, slowest % 1000 / 100) },
        if message.is_empty() { "-".to_owned() } else { message },
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_says_how_a_node_fared() {
        let checked =
            json!({"name": "a", "state": "Checked", "message": "", "tried": 8, "failed": 1, "slowestMicros": 2345});
        assert_eq!(row(&checked), ["a", "Checked", "8", "1", "2.3 ms", "-"]);
        let away = json!({"name": "b", "state": "NotReady", "message": "it is not ready: x", "tried": 0, "failed": 0, "slowestMicros": 0});
        assert_eq!(row(&away), ["b", "NotReady", "0", "0", "-", "it is not ready: x"]);
    }
}
