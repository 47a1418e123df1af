//! Ingresses: which of them are Evenkeel's, and what agents are told of them.
//!
//! An Ingress is Evenkeel's by its class, whose controller is [`CONTROLLER`]; one without a class is of
//! the default class. Others are kept and not served. Deliberately not here: who is told, and when
//! (the conductor), and how a request finds its way (`evenkeel-ingress`).

use alloc::{
    collections::BTreeSet,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{
    Content, Key, Kind, Object,
    ingress::{
        BackendPort, BackendProtocol, CertificateNet, IngressBackend, IngressId, IngressNet, IngressPath, IngressRule,
        IngressTls, PathKind, SecretId,
    },
    names,
    net::ServiceId,
};
use k8s_openapi::api::{
    core::v1::ServiceSpec,
    networking::v1::{IngressBackend as Backend, IngressClassSpec, IngressSpec},
};
use serde_json::json;

use crate::{cx::Cx, world::World};

/// The controller that serves Ingresses here: every agent.
pub const CONTROLLER: &str = "evenkeel.dev/ingress";
/// The class that is there of itself.
pub const CLASS: &str = "evenkeel";
/// Annotation: Ingresses without a class are of this one.
const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
/// Annotation that named a class before there was a field.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// Makes Evenkeel's own class where it is missing.
pub fn ensure_class(world: &World, cx: &mut Cx<'_>) {
    let key = Key::cluster(Kind::IngressClass, CLASS);
    if world.get(&key).is_none() {
        let mut class = cx.draft(key, &json!({"spec": {"controller": CONTROLLER}}));
        class.meta.annotate(IS_DEFAULT, "true".to_string());
        cx.put(class);
    }
}

/// Whether a class is served here.
fn serves(class: &Object) -> bool {
    class.spec::<IngressClassSpec>().is_ok_and(|s| s.controller.as_deref() == Some(CONTROLLER))
}

/// The class of Ingresses without one: of several defaults the newest, as in Kubernetes.
fn default_class(world: &World) -> Option<&Arc<Object>> {
    let defaults = world.list(Kind::IngressClass, "").filter(|c| c.meta.annotation(IS_DEFAULT) == Some("true"));
    defaults.max_by(|a, b| (a.meta.created, &b.key.name).cmp(&(b.meta.created, &a.key.name)))
}

/// Whether an Ingress is served here.
pub fn is_ours(world: &World, ingress: &Object) -> bool {
    let spec = ingress.spec::<IngressSpec>().unwrap_or_default();
    ours(world, ingress, &spec)
}

fn ours(world: &World, ingress: &Object, spec: &IngressSpec) -> bool {
    let named = spec.ingress_class_name.as_deref().or_else(|| ingress.meta.annotation(CLASS_ANNOTATION));
    match named.filter(|n| !n.is_empty()) {
        Some(name) => world.get(&Key::cluster(Kind::IngressClass, name)).is_some_and(|c| serves(c)),
        None => default_class(world).is_some_and(|c| serves(c)),
    }
}

/// An Ingress's name as agents know it.
pub fn id(key: &Key) -> IngressId {
    IngressId { namespace: key.namespace.clone(), name: key.name.clone() }
}

/// What agents are told of an Ingress; `None` where it is not served here.
pub fn ingress_net(world: &World, ingress: &Object) -> Option<IngressNet> {
    // One that cannot be read (it was checked when it came in) leads nowhere.
    let spec = ingress.spec::<IngressSpec>().ok().filter(|s| ours(world, ingress, s))?;
    let backend = |b: &Backend| backend(world, &ingress.key, b);
    let rules = spec.rules.iter().flatten().map(|rule| IngressRule {
        host: rule.host.clone().filter(|h| !h.is_empty()),
        paths: rule
            .http
            .iter()
            .flat_map(|http| &http.paths)
            .filter_map(|p| {
                Some(IngressPath {
                    path: p.path.clone().filter(|p| !p.is_empty()).unwrap_or_else(|| "/".into()),
                    kind: if p.path_type == "Exact" { PathKind::Exact } else { PathKind::Prefix },
                    backend: backend(&p.backend)?,
                })
            })
            .collect(),
    });
    let tls = spec.tls.iter().flatten().map(|tls| IngressTls {
        hosts: tls.hosts.clone().unwrap_or_default(),
        secret: tls.secret_name.as_deref().filter(|n| !n.is_empty()).map(Into::into),
    });
    Some(IngressNet {
        id: id(&ingress.key),
        created: ingress.meta.created,
        https_redirect: ingress.meta.annotation(names::HTTPS_REDIRECT) == Some("true"),
        default_backend: spec.default_backend.as_ref().and_then(backend),
        rules: rules.collect(),
        tls: tls.collect(),
        answers: ingress
            .meta
            .annotation(names::ACME_ANSWERS)
            .unwrap_or_default()
            .split_whitespace()
            .map(Into::into)
            .collect(),
    })
}

fn backend(world: &World, ingress: &Key, backend: &Backend) -> Option<IngressBackend> {
    let service = backend.service.as_ref()?;
    let port = service.port.as_ref()?;
    let port = match port.number.and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0) {
        Some(number) => BackendPort::Number(number),
        None => BackendPort::Name(port.name.clone()?),
    };
    let key = ingress.sibling(Kind::Service, service.name.as_str());
    Some(IngressBackend {
        protocol: world.get(&key).map(|s| protocol(s, &port)).unwrap_or_default(),
        service: ServiceId { namespace: key.namespace, name: key.name },
        port,
    })
}

