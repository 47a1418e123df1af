//! Says to balancers outside whether this node has somebody for a Service
//! (`externalTrafficPolicy: Local` with `healthCheckNodePort`): 200 with at least one, else 503, and
//! the same JSON as Kubernetes' proxy. Deliberately not here: who is ready.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use evenkeel_model::net::{ServiceId, ServiceNet};
use hyper::{Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Balancers that are answered at once at one port; each asks every few seconds.
const MOST_AT_ONCE: usize = 64;

/// Longest time of one connection, from its beginning to its end.
const LONGEST: Duration = Duration::from_secs(5);

/// Wait after the system had no room for a connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// What is said at one port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPort {
    /// The Service.
    pub service: ServiceId,
    /// How many answer for it on this node.
    pub local: usize,
}

/// All of a node.
pub(super) fn ports<'a>(services: impl Iterator<Item = &'a Arc<ServiceNet>>, node: &str) -> BTreeMap<u16, HealthPort> {
    services
        .filter(|s| s.external_local)
        .filter_map(|s| {
            let ready = |e: &&_| is_ready_on(e, node);
            let local = s.endpoints.iter().filter(ready).count();
            Some((s.health_check_port?, HealthPort { service: s.id.clone(), local }))
        })
        .collect()
}

fn is_ready_on(endpoint: &evenkeel_model::net::Endpoint, node: &str) -> bool {
    endpoint.ready && endpoint.node.as_deref() == Some(node)
}

/// Answers at all ports of a node. Lives in the runtime that calls it; ends when it is dropped.
#[derive(Debug, Default)]
pub struct HealthServer {
    running: BTreeMap<u16, Running>,
}

#[derive(Debug)]
struct Running {
    says: watch::Sender<HealthPort>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A port cannot be answered at; it is tried again at the next call.
#[derive(Debug, thiserror::Error)]
#[error("healthCheckNodePort {port} of Service {}/{} cannot be answered at on this node: {source}", service.namespace, service.name)]
pub struct HealthError {
    /// The port.
    pub port: u16,
    /// The Service.
    pub service: ServiceId,
    /// Why.
    pub source: io::Error,
}

impl HealthServer {
    /// Answers at these ports from now on ([`super::Services::health_ports`]), and at no others. Gives
    /// those that it cannot.
    pub async fn set(&mut self, ports: BTreeMap<u16, HealthPort>) -> Vec<HealthError> {
        self.running.retain(|port, _| ports.contains_key(port));
        let mut errors = Vec::new();
        for (port, says) in ports {
            if let Some(running) = self.running.get(&port) {
                running.says.send_replace(says);
                continue;
            }
            match TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await {
                Ok(listener) => {
                    let (sender, receiver) = watch::channel(says);
                    let task = tokio::spawn(answer(listener, receiver));
                    self.running.insert(port, Running { says: sender, task });
                }
                Err(source) => errors.push(HealthError { port, service: says.service, source }),
            }
        }
        errors
    }
}

async fn answer(listener: TcpListener, says: watch::Receiver<HealthPort>) {
    let room = Arc::new(Semaphore::new(MOST_AT_ONCE));
    while let Ok(permit) = room.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(NO_ROOM).await;
            continue;
        };
        let says = says.clone();
        tokio::spawn(async move {
            // Who does not ask in time, or goes away, gets nothing.
            drop(timeout(LONGEST, one(stream, says)).await);
            drop(permit);
        });
    }
}

async fn one(stream: TcpStream, says: watch::Receiver<HealthPort>) -> Result<(), hyper::Error> {
    let service = service_fn(move |_: hyper::Request<Incoming>| {
        let now = says.borrow().clone();
        async move { Ok::<_, Infallible>(response(&now)) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn response(says: &HealthPort) -> Response<String> {
    let text = json!({
        "service": {"namespace": says.service.namespace, "name": says.service.name},
        "localEndpoints": says.local,
        "serviceProxyHealthy": true,
    });
    let mut response = Response::new(format!("{text}\n"));
    if says.local == 0 {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert("x-load-balancing-endpoint-weight", header::HeaderValue::from(says.local));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::{
        super::testkit::{endpoint, service},
        *,
    };

    async fn get(port: u16) -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n").await?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await?;
        Ok(said)
    }

    #[tokio::test]
    async fn a_node_says_whether_it_has_somebody() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let mut s = service("web", 1);
        s.external_local = true;
        s.health_check_port = Some(free);
        s.endpoints = vec![endpoint("10.42.1.2", "n1"), endpoint("10.42.2.2", "n2"), endpoint("10.42.1.3", "n1")];
        s.endpoints[2].ready = false;
        let all = |s: &ServiceNet| ports([Arc::new(s.clone())].iter(), "n1");
        let mut server = HealthServer::default();
        assert!(server.set(all(&s)).await.is_empty());
        let said = get(free).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 200") && said.contains("\"localEndpoints\":1"), "{said}");
        s.endpoints[0].ready = false;
        assert!(server.set(all(&s)).await.is_empty());
        let said = get(free).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 503") && said.contains("\"name\":\"web\""), "{said}");
        // A port that somebody else has.
        let errors = HealthServer::default().set(all(&s)).await;
        assert!(errors[0].to_string().contains("Service default/web"), "{errors:?}");
        s.external_local = false;
        assert!(server.set(all(&s)).await.is_empty());
        tokio::task::yield_now().await;
        assert!(get(free).await.is_err(), "nobody listens any more");
    }
}
