//! The static tables as a schema for merging.
//!
//! The only file here that knows how the tables are built.

use evenkeel_model::Kind;
use serde_json::Value;

use super::schema::{Keys, Leaf, SchemaNode, Shape};
use crate::{
    defaults,
    types::{Field, ListType, Literal, Object, Patch, Type},
};

/// A place in the static tables: a type, and what the field says that has it.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    ty: Type,
    list: ListType,
    atomic: bool,
    retain_keys: bool,
    absent: Option<Literal>,
    void: Void,
}

/// Which value a default replaces as if it were absent; see [`crate::defaults`].
#[derive(Debug, Clone, Copy)]
enum Void {
    No,
    Empty,
    Zero,
    Either,
}

/// Text fields whose default depends on the fields beside them.
const CONDITIONAL_TEXT: &[(&str, &str)] = &[
    ("apiextensions.v1.CustomResourceDefinitionNames", "listKind"),
    ("apiextensions.v1.CustomResourceDefinitionNames", "singular"),
    ("apps.v1.DeploymentStrategy", "type"),
    ("core.v1.Container", "imagePullPolicy"),
    ("core.v1.EphemeralContainer", "imagePullPolicy"),
    ("core.v1.ImageVolumeSource", "pullPolicy"),
    ("core.v1.ServiceSpec", "clusterIP"),
    ("core.v1.ServiceSpec", "externalTrafficPolicy"),
    ("core.v1.ServiceSpec", "internalTrafficPolicy"),
    ("discovery.v1.EndpointPort", "protocol"),
    ("rbac.v1.Subject", "apiGroup"),
];

/// Ports that are given where none is named.
const GIVEN_PORTS: &[(&str, &str)] =
    &[("core.v1.ServicePort", "nodePort"), ("core.v1.ServiceSpec", "healthCheckNodePort")];

impl Node {
    /// The node of a whole object of a kind.
    pub fn of_kind(kind: Kind) -> Self {
        Self::of_type(*crate::of_kind(kind))
    }

    /// The node of a type for itself.
    pub fn of_type(ty: Type) -> Self {
        Self { ty, list: ListType::Atomic, atomic: false, retain_keys: false, absent: None, void: Void::No }
    }

    fn of_field(object: &Object, field: &Field) -> Self {
        let conditional = CONDITIONAL_TEXT.contains(&(object.name, field.name));
        // On a list, `retainKeys` speaks of the items.
        Self {
            ty: field.ty,
            list: field.list,
            atomic: field.atomic,
            retain_keys: matches!(field.patch, Patch::RetainKeys | Patch::MergeRetainKeys(_)),
            absent: field.default.or(field.absent),
            void: match field.default {
                Some(Literal::Str(text)) if !text.is_empty() => Void::Empty,
                Some(Literal::Int(n)) if n != 0 && object.name == "core.v1.Probe" => Void::Zero,
                _ if conditional => Void::Empty,
                _ if GIVEN_PORTS.contains(&(object.name, field.name)) => Void::Zero,
                _ if (object.name, field.name) == ("core.v1.ServicePort", "targetPort") => Void::Either,
                _ => Void::No,
            },
        }
    }

    fn element(self, ty: &Type) -> Self {
        Self { retain_keys: self.retain_keys, ..Self::of_type(*ty) }
    }
}

