//! How machines become nodes: a token and a signing request in, a certificate out; later the next
//! certificate for the last one; and whether a certificate is one that counts.
//!
//! Called by the agents' service (`dispatch`). Files are on disk before an answer is given, so an
//! answer that was lost can be asked for again: with the same key it costs no second use of the
//! token. Deliberately not here: sessions.

use std::time::Duration;

use evenkeel_model::{Digest, Time};
use rcgen::{CertificateSigningRequestParams, ExtendedKeyUsagePurpose};
use rustls_pki_types::CertificateSigningRequestDer;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::{
    Pki, PkiError,
    ca::leaf,
    members::{Issued, Member, Standing},
    tokens::{self, CreateError, NewToken, RedeemError, Token, TokenError},
};

/// The group of every node's certificate.
pub const NODES: &str = "evenkeel:nodes";
/// Before a node's name in its certificate's CN.
pub const NODE_PREFIX: &str = "evenkeel:node:";
/// A node's certificate; its agent asks for the next at two thirds of it.
pub const NODE_LIFE: Duration = Duration::from_hours(30 * 24);

/// A machine asks to be a node.
#[derive(Debug, Clone)]
pub struct JoinAsk<'a> {
    /// `ID.SECRET`.
    pub token: &'a str,
    /// The node's name.
    pub node: &'a str,
    /// PKCS#10, DER.
    pub request: &'a [u8],
    /// Its `/etc/machine-id`.
    pub machine_id: &'a str,
    /// Where it asks from, as text.
    pub address: &'a str,
}

/// What it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Its certificate.
    pub certificate_pem: String,
    /// Labels that its token gives.
    pub labels: std::collections::BTreeMap<String, String>,
}

/// A certificate that counts.
#[derive(Debug, Clone)]
pub struct Counted {
    /// Its end.
    pub until: Time,
    /// Cancelled when the node is removed, and with it what its certificates were good for.
    pub removed: CancellationToken,
}

/// Why not.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The name is no name.
    #[error("`{name}` is no name for a node: lower case letters, digits, '-' and '.', at most 253 characters")]
    Name {
        /// What was asked for.
        name: String,
    },
    /// The node lives in the server's own process.
    #[error("node {name} is the server's own (evenkeel up): give this machine another name with --name")]
    Local {
        /// The name.
        name: String,
    },
    /// The name is taken.
    #[error(
        "node {name} joined from {address} and its certificate is valid until {until}: give this machine another name \
         with --name, or, if that machine is gone, run `evenkeel node remove {name}` first"
    )]
    Taken {
        /// The name.
        name: String,
        /// Where its machine joined from.
        address: String,
        /// RFC 3339.
        until: String,
    },
    /// The signing request.
    #[error("the signing request cannot be used: {0}")]
    Request(String),
    /// The certificate of who asks does not count.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Files or keys.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// Why a certificate that this CA signed does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// It is not a node's.
    #[error("the certificate is not a node's")]
    NotANode,
    /// The node was removed, or its certificates were replaced.
    #[error(
        "the certificate of node {name} was revoked: the node was removed, or has joined again; to join as a new node \
         start the agent with --token"
    )]
    Revoked {
        /// The node.
        name: String,
    },
    /// Another machine.
    #[error(
        "the certificate of node {name} belongs to the machine {joined}, which joined from {address}; this is the \
         machine {found}: its files were copied"
    )]
    OtherMachine {
        /// The node.
        name: String,
        /// The machine's id.
        joined: String,
        /// Its address when it joined.
        address: String,
        /// The id of the machine that asks.
        found: String,
    },
}

impl From<RedeemError> for JoinError {
    fn from(error: RedeemError) -> Self {
        match error {
            RedeemError::Token(e) => Self::Token(e),
            RedeemError::Pki(e) => Self::Pki(e),
        }
    }
}

impl Pki {
    /// Makes a token; gives it and the text that a person carries to a machine.
    pub fn create_token(&self, new: NewToken, now: Time) -> Result<(Token, String), CreateError> {
        let (token, text) = self.tokens.create(new, now)?;
        Ok((token, tokens::text(&text, &self.pin()?)))
    }

    /// All tokens.
    pub fn tokens(&self) -> Vec<Token> {
        self.tokens.list()
    }

    /// Takes a token back; false if there is none of that id.
    pub fn revoke_token(&self, id: &str) -> Result<bool, PkiError> {
        self.tokens.revoke(id)
    }

