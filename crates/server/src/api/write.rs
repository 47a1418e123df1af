//! Writes: a request becomes a question to the conductor, and its answer a response.
//!
//! Called by `rest`. What may be written is in `access`; everything else is refused with the
//! reason. Deliberately not here: any decision about the world.

use std::{borrow::Cow, sync::Arc};

use axum::{
    body::{Body, Bytes},
    http::{Method, request::Parts},
    response::Response,
};
use evenkeel_core::{Answer, Ask, rbac::User};
use evenkeel_model::{Key, Kind, Object, Revision};
use evenkeel_schema::Customs;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api, absent, access,
    access_log::Made,
    accounts,
    backend::AskError,
    body, custom, diff, discovery, nodes, objects, options,
    path::Target,
    pods,
    query::Pairs,
    rest::no_such_below,
    scale, sources,
    status::{Failure, bytes_response, json_response},
};

/// How often a patch without a version is tried again when the object changed under it: as in
/// Kubernetes.
const PATCH_TRIES: usize = 5;

/// One write under way.
pub(super) struct Write<'a> {
    pub(super) api: &'a Arc<Api>,
    pub(super) parts: &'a Parts,
    pub(super) user: User,
}

/// Answers a request that is no GET.
pub(crate) async fn handle(
    api: &Arc<Api>,
    parts: &Parts,
    body: Body,
    target: Target,
    user: User,
) -> Result<Response, Failure> {
    let pairs = Pairs::of(&parts.uri)?;
    let write = Write { api, parts, user };
    let limit = match &target {
        Target::Below(_, below) if below == "diff" => body::DIFF_LIMIT,
        _ => body::LIMIT,
    };
    refuse_early(&parts.method, &target, &write.customs())?;
    // Before the body, as in Kubernetes.
    options::check(&parts.method, body::media_type(&parts.headers) == objects::APPLY, &pairs)?;
    let bytes = body::read(body, limit).await?;
    if pairs.get("dryRun").is_some() && !dry_runs(&target) {
        return Err(Failure::bad_request(
            "dryRun is not supported here; `evenkeel diff` shows what a revision would do",
        ));
    }
    match (&parts.method, target) {
        (&Method::POST, Target::Collection { kind: Kind::Source, .. }) => sources::create(&write, &pairs, &bytes).await,
        (&Method::POST, Target::Collection { kind, namespace }) => {
            objects::create(&write, (kind, &namespace), &pairs, &bytes).await
        }
        (&Method::DELETE, Target::Collection { kind, namespace }) => {
            objects::delete_collection(&write, (kind, &namespace), &pairs, &bytes).await
        }
        (&Method::PATCH, Target::Item(key)) if key.kind == Kind::Node => {
            nodes::patch(&write, key, &pairs, &bytes).await
        }
        (&Method::PUT, Target::Item(key)) if key.kind == Kind::Node => {
            nodes::replace(&write, key, &pairs, &bytes).await
        }
        (&Method::PUT, Target::Item(key)) if key.kind == Kind::Source => {
            sources::replace(&write, key, &pairs, &bytes).await
        }
        (&Method::PUT, Target::Item(key)) => objects::replace(&write, (key, ""), &pairs, &bytes).await,
        (&Method::PATCH, Target::Item(key)) if key.kind == Kind::Source => {
            sources::patch(&write, key, &pairs, &bytes).await
        }
        (&Method::PATCH, Target::Item(key)) => objects::patch(&write, (key, ""), &pairs, &bytes).await,
        (method @ (&Method::PUT | &Method::PATCH), Target::Below(key, below)) if part(key.kind, &below).is_some() => {
            let named = (key.clone(), part(key.kind, &below).unwrap_or_default());
            if *method == Method::PUT {
                objects::replace(&write, named, &pairs, &bytes).await
            } else {
                objects::patch(&write, named, &pairs, &bytes).await
            }
        }
        (&Method::DELETE, Target::Item(key)) if key.kind == Kind::Pod => {
            pods::delete(&write, key, &pairs, &bytes).await
        }
        (&Method::DELETE, Target::Item(key)) if matches!(key.kind, Kind::Source | Kind::Node) => {
            write.delete(key, &pairs, &bytes).await
        }
        (&Method::DELETE, Target::Item(key)) => objects::delete(&write, key, &pairs, &bytes).await,
        (&Method::PUT | &Method::PATCH, Target::Below(key, below)) if below == "scale" => {
            scale::write(&write, key, &pairs, &bytes).await
        }
        (&Method::POST, Target::Below(key, below)) if below == "diff" => diff::post(&write, key, &bytes).await,
        (&Method::POST, Target::Below(key, below)) if key.kind == Kind::Pod && below == "eviction" => {
            pods::evict(&write, key, &pairs, &bytes).await
        }
        (&Method::POST, Target::Below(key, below)) if key.kind == Kind::ServiceAccount && below == "token" => {
            accounts::token(&write, &key, &bytes)
        }
        (&Method::POST, Target::Below(key, below)) => write.act(key, &below, &bytes).await,
        _ => Err(Failure::no_path()),
    }
}

