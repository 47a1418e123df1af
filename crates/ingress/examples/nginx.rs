//! Ingresses against nginx: requests over TLS led to one backend, by either of them on one core of its own.
//! `sh scripts/nginx-bench.sh`, which brings the clients and nginx, on a machine of at least two cores.
//!
//! Both sides have the same certificate, TLS 1.3, one backend whose connections they keep, the same fields
//! that tell it who asked, and no line for a request (`log` as a word: one for each). The clients and the
//! backend are on the first core, the proxy that is measured on the second. What a core gives is requests by
//! the processor's time that the proxy took, so that it holds whatever else the machine does. Words choose
//! among the figures; `once` makes one round.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use evenkeel_ingress::{Ingress, Limits, Port, Settings};
use evenkeel_model::{
    Time, Uid,
    ingress::{
        BackendPort, BackendProtocol, CertificateNet, IngressBackend, IngressId, IngressNet, IngressTls, IngressUpdate,
        SecretId,
    },
    net::{Endpoint, NetworkUpdate, PortProtocol, ServiceId, ServiceNet, ServicePort},
};

const ROUNDS: usize = 7;
/// Connections of HTTP/1.1; of HTTP/2, and requests at once on each.
const CLIENTS: usize = 50;
const CLIENTS2: usize = 10;
const STREAMS: usize = 10;
/// Seconds of a round.
const LASTS: u32 = 4;
/// Bytes of a small and of a large answer.
const SMALL: usize = 1000;
const LARGE: usize = 100_000;
/// Requests a second where both get the same: about half of what either does.
const RATE: usize = 10_000;
/// Where clients and the backend are, and where the proxy is.
const THEIRS: &str = "0";
const PROXYS: &str = "1";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("proxy") => serve(Path::new(&words[1]), words[2].parse().unwrap(), words[3] == "log"),
        Some("on-their-core") => measure(&words[1..]),
        _ => {
            let this = std::env::current_exe().unwrap();
            let mut again = Command::new("taskset");
            again.args(["-c", THEIRS]).arg(this).arg("on-their-core").args(&words);
            assert!(again.status().expect("taskset of util-linux").success());
        }
    }
}

/// One of the two that are compared.
struct Proxy {
    child: Child,
    /// The process that works.
    pid: u32,
    at: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its main process ends the others.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Proxy {
    /// Seconds of the processor so far.
    fn busy(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // The 14th and 15th of all; a tick is a hundredth of a second.
        fields[11..13].iter().map(|f| f.parse::<f64>().unwrap()).sum::<f64>() / 100.0
    }

    fn ours(dir: &Path, backend: u16, log: bool) -> Self {
        let mut command = Command::new("taskset");
        command.args(["-c", PROXYS]).arg(std::env::current_exe().unwrap()).arg("proxy").arg(dir);
        command.args([backend.to_string().as_str(), if log { "log" } else { "silent" }]);
        command.stderr(fs::File::create(dir.join("ours.log")).unwrap());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { pid: child.id(), at: line.trim().parse().unwrap(), child }
    }

    fn nginx(dir: &Path, backend: u16, log: bool) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let conf = dir.join("nginx.conf");
        fs::write(&conf, nginx_conf(dir, port, backend, log)).unwrap();
        let mut command = Command::new("taskset");
        command.args(["-c", PROXYS]).arg(nginx_binary()).arg("-c").arg(&conf).args(["-e", "stderr"]);
        let child = command.spawn().unwrap();
        let (main, begun) = (child.id(), Instant::now());
        let mut proxy = Self { child, pid: main, at: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) };
        while proxy.pid == main {
            assert!(begun.elapsed() < Duration::from_secs(5), "nginx does not start");
            std::thread::sleep(Duration::from_millis(10));
            let children = fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap();
            proxy.pid = children.split_whitespace().next().map_or(main, |pid| pid.parse().unwrap());
        }
        proxy
    }
}

fn nginx_binary() -> PathBuf {
    std::env::var_os("NGINX_BINARY").map_or_else(|| "nginx".into(), PathBuf::from)
}

