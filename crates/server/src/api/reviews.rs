//! Questions about who may do what and who somebody is: `authorization.k8s.io/v1` and
//! `authentication.k8s.io/v1`, as `kubectl auth can-i` and `whoami` ask them.
//!
//! Called by `rest`. Nothing is kept: the answer is the question with its `status`. Deliberately not here:
//! who may ask (`gate`; everybody may ask about themselves).

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, request::Parts},
    response::Response,
};
use evenkeel_core::rbac::{Act, MASTERS, Resource, Rule, User};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api, auth, body, given, path,
    status::{Failure, json_response},
};
use crate::pki::ISSUER;

const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
/// The groups of questions.
pub(crate) const GROUPS: [&str; 2] = [AUTHENTICATION, AUTHORIZATION];

/// A kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Review {
    group: &'static str,
    /// In the path.
    pub(crate) plural: &'static str,
    /// In the body.
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
}

const fn review(group: &'static str, plural: &'static str, kind: &'static str, namespaced: bool) -> Review {
    Review { group, plural, kind, namespaced }
}

/// All of them.
const REVIEWS: [Review; 6] = [
    review(AUTHENTICATION, "selfsubjectreviews", "SelfSubjectReview", false),
    review(AUTHENTICATION, "tokenreviews", "TokenReview", false),
    review(AUTHORIZATION, "localsubjectaccessreviews", "LocalSubjectAccessReview", true),
    review(AUTHORIZATION, "selfsubjectaccessreviews", "SelfSubjectAccessReview", false),
    review(AUTHORIZATION, "selfsubjectrulesreviews", "SelfSubjectRulesReview", false),
    review(AUTHORIZATION, "subjectaccessreviews", "SubjectAccessReview", false),
];

/// Those of a group.
pub(crate) fn of_group(group: &str) -> impl Iterator<Item = Review> {
    REVIEWS.into_iter().filter(move |r| r.group == group)
}