    /// Lets a machine in.
    pub fn join(&self, ask: &JoinAsk<'_>, now: Time) -> Result<Joined, JoinError> {
        if !is_node_name(ask.node) {
            return Err(JoinError::Name { name: ask.node.chars().take(253).collect() });
        }
        let request = read_request(ask.request)?;
        let key = request_key(&request);
        self.members.update(ask.node, |known| {
            let labels = match known {
                Some(Standing::Local) => return Err(JoinError::Local { name: ask.node.into() }),
                Some(Standing::Joined(member)) => match member.alive(now) {
                    // The answer to its first try was lost.
                    Some(_) if member.certificates.iter().any(|c| c.key == key) => std::collections::BTreeMap::new(),
                    Some(alive) => {
                        return Err(JoinError::Taken {
                            name: ask.node.into(),
                            address: member.address.clone(),
                            until: alive.not_after.rfc3339(),
                        });
                    }
                    None => self.tokens.redeem(ask.token, ask.node, now)?.labels,
                },
                None => self.tokens.redeem(ask.token, ask.node, now)?.labels,
            };
            let (certificate_pem, issued) = self.node_certificate(ask.node, &request, key, now)?;
            let member = Member {
                machine_id: ask.machine_id.into(),
                address: ask.address.into(),
                joined: now,
                certificates: vec![issued],
            };
            Ok((Some(member), Joined { certificate_pem, labels }))
        })
    }

    /// The next certificate of a node, for one that counts.
    pub fn renew(&self, node: &str, certificate: &[u8], request: &[u8], now: Time) -> Result<String, JoinError> {
        let request = read_request(request)?;
        let key = request_key(&request);
        let used = Digest::of(certificate);
        self.members.update(node, |known| {
            let mut member = counted(node, known, &used)?.clone();
            let (pem, issued) = self.node_certificate(node, &request, key, now)?;
            member.add(issued, now);
            Ok((Some(member), pem))
        })
    }

    /// Whether a certificate that TLS has verified counts as this node's; and whether it is used on
    /// the machine that joined.
    pub fn authorize(
        &self,
        node: &str,
        certificate: &[u8],
        machine_id: Option<&str>,
    ) -> Result<Counted, CertificateError> {
        let (fingerprint, known) = (Digest::of(certificate), self.members.watched(node));
        let revoked = || CertificateError::Revoked { name: node.into() };
        let (standing, removed) = known.ok_or_else(revoked)?;
        let member = counted(node, Some(&standing), &fingerprint)?;
        let until = member.certificates.iter().find(|c| c.fingerprint == fingerprint).map(|c| c.not_after);
        match machine_id.filter(|id| *id != member.machine_id) {
            None => Ok(Counted { until: until.unwrap_or_default(), removed }),
            Some(found) => Err(CertificateError::OtherMachine {
                name: node.into(),
                joined: member.machine_id.clone(),
                address: member.address.clone(),
                found: found.into(),
            }),
        }
    }

    /// What is known of a node's certificates; `None` where there is no such node, or it has none.
    pub fn member(&self, node: &str) -> Option<Member> {
        match self.members.get(node)? {
            Standing::Joined(member) => Some(member),
            Standing::Local => None,
        }
    }

    fn node_certificate(
        &self,
        node: &str,
        request: &CertificateSigningRequestParams,
        key: Digest,
        now: Time,
    ) -> Result<(String, Issued), PkiError> {
        // Nothing of the request but its key: a machine does not choose what it may do.
        let subject = format!("{NODE_PREFIX}{node}");
        let params = leaf(&subject, Some(NODES), ExtendedKeyUsagePurpose::ClientAuth, NODE_LIFE);
        let certificate = params
            .signed_by(&request.public_key, &self.issuer)
            .map_err(|source| PkiError::Certificate { what: "a node", source })?;
        let issued =
            Issued { fingerprint: Digest::of(certificate.der()), key, not_after: now + NODE_LIFE, issuer: self.pin()? };
        Ok((certificate.pem(), issued))
    }
}

/// The member whose certificate this is.
fn counted<'a>(node: &str, known: Option<&'a Standing>, fingerprint: &Digest) -> Result<&'a Member, CertificateError> {
    let joined = match known {
        Some(Standing::Joined(member)) => Some(member),
        Some(Standing::Local) | None => None,
    };
    joined
        .filter(|m| m.certificates.iter().any(|c| c.fingerprint == *fingerprint))
        .ok_or_else(|| CertificateError::Revoked { name: node.into() })
}

fn read_request(der: &[u8]) -> Result<CertificateSigningRequestParams, JoinError> {
    CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
        .map_err(|e| JoinError::Request(e.to_string()))
}

