//! Routes against Kubernetes' own table of paths and hosts, and against the plain reading of the rules.

use std::sync::Arc;

use PathKind::{Exact, Prefix};
use evenkeel_model::ingress::{IngressNet, PathKind};
use proptest::prelude::*;

use super::*;
use crate::testkit::{backend, ingress, path};

fn routes(all: &[IngressNet]) -> Routes {
    let all: Vec<Arc<IngressNet>> = all.iter().cloned().map(Arc::new).collect();
    Routes::of(&all)
}

fn found<'r>(routes: &'r Routes, host: &str, path: &str) -> Option<&'r str> {
    routes.find(host, path).map(|t| &*t.backend.service.name)
}

/// The table of examples in Kubernetes' documentation of Ingress.
#[test]
fn paths_fit_as_kubernetes_says() {
    for (kind, given, request, fits) in [
        (Prefix, "/", "/anything/at/all", true),
        (Exact, "/foo", "/foo", true),
        (Exact, "/foo", "/bar", false),
        (Exact, "/foo", "/foo/", false),
        (Exact, "/foo/", "/foo", false),
        (Prefix, "/foo", "/foo", true),
        (Prefix, "/foo", "/foo/", true),
        (Prefix, "/foo/", "/foo", true),
        (Prefix, "/foo/", "/foo/", true),
        (Prefix, "/aaa/bb", "/aaa/bbb", false),
        (Prefix, "/aaa/bbb", "/aaa/bbb", true),
        (Prefix, "/aaa/bbb/", "/aaa/bbb", true),
        (Prefix, "/aaa/bbb", "/aaa/bbb/", true),
        (Prefix, "/aaa/bbb", "/aaa/bbb/ccc", true),
        (Prefix, "/aaa/bbb", "/aaa/bbbxyz", false),
        (Prefix, "/aaa", "/AAA", false),
        (Prefix, "/", "/", true),
        (Prefix, "/", "", true),
    ] {
        let routes = routes(&[ingress("a", 1, &[(None, &[path(given, kind, "web")])])]);
        assert_eq!(found(&routes, "any", request).is_some(), fits, "{kind:?} {given} for {request}");
    }
}

#[test]
fn the_longest_path_wins_and_exact_before_prefix() {
    let routes = routes(&[ingress(
        "a",
        1,
        &[(
            None,
            &[
                path("/", Prefix, "root"),
                path("/aaa", Prefix, "three"),
                path("/aaa/bbb", Prefix, "six"),
                path("/aaa/bbb", Exact, "exact"),
            ],
        )],
    )]);
    for (request, who) in [
        ("/aaa/ccc", "three"),
        ("/aaa/bbb", "exact"),
        ("/aaa/bbb/", "six"),
        ("/aaa/bbb/c", "six"),
        ("/ccc", "root"),
        ("//aaa", "root"),
    ] {
        assert_eq!(found(&routes, "h", request), Some(who), "{request}");
    }
}

#[test]
fn hosts_are_exact_then_wild_then_any() {
    let at = |service: &str| [path("/x", Prefix, service)];
    let routes = routes(&[ingress(
        "a",
        1,
        &[
            (Some("*.Foo.com"), &at("wild")),
            (None, &[path("/x", Prefix, "any"), path("/y", Prefix, "any-y")]),
            (Some("bar.foo.com"), &at("bar")),
        ],
    )]);
    for (host, request, who) in [
        ("bar.foo.com", "/x", Some("bar")),
        ("baz.foo.com", "/x", Some("wild")),
        ("baz.bar.foo.com", "/x", Some("any")),
        ("foo.com", "/x", Some("any")),
        (".foo.com", "/x", Some("any")),
        ("bar.foo.com", "/y", Some("any-y")),
        ("bar.foo.com", "/z", None),
    ] {
        assert_eq!(found(&routes, host, request), who, "{host}{request}");
    }
}

#[test]
fn of_two_that_want_the_same_the_older_has_it() {
    let want = |name: &str, created, service| ingress(name, created, &[(Some("h"), &[path("/", Prefix, service)])]);
    let of = |a: i64, b: i64| routes(&[want("z", a, "of-z"), want("a", b, "of-a")]);
    assert_eq!(found(&of(1, 2), "h", "/"), Some("of-z"));
    assert_eq!(found(&of(2, 1), "h", "/"), Some("of-a"));
    assert_eq!(found(&of(1, 1), "h", "/"), Some("of-a"), "by name");
}

