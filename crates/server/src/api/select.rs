//! Field selectors, and both kinds of selectors over an object.
//!
//! Called by list and watch. Label selectors are `evenkeel_model::Selector`.

use std::borrow::Cow;

use evenkeel_model::{Kind, Object, Selector};
use evenkeel_schema::Customs;
use serde_json::Value;

/// One demand on a field: path, whether it shall be equal, value.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Demand {
    path: String,
    equal: bool,
    value: String,
}

/// A field selector. Without demands it selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Fields(Vec<Demand>);

impl Fields {
    /// From the query form: `a=b,c!=d,e==f`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut demands = Vec::new();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (path, equal, value) = if let Some((p, v)) = part.split_once("!=") {
                (p, false, v)
            } else if let Some((p, v)) = part.split_once('=') {
                (p, true, v.strip_prefix('=').unwrap_or(v))
            } else {
                return Err(format!("invalid field selector \"{text}\": expected field=value or field!=value"));
            };
            demands.push(Demand { path: path.trim().into(), equal, value: value.trim().into() });
        }
        Ok(Self(demands))
    }

    /// Whether it selects everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first field that cannot be selected by for this kind.
    pub(crate) fn unsupported(&self, kind: Kind, customs: &Customs) -> Option<&str> {
        let own = customs.version(kind).map_or(&[][..], |v| &v.selectable);
        let mut paths = self.0.iter().map(|d| d.path.as_str());
        paths.find(|path| !supported(kind, path) && !own.iter().any(|p| p == path))
    }

    fn matches(&self, object: &Object) -> bool {
        self.0.iter().all(|d| (field(object, &d.path) == d.value) == d.equal)
    }
}

fn supported(kind: Kind, path: &str) -> bool {
    let more: &[&str] = match kind {
        Kind::Pod => &[
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
        ],
        Kind::ReplicaSet => &["status.replicas"],
        Kind::Service => &["spec.clusterIP", "spec.type"],
        Kind::CertificateSigningRequest => &["spec.signerName"],
        Kind::Event => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "type",
            "source",
            "reportingComponent",
        ],
        Kind::Secret => &["type"],
        Kind::Namespace => &["status.phase"],
        Kind::Node => &["spec.unschedulable"],
        Kind::Release => &["spec.source", "status.phase"],
        Kind::Drift => &["spec.source", "spec.object.kind", "spec.object.namespace", "spec.object.name"],
        _ => &[],
    };
    path == "metadata.name" || (path == "metadata.namespace" && kind.namespaced()) || more.contains(&path)
}

fn field<'o>(object: &'o Object, path: &str) -> Cow<'o, str> {
    let found = match path {
        "metadata.name" => return Cow::Borrowed(&object.key.name),
        "metadata.namespace" => return Cow::Borrowed(&object.key.namespace),
        "spec.nodeName" => return Cow::Borrowed(object.node.as_deref().unwrap_or_default()),
        // Newer recorders say it in the other field alone.
        "source" => written(object, "source.component").or_else(|| written(object, "reportingComponent")),
        path => written(object, path),
    };
    found.map_or_else(|| left_out(path).into(), Cow::Owned)
}

/// What stands in a field; `None` where nothing does.
fn written(object: &Object, path: &str) -> Option<String> {
    let (bytes, path) = path.strip_prefix("status.").map_or((&object.body, path), |rest| (&object.status, rest));
    Some(pointer(bytes, &format!("/{}", path.replace('.', "/")))).filter(|text| !text.is_empty())
}

/// What a field that is not written stands for: a bool is false and a number 0, as in Kubernetes.
fn left_out(path: &str) -> &'static str {
    match path {
        "spec.unschedulable" | "spec.hostNetwork" => "false",
        "status.replicas" => "0",
        _ => "",
    }
}

fn pointer(bytes: &[u8], path: &str) -> String {
    let tree: Value = serde_json::from_slice(bytes).unwrap_or_default();
    match tree.pointer(path) {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// Whether an object is in a namespace (empty: any) and meets both selectors.
pub(crate) fn selects(object: &Object, namespace: &str, labels: &Selector, fields: &Fields) -> bool {
    (namespace.is_empty() || &*object.key.namespace == namespace)
        && labels.matches(&object.meta.labels)
        && fields.matches(object)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_select() {
        let pod = Object::from_value(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "namespace": "shop"}, "spec": {"nodeName": "n1"}, "status": {"phase": "Running"}}))
        .unwrap();
        for (text, expected) in [
            ("metadata.name=a", true),
            ("metadata.name=b", false),
            ("spec.nodeName=n1,status.phase!=Succeeded,status.phase!=Failed", true),
            ("status.phase==Failed", false),
            ("status.podIP=", true),
        ] {
            assert_eq!(Fields::parse(text).unwrap().matches(&pod), expected, "{text}");
        }
        assert!(Fields::parse("nothing").is_err());
        let set = Object::from_value(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": "a", "namespace": "shop"}, "spec": {}}))
        .unwrap();
        let event = Object::from_value(json!({"apiVersion": "v1", "kind": "Event", "reportingComponent": "new",
            "metadata": {"name": "e", "namespace": "shop"}, "source": {}}))
        .unwrap();
        let machine =
            Object::from_value(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})).unwrap();
        for (object, text) in [
            (&pod, "spec.hostNetwork=false,status.nominatedNodeName="),
            (&set, "status.replicas=0"),
            (&event, "source=new,reportingComponent=new"),
            (&machine, "spec.unschedulable=false"),
        ] {
            let fields = Fields::parse(text).unwrap();
            assert!(
                fields.matches(object) && fields.unsupported(object.key.kind, &Customs::default()).is_none(),
                "{text}"
            );
        }
        let none = Customs::default();
        assert_eq!(Fields::parse("spec.x=1").unwrap().unsupported(Kind::Pod, &none), Some("spec.x"));
        assert_eq!(
            Fields::parse("metadata.namespace=x").unwrap().unsupported(Kind::Node, &none),
            Some("metadata.namespace")
        );
    }
}
