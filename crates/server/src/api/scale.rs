//! The `scale` subresource (`autoscaling/v1` Scale) of workloads.
//!
//! Called by `rest` and `write`. A Scale is a view of its workload: reading shows three fields, writing
//! replaces `spec.replicas`.

use axum::{body::Bytes, http::Method, response::Response};
use evenkeel_core::{
    Answer, Ask,
    edit::{Edit, Wish},
};
use evenkeel_model::{Key, Kind, Object, Time, Version};
use evenkeel_schema::{
    Customs,
    custom::jsonpath::{self, JsonPath},
    validate::Cause,
};
use serde_json::{Value, json};

use super::{
    accept::Form,
    apply, body, given,
    objects::{self, APPLY, Patch},
    pods,
    query::{Include, Pairs},
    status::{Failure, json_response},
    tables,
    write::Write,
};

/// Its message, and what it says that it is.
pub(super) const SCALE: (&str, &str, &str) = ("autoscaling.v1.Scale", "autoscaling/v1", "Scale");

/// Whether a kind has it.
pub(super) fn has(kind: Kind, customs: &Customs) -> bool {
    matches!(kind, Kind::Deployment | Kind::ReplicaSet) || customs.version(kind).is_some_and(|v| v.scale.is_some())
}

/// Where the numbers of a Scale are in its object, as JSON pointers.
#[derive(Debug)]
pub(super) struct Places {
    wanted: String,
    found: String,
    /// A selector as text; without it, the selector of a workload.
    selector: Option<String>,
}

impl Places {
    /// Those of a kind: as its definition says, else those of workloads.
    pub(super) fn of(kind: Kind, customs: &Customs) -> Self {
        let pointer = |path: &str| {
            let path = jsonpath::parse(path).ok();
            let fields = path.as_ref().and_then(JsonPath::fields);
            fields.map_or_else(String::new, |names| {
                names.iter().flat_map(|n| ["/".into(), n.replace('~', "~0").replace('/', "~1")]).collect()
            })
        };
        match customs.version(kind).and_then(|v| v.scale.as_ref()) {
            Some(scale) => Self {
                wanted: pointer(&scale.spec),
                found: pointer(&scale.status),
                selector: Some(scale.selector.as_deref().map_or_else(String::new, pointer)),
            },
            None => Self { wanted: "/spec/replicas".into(), found: "/status/replicas".into(), selector: None },
        }
    }

    pub(super) fn set(&self, value: &mut Value, replicas: i64) {
        let Some((above, field)) = self.wanted.rsplit_once('/') else { return };
        // What lies between is made where it is not there.
        let mut at = value;
        for name in above.split('/').skip(1) {
            if !at[name].is_object() {
                at[name] = json!({});
            }
            at = &mut at[name];
        }
        at[field] = replicas.into();
    }
}

/// A workload's Scale.
pub(super) fn of(object: &Object, places: &Places) -> Value {
    let value = object.to_value();
    let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let mut metadata = json!({
        "name": object.key.name, "namespace": object.key.namespace, "uid": object.uid.to_string(),
        "resourceVersion": object.version.to_string(), "creationTimestamp": object.meta.created.rfc3339(),
    });
    if object.meta.deletion.is_some()
        && let Some(at) = value.pointer("/metadata/deletionTimestamp")
    {
        metadata["deletionTimestamp"] = at.clone();
    }
    let mut status = json!({"replicas": number(&places.found)});
    let selector = match &places.selector {
        None => selector(value.pointer("/spec/selector")),
        Some(path) => value.pointer(path).and_then(Value::as_str).unwrap_or_default().into(),
    };
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": {"replicas": number(&places.wanted)}, "status": status,
    })
}

/// A Scale in the form that was asked for.
pub(super) fn shown(object: &Object, scale: Value, form: Form, include: Include, now: Time) -> Value {
    match form {
        Form::Objects => scale,
        Form::Metadata => tables::partial_of(&scale["metadata"]),
        Form::Table => tables::scale(object, &scale, include, now),
    }
}

/// A label selector in the form of a query.
fn selector(value: Option<&Value>) -> String {
    let labels = value.and_then(|v| v.get("matchLabels")).and_then(Value::as_object);
    let equal = labels.into_iter().flatten().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()));
    let terms = value.and_then(|v| v.get("matchExpressions")).and_then(Value::as_array);
    let terms = terms.into_iter().flatten().map(|term| {
        let text = |field: &str| term.get(field).and_then(Value::as_str).unwrap_or_default();
        let values: Vec<&str> =
            term.get("values").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let (key, values) = (text("key"), values.join(","));
        match text("operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        }
    });
    equal.chain(terms).collect::<Vec<_>>().join(",")
}

