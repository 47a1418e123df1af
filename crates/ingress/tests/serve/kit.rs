//! A node's Ingresses on loopback, backends that say who they are, and clients of each protocol.

use std::{
    convert::Infallible,
    fmt::Write as _,
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use evenkeel_ingress::{Ingress, Limits, Port, Settings, Status};
use evenkeel_model::{
    Time, Uid,
    ingress::{
        BackendPort, BackendProtocol, CertificateNet, IngressBackend, IngressId, IngressNet, IngressPath, IngressRule,
        IngressTls, IngressUpdate, PathKind, SecretId,
    },
    net::{Endpoint, NetworkUpdate, PortProtocol, ServiceId, ServiceNet, ServicePort},
};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, client::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A node.
pub(crate) struct Node {
    pub(crate) ingress: Ingress,
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

pub(crate) fn settings(dir: &tempfile::TempDir, limits: Limits) -> Settings {
    let at = loopback(0);
    Settings { dir: dir.path().into(), http: at, https: at, access_log: true, limits }
}

impl Node {
    pub(crate) fn start(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ingress = Ingress::start(settings(&dir, limits)).unwrap();
        Self { ingress, dir }
    }

    /// Where HTTP is served; waits for it.
    pub(crate) async fn http(&self) -> SocketAddr {
        self.port(|s| s.http.clone()).await
    }

    pub(crate) async fn https(&self) -> SocketAddr {
        self.port(|s| s.https.clone()).await
    }

    async fn port(&self, of: impl Fn(&Status) -> Port) -> SocketAddr {
        let mut status = self.ingress.status();
        let open = status.wait_for(|s| matches!(of(s), Port::Open(_)));
        let status = tokio::time::timeout(PATIENCE, open).await.unwrap().unwrap().clone();
        let Port::Open(at) = of(&status) else { unreachable!() };
        at
    }

    pub(crate) fn services(&self, services: Vec<ServiceNet>) {
        self.ingress.network(&NetworkUpdate {
            session: 1,
            number: 1,
            full: false,
            services: services.into_iter().map(Arc::new).collect(),
            ..NetworkUpdate::default()
        });
    }

    pub(crate) fn ingresses(&self, ingresses: Vec<IngressNet>, certificates: Vec<CertificateNet>) {
        self.numbered(1, ingresses, certificates);
    }

    pub(crate) fn numbered(&self, number: u64, ingresses: Vec<IngressNet>, certificates: Vec<CertificateNet>) {
        self.ingress.ingresses(&IngressUpdate {
            session: 1,
            number,
            full: true,
            ingresses: ingresses.into_iter().map(Arc::new).collect(),
            gone_ingresses: Vec::new(),
            certificates: certificates.into_iter().map(Arc::new).collect(),
            gone_certificates: Vec::new(),
        });
    }

    /// All of one host goes to one Service, whose endpoints these are.
    pub(crate) async fn leads(&self, endpoints: &[SocketAddr]) -> SocketAddr {
        self.services(vec![service("web", endpoints)]);
        self.ingresses(vec![ingress("web", &[("web.example", "/", "web")])], Vec::new());
        self.http().await
    }
}

pub(crate) fn service(name: &str, endpoints: &[SocketAddr]) -> ServiceNet {
    ServiceNet {
        ports: vec![ServicePort { name: "http".into(), protocol: PortProtocol::Tcp, port: 80, node_port: None }],
        endpoints: endpoints.iter().map(|a| endpoint(*a)).collect(),
        ..ServiceNet::new(ServiceId { namespace: "shop".into(), name: name.into() }, Uid(1))
    }
}

pub(crate) fn endpoint(at: SocketAddr) -> Endpoint {
    Endpoint::ready(at.ip(), vec![Some(at.port())])
}

/// One with `Prefix` rules of host, path and Service.
pub(crate) fn ingress(name: &str, rules: &[(&str, &str, &str)]) -> IngressNet {
    let rule = |(host, path, service): &(&str, &str, &str)| IngressRule {
        host: Some((*host).to_owned()).filter(|h| !h.is_empty()),
        paths: vec![IngressPath {
            path: (*path).into(),
            kind: PathKind::Prefix,
            backend: IngressBackend {
                service: ServiceId { namespace: "shop".into(), name: (*service).into() },
                port: BackendPort::Name("http".into()),
                protocol: BackendProtocol::Http,
            },
        }],
    };
    IngressNet {
        answers: Vec::new(),
        id: IngressId { namespace: "shop".into(), name: name.into() },
        created: Time::from_secs(1),
        https_redirect: false,
        default_backend: None,
        rules: rules.iter().map(rule).collect(),
        tls: Vec::new(),
    }
}

pub(crate) fn tls(hosts: &[&str], secret: &str) -> IngressTls {
    IngressTls { hosts: hosts.iter().map(|h| (*h).to_owned()).collect(), secret: Some(secret.into()) }
}

pub(crate) fn certificate(secret: &str, host: &str) -> CertificateNet {
    let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
    CertificateNet {
        id: SecretId { namespace: "shop".into(), name: secret.into() },
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    }
}

/// A server that ends as programs do: no new connection, those open until they are idle.
pub(crate) struct Backend {
    pub(crate) at: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) requests: Arc<AtomicUsize>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Backend {
    /// Answers with its name, the request's method, address and fields.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::with(move |request: Request<Incoming>| async move { describe(name, request).await }).await
    }

    pub(crate) async fn with<F, A, B>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response<B>> + Send + 'static,
        B: hyper::body::Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let stop = CancellationToken::new();
        let (stopped, count, served) = (stop.clone(), connections.clone(), requests.clone());
        let task = tokio::spawn(async move {
            let open = TaskTracker::new();
            while let Some(taken) = stopped.run_until_cancelled(listener.accept()).await {
                let (stream, _) = taken.unwrap();
                stream.set_nodelay(true).unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let (answer, served, stopped) = (answer.clone(), served.clone(), stopped.clone());
                open.spawn(async move {
                    let service = service_fn(move |request| {
                        served.fetch_add(1, Ordering::Relaxed);
                        let answer = answer.clone();
                        async move { Ok::<_, Infallible>(answer(request).await) }
                    });
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
                    tokio::pin!(connection);
                    tokio::select! {
                        _ = connection.as_mut() => return,
                        () = stopped.cancelled() => connection.as_mut().graceful_shutdown(),
                    }
                    drop(connection.await);
                });
            }
            drop(listener);
            open.close();
            open.wait().await;
        });
        Self { at, connections, requests, stop, task }
    }

    /// It takes nothing new, and ends when its last request does.
    pub(crate) fn ends(&self) {
        self.stop.cancel();
    }

    /// Ends it, and waits for its last connection.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

async fn describe(name: &'static str, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let mut text = format!("{name} {:?} {} {}\n", request.version(), request.method(), request.uri());
    for (field, value) in request.headers() {
        writeln!(text, "{field}: {}", value.to_str().unwrap()).unwrap();
    }
    if let Ok(body) = request.into_body().collect().await {
        writeln!(text, "{} bytes", body.to_bytes().len()).unwrap();
    }
    Response::new(Full::new(text.into()))
}

/// A port where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap()
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) text: String,
}

/// One request of HTTP/1.1 over a connection of its own.
pub(crate) async fn get(at: SocketAddr, host: &str, path: &str) -> Answer {
    let request = Request::get(path).header("host", host).body(Full::default()).unwrap();
    send(at, request).await
}

pub(crate) async fn send(at: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    tokio::time::timeout(PATIENCE, async {
        let mut sender = dial(at).await;
        read(sender.send_request(request).await.unwrap()).await
    })
    .await
    .unwrap()
}

pub(crate) async fn read(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap();
    Answer { status: head.status, headers: head.headers, text }
}

/// A connection of HTTP/1.1 that goes over to other protocols where it is asked to.
pub(crate) async fn dial<B>(at: SocketAddr) -> http1::SendRequest<B>
where
    B: hyper::body::Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let stream = TcpStream::connect(at).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender
}

/// The address that tests come from.
pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
