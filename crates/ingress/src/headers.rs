//! What a proxy changes in a request's and a response's head: fields that are for one connection alone
//! go, and who asked is told to the backend.
//!
//! `X-Forwarded-*` that a client sent are not passed on: nobody in front of a node is trusted.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Version,
    header::{self, Entry, HeaderName, HeaderValue},
    http::request::Parts,
};

/// Fields that are for one connection alone.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_SERVER: HeaderName = HeaderName::from_static("x-forwarded-server");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// How many fields a backend gets beside the client's own.
const OWN: usize = 6;

/// Where the requests of a connection come in.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) client: IpAddr,
    pub(crate) tls: bool,
    /// The client and the port as backends are told them, made once for all requests.
    name: HeaderValue,
    port: HeaderValue,
}

impl Came {
    pub(crate) fn new(client: IpAddr, port: u16, tls: bool) -> Self {
        // An address has nothing that a field may not have.
        let name = HeaderValue::from_str(&client.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self { client, tls, name, port: HeaderValue::from(port) }
    }
}

/// The protocol that a client asks to go over to on this connection. Never HTTP/2, which would lead
/// past the routes.
pub(crate) fn upgrade(parts: &Parts) -> Option<HeaderValue> {
    if parts.version != Version::HTTP_11 || !has_token(&parts.headers, &header::CONNECTION, "upgrade") {
        return None;
    }
    let wanted = parts.headers.get(header::UPGRADE)?;
    let text = wanted.to_str().ok()?;
    (!text.trim().is_empty() && !text.to_ascii_lowercase().contains("h2c")).then(|| wanted.clone())
}

/// Whether a request is gRPC, which needs HTTP/2 all the way.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// Whether a Host has only what names, addresses and ports have.
pub(crate) fn is_host(host: &HeaderValue) -> bool {
    host.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(b))
}

/// Whether a body is packed for this connection by more than chunks, which the backend would not be told.
pub(crate) fn is_coded(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::TRANSFER_ENCODING).into_iter();
    all.flat_map(|v| v.as_bytes().split(|b| *b == b',')).any(|t| !t.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let all = headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok());
    all.flat_map(|v| v.split(',')).any(|t| t.trim().eq_ignore_ascii_case(token))
}

/// Takes away what is for one connection alone.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let mut gone: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .into_iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        // Fields that a route or a backend's trust hangs on are not taken away by a client's word.
        .filter_map(|t| HeaderName::from_bytes(t.trim().as_bytes()).ok())
        .filter(|n| *n != header::HOST && *n != header::CONTENT_LENGTH)
        .collect();
    // Most heads have few of them: looking at what is there costs less than looking for each.
    let own = [&KEEP_ALIVE, &PROXY_CONNECTION, &HTTP2_SETTINGS];
    gone.extend(headers.keys().filter(|n| HOP_BY_HOP.contains(n) || own.contains(n)).cloned());
    for name in &gone {
        headers.remove(name);
    }
}

/// Makes a client's head the backend's. `authority` is what the client called the host.
pub(crate) fn request(parts: &mut Parts, authority: &HeaderValue, from: &Came, upgrade: Option<HeaderValue>) {
    let headers = &mut parts.headers;
    let trailers = has_token(headers, &header::TE, "trailers");
    strip(headers);
    // The body's coming was already asked for.
    headers.remove(header::EXPECT);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if let Some(upgrade) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, upgrade);
    }
    one_cookie(headers);
    headers.reserve(OWN);
    headers.insert(header::HOST, authority.clone());
    headers.insert(FORWARDED_HOST, authority.clone());
    headers.insert(FORWARDED_PORT, from.port.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if from.tls { "https" } else { "http" }));
    without_doubles(headers);
    headers.remove(FORWARDED_SERVER);
    headers.remove(header::FORWARDED);
    headers.insert(FORWARDED_FOR, from.name.clone());
    headers.insert(REAL_IP, from.name.clone());
}

