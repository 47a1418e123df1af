//! ID tokens of OpenID Connect as bearer tokens, as kube-apiserver takes them by its `--oidc-…` flags.
//!
//! `api::auth` asks whose a token is. The issuer's keys are fetched at the start, when a token is signed
//! with one that is not known, and when they are old; the server does without the issuer as long as it
//! knows the keys. What is checked and in which words follows Kubernetes'
//! `apiserver/plugin/pkg/authenticator/token/oidc` and the library `go-oidc` under it. Deliberately not
//! here: claims that the issuer has elsewhere (`_claim_sources`), and logging in, which is the client's.

mod fetch;
mod keys;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use evenkeel_core::rbac::User;
use evenkeel_model::Time;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::pki::{ISSUER, NODES};
use fetch::Fetch;
use keys::PublicKey;
pub use keys::algorithms;

/// Keys are asked for no more often than this, whatever tokens come.
const REFETCH: Duration = Duration::from_secs(10);
/// Keys older than this are asked for again, so that one that the issuer took back ends.
const OLD: Duration = Duration::from_hours(1);
/// How far a clock of the issuer's may be ahead, in seconds: as in `go-oidc`.
const AHEAD: i64 = 300;
/// Bytes of a token at most; as of a request's headers in all.
const MOST: usize = 64 << 10;

/// What kube-apiserver's flags of these names say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcOptions {
    /// `--oidc-issuer-url`.
    pub issuer: String,
    /// `--oidc-client-id`.
    pub client: String,
    /// `--oidc-ca-file`.
    pub ca: Option<PathBuf>,
    /// `--oidc-username-claim`.
    pub username_claim: String,
    /// `--oidc-username-prefix`; empty if it was not given.
    pub username_prefix: String,
    /// `--oidc-groups-claim`; empty for none.
    pub groups_claim: String,
    /// `--oidc-groups-prefix`.
    pub groups_prefix: String,
    /// `--oidc-required-claim`.
    pub required: BTreeMap<String, String>,
    /// `--oidc-signing-algs`; some of [`algorithms`].
    pub algorithms: Vec<String>,
}

/// Why tokens of an issuer cannot be taken at all.
#[derive(Debug, Error)]
pub enum OidcError {
    /// Its address.
    #[error("the issuer {0:?} is no URL that begins with https://, without a query or fragment")]
    Issuer(String),
    /// This server's tokens have it.
    #[error("the issuer {0:?} is this server, for ServiceAccounts")]
    Own(String),
    /// Whom to trust.
    #[error("certificate authorities of the issuer: {0}")]
    Authorities(String),
}

/// An issuer whose tokens are taken.
#[derive(Debug)]
pub struct Oidc {
    options: OidcOptions,
    fetch: Fetch,
    known: RwLock<Known>,
    /// When keys were last asked for; held while they are.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug, Default, Clone)]
struct Known {
    keys: Arc<[PublicKey]>,
    /// When they came.
    at: Option<Instant>,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
}

/// A token that says it is of the issuer; nothing in it is true before its signature was checked.
pub(crate) struct Claimed<'a> {
    head: Head,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl Oidc {
    /// Nothing is asked before [`Oidc::start`].
    pub fn new(mut options: OidcOptions) -> Result<Self, OidcError> {
        let url: Option<hyper::Uri> = options.issuer.parse().ok();
        if !options.issuer.starts_with("https://") || options.issuer.contains(['?', '#']) || url.is_none() {
            return Err(OidcError::Issuer(options.issuer));
        }
        if options.issuer == ISSUER {
            return Err(OidcError::Own(options.issuer));
        }
        options.username_prefix = match options.username_prefix.as_str() {
            "" if options.username_claim != "email" => format!("{}#", options.issuer),
            "-" => String::new(),
            given => given.to_owned(),
        };
        let fetch = Fetch::new(options.ca.as_deref()).map_err(OidcError::Authorities)?;
        Ok(Self { options, fetch, known: RwLock::default(), asked: tokio::sync::Mutex::default() })
    }

    /// Asks the issuer for its keys, so that the first token need not wait.
    pub fn start(self: &Arc<Self>) {
        // What fails is logged, and tried again with the next token.
        drop(tokio::spawn(self.clone().refetch(None)));
    }

    /// A token that names this issuer; whether it is right to is not looked at yet.
    pub(crate) fn claimed<'a>(&self, token: &'a str) -> Option<Claimed<'a>> {
        if token.len() > MOST {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let claims: Map<String, Value> = part(claims)?;
        if claims.get("iss")?.as_str()? != self.options.issuer {
            return None;
        }
        Some(Claimed { head: part(head)?, claims, signed, signature: BASE64.decode(signature).ok()? })
    }

    /// Whose a token is, or why it does not count.
    pub(crate) async fn user(self: &Arc<Self>, token: &Claimed<'_>, now: Time) -> Result<User, String> {
        // Before any key is asked for: what can be refused without.
        self.check_time_and_audience(&token.claims, now)?;
        if !self.options.algorithms.contains(&token.head.alg) {
            return Err(format!("tokens signed by {:?} are not taken", token.head.alg));
        }
        self.check_signature(token).await?;
        self.check_required(&token.claims)?;
        let user = self.user_of(&token.claims)?;
        if user.is_in(NODES) { Err("nodes have nothing to ask here".into()) } else { Ok(user) }
    }

