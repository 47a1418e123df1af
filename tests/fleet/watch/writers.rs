//! Writers, each with objects of its own, that know what the server has taken.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use evenkeel_model::Rng;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::api::{Api, Connection, Failed};

/// Objects of a writer.
const OBJECTS: u64 = 60;
/// Namespaces that they are spread over.
pub const NAMESPACES: usize = 20;
/// Between two tries while the server is away.
const PAUSE: Duration = Duration::from_millis(50);

/// What all writers share.
#[derive(Clone, Default)]
pub struct Shared {
    /// Changes that the server has taken.
    pub taken: Arc<AtomicUsize>,
    /// How often the server went back to a backup: what was known before counts no more.
    pub lives: Arc<AtomicUsize>,
    pub stop: CancellationToken,
}

/// What a writer knows of its objects: the number of the last write, `None` where it deleted it. What is not
/// there, nobody knows: an answer got lost.
pub type Written = BTreeMap<String, Option<String>>;

/// Writes until it is stopped; gives what must be there then.
pub fn start(api: Api, seed: u64, shared: Shared) -> JoinHandle<Written> {
    let life = shared.lives.load(Ordering::SeqCst);
    let writer = Writer { api, seed, rng: Rng::new(seed), shared, life, known: BTreeMap::new(), number: 0 };
    tokio::spawn(writer.run())
}

struct Writer {
    api: Api,
    seed: u64,
    rng: Rng,
    shared: Shared,
    life: usize,
    known: Written,
    number: u64,
}

impl Writer {
    async fn run(mut self) -> Written {
        while !self.shared.stop.is_cancelled() {
            if self.on_one_connection().await.is_err() {
                sleep(PAUSE).await;
            }
        }
        self.known
    }

    async fn on_one_connection(&mut self) -> Result<(), Failed> {
        let mut connection = self.api.connect().await?;
        while !self.shared.stop.is_cancelled() {
            let life = self.shared.lives.load(Ordering::SeqCst);
            if self.life != life {
                self.life = life;
                self.known.clear();
            }
            let object = self.rng.below(OBJECTS);
            let namespace = usize::try_from(object).unwrap() % NAMESPACES;
            let (place, name) =
                (format!("/api/v1/namespaces/fire-{namespace}/configmaps"), format!("w{}-{object}", self.seed));
            let key = format!("fire-{namespace}/{name}");
            // Until the answer is here, nobody knows.
            match self.known.remove(&key) {
                None => {
                    let (status, body) = connection.ask(Method::GET, &format!("{place}/{name}"), &Value::Null).await?;
                    let found = match status {
                        StatusCode::NOT_FOUND => None,
                        StatusCode::OK => {
                            let object: Value = serde_json::from_slice(&body)?;
                            Some(object["data"]["n"].as_str().unwrap_or_default().to_owned())
                        }
                        other => return Err(format!("GET {key}: {other}").into()),
                    };
                    self.known.insert(key, found);
                }
                Some(was) => {
                    let now = self.write(&mut connection, &place, &name, was.is_some()).await?;
                    self.known.insert(key, now);
                    self.shared.taken.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        Ok(())
    }

    /// One change of an object; gives its number then.
    async fn write(
        &mut self,
        connection: &mut Connection,
        place: &str,
        name: &str,
        there: bool,
    ) -> Result<Option<String>, Failed> {
        self.number += 1;
        let number = format!("{}.{}", self.seed, self.number);
        let item = format!("{place}/{name}");
        let color = if self.rng.below(2) == 0 { "red" } else { "blue" };
        let whole = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {"fire": "yes", "color": color}}, "data": {"n": number}});
        let (method, path, body) = match self.rng.below(10) {
            _ if !there => (Method::POST, place, whole),
            0 => (Method::DELETE, item.as_str(), Value::Null),
            1 | 2 => (Method::PUT, item.as_str(), whole),
            3 => {
                (Method::PATCH, item.as_str(), json!({"metadata": {"labels": {"color": color}}, "data": {"n": number}}))
            }
            _ => (Method::PATCH, item.as_str(), json!({"data": {"n": number}})),
        };
        let deletes = method == Method::DELETE;
        let (status, answer) = connection.ask(method.clone(), path, &body).await?;
        if !status.is_success() {
            return Err(format!("{method} {path}: {status}: {}", String::from_utf8_lossy(&answer)).into());
        }
        Ok((!deletes).then_some(number))
    }
}

/// Bytes of a heavy object.
const HEAVY: usize = 64 << 10;

/// Writes heavy objects until so many bytes have gone through: more than the server keeps of changes.
pub async fn overrun(api: &Api, writer: usize, bytes: usize, taken: &AtomicUsize) -> Result<(), Failed> {
    let mut connection = api.connect().await?;
    let (place, text) = ("/api/v1/namespaces/bulk/configmaps", "x".repeat(HEAVY));
    for n in 0..bytes / HEAVY {
        let name = format!("b{writer}-{}", n % 4);
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
            "data": {"n": n.to_string(), "text": text}});
        let item = format!("{place}/{name}");
        let (method, path) = if n < 4 { (Method::POST, place) } else { (Method::PUT, item.as_str()) };
        let (status, answer) = connection.ask(method, path, &object).await?;
        if !status.is_success() {
            return Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&answer)).into());
        }
        taken.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}
