//! The API's own readers of bytes, for `crate::fuzzing`.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use evenkeel_model::Kind;
use evenkeel_schema::{Customs, SchemaRef};
use serde_json::Value;

use super::{
    channels::{self, Protocol},
    given::{self, Warnings, What},
    objects, protobuf,
    query::{self, Pairs, Params},
    read, spdy,
};

/// Sorts of patches that are JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patch {
    Merge,
    Json,
    Strategic,
}

/// What a patch makes of a Deployment.
pub(crate) fn json_patch(sort: Patch, body: &[u8], live: &Value) -> Option<Value> {
    let media = match sort {
        Patch::Merge => objects::MERGE,
        Patch::Json => objects::JSON,
        Patch::Strategic => objects::STRATEGIC,
    };
    let patch = objects::Patch::read(media, &Bytes::copy_from_slice(body)).ok()?;
    patch.on(Kind::Deployment, live).ok()
}

/// A body of a request for a kind, decoded.
pub(crate) fn sent_body(kind: Kind, media: &'static str, body: &[u8]) -> Option<Value> {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media))]);
    let mut warnings = Warnings::default();
    let pairs = Pairs::default();
    given::once(kind, &headers, body, (&pairs, &mut warnings)).ok()?;
    let tree = given::tree(kind, &headers, body).ok()?;
    let what = What::object(SchemaRef::Table(kind));
    let given = given::read(what, "shop", None, tree, None, (&pairs, &mut warnings)).ok()?;
    let _headers = warnings.on(Response::new(Body::empty()));
    Some(given.value)
}

/// A message of a client to a command in a pod.
pub(crate) fn channel_messages(with_ends: bool, message: &[u8]) {
    let protocol = if with_ends { Protocol::V5 } else { Protocol::V4 };
    if let Err(error) = channels::read(protocol, Bytes::copy_from_slice(message)) {
        let _told = channels::failed(protocol, &error);
    }
    if let Ok(message) = channels::decoded(message) {
        let _again = channels::read(protocol, message);
    }
}

/// Options of a deletion as protobuf.
pub(crate) fn sent_options(body: &[u8]) {
    let _options = protobuf::delete_options(body);
}

/// Text as a query with its options, and as the value of each of those that have a form of their own.
pub(crate) fn query(text: &str) {
    let customs = Customs::default();
    let mut queries = vec![text.to_owned()];
    for name in ["labelSelector", "fieldSelector", "continue", "timeout", "resourceVersion"] {
        let encoded: Vec<String> = text.bytes().map(|b| format!("%{b:02X}")).collect();
        queries.push(format!("{name}={}", encoded.concat()));
    }
    for text in queries {
        let Ok(uri) = format!("/x?{text}").parse() else { continue };
        let Ok(pairs) = Pairs::of(&uri) else { continue };
        let _timeout = query::check_timeout(&pairs);
        if let Ok(params) = Params::read(&pairs) {
            let _field = params.fields.unsupported(Kind::Pod, &customs);
            let _token = read::check_token(&params);
        }
    }
}

/// A client's bytes as frames of SPDY, until one is none.
pub(crate) fn spdy_frames(pieces: &[&[u8]]) {
    spdy::read_all(pieces);
}