/// Debian's defaults but for what is said in the head of this file. Connections are closed after a thousand
/// requests by default, which would count handshakes against it.
fn nginx_conf(dir: &Path, port: u16, backend: u16, log: bool) -> String {
    let at = dir.display();
    let log = if log { format!("{at}/nginx.log") } else { "off".to_owned() };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|n| format!("{n}_temp_path {at}/{n};"));
    format!(
        "daemon off; worker_processes 1; pid {at}/nginx.pid; user root;
events {{ worker_connections 4096; }}
http {{
    {}
    access_log {log};
    sendfile on; tcp_nopush on; server_tokens off;
    keepalive_requests 1000000000;
    upstream web {{ server 127.0.0.1:{backend}; keepalive 128; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} ssl http2 backlog=4096;
        ssl_certificate {at}/tls.crt; ssl_certificate_key {at}/tls.key; ssl_protocols TLSv1.3;
        location / {{
            proxy_pass http://web;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
",
        temporary.join(" ")
    )
}

/// Evenkeel's side, until its input ends: started and told as an agent does it, and counting as one does in
/// `evenkeel up`.
fn serve(dir: &Path, backend: u16, log: bool) {
    let counts = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().unwrap();
    if log {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let settings = Settings {
            dir: dir.to_path_buf(),
            http: loopback,
            https: loopback,
            access_log: log,
            limits: Limits::default(),
        };
        let ingress = Ingress::start(settings).unwrap();
        ingress.network(&NetworkUpdate { services: vec![Arc::new(service(backend))], ..NetworkUpdate::default() });
        let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
        let id = SecretId { namespace: "shop".into(), name: "tls".into() };
        ingress.ingresses(&IngressUpdate {
            session: 1,
            number: 1,
            full: true,
            ingresses: vec![Arc::new(way())],
            gone_ingresses: Vec::new(),
            certificates: vec![Arc::new(CertificateNet { id, chain: read("tls.crt"), key: read("tls.key") })],
            gone_certificates: Vec::new(),
        });
        let mut status = ingress.status();
        let open = status.wait_for(|s| matches!(s.https, Port::Open(_))).await.unwrap().clone();
        let Port::Open(at) = open.https else { unreachable!() };
        println!("{at}");
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
        ingress.stop().await;
        drop(counts);
    });
}

fn service(backend: u16) -> ServiceNet {
    ServiceNet {
        ports: vec![ServicePort { name: "http".into(), protocol: PortProtocol::Tcp, port: 80, node_port: None }],
        endpoints: vec![Endpoint::ready(Ipv4Addr::LOCALHOST.into(), vec![Some(backend)])],
        ..ServiceNet::new(ServiceId { namespace: "shop".into(), name: "web".into() }, Uid(1))
    }
}

fn way() -> IngressNet {
    let backend = IngressBackend {
        service: ServiceId { namespace: "shop".into(), name: "web".into() },
        port: BackendPort::Number(80),
        protocol: BackendProtocol::Http,
    };
    IngressNet {
        answers: Vec::new(),
        id: IngressId { namespace: "shop".into(), name: "web".into() },
        created: Time::from_secs(1),
        https_redirect: false,
        default_backend: Some(backend),
        rules: Vec::new(),
        // For all names.
        tls: vec![IngressTls { hosts: Vec::new(), secret: Some("tls".into()) }],
    }
}

/// A backend that does next to nothing: a thread for each connection, one call of the kernel to read a request
/// and one to write its answer.
fn backend() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = |bytes: usize| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {bytes}\r\n\r\n");
        [head.as_bytes(), &vec![b'x'; bytes]].concat()
    };
    let answers = Arc::new([answer(SMALL), answer(LARGE)]);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answers) = (stream.unwrap(), answers.clone());
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || {
                let mut buffer = [0; 8192];
                let mut filled = 0;
                while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]) {
                    filled += read;
                    if !buffer[..filled].ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let large = buffer.starts_with(b"GET /large");
                    filled = 0;
                    if stream.write_all(&answers[usize::from(large)]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// What one round gave of one side.
struct Round {
    each_second: f64,
    /// By the processor's time of the proxy.
    each_core: f64,
    p50: f64,
    p99: f64,
}

type Load = fn(&Proxy, &Path) -> (f64, f64, f64);

fn round(proxy: &Proxy, dir: &Path, load: Load) -> Round {
    let (busy, begun) = (proxy.busy(), Instant::now());
    let (each_second, p50, p99) = load(proxy, dir);
    let share = (proxy.busy() - busy) / begun.elapsed().as_secs_f64();
    Round { each_second, each_core: each_second / share, p50, p99 }
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn after<'t>(text: &'t str, word: &str) -> &'t str {
    let (_, rest) = text.split_once(word).unwrap_or_else(|| panic!("no {word} in {text}"));
    rest.split_whitespace().next().unwrap()
}

/// Milliseconds of wrk's figures.
fn millis(text: &str) -> f64 {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_alphabetic()).unwrap());
    number.parse::<f64>().unwrap()
        * if unit == "us" {
            0.001
        } else if unit == "s" {
            1000.0
        } else {
            1.0
        }
}

