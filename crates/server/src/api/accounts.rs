//! `serviceaccounts/NAME/token`: a token of a ServiceAccount, as `kubectl create token` asks for it.
//!
//! Called by `write`. A token is written nowhere; it ends with its time, with its account, and with the pod
//! that it is bound to. Deliberately not here: the signing (`pki`), and what it opens (`auth`).

use std::time::Duration;

use axum::{body::Bytes, response::Response};
use evenkeel_core::rbac::account_user;
use evenkeel_model::{Key, Kind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    given,
    status::{Failure, json_response},
    write::Write,
};
use crate::pki::{Bound, ISSUER, TOKEN_LIFE, TOKEN_LIFE_LEAST, TOKEN_LIFE_MOST, Whose};

/// Audiences of one token.
const AUDIENCES: usize = 32;

const TYPE: (&str, &str, &str) = ("authentication.v1.TokenRequest", "authentication.k8s.io/v1", "TokenRequest");

#[derive(Deserialize, Default)]
#[serde(default)]
struct Asked {
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    audiences: Option<Vec<String>>,
    expiration_seconds: Option<i64>,
    bound_object_ref: Option<Reference>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Reference {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
}

/// Makes a token.
pub(super) fn token(write: &Write<'_>, key: &Key, bytes: &Bytes) -> Result<Response, Failure> {
    let api = write.api;
    let pki = api.pki.as_ref().ok_or_else(Failure::no_path)?;
    let tree = given::question(TYPE, &write.parts.headers, bytes)?;
    let asked: Asked =
        serde_json::from_value(tree).map_err(|e| Failure::bad_request(format!("the body cannot be read: {e}")))?;
    let account = write.current(key)?;
    let seconds = life(asked.spec.expiration_seconds)?;
    let audiences = audiences(asked.spec.audiences.unwrap_or_default())?;
    let pod = asked.spec.bound_object_ref.map(|r| bound(write, key, &r)).transpose()?;
    let reference =
        pod.as_ref().map(|p| json!({"apiVersion": "v1", "kind": "Pod", "name": p.name, "uid": p.uid.to_string()}));
    let whose = Whose {
        namespace: (*key.namespace).into(),
        account: Bound { name: (*key.name).into(), uid: account.uid },
        pod,
    };
    let (now, lasts) = ((api.now)(), Duration::from_secs(seconds));
    let user = account_user(&key.namespace, &key.name);
    let token = pki.accounts().sign(&user, whose, audiences.clone(), now, lasts).map_err(|error| {
        tracing::error!(%error, "a token cannot be made");
        Failure::new(500, "InternalError", "the server cannot make a token; its log says why")
    })?;
    tracing::info!(user = %write.user.name, account = %key, seconds, "a token was made");
    let mut spec = json!({"audiences": audiences, "expirationSeconds": seconds});
    spec["boundObjectRef"] = reference.unwrap_or(Value::Null);
    let answer = json!({
        "apiVersion": TYPE.1, "kind": TYPE.2,
        "metadata": {"name": key.name, "namespace": key.namespace, "creationTimestamp": now.rfc3339()},
        "spec": spec, "status": {"token": token, "expirationTimestamp": (now + lasts).rfc3339()},
    });
    Ok(json_response(201, &answer))
}

fn invalid(message: &str) -> Failure {
    Failure::new(422, "Invalid", format!("TokenRequest.authentication.k8s.io \"\" is invalid: {message}"))
}

fn life(asked: Option<i64>) -> Result<u64, Failure> {
    match asked.map(u64::try_from) {
        None => Ok(TOKEN_LIFE),
        Some(Ok(seconds)) if seconds >= TOKEN_LIFE_LEAST => Ok(seconds.min(TOKEN_LIFE_MOST)),
        Some(_) => {
            let value = asked.unwrap_or_default();
            Err(invalid(&format!(
                "spec.expirationSeconds: Invalid value: {value}: may not specify a duration less than 10 minutes"
            )))
        }
    }
}

fn audiences(asked: Vec<String>) -> Result<Vec<String>, Failure> {
    if asked.is_empty() {
        return Ok(vec![ISSUER.into()]);
    }
    if asked.len() > AUDIENCES || asked.iter().any(|a| a.is_empty() || a.len() > 1024) {
        return Err(invalid(&format!("spec.audiences: at most {AUDIENCES}, none of them empty or above 1024 bytes")));
    }
    Ok(asked)
}

/// The pod with which the token shall end.
fn bound(write: &Write<'_>, account: &Key, asked: &Reference) -> Result<Bound, Failure> {
    if (asked.api_version.as_str(), asked.kind.as_str()) != ("v1", "Pod") {
        let what = format!("{}, Kind={}", asked.api_version, asked.kind);
        return Err(Failure::bad_request(format!(
            "cannot bind token for serviceaccount to a {what} object; to a Pod it can be"
        )));
    }
    let pod = write.current(&account.sibling(Kind::Pod, asked.name.as_str()))?;
    let uid = pod.uid.to_string();
    if !asked.uid.is_empty() && asked.uid != uid {
        let message = format!(
            "Operation cannot be fulfilled on Pod \"{}\": the UID in the bound object reference ({}) does not match the \
             UID in record. The object might have been deleted and then recreated",
            asked.name, asked.uid
        );
        return Err(Failure::new(409, "Conflict", message));
    }
    let spec = pod.spec::<Value>().unwrap_or_default();
    let of = spec["serviceAccountName"].as_str().filter(|n| !n.is_empty()).unwrap_or("default");
    if *of != *account.name {
        let message = format!(
            "cannot bind token for serviceaccount \"{}\" to pod running with different serviceaccount name.",
            account.name
        );
        return Err(Failure::bad_request(message));
    }
    Ok(Bound { name: asked.name.clone(), uid: pod.uid })
}
