//! The log of requests: one line of JSON each, in files of its own.
//!
//! Called by `rest` with each answer. Says who asked what, when, from where, and what became of it; nothing
//! of a body or a query is in it, so no value of a Secret either. A thread writes; requests wait for room in
//! its queue, so that no line is dropped for speed. A disk that takes no more loses lines, which is told and
//! counted, and stops nobody. Deliberately not here: the changes themselves, which the history and the
//! ledger of drifts have.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use evenkeel_core::rbac::{Act, User};
use evenkeel_model::Time;
use serde::Serialize;
use tokio::sync::mpsc;

use super::gate::Asked;

/// Below the data directory.
const FOLDER: &str = "access";
const NAME: &str = "access.log";
/// Bytes of a file before the next one is begun, and files kept beside the one that is written: a busy
/// cluster's day or two.
const FILE_BYTES: u64 = 16 << 20;
const FILES: usize = 8;
/// Lines on their way to the disk.
const QUEUE: usize = 1024;
/// Lines written at once.
const AT_ONCE: usize = 256;
/// Characters of a client's own name.
const AGENT: usize = 120;
/// A disk that fails is told this often.
const TELL: Duration = Duration::from_mins(1);

/// Which requests are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Logged {
    /// None.
    Off,
    /// What changes something or leads into a pod, reads of Secrets, and what was refused.
    #[default]
    Changes,
    /// All but health.
    All,
}

/// The log, while it is open.
#[derive(Debug)]
pub struct AccessLog {
    which: Logged,
    queue: Mutex<Option<mpsc::Sender<String>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Seen {
    method: Method,
    uri: Uri,
    from: String,
    agent: String,
}

/// Who asked: the user, and who speaks for them; or why what they showed does not count.
#[derive(Debug, Default)]
pub(crate) struct Who {
    pub(crate) user: Option<User>,
    pub(crate) by: Option<String>,
    pub(crate) why: Option<String>,
}

/// What a request made, where its path does not say it.
#[derive(Debug, Clone)]
pub(crate) struct Made(pub(crate) String);

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    /// Who speaks for the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    verb: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    resource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subresource: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    path: &'a str,
    from: &'a str,
    agent: &'a str,
    code: u16,
    /// `allowed`, `forbidden`, or `unknown` where nobody was shown.
    decision: &'static str,
    /// Why what was shown does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

impl Seen {
    pub(crate) fn new(method: &Method, uri: &Uri, headers: &HeaderMap, from: Option<std::net::SocketAddr>) -> Self {
        let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        Self {
            method: method.clone(),
            uri: uri.clone(),
            from: from.map(|a| a.to_string()).unwrap_or_default(),
            agent: agent.chars().take(AGENT).collect(),
        }
    }
}

impl AccessLog {
    /// Opens it below a data directory; `None` where nothing is to be logged.
    pub fn open(data_dir: &Path, which: Logged) -> io::Result<Option<Self>> {
        if which == Logged::Off {
            return Ok(None);
        }
        let mut files = Files::new(data_dir.join(FOLDER), FILE_BYTES);
        let (queue, mut lines) = mpsc::channel::<String>(QUEUE);
        let write = move || {
            let mut told: Option<Instant> = None;
            while let Some(mut text) = lines.blocking_recv() {
                let mut count = 1_u64;
                while count < AT_ONCE as u64
                    && let Ok(more) = lines.try_recv()
                {
                    text.push_str(&more);
                    count += 1;
                }
                if let Err(error) = files.write(text.as_bytes()) {
                    metrics::counter!("evenkeel_access_lines_lost_total").increment(count);
                    if told.is_none_or(|at| at.elapsed() >= TELL) {
                        told = Some(Instant::now());
                        tracing::error!(%error, "requests are not logged: the file cannot be written");
                    }
                }
            }
        };
        let writer = std::thread::Builder::new().name("access-log".into()).spawn(write)?;
        Ok(Some(Self { which, queue: Mutex::new(Some(queue)), writer: Mutex::new(Some(writer)) }))
    }

    /// Writes what is still to be written, and closes it. Blocks.
    pub fn end(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the thread that logs requests has failed");
        }
    }

    /// Notes a request that was answered.
    pub(crate) async fn note(&self, seen: &Seen, who: &Who, now: Time, code: StatusCode, made: Option<&Made>) {
        let Some(line) = self.line(seen, who, now, code, made) else { return };
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(queue) = queue {
            // It is closed while the server stops.
            let _closed = queue.send(line).await;
        }
    }

