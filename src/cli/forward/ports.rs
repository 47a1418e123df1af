//! `[LOCAL:]REMOTE` on the command line, the ports that a pod's containers name, and the ports of a
//! Service with where they lead in its pods.

use std::str::FromStr;

use anyhow::Result;
use serde_json::Value;

use super::super::{error::hinted, objects::name};

/// A port here and one of the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    /// 0 for any that is free.
    pub(super) local: u16,
    pub(super) remote: u16,
}

/// The same as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// `None` for the same as the remote one.
    local: Option<u16>,
    remote: Remote,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Remote {
    Number(u16),
    Name(String),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u16>().map_err(|_| format!("`{text}` is no port: 1 to 65535"));
        let (local, remote) = match typed.split_once(':') {
            None => (None, typed),
            Some(("", remote)) => (Some(0), remote),
            Some((local, remote)) => (Some(number(local)?), remote),
        };
        let remote = match remote {
            "" => return Err("a port of the pod is missing: LOCAL:REMOTE".into()),
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => match number(digits)? {
                0 => return Err("the pod has no port 0".into()),
                port => Remote::Number(port),
            },
            name => Remote::Name(name.into()),
        };
        Ok(Self { local, remote })
    }
}

impl Wanted {
    /// The numbers, where a pod's containers say what a name stands for. Of a Service, REMOTE is one of
    /// its ports, and what it leads to is the pod's.
    pub(super) fn on(&self, pod: &Value, service: Option<&Value>) -> Result<Pair> {
        let (alone, remote) = match (service, &self.remote) {
            (Some(service), remote) => behind(service, pod, remote)?,
            (None, Remote::Number(port)) => (*port, *port),
            (None, Remote::Name(wanted)) => {
                let port = named(pod, wanted)?;
                (port, port)
            }
        };
        Ok(Pair { local: self.local.unwrap_or(alone), remote })
    }
}

/// A port of a Service and the pod's port that it leads to, as kubectl finds it.
fn behind(service: &Value, pod: &Value, wanted: &Remote) -> Result<(u16, u16)> {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is = |port: &&Value| match wanted {
        Remote::Number(number) => port["port"] == *number,
        Remote::Name(name) => port["name"] == name.as_str(),
    };
    let tcp = |port: &&Value| !matches!(port["protocol"].as_str(), Some("UDP" | "SCTP"));
    let Some(port) = ports.iter().filter(is).find(tcp) else {
        let what = match wanted {
            Remote::Number(number) => format!("port {number}"),
            Remote::Name(name) => format!("port named `{name}`"),
        };
        let other = ports.iter().any(|port| is(&port));
        let why = if other { "is not of TCP, and nothing else can be forwarded" } else { "is none of its ports" };
        let all: Vec<String> = ports.iter().map(|p| p["port"].to_string()).collect();
        let hint = if all.is_empty() { String::new() } else { format!("its ports: {}", all.join(", ")) };
        return Err(hinted(format!("service {}: {what} {why}", name(service)), hint));
    };
    let own = number(&port["port"]).unwrap_or_default();
    // Through a headless Service nothing is translated.
    let headless = service.pointer("/spec/clusterIP").and_then(Value::as_str) == Some("None");
    let target = match &port["targetPort"] {
        Value::String(target) if !headless => named(pod, target)?,
        target if !headless => number(target).filter(|n| *n != 0).unwrap_or(own),
        _ => own,
    };
    Ok((own, target))
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|n| u16::try_from(n).ok())
}

fn named(pod: &Value, wanted: &str) -> Result<u16> {
    let list = |value: &Value, field: &str| value.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let containers = list(&pod["spec"], "containers");
    let port = containers.iter().flat_map(|c| list(c, "ports")).find(|p| p["name"] == wanted);
    port.and_then(|p| number(&p["containerPort"]))
        .ok_or_else(|| hinted(format!("pod {} has no port named `{wanted}`", name(pod)), "a number is taken, too"))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_typed() {
        let pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "a"},
            {"name": "b", "ports": [{"name": "metrics", "containerPort": 9102}]}]}});
        let pair = |typed: &str| -> Result<(u16, u16)> {
            let pair = typed.parse::<Wanted>().map_err(|e| anyhow!(e))?.on(&pod, None)?;
            Ok((pair.local, pair.remote))
        };
        for (typed, expected) in [
            ("80", (80, 80)),
            ("8080:80", (8080, 80)),
            (":80", (0, 80)),
            ("0:80", (0, 80)),
            ("metrics", (9102, 9102)),
            ("9:metrics", (9, 9102)),
        ] {
            assert_eq!(pair(typed).unwrap(), expected, "{typed}");
        }
        for (typed, part) in [
            ("", "missing"),
            ("80:", "missing"),
            ("70000", "no port"),
            ("a:80", "`a` is no port"),
            ("80:0", "no port 0"),
            ("web", "no port named `web`"),
            ("1:2:3", "no port named `2:3`"),
        ] {
            let error = pair(typed).unwrap_err().to_string();
            assert!(error.contains(part), "{typed}: {error}");
        }
    }

    #[test]
    fn ports_of_a_service() {
        let pod = json!({"metadata": {"name": "web-1"}, "spec": {"containers": [
            {"name": "a", "ports": [{"name": "http", "containerPort": 8080}]}]}});
        let ports = json!([{"port": 80, "name": "web", "targetPort": "http"}, {"port": 81, "targetPort": 8081},
            {"port": 82}, {"port": 83, "targetPort": "gone"}, {"port": 53, "protocol": "UDP"},
            {"port": 53, "targetPort": 5353, "protocol": "TCP"}, {"port": 54, "protocol": "UDP"}]);
        let on = |typed: &str, cluster_ip: &str| -> Result<(u16, u16)> {
            let service = json!({"metadata": {"name": "web"}, "spec": {"clusterIP": cluster_ip, "ports": ports}});
            let pair = typed.parse::<Wanted>().map_err(|e| anyhow!(e))?.on(&pod, Some(&service))?;
            Ok((pair.local, pair.remote))
        };
        for (typed, expected) in [
            ("80", (80, 8080)),
            ("web", (80, 8080)),
            (":80", (0, 8080)),
            ("9:web", (9, 8080)),
            ("81", (81, 8081)),
            ("82", (82, 82)),
            ("53", (53, 5353)),
        ] {
            assert_eq!(on(typed, "10.43.0.9").unwrap(), expected, "{typed}");
        }
        assert_eq!(on("9:80", "None").unwrap(), (9, 80));
        for (typed, part) in [
            ("8080", "service web: port 8080 is none of its ports"),
            ("http", "service web: port named `http` is none of its ports"),
            ("54", "not of TCP"),
            ("83", "pod web-1 has no port named `gone`"),
        ] {
            let error = on(typed, "10.43.0.9").unwrap_err().to_string();
            assert!(error.contains(part), "{typed}: {error}");
        }
    }
}
