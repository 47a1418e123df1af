//! Whom a path with `proxy` in it means. Pure.

use std::sync::Arc;

use evenkeel_core::world::View;
use evenkeel_model::{Key, Kind, Object};
use k8s_openapi::{
    api::core::v1::{EndpointAddress, EndpointSubset, PodSpec, ServiceSpec},
    serde::Deserialize as _,
};

use super::super::{path::percent_decode, status::Failure};

/// What a pod answers at where nothing says it.
const HTTP: u16 = 80;

/// What is spoken with a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Asked<'p> {
    kind: Kind,
    namespace: String,
    /// `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`.
    id: String,
    /// The path before what is the pod's own, as it came.
    before: &'p str,
    /// What is the pod's own, as it came: empty, or it begins with `/`.
    pub(super) rest: &'p str,
}

impl<'p> Asked<'p> {
    /// Reads a path; `None` if it is of something else.
    pub(in super::super) fn of(path: &'p str) -> Option<Self> {
        // Of most paths nothing is copied: they are shorter.
        let (mut parts, mut at) = ([""; 7], 0);
        for part in &mut parts {
            let from = at + path[at..].find(|c| c != '/')?;
            at = path[from..].find('/').map_or(path.len(), |length| from + length);
            *part = &path[from..at];
        }
        let decoded: Option<Vec<String>> = parts.into_iter().map(percent_decode).collect();
        let [api, version, namespaces, namespace, plural, id, proxy] = <[String; 7]>::try_from(decoded?).ok()?;
        if [&*api, &*version, &*namespaces, &*proxy] != ["api", "v1", "namespaces", "proxy"] {
            return None;
        }
        let kind = match plural.as_str() {
            "pods" => Kind::Pod,
            "services" => Kind::Service,
            _ => return None,
        };
        let (before, rest) = path.split_at(at);
        Some(Self { kind, namespace, id, before, rest })
    }

    /// The path as the pod gets it: without empty and dotted parts, as Kubernetes asks (clients join paths by a
    /// slash of each), and with the slash at its end if there is one.
    pub(super) fn inside(&self) -> String {
        let mut parts: Vec<&str> = Vec::new();
        for part in self.rest.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        let end = if self.rest.ends_with('/') && !parts.is_empty() { "/" } else { "" };
        format!("/{}{end}", parts.join("/"))
    }

    /// The pod and its port. Of the pods of a Service one that is ready; `pick` says which.
    pub(super) fn find(&self, view: &View, pick: usize) -> Result<(Arc<Object>, u16), Failure> {
        let (name, port) = self.name()?;
        let key = Key::new(self.kind, &*self.namespace, name);
        let object = view.get(&key).ok_or_else(|| Failure::not_found(&key))?;
        if self.kind == Kind::Pod {
            let port = port_of_pod(object, port)?;
            return if object.node.is_some() {
                Ok((object.clone(), port))
            } else {
                Err(Failure::bad_request(format!("pod {name} does not have a host assigned")))
            };
        }
        let (address, port) = behind(view, object, port, pick)?;
        let pod =
            address.target_ref.as_ref().filter(|r| r.kind.as_deref() == Some("Pod")).and_then(|r| r.name.as_ref());
        let pod = pod.and_then(|pod| view.get(&Key::new(Kind::Pod, &*self.namespace, pod.as_str())));
        pod.map(|pod| (pod.clone(), port)).ok_or_else(|| {
            let ip = &address.ip;
            Failure::new(503, "ServiceUnavailable", format!("the endpoint {ip} of service \"{name}\" is no pod"))
        })
    }

    /// Scheme, name and port; all empty where the id has no such form.
    fn parts(&self) -> (&str, &str, &str) {
        match *self.id.split(':').collect::<Vec<_>>() {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => ("", "", ""),
        }
    }

    /// What is spoken there.
    pub(super) fn scheme(&self) -> Scheme {
        if self.parts().0.eq_ignore_ascii_case("https") { Scheme::Https } else { Scheme::Http }
    }

    /// Name and port.
    fn name(&self) -> Result<(&str, &str), Failure> {
        let (scheme, name, port) = self.parts();
        match scheme.to_ascii_lowercase().as_str() {
            "" | "http" | "https" if !name.is_empty() => Ok((name, port)),
            _ => {
                let what = self.kind.to_string().to_lowercase();
                Err(Failure::bad_request(format!(
                    "invalid {what} request {:?}: it is [http:|https:]NAME[:PORT]",
                    self.id
                )))
            }
        }
    }

    /// Where a program sends a client on, seen from outside: `None` where that is elsewhere.
    pub(super) fn here(&self, to: &str, host: &str) -> Option<String> {
        let scheme = if self.scheme() == Scheme::Https { "https://" } else { "http://" };
        let own = to.strip_prefix(scheme).and_then(|to| to.strip_prefix(host)).unwrap_or(to);
        let inside = own.starts_with('/') && !own.starts_with("//");
        inside.then(|| format!("{}{own}", self.before))
    }
}

fn number(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port != 0)
}

fn port_of_pod(pod: &Object, port: &str) -> Result<u16, Failure> {
    let spec: PodSpec = pod.spec().unwrap_or_default();
    let mut ports = spec.containers.iter().flat_map(|c| c.ports.iter().flatten());
    let found = match port {
        "" => Some(ports.next().map_or(HTTP, |p| number(p.container_port).unwrap_or(HTTP))),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok().filter(|port| *port != 0),
        name => ports.find(|p| p.name.as_deref() == Some(name)).and_then(|p| number(p.container_port)),
    };
    found.ok_or_else(|| Failure::bad_request(format!("pod {} has no port {port:?}", pod.key.name)))
}

/// Who answers for a Service at one of its ports, by number or name.
fn behind(view: &View, service: &Object, port: &str, pick: usize) -> Result<(EndpointAddress, u16), Failure> {
    let name = &service.key.name;
    let away = |why: String| Failure::new(503, "ServiceUnavailable", why);
    let none = || away(format!("no endpoints available for service \"{name}\""));
    let ports = service.spec::<ServiceSpec>().unwrap_or_default().ports.unwrap_or_default();
    let wanted = match (port, ports.as_slice()) {
        ("", [only]) => Some(only),
        (digits, all) if digits.parse::<i32>().is_ok() => all.iter().find(|p| p.port.to_string() == digits),
        (name, all) => all.iter().find(|p| p.name.as_deref().unwrap_or_default() == name),
    };
    let wanted = wanted.ok_or_else(|| away(format!("no service port {port:?} found for service \"{name}\"")))?;
    let subsets = view.get(&Key::new(Kind::Endpoints, service.key.namespace.clone(), name.clone()));
    let subsets = subsets.map(|e| e.to_value()["subsets"].clone()).unwrap_or_default();
    let subsets: Vec<EndpointSubset> = Option::deserialize(subsets).ok().flatten().unwrap_or_default();
    let mut all = Vec::new();
    for subset in subsets {
        let mut ports = subset.ports.into_iter().flatten();
        let port = ports.find(|p| p.name.as_deref().unwrap_or_default() == wanted.name.as_deref().unwrap_or_default());
        if let Some(port) = port.and_then(|p| number(p.port)) {
            all.extend(subset.addresses.into_iter().flatten().map(|address| (address, port)));
        }
    }
    if all.is_empty() { Err(none()) } else { Ok(all.swap_remove(pick % all.len())) }
}
