//! Syntax of names, keys and values, with Kubernetes' messages.
//!
//! Every check answers `None` for a good value, else what is wrong with it.

/// Longest label of DNS, and name part of a label's key, in characters.
const MAX_LABEL: usize = 63;
/// Longest name of DNS, in characters.
const MAX_SUBDOMAIN: usize = 253;
/// Longest name of a port (RFC 6335), in characters.
const MAX_PORT_NAME: usize = 15;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const LONG_63: &str = "must be no more than 63 characters";
const LONG_253: &str = "must be no more than 253 characters";

type Check = Option<&'static str>;

fn lower(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    let b = text.as_bytes();
    b.first().is_some_and(|c| lower(*c))
        && b.last().is_some_and(|c| lower(*c))
        && b.iter().all(|c| lower(*c) || *c == b'-')
}

/// A label of DNS, as a namespace's or a container's name.
pub(super) fn dns_label(text: &str) -> Check {
    match text {
        t if t.len() > MAX_LABEL => Some(LONG_63),
        t if is_label(t) => None,
        _ => Some(LABEL),
    }
}

/// A name of DNS, as most objects' names.
pub(super) fn dns_subdomain(text: &str) -> Check {
    match text {
        t if t.len() > MAX_SUBDOMAIN => Some(LONG_253),
        t if t.split('.').all(is_label) => None,
        _ => Some(SUBDOMAIN),
    }
}

/// A name that may stand in a path, as those of roles: `system:node`.
pub(super) fn path_segment(text: &str) -> Check {
    match text {
        "." => Some("may not be '.'"),
        ".." => Some("may not be '..'"),
        t if t.contains('/') => Some("may not contain '/'"),
        t if t.contains('%') => Some("may not contain '%'"),
        _ => None,
    }
}

fn is_name_part(text: &str) -> bool {
    let b = text.as_bytes();
    b.first().is_some_and(u8::is_ascii_alphanumeric)
        && b.last().is_some_and(u8::is_ascii_alphanumeric)
        && b.iter().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c))
}

/// A label's or annotation's key: an optional name of DNS, a slash, a name.
pub(super) fn qualified_name(text: &str) -> Check {
    let name = match text.split_once('/') {
        None => text,
        Some(("", _)) => return Some("prefix part must be non-empty"),
        Some((prefix, name)) => {
            if dns_subdomain(prefix).is_some() {
                return Some(
                    "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')",
                );
            }
            name
        }
    };
    match name {
        "" => Some("name part must be non-empty"),
        n if n.len() > MAX_LABEL => Some("name part must be no more than 63 characters"),
        n if is_name_part(n) => None,
        _ => Some(NAME_PART),
    }
}

/// A label's value.
pub(super) fn label_value(text: &str) -> Check {
    match text {
        "" => None,
        t if t.len() > MAX_LABEL => Some(LONG_63),
        t if is_name_part(t) => None,
        _ => Some(LABEL_VALUE),
    }
}

/// A key of a ConfigMap or Secret.
pub(super) fn config_key(text: &str) -> Check {
    match text {
        "." => Some("must not be '.'"),
        t if t == ".." || t.starts_with("..") => Some("must not start with '..'"),
        t if t.len() > MAX_SUBDOMAIN => Some(LONG_253),
        t if !t.is_empty() && t.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c)) => None,
        _ => Some(CONFIG_KEY),
    }
}

/// An environment variable's name.
pub(super) fn env_name(text: &str) -> Check {
    let good = !text.is_empty() && text.bytes().all(|c| (0x20..0x7f).contains(&c) && c != b'=');
    if good {
        None
    } else {
        Some("a valid environment variable name must consist only of printable ASCII characters other than '='")
    }
}

/// A port's name.
pub(super) fn port_name(text: &str) -> Check {
    let b = text.as_bytes();
    if text.len() > MAX_PORT_NAME {
        Some("must be no more than 15 characters")
    } else if !b.iter().all(|c| lower(*c) || *c == b'-') {
        Some("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    } else if !b.iter().any(u8::is_ascii_lowercase) {
        Some("must contain at least one letter (a-z)")
    } else if text.contains("--") {
        Some("must not contain consecutive hyphens")
    } else if text.starts_with('-') || text.ends_with('-') {
        Some("must not begin or end with a hyphen")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_kubernetes_rules() {
        for (good, bad) in [("a", "A"), ("my-name", "-a"), ("0", "a-"), ("a1", "a.b"), ("a", ""), ("x", "ä")] {
            assert_eq!(dns_label(good), None, "{good}");
            assert!(dns_label(bad).is_some(), "{bad}");
        }
        assert!(dns_label(&"a".repeat(64)).is_some() && dns_label(&"a".repeat(63)).is_none());
        assert!(dns_subdomain("a.b-c.d").is_none() && dns_subdomain("a..b").is_some() && dns_subdomain(".a").is_some());
        for good in ["app", "app.kubernetes.io/name", "A_b.c"] {
            assert_eq!(qualified_name(good), None, "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "UP.er/a", "-a", "a b"] {
            assert!(qualified_name(bad).is_some(), "{bad}");
        }
        assert!(label_value("").is_none() && label_value("a_B.c").is_none() && label_value("a b").is_some());
        assert!(config_key("a.b").is_none() && config_key("..a").is_some() && config_key("a/b").is_some());
        assert!(env_name("A.b-c d").is_none() && env_name("a=b").is_some() && env_name("").is_some());
        for bad in ["UP", "1", "a--b", "-a", "a-", "aaaaaaaaaaaaaaaa"] {
            assert!(port_name(bad).is_some(), "{bad}");
        }
        assert!(port_name("http-2").is_none());
    }
}