    fn check_time_and_audience(&self, claims: &Map<String, Value>, now: Time) -> Result<(), String> {
        let audience = claims.get("aud").map(texts).unwrap_or_default().unwrap_or_default();
        if !audience.contains(&self.options.client) {
            return Err(format!("expected audience {:?} got {audience:?}", self.options.client));
        }
        let now = now.0.div_euclid(1000);
        let exp = claims.get("exp").and_then(seconds).ok_or("it does not say when it ends")?;
        if now > exp {
            return Err(format!("token is expired (Token Expiry: {exp})"));
        }
        match claims.get("nbf").map(|nbf| seconds(nbf).ok_or("its `nbf` is no time")).transpose()? {
            Some(nbf) if now.saturating_add(AHEAD) < nbf => {
                Err(format!("current time {now} before the nbf (not before) time: {nbf}"))
            }
            _ => Ok(()),
        }
    }

    async fn check_signature(self: &Arc<Self>, token: &Claimed<'_>) -> Result<(), String> {
        let fits = |keys: &[PublicKey]| {
            let mut may = keys.iter().filter(|key| key.may_be(token.head.kid.as_deref()));
            may.any(|key| key.signed(&token.head.alg, token.signed.as_bytes(), &token.signature))
        };
        let known = self.known();
        if fits(&known.keys) {
            if known.at.is_none_or(|at| at.elapsed() > OLD) {
                drop(tokio::spawn(self.clone().refetch(known.at)));
            }
            return Ok(());
        }
        // A task of its own: who hangs up takes no other's answer along.
        let refetched = tokio::spawn(self.clone().refetch(known.at)).await;
        let known = self.known();
        if refetched.is_ok() && fits(&known.keys) {
            return Ok(());
        }
        let which = if known.at.is_none() { "the issuer's keys are not known yet" } else { "its signature is wrong" };
        Err(which.to_owned())
    }

    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for the keys, unless they are newer than those of `seen`, or were asked for just now.
    async fn refetch(self: Arc<Self>, seen: Option<Instant>) {
        let mut asked = self.asked.lock().await;
        if self.known().at != seen || asked.is_some_and(|at| at.elapsed() < REFETCH) {
            return;
        }
        *asked = Some(Instant::now());
        match self.fetch.keys(&self.options.issuer).await {
            Ok(keys) => {
                tracing::info!(issuer = self.options.issuer, keys = keys.len(), "the keys of the issuer of ID tokens");
                let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                *known = Known { keys: keys.into(), at: Some(Instant::now()) };
            }
            Err(why) => tracing::warn!(
                issuer = self.options.issuer,
                why,
                "the keys of the issuer of ID tokens cannot be had; those that are known go on counting"
            ),
        }
    }

    fn check_required(&self, claims: &Map<String, Value>) -> Result<(), String> {
        for (name, value) in &self.options.required {
            match claims.get(name).map(Value::as_str) {
                None => return Err(format!("required claim {name} not present in ID token")),
                Some(Some(is)) if is == value => {}
                _ => return Err(format!("required claim {name} value does not match")),
            }
        }
        Ok(())
    }

    fn user_of(&self, claims: &Map<String, Value>) -> Result<User, String> {
        let options = &self.options;
        let claim = &options.username_claim;
        let name = claims.get(claim).and_then(Value::as_str).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("its claim {claim:?} is no user's name"))?;
        if claim == "email" {
            match claims.get("email_verified") {
                None | Some(Value::Bool(true)) => {}
                Some(Value::Bool(false)) => return Err("email not verified".into()),
                Some(_) => return Err("its claim \"email_verified\" is neither true nor false".into()),
            }
        }
        let groups = match claims.get(&options.groups_claim) {
            None | Some(Value::Null) => Vec::new(),
            Some(value) => {
                texts(value).ok_or_else(|| format!("its claim {:?} is no list of groups", options.groups_claim))?
            }
        };
        let groups = groups.into_iter().map(|group| format!("{}{group}", options.groups_prefix)).collect();
        let id = claims.get("jti").and_then(Value::as_str).filter(|id| !id.is_empty());
        let extra = id.map(|id| ("authentication.kubernetes.io/credential-id".into(), vec![format!("JTI={id}")]));
        let name = format!("{}{name}", options.username_prefix);
        Ok(User { name, uid: String::new(), groups, extra: extra.into_iter().collect() })
    }
}

fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&BASE64.decode(text).ok()?).ok()
}

/// A text, or a list of some.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(all) => all.iter().map(|one| one.as_str().map(Into::into)).collect(),
        _ => None,
    }
}

/// Seconds of the Unix epoch; with a fraction, too.
#[expect(clippy::cast_possible_truncation, reason = "a time beyond all numbers is their end")]
fn seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().map(|f| f as i64))
}