/// `PUT` and `PATCH` of a Scale.
pub(super) async fn write(write: &Write<'_>, key: Key, pairs: &Pairs, bytes: &Bytes) -> Result<Response, Failure> {
    let media = body::media_type(&write.parts.headers);
    let patch = if write.parts.method == Method::PATCH {
        if media == APPLY {
            return apply::scaled(write, key, pairs, bytes).await;
        }
        Some(Patch::read(&media, bytes)?)
    } else {
        None
    };
    let customs = write.customs();
    let places = Places::of(key.kind, &customs);
    let given = match patch {
        None => Some(given::question(SCALE, &write.parts.headers, bytes)?),
        Some(_) => None,
    };
    given.iter().try_for_each(|scale| given::fits(scale, &key))?;
    let make = || {
        let current = write.current(&key)?;
        let scale = match (&patch, &given) {
            (Some(patch), _) => {
                let scale = patch.on_plain(key.kind, &of(&current, &places))?;
                given::fits(&scale, &key)?;
                scale
            }
            (None, given) => given.clone().unwrap_or_default(),
        };
        let replicas = replicas(&key, &scale)?;
        let asked = patch.as_ref().is_none_or(Patch::names_version);
        let if_version: Option<Version> = if asked { objects::version(&scale)? } else { Some(current.version) };
        // What it was read as must still hold: all else is written as it is.
        let if_version = if_version.or(Some(current.version));
        let mut value = current.to_value();
        if let Some(map) = value.as_object_mut().filter(|_| key.kind.info().has_status) {
            map.remove("status");
        }
        places.set(&mut value, replicas);
        let wish = Wish {
            key: key.clone(),
            value,
            manager: given::manager(pairs, &write.parts.headers),
            subresource: "scale",
            dry_run: pods::dry_run(pairs),
            managed: None,
        };
        let edit = Edit::Replace { wish, if_version, if_uid: None };
        Ok((Ask::Edit(Box::new(edit)), !asked, ()))
    };
    let (answer, ()) = write.ask_again(&key, make).await?;
    respond(write, &answer, &key, &places)
}

/// The Scale of what was written, or would be.
pub(super) fn respond(write: &Write<'_>, answer: &Answer, key: &Key, places: &Places) -> Result<Response, Failure> {
    Ok(match answer {
        Answer::Would(object) => json_response(200, &of(object, places)),
        _ => json_response(200, &of(&*write.current(key)?, places)),
    })
}

pub(super) fn replicas(key: &Key, scale: &Value) -> Result<i64, Failure> {
    let replicas = scale.pointer("/spec/replicas").cloned().unwrap_or_else(|| 0.into());
    replicas.as_i64().filter(|n| (0..=i64::from(i32::MAX)).contains(n)).ok_or_else(|| {
        Failure::invalid(key, &[Cause::invalid("spec.replicas", &replicas, "must be greater than or equal to 0")])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_shows_its_workload() {
        let object = Object::from_value(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "uid": "00000000-0000-4000-8000-000000000001",
                "resourceVersion": "7"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}, "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]}, {"key": "old", "operator": "DoesNotExist"}]}},
            "status": {"replicas": 2}}))
        .unwrap();
        let scale = of(&object, &Places::of(Kind::Deployment, &Customs::default()));
        assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(3), &json!(2)));
        assert_eq!(scale["status"]["selector"], "app=web,tier in (a,b),!old");
        assert_eq!(scale["metadata"]["resourceVersion"], "7");
        let noon = Time::parse_rfc3339("2026-01-01T12:00:00Z").unwrap();
        let shown = |form, include| shown(&object, scale.clone(), form, include, noon);
        let table = shown(Form::Table, Include::Metadata);
        let columns: Vec<&Value> = table["columnDefinitions"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
        assert_eq!(columns, ["Name", "Desired", "Available", "Age"]);
        assert_eq!(table["rows"][0]["cells"], json!(["web", 3, 2, "<unknown>"]));
        assert_eq!(table["rows"][0]["object"], shown(Form::Metadata, Include::Metadata));
        assert_eq!(shown(Form::Table, Include::Object)["rows"][0]["object"], scale);
        assert_eq!(table["rows"][0]["object"]["metadata"]["uid"], object.uid.to_string());
        let key = &object.key;
        assert_eq!(replicas(key, &json!({"spec": {"replicas": 5}})).unwrap(), 5);
        assert_eq!(replicas(key, &json!({"spec": {}})).unwrap(), 0);
        assert_eq!(replicas(key, &json!({"spec": {"replicas": -1}})).unwrap_err().code, 422);
        assert_eq!(replicas(key, &json!({"spec": {"replicas": "2"}})).unwrap_err().code, 422);
    }
}