/// The subresource of this name, where it is a part of the object that is written like the object itself.
fn part(kind: Kind, below: &str) -> Option<&'static str> {
    match (kind, below) {
        (_, "status") => Some("status"),
        (Kind::Pod, "ephemeralcontainers") => Some(access::EPHEMERAL.name),
        (Kind::CertificateSigningRequest, "approval") => Some(access::APPROVAL.name),
        _ => None,
    }
}

/// Whether a request can be tried without writing anything.
fn dry_runs(target: &Target) -> bool {
    match target {
        Target::Collection { .. } | Target::Item(_) => true,
        Target::Below(_, below) => {
            ["approval", "ephemeralcontainers", "eviction", "scale", "status"].contains(&below.as_str())
        }
        Target::Resources(..) => false,
    }
}

/// Refuses what is not allowed before its body is read.
fn refuse_early(method: &Method, target: &Target, customs: &Customs) -> Result<(), Failure> {
    match target {
        Target::Resources(group, version) if discovery::resources(group, version, customs).is_none() => {
            Err(Failure::no_path())
        }
        Target::Resources(..) => Err(Failure::not_allowed("this path takes GET only")),
        Target::Collection { kind, .. } => {
            let verb = match *method {
                Method::POST => "create",
                Method::DELETE => "deletecollection",
                _ => "",
            };
            if access::verbs(*kind).contains(&verb) { Ok(()) } else { Err(access::refuse(*kind, None)) }
        }
        Target::Item(key) => {
            let verb = match *method {
                Method::PUT => "update",
                Method::PATCH => "patch",
                Method::DELETE => "delete",
                _ => "",
            };
            if access::verbs(key.kind).contains(&verb) { Ok(()) } else { Err(access::refuse(key.kind, Some(key))) }
        }
        Target::Below(key, below) => {
            let known = access::below(key.kind, customs).iter().find(|b| b.name == below);
            match known {
                Some(b) if b.verbs.contains(&"create") && *method == Method::POST => Ok(()),
                Some(b) if b.verbs.contains(&"update") && [Method::PUT, Method::PATCH].contains(method) => Ok(()),
                Some(_) => Err(no_such_below(customs, key, below)),
                None => Err(absent::below(key.kind, below)),
            }
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SyncBody {
    now: bool,
    allow_mass_delete: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RollbackBody {
    revision: Option<Revision>,
    reason: String,
    until_next_commit: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct NoBody {}

impl Write<'_> {
    pub(super) async fn ask(&self, ask: Ask) -> Result<Answer, AskError> {
        self.api.backend.ask(ask, self.user.name.clone()).await
    }

    /// Asks for what `make` makes of what is there, and once more where that has changed meanwhile, if it says that
    /// it may: not where the request itself says which version it is for.
    pub(super) async fn ask_again<T>(
        &self,
        key: &Key,
        mut make: impl FnMut() -> Result<(Ask, bool, T), Failure>,
    ) -> Result<(Answer, T), Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let (ask, again, more) = make()?;
            match self.ask(ask).await {
                Err(AskError::Refused(r)) if r.code == 409 && again && tries < PATCH_TRIES => {}
                Err(e) => return Err(Failure::of_ask(&e, key)),
                Ok(answer) => return Ok((answer, more)),
            }
        }
    }

    /// Asks, and answers with the object as it is then.
    pub(super) async fn ask_for(&self, ask: Ask, key: &Key, code: u16) -> Result<Response, Failure> {
        let answer = self.ask(ask).await.map_err(|e| Failure::of_ask(&e, key))?;
        self.respond(answer, key, code)
    }

    pub(super) fn respond(&self, answer: Answer, key: &Key, code: u16) -> Result<Response, Failure> {
        match answer {
            // In the version that was asked for.
            Answer::Object(found) => match self.current(&Key { kind: key.kind, ..found }) {
                Ok(object) => Ok(bytes_response(code, object.to_json())),
                // What was asked to go may be gone by the end of its batch.
                Err(_) if self.parts.method == Method::DELETE => Ok(json_response(200, &status_of_deleted(key))),
                Err(gone) => Err(gone),
            },
            Answer::Created(found) => {
                let key = Key { kind: key.kind, ..found };
                let mut response = bytes_response(201, self.current(&key)?.to_json());
                response.extensions_mut().insert(Made((*key.name).into()));
                Ok(response)
            }
            Answer::Would(object) => Ok(bytes_response(code, self.shown(&object, key).to_json())),
            Answer::WouldCreate(object) => Ok(bytes_response(201, self.shown(&object, key).to_json())),
            Answer::Deleted(object) => Ok(json_response(200, &deleted(&object))),
            Answer::NodeUse(_) | Answer::Renewed(_) | Answer::Plan(_) | Answer::Moved(_) => {
                Err(Failure::new(500, "InternalError", "the server answered with a plan").about(key))
            }
        }
    }

    pub(super) fn current(&self, key: &Key) -> Result<Arc<Object>, Failure> {
        let view = self.api.backend.live().view();
        let object = view.get(key).ok_or_else(|| Failure::not_found(key))?;
        Ok(match custom::shown(&view.customs, key.kind, object) {
            Cow::Borrowed(_) => object.clone(),
            Cow::Owned(seen) => Arc::new(seen),
        })
    }

    /// The custom kinds of the last view.
    pub(super) fn customs(&self) -> Customs {
        self.api.backend.live().view().customs.clone()
    }

    fn shown<'o>(&self, object: &'o Object, key: &Key) -> Cow<'o, Object> {
        custom::shown(&self.customs(), key.kind, object)
    }

    async fn delete(&self, key: Key, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
        let options = pods::delete_options(&self.parts.headers, pairs, bytes)?;
        if options.if_uid.is_some() || options.if_version.is_some() {
            let current = self.current(&key)?;
            options.check(&current).map_err(|r| Failure::of_ask(&AskError::Refused(r), &key))?;
        }
        let (name, dry_run) = (key.name.clone(), options.dry_run);
        if key.kind == Kind::Node {
            return self.delete_node(&key, pairs.flag("force"), dry_run).await;
        }
        self.ask_for(Ask::DeleteSource { name, prune: pairs.flag("prune"), dry_run }, &key, 200).await
    }

    /// A node that is gone has no certificate: its agent, should it live, gives no more reports. One
    /// that never reported, or of which only the certificate is left, goes the same way.
    async fn delete_node(&self, key: &Key, force: bool, dry_run: bool) -> Result<Response, Failure> {
        let ask = Ask::DeleteNode { name: key.name.clone(), force, dry_run };
        if dry_run {
            return self.ask_for(ask, key, 200).await;
        }
        let asked = self.ask(ask).await;
        let gone = matches!(&asked, Err(AskError::Refused(r)) if r.code == 404);
        let answer = match asked {
            Ok(answer) => Some(answer),
            Err(_) if gone => None,
            Err(e) => return Err(Failure::of_ask(&e, key)),
        };
        let had = self.revoke(key).await?;
        match answer {
            Some(answer) => self.respond(answer, key, 200),
            None if had => Ok(json_response(200, &status_of_deleted(key))),
            None => Err(Failure::not_found(key)),
        }
    }

    /// Takes a node's certificates back; says whether it had any.
    async fn revoke(&self, key: &Key) -> Result<bool, Failure> {
        let Some(pki) = self.api.pki.clone() else { return Ok(false) };
        let name = key.name.clone();
        match tokio::task::spawn_blocking(move || pki.remove_node(&name)).await {
            Ok(Ok(had)) => Ok(had),
            Ok(Err(error)) => {
                tracing::error!(node = %key.name, %error, "a node's certificate could not be revoked");
                let message = "the node is deleted, but its certificate could not be revoked: the server's log says \
                               why; delete it once more";
                Err(Failure::new(500, "InternalError", message).about(key))
            }
            Err(_) => Err(Failure::new(500, "InternalError", "the server failed; its log has the reason").about(key)),
        }
    }

    /// A verb of a Source, a Drift or an orphan.
    async fn act(&self, key: Key, verb: &str, bytes: &Bytes) -> Result<Response, Failure> {
        let headers = &self.parts.headers;
        let name = key.name.clone();
        let ask = match (key.kind, verb) {
            (Kind::Source, "sync") => {
                let b: SyncBody = body::fields(headers, bytes)?;
                Ask::Sync { name, now: b.now, allow_mass_delete: b.allow_mass_delete }
            }
            (Kind::Source, "rollback") => {
                let b: RollbackBody = body::fields(headers, bytes)?;
                Ask::Rollback { name, revision: b.revision, reason: b.reason, until_next_commit: b.until_next_commit }
            }
            (kind, verb) => {
                let NoBody {} = body::fields(headers, bytes)?;
                match (kind, verb) {
                    (Kind::Source, "retry") => Ask::Retry { name },
                    (Kind::Source, "unpin") => Ask::Unpin { name },
                    (Kind::Pod, "adopt") => Ask::OrphanAdopt { pod: key.clone() },
                    (Kind::Pod, "remove") => Ask::OrphanRemove { pod: key.clone() },
                    (Kind::Drift, "accept") => Ask::DriftAccept { name },
                    (Kind::Drift, "heal") => Ask::DriftHeal { name },
                    _ => return Err(Failure::no_path()),
                }
            }
        };
        let look = matches!(ask, Ask::Sync { .. } | Ask::Retry { .. });
        let response = self.ask_for(ask, &key, 200).await?;
        if look {
            self.api.backend.nudge(&key.name);
        }
        Ok(response)
    }
}

pub(super) fn json_body(bytes: &[u8]) -> Result<Value, Failure> {
    let tree: Value =
        serde_json::from_slice(bytes).map_err(|e| Failure::bad_request(format!("the body is no JSON: {e}")))?;
    if tree.is_object() { Ok(tree) } else { Err(Failure::bad_request("the body is no object")) }
}

fn status_of_deleted(key: &Key) -> Value {
    let details = json!({"name": key.name, "kind": key.kind.resource()});
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

fn deleted(object: &Object) -> Value {
    let info = object.key.kind.info();
    let mut details = json!({"name": object.key.name, "kind": info.plural, "uid": object.uid.to_string()});
    if !info.group.is_empty() {
        details["group"] = info.group.into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
