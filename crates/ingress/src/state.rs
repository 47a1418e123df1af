//! What is served, as of the newest word of the server: taken in as it comes, swapped in one go while
//! requests are under way, and kept on disk, so that an agent that starts without its server serves
//! what it knew.
//!
//! Only Services that an Ingress names are written down. The file holds keys of certificates: 0600.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use evenkeel_files::{PRIVATE, replace};
use evenkeel_model::{
    ingress::{CertificateNet, IngressId, IngressNet, IngressUpdate, SecretId},
    net::{NetworkUpdate, ServiceId, ServiceNet},
};
use serde::{Deserialize, Serialize};

use crate::{
    certs::{Certs, Missing, Readings, read},
    members::Members,
    routes::Routes,
};

/// Version of the file.
const FORMAT: u32 = 1;
/// Largest file that is read: a thousand certificates are about 8 MB.
const MAX_FILE: u64 = 256 << 20;

/// Tables that a request goes by.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) routes: Routes,
    pub(crate) certs: Certs,
    /// What an ACME directory finds, by its token.
    pub(crate) answers: HashMap<String, String>,
}

/// Which ports there is a use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wanted {
    /// There are Ingresses.
    pub(crate) http: bool,
    /// Some have certificates.
    pub(crate) https: bool,
}

#[derive(Debug, Default)]
struct Known {
    ingresses: BTreeMap<IngressId, Arc<IngressNet>>,
    certificates: BTreeMap<SecretId, Arc<CertificateNet>>,
    readings: Readings,
    missing: Vec<Missing>,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct State {
    known: Mutex<Known>,
    services: RwLock<HashMap<ServiceId, Arc<Members>>>,
    view: RwLock<Arc<View>>,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    ingresses: Vec<Arc<IngressNet>>,
    certificates: Vec<Arc<CertificateNet>>,
    services: Vec<Arc<ServiceNet>>,
}

impl State {
    /// The tables as they are now. Whoever holds them goes on by them.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who stands behind a Service.
    pub(crate) fn members(&self, id: &ServiceId) -> Option<Arc<Members>> {
        self.services.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what changed of Services; gives addresses that nobody is at any more.
    pub(crate) fn network(&self, update: &NetworkUpdate) -> Vec<SocketAddr> {
        let mut all = self.services.write().unwrap_or_else(PoisonError::into_inner);
        let mut left = BTreeSet::new();
        if update.full {
            let named: BTreeSet<&ServiceId> = update.services.iter().map(|s| &s.id).collect();
            all.retain(|id, members| {
                let stays = named.contains(id);
                if !stays {
                    left.extend(members.all().copied());
                }
                stays
            });
        }
        for id in &update.gone_services {
            left.extend(all.remove(id).iter().flat_map(|m| m.all().copied().collect::<Vec<_>>()));
        }
        for net in &update.services {
            let before = all.get(&net.id);
            if before.is_some_and(|b| b.net == *net) {
                continue;
            }
            let members = Members::new(net.clone(), before.map(|b| &**b));
            if let Some(before) = before {
                let there: BTreeSet<&SocketAddr> = members.all().collect();
                left.extend(before.all().filter(|a| !there.contains(a)));
            }
            all.insert(net.id.clone(), Arc::new(members));
        }
        left.into_iter().collect()
    }

    /// Takes in what changed of Ingresses and certificates, and makes the tables anew.
    pub(crate) fn ingresses(&self, update: &IngressUpdate) -> Wanted {
        let mut known = self.known();
        if update.full {
            let ingresses: BTreeSet<&IngressId> = update.ingresses.iter().map(|i| &i.id).collect();
            known.ingresses.retain(|id, _| ingresses.contains(id));
            let certificates: BTreeSet<&SecretId> = update.certificates.iter().map(|c| &c.id).collect();
            known.certificates.retain(|id, _| certificates.contains(id));
            known.readings.retain(|id, _| certificates.contains(id));
        }
        for id in &update.gone_ingresses {
            known.ingresses.remove(id);
        }
        for id in &update.gone_certificates {
            known.certificates.remove(id);
            known.readings.remove(id);
        }
        known.ingresses.extend(update.ingresses.iter().map(|i| (i.id.clone(), i.clone())));
        for net in &update.certificates {
            if known.certificates.get(&net.id) != Some(net) {
                known.readings.insert(net.id.clone(), read(net));
                known.certificates.insert(net.id.clone(), net.clone());
            }
        }
        self.compile(&mut known)
    }

    fn compile(&self, known: &mut Known) -> Wanted {
        let (certs, missing) = Certs::of(known.ingresses.values(), &known.readings);
        for m in missing.iter().filter(|m| !known.missing.contains(m)) {
            tracing::warn!(ingress = %m.ingress, secret = %m.secret, why = m.why, "a certificate cannot be shown");
        }
        known.missing = missing;
        let answers = known.ingresses.values().flat_map(|i| &i.answers);
        let answers = answers.filter_map(|a| Some((a.split_once('.')?.0.to_owned(), a.clone()))).collect();
        let view = View { routes: Routes::of(known.ingresses.values()), certs, answers };
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        Wanted { http: !known.ingresses.is_empty(), https: known.ingresses.values().any(|i| !i.tls.is_empty()) }
    }

    /// What is to be kept.
    fn file(&self) -> File {
        let known = self.known();
        let backends = known.ingresses.values().flat_map(|i| {
            let paths = i.rules.iter().flat_map(|r| &r.paths).map(|p| &p.backend);
            paths.chain(&i.default_backend)
        });
        let used: BTreeSet<&ServiceId> = backends.map(|b| &b.service).collect();
        let services = used.into_iter().filter_map(|id| self.members(id)).map(|m| m.net.clone()).collect();
        File {
            format: FORMAT,
            services,
            ingresses: known.ingresses.values().cloned().collect(),
            certificates: known.certificates.values().cloned().collect(),
        }
    }

    /// Writes it down.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(&self.file()).map_err(io::Error::other)?;
        replace(path, &text, PRIVATE)
    }

