//! Who asks.
//!
//! The listener reads a verified client certificate into a [`Client`], which counts first; else a bearer
//! token of a ServiceAccount, or of the OpenID Connect issuer that the server knows, does. Who may speak for others says so in headers. Nodes have a service of
//! their own and nothing here. Deliberately not here: whether somebody may do what they ask (`gate`).

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::http::{HeaderMap, header, request::Parts};
use evenkeel_core::rbac::{self, AUTHENTICATED, Act, Resource, User};
use evenkeel_model::{Key, Kind};
use tokio::sync::Notify;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::{Api, access_log::Who, gate, path::percent_decode, status::Failure, websocket};
use crate::pki::{Claims, ISSUER, NODES, extra};

/// The group that may do everything, as in Kubernetes.
pub const ADMINS: &str = rbac::MASTERS;
/// The group of those who have shown nothing.
const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Their name.
const ANONYMOUS: &str = "system:anonymous";

/// Characters of why a token does not count that are logged.
const WHY: usize = 200;

/// A verified certificate's subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its CN.
    pub user: String,
    /// Its Os.
    pub groups: Vec<String>,
}

impl Identity {
    /// From a certificate that TLS has verified; `None` if it has no CN.
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization().filter_map(|o| o.as_str().ok()).map(Into::into).collect();
        Some(Self { user, groups })
    }
}

/// Whoever is at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Client(pub Option<Identity>);

/// The machine at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The certificate that TLS has verified, DER.
    pub certificate: Option<Arc<[u8]>>,
}

/// Told when somebody without a certificate has shown who they are: the listener then gives their
/// connection the room and time of a user's.
#[derive(Debug, Clone, Default)]
pub struct Shown(pub Arc<Notify>);

/// Who asks, and speaks for whom; `who` has what is known of it, also where the answer is a refusal.
pub(crate) async fn user(api: &Api, parts: &Parts, who: &mut Who) -> Result<User, Failure> {
    let asks = match parts.extensions.get::<Client>() {
        Some(Client(Some(identity))) => of_identity(identity, parts, who)?,
        _ => of_bearer(api, parts, who).await?,
    };
    who.user = Some(asks.clone());
    let name = asks.name.clone();
    let user = impersonated(api, asks, &parts.headers)?;
    if user.name != name {
        *who = Who { user: Some(user.clone()), by: Some(name), why: None };
    }
    Ok(user)
}

fn of_identity(identity: &Identity, parts: &Parts, who: &mut Who) -> Result<User, Failure> {
    let mut user = User { name: identity.user.clone(), groups: identity.groups.clone(), ..User::default() };
    who.user = Some(user.clone());
    if user.is_in(NODES) {
        let act = Act::Path { verb: &parts.method.as_str().to_ascii_lowercase(), path: parts.uri.path() };
        return Err(gate::forbidden(&user, &act));
    }
    user.groups.push(AUTHENTICATED.into());
    Ok(user)
}

async fn of_bearer(api: &Api, parts: &Parts, who: &mut Who) -> Result<User, Failure> {
    let token = match bearer(&parts.headers) {
        Some(token) => Some(token.to_owned()),
        None => websocket::bearer(&parts.headers).map_err(|why| {
            who.why = Some(why.into());
            Failure::unauthorized()
        })?,
    };
    let token = token.ok_or_else(Failure::unauthorized)?;
    let user = of_token(api, &token, &[ISSUER]).await.map(|(user, _)| user).map_err(|why| {
        tracing::info!(why, "a bearer token does not count");
        // It may quote the token.
        who.why = Some(why.chars().take(WHY).collect());
        Failure::unauthorized()
    })?;
    if let Some(shown) = parts.extensions.get::<Shown>() {
        shown.0.notify_one();
    }
    Ok(user)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|t| !t.is_empty())
}

/// Whose a token is, and for which of `audiences` it is; else why it does not count.
pub(crate) async fn of_token(api: &Api, token: &str, audiences: &[&str]) -> Result<(User, Vec<String>), String> {
    if let Some((oidc, claimed)) = api.oidc.as_ref().and_then(|oidc| Some((oidc, oidc.claimed(token)?))) {
        let mut user = oidc.user(&claimed, (api.now)()).await.map_err(|why| format!("oidc: {why}"))?;
        // What its own audience is the issuer's setting says: as in Kubernetes it then is one for this server.
        let fits = audiences.contains(&ISSUER).then(|| vec![ISSUER.to_owned()]).ok_or("it is for somebody else")?;
        user.groups.push(AUTHENTICATED.into());
        return Ok((user, fits));
    }
    Ok(of_account(api, token, audiences)?)
}