/// Takes away what many backends, whose variables have no dashes, cannot tell from the fields that say who
/// asked: `X_Forwarded_For`.
fn without_doubles(headers: &mut HeaderMap) {
    let is_double = |name: &&HeaderName| {
        let name = name.as_str();
        name.contains('_') && {
            let name = name.replace('_', "-");
            name.starts_with("x-forwarded-") || name == REAL_IP.as_str()
        }
    };
    let doubles: Vec<HeaderName> = headers.keys().filter(is_double).cloned().collect();
    for name in &doubles {
        headers.remove(name);
    }
}

/// HTTP/2 may cut a cookie into several fields, which HTTP/1.1 does not know.
fn one_cookie(headers: &mut HeaderMap) {
    let Entry::Occupied(cookies) = headers.entry(header::COOKIE) else { return };
    if cookies.iter().count() < 2 {
        return;
    }
    let all: Vec<&[u8]> = cookies.iter().map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::from_bytes(&all.join(&b"; "[..]));
    // What was valid in parts is valid joined.
    if let Ok(joined) = joined {
        headers.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn client() -> Came {
        Came::new([192, 0, 2, 7].into(), 443, true)
    }

    fn parts(version: Version, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn what_is_for_one_connection_is_not_passed_on() {
        let mut p = parts(
            Version::HTTP_11,
            &[
                ("connection", "close, X-Hop"),
                ("x-hop", "1"),
                ("keep-alive", "timeout=5"),
                ("te", "gzip, trailers"),
                ("transfer-encoding", "chunked"),
                ("proxy-connection", "close"),
                ("expect", "100-continue"),
                ("x-forwarded-for", "10.0.0.1"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-server", "me"),
                ("forwarded", "for=10.0.0.1"),
                ("accept", "*/*"),
            ],
        );
        request(&mut p, &HeaderValue::from_static("shop.example:8443"), &client(), None);
        let names: Vec<&str> = p.headers.keys().map(HeaderName::as_str).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(
            sorted,
            [
                "accept",
                "host",
                "te",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-port",
                "x-forwarded-proto",
                "x-real-ip"
            ]
        );
        assert_eq!(p.headers["te"], "trailers");
        assert_eq!(p.headers["host"], "shop.example:8443");
        assert_eq!(p.headers["x-forwarded-for"], "192.0.2.7");
        assert_eq!(p.headers["x-forwarded-proto"], "https");
    }

    #[test]
    fn a_client_cannot_have_the_length_taken_away() {
        let mut p = parts(Version::HTTP_11, &[("connection", "content-length, host"), ("content-length", "5")]);
        strip(&mut p.headers);
        assert_eq!(p.headers["content-length"], "5");
    }

    #[test]
    fn protocols_that_a_connection_goes_over_to() {
        let asks = |version, headers: &[(&str, &str)]| upgrade(&parts(version, headers)).is_some();
        let web_socket = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        assert!(asks(Version::HTTP_11, &web_socket));
        assert!(!asks(Version::HTTP_10, &web_socket));
        assert!(!asks(Version::HTTP_11, &[("upgrade", "websocket")]));
        assert!(!asks(Version::HTTP_11, &[("connection", "upgrade")]));
        assert!(!asks(Version::HTTP_11, &[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")]));
        assert!(!asks(Version::HTTP_11, &[("connection", "upgrade"), ("upgrade", "websocket, H2C")]));
    }

    #[test]
    fn grpc_is_known_by_its_type() {
        for (kind, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(&parts(Version::HTTP_2, &[("content-type", kind)]).headers), is, "{kind}");
        }
    }

    #[test]
    fn cookies_are_one() {
        let mut p = parts(Version::HTTP_2, &[("cookie", "a=1"), ("cookie", "b=2")]);
        request(&mut p, &HeaderValue::from_static("h"), &client(), None);
        assert_eq!(p.headers.get_all("cookie").into_iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
