//! Which backend answers a request: a table made from all Ingresses at once, by the rules of
//! Kubernetes.
//!
//! - An exact host goes before a wildcard, which stands for one label, and that before rules without
//!   a host. Where none of a host's paths fits, the next one's are looked at: a rule without a host is
//!   for all requests.
//! - Of the paths of a host, an `Exact` one goes before the longest `Prefix`, which is compared element
//!   by element: `/a` is for `/a/b`, not for `/ab`; a `/` at its end does not count.
//! - Where two Ingresses want the same, the older one has it, then the one whose name comes first.
//! - What fits nothing goes to the `defaultBackend` of the oldest Ingress with rules for the host, then
//!   to the oldest of all.
//!
//! Pure. Called by `state` whenever an Ingress changed. Deliberately not here: who stands behind a
//! backend, and certificates.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use evenkeel_model::ingress::{IngressBackend, IngressId, IngressNet, PathKind};

use crate::account::Counts;

/// A table of ways. Made anew with each change of an Ingress.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    hosts: HashMap<String, Host>,
    /// By what follows the `*.`.
    wildcards: HashMap<String, Host>,
    any: Host,
    default: Option<Arc<Target>>,
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Target {
    /// The Ingress that says so.
    pub(crate) ingress: IngressId,
    /// Who answers.
    pub(crate) backend: IngressBackend,
    /// Requests without TLS are sent to where there is.
    pub(crate) https_redirect: bool,
    /// Requests that went this way.
    pub(crate) counts: Counts,
}

#[derive(Debug, Default)]
struct Host {
    exact: HashMap<String, Arc<Target>>,
    /// Without a `/` at their ends.
    prefixes: HashMap<String, Arc<Target>>,
    default: Option<Arc<Target>>,
}

impl Host {
    fn find(&self, path: &str) -> Option<&Arc<Target>> {
        if let Some(target) = self.exact.get(path) {
            return Some(target);
        }
        if self.prefixes.is_empty() {
            return None;
        }
        let mut rest = path.strip_suffix('/').unwrap_or(path);
        loop {
            if let Some(target) = self.prefixes.get(rest) {
                return Some(target);
            }
            rest = &rest[..rest.rfind('/')?];
        }
    }

    fn add(&mut self, path: &str, kind: PathKind, target: &Arc<Target>) {
        let slot = match kind {
            PathKind::Exact => self.exact.entry(path.to_owned()),
            PathKind::Prefix => self.prefixes.entry(path.strip_suffix('/').unwrap_or(path).to_owned()),
        };
        if let Entry::Vacant(slot) = slot {
            slot.insert(target.clone());
        }
    }
}

/// Ingresses in the order in which they have what they ask for.
pub(crate) fn by_age<'a>(ingresses: impl IntoIterator<Item = &'a Arc<IngressNet>>) -> Vec<&'a IngressNet> {
    let mut all: Vec<&IngressNet> = ingresses.into_iter().map(|i| &**i).collect();
    all.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    all
}

impl Routes {
    /// Of all Ingresses that are served.
    pub(crate) fn of<'a>(ingresses: impl IntoIterator<Item = &'a Arc<IngressNet>>) -> Self {
        let mut routes = Self::default();
        for ingress in by_age(ingresses) {
            let target = |backend: &IngressBackend| {
                let https_redirect = ingress.https_redirect;
                let (ingress, backend) = (ingress.id.clone(), backend.clone());
                Arc::new(Target { ingress, backend, https_redirect, counts: Counts::default() })
            };
            let default = ingress.default_backend.as_ref().map(target);
            if routes.default.is_none() {
                routes.default.clone_from(&default);
            }
            for rule in &ingress.rules {
                let host = routes.host_mut(rule.host.as_deref());
                if host.default.is_none() {
                    host.default.clone_from(&default);
                }
                for path in &rule.paths {
                    host.add(&path.path, path.kind, &target(&path.backend));
                }
            }
        }
        routes
    }

    fn host_mut(&mut self, host: Option<&str>) -> &mut Host {
        match host.map(str::to_ascii_lowercase) {
            None => &mut self.any,
            Some(host) => match host.strip_prefix("*.") {
                Some(rest) => self.wildcards.entry(rest.to_owned()).or_default(),
                None => self.hosts.entry(host).or_default(),
            },
        }
    }

    /// Who answers at a host (see [`host_of`]) and path.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<&Arc<Target>> {
        let exact = self.hosts.get(host);
        let wild = above(host).and_then(|rest| self.wildcards.get(rest));
        let by_name = [exact, wild, Some(&self.any)];
        let all = || by_name.into_iter().flatten();
        all().find_map(|h| h.find(path)).or_else(|| all().find_map(|h| h.default.as_ref())).or(self.default.as_ref())
    }
}

/// A host's name without its first label, which a wildcard stands for.
pub(crate) fn above(host: &str) -> Option<&str> {
    host.split_once('.').filter(|(label, rest)| !label.is_empty() && !rest.is_empty()).map(|(_, rest)| rest)
}

/// The name of a `Host` header or authority as routes know it: lower case, without port and last dot.
pub(crate) fn host_of(authority: &str) -> String {
    let name = if let Some(rest) = authority.strip_prefix('[') {
        rest.split(']').next().unwrap_or(rest)
    } else {
        authority.split(':').next().unwrap_or(authority)
    };
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
