//! CertificateSigningRequests: who asks, who may approve and sign, and the signature.
//!
//! Called by `objects`. As in Kubernetes the server writes who asks into the request, and whoever approves must
//! hold the verb `approve` of the request's signer (`sign` for its status). A request for
//! [`CLIENT`] is signed in the very write that approves it, so an approval that was answered has its
//! certificate. Requests for other signers are approved here and signed by somebody else, by a write of
//! `status`. Deliberately not here: which conditions may follow on which, and the request's end (core).

use std::time::Duration;

use evenkeel_core::rbac::{Act, MASTERS, Resource, User};
use evenkeel_model::{Key, Kind, Object, Version, base64};
use evenkeel_schema::validate::Cause;
use serde_json::{Value, json};

use super::{access, gate, status::Failure, write::Write};
use crate::pki::{CLIENT_LIFE, ClientRequest, NODES};

/// The signer whose requests this server signs: clients of this API.
pub(super) const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
/// What a client of the API may use its certificate for; the first one it must.
const USAGES: [&str; 3] = ["client auth", "digital signature", "key encipherment"];
/// Groups that nobody comes into by a request.
const CLOSED: [&str; 2] = [MASTERS, NODES];

/// Writes into a new request who asks, and reads what is to be signed.
pub(super) fn made(key: &Key, user: &User, value: &mut Value) -> Result<(), Failure> {
    if key.kind != Kind::CertificateSigningRequest {
        return Ok(());
    }
    // What it lacks is told where the whole object is checked.
    let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
    for (field, found) in [
        ("username", json!(user.name)),
        ("uid", json!(user.uid)),
        ("groups", json!(user.groups)),
        ("extra", json!(user.extra)),
    ] {
        let empty = found.as_str() == Some("") || found.as_object().is_some_and(serde_json::Map::is_empty);
        if empty {
            spec.remove(field);
        } else {
            spec.insert(field.into(), found);
        }
    }
    let Some(text) = spec.get("request").and_then(Value::as_str) else { return Ok(()) };
    let request = read(key, text)?;
    let of_client = spec.get("signerName").and_then(Value::as_str) == Some(CLIENT);
    if let Some(group) = CLOSED.iter().find(|g| of_client && request.groups.iter().any(|r| r == *g)) {
        let message = format!(
            "{} \"{}\" is forbidden: use of {CLIENT} signer with {group} group is not allowed",
            key.kind.resource(),
            key.name
        );
        return Err(Failure::new(403, "Forbidden", message).about(key));
    }
    Ok(())
}

fn read(key: &Key, text: &str) -> Result<ClientRequest, Failure> {
    let wrong = |why: &str| Failure::invalid(key, &[Cause::wrong("spec.request", format!("Invalid value: {why}"))]);
    let pem = base64::decode(text).ok_or_else(|| wrong("illegal base64 data"))?;
    ClientRequest::read(&pem).map_err(|e| wrong(&e.to_string()))
}

/// Whether the user may write this part of a request; signs one that is approved by it. Gives the version that
/// this was judged by.
pub(super) fn written(
    write: &Write<'_>,
    current: &Object,
    subresource: &str,
    value: &mut Value,
) -> Result<Option<Version>, Failure> {
    if current.key.kind != Kind::CertificateSigningRequest || subresource.is_empty() {
        return Ok(None);
    }
    let judged = Some(current.version);
    let request = current.to_value();
    let signer = request["spec"]["signerName"].as_str().unwrap_or_default();
    let deciding = subresource == access::APPROVAL.name;
    allowed(write, &current.key, if deciding { "approve" } else { "sign" }, signer)?;
    let old = request["status"].get("certificate").cloned();
    let new = value["status"].get("certificate").cloned();
    if !deciding {
        if old.is_some() && old != new {
            let why = "updates may not change the certificate once it is set";
            return Err(Failure::invalid(&current.key, &[Cause::forbidden("status.certificate", why)]));
        }
        return Ok(judged);
    }
    let has =
        |kind: &str| value["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(|c| c["type"] == kind));
    let (approved, failed) = (has("Approved") && !has("Denied"), has("Failed"));
    let Some(status) = value.as_object_mut().map(|m| m.entry("status").or_insert_with(|| json!({}))) else {
        return Ok(judged);
    };
    match old {
        Some(old) => status["certificate"] = old,
        None => drop(status.as_object_mut().and_then(|s| s.remove("certificate"))),
    }
    if approved && !failed && signer == CLIENT && status.get("certificate").is_none() {
        match signed(write, &current.key, &request["spec"])? {
            Ok(pem) => status["certificate"] = base64::encode(pem.as_bytes()).into(),
            Err(why) => {
                let failed =
                    json!({"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why});
                status["conditions"].as_array_mut().into_iter().for_each(|all| all.push(failed.clone()));
            }
        }
    }
    Ok(judged)
}

/// The certificate, or why this signer makes none.
fn signed(write: &Write<'_>, key: &Key, spec: &Value) -> Result<Result<String, String>, Failure> {
    let pki = write.api.pki.as_ref().ok_or_else(Failure::no_path)?;
    let usages: Vec<&str> = spec["usages"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !usages.contains(&USAGES[0]) || usages.iter().any(|u| !USAGES.contains(u)) {
        return Ok(Err(format!("usages did not match [{}]", USAGES.join(", "))));
    }
    let request = read(key, spec["request"].as_str().unwrap_or_default())?;
    let asked = spec["expirationSeconds"].as_u64().map_or(CLIENT_LIFE, Duration::from_secs);
    let pem = pki.client_of(&request, asked).map_err(|error| {
        tracing::error!(%error, request = %key, "a certificate cannot be made");
        Failure::new(500, "InternalError", "the server cannot make a certificate; its log says why").about(key)
    })?;
    tracing::info!(request = %key, by = %write.user.name, user = %spec["username"], "a client's certificate was signed");
    Ok(Ok(pem))
}

/// By the signer's name, or that of its whole domain.
fn allowed(write: &Write<'_>, key: &Key, verb: &str, signer: &str) -> Result<(), Failure> {
    let domain = format!("{}/*", signer.split('/').next().unwrap_or_default());
    let group = key.kind.info().group;
    let may = |name: &str| {
        let act = Resource { verb, group, resource: "signers", name, ..Resource::default() };
        gate::check(write.api, &write.user, &Act::Resource(act)).is_ok()
    };
    if may(signer) || may(&domain) {
        return Ok(());
    }
    let message = format!(
        "{} \"{}\" is forbidden: user not permitted to {verb} requests with signerName \"{signer}\"",
        key.kind.resource(),
        key.name
    );
    Err(Failure::new(403, "Forbidden", message).about(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_says_who_asks() {
        let key = Key::cluster(Kind::CertificateSigningRequest, "an");
        let user = User { name: "an".into(), groups: vec!["dev".into()], ..User::default() };
        let mut value = json!({"spec": {"username": "root", "uid": "7", "groups": ["system:masters"],
            "extra": {"a": ["b"]}, "signerName": CLIENT}});
        made(&key, &user, &mut value).unwrap();
        assert_eq!(value["spec"], json!({"username": "an", "groups": ["dev"], "signerName": CLIENT}));
        value["spec"]["request"] = "bm90aGluZw==".into();
        let failure = made(&key, &user, &mut value).unwrap_err();
        assert_eq!(failure.code, 422);
        assert!(failure.message.contains("CERTIFICATE REQUEST"), "{}", failure.message);
    }
}
