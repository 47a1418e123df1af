//! ConfigMaps and Secrets. No message shows a Secret's value.

use evenkeel_model::base64;
use serde_json::Value;

use super::{complaints::Complaints, names};
use crate::path::Trail;

/// All data of a ConfigMap or Secret together, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// A ConfigMap.
pub(super) fn config_map(value: &Value, out: &mut Complaints) {
    let root = Trail::Root;
    let (data, binary) = (root.field("data"), root.field("binaryData"));
    let size = keys(&value["data"], &data, false, out) + keys(&value["binaryData"], &binary, true, out);
    for key in value["data"].as_object().into_iter().flatten().map(|(k, _)| k) {
        if value["binaryData"].get(key).is_some() {
            out.invalid_str(&data.key(key), key, "duplicate of key present in binaryData");
        }
    }
    if size > MAX_BYTES {
        out.too_long(&root, MAX_BYTES);
    }
}

/// A Secret, `stringData` merged already or not.
pub(super) fn secret(value: &Value, out: &mut Complaints) {
    let root = Trail::Root;
    let data = root.field("data");
    let size =
        keys(&value["data"], &data, true, out) + keys(&value["stringData"], &root.field("stringData"), false, out);
    if size > MAX_BYTES {
        out.too_long(&data, MAX_BYTES);
    }
    let has = |key: &str| value["data"].get(key).is_some() || value["stringData"].get(key).is_some();
    let need = |key: &str, out: &mut Complaints| {
        if !has(key) {
            out.required(&data.key(key), "");
        }
    };
    match value["type"].as_str().unwrap_or("Opaque") {
        "kubernetes.io/dockercfg" => json(value, ".dockercfg", &data, out),
        "kubernetes.io/dockerconfigjson" => json(value, ".dockerconfigjson", &data, out),
        "kubernetes.io/basic-auth" if !(has("username") || has("password")) => {
            need("username", out);
            need("password", out);
        }
        "kubernetes.io/ssh-auth" => need("ssh-privatekey", out),
        "kubernetes.io/tls" => {
            need("tls.crt", out);
            need("tls.key", out);
        }
        "kubernetes.io/service-account-token" => {
            let account = value["metadata"]["annotations"]["kubernetes.io/service-account.name"].as_str();
            if account.unwrap_or_default().is_empty() {
                let (metadata, name) = (root.field("metadata"), "kubernetes.io/service-account.name");
                out.required(&metadata.field("annotations").key(name), "");
            }
        }
        _ => {}
    }
}

/// Checks keys; the size of the values in bytes.
fn keys(value: &Value, at: &Trail<'_>, encoded: bool, out: &mut Complaints) -> usize {
    let mut size = 0;
    for (key, value) in value.as_object().into_iter().flatten() {
        if let Some(why) = names::config_key(key) {
            out.invalid_str(&at.key(key), key, why);
        }
        let length = value.as_str().map_or(0, str::len);
        size += if encoded { length / 4 * 3 } else { length };
    }
    size
}

/// A key that must be there and hold JSON.
fn json(value: &Value, key: &str, data: &Trail<'_>, out: &mut Complaints) {
    let text = value["stringData"][key].as_str().map(|s| s.as_bytes().to_vec());
    let bytes = text.or_else(|| base64::decode(value["data"][key].as_str()?));
    match bytes {
        None => out.required(&data.key(key), ""),
        Some(bytes) => {
            if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err() {
                out.invalid_hidden(&data.key(key), "must be JSON");
            }
        }
    }
}
