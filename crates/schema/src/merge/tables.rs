//! The static tables as a schema for merging.
//!
//! The only file here that knows how the tables are built.

use evenkeel_model::Kind;
use serde_json::Value;

use super::schema::{Leaf, SchemaNode, Shape};
use crate::types::{Field, ListType, Literal, Patch, Type};

/// A place in the static tables: a type, and what the field says that has it.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    ty: Type,
    list: ListType,
    atomic: bool,
    retain_keys: bool,
    absent: Option<Literal>,
}

impl Node {
    /// The node of a whole object of a kind.
    pub fn of_kind(kind: Kind) -> Self {
        Self::of_type(*crate::of_kind(kind))
    }

    /// The node of a type for itself.
    pub fn of_type(ty: Type) -> Self {
        Self { ty, list: ListType::Atomic, atomic: false, retain_keys: false, absent: None }
    }

    fn of_field(field: &Field) -> Self {
        // On a list, `retainKeys` speaks of the items.
        Self {
            ty: field.ty,
            list: field.list,
            atomic: field.atomic,
            retain_keys: matches!(field.patch, Patch::RetainKeys | Patch::MergeRetainKeys(_)),
            absent: field.default.or(field.absent),
        }
    }

    fn element(self, ty: &Type) -> Self {
        Self { retain_keys: self.retain_keys, ..Self::of_type(*ty) }
    }
}

impl SchemaNode for Node {
    fn shape(self) -> Shape<Self> {
        match self.ty {
            Type::Object(o) if o.atomic || self.atomic => Shape::AtomicStruct,
            Type::Object(_) => Shape::Struct,
            Type::Map(t) if self.atomic => Shape::AtomicMap(self.element(t)),
            Type::Map(t) => Shape::Map(self.element(t)),
            Type::List(t) => match self.list {
                ListType::Atomic => Shape::AtomicList(self.element(t)),
                ListType::Set => Shape::Set(self.element(t)),
                ListType::Map(keys) => Shape::Keyed(self.element(t), keys),
            },
            Type::Int32 | Type::Int64 => Shape::Scalar(Leaf::Integer),
            Type::Quantity => Shape::Scalar(Leaf::Quantity),
            Type::Any => Shape::Any,
            Type::String | Type::Bool | Type::Double | Type::Bytes | Type::Time | Type::IntOrString => {
                Shape::Scalar(Leaf::Plain)
            }
        }
    }

    fn field(self, name: &str) -> Option<Self> {
        self.ty.object()?.field(name).map(Self::of_field)
    }

    fn retain_keys(self) -> bool {
        self.retain_keys && matches!(self.ty, Type::Object(_))
    }

    fn is_absence(self, value: &Value) -> bool {
        self.absent.is_some_and(|a| a.is(value))
    }

    fn fill_defaults(self, value: &mut Value) {
        fill(&self.ty, value);
    }
}

/// The defaults without further condition: those that stand inside atomic values are such.
fn fill(ty: &Type, value: &mut Value) {
    match (ty, value) {
        (Type::Object(o), Value::Object(map)) => {
            for field in o.fields {
                if let Some(default) = field.default
                    && map.get(field.name).is_none_or(Value::is_null)
                {
                    map.insert(field.name.into(), default.value());
                }
                if let Some(inner) = map.get_mut(field.name) {
                    fill(&field.ty, inner);
                }
            }
        }
        (Type::List(t), Value::Array(list)) => list.iter_mut().for_each(|v| fill(t, v)),
        (Type::Map(t), Value::Object(map)) => map.values_mut().for_each(|v| fill(t, v)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use serde_json::json;

    use super::{
        super::{Apply, FieldPath, FieldSet, Managed, apply, diff},
        *,
    };

    #[test]
    fn a_deployment_as_written_does_not_differ_from_the_stored_one() {
        let written = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
            "spec": {"replicas": 2, "paused": false, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
                    "hostNetwork": false, "tolerations": [{"key": "x", "operator": "Equal"}],
                    "containers": [{"name": "web", "image": "a:1", "resources": {"limits": {"cpu": 1}},
                        "ports": [{"containerPort": 80}],
                        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}],
                    "volumes": [{"name": "v", "emptyDir": {}}]}}}});
        let node = Node::of_kind(Kind::Deployment);
        let by = Apply { manager: "evenkeel:s", force: true, time: evenkeel_model::Time(0), exclude: FieldSet::EMPTY };
        let mut one = apply(node, &Value::Null, &Managed::default(), &written, &by).unwrap();
        let pod = &mut one.value["spec"]["template"]["spec"];
        pod["containers"][0]["ports"][0]["protocol"] = json!("TCP");
        pod["containers"][0]["resources"]["limits"]["cpu"] = json!("1");
        pod["containers"][0]["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] = json!("v1");
        pod["restartPolicy"] = json!("Always");
        pod.as_object_mut().unwrap().remove("hostNetwork");
        one.value["spec"]["strategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}});
        assert_eq!(diff(node, &written, &one.value, FieldSet::EMPTY), []);
        let mut drifted = one.value.clone();
        drifted["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
        let found = diff(node, &written, &drifted, FieldSet::EMPTY);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "spec.template.spec.hostNetwork");

        // `hostNetwork: false` is what its absence means, so nothing changes.
        let two = apply(node, &one.value, &one.managed, &written, &by).unwrap();
        assert!(!two.changed);
        let mut other = written.clone();
        other["spec"]["strategy"] = json!({"type": "Recreate"});
        let three = apply(node, &one.value, &one.managed, &other, &by).unwrap();
        assert_eq!(three.value["spec"]["strategy"], json!({"type": "Recreate"}));
    }

    #[test]
    fn every_kind_has_a_node_and_paths_resolve() {
        for kind in Kind::ALL {
            assert_eq!(Node::of_kind(*kind).shape_name(), "struct", "{kind}");
        }
        let node = Node::of_kind(Kind::Deployment);
        for text in [
            "spec.template.spec.containers[web].ports[containerPort=80,protocol=TCP].hostPort",
            "spec.template.spec.containers[web].resources.limits.cpu",
            "spec.template.spec.volumes[v].emptyDir",
            "spec.template.metadata.annotations[example.com/x]",
        ] {
            assert_eq!(FieldPath::parse(node, text).unwrap().to_string(), text);
        }
    }

    impl Node {
        fn shape_name(self) -> &'static str {
            if matches!(self.shape(), Shape::Struct) { "struct" } else { "other" }
        }
    }
}