    fn line(&self, seen: &Seen, who: &Who, now: Time, code: StatusCode, made: Option<&Made>) -> Option<String> {
        let asked = Asked::of(&seen.method, &seen.uri).unwrap_or_default();
        let refused = matches!(code, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        let act = asked.act();
        if self.which == Logged::Changes && !refused && !telling(&act) {
            return None;
        }
        let mut line = Line {
            at: now.rfc3339(),
            user: who.user.as_ref().map(|u| u.name.as_str()),
            groups: who.user.as_ref().map_or(&[], |u| &u.groups),
            by: who.by.as_deref(),
            verb: "",
            group: "",
            resource: "",
            subresource: "",
            namespace: "",
            name: "",
            path: "",
            from: &seen.from,
            agent: &seen.agent,
            code: code.as_u16(),
            decision: match code {
                StatusCode::UNAUTHORIZED => "unknown",
                StatusCode::FORBIDDEN => "forbidden",
                _ => "allowed",
            },
            why: who.why.as_deref(),
        };
        match act {
            Act::Path { verb, path } => (line.verb, line.path) = (verb, path),
            Act::Resource(r) => {
                (line.verb, line.group, line.resource) = (r.verb, r.group, r.resource);
                (line.subresource, line.namespace, line.name) = (r.subresource, r.namespace, r.name);
            }
        }
        if line.name.is_empty()
            && let Some(Made(name)) = made
        {
            line.name = name;
        }
        serde_json::to_string(&line).ok().map(|text| text + "\n")
    }
}

/// Whether an act that was allowed is worth a line of its own.
fn telling(act: &Act<'_>) -> bool {
    match act {
        Act::Path { verb, path } => !matches!(*verb, "get" | "head") || *path == "/evenkeel/backup",
        Act::Resource(r) => {
            let reads = matches!(r.verb, "get" | "list" | "watch");
            // Questions change nothing.
            let asks = r.group == "authorization.k8s.io" || r.resource == "selfsubjectreviews";
            !reads && !asks || r.resource == "secrets"
        }
    }
}

/// The file that is written, and those before it. It is opened with the first line: a server starts on a
/// full disk, too.
struct Files {
    folder: PathBuf,
    /// With its size.
    open: Option<(File, u64)>,
    most: u64,
}

impl Files {
    fn new(folder: PathBuf, most: u64) -> Self {
        Self { folder, open: None, most }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.open.as_ref().is_some_and(|(_, size)| *size > 0 && size + bytes.len() as u64 > self.most) {
            self.open = None;
            self.turn()?;
        }
        let (mut file, size) = match self.open.take() {
            Some(open) => open,
            None => self.begin()?,
        };
        // One that failed is opened anew, at its end.
        file.write_all(bytes)?;
        self.open = Some((file, size + bytes.len() as u64));
        Ok(())
    }

    fn begin(&self) -> io::Result<(File, u64)> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(self.folder.join(NAME))?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }

    /// Makes place for the next file; the oldest goes.
    fn turn(&self) -> io::Result<()> {
        let at = |n: usize| self.folder.join(if n == 0 { NAME.into() } else { format!("{NAME}.{n}") });
        for n in (0..FILES).rev() {
            match fs::rename(at(n), at(n + 1)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn seen(method: &str, uri: &str) -> Seen {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, "kubectl/v1".parse().unwrap());
        Seen::new(&method.parse().unwrap(), &uri.parse().unwrap(), &headers, "10.0.0.7:4000".parse().ok())
    }

    fn an() -> Who {
        Who { user: Some(User { name: "an".into(), groups: vec!["dev".into()], ..User::default() }), ..Who::default() }
    }

    #[tokio::test]
    async fn lines_say_who_did_what_and_nothing_of_what_was_sent() {
        let dir = tempfile::tempdir().unwrap();
        let log = AccessLog::open(dir.path(), Logged::Changes).unwrap().unwrap();
        let now = Time::from_secs(1_000_000);
        for (method, uri, code) in [
            ("GET", "/api/v1/namespaces/shop/pods", 200),
            ("GET", "/api/v1/namespaces/shop/pods/web/exec?command=echo&command=secret", 101),
            ("GET", "/api/v1/namespaces/shop/secrets/key", 200),
            ("GET", "/api/v1/nodes", 403),
            ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", 201),
            ("GET", "/evenkeel/backup", 200),
            ("GET", "/version", 401),
        ] {
            let who = if code == 401 { Who::default() } else { an() };
            log.note(&seen(method, uri), &who, now, StatusCode::from_u16(code).unwrap(), None).await;
        }
        let by = Who { by: Some("root".into()), ..an() };
        let made = Made("web-x".into());
        let created = StatusCode::CREATED;
        log.note(&seen("POST", "/api/v1/namespaces/shop/pods"), &by, now, created, Some(&made)).await;
        tokio::task::spawn_blocking(move || log.end()).await.unwrap();
        let text = fs::read_to_string(dir.path().join(FOLDER).join(NAME)).unwrap();
        let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        let short: Vec<String> = lines
            .iter()
            .map(|l| {
                let text = |f: &str| l[f].as_str().unwrap_or_default();
                format!("{} {}{} {} {}", text("verb"), text("resource"), text("path"), text("decision"), l["code"])
            })
            .collect();
        assert_eq!(
            short,
            [
                "create pods allowed 101",
                "get secrets allowed 200",
                "list nodes forbidden 403",
                "get /evenkeel/backup allowed 200",
                "get /version unknown 401",
                "create pods allowed 201",
            ]
        );
        assert_eq!(
            lines[5],
            json!({"at": "1970-01-12T13:46:40Z", "user": "an", "groups": ["dev"], "by": "root", "verb": "create",
                "resource": "pods", "namespace": "shop", "name": "web-x", "from": "10.0.0.7:4000", "agent": "kubectl/v1",
                "code": 201, "decision": "allowed"})
        );
        assert!(!text.contains("echo"), "a query is not logged");
        assert!(AccessLog::open(dir.path(), Logged::Off).unwrap().is_none());
    }

    #[test]
    fn files_turn_and_the_oldest_goes() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::new(dir.path().into(), 10);
        for n in 0..12 {
            files.write(format!("line {n:03}\n").as_bytes()).unwrap();
        }
        let mut names: Vec<String> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names.len(), FILES + 1, "{names:?}");
        assert_eq!(fs::read_to_string(dir.path().join(NAME)).unwrap(), "line 011\n");
        assert_eq!(fs::read_to_string(dir.path().join(format!("{NAME}.8"))).unwrap(), "line 003\n");
        let mode = fs::metadata(dir.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // It goes on where it was.
        let mut again = Files::new(dir.path().into(), 100);
        again.write(b"more\n").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(NAME)).unwrap(), "line 011\nmore\n");
    }
}
