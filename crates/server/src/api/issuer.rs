//! Who the issuer of ServiceAccounts' tokens is, and its keys: by these, services that take such tokens
//! (Vault, a cloud's federation, another cluster) check them without asking this server about each.
//!
//! `OpenID` Connect Discovery 1.0 and RFC 7517, in the two documents that Kubernetes has. Deliberately not
//! here: the tokens themselves (`pki`, `accounts`).

use axum::{
    http::{HeaderValue, header},
    response::Response,
};
use serde_json::json;

use super::{
    Api,
    status::{Failure, json_response},
};
use crate::pki::ISSUER;

/// Where the description is.
pub(super) const CONFIGURATION: &str = "/.well-known/openid-configuration";
/// And the keys.
pub(super) const KEYS: &str = "/openid/v1/jwks";
/// How long both may be kept.
const KEPT: &str = "public, max-age=3600";

/// The description: under the issuer's name, by which pods reach this server.
pub(super) fn configuration(api: &Api) -> Result<Response, Failure> {
    let pki = api.pki.as_ref().ok_or_else(Failure::no_path)?;
    let key = pki.accounts().public();
    let response = json_response(
        200,
        &json!({
            "issuer": ISSUER,
            "jwks_uri": format!("{ISSUER}{KEYS}"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [key.alg],
        }),
    );
    Ok(kept(response))
}

/// The keys, as a JWK set.
pub(super) fn keys(api: &Api) -> Result<Response, Failure> {
    let pki = api.pki.as_ref().ok_or_else(Failure::no_path)?;
    let mut response = json_response(200, &json!({"keys": [pki.accounts().public()]}));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    Ok(kept(response))
}

fn kept(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(KEPT));
    response
}
