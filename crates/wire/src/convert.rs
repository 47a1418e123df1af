//! Session messages as the protocol's types, and back.
//!
//! Used by both ends of a session. What comes from the wire is checked here, once: a uid that is
//! none, JSON that is none. Fields and messages that this version does not know are ignored.
//! Deliberately not here: framing (`parts`), and whether a sender may say what it says.

mod ingress;
mod network;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use evenkeel_model::{
    Content, Digest, Time, Uid, Version, canonical,
    meta::Deletion,
    net::{BalancedPorts, NetworkTrouble},
    session,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use thiserror::Error;

use crate::proto;

/// A message of the other side cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field} of the other side's message cannot be read: {reason}")]
pub struct ConvertError {
    /// Which field.
    pub field: &'static str,
    /// What is wrong with it; no values.
    pub reason: String,
}

type Result<T, E = ConvertError> = std::result::Result<T, E>;

fn bad(field: &'static str, reason: impl std::fmt::Display) -> ConvertError {
    ConvertError { field, reason: reason.to_string() }
}

fn json<T: Serialize>(value: &T) -> Bytes {
    // Only a map with keys that are no strings, or a value that refuses to be written, could fail:
    // there is neither among the session's types.
    canonical::to_bytes(value).map_or_else(|_| Bytes::new(), |b| Bytes::copy_from_slice(&b))
}

fn value(value: &Value) -> Bytes {
    Bytes::from(canonical::value_bytes(value))
}

/// JSON of the wire; nothing stands for `null`.
fn parsed<T: DeserializeOwned>(field: &'static str, bytes: &[u8]) -> Result<T> {
    let bytes = if bytes.is_empty() { b"null" } else { bytes };
    // The category alone: the text of an error may show a value.
    serde_json::from_slice(bytes).map_err(|e| bad(field, format!("{:?} error at byte {}", e.classify(), e.column())))
}

fn uid(text: &str) -> Result<Uid> {
    text.parse().map_err(|e| bad("a uid", e))
}

impl From<session::ToAgent> for proto::FromServer {
    fn from(message: session::ToAgent) -> Self {
        use proto::from_server::Message;
        let message = match message {
            session::ToAgent::Assign(a) => Message::Assignment(assignment(&a)),
            session::ToAgent::Sources(all) => {
                Message::Sources(proto::Sources { sources: all.iter().map(source_copy).collect() })
            }
            session::ToAgent::HealDrift { pod, container, heal } => {
                Message::HealDrift(proto::HealDrift { pod: pod.to_string(), container, heal })
            }
            session::ToAgent::RollCall { at } => Message::RollCall(proto::RollCall { at_ms: at.0 }),
            session::ToAgent::Heard(at) => Message::Heard(stamp(at)),
            session::ToAgent::Network(update) => Message::Network(network::update(&update)),
            session::ToAgent::Ingresses(update) => Message::Ingresses(ingress::update(&update)),
        };
        Self { message: Some(message) }
    }
}

/// What an agent's logic is told; `None` for what is not its business.
pub fn to_agent(message: proto::from_server::Message) -> Result<Option<session::ToAgent>> {
    use proto::from_server::Message;
    Ok(Some(match message {
        Message::Assignment(a) => session::ToAgent::Assign(Arc::new(read_assignment(a)?)),
        Message::Sources(all) => {
            session::ToAgent::Sources(all.sources.into_iter().map(read_source_copy).collect::<Result<_>>()?)
        }
        Message::HealDrift(h) => {
            session::ToAgent::HealDrift { pod: uid(&h.pod)?, container: h.container, heal: h.heal }
        }
        Message::RollCall(call) => session::ToAgent::RollCall { at: Time(call.at_ms) },
        Message::Heard(at) => session::ToAgent::Heard(read_stamp(at)),
        Message::Network(update) => session::ToAgent::Network(Arc::new(network::read_update(update)?)),
        Message::Ingresses(update) => session::ToAgent::Ingresses(Arc::new(ingress::read_update(update))),
        _ => return Ok(None),
    }))
}

fn stamp(s: session::Stamp) -> proto::Stamp {
    proto::Stamp { session: s.session, seq: s.seq }
}

fn read_stamp(s: proto::Stamp) -> session::Stamp {
    session::Stamp { session: s.session, seq: s.seq }
}

fn assignment(a: &session::Assignment) -> proto::Assignment {
    proto::Assignment {
        epoch: a.epoch,
        session: a.session,
        seq: a.seq,
        full: a.full,
        pods: a.pods.iter().map(|p| pod_order(p)).collect(),
        forget: a.forget.iter().map(Uid::to_string).collect(),
        keep_images: a.keep_images.as_ref().map(|ids| proto::Images { ids: ids.to_vec() }),
        recovering: a.recovering,
    }
}

fn read_assignment(a: proto::Assignment) -> Result<session::Assignment> {
    Ok(session::Assignment {
        epoch: a.epoch,
        session: a.session,
        seq: a.seq,
        full: a.full,
        pods: a.pods.into_iter().map(|p| read_pod_order(p).map(Arc::new)).collect::<Result<_>>()?,
        forget: a.forget.iter().map(|t| uid(t)).collect::<Result<_>>()?,
        keep_images: a.keep_images.map(|i| i.ids.into()),
        recovering: a.recovering,
    })
}

fn pod_order(o: &session::PodOrder) -> proto::PodOrder {
    proto::PodOrder {
        uid: o.uid.to_string(),
        namespace: o.namespace.to_string(),
        name: o.name.to_string(),
        version: o.version.0,
        pod: value(&o.pod),
        deletion: o.deletion.map(|d| proto::Deletion { at_ms: d.at.0, grace_seconds: d.grace_seconds }),
        contents: o.contents.iter().map(pod_content).collect(),
        image_ids: o.image_ids.clone(),
        self_heal: o.self_heal,
    }
}

fn read_pod_order(o: proto::PodOrder) -> Result<session::PodOrder> {
    Ok(session::PodOrder {
        uid: uid(&o.uid)?,
        namespace: o.namespace.into(),
        name: o.name.into(),
        version: Version(o.version),
        pod: parsed("a pod", &o.pod)?,
        deletion: o.deletion.map(|d| Deletion { at: Time(d.at_ms), grace_seconds: d.grace_seconds }),
        contents: o.contents.into_iter().map(read_pod_content).collect::<Result<_>>()?,
        image_ids: o.image_ids,
        self_heal: o.self_heal,
    })
}

fn pod_content(c: &session::PodContent) -> proto::PodContent {
    let bytes = |(k, v): (&String, &Arc<[u8]>)| (k.clone(), Bytes::copy_from_slice(v));
    proto::PodContent {
        secret: c.secret,
        name: c.name.to_string(),
        secret_type: c.secret_type.clone(),
        digest: Bytes::copy_from_slice(&c.digest.0),
        data: c.content.data.iter().map(bytes).collect(),
    }
}

fn read_pod_content(c: proto::PodContent) -> Result<session::PodContent> {
    let digest = <[u8; 32]>::try_from(&*c.digest).map_err(|_| bad("a digest", "it has not 32 bytes"))?;
    let data = c.data.into_iter().map(|(k, v)| (k, Arc::from(&*v))).collect();
    Ok(session::PodContent {
        secret: c.secret,
        name: c.name.into(),
        secret_type: c.secret_type,
        digest: Digest(digest),
        content: Arc::new(Content { secret: c.secret, data }),
    })
}

fn source_copy(s: &session::SourceCopy) -> proto::SourceCopy {
    proto::SourceCopy { name: s.name.to_string(), spec: json(&s.spec), status: json(&s.status), version: s.version.0 }
}

fn read_source_copy(s: proto::SourceCopy) -> Result<session::SourceCopy> {
    Ok(session::SourceCopy {
        name: s.name.into(),
        version: Version(s.version),
        spec: parsed("a source's spec", &s.spec)?,
        status: parsed("a source's status", &s.status)?,
    })
}

/// An agent's introduction; the session's own fields are left for who opens it.
pub fn hello(h: &session::Hello) -> proto::Hello {
    proto::Hello {
        node: h.node.to_string(),
        session: h.session,
        epoch: h.epoch,
        report: Some(node_report(&h.report)),
        pods: h.pods.iter().map(known_pod).collect(),
        sources: h.sources.iter().map(source_copy).collect(),
        ..proto::Hello::default()
    }
}

/// Reads an introduction.
pub fn read_hello(h: proto::Hello) -> Result<session::Hello> {
    Ok(session::Hello {
        node: h.node.into(),
        session: h.session,
        epoch: h.epoch,
        report: read_node_report(h.report.ok_or_else(|| bad("report", "it is missing"))?)?,
        pods: h.pods.into_iter().map(read_known_pod).collect::<Result<_>>()?,
        sources: h.sources.into_iter().map(read_source_copy).collect::<Result<_>>()?,
    })
}

fn known_pod(p: &session::KnownPod) -> proto::KnownPod {
    let drifted = p.drifted.iter().cloned().map(|container| proto::DriftedContainer { container });
    proto::KnownPod {
        pod: value(&p.pod),
        uid: p.uid.to_string(),
        status: value(&p.status),
        image_ids: p.image_ids.clone(),
        drifted: drifted.collect(),
    }
}

fn read_known_pod(p: proto::KnownPod) -> Result<session::KnownPod> {
    Ok(session::KnownPod {
        pod: parsed("a known pod", &p.pod)?,
        uid: uid(&p.uid)?,
        status: parsed("a known pod's status", &p.status)?,
        image_ids: p.image_ids,
        drifted: p.drifted.into_iter().map(|d| d.container).collect(),
    })
}

/// A report and its place.
pub fn report(at: session::Stamp, r: &session::Report) -> proto::Report {
    proto::Report {
        stamp: Some(stamp(at)),
        node: r.node.as_ref().map(node_report),
        pods: r.pods.iter().map(pod_report).collect(),
        drifts: r.drifts.iter().map(drift).collect(),
        events: r.events.iter().map(event).collect(),
        answers_ms: r.answers.map(|at| at.0),
        network: r.network,
        ingresses: r.ingresses,
        network_drifts: r.network_drifts.clone(),
        assigned: r.assigned,
    }
}

/// Reads a report and its place.
pub fn read_report(r: proto::Report) -> Result<(session::Stamp, session::Report)> {
    let report = session::Report {
        node: r.node.map(read_node_report).transpose()?,
        pods: r.pods.into_iter().map(read_pod_report).collect::<Result<_>>()?,
        drifts: r.drifts.into_iter().map(read_drift).collect::<Result<_>>()?,
        events: r.events.into_iter().map(read_event).collect::<Result<_>>()?,
        answers: r.answers_ms.map(Time),
        network: r.network,
        ingresses: r.ingresses,
        network_drifts: r.network_drifts,
        assigned: r.assigned,
    };
    Ok((r.stamp.map(read_stamp).unwrap_or_default(), report))
}

fn event(e: &session::PodEvent) -> proto::PodEvent {
    proto::PodEvent {
        pod: e.pod.to_string(),
        namespace: e.namespace.to_string(),
        name: e.name.to_string(),
        field: e.field.clone(),
        warning: e.warning,
        reason: e.reason.clone(),
        message: e.message.clone(),
        count: e.count,
        first: e.first.0,
        last: e.last.0,
    }
}

fn read_event(e: proto::PodEvent) -> Result<session::PodEvent> {
    Ok(session::PodEvent {
        pod: uid(&e.pod)?,
        namespace: e.namespace.into(),
        name: e.name.into(),
        field: e.field,
        warning: e.warning,
        reason: e.reason,
        message: e.message,
        count: e.count,
        first: Time(e.first),
        last: Time(e.last),
    })
}

fn node_report(n: &session::NodeReport) -> proto::NodeReport {
    let taint = |t: &session::NodeTaint| proto::Taint {
        key: t.key.clone(),
        value: t.value.clone(),
        effect: t.effect.as_str().to_owned(),
    };
    let address =
        |(kind, address): &(String, String)| proto::Address { r#type: kind.clone(), address: address.clone() };
    proto::NodeReport {
        capacity: n.capacity.clone(),
        allocatable: n.allocatable.clone(),
        labels: n.labels.clone(),
        taints: n.taints.iter().map(taint).collect(),
        node_info: value(&n.node_info),
        addresses: n.addresses.iter().map(address).collect(),
        not_ready: n.not_ready.clone(),
        pressures: n.pressures.clone(),
        version: n.version.clone(),
        pod_cidr: n.pod_cidr.map(|c| c.to_string()),
        engine_network: n.engine_network.clone(),
        balanced: if n.balanced.is_empty() { Bytes::new() } else { json(&n.balanced) },
        troubles: n.troubles.iter().map(trouble).collect(),
    }
}

fn read_node_report(n: proto::NodeReport) -> Result<session::NodeReport> {
    use session::TaintEffect::{NoExecute, NoSchedule, PreferNoSchedule};
    let taint = |t: proto::Taint| {
        let effect = [NoSchedule, PreferNoSchedule, NoExecute].into_iter().find(|e| e.as_str() == t.effect);
        let effect = effect.ok_or_else(|| bad("a taint's effect", "it is none of Kubernetes'"))?;
        Ok(session::NodeTaint { key: t.key, value: t.value, effect })
    };
    Ok(session::NodeReport {
        capacity: n.capacity,
        allocatable: n.allocatable,
        labels: n.labels,
        taints: n.taints.into_iter().map(taint).collect::<Result<_>>()?,
        node_info: parsed("nodeInfo", &n.node_info)?,
        addresses: n.addresses.into_iter().map(|a| (a.r#type, a.address)).collect(),
        not_ready: n.not_ready,
        pressures: n.pressures,
        version: n.version,
        pod_cidr: n.pod_cidr.as_deref().map(network::read_cidr).transpose()?,
        engine_network: n.engine_network,
        balanced: if n.balanced.is_empty() { BalancedPorts::default() } else { parsed("balanced ports", &n.balanced)? },
        troubles: n.troubles.into_iter().map(read_trouble).collect(),
    })
}

fn trouble(t: &NetworkTrouble) -> proto::NetworkTrouble {
    proto::NetworkTrouble { reason: t.reason.clone(), message: t.message.clone() }
}

fn read_trouble(t: proto::NetworkTrouble) -> NetworkTrouble {
    NetworkTrouble { reason: t.reason, message: t.message }
}

fn pod_report(p: &session::PodReport) -> proto::PodReport {
    let lines = |(k, lines): (&String, &Vec<String>)| (k.clone(), proto::Lines { lines: lines.clone() });
    proto::PodReport {
        uid: p.uid.to_string(),
        namespace: p.namespace.to_string(),
        name: p.name.to_string(),
        status: Bytes::copy_from_slice(&p.status),
        gone: p.gone,
        image_ids: p.image_ids.clone(),
        logs: p.logs.iter().map(lines).collect(),
    }
}

fn read_pod_report(p: proto::PodReport) -> Result<session::PodReport> {
    let logs: BTreeMap<String, Vec<String>> = p.logs.into_iter().map(|(k, l)| (k, l.lines)).collect();
    Ok(session::PodReport {
        uid: uid(&p.uid)?,
        namespace: p.namespace.into(),
        name: p.name.into(),
        status: Arc::from(&*p.status),
        gone: p.gone,
        image_ids: p.image_ids,
        logs,
    })
}

const ACTIONS: [(session::DriftAction, proto::DriftAction); 7] = [
    (session::DriftAction::Stopped, proto::DriftAction::Stopped),
    (session::DriftAction::Killed, proto::DriftAction::Killed),
    (session::DriftAction::Paused, proto::DriftAction::Paused),
    (session::DriftAction::Removed, proto::DriftAction::Removed),
    (session::DriftAction::Renamed, proto::DriftAction::Renamed),
    (session::DriftAction::Updated, proto::DriftAction::Updated),
    (session::DriftAction::Differs, proto::DriftAction::Differs),
];

fn drift(d: &session::ContainerDrift) -> proto::ContainerDrift {
    let action = ACTIONS.iter().find(|(ours, _)| *ours == d.action).map_or(proto::DriftAction::Differs, |(_, a)| *a);
    proto::ContainerDrift {
        pod: d.pod.to_string(),
        namespace: d.namespace.to_string(),
        name: d.name.to_string(),
        container: d.container.clone(),
        action: action.into(),
        desired: value(&d.desired),
        live: value(&d.live),
        healed: d.healed,
    }
}

fn read_drift(d: proto::ContainerDrift) -> Result<session::ContainerDrift> {
    let action = d.action();
    let action = ACTIONS.iter().find(|(_, theirs)| *theirs == action);
    Ok(session::ContainerDrift {
        pod: uid(&d.pod)?,
        namespace: d.namespace.into(),
        name: d.name.into(),
        container: d.container,
        // What a newer agent calls otherwise is a difference at least.
        action: action.map_or(session::DriftAction::Differs, |(ours, _)| *ours),
        desired: parsed("what a drifted container should be", &d.desired)?,
        live: parsed("what a drifted container is", &d.live)?,
        healed: d.healed,
    })
}