/// The same for a ServiceAccount's.
fn of_account(api: &Api, token: &str, audiences: &[&str]) -> Result<(User, Vec<String>), &'static str> {
    let pki = api.pki.as_ref().ok_or("the server has no keys")?;
    let claims: Claims = pki.accounts().verify(token, (api.now)()).map_err(|error| match error {
        crate::pki::BadToken::Foreign => "it is no token of this server",
        crate::pki::BadToken::Signature => "its signature is wrong",
        crate::pki::BadToken::Time => "it has expired, or is not valid yet",
    })?;
    let fits: Vec<String> = claims.aud.iter().filter(|a| audiences.contains(&a.as_str())).cloned().collect();
    if fits.is_empty() {
        return Err("it is for somebody else");
    }
    let whose = &claims.whose;
    let view = api.backend.live().view();
    let there = |kind, bound: &crate::pki::Bound| {
        view.get(&Key::new(kind, whose.namespace.as_str(), bound.name.as_str())).is_some_and(|o| o.uid == bound.uid)
    };
    if !there(Kind::ServiceAccount, &whose.account) {
        return Err("its ServiceAccount is gone");
    }
    if whose.pod.as_ref().is_some_and(|pod| !there(Kind::Pod, pod)) {
        return Err("its pod is gone");
    }
    let mut groups = rbac::account_groups(&whose.namespace);
    groups.push(AUTHENTICATED.into());
    let name = rbac::account_user(&whose.namespace, &whose.account.name);
    Ok((User { name, uid: whose.account.uid.to_string(), groups, extra: extra(&claims) }, fits))
}

const AS_USER: &str = "impersonate-user";
const AS_GROUP: &str = "impersonate-group";
const AS_UID: &str = "impersonate-uid";
const AS_EXTRA: &str = "impersonate-extra-";

/// The user whom `Impersonate-…` headers name, where the one who asks may be each part of it.
fn impersonated(api: &Api, user: User, headers: &HeaderMap) -> Result<User, Failure> {
    let texts = |name: &str| -> Result<Vec<String>, Failure> {
        headers.get_all(name).iter().map(|v| text(v.to_str(), name)).collect()
    };
    let names = texts(AS_USER)?;
    let (groups, uids) = (texts(AS_GROUP)?, texts(AS_UID)?);
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if let Some(key) = name.as_str().strip_prefix(AS_EXTRA) {
            let key = percent_decode(key).ok_or_else(|| Failure::bad_request(format!("{name}: it is not encoded")))?;
            extra.entry(key).or_default().push(text(value.to_str(), name.as_str())?);
        }
    }
    let Some(name) = names.into_iter().next().filter(|n| !n.is_empty()) else {
        return if groups.is_empty() && uids.is_empty() && extra.is_empty() {
            Ok(user)
        } else {
            Err(Failure::new(500, "InternalError", "groups, uids and extras are impersonated with a user alone"))
        };
    };
    let view = api.backend.live().view();
    let check = |resource: Resource<'_>| {
        let act = Act::Resource(Resource { verb: "impersonate", ..resource });
        if view.grants.allow(&user, &act) { Ok(()) } else { Err(gate::forbidden(&user, &act)) }
    };
    let account = name.strip_prefix(rbac::ACCOUNT_PREFIX).and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) => {
            check(Resource { resource: "serviceaccounts", namespace, name, ..Resource::default() })?;
        }
        None => check(Resource { resource: "users", name: &name, ..Resource::default() })?,
    }
    for group in &groups {
        check(Resource { resource: "groups", name: group, ..Resource::default() })?;
    }
    let of_review = Resource { group: "authentication.k8s.io", ..Resource::default() };
    for uid in &uids {
        check(Resource { resource: "uids", name: uid, ..of_review })?;
    }
    for (key, values) in &extra {
        for value in values {
            check(Resource { resource: "userextras", subresource: key, name: value, ..of_review })?;
        }
    }
    let mut all = match account {
        Some((namespace, _)) if groups.is_empty() => rbac::account_groups(namespace),
        _ => groups,
    };
    let shown = if name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
    if !all.iter().any(|g| g == shown) {
        all.push(shown.into());
    }
    let other = User { name, uid: uids.into_iter().next().unwrap_or_default(), groups: all, extra };
    tracing::info!(user = %user.name, speaks_for = %other.name, "somebody speaks for another");
    if other.is_in(NODES) {
        return Err(Failure::new(403, "Forbidden", "forbidden: nodes have nothing to ask here"));
    }
    Ok(other)
}

fn text<E>(value: Result<&str, E>, name: &str) -> Result<String, Failure> {
    value.map(Into::into).map_err(|_| Failure::bad_request(format!("{name}: it is no text")))
}
