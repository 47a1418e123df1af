//! Certificates from an ACME directory (RFC 8555) as objects: which Ingresses ask for one, and what is written
//! on the way: the account, answers to challenges, certificates, and why there is none.
//!
//! An Ingress asks by the annotation [`names::ACME`]: each of its `tls` entries that has hosts and a Secret's
//! name gets a certificate for these hosts into that Secret. Called by the server's `acme`, which speaks to the
//! directory. Deliberately not here: when a certificate is renewed, and all that is sent.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use evenkeel_model::{Digest, Key, Kind, Object, Time, Version, base64, canonical, ingress::CertificateNet, names};
use k8s_openapi::api::networking::v1::IngressSpec;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    ask::{Answer, Refusal},
    cx::{Cx, EventKind},
    ingress::{certificate_net, is_ours},
    quota,
    world::World,
};

/// Namespace of the Secret with the account.
const HOME: &str = "kube-system";
/// Its name.
const ACCOUNT: &str = "evenkeel-acme-account";
/// Its entry with what the client keeps of an account.
pub const CREDENTIALS: &str = "credentials.json";

/// What is written.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// The account that was made at the directory, with its key.
    Account(String),
    /// What the directory finds at the Ingress's hosts from now on: key authorizations. None: it has found them.
    Answers {
        /// The Ingress that bears them.
        ingress: Key,
        /// Each `TOKEN.THUMBPRINT`.
        answers: Vec<String>,
    },
    /// An order begins. Whoever looks later and finds it so, and no certificate, knows that it failed.
    Begins {
        /// The Ingress that asked.
        ingress: Key,
        /// The Secret that is to get the certificate.
        secret: Key,
        /// With this one among them.
        tries: Tries,
    },
    /// A certificate.
    Certificate {
        /// The Ingress that asked.
        ingress: Key,
        /// The Secret that gets it.
        secret: Key,
        /// PEM, its own certificate first.
        chain: String,
        /// PEM.
        key: String,
        /// Until when it is good, for people.
        until: String,
    },
    /// There is none.
    Failed {
        /// The Ingress that asked.
        ingress: Key,
        /// The Secret that got none.
        secret: Key,
        /// With this one among them.
        tries: Tries,
        /// Why, for people.
        message: String,
    },
}

/// Without keys.
impl core::fmt::Debug for Step {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Account(_) => f.write_str("Account"),
            Self::Answers { ingress, .. } => write!(f, "Answers of {ingress}"),
            Self::Begins { secret, .. } => write!(f, "Begins {secret}"),
            Self::Certificate { secret, .. } => write!(f, "Certificate {secret}"),
            Self::Failed { ingress, message, .. } => write!(f, "Failed for {ingress}: {message}"),
        }
    }
}

/// What was tried for a Secret since it got a certificate last. Kept at the Ingress that asks, so that a
/// server that starts again and again asks no directory more often than one that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    /// Of what, as a digest: something else is tried at once.
    pub of: String,
    /// How often.
    pub count: u32,
    /// When again.
    pub next: Time,
}

/// A certificate that Ingresses ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The first of these Ingresses, by name.
    pub ingress: Key,
    /// The Secret that gets it.
    pub secret: Key,
    /// Its names.
    pub hosts: BTreeSet<String>,
    /// The version of the Secret that is there.
    pub version: Option<Version>,
    /// What is in it.
    pub held: Held,
    /// What was tried of this very thing, and brought none.
    pub tries: Option<Tries>,
}

impl Wanted {
    /// What is asked for: these names, in a Secret as it is.
    pub fn of(&self) -> String {
        let version = self.version.map(|v| v.0.to_be_bytes()).unwrap_or_default();
        let names = self.hosts.iter().map(String::as_bytes);
        Digest::of_parts(names.chain([&version[..]])).short(16)
    }
}

/// What a Secret has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// It is not there, or empty.
    Nothing,
    /// A certificate that came this way.
    Certificate(Arc<CertificateNet>),
    /// Somebody else made it.
    Others,
}

/// Whether an Ingress asks for certificates.
pub fn asks(ingress: &Object) -> bool {
    ingress.meta.annotation(names::ACME) == Some("true")
}

