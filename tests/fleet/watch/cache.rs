//! A client that keeps a copy of some objects, as client-go's reflectors do, and looks whether what it is
//! told fits what it has.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{Method, body::Incoming};
use serde_json::Value;
use tokio::{net::TcpSocket, sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::api::{Api, Connection, Failed};

/// How a client comes to its copy, and how it keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// A list in pages, then a watch with bookmarks.
    Pages,
    /// A watch that begins with what there is (`sendInitialEvents`).
    Streaming,
    /// A list of whatever version, then watches of two seconds, one after the other, without bookmarks.
    Short,
    /// A list, then a watch that is not read from while `stall` says so.
    Stalling,
}

/// Objects in a page.
const PAGE: usize = 25;
/// Bytes that a stalling client's socket takes unread.
const NARROW: u32 = 4 << 10;
/// Between two tries while the server is away.
const PAUSE: Duration = Duration::from_millis(50);

/// What is known of an object: its version, and the number that its last write gave it.
pub type Known = (u64, String);

/// A client's copy and what came to pass.
#[derive(Debug, Default)]
pub struct State {
    pub cache: BTreeMap<String, Known>,
    /// Up to where the copy goes.
    pub version: u64,
    /// What broke the contract.
    pub wrong: Vec<String>,
    pub events: usize,
    pub bookmarks: usize,
    pub lists: usize,
    /// Watches that went on where the last one ended.
    pub resumed: usize,
    /// Watches that were told amidst that they are too late.
    pub left_behind: usize,
    /// Watches whose first word was that they are too late.
    pub too_late: usize,
}

impl State {
    /// Takes a whole copy in.
    fn replace(&mut self, cache: BTreeMap<String, Known>, version: u64) {
        if version < self.version {
            self.wrong.push(format!("a list of version {version} after {}", self.version));
        }
        if let Some((key, (of, _))) = cache.iter().find(|(_, (of, _))| *of > version) {
            self.wrong.push(format!("{key} of version {of} in a list of version {version}"));
        }
        (self.cache, self.version) = (cache, version);
        self.lists += 1;
    }

    /// Takes an event in.
    pub fn event(&mut self, what: &str, key: String, version: u64, number: String) {
        self.events += 1;
        if version <= self.version {
            self.wrong.push(format!("{what} {key} of version {version} after {}", self.version));
        }
        self.version = self.version.max(version);
        let before = self.cache.get(&key);
        let fits = match what {
            "ADDED" => before.is_none(),
            "MODIFIED" => before.is_some_and(|(was, _)| *was < version),
            "DELETED" => before.is_some(),
            _ => false,
        };
        if !fits {
            self.wrong.push(format!("{what} {key} of version {version} over {before:?}"));
        }
        match what {
            "DELETED" => drop(self.cache.remove(&key)),
            _ => drop(self.cache.insert(key, (version, number))),
        }
    }

    fn bookmark(&mut self, version: u64) {
        if version < self.version {
            self.wrong.push(format!("a bookmark of version {version} after {}", self.version));
        }
        self.version = self.version.max(version);
        self.bookmarks += 1;
    }
}

/// A client under way.
pub struct Client {
    pub sort: Sort,
    /// What it looks at: path and selector.
    pub path: String,
    pub state: Arc<Mutex<State>>,
}

impl Client {
    pub fn start(api: Api, sort: Sort, path: &str, stall: watch::Receiver<bool>, stop: CancellationToken) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let follower = Follower { api, sort, path: path.into(), state: state.clone(), stall };
        tokio::spawn(async move { stop.run_until_cancelled(follower.run()).await });
        Self { sort, path: path.into(), state }
    }
}

struct Follower {
    api: Api,
    sort: Sort,
    path: String,
    state: Arc<Mutex<State>>,
    stall: watch::Receiver<bool>,
}

/// How a watch ended.
enum End {
    /// It goes on from there.
    Over,
    /// A new copy is needed.
    Gone,
}