fn request_key(request: &CertificateSigningRequestParams) -> Digest {
    use rcgen::PublicKeyData as _;
    Digest::of(request.public_key.der_bytes())
}

/// A name of DNS, as Kubernetes wants of a Node; it is a file's name here, too.
pub fn is_node_name(name: &str) -> bool {
    let part = |p: &str| {
        let b = p.as_bytes();
        let edge = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        edge(b.first())
            && edge(b.last())
            && b.iter().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'-')
    };
    name.len() <= 253 && name.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair};
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};

    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    fn request(key: &KeyPair) -> Vec<u8> {
        CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
    }

    fn der(pem: &str) -> Vec<u8> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
    }

    fn token(pki: &Pki, uses: Option<u32>) -> String {
        let (_, text) = pki.create_token(NewToken { uses, ..NewToken::default() }, NOW).unwrap();
        let parts: Vec<&str> = text.split('.').collect();
        assert_eq!((parts.len(), parts[0]), (4, "ek1"));
        format!("{}.{}", parts[1], parts[2])
    }

    fn ask<'a>(token: &'a str, node: &'a str, request: &'a [u8]) -> JoinAsk<'a> {
        JoinAsk { token, node, request, machine_id: "m1", address: "10.0.0.1" }
    }

    fn open(dir: &Path) -> Pki {
        Pki::open(dir).unwrap()
    }

    #[test]
    fn a_node_joins_renews_and_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let pki = open(dir.path());
        let (token, key) = (token(&pki, Some(1)), KeyPair::generate().unwrap());
        let first = der(&pki.join(&ask(&token, "n1", &request(&key)), NOW).unwrap().certificate_pem);
        pki.authorize("n1", &first, Some("m1")).unwrap();
        assert!(matches!(pki.authorize("n2", &first, None), Err(CertificateError::Revoked { .. })));
        let copied = pki.authorize("n1", &first, Some("m2")).unwrap_err().to_string();
        assert!(copied.contains("m1") && copied.contains("m2") && copied.contains("10.0.0.1"), "{copied}");
        let next = KeyPair::generate().unwrap();
        let second = der(&pki.renew("n1", &first, &request(&next), NOW).unwrap());
        // Both count, also after a restart: the answer may have been lost.
        let pki = open(dir.path());
        pki.authorize("n1", &first, None).unwrap();
        pki.authorize("n1", &second, None).unwrap();
        pki.remove_node("n1").unwrap();
        assert!(pki.authorize("n1", &second, None).is_err());
        assert!(matches!(pki.renew("n1", &second, &request(&next), NOW), Err(JoinError::Certificate(_))));
    }

    #[test]
    fn a_name_in_use_is_refused_unless_its_certificate_is_over_or_its_answer_was_lost() {
        let dir = tempfile::tempdir().unwrap();
        let pki = open(dir.path());
        let (token, key, other) = (token(&pki, Some(2)), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        pki.join(&ask(&token, "n1", &request(&key)), NOW).unwrap();
        pki.join(&ask(&token, "n1", &request(&key)), NOW).unwrap();
        assert_eq!(pki.tokens()[0].used, 1, "the same machine, once more");
        let refused = pki.join(&ask(&token, "n1", &request(&other)), NOW).unwrap_err().to_string();
        assert!(refused.contains("10.0.0.1") && refused.contains("node remove n1"), "{refused}");
        pki.join(&ask(&token, "n1", &request(&other)), NOW + NODE_LIFE).unwrap();
        let full = pki.join(&ask(&token, "n2", &request(&key)), NOW).unwrap_err();
        assert!(matches!(full, JoinError::Token(TokenError::UsedUp { uses: 2 })), "{full}");
    }

    #[test]
    fn names_that_are_none_and_the_servers_own_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let pki = open(dir.path());
        pki.add_node("here").unwrap();
        let (token, key) = (token(&pki, None), KeyPair::generate().unwrap());
        for name in ["", "../x", "A", "a_b", "a..b", "-a", &"a".repeat(254)] {
            assert!(matches!(pki.join(&ask(&token, name, &request(&key)), NOW), Err(JoinError::Name { .. })), "{name}");
        }
        assert!(matches!(pki.join(&ask(&token, "here", &request(&key)), NOW), Err(JoinError::Local { .. })));
        assert!(matches!(pki.join(&ask(&token, "n1", b"nonsense"), NOW), Err(JoinError::Request(_))));
        assert_eq!(pki.tokens()[0].used, 0);
    }
}
