//! What agents are told of Ingresses as the protocol's types, and back.
//!
//! Part of `convert`. An Ingress travels as its JSON; one that a later version wrote in words that this
//! one does not know is left out, for it could only be served wrongly. Deliberately not here: what an
//! agent does with it.

use std::sync::Arc;

use bytes::Bytes;
use evenkeel_model::ingress::{CertificateNet, IngressId, IngressNet, IngressUpdate, SecretId};

use crate::proto;

pub(super) fn update(u: &IngressUpdate) -> proto::IngressUpdate {
    proto::IngressUpdate {
        session: u.session,
        number: u.number,
        full: u.full,
        // It has text, numbers and lists alone, which all have a JSON.
        ingresses: u.ingresses.iter().map(|i| Bytes::from(serde_json::to_vec(i).unwrap_or_default())).collect(),
        gone_ingresses: u.gone_ingresses.iter().map(|i| name(&i.namespace, &i.name)).collect(),
        certificates: u.certificates.iter().map(|c| certificate(c)).collect(),
        gone_certificates: u.gone_certificates.iter().map(|s| name(&s.namespace, &s.name)).collect(),
    }
}

pub(super) fn read_update(u: proto::IngressUpdate) -> IngressUpdate {
    let ingress = |bytes: &Bytes| serde_json::from_slice::<IngressNet>(bytes).ok().map(Arc::new);
    IngressUpdate {
        session: u.session,
        number: u.number,
        full: u.full,
        ingresses: u.ingresses.iter().filter_map(ingress).collect(),
        gone_ingresses: u
            .gone_ingresses
            .into_iter()
            .map(|n| IngressId { namespace: n.namespace.into(), name: n.name.into() })
            .collect(),
        certificates: u.certificates.into_iter().map(|c| Arc::new(read_certificate(c))).collect(),
        gone_certificates: u.gone_certificates.into_iter().map(secret).collect(),
    }
}

fn name(namespace: &str, name: &str) -> proto::ObjectName {
    proto::ObjectName { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn secret(n: proto::ObjectName) -> SecretId {
    SecretId { namespace: n.namespace.into(), name: n.name.into() }
}

fn certificate(c: &CertificateNet) -> proto::Certificate {
    proto::Certificate {
        secret: Some(name(&c.id.namespace, &c.id.name)),
        chain_pem: c.chain.clone(),
        key_pem: c.key.clone(),
    }
}

fn read_certificate(c: proto::Certificate) -> CertificateNet {
    CertificateNet { id: secret(c.secret.unwrap_or_default()), chain: c.chain_pem, key: c.key_pem }
}
