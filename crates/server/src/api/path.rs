//! Kubernetes' paths: which objects a request is about.
//!
//! Called by `rest`. Deliberately not here: methods, queries, and paths that name no objects.

use axum::http::Uri;
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
    let (group, version, rest) = split(path)?;
    if rest.is_empty() {
        return Some(Target::Resources(group, version));
    }
    let kind = |plural: &str| customs.of_resource(&group, &version, plural).map(|kind| (kind, kind.namespaced()));
    let Place { of: kind, namespace, name, below } = place(&rest, kind)?;
    let Some(name) = name else { return Some(Target::Collection { kind, namespace: namespace.into() }) };
    let key = Key::new(kind, namespace, name);
    Some(if below.is_empty() { Target::Item(key) } else { Target::Below(key, below.join("/")) })
}

/// Group, version and the rest of a path of Kubernetes, decoded.
pub(super) fn split(path: &str) -> Option<(String, String, Vec<String>)> {
    let parts = path.split('/').filter(|s| !s.is_empty());
    let decoded: Option<Vec<String>> = parts.map(|s| percent_decode(s).filter(|d| !d.contains('/'))).collect();
    let mut parts = decoded?.into_iter();
    let group = match parts.next()?.as_str() {
        "api" => String::new(),
        "apis" => parts.next()?,
        _ => return None,
    };
    Some((group, parts.next()?, parts.collect()))
}

/// What the rest of a path names, of whatever it may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'p, T> {
    /// The resource.
    pub(super) of: T,
    /// Empty for all, and for what has none.
    pub(super) namespace: &'p str,
    /// `None` for all.
    pub(super) name: Option<&'p str>,
    /// What lies below the object.
    pub(super) below: &'p [String],
}

/// Finds it: `resource` knows a plural, and whether that lives in namespaces.
pub(super) fn place<T>(rest: &[String], resource: impl Fn(&str) -> Option<(T, bool)>) -> Option<Place<'_, T>> {
    if let [first, namespace, plural, rest @ ..] = rest
        && first == "namespaces"
        && let Some((of, true)) = resource(plural)
    {
        let (name, below) = rest.split_first().map_or((None, &[][..]), |(name, below)| (Some(name.as_str()), below));
        return Some(Place { of, namespace, name, below });
    }
    let (plural, rest) = rest.split_first()?;
    let (of, namespaced) = resource(plural)?;
    match rest.split_first() {
        None => Some(Place { of, namespace: "", name: None, below: &[] }),
        Some((name, below)) if !namespaced => Some(Place { of, namespace: "", name: Some(name), below }),
        Some(_) => None,
    }
}

/// A watch by the path that it had before it was a query of its list (`/api/v1/watch/pods`), which Kubernetes still
/// serves, as one of today.
pub(super) fn of_old_watch(uri: &Uri) -> Option<Uri> {
    let mut parts: Vec<&str> = uri.path().split('/').filter(|s| !s.is_empty()).collect();
    let at = match parts.as_slice() {
        ["api", _, "watch", _, ..] => 2,
        ["apis", _, _, "watch", _, ..] => 3,
        _ => return None,
    };
    parts.remove(at);
    let one = match &parts[at..] {
        [plural, _] if *plural != "namespaces" => true,
        ["namespaces", _] | ["namespaces", _, _, _] => true,
        _ => false,
    };
    let name = parts.pop_if(|_| one).map(|name| format!("&fieldSelector=metadata.name%3D{name}")).unwrap_or_default();
    let query = uri.query().map(|query| format!("&{query}")).unwrap_or_default();
    format!("/{}?watch=true{name}{query}", parts.join("/")).parse().ok()
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
    fn watches_of_old() {
        let now = |uri: &str| of_old_watch(&uri.parse().unwrap()).map(|uri| uri.to_string());
        for (old, new) in [
            ("/api/v1/watch/pods", Some("/api/v1/pods?watch=true")),
            (
                "/apis/apps/v1/watch/deployments?resourceVersion=7",
                Some("/apis/apps/v1/deployments?watch=true&resourceVersion=7"),
            ),
            ("/api/v1/watch/namespaces/shop/pods", Some("/api/v1/namespaces/shop/pods?watch=true")),
            (
                "/api/v1/watch/namespaces/shop/pods/web",
                Some("/api/v1/namespaces/shop/pods?watch=true&fieldSelector=metadata.name%3Dweb"),
            ),
            ("/api/v1/watch/nodes/n1", Some("/api/v1/nodes?watch=true&fieldSelector=metadata.name%3Dn1")),
            ("/api/v1/watch/namespaces", Some("/api/v1/namespaces?watch=true")),
            ("/api/v1/watch/namespaces/shop", Some("/api/v1/namespaces?watch=true&fieldSelector=metadata.name%3Dshop")),
            ("/api/v1/watch", None),
            ("/api/v1/namespaces/watch/pods", None),
            ("/apis/apps/v1/deployments", None),
        ] {
            assert_eq!(now(old).as_deref(), new, "{old}");
        }
    }

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
