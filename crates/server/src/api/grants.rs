//! Nobody grants what they do not have: writes of roles and bindings.
//!
//! Called by `objects` with what a write by hand would make. As in Kubernetes: who writes a role must hold
//! all its rules where it counts, or may `escalate` it; who binds one must hold its rules, or may `bind` it.
//! What a source holds is its author's word, as everything of it is. Deliberately not here: whether the
//! objects may be written at all (`gate`).

use evenkeel_core::rbac::{Act, MASTERS, Resource, Rule, User, cover, grants::role_of};
use evenkeel_model::{Key, Kind};
use serde_json::{Value, json};

use super::{Api, gate, status::Failure};

/// Refuses a write that would grant more than the user has.
pub(super) fn held(api: &Api, user: &User, key: &Key, value: &Value, before: Option<&Value>) -> Result<(), Failure> {
    if user.is_in(MASTERS) {
        return Ok(());
    }
    match key.kind {
        Kind::Role | Kind::ClusterRole => role(api, user, key, value, before),
        Kind::RoleBinding | Kind::ClusterRoleBinding => binding(api, user, key, value, before),
        _ => Ok(()),
    }
}

fn may(api: &Api, user: &User, verb: &str, role: &Key, namespace: &str) -> bool {
    let info = role.kind.info();
    let act =
        Resource { verb, group: info.group, resource: info.plural, namespace, name: &role.name, ..Resource::default() };
    gate::check(api, user, &Act::Resource(act)).is_ok()
}

fn rules(value: &Value) -> Vec<Rule> {
    // What cannot be read is refused where the object is checked.
    value.get("rules").cloned().and_then(|r| serde_json::from_value(r).ok()).unwrap_or_default()
}

fn role(api: &Api, user: &User, key: &Key, value: &Value, before: Option<&Value>) -> Result<(), Failure> {
    let same = |field: &str| before.is_some_and(|b| b.get(field) == value.get(field));
    let mut wanted = if same("rules") { Vec::new() } else { rules(value) };
    if value.get("aggregationRule").is_some_and(Value::is_object) && !same("aggregationRule") {
        // Whatever others may add up to: everything.
        wanted = serde_json::from_value(json!([
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}]))
        .unwrap_or_default();
    }
    if wanted.is_empty() || may(api, user, "escalate", key, &key.namespace) {
        return Ok(());
    }
    covered(api, user, key, &wanted)
}

fn binding(api: &Api, user: &User, key: &Key, value: &Value, before: Option<&Value>) -> Result<(), Failure> {
    let field = |name: &str| value.get(name).or_else(|| before.and_then(|b| b.get(name)));
    let text = |name: &str| field("roleRef").and_then(|r| r.get(name)).and_then(Value::as_str).unwrap_or_default();
    let same = |name: &str| before.is_some_and(|b| b.get(name) == value.get(name));
    if same("roleRef") && same("subjects") {
        return Ok(());
    }
    let Some(role) = role_of(key, text("kind"), text("name")) else { return Ok(()) };
    if may(api, user, "bind", &role, &key.namespace) {
        return Ok(());
    }
    let view = api.backend.live().view();
    let wanted = view.grants.of_role(&role).cloned().ok_or_else(|| Failure::not_found(&role))?;
    covered(api, user, key, &wanted)
}

fn covered(api: &Api, user: &User, key: &Key, wanted: &[Rule]) -> Result<(), Failure> {
    let view = api.backend.live().view();
    let missing = cover::missing(view.grants.rules(user, &key.namespace), wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let groups = user.groups.iter().map(|g| format!("{g:?}")).collect::<Vec<_>>().join(" ");
    let message = format!(
        "{} \"{}\" is forbidden: user \"{}\" (groups=[{groups}]) is attempting to grant RBAC permissions not currently \
         held:\n{}",
        key.kind.resource(),
        key.name,
        user.name,
        cover::shown(&missing)
    );
    Err(Failure::new(403, "Forbidden", message).about(key))
}