impl Follower {
    async fn run(mut self) {
        let mut whole = false;
        loop {
            match self.round(&mut whole).await {
                Ok(End::Over) => {}
                Ok(End::Gone) => whole = false,
                // The server is away, or was killed amidst a word.
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// A copy where there is none, and a watch from there.
    async fn round(&mut self, whole: &mut bool) -> Result<End, Failed> {
        let mut connection = match self.sort {
            Sort::Stalling => {
                let socket = TcpSocket::new_v4()?;
                socket.set_recv_buffer_size(NARROW)?;
                self.api.over(socket.connect(self.api.address).await?).await?
            }
            _ => self.api.connect().await?,
        };
        if !*whole && self.sort != Sort::Streaming {
            self.list(&mut connection).await?;
            *whole = true;
        } else if *whole {
            self.state.lock().unwrap().resumed += 1;
        }
        let (joint, version) = (joint(&self.path), self.state.lock().unwrap().version);
        let query = match self.sort {
            Sort::Streaming if !*whole => {
                "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true".to_owned()
            }
            Sort::Short => format!("resourceVersion={version}&timeoutSeconds=2"),
            _ => format!("resourceVersion={version}&allowWatchBookmarks=true"),
        };
        let path = format!("{}{joint}watch=true&{query}", self.path);
        let answer = connection.open(Method::GET, &path, &Value::Null).await?;
        if !answer.status().is_success() {
            return Err(format!("{path}: {}", answer.status()).into());
        }
        self.follow(Lines::of(answer.into_body()), whole).await
    }

    async fn follow(&mut self, mut lines: Lines, whole: &mut bool) -> Result<End, Failed> {
        let (mut first, mut begun) = (BTreeMap::new(), false);
        loop {
            if self.sort == Sort::Stalling {
                self.stall.wait_for(|stalls| !*stalls).await?;
            }
            let Some(line) = lines.next().await? else { return Ok(End::Over) };
            let event: Value = serde_json::from_slice(&line)?;
            let (what, object) = (event["type"].as_str().unwrap_or_default(), &event["object"]);
            let mut state = self.state.lock().unwrap();
            match what {
                "ERROR" if object["code"] == 410 => {
                    *(if begun { &mut state.left_behind } else { &mut state.too_late }) += 1;
                    return Ok(End::Gone);
                }
                "BOOKMARK" => {
                    let ends = object["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true";
                    if *whole == ends {
                        state.wrong.push(format!("a bookmark at the wrong time: {event}"));
                    }
                    if ends {
                        let version = version(object)?;
                        state.replace(std::mem::take(&mut first), version);
                        *whole = true;
                    } else {
                        state.bookmark(version(object)?);
                    }
                }
                "ADDED" if !*whole => {
                    let (key, known) = known(object)?;
                    if first.insert(key, known).is_some() {
                        state.wrong.push(format!("twice among the first: {event}"));
                    }
                }
                what => {
                    let (key, (version, number)) = known(object)?;
                    state.event(what, key, version, number);
                }
            }
            begun = true;
        }
    }

    /// All of a list, page by page where it comes so.
    async fn list(&self, connection: &mut Connection) -> Result<(), Failed> {
        let (mut cache, mut on, mut version_of_list) = (BTreeMap::new(), String::new(), None);
        loop {
            let query = match self.sort {
                Sort::Pages => format!("limit={PAGE}&continue={on}"),
                Sort::Short => "resourceVersion=0".into(),
                _ => String::new(),
            };
            let path = format!("{}{}{query}", self.path, joint(&self.path));
            let (status, body) = connection.ask(Method::GET, &path, &Value::Null).await?;
            if !status.is_success() {
                return Err(format!("{path}: {status}").into());
            }
            let list: Value = serde_json::from_slice(&body)?;
            let version = version(&list)?;
            if *version_of_list.get_or_insert(version) != version {
                self.state.lock().unwrap().wrong.push(format!("pages of two versions: {path}"));
            }
            for object in list["items"].as_array().ok_or("no items")? {
                let (key, known) = known(object)?;
                if cache.insert(key.clone(), known).is_some() {
                    self.state.lock().unwrap().wrong.push(format!("{key} twice in a list"));
                }
            }
            on = list["metadata"]["continue"].as_str().unwrap_or_default().into();
            if on.is_empty() {
                self.state.lock().unwrap().replace(cache, version);
                return Ok(());
            }
        }
    }
}

fn joint(path: &str) -> char {
    if path.contains('?') { '&' } else { '?' }
}

fn version(object: &Value) -> Result<u64, Failed> {
    Ok(object["metadata"]["resourceVersion"].as_str().ok_or("no version")?.parse()?)
}

/// Where an object is, and what is known of it.
pub fn known(object: &Value) -> Result<(String, Known), Failed> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let key = format!("{}/{}", text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
    Ok((key, (version(object)?, text(&object["data"]["n"]))))
}

/// A body's lines, as they come.
struct Lines {
    body: Incoming,
    begun: Vec<u8>,
    ready: std::collections::VecDeque<Bytes>,
}

impl Lines {
    fn of(body: Incoming) -> Self {
        Self { body, begun: Vec::new(), ready: std::collections::VecDeque::new() }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let Ok(data) = frame?.into_data() else { continue };
            let mut pieces = data.split(|b| *b == b'\n');
            // Of the last piece the rest is to come.
            let last = pieces.next_back().unwrap_or_default().to_vec();
            for piece in pieces {
                let mut line = std::mem::take(&mut self.begun);
                line.extend_from_slice(piece);
                self.ready.push_back(line.into());
            }
            self.begun.extend(last);
        }
    }
}
