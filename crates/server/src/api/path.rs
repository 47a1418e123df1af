//! Kubernetes' paths: which objects a request is about.
//!
//! Called by `rest`. Deliberately not here: methods, queries, and paths that name no objects.

use evenkeel_model::{Key, Kind};
use evenkeel_schema::Customs;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// All objects of a kind, in a namespace or (empty) in the whole cluster.
    Collection {
        /// Kind.
        kind: Kind,
        /// Namespace; empty for all, and for kinds of the cluster's scope.
        namespace: String,
    },
    /// One object.
    Item(Key),
    /// Something below an object, as `log`.
    Below(Key, String),
    /// The resources of a group and version.
    Resources(String, String),
}

impl Target {
    /// The kind of what it names.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Collection { kind, .. } => Some(*kind),
            Self::Item(key) | Self::Below(key, _) => Some(key.kind),
            Self::Resources(..) => None,
        }
    }
}

/// Reads a path; `None` if it is none of an object or kind that is known.
pub(crate) fn parse(path: &str, customs: &Customs) -> Option<Target> {
    let decoded: Option<Vec<String>> =
        path.split('/').filter(|s| !s.is_empty()).map(|s| percent_decode(s).filter(|d| !d.contains('/'))).collect();
    let decoded = decoded?;
    let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let kind = |plural: &str| customs.of_resource(group, version, plural);
    match rest {
        [] => Some(Target::Resources(group.into(), version.into())),
        ["namespaces", namespace, plural, rest @ ..] if kind(plural).is_some_and(Kind::namespaced) => {
            let kind = kind(plural)?;
            Some(match rest {
                [] => Target::Collection { kind, namespace: (*namespace).into() },
                [name] => Target::Item(Key::new(kind, *namespace, *name)),
                [name, below @ ..] => Target::Below(Key::new(kind, *namespace, *name), below.join("/")),
            })
        }
        [plural] => Some(Target::Collection { kind: kind(plural)?, namespace: String::new() }),
        [plural, name, below @ ..] => {
            let kind = kind(plural).filter(|k| !k.namespaced())?;
            let key = Key::cluster(kind, *name);
            Some(if below.is_empty() { Target::Item(key) } else { Target::Below(key, below.join("/")) })
        }
    }
}

/// Decodes `%41`; `None` for what is no UTF-8 or no valid escape.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.into());
    }
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let mut digit = || (bytes.next()? as char).to_digit(16);
            let value = digit()? * 16 + digit()?;
            out.push(u8::try_from(value).ok()?);
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_objects() {
        let pod = || Key::new(Kind::Pod, "shop", "web");
        for (path, expected) in [
            ("/api/v1/pods", Some(Target::Collection { kind: Kind::Pod, namespace: String::new() })),
            ("/api/v1/namespaces/shop/pods", Some(Target::Collection { kind: Kind::Pod, namespace: "shop".into() })),
            ("/api/v1/namespaces/shop/pods/web", Some(Target::Item(pod()))),
            ("/api/v1/namespaces/shop/pods/w%65b/log", Some(Target::Below(pod(), "log".into()))),
            ("/api/v1/namespaces/shop", Some(Target::Item(Key::cluster(Kind::Namespace, "shop")))),
            ("/api/v1/namespaces", Some(Target::Collection { kind: Kind::Namespace, namespace: String::new() })),
            (
                "/apis/evenkeel.dev/v1alpha1/sources/shop/sync",
                Some(Target::Below(Key::cluster(Kind::Source, "shop"), "sync".into())),
            ),
            ("/apis/apps/v1", Some(Target::Resources("apps".into(), "v1".into()))),
            ("/apis/apps/v1/pods", None),
            ("/api/v1/pods/web", None),
            ("/api/v1/namespaces/shop/pods/a%2fb", None),
            (
                "/api/v1/namespaces/shop/nodes",
                Some(Target::Below(Key::cluster(Kind::Namespace, "shop"), "nodes".into())),
            ),
            ("/nothing", None),
        ] {
            assert_eq!(parse(path, &Customs::default()), expected, "{path}");
        }
    }
}
