//! What is promised of Ingresses: at rest every node serves what the objects say, with the certificates
//! that the Secrets have. What should be served is made here from the objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use evenkeel_agent::sim::Served;
use evenkeel_model::{Key, Kind};

use crate::{
    machine::Machine,
    objects::{Objects, of_kind, rows, text},
};

/// What is served: host, path, namespace and Service of each way in, and the chain of each certificate.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ways {
    paths: BTreeSet<[String; 4]>,
    chains: BTreeMap<String, String>,
}

fn wanted(objects: &Objects) -> Ways {
    let mut ways = Ways::default();
    for ingress in of_kind(objects, Kind::Ingress) {
        let (namespace, value) = (ingress.key.namespace.to_string(), ingress.to_value());
        for rule in rows(&value["spec"], "rules") {
            let paths = rows(&rule["http"], "paths").iter();
            let of = paths.map(|path| {
                [text(&rule["host"]), text(&path["path"]), &*namespace, text(&path["backend"]["service"]["name"])]
                    .map(String::from)
            });
            ways.paths.extend(of);
        }
        for tls in rows(&value["spec"], "tls") {
            let name = text(&tls["secretName"]);
            let secret = objects.get(&Key::new(Kind::Secret, &*namespace, name)).map(|s| s.to_value());
            let chain = secret.and_then(|s| BASE64.decode(text(&s["data"]["tls.crt"])).ok());
            let chain = chain.and_then(|bytes| String::from_utf8(bytes).ok());
            ways.chains.extend(chain.map(|chain| (format!("{namespace}/{name}"), chain)));
        }
    }
    ways
}

fn served(all: &Served) -> Ways {
    let mut ways = Ways::default();
    for ingress in all.ingresses.values() {
        let namespace = ingress.id.namespace.to_string();
        for rule in &ingress.rules {
            let host = rule.host.clone().unwrap_or_default();
            let service = |name: &Arc<str>| name.to_string();
            let of = rule
                .paths
                .iter()
                .map(|path| [host.clone(), path.path.clone(), namespace.clone(), service(&path.backend.service.name)]);
            ways.paths.extend(of);
        }
    }
    ways.chains = all.certificates.values().map(|c| (c.id.to_string(), c.chain.clone())).collect();
    ways
}

/// Whether every node serves what the objects say.
pub(crate) fn converged<'a>(machines: impl Iterator<Item = &'a Machine>, objects: &Objects) -> Result<(), String> {
    let should = wanted(objects);
    for machine in machines {
        let is = served(&machine.sim.served);
        if is != should {
            return Err(format!("{} serves {is:?}, not {should:?}", machine.sim.name()));
        }
    }
    Ok(())
}