/// What is spoken at a Service's port, by its `appProtocol`.
fn protocol(service: &Object, port: &BackendPort) -> BackendProtocol {
    let spec = service.spec::<ServiceSpec>().unwrap_or_default();
    let is = |p: &&k8s_openapi::api::core::v1::ServicePort| match port {
        BackendPort::Number(number) => p.port == i32::from(*number),
        BackendPort::Name(name) => p.name.as_ref() == Some(name),
    };
    let said = spec.ports.iter().flatten().find(is).and_then(|p| p.app_protocol.as_deref());
    match said.map(str::to_ascii_lowercase).as_deref() {
        Some("kubernetes.io/h2c" | "h2c" | "grpc") => BackendProtocol::H2c,
        Some("https" | "kubernetes.io/wss") => BackendProtocol::Tls,
        _ => BackendProtocol::Http,
    }
}

/// The Secrets with certificates that an Ingress names.
pub fn secrets(net: &IngressNet) -> BTreeSet<Key> {
    let named = net.tls.iter().filter_map(|t| t.secret.clone());
    named.map(|name| Key::new(Kind::Secret, net.id.namespace.clone(), name)).collect()
}

/// Names of the Secrets with certificates that an Ingress names.
pub fn named_secrets(ingress: &Object) -> impl Iterator<Item = String> {
    let tls = ingress.spec::<IngressSpec>().unwrap_or_default().tls.unwrap_or_default();
    let named: BTreeSet<String> = tls.into_iter().filter_map(|t| t.secret_name).filter(|n| !n.is_empty()).collect();
    named.into_iter()
}

/// A Secret's name as agents know it.
pub fn secret_id(key: &Key) -> SecretId {
    SecretId { namespace: key.namespace.clone(), name: key.name.clone() }
}

/// The certificate in a Secret; `None` where it has none.
pub fn certificate_net(secret: &Object) -> Option<CertificateNet> {
    let content = Content::of_object(secret);
    let text = |key: &str| -> Option<String> { String::from_utf8(content.data.get(key)?.to_vec()).ok() };
    Some(CertificateNet { id: secret_id(&secret.key), chain: text("tls.crt")?, key: text("tls.key")? })
}

/// Addresses of the nodes that serve Ingresses, in order.
pub fn addresses(world: &World) -> Vec<String> {
    let serving = world.nodes.iter().filter(|(_, n)| n.ready && n.labels.get(names::SERVES_INGRESS).is_some());
    let nodes = serving.filter_map(|(name, _)| world.get(&Key::cluster(Kind::Node, name.clone())));
    nodes.filter_map(|node| Some(crate::service::net::node_net(world, node).address?.to_string())).collect()
}
