//! `evenkeel node`: list, cordon, uncordon, drain (see `drain`), remove.

use std::process::ExitCode;

use anyhow::Result;
use evenkeel_model::Kind;
use hyper::Method;
use serde_json::{Value, json};

use super::{Cx, drain, nodes, output::Format, paths};

/// List, cordon, drain and remove nodes
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show the nodes: pods, requests against room, last word, and what is wrong
    #[command(after_help = "Example:\n  evenkeel node list -o wide")]
    List {
        /// Form of the answer
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Place no new pods on a node; those it has stay
    #[command(after_help = "Example:\n  evenkeel node cordon n1")]
    Cordon {
        /// Name of the node
        name: String,
    },
    /// Place pods on a node again
    #[command(after_help = "Example:\n  evenkeel node uncordon n1")]
    Uncordon {
        /// Name of the node
        name: String,
    },
    /// Move the pods of a node elsewhere, within their disruption budgets
    ///
    /// Cordons the node, evicts its pods and waits until they are gone. What a budget holds back is
    /// asked again. It does not begin where a pod would lose local data, or nothing would make it
    /// again: flags allow each. Exit code 1 if some are left at the end.
    #[command(after_help = "Example:\n  evenkeel node drain n1 --timeout 10m --delete-emptydir-data")]
    Drain(drain::Args),
    /// Forget a node: its pods are replaced elsewhere
    ///
    /// One that is there and still has pods is refused: drain it first.
    #[command(after_help = "Example:\n  evenkeel node remove n1")]
    Remove {
        /// Name of the node
        name: String,
        /// Also if it has pods: they are stopped with it
        #[arg(long)]
        force: bool,
    },
}

/// Runs the verb.
pub(crate) async fn run(verb: Verb, cx: &mut Cx) -> Result<ExitCode> {
    let client = cx.client()?;
    let cordon = |unschedulable: bool| json!({"spec": {"unschedulable": unschedulable}});
    match verb {
        Verb::List { output } => nodes::list(output, cx).await?,
        Verb::Cordon { name } => {
            let path = paths::item(Kind::Node, "", &name);
            client.send_as(Method::PATCH, &path, "application/merge-patch+json", &cordon(true)).await?;
            cx.out.line(format!("node {name} cordoned"))?;
        }
        Verb::Uncordon { name } => {
            let path = paths::item(Kind::Node, "", &name);
            client.send_as(Method::PATCH, &path, "application/merge-patch+json", &cordon(false)).await?;
            cx.out.line(format!("node {name} uncordoned"))?;
        }
        Verb::Drain(args) => return drain::run(args, cx).await,
        Verb::Remove { name, force } => {
            let query = paths::query(&[("force", if force { "true" } else { "" })]);
            let path = format!("{}{query}", paths::item(Kind::Node, "", &name));
            client.send(Method::DELETE, &path, &Value::Null).await?;
            cx.out.line(format!("node {name} removed"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
