//! A connection: TCP, TLS, HTTP/2, and the agents' service over it.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use evenkeel_wire::stream::{WINDOW, WINDOWS};
use evenkeel_wire::{SERVER_NAME, proto::agents_client::AgentsClient};
use hyper::{Uri, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use super::{RemoteError, tls};
use crate::channel::Channel;

/// A connection is made within this time, on a slow line, too.
const CONNECT: Duration = Duration::from_secs(10);
/// The server is asked this often whether it is there. With [`ANSWER`] below the 40 s after which the
/// server takes a node for silent: an agent that was cut off is back in time if it can be.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long it has to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// The port if none is given.
const PORT: u16 = 7443;

/// Where the server is: a name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| Err(format!("`{text}` is no HOST:PORT: {why}"));
        let text = text.strip_prefix("https://").unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.contains("://") || text.contains('/') {
            return bad("it is the server's address, without a path");
        }
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let Some((host, rest)) = rest.split_once(']') else { return bad("a `]` is missing") };
            (host, rest.strip_prefix(':'))
        } else {
            match text.split_once(':') {
                Some((_, rest)) if rest.contains(':') => (text, None),
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() {
            return bad("the host is missing");
        }
        let port = match port.map(str::parse) {
            None => PORT,
            Some(Ok(port)) if port != 0 => port,
            Some(_) => return bad("the port is no number between 1 and 65535"),
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

/// The agents' service of one connection.
pub(super) type Client = AgentsClient<Channel>;

/// Makes a connection.
pub(super) async fn connect(address: &ServerAddress, config: ClientConfig) -> Result<Channel, RemoteError> {
    let slow = |_| RemoteError::Slow { address: address.to_string(), seconds: CONNECT.as_secs() };
    timeout(CONNECT, handshake(address, config)).await.map_err(slow)?
}

async fn handshake(address: &ServerAddress, config: ClientConfig) -> Result<Channel, RemoteError> {
    let unreachable = |source| RemoteError::Unreachable { address: address.to_string(), source };
    let tcp = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let failed = |reason: String| RemoteError::Tls { address: address.to_string(), reason };
    let name = ServerName::try_from(SERVER_NAME).map_err(|e| failed(e.to_string()))?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|e| failed(tls::explain(&e)))?;
    let http = |e: hyper::Error| RemoteError::Http { address: address.to_string(), reason: evenkeel_model::causes(&e) };
    let (send, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(ANSWER)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOWS)
        .handshake(TokioIo::new(tls))
        .await
        .map_err(http)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = evenkeel_model::causes(&error), "a connection with the server broke");
        }
    });
    Ok(Channel::new(send))
}

/// The agents' service over a connection.
pub(super) fn client(channel: Channel) -> Client {
    AgentsClient::with_origin(channel, Uri::from_static("https://evenkeel-server"))
}

/// What a call's failure says. A certificate that the server refuses is told by TLS only after the
/// handshake (RFC 8446, 4.4.2), so it is looked for among the causes.
pub(super) fn refusal(address: &ServerAddress, status: &tonic::Status) -> RemoteError {
    let mut cause = std::error::Error::source(status);
    while let Some(c) = cause {
        if let Some(io) = c.downcast_ref::<std::io::Error>() {
            return RemoteError::Tls { address: address.to_string(), reason: tls::explain(io) };
        }
        cause = c.source();
    }
    match status.code() {
        tonic::Code::Unknown | tonic::Code::Internal | tonic::Code::Cancelled => {
            RemoteError::Http { address: address.to_string(), reason: status.message().to_owned() }
        }
        _ => RemoteError::Refused(status.message().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, expected) in [
            ("server", "server:7443"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("https://server.example:7443/", "server.example:7443"),
            ("[fd00::1]:80", "[fd00::1]:80"),
            ("fd00::1", "[fd00::1]:7443"),
        ] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), expected, "{text}");
        }
        for text in ["", ":7443", "a:b", "a:0", "a:70000", "http://a", "a/b", "[::1"] {
            assert!(text.parse::<ServerAddress>().is_err(), "{text}");
        }
    }
}
