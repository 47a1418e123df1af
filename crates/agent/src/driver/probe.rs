//! One probe, or one lifecycle hook: exec, http, tcp, grpc (`health`). Called by `work`; when and how often is the
//! logic's.

use std::time::Duration;

use evenkeel_runtime::{ExecLimits, Runtime};
use evenkeel_wire::pod_tls;
use http_body_util::Empty;
use hyper::{Request, Uri, body::Bytes, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::health;
use crate::logic::command::{Failure, Output, Target};

/// How much of a command's output is read, as the kubelet's; it is not shown, because it may hold
/// values of Secrets.
const MAX_EXEC_OUTPUT: usize = 10 << 10;
/// How many redirects on the same host are followed, as the kubelet's.
const MAX_REDIRECTS: usize = 10;
/// What servers see as the client, in the kubelet's words.
const USER_AGENT: &str = concat!("kube-probe/1.36 (evenkeel ", env!("CARGO_PKG_VERSION"), ")");

/// Probes once. Only a failure of the engine itself is an error: everything else is an answer.
pub(super) async fn probe<R: Runtime>(runtime: &R, target: &Target, timeout: Duration) -> Result<Output, Failure> {
    let (ok, message) = match target {
        Target::Exec { id, command } => {
            let limits = ExecLimits { timeout, max_output: MAX_EXEC_OUTPUT };
            match runtime.exec(id, command, &limits).await {
                Ok(result) => match result.exit_code {
                    Some(0) => (true, String::new()),
                    Some(code) => (false, format!("command exited with code {code}")),
                    None => (false, format!("command did not end within {} s", timeout.as_secs())),
                },
                Err(error) if error.is_engine() => return Err(error.into()),
                Err(error) => (false, error.to_string()),
            }
        }
        Target::Http { host, port, path, https, headers } => {
            let url = Url { host, port: *port, https: *https };
            match limited(timeout, get(&url, path, headers)).await {
                Ok(status @ 200..400) => (true, format!("HTTP status {status}")),
                Ok(status) => (false, format!("HTTP probe failed with statuscode: {status}")),
                Err(error) => (false, format!("Get \"{}\": {error}", url.with(path))),
            }
        }
        Target::Tcp { host, port } => match limited(timeout, connect(host, *port)).await {
            Ok(_) => (true, String::new()),
            Err(error) => (false, format!("dial tcp {}: {error}", authority(host, *port))),
        },
        Target::Grpc { host, port, service } => {
            let at = authority(host, *port);
            let asked = async { health::check(connect(host, *port).await?, &at, service, USER_AGENT).await };
            match limited(timeout, asked).await {
                Ok(()) => (true, String::new()),
                Err(error) => (false, format!("grpc {at}: {error}")),
            }
        }
        Target::Sleep(_) => (false, "a probe cannot sleep".into()),
    };
    Ok(Output::Probe { ok, message })
}

/// Runs a lifecycle hook. As in Kubernetes, any answer of an http hook counts as success.
pub(super) async fn hook<R: Runtime>(runtime: &R, target: &Target, timeout: Duration) -> Result<Output, Failure> {
    match target {
        Target::Exec { id, command } => {
            let limits = ExecLimits { timeout, max_output: MAX_EXEC_OUTPUT };
            match runtime.exec(id, command, &limits).await {
                Ok(result) => match result.exit_code {
                    Some(0) => Ok(Output::Done),
                    Some(code) => Err(Failure::Hook(format!("command exited with code {code}"))),
                    None => Err(Failure::Hook(format!("command did not end within {} s", timeout.as_secs()))),
                },
                Err(error) if error.is_engine() => Err(error.into()),
                Err(error) => Err(Failure::Hook(error.to_string())),
            }
        }
        Target::Http { host, port, path, https, headers } => {
            let url = Url { host, port: *port, https: *https };
            match limited(timeout, get(&url, path, headers)).await {
                Ok(_) => Ok(Output::Done),
                Err(error) => Err(Failure::Hook(format!("Get \"{}\": {error}", url.with(path)))),
            }
        }
        Target::Tcp { host, port } => match limited(timeout, connect(host, *port)).await {
            Ok(_) => Ok(Output::Done),
            Err(error) => Err(Failure::Hook(format!("dial tcp {}: {error}", authority(host, *port)))),
        },
        Target::Grpc { .. } => Err(Failure::Hook("a hook cannot ask by gRPC".into())),
        Target::Sleep(time) => {
            tokio::time::sleep((*time).min(timeout)).await;
            Ok(Output::Done)
        }
    }
}

async fn limited<T>(timeout: Duration, f: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(timeout, f).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {} s", timeout.as_secs_f32())),
    }
}

#[derive(Clone, Copy)]
struct Url<'a> {
    host: &'a str,
    port: u16,
    https: bool,
}

impl Url<'_> {
    fn with(&self, path: &str) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}{}", authority(self.host, self.port), slashed(path))
    }
}

/// `host:port`, an IPv6 address in brackets.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn slashed(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((host, port)).await.map_err(|e| e.to_string())
}