/// All certificates that are asked for.
pub fn wanted(world: &World) -> Vec<Wanted> {
    let mut all: BTreeMap<Key, Wanted> = BTreeMap::new();
    let asking = world.list(Kind::Ingress, "").filter(|i| asks(i) && !i.deleting() && is_ours(world, i));
    for ingress in asking {
        let tls = ingress.spec::<IngressSpec>().unwrap_or_default().tls.unwrap_or_default();
        for entry in tls {
            let hosts = entry.hosts.unwrap_or_default();
            let Some(name) = entry.secret_name.filter(|n| !n.is_empty() && !hosts.is_empty()) else { continue };
            let secret = ingress.key.sibling(Kind::Secret, name.as_str());
            let wanted = all.entry(secret.clone()).or_insert_with(|| {
                let (version, held) = held(world, &secret);
                let ingress = ingress.key.clone();
                Wanted { ingress, secret, hosts: BTreeSet::new(), version, held, tries: None }
            });
            wanted.hosts.extend(hosts.iter().map(|h| h.to_ascii_lowercase()));
        }
    }
    for wanted in all.values_mut() {
        let of = wanted.of();
        let tries = world.get(&wanted.ingress).and_then(|ingress| tries(ingress).remove(&*wanted.secret.name));
        wanted.tries = tries.filter(|t| t.of == of);
    }
    all.into_values().collect()
}

/// What was tried for the Secrets of an Ingress; nothing where somebody wrote something else there.
fn tries(ingress: &Object) -> BTreeMap<String, Tries> {
    let text = ingress.meta.annotation(names::ACME_TRIES);
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The Ingress with what was tried for a Secret of it, `None` when there is nothing to remember.
fn with_tries(ingress: &Object, secret: &Key, new: Option<&Tries>) -> Object {
    let mut all = tries(ingress);
    let tls = ingress.spec::<IngressSpec>().unwrap_or_default().tls.unwrap_or_default();
    // Secrets that are asked for no more are forgotten.
    all.retain(|name, _| tls.iter().any(|entry| entry.secret_name.as_ref() == Some(name)));
    all.remove(&*secret.name);
    all.extend(new.map(|tries| (secret.name.to_string(), tries.clone())));
    let mut object = Object::clone(ingress);
    match serde_json::to_string(&all) {
        Ok(text) if !all.is_empty() => object.meta.annotate(names::ACME_TRIES, text),
        _ => drop(Arc::make_mut(&mut object.meta.annotations).remove(names::ACME_TRIES)),
    }
    object
}

fn held(world: &World, secret: &Key) -> (Option<Version>, Held) {
    let Some(object) = world.get(secret) else { return (None, Held::Nothing) };
    let held = if object.meta.annotation(names::ACME_MADE).is_none() {
        Held::Others
    } else {
        certificate_net(object).map_or(Held::Nothing, |c| Held::Certificate(Arc::new(c)))
    };
    (Some(object.version), held)
}

/// Ingresses that bear answers.
pub fn answering(world: &World) -> Vec<Key> {
    let all = world.list(Kind::Ingress, "").filter(|i| i.meta.annotation(names::ACME_ANSWERS).is_some());
    all.map(|i| i.key.clone()).collect()
}

/// The Secret with the account.
pub fn account() -> Key {
    Key::new(Kind::Secret, HOME, ACCOUNT)
}

/// Writes a step.
pub fn handle(world: &World, step: &Step, cx: &mut Cx<'_>) -> Result<Answer, Refusal> {
    if world.recovering.is_some() {
        return Err(Refusal::recovering());
    }
    match step {
        Step::Account(credentials) => {
            put_secret(world, &account(), "Opaque", &[(CREDENTIALS, credentials)], cx)?;
            Ok(Answer::Object(account()))
        }
        Step::Answers { ingress, answers } => {
            let mut object = Object::clone(there(world, ingress)?);
            if answers.is_empty() {
                Arc::make_mut(&mut object.meta.annotations).remove(names::ACME_ANSWERS);
            } else {
                object.meta.annotate(names::ACME_ANSWERS, answers.join(" "));
            }
            cx.put(object);
            Ok(Answer::Object(ingress.clone()))
        }
        Step::Begins { ingress, secret, tries } => {
            cx.put(with_tries(there(world, ingress)?, secret, Some(tries)));
            Ok(Answer::Object(ingress.clone()))
        }
        Step::Certificate { ingress, secret, chain, key, until } => {
            put_secret(world, secret, "kubernetes.io/tls", &[("tls.crt", chain), ("tls.key", key)], cx)?;
            // Who asked may be gone meanwhile; the certificate is good.
            if let Some(object) = world.get(ingress) {
                let message = format!("the Secret {} has a certificate that is good until {until}", secret.name);
                cx.event(world, object, EventKind::Normal, "CertificateIssued", &message);
                if object.meta.annotation(names::ACME_TRIES).is_some() {
                    cx.put(with_tries(object, secret, None));
                }
            }
            Ok(Answer::Object(secret.clone()))
        }
        Step::Failed { ingress, secret, tries, message } => {
            let object = there(world, ingress)?;
            cx.event(world, object, EventKind::Warning, "CertificateFailed", message);
            cx.put(with_tries(object, secret, Some(tries)));
            Ok(Answer::Object(ingress.clone()))
        }
    }
}

fn there<'w>(world: &'w World, key: &Key) -> Result<&'w Arc<Object>, Refusal> {
    world.get(key).ok_or_else(|| Refusal::not_found(key))
}