#[test]
fn default_backends() {
    let mut first = ingress("first", 1, &[]);
    first.default_backend = Some(backend("first"));
    let mut second = ingress("second", 2, &[(Some("h"), &[path("/x", Exact, "x")])]);
    second.default_backend = Some(backend("second"));
    let routes = routes(&[second, first]);
    assert_eq!(found(&routes, "h", "/x"), Some("x"));
    assert_eq!(found(&routes, "h", "/y"), Some("second"), "of the host's own Ingress");
    assert_eq!(found(&routes, "other", "/"), Some("first"));
}

#[test]
fn names_of_hosts() {
    for (given, name) in [
        ("Shop.Example.com", "shop.example.com"),
        ("shop.example.com:8443", "shop.example.com"),
        ("shop.example.com.", "shop.example.com"),
        ("shop.example.com.:80", "shop.example.com"),
        ("[fd00::1]:80", "fd00::1"),
        ("10.0.0.1:80", "10.0.0.1"),
        ("", ""),
    ] {
        assert_eq!(host_of(given), name, "{given}");
    }
}

/// The rules read plainly: all paths of a host that fit, the best of them.
fn plain<'a>(rules: &'a [(String, PathKind, String)], request: &str) -> Option<&'a str> {
    let trim = |p: &str| p.strip_suffix('/').unwrap_or(p).trim_start_matches('/').to_owned();
    let parts = |p: &str| -> Vec<String> {
        let t = trim(p);
        if t.is_empty() { Vec::new() } else { t.split('/').map(ToOwned::to_owned).collect() }
    };
    let fits = |(given, kind, _): &&(String, PathKind, String)| match kind {
        Exact => given == request,
        Prefix => parts(request).starts_with(&parts(given)),
    };
    let best = rules.iter().enumerate().filter(|(_, r)| fits(r)).max_by_key(|(at, (given, kind, _))| {
        let longest = if *kind == Exact { usize::MAX } else { parts(given).len() };
        (longest, std::cmp::Reverse(*at))
    });
    best.map(|(_, (_, _, service))| &**service)
}

proptest! {
    #[test]
    fn the_table_says_what_the_rules_say(
        rules in prop::collection::vec(("(/[ab]{1,2}){0,3}/?", any::<bool>()), 0..12),
        requests in prop::collection::vec("(/[ab]{1,2}){0,4}/?", 1..8),
    ) {
        let rules: Vec<(String, PathKind, String)> = rules
            .into_iter()
            .enumerate()
            .map(|(n, (p, exact))| {
                (if p.is_empty() { "/".into() } else { p }, if exact { Exact } else { Prefix }, format!("s{n}"))
            })
            .collect();
        let paths: Vec<_> = rules.iter().map(|(p, k, s)| path(p, *k, s)).collect();
        let routes = routes(&[ingress("a", 1, &[(Some("h"), &paths)])]);
        for request in requests.iter().filter(|r| !r.is_empty()) {
            prop_assert_eq!(found(&routes, "h", request), plain(&rules, request), "{}", request);
        }
    }

    /// The order in which Ingresses are listed decides nothing.
    #[test]
    fn order_of_ingresses_does_not_matter(
        all in prop::collection::vec((0i64..3, 0usize..3, 0usize..3), 1..8).prop_shuffle(),
        request in (0usize..3, 0usize..3),
    ) {
        let hosts = ["a.h", "*.h", "b.h"];
        let paths = ["/", "/x", "/x/y"];
        let mut made: Vec<IngressNet> = all
            .iter()
            .enumerate()
            .map(|(n, (created, host, p))| {
                let service = format!("s{n}");
                ingress(&format!("i{n}"), *created, &[(Some(hosts[*host]), &[path(paths[*p], Prefix, &service)])])
            })
            .collect();
        let (host, request) = (hosts[request.0].replace('*', "c"), paths[request.1]);
        let first = found(&routes(&made), &host, request).map(ToOwned::to_owned);
        made.reverse();
        prop_assert_eq!(found(&routes(&made), &host, request).map(ToOwned::to_owned), first);
    }
}
