//! Labels and names of the containers that the agent makes: its second memory, beside the journal.
//!
//! Labels are a hint, not proof (`docker commit` copies them), so nothing is removed for its labels
//! alone: its id is in the journal, or its name is the one that a pod of the journal would give.

use std::collections::BTreeMap;

use evenkeel_wire::PodOrder;

/// The cluster that a container belongs to.
pub const CLUSTER: &str = "evenkeel.dev/cluster";
/// The pod's uid.
pub const POD_UID: &str = "evenkeel.dev/pod-uid";
/// The pod's name.
pub const POD: &str = "evenkeel.dev/pod";
/// The pod's namespace.
pub const NAMESPACE: &str = "evenkeel.dev/namespace";
/// The container's name in the pod.
pub const CONTAINER: &str = "evenkeel.dev/container";
/// On a sandbox, in place of [`CONTAINER`].
pub const SANDBOX: &str = "evenkeel.dev/sandbox";
/// On a sandbox: the ports of the node that lead to its pod, as JSON, where there are any.
pub const HOST_PORTS: &str = "evenkeel.dev/host-ports";
/// Scheme and digest of what the container was made of.
pub const SPEC_HASH: &str = "evenkeel.dev/spec-hash";

/// Longest part of a name that comes from a pod's or a container's name: engines refuse very long
/// ones, and people read them in `docker ps`.
const MAX_PART: usize = 60;

/// Labels of a container of this pod; `container` is `None` for the sandbox.
pub fn of(cluster: &str, order: &PodOrder, container: Option<&str>, spec_hash: &str) -> BTreeMap<String, String> {
    let mut labels = super::command::selector(cluster);
    labels.insert(POD_UID.into(), order.uid.to_string());
    labels.insert(POD.into(), order.name.to_string());
    labels.insert(NAMESPACE.into(), order.namespace.to_string());
    match container {
        Some(name) => {
            labels.insert(CONTAINER.into(), name.into());
            labels.insert(SPEC_HASH.into(), spec_hash.into());
        }
        None => {
            labels.insert(SANDBOX.into(), "true".into());
        }
    }
    labels
}

/// The engine's name for one attempt at a container: unique, and readable in `docker ps`.
pub fn name(order: &PodOrder, container: Option<&str>, attempt: u32) -> String {
    let cut = |s: &str| s.chars().take(MAX_PART).collect::<String>();
    let uid = order.uid.to_string();
    format!("ek_{}_{}_{}_{uid}_{attempt}", container.unwrap_or("sandbox"), cut(&order.name), cut(&order.namespace))
}
