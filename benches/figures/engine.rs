//! The raw client that containers are compared with: HTTP over the engine's socket, one kept
//! connection a thread, nothing else.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Version of the API that every supported engine has.
const API: &str = "/v1.41";
/// An engine that is silent for so long is broken.
const PATIENCE: Duration = Duration::from_mins(2);

fn socket() -> String {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_string()
}

/// One connection.
pub struct Engine {
    stream: BufReader<UnixStream>,
}

impl Engine {
    pub fn new() -> Self {
        let stream = UnixStream::connect(socket()).expect("a Docker engine");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// One request; the status and the body.
    pub fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> (u16, Vec<u8>) {
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let request = format!(
            "{method} {API}{path} HTTP/1.1\r\nHost: docker\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let (status, length) = self.head();
        let mut out = Vec::new();
        match length {
            Some(n) => {
                out.resize(n, 0);
                self.stream.read_exact(&mut out).unwrap();
            }
            None => while self.chunk(&mut out) {},
        }
        (status, out)
    }

    /// Status and length; no length where the body comes in chunks.
    fn head(&mut self) -> (u16, Option<usize>) {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let status: u16 = line.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        let mut length = (status == 204 || status == 304).then_some(0);
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            let text = line.trim().to_ascii_lowercase();
            if text.is_empty() {
                return (status, length);
            }
            if let Some(n) = text.strip_prefix("content-length:") {
                length = n.trim().parse().ok();
            }
        }
    }

    fn chunk(&mut self, out: &mut Vec<u8>) -> bool {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let n = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        let from = out.len();
        out.resize(from + n, 0);
        self.stream.read_exact(&mut out[from..]).unwrap();
        let mut end = [0; 2];
        self.stream.read_exact(&mut end).unwrap();
        n > 0
    }

    fn json(&mut self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, body) = self.call(method, path, body);
        let text = String::from_utf8_lossy(&body);
        assert!((200..300).contains(&status) || status == 304, "{method} {path}: {status} {text}");
        serde_json::from_slice(&body).unwrap_or(Value::Null)
    }

    pub fn inspect(&mut self, id: &str) -> Value {
        self.json("GET", &format!("/containers/{id}/json"), None)
    }

    pub fn create(&mut self, body: &Value) -> String {
        let made = self.json("POST", "/containers/create", Some(body));
        made["Id"].as_str().expect("an id").to_string()
    }

    pub fn start(&mut self, id: &str) {
        self.json("POST", &format!("/containers/{id}/start"), None);
    }

    pub fn remove(&mut self, id: &str) {
        let (status, body) = self.call("DELETE", &format!("/containers/{id}?force=1&v=1"), None);
        assert!(status < 300 || status == 404 || status == 409, "{}", String::from_utf8_lossy(&body));
    }

    /// All containers with these labels.
    pub fn list(&mut self, labels: &[&str]) -> Vec<Listed> {
        let filter = json!({"label": labels}).to_string();
        let all = self.json("GET", &format!("/containers/json?all=1&filters={}", escaped(&filter)), None);
        let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
        let one = |c: &Value| Listed {
            id: text(&c["Id"]),
            running: c["State"] == "running",
            container: text(&c["Labels"]["evenkeel.dev/container"]),
        };
        all.as_array().into_iter().flatten().map(one).collect()
    }

    /// Makes and starts a container of a pod, with neither a sandbox nor others.
    pub fn alone(&mut self, like: &Bodies) {
        let mut body = like.container.clone();
        body["HostConfig"]["NetworkMode"] = BRIDGE.into();
        body["HostConfig"]["IpcMode"] = "private".into();
        let id = self.create(&body);
        self.start(&id);
    }

    /// Makes and starts a pod as Evenkeel does, after the bodies of one of its own.
    pub fn pod(&mut self, like: &Bodies) -> (String, String) {
        let sandbox = self.create(&like.sandbox);
        self.start(&sandbox);
        let mut body = like.container.clone();
        let mode = format!("container:{sandbox}");
        for field in ["NetworkMode", "IpcMode"] {
            if body["HostConfig"][field].as_str().is_some_and(|m| m.starts_with("container:")) {
                body["HostConfig"][field] = mode.clone().into();
            }
        }
        let container = self.create(&body);
        self.start(&container);
        (sandbox, container)
    }
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// A container of a list.
pub struct Listed {
    pub id: String,
    pub running: bool,
    /// The container's name in its pod; empty for a sandbox.
    pub container: String,
}

/// What a sandbox and a container were created with.
#[derive(Clone)]
pub struct Bodies {
    sandbox: Value,
    container: Value,
}

/// Label of everything that a raw client of a bench makes.
pub const RAW: &str = "dev.evenkeel.bench";

/// The network that the engine gives who asks for none.
const BRIDGE: &str = "bridge";

impl Bodies {
    /// The same with the engine's network: the sandbox waits, and makes none itself.
    pub fn bridged(&self) -> Self {
        let mut all = self.clone();
        all.sandbox["HostConfig"]["NetworkMode"] = BRIDGE.into();
        all.sandbox["HostConfig"]["CapAdd"] = Value::Null;
        all.sandbox["Cmd"] = Value::Null;
        all
    }

    /// After running ones: the raw client makes the very same.
    pub fn like(engine: &mut Engine, sandbox: &str, container: &str) -> Self {
        let mut body = |id: &str| {
            let of = engine.inspect(id);
            let mut body = of["Config"].clone();
            body["HostConfig"] = of["HostConfig"].clone();
            let joined = of["HostConfig"]["NetworkMode"].as_str().is_some_and(|m| m.starts_with("container:"));
            let map = body.as_object_mut().expect("a configuration");
            if joined {
                // The engine refuses what belongs to the network's owner.
                map.remove("Hostname");
                map.remove("ExposedPorts");
            }
            map.insert("Labels".into(), json!({RAW: "1"}));
            body
        };
        Self { sandbox: body(sandbox), container: body(container) }
    }
}

/// What happened to a container, and when we heard of it.
pub struct Happened {
    pub at: Instant,
    pub action: String,
    /// As in [`Listed`].
    pub container: String,
    pub cluster: String,
}

/// Follows the engine's events of containers until nobody listens.
pub fn events() -> mpsc::Receiver<Happened> {
    let mut engine = Engine::new();
    engine.stream.get_ref().set_read_timeout(None).unwrap();
    let filter = escaped(&json!({"type": ["container"], "event": ["create", "start", "die"]}).to_string());
    let request = format!("GET {API}/events?filters={filter} HTTP/1.1\r\nHost: docker\r\n\r\n");
    engine.stream.get_mut().write_all(request.as_bytes()).unwrap();
    let (send, receive) = mpsc::channel();
    let (ready, begun) = mpsc::channel();
    thread::spawn(move || {
        let (status, _) = engine.head();
        assert_eq!(status, 200);
        ready.send(()).unwrap();
        let mut text = Vec::new();
        while engine.chunk(&mut text) {
            let at = Instant::now();
            while let Some(end) = text.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let Ok(event) = serde_json::from_slice::<Value>(&line) else { continue };
                let of = &event["Actor"];
                let text = |v: &Value| v.as_str().unwrap_or_default().to_string();
                let happened = Happened {
                    at,
                    action: text(&event["Action"]),
                    container: text(&of["Attributes"]["evenkeel.dev/container"]),
                    cluster: text(&of["Attributes"]["evenkeel.dev/cluster"]),
                };
                if send.send(happened).is_err() {
                    return;
                }
            }
        }
    });
    begun.recv().unwrap();
    receive
}