fn put_secret(world: &World, key: &Key, kind: &str, data: &[(&str, &String)], cx: &mut Cx<'_>) -> Result<(), Refusal> {
    let data: BTreeMap<&str, String> = data.iter().map(|(k, v)| (*k, base64::encode(v.as_bytes()))).collect();
    let body = json!({"type": kind, "data": data});
    let live = world.get(key);
    if live.is_some_and(|s| s.meta.annotation(names::ACME_MADE).is_none()) {
        return Err(Refusal::exists(key, "it was not made for ACME"));
    }
    let namespace = Key::cluster(Kind::Namespace, key.namespace.clone());
    if world.get(&namespace).is_none_or(|n| n.deleting()) {
        return Err(Refusal::not_found(&namespace));
    }
    let mut object = live.map_or_else(|| cx.draft(key.clone(), &json!({})), |o| Object::clone(o));
    object.body = canonical::value_bytes(&body).into();
    object.meta.generation = 0;
    object.meta.annotate(names::ACME_MADE, "true");
    quota::admit(world, live.map(|o| &**o), &object, cx.now).map_err(|why| quota::refusal(key, &why))?;
    cx.put(object);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{controllers::testkit::Cluster, ingress::ensure_class};

    fn cluster() -> Cluster {
        let mut cluster = Cluster::new(&[]);
        cluster.with(ensure_class);
        cluster
    }

    fn ingress(cluster: &mut Cluster, name: &str, annotated: bool, tls: &Value) -> Key {
        let key = Key::new(Kind::Ingress, "default", name);
        let body = json!({"spec": {"rules": [], "tls": tls}});
        let made = key.clone();
        cluster.with(move |_, cx| {
            let mut object = cx.draft(made, &body);
            if annotated {
                object.meta.annotate(names::ACME, "true".to_string());
            }
            cx.put(object);
        });
        cluster.settle();
        key
    }

    fn step(cluster: &mut Cluster, step: &Step) -> Result<(), Refusal> {
        let mut said = Ok(());
        cluster.with(|world, cx| said = handle(world, step, cx).map(drop));
        cluster.settle();
        said
    }

    #[test]
    fn those_that_ask_get_one_secret_each_with_all_their_hosts() {
        let mut cluster = cluster();
        ingress(&mut cluster, "none", false, &json!([{"hosts": ["x.example"], "secretName": "x"}]));
        ingress(
            &mut cluster,
            "a",
            true,
            &json!([{"hosts": ["A.example"], "secretName": "one"}, {"hosts": ["b.example"]}]),
        );
        ingress(
            &mut cluster,
            "b",
            true,
            &json!([{"hosts": ["b.example"], "secretName": "one"}, {"secretName": "two"}]),
        );
        let all = wanted(&cluster.world);
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!((&*all[0].ingress.name, &*all[0].secret.name, &all[0].held), ("a", "one", &Held::Nothing));
        assert_eq!(all[0].hosts.iter().collect::<Vec<_>>(), ["a.example", "b.example"]);
    }

    #[test]
    fn a_certificate_is_written_and_others_secrets_are_left_alone() {
        let mut cluster = cluster();
        let asks = ingress(&mut cluster, "a", true, &json!([{"hosts": ["a.example"], "secretName": "one"}]));
        let secret = asks.sibling(Kind::Secret, "one");
        let certificate = |key: &str| Step::Certificate {
            ingress: asks.clone(),
            secret: secret.clone(),
            chain: "chain".into(),
            key: key.into(),
            until: "2027-01-01".into(),
        };
        step(&mut cluster, &certificate("k1")).unwrap();
        step(&mut cluster, &certificate("k2")).unwrap();
        let Held::Certificate(held) = wanted(&cluster.world)[0].held.clone() else { panic!("none") };
        assert_eq!((&*held.chain, &*held.key), ("chain", "k2"));
        let object = cluster.world.get(&secret).unwrap();
        assert_eq!(object.body_map()["type"], "kubernetes.io/tls");
        cluster.with(|world, cx| {
            let mut object = Object::clone(world.get(&secret).unwrap());
            Arc::make_mut(&mut object.meta.annotations).clear();
            cx.put(object);
        });
        cluster.settle();
        assert_eq!(wanted(&cluster.world)[0].held, Held::Others);
        assert_eq!(step(&mut cluster, &certificate("k3")).unwrap_err().code, 409);
    }

    #[test]
    fn what_was_tried_is_known_until_it_succeeds_or_is_something_else() {
        let mut cluster = cluster();
        let tls = json!([{"hosts": ["a.example"], "secretName": "one"}, {"hosts": ["b.example"], "secretName": "two"}]);
        let asks = ingress(&mut cluster, "a", true, &tls);
        let one = asks.sibling(Kind::Secret, "one");
        let first = wanted(&cluster.world).remove(0);
        let tries = |count| Tries { of: first.of(), count, next: Time(60_000 * i64::from(count)) };
        let begins = |count| Step::Begins { ingress: asks.clone(), secret: one.clone(), tries: tries(count) };
        step(&mut cluster, &begins(1)).unwrap();
        let failed = |secret: &Key, tries| Step::Failed {
            ingress: asks.clone(),
            secret: secret.clone(),
            tries,
            message: "no".into(),
        };
        step(&mut cluster, &failed(&asks.sibling(Kind::Secret, "two"), tries(7))).unwrap();
        step(&mut cluster, &failed(&one, tries(2))).unwrap();
        let all = wanted(&cluster.world);
        assert_eq!((all[0].tries.clone(), all[1].tries.clone()), (Some(tries(2)), None), "two was tried for others");
        let issued = Step::Certificate {
            ingress: asks.clone(),
            secret: one.clone(),
            chain: "chain".into(),
            key: "key".into(),
            until: "2027-01-01".into(),
        };
        step(&mut cluster, &issued).unwrap();
        let kept = cluster.world.get(&asks).unwrap().meta.annotation(names::ACME_TRIES).unwrap().to_string();
        assert!(kept.contains("two") && !kept.contains("one"), "{kept}");
        assert_eq!(wanted(&cluster.world)[0].tries, None);
    }

    #[test]
    fn answers_are_at_the_ingress_for_as_long_as_they_are_asked_for() {
        let mut cluster = cluster();
        let asks = ingress(&mut cluster, "a", true, &json!([]));
        let answers = |all: &[&str]| Step::Answers {
            ingress: asks.clone(),
            answers: all.iter().map(ToString::to_string).collect(),
        };
        step(&mut cluster, &answers(&["t1.x", "t2.x"])).unwrap();
        assert_eq!(answering(&cluster.world), core::slice::from_ref(&asks));
        let net = crate::ingress::ingress_net(&cluster.world, cluster.world.get(&asks).unwrap()).unwrap();
        assert_eq!(net.answers, ["t1.x", "t2.x"]);
        step(&mut cluster, &answers(&[])).unwrap();
        assert!(answering(&cluster.world).is_empty());
        assert!(!std::format!("{:?}", Step::Account("secret".into())).contains("secret"));
    }
}