impl SchemaNode for Node {
    fn shape<'k>(self) -> Shape<'k, Self> {
        match self.ty {
            Type::Object(o) if o.atomic || self.atomic => Shape::AtomicStruct,
            Type::Object(_) => Shape::Struct,
            Type::Map(t) if self.atomic => Shape::AtomicMap(self.element(t)),
            Type::Map(t) => Shape::Map(self.element(t)),
            Type::List(t) => match self.list {
                ListType::Atomic => Shape::AtomicList(self.element(t)),
                ListType::Set => Shape::Set(self.element(t)),
                ListType::Map(keys) => Shape::Keyed(self.element(t), Keys::Static(keys)),
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
        let object = self.ty.object()?;
        object.field(name).map(|f| Self::of_field(object, f))
    }

    fn retain_keys(self) -> bool {
        self.retain_keys && matches!(self.ty, Type::Object(_))
    }

    fn is_absence(self, value: &Value) -> bool {
        self.absent.is_some_and(|a| a.is(value))
    }

    fn is_void(self, value: &Value) -> bool {
        match self.void {
            Void::No => false,
            Void::Empty => value.as_str().is_some_and(str::is_empty),
            Void::Zero => value.as_i64() == Some(0),
            Void::Either => value.as_i64() == Some(0) || value.as_str().is_some_and(str::is_empty),
        }
    }

    fn fill_defaults(self, value: &mut Value) {
        defaults::fill(&self.ty, value);
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec::Vec};

    use evenkeel_model::Rng;
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
        let by = Apply {
            manager: "evenkeel:s",
            force: true,
            time: evenkeel_model::Time(0),
            exclude: FieldSet::EMPTY,
            subresource: "",
        };
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

    /// Any value of a type, made of a few fields of each mapping.
    fn sample(ty: &Type, field: Option<&Field>, rng: &mut Rng, depth: u32) -> Value {
        let pick = |rng: &mut Rng, from: &[Value]| from[usize::try_from(rng.below(from.len() as u64)).unwrap()].clone();
        match ty {
            Type::Object(o) if depth > 0 => {
                let mut map = serde_json::Map::new();
                // Deep down few fields, or the values grow without end.
                let chance = u64::from(12 - depth.min(9));
                for f in o.fields {
                    if !f.required && rng.below(chance) > 0 {
                        continue;
                    }
                    let v = if rng.below(12) == 0 && !f.required {
                        Value::Null
                    } else {
                        sample(&f.ty, Some(f), rng, depth - 1)
                    };
                    map.insert(f.name.into(), v);
                }
                Value::Object(map)
            }
            Type::Object(_) => json!({}),
            Type::List(t) => {
                let n = rng.below(3);
                Value::Array((0..n).map(|_| sample(t, None, rng, depth.saturating_sub(1))).collect())
            }
            Type::Map(t) => {
                let n = rng.below(3);
                let entry = |rng: &mut Rng| (rng.name_suffix(), sample(t, None, rng, depth.saturating_sub(1)));
                Value::Object((0..n).map(|_| entry(rng)).collect())
            }
            Type::String if field.is_some_and(|f| !f.values.is_empty()) => {
                let values: Vec<Value> = field.unwrap().values.iter().map(|v| json!(v)).chain([json!("")]).collect();
                pick(rng, &values)
            }
            Type::String => pick(rng, &[json!(""), json!("a"), json!("b"), json!("c:1")]),
            Type::Bool => pick(rng, &[json!(true), json!(false)]),
            Type::Int32 | Type::Int64 | Type::Double => pick(rng, &[json!(0), json!(1), json!(30)]),
            Type::Bytes => pick(rng, &[json!("YQ=="), json!("")]),
            Type::Time => json!("2026-01-02T03:04:05Z"),
            Type::Quantity => pick(rng, &[json!("1000m"), json!(1), json!("1Gi"), json!("0")]),
            Type::IntOrString => pick(rng, &[json!(1), json!("25%"), json!(0)]),
            Type::Any => json!({"x": [1]}),
        }
    }

    #[test]
    fn whatever_is_written_does_not_differ_once_stored() {
        for kind in Kind::ALL {
            for seed in 0..300 {
                let mut rng = Rng::new(seed);
                let mut written = sample(crate::of_kind(*kind), None, &mut rng, 9);
                written["apiVersion"] = json!(kind.info().api_version());
                written["kind"] = json!(kind.info().kind);
                written["metadata"]["name"] = json!("x");
                let node = Node::of_kind(*kind);
                let by = Apply {
                    manager: "s",
                    force: true,
                    time: evenkeel_model::Time(0),
                    exclude: FieldSet::EMPTY,
                    subresource: "",
                };
                let one = apply(node, &Value::Null, &Managed::default(), &written, &by).unwrap();
                let mut stored = one.value;
                defaults::apply(*kind, &mut stored);
                let found = diff(node, &written, &stored, FieldSet::EMPTY);
                assert_eq!(found, [], "{kind} {seed}");
                let two = apply(node, &stored, &one.managed, &written, &by).unwrap();
                assert_eq!(two.value, stored, "{kind} {seed}");
                assert!(!two.changed, "{kind} {seed}");
                // Nothing of it is left when the source lets go, but what nobody owned.
                let bare =
                    json!({"apiVersion": written["apiVersion"], "kind": written["kind"], "metadata": {"name": "x"}});
                let gone = apply(node, &two.value, &two.managed, &bare, &by).unwrap();
                assert_eq!(gone.managed, Managed::default(), "{kind} {seed}");
            }
        }
    }

    impl Node {
        fn shape_name(self) -> &'static str {
            if matches!(self.shape(), Shape::Struct) { "struct" } else { "other" }
        }
    }
}
