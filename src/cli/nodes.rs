//! `evenkeel node list`: nodes with their pods, requests against room, last word, and what is wrong.

use std::collections::BTreeMap;

use anyhow::Result;
use evenkeel_model::Kind;
use serde::Deserialize;
use serde_json::Value;

use super::{
    Cx,
    objects::{ago, condition, items, name, said, text},
    output::{Format, one_line},
    paths,
};

/// What the server knows of a node beside its object.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Use {
    name: String,
    last_seen: Option<String>,
    pods: i64,
    pod_limit: i64,
    cpu: i64,
    cpu_allocatable: i64,
    memory: i64,
    memory_allocatable: i64,
}

/// Prints the list.
pub(crate) async fn list(output: Format, cx: &mut Cx) -> Result<()> {
    let client = cx.client()?;
    let all = client.get(&paths::collection(Kind::Node, "")).await?;
    match output {
        Format::Json | Format::Yaml => return cx.out.object(&all, output),
        Format::Name => {
            for node in items(&all) {
                cx.out.line(format!("node/{}", name(node)))?;
            }
            return Ok(());
        }
        Format::Table | Format::Wide => {}
    }
    let known = client.get("/evenkeel/nodes").await?;
    let known: Vec<Use> = serde_json::from_value(known.get("nodes").cloned().unwrap_or_default())?;
    let known: BTreeMap<&str, &Use> = known.iter().map(|u| (u.name.as_str(), u)).collect();
    let mut header = vec!["NAME", "STATUS", "PODS", "CPU", "MEMORY", "VERSION", "LAST SEEN", "CAUSE"];
    if output == Format::Wide {
        header.extend(["INTERNAL-IP", "OS-IMAGE", "KERNEL", "RUNTIME", "AGE"]);
    }
    let none = Use::default();
    let rows: Vec<Vec<String>> = items(&all)
        .iter()
        .map(|node| row(node, known.get(name(node)).copied().unwrap_or(&none), output == Format::Wide))
        .collect();
    let header: Vec<String> = header.into_iter().map(str::to_owned).collect();
    cx.out.table(&header, &rows)
}

fn row(node: &Value, known: &Use, wide: bool) -> Vec<String> {
    let (state, cause) = state(node);
    let seen = known.last_seen.as_ref().map(|t| serde_json::json!({"t": t}));
    let seen = seen.map(|v| ago(&v, "/t")).map_or_else(|| "never".to_owned(), |t| format!("{t} ago"));
    let part = |used: i64, all: i64, show: fn(i64) -> String| {
        let percent = if all > 0 { used.saturating_mul(100) / all } else { 0 };
        format!("{}/{} ({percent}%)", show(used), show(all))
    };
    let mut cells = vec![
        name(node).to_owned(),
        state,
        format!("{}/{}", known.pods, known.pod_limit),
        part(known.cpu, known.cpu_allocatable, cores),
        part(known.memory, known.memory_allocatable, bytes),
        text(node, "/status/nodeInfo/kubeletVersion").to_owned(),
        seen,
        if cause.is_empty() { "-".to_owned() } else { one_line(&cause) },
    ];
    if wide {
        let addresses = node.pointer("/status/addresses").and_then(Value::as_array);
        let internal = addresses.into_iter().flatten().find(|a| text(a, "/type") == "InternalIP");
        cells.push(internal.map_or("-", |a| text(a, "/address")).to_owned());
        let info = ["osImage", "kernelVersion", "containerRuntimeVersion"];
        cells.extend(info.map(|f| text(node, &format!("/status/nodeInfo/{f}")).to_owned()));
        cells.push(ago(node, "/metadata/creationTimestamp"));
    }
    cells
}

/// How a node is, and why where it is not well: not ready, or under pressure.
fn state(node: &Value) -> (String, String) {
    let (word, mut causes) = match condition(node, "Ready") {
        Some(("True", ..)) => ("Ready", Vec::new()),
        Some(("False", reason, message)) => ("NotReady", vec![said(reason, message)]),
        Some((_, reason, message)) => ("Unknown", vec![said(reason, message)]),
        None => ("Unknown", vec!["its agent has not reported yet".to_owned()]),
    };
    let pressures = ["MemoryPressure", "DiskPressure", "PIDPressure"].into_iter();
    causes.extend(pressures.filter_map(|kind| match condition(node, kind) {
        Some(("True", _, message)) => Some(said(kind, message)),
        _ => None,
    }));
    let mut state = word.to_owned();
    if node.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
        state.push_str(",SchedulingDisabled");
    }
    (state, causes.join("; "))
}

/// `250m`, `4`.
fn cores(milli: i64) -> String {
    if milli % 1000 == 0 { (milli / 1000).to_string() } else { format!("{milli}m") }
}

/// `512Mi`, `7.8Gi`.
fn bytes(n: i64) -> String {
    const MI: i64 = 1 << 20;
    const GI: i64 = 1 << 30;
    match n {
        0 => "0".into(),
        n if n < GI => format!("{}Mi", n / MI),
        n => format!("{}.{}Gi", n / GI, n % GI * 10 / GI),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_says_what_is_used_and_what_is_wrong() {
        let node = json!({"metadata": {"name": "n1"}, "spec": {"unschedulable": true}, "status": {
            "nodeInfo": {"kubeletVersion": "v0.1.0"},
            "conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown",
                "message": "The agent has stopped reporting"}, {"type": "DiskPressure", "status": "True", "message": "9 % free"}]}});
        let known = Use {
            pods: 3,
            pod_limit: 110,
            cpu: 1500,
            cpu_allocatable: 4000,
            memory: 768 << 20,
            memory_allocatable: 8 << 30,
            ..Use::default()
        };
        assert_eq!(
            row(&node, &known, false),
            [
                "n1",
                "Unknown,SchedulingDisabled",
                "3/110",
                "1500m/4 (37%)",
                "768Mi/8.0Gi (9%)",
                "v0.1.0",
                "never",
                "NodeStatusUnknown: The agent has stopped reporting; DiskPressure: 9 % free",
            ]
        );
        assert_eq!(
            state(&json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})),
            ("Ready".into(), String::new())
        );
    }
}