    /// Takes in what was kept; nothing where there is no file, or one that cannot be read: the server
    /// says all of it again.
    pub(crate) fn read(&self, path: &Path) -> Wanted {
        let read = || -> io::Result<File> {
            if fs::metadata(path)?.len() > MAX_FILE {
                return Err(io::Error::other("it is too large"));
            }
            let file: File = serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)?;
            if file.format > FORMAT {
                return Err(io::Error::other(format!("it has format {}, not {FORMAT}", file.format)));
            }
            Ok(file)
        };
        let file = match read() {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Wanted::default(),
            Err(error) => {
                tracing::warn!(%error, file = %path.display(), "what was known of Ingresses cannot be read; the server will say it again");
                return Wanted::default();
            }
        };
        let mut services = self.services.write().unwrap_or_else(PoisonError::into_inner);
        for net in file.services {
            services.insert(net.id.clone(), Arc::new(Members::new(net, None)));
        }
        drop(services);
        self.ingresses(&IngressUpdate {
            session: 0,
            number: 0,
            full: true,
            ingresses: file.ingresses,
            gone_ingresses: Vec::new(),
            certificates: file.certificates,
            gone_certificates: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use evenkeel_model::ingress::{IngressTls, PathKind};

    use super::*;
    use crate::testkit::{endpoint, id, ingress, path, service};

    fn network(full: bool, services: Vec<Arc<ServiceNet>>, gone: &[&str]) -> NetworkUpdate {
        NetworkUpdate {
            session: 1,
            number: 1,
            full,
            services,
            gone_services: gone.iter().map(|n| id(n)).collect(),
            ..NetworkUpdate::default()
        }
    }

    fn ways(full: bool, ingresses: Vec<IngressNet>, gone: &[&str]) -> IngressUpdate {
        IngressUpdate {
            session: 1,
            number: 1,
            full,
            ingresses: ingresses.into_iter().map(Arc::new).collect(),
            gone_ingresses: gone.iter().map(|n| IngressId { namespace: "shop".into(), name: (*n).into() }).collect(),
            certificates: Vec::new(),
            gone_certificates: Vec::new(),
        }
    }

    #[test]
    fn who_is_gone_is_told_once() {
        let state = State::default();
        let web = |addresses: &[&str]| service("web", addresses.iter().map(|a| endpoint(a, 80)).collect());
        assert!(state.network(&network(true, vec![web(&["10.0.0.1", "10.0.0.2"])], &[])).is_empty());
        let gone = state.network(&network(false, vec![web(&["10.0.0.2", "10.0.0.3"])], &[]));
        assert_eq!(gone, ["10.0.0.1:80".parse().unwrap()]);
        let gone = state.network(&network(false, vec![service("api", vec![endpoint("10.0.1.1", 80)])], &["web"]));
        assert_eq!(gone.len(), 2);
        assert!(state.members(&id("web")).is_none());
        let gone = state.network(&network(true, Vec::new(), &[]));
        assert_eq!(gone, ["10.0.1.1:80".parse().unwrap()]);
    }

    #[test]
    fn tables_are_swapped_and_those_in_use_stay() {
        let state = State::default();
        let to = |service: &str| ingress("a", 1, &[(Some("h"), &[path("/", PathKind::Prefix, service)])]);
        assert_eq!(state.ingresses(&ways(true, vec![to("one")], &[])), Wanted { http: true, https: false });
        let before = state.view();
        let mut second = to("two");
        second.tls = vec![IngressTls { hosts: Vec::new(), secret: Some("s".into()) }];
        assert_eq!(state.ingresses(&ways(false, vec![second], &[])), Wanted { http: true, https: true });
        let found = |view: &View| view.routes.find("h", "/").map(|t| t.backend.service.name.to_string());
        assert_eq!(found(&before), Some("one".into()));
        assert_eq!(found(&state.view()), Some("two".into()));
        assert_eq!(state.ingresses(&ways(false, Vec::new(), &["a"])), Wanted::default());
        assert_eq!(found(&state.view()), None);
    }

    #[test]
    fn what_is_used_is_kept_for_nobody_else_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ingress.json");
        let state = State::default();
        assert_eq!(state.read(&file), Wanted::default());
        state.network(&network(
            true,
            vec![service("web", vec![endpoint("10.0.0.1", 80)]), service("other", vec![])],
            &[],
        ));
        state.ingresses(&ways(true, vec![ingress("a", 1, &[(None, &[path("/", PathKind::Prefix, "web")])])], &[]));
        state.write(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let again = State::default();
        assert_eq!(again.read(&file), Wanted { http: true, https: false });
        assert!(again.view().routes.find("h", "/x").is_some());
        assert!(again.members(&id("web")).is_some() && again.members(&id("other")).is_none());
        fs::write(&file, "{").unwrap();
        assert_eq!(State::default().read(&file), Wanted::default());
    }
}