/// The question that a path names, with its namespace.
pub(crate) fn named(path: &str) -> Option<(Review, String)> {
    let (group, version, rest) = path::split(path)?;
    let resource = |plural: &str| of_group(&group).find(|r| r.plural == plural).map(|r| (r, r.namespaced));
    let place = path::place(&rest, resource)?;
    let asked = place.name.is_none() && place.of.namespaced != place.namespace.is_empty();
    (version == "v1" && asked).then(|| (place.of, place.namespace.to_owned()))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    resource_attributes: Option<ResourceAttributes>,
    non_resource_attributes: Option<PathAttributes>,
    namespace: String,
    user: String,
    groups: Option<Vec<String>>,
    uid: String,
    token: String,
    audiences: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ResourceAttributes {
    namespace: String,
    verb: String,
    group: String,
    resource: String,
    subresource: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PathAttributes {
    path: String,
    verb: String,
}

/// Answers a question.
pub(crate) async fn handle(
    api: &Arc<Api>,
    parts: &Parts,
    body: Body,
    user: &User,
    (review, namespace): (Review, String),
) -> Result<Response, Failure> {
    if parts.method != Method::POST {
        return Err(Failure::not_allowed(format!("{} are asked with POST", review.plural)));
    }
    let bytes = body::read(body, body::LIMIT).await?;
    let definition = format!("{}.v1.{}", review.group.trim_end_matches(".k8s.io"), review.kind);
    let api_version = format!("{}/v1", review.group);
    let mut tree = given::question((&definition, &api_version, review.kind), &parts.headers, &bytes)?;
    let spec = tree.get("spec").cloned().unwrap_or_else(|| json!({}));
    let spec: Spec =
        serde_json::from_value(spec).map_err(|e| Failure::bad_request(format!("the body cannot be read: {e}")))?;
    let status = match review.kind {
        "SelfSubjectReview" => json!({"userInfo": user}),
        "TokenReview" => token(api, &spec).await?,
        "SelfSubjectRulesReview" => rules(api, user, &spec)?,
        "SelfSubjectAccessReview" => access(api, user, &spec)?,
        _ => {
            if review.namespaced && spec.resource_attributes.as_ref().is_none_or(|r| r.namespace != namespace) {
                return Err(wrong(review, "spec.resourceAttributes.namespace: must be the namespace of the path"));
            }
            let groups = spec.groups.clone().unwrap_or_default();
            if spec.user.is_empty() && groups.is_empty() {
                return Err(wrong(
                    review,
                    "spec.user: Invalid value: \"\": at least one of user or group must be specified",
                ));
            }
            let other = User { name: spec.user.clone(), uid: spec.uid.clone(), groups, ..User::default() };
            access(api, &other, &spec)?
        }
    };
    tree["apiVersion"] = api_version.into();
    tree["kind"] = review.kind.into();
    // What a client may leave out, and others read.
    if !tree["metadata"].is_object() {
        tree["metadata"] = json!({});
    }
    tree["metadata"]["creationTimestamp"] = Value::Null;
    if review.kind == "TokenReview" {
        // A token goes no further than it must.
        if let Some(spec) = tree["spec"].as_object_mut() {
            spec.remove("token");
        }
    }
    tree["status"] = status;
    Ok(json_response(201, &tree))
}

fn wrong(review: Review, message: &str) -> Failure {
    Failure::new(422, "Invalid", format!("{}.{} \"\" is invalid: {message}", review.kind, review.group))
}

/// Whether a user may do what is asked.
fn access(api: &Api, user: &User, spec: &Spec) -> Result<Value, Failure> {
    let act = match (&spec.resource_attributes, &spec.non_resource_attributes) {
        (Some(r), None) => Act::Resource(Resource {
            verb: &r.verb,
            group: &r.group,
            resource: &r.resource,
            subresource: &r.subresource,
            namespace: &r.namespace,
            name: &r.name,
        }),
        (None, Some(p)) => Act::Path { verb: &p.verb, path: &p.path },
        _ => {
            let message = "spec.resourceAttributes: Invalid value: exactly one of nonResourceAttributes or \
                           resourceAttributes must be specified";
            return Err(Failure::new(422, "Invalid", message));
        }
    };
    Ok(match api.backend.live().view().grants.why(user, &act) {
        Some(why) if why.is_empty() => json!({"allowed": true}),
        Some(why) => json!({"allowed": true, "reason": why}),
        None => json!({"allowed": false}),
    })
}

/// All that a user may do in a namespace.
fn rules(api: &Api, user: &User, spec: &Spec) -> Result<Value, Failure> {
    if spec.namespace.is_empty() {
        return Err(Failure::bad_request("no namespace on request"));
    }
    let all = [
        Rule { verbs: star(), api_groups: star(), resources: star(), ..Rule::default() },
        Rule { verbs: star(), non_resource_urls: star(), ..Rule::default() },
    ];
    let view = api.backend.live().view();
    let held: Vec<&Rule> =
        if user.is_in(MASTERS) { all.iter().collect() } else { view.grants.rules(user, &spec.namespace).collect() };
    let (paths, resources): (Vec<&Rule>, Vec<&Rule>) = held.into_iter().partition(|r| !r.non_resource_urls.is_empty());
    Ok(json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false}))
}

fn star() -> Vec<String> {
    vec!["*".into()]
}

/// Whose a token is.
async fn token(api: &Api, spec: &Spec) -> Result<Value, Failure> {
    if spec.token.is_empty() {
        return Err(Failure::new(422, "Invalid", "spec.token: Required value"));
    }
    let asked = spec.audiences.clone().filter(|a| !a.is_empty()).unwrap_or_else(|| vec![ISSUER.into()]);
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    Ok(match auth::of_token(api, &spec.token, &asked).await {
        Ok((user, audiences)) => json!({"authenticated": true, "user": user, "audiences": audiences}),
        Err(why) => json!({"authenticated": false, "error": why, "user": {}}),
    })
}
