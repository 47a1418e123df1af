//! What can be done to each kind, and why the rest cannot.
//!
//! Read by discovery and by `rest`. Deliberately not here: who may do it (`auth`).

use evenkeel_model::{Key, Kind, kind::Origin};
use evenkeel_schema::Customs;

use super::{custom, scale, status::Failure};

/// Something below an object's path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Below {
    /// Last part of the path.
    pub(crate) name: &'static str,
    /// Verbs in discovery.
    pub(crate) verbs: &'static [&'static str],
}

const READ: &[&str] = &["get", "list", "watch"];
const ALL: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
pub(super) const SCALE: Below = Below { name: "scale", verbs: &["get", "patch", "update"] };
const STATUS: Below = Below { name: "status", verbs: &["get"] };

/// Others may have a part in it.
pub(super) const STATUS_WRITES: Below = Below { name: "status", verbs: &["get", "patch", "update"] };

const fn action(name: &'static str) -> Below {
    Below { name, verbs: &["create"] }
}

/// Verbs of a kind, in discovery's words.
pub(crate) fn verbs(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Source => &["create", "delete", "get", "list", "patch", "update", "watch"],
        Kind::Node => &["delete", "get", "list", "patch", "update", "watch"],
        // No source makes them, and people and programs do.
        Kind::CertificateSigningRequest | Kind::Lease | Kind::ControllerRevision | Kind::Event => ALL,
        kind if kind.info().origin == Origin::Anyone => ALL,
        _ => READ,
    }
}

const SOURCE: &[Below] =
    &[STATUS, action("sync"), action("retry"), action("rollback"), action("unpin"), action("diff"), PLACE];
const PLACE: Below = Below { name: "place", verbs: &["get"] };
const POD: &[Below] = &[
    STATUS_WRITES,
    Below { name: "log", verbs: &["get"] },
    ATTACH,
    EXEC,
    PORT_FORWARD,
    EVICTION,
    EPHEMERAL,
    PROXY,
    action("adopt"),
    action("remove"),
];
/// Kubernetes names both verbs; a WebSocket begins with GET, and SPDY (POST) is refused.
const ATTACH: Below = Below { name: "attach", verbs: &["create", "get"] };
const EXEC: Below = Below { name: "exec", verbs: &["create", "get"] };
const PORT_FORWARD: Below = Below { name: "portforward", verbs: &["create", "get"] };
/// Requests of HTTP that are led into a pod.
const PROXY: Below = Below { name: "proxy", verbs: &["create", "delete", "get", "patch", "update"] };
/// Containers that are added to a pod that runs.
pub(super) const EPHEMERAL: Below = Below { name: "ephemeralcontainers", verbs: &["get", "patch", "update"] };
/// The word of whoever may approve a request for a certificate.
pub(super) const APPROVAL: Below = Below { name: "approval", verbs: &["get", "patch", "update"] };
const EVICTION: Below = Below { name: "eviction", verbs: &["create"] };
const ACCOUNT: &[Below] = &[action("token")];
const DRIFT: &[Below] = &[STATUS, action("accept"), action("heal")];

/// What lies below an object of a kind.
pub(crate) fn below(kind: Kind, customs: &Customs) -> &'static [Below] {
    match kind {
        Kind::Custom(_) => custom::below(customs, kind),
        Kind::Pod => POD,
        Kind::Service => &[PROXY, STATUS_WRITES],
        Kind::Source => SOURCE,
        Kind::ServiceAccount => ACCOUNT,
        Kind::Drift => DRIFT,
        kind if scale::has(kind, customs) => &[SCALE, STATUS_WRITES],
        Kind::CertificateSigningRequest => &[APPROVAL, STATUS_WRITES],
        Kind::Node | Kind::Release | Kind::AddressPool => &[STATUS],
        _ if kind.info().has_status => &[STATUS_WRITES],
        _ => &[],
    }
}

/// Why a write is not allowed, and what to do instead.
pub(crate) fn refuse(kind: Kind, name: Option<&Key>) -> Failure {
    let what = kind.resource();
    let message = match kind {
        Kind::Node => {
            "Nodes are made by their agents (evenkeel agent); one is changed by patch or replace, and deleted \
                       (evenkeel node remove)"
                .to_owned()
        }
        Kind::Release => format!("{what} are written by Evenkeel alone"),
        Kind::Drift => {
            format!(
                "{what} are written by Evenkeel alone; settle one by `evenkeel drift accept` or `evenkeel drift heal`"
            )
        }
        Kind::Source => "this write of a Source is not supported: use create, replace, patch or delete".to_owned(),
        _ => format!("this write of {what} is not supported"),
    };
    let failure = Failure::not_allowed(message);
    match name {
        Some(key) => failure.about(key),
        None => failure,
    }
}
