//! `evenkeel orphan`: pods that run and that nothing explains since a recovery.
//!
//! The server marks them with a label, which `kubectl get pods -l evenkeel.dev/orphan` finds too;
//! what becomes of one is a POST to its Pod.

use std::process::ExitCode;

use anyhow::Result;
use evenkeel_model::{Kind, names};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    Cx,
    objects::{ago, full_name, items, name, text},
    output::Format,
    paths::{self, Scope},
};

/// List, adopt and remove orphans: pods that run and that nothing explains since a recovery
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show them, with the reason why nothing explains them
    #[command(after_help = "Example:\n  evenkeel orphan list")]
    List {
        /// Only of this namespace [default: all]
        #[arg(short, long, value_name = "NAMESPACE")]
        namespace: Option<String>,
        /// Form of the answer
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Keep an orphan: a ReplicaSet whose selector fits gets it, else it lives on as a plain pod
    ///
    /// Nothing is stopped or started again.
    #[command(after_help = "Example:\n  evenkeel orphan adopt web-6d4cf56db6-x7k2p -n shop")]
    Adopt(One),
    /// End an orphan, with its grace
    #[command(after_help = "Example:\n  evenkeel orphan remove web-6d4cf56db6-x7k2p -n shop")]
    Remove(One),
}

/// One orphan.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// Name of the pod
    name: String,
    /// Its namespace [default: that of the kubeconfig's context, else `default`]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

/// Runs the verb.
pub(crate) async fn run(verb: Verb, cx: &mut Cx) -> Result<ExitCode> {
    match verb {
        Verb::List { namespace, output } => list(&namespace.unwrap_or_default(), output, cx).await?,
        Verb::Adopt(one) => {
            let pod = act(one, "adopt", cx).await?;
            let owner = text(&pod, "/metadata/ownerReferences/0/name");
            let whose = match owner {
                "" => "a plain pod now: no controller replaces it".to_owned(),
                owner => format!("it belongs to ReplicaSet {owner} now"),
            };
            cx.out.line(format!("pod {} adopted: {whose}", full_name(&pod)))?;
        }
        Verb::Remove(one) => {
            let pod = act(one, "remove", cx).await?;
            let grace = pod.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
            let grace = grace.map(|s| format!(", with a grace of {s} s")).unwrap_or_default();
            cx.out.line(format!("pod {} is being removed{grace}", full_name(&pod)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(namespace: &str, output: Format, cx: &mut Cx) -> Result<()> {
    let client = cx.client()?;
    let query = paths::query(&[("labelSelector", names::ORPHAN)]);
    let all = client.get(&format!("{}{query}", paths::collection(Kind::Pod, namespace))).await?;
    let pods = items(&all);
    match output {
        Format::Json | Format::Yaml => {
            let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": pods});
            cx.out.object(&list, output)?;
        }
        Format::Name => pods.iter().try_for_each(|p| cx.out.line(format!("pod/{}", name(p))))?,
        Format::Table | Format::Wide if pods.is_empty() => eprintln!("No orphans."),
        Format::Table | Format::Wide => {
            let header = ["NAMESPACE", "NAME", "NODE", "AGE", "IMAGES", "WHY"].map(String::from);
            let rows: Vec<Vec<String>> = pods.iter().map(row).collect();
            cx.out.table(&header, &rows)?;
        }
    }
    Ok(())
}

fn row(pod: &Value) -> Vec<String> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let images: Vec<&str> = containers.into_iter().flatten().map(|c| text(c, "/image")).collect();
    vec![
        text(pod, "/metadata/namespace").into(),
        name(pod).into(),
        text(pod, "/spec/nodeName").into(),
        ago(pod, "/metadata/creationTimestamp"),
        images.join(","),
        why(pod).into(),
    ]
}

async fn act(one: One, verb: &str, cx: &mut Cx) -> Result<Value> {
    let client = cx.client()?;
    let namespace = Scope { namespace: one.namespace, all_namespaces: false }.of(&client);
    let path = format!("{}/{verb}", paths::item(Kind::Pod, &namespace, &one.name));
    Ok(client.send(Method::POST, &path, &Value::Null).await?)
}

/// Whether a pod is one.
pub(crate) fn is_orphan(pod: &Value) -> bool {
    pod.pointer("/metadata/labels").and_then(|l| l.get(names::ORPHAN)).is_some()
}

/// Why nothing explains it.
pub(crate) fn why(pod: &Value) -> &str {
    let said = pod.pointer("/metadata/annotations").and_then(|a| a.get(names::ORPHAN_REASON)).and_then(Value::as_str);
    said.unwrap_or("nothing explains it since the database was lost")
}

/// Its name as the verbs take it.
pub(crate) fn typed(pod: &Value) -> String {
    match text(pod, "/metadata/namespace") {
        "default" => name(pod).into(),
        namespace => format!("{} -n {namespace}", name(pod)),
    }
}
