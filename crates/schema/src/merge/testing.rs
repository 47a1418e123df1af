//! A small hand-made schema for the tests here: enough of a Deployment to have every shape.

use serde_json::Value;

use super::schema::{Keys, Leaf, SchemaNode, Shape};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Struct(&'static [(&'static str, Node)]),
    Choice(&'static [(&'static str, Node)]),
    Atomic(&'static [(&'static str, Node)]),
    Map(&'static Node),
    AtomicMap(&'static Node),
    Keyed(&'static Node, &'static [&'static str]),
    Set,
    List(&'static Node),
    Text,
    Int,
    Quantity,
}

impl SchemaNode for Node {
    fn shape<'k>(self) -> Shape<'k, Self> {
        match self {
            Self::Struct(_) | Self::Choice(_) => Shape::Struct,
            Self::Atomic(_) => Shape::AtomicStruct,
            Self::Map(n) => Shape::Map(*n),
            Self::AtomicMap(n) => Shape::AtomicMap(*n),
            Self::Keyed(n, keys) => Shape::Keyed(*n, Keys::Static(keys)),
            Self::Set => Shape::Set(Self::Text),
            Self::List(n) => Shape::AtomicList(*n),
            Self::Text => Shape::Scalar(Leaf::Plain),
            Self::Int => Shape::Scalar(Leaf::Integer),
            Self::Quantity => Shape::Scalar(Leaf::Quantity),
        }
    }

    fn field(self, name: &str) -> Option<Self> {
        match self {
            Self::Struct(f) | Self::Choice(f) | Self::Atomic(f) => {
                f.iter().find(|(n, _)| *n == name).map(|(_, node)| *node)
            }
            _ => None,
        }
    }

    fn retain_keys(self) -> bool {
        matches!(self, Self::Choice(_))
    }

    fn fill_defaults(self, value: &mut Value) {
        if self == FIELD_REF
            && let Value::Object(m) = value
        {
            m.entry("apiVersion").or_insert("v1".into());
        }
    }
}

use Node::{Atomic, AtomicMap, Choice, Int, Keyed, List, Map, Quantity, Set, Struct, Text};

const FIELD_REF: Node = Atomic(&[("apiVersion", Text), ("fieldPath", Text)]);
const LIMITS: Node = Map(&Quantity);
const CONTAINER: Node = Struct(&[
    ("name", Text),
    ("image", Text),
    ("command", List(&Text)),
    (
        "env",
        Keyed(
            &Struct(&[("name", Text), ("value", Text), ("valueFrom", Struct(&[("fieldRef", FIELD_REF)]))]),
            &["name"],
        ),
    ),
    (
        "ports",
        Keyed(&Struct(&[("containerPort", Int), ("protocol", Text), ("name", Text)]), &["containerPort", "protocol"]),
    ),
    ("resources", Struct(&[("limits", LIMITS), ("requests", LIMITS)])),
]);
const VOLUME: Node = Choice(&[
    ("name", Text),
    ("emptyDir", Struct(&[("medium", Text), ("sizeLimit", Quantity)])),
    ("configMap", Struct(&[("name", Text), ("defaultMode", Int)])),
]);
const POD: Node = Struct(&[
    ("containers", Keyed(&CONTAINER, &["name"])),
    ("volumes", Keyed(&VOLUME, &["name"])),
    ("nodeSelector", AtomicMap(&Text)),
    ("hostNetwork", Text),
]);
const METADATA: Node = Struct(&[
    ("name", Text),
    ("namespace", Text),
    ("uid", Text),
    ("resourceVersion", Text),
    ("labels", Map(&Text)),
    ("annotations", Map(&Text)),
    ("finalizers", Set),
]);
const ROLLING: Node = Struct(&[("maxSurge", Text), ("maxUnavailable", Text)]);
const SPEC: Node = Struct(&[
    ("replicas", Int),
    ("paused", Text),
    ("selector", Atomic(&[("matchLabels", Map(&Text))])),
    ("strategy", Choice(&[("type", Text), ("rollingUpdate", ROLLING)])),
    ("template", Struct(&[("metadata", METADATA), ("spec", POD)])),
]);

pub(super) fn deployment() -> Node {
    const ROOT: Node = Struct(&[
        ("apiVersion", Text),
        ("kind", Text),
        ("metadata", METADATA),
        ("spec", SPEC),
        ("status", Struct(&[("replicas", Int)])),
        ("data", Map(&Text)),
    ]);
    ROOT
}
