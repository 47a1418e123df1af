//! What Secrets are for beside environment and files: credentials of registries, and values that
//! must not show in logs.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use evenkeel_runtime::RegistryAuth;
use evenkeel_wire::PodOrder;
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value;

use super::{
    env,
    settings::{MIN_SECRET_CHARS, TAIL_LINE_CHARS},
};

/// Credentials of the pod's `imagePullSecrets`, in order. A Secret that is missing or unfit gives
/// none, as in Kubernetes: the pull then says what it lacks.
pub(super) fn registry_auths(order: &PodOrder, pod: &PodSpec) -> Vec<RegistryAuth> {
    let names = pod.image_pull_secrets.iter().flatten().map(|r| r.name.as_str());
    names.filter_map(|name| env::content(order, true, name)).flat_map(|c| auths_of(&c.content.data)).collect()
}

fn auths_of(data: &std::collections::BTreeMap<String, std::sync::Arc<[u8]>>) -> Vec<RegistryAuth> {
    let tree = |key: &str| data.get(key).and_then(|b| serde_json::from_slice::<Value>(b).ok());
    let auths = match (tree(".dockerconfigjson"), tree(".dockercfg")) {
        (Some(v), _) => v["auths"].clone(),
        (None, Some(v)) => v,
        (None, None) => return Vec::new(),
    };
    let Value::Object(map) = auths else { return Vec::new() };
    map.iter().map(|(server, entry)| auth(server, entry)).collect()
}

fn auth(server: &str, entry: &Value) -> RegistryAuth {
    let text = |k: &str| entry[k].as_str().unwrap_or_default().to_owned();
    let (mut username, mut password) = (text("username"), text("password"));
    if username.is_empty()
        && let Some(decoded) = STANDARD.decode(text("auth")).ok().and_then(|b| String::from_utf8(b).ok())
        && let Some((user, pass)) = decoded.split_once(':')
    {
        (username, password) = (user.to_owned(), pass.to_owned());
    }
    RegistryAuth { username, password, identity_token: text("identitytoken"), server: server.to_owned() }
}

/// Log lines with every value of the pod's Secrets replaced by `***`, and each line cut.
pub(super) fn strike(order: &PodOrder, lines: Vec<String>) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for content in order.contents.iter().filter(|c| c.secret) {
        for value in content.content.data.values() {
            let text = String::from_utf8_lossy(value);
            // Lines never hold a line break, so a value of several lines is struck out by its lines.
            values.extend(
                text.lines().map(str::trim).filter(|v| v.chars().count() >= MIN_SECRET_CHARS).map(String::from),
            );
            values.push(STANDARD.encode(value));
        }
    }
    values.retain(|v| v.chars().count() >= MIN_SECRET_CHARS);
    // Long ones first: one value may hold another.
    values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    values.dedup();
    lines
        .into_iter()
        .map(|line| {
            let struck =
                values.iter().fold(line, |line, v| if line.contains(v) { line.replace(v, "***") } else { line });
            struck.chars().take(TAIL_LINE_CHARS).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn credentials_in_both_forms() {
        let a = auth("r.example", &json!({"auth": "dTpwOnE="}));
        assert_eq!((a.username.as_str(), a.password.as_str()), ("u", "p:q"));
        let b = auth("r.example", &json!({"username": "x", "password": "y"}));
        assert_eq!((b.username.as_str(), b.password.as_str()), ("x", "y"));
    }
}