/// As many requests as it takes, on connections that are kept.
fn wrk(proxy: &Proxy, path: &str) -> (f64, f64, f64) {
    let mut command = Command::new("wrk");
    command.args(["-t1", "--latency", &format!("-c{CLIENTS}"), &format!("-d{LASTS}s")]);
    let text = said(command.arg(format!("https://{}{path}", proxy.at)));
    assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    let at = |part: &str| millis(after(&text, part));
    (after(&text, "Requests/sec:").parse().unwrap(), at(" 50% "), at(" 99% "))
}

/// By h2load, which says how long each request took.
fn h2load(proxy: &Proxy, dir: &Path, more: &[&str]) -> (f64, f64, f64) {
    let log = dir.join("requests");
    let _ = fs::remove_file(&log);
    let mut command = Command::new("h2load");
    command.args(["-t1", &format!("-D{LASTS}"), "--warm-up-time=1", "--log-file"]).arg(&log).args(more);
    let text = said(command.arg(format!("https://{}/", proxy.at)));
    assert!(text.contains(" 0 failed, 0 errored, 0 timeout"), "{text}");
    let mut took: Vec<f64> = fs::read_to_string(&log)
        .unwrap()
        .lines()
        .map(|l| {
            let fields: Vec<&str> = l.split('\t').collect();
            assert_eq!(fields[1], "200");
            fields[2].parse::<f64>().unwrap() / 1000.0
        })
        .collect();
    took.sort_by(f64::total_cmp);
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    (took.len() as f64 / f64::from(LASTS), at(0.5), at(0.99))
}

const FIGURES: &[(&str, &str, Load)] = &[
    ("http1", "HTTP/1.1, 50 connections, as much as it takes", |p, _| wrk(p, "/")),
    ("large", "the same, answers of 100 kB", |p, _| wrk(p, "/large")),
    ("rate", "HTTP/1.1, 50 connections, 10,000 requests a second", |p, dir| {
        let rate = (RATE / CLIENTS).to_string();
        h2load(p, dir, &["--h1", "-c", &CLIENTS.to_string(), "--rps", &rate])
    }),
    ("http2", "HTTP/2, 10 connections, 10 requests at once on each", |p, dir| {
        h2load(p, dir, &["-c", &CLIENTS2.to_string(), "-m", &STREAMS.to_string()])
    }),
];

fn measure(words: &[String]) {
    let has = |word: &str| words.iter().any(|w| w == word);
    let (log, rounds) = (has("log"), if has("once") { 1 } else { ROUNDS });
    let dir = tempfile::tempdir().unwrap();
    let cert = dir.path();
    said(Command::new("openssl").current_dir(cert).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "tls.key",
        "-out",
        "tls.crt",
        "-days",
        "2",
        "-subj",
        "/CN=web.example",
        "-addext",
        "subjectAltName=DNS:web.example",
    ]));
    let backend = backend();
    let ours = Proxy::ours(dir.path(), backend, log);
    let nginx = Proxy::nginx(dir.path(), backend, log);
    for proxy in [&ours, &nginx] {
        let mut asked = Command::new("openssl");
        asked.args(["s_client", "-connect", &proxy.at.to_string()]).stdin(Stdio::null());
        println!("{}", said(&mut asked).lines().find(|l| l.starts_with("New, ")).unwrap());
    }
    let chosen = FIGURES.iter().any(|f| has(f.0));
    for (_, title, load) in FIGURES.iter().filter(|f| !chosen || has(f.0)) {
        let both = [&ours, &nginx];
        let mut all: [Vec<Round>; 2] = [Vec::new(), Vec::new()];
        for n in 0..rounds {
            for side in [n % 2, 1 - n % 2] {
                all[side].push(round(both[side], dir.path(), *load));
            }
        }
        show(title, &all);
    }
}

fn show(title: &str, all: &[Vec<Round>; 2]) {
    println!("{title}:");
    for (what, of) in [
        ("requests a second of a core", (|r| r.each_core) as fn(&Round) -> f64),
        ("requests a second", |r| r.each_second),
        ("median, ms", |r| r.p50),
        ("p99, ms", |r| r.p99),
    ] {
        let [ours, theirs] = all.each_ref().map(|rounds| {
            let mut sorted: Vec<f64> = rounds.iter().map(of).collect();
            sorted.sort_by(f64::total_cmp);
            sorted
        });
        let middle = |s: &[f64]| s[s.len() / 2];
        let text = |s: &[f64]| format!("{:.2} ({:.2} .. {:.2})", middle(s), s[0], s[s.len() - 1]);
        let ratio = middle(&ours) / middle(&theirs);
        println!("  {what:28} {:>34}  nginx {:>34}  ratio {ratio:.3}", text(&ours), text(&theirs));
    }
}