/// The status of a GET, redirects on the same host followed.
async fn get(url: &Url<'_>, path: &str, headers: &[(String, String)]) -> Result<u16, String> {
    let mut path = slashed(path);
    for _ in 0..=MAX_REDIRECTS {
        let (status, location) = get_once(url, &path, headers).await?;
        match location.filter(|_| (300..400).contains(&status)).and_then(|l| same_host(url, &l)) {
            Some(next) => path = next,
            // A redirect elsewhere counts as an answer, as in Kubernetes.
            None => return Ok(status),
        }
    }
    Err(format!("stopped after {MAX_REDIRECTS} redirects"))
}

/// The path of a redirect that stays on this host.
fn same_host(url: &Url<'_>, location: &str) -> Option<String> {
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(location.to_owned());
    }
    let next: Uri = location.parse().ok()?;
    let port = next.port_u16().unwrap_or(if next.scheme_str() == Some("https") { 443 } else { 80 });
    let same = next.host() == Some(url.host) && port == url.port && (next.scheme_str() == Some("https")) == url.https;
    same.then(|| next.path_and_query().map_or_else(|| "/".to_owned(), |p| p.as_str().to_owned()))
}

async fn get_once(url: &Url<'_>, path: &str, headers: &[(String, String)]) -> Result<(u16, Option<String>), String> {
    let request = request(url, path, headers)?;
    let stream = connect(url.host, url.port).await?;
    if url.https {
        let tls = pod_tls::connect(url.host, stream).await.map_err(|e| e.to_string())?;
        exchange(tls, request).await
    } else {
        exchange(stream, request).await
    }
}

fn request(url: &Url<'_>, path: &str, headers: &[(String, String)]) -> Result<Request<Empty<Bytes>>, String> {
    let set = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let mut builder = Request::get(path);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    for (name, value) in [
        (header::HOST, authority(url.host, url.port)),
        (header::USER_AGENT, USER_AGENT.into()),
        (header::ACCEPT, "*/*".into()),
    ] {
        if !set(name.as_str()) {
            builder = builder.header(name, value);
        }
    }
    builder.header(header::CONNECTION, "close").body(Empty::new()).map_err(|e| e.to_string())
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<(u16, Option<String>), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let location = response.headers().get(header::LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
        Ok((response.status().as_u16(), location))
    };
    // The body is of no interest.
    driven(connection, answer).await
}

/// Drives a connection for one answer, with which it is dropped.
pub(super) async fn driven<T>(connection: impl Future, answer: impl Future<Output = T>) -> T {
    tokio::pin!(answer);
    tokio::select! {
        biased;
        result = &mut answer => result,
        _ = connection => answer.await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Serves the answers one connection after the other; returns port and the requests seen.
    async fn server(answers: Vec<&'static str>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut seen = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = vec![0; 4096];
                let n = stream.read(&mut buffer).await.unwrap();
                seen.push(String::from_utf8_lossy(&buffer[..n]).into_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            seen
        });
        (port, task)
    }

    async fn try_get(port: u16, path: &str, headers: &[(String, String)]) -> Result<u16, String> {
        let url = Url { host: "127.0.0.1", port, https: false };
        limited(Duration::from_secs(5), get(&url, path, headers)).await
    }

    #[tokio::test]
    async fn statuses_headers_and_redirects() {
        let (port, seen) = server(vec![
            "HTTP/1.1 302 Found\r\nLocation: /two\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 503 Busy\r\nContent-Length: 9999\r\n\r\ncut off",
        ])
        .await;
        let headers = [("Host".to_owned(), "shop.test".to_owned()), ("X-A".to_owned(), "b".to_owned())];
        assert_eq!(try_get(port, "one?q=1", &headers).await, Ok(503));
        let seen = seen.await.unwrap();
        assert!(seen[0].starts_with("GET /one?q=1 HTTP/1.1\r\n"), "{seen:?}");
        let lower = seen[0].to_lowercase();
        assert!(lower.contains("host: shop.test\r\n") && lower.contains("x-a: b") && lower.contains("kube-probe/"));
        assert!(!lower.contains("127.0.0.1"));
        assert!(seen[1].starts_with("GET /two "));

        let (port, _seen) = server(vec!["HTTP/1.1 301 Moved\r\nLocation: https://else.test/\r\n\r\n"]).await;
        assert_eq!(try_get(port, "/", &[]).await, Ok(301));
    }

    #[tokio::test]
    async fn no_answer_is_a_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = Url { host: "127.0.0.1", port, https: false };
        let error = limited(Duration::from_millis(50), get(&url, "/", &[])).await.unwrap_err();
        assert!(error.contains("no answer within"), "{error}");
        drop(listener);
        assert!(try_get(port, "/", &[]).await.is_err());
        assert_eq!(authority("::1", 80), "[::1]:80");
    }

    #[test]
    fn redirects_of_the_same_host() {
        let url = Url { host: "10.0.0.1", port: 80, https: false };
        assert_eq!(same_host(&url, "/a?b"), Some("/a?b".into()));
        assert_eq!(same_host(&url, "http://10.0.0.1/x"), Some("/x".into()));
        assert_eq!(same_host(&url, "http://10.0.0.1:81/x"), None);
        assert_eq!(same_host(&url, "https://10.0.0.1:80/x"), None);
        assert_eq!(same_host(&url, "//evil/x"), None);
    }
}
