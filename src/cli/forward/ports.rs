//! `[LOCAL:]REMOTE` on the command line, and the ports that a pod's containers name.

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
    /// The numbers, where a pod's containers say what a name stands for.
    pub(super) fn on(&self, pod: &Value) -> Result<Pair> {
        let remote = match &self.remote {
            Remote::Number(port) => *port,
            Remote::Name(wanted) => named(pod, wanted).ok_or_else(|| {
                hinted(format!("pod {} has no port named `{wanted}`", name(pod)), "a number is taken, too")
            })?,
        };
        Ok(Pair { local: self.local.unwrap_or(remote), remote })
    }
}

fn named(pod: &Value, wanted: &str) -> Option<u16> {
    let list = |value: &Value, field: &str| value.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let containers = list(pod.get("spec")?, "containers");
    let mut ports = containers.iter().flat_map(|c| list(c, "ports"));
    let port = ports.find(|p| p["name"] == wanted)?;
    port["containerPort"].as_u64().and_then(|n| u16::try_from(n).ok())
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
            let pair = typed.parse::<Wanted>().map_err(|e| anyhow!(e))?.on(&pod)?;
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
}
