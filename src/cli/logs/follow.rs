//! Reads the logs of many containers beside each other, and goes on reading.
//!
//! One task a container; their lines come over one bounded channel, so a slow terminal slows all of
//! them. What cannot be read is told on stderr and keeps nobody else from going on.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::Duration,
};

use anyhow::Result;
use evenkeel_model::{Kind, Time};
use serde_json::Value;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    Args, Target, Wanted, has_begun,
    lines::{Place, pause},
    targets,
};
use crate::{
    cli::{
        Cx,
        objects::{items, text},
        paths,
    },
    client::{Client, ClientError, Where},
};

/// Lines under way between the readers and the terminal: enough to keep both busy.
const BUFFER: usize = 256;
/// How often pods that came later are looked for.
const LOOK: Duration = Duration::from_secs(2);

/// What is read, and how.
pub(super) struct Reading {
    pub(super) args: Args,
    pub(super) place: Where,
    pub(super) client: Client,
    pub(super) namespace: String,
    pub(super) wanted: Wanted,
    /// Each line has its container in front.
    pub(super) prefix: bool,
}

/// What a reader has to say.
enum Said {
    /// A line for stdout.
    Line(Vec<u8>),
    /// A remark for stderr.
    Note(String),
}

/// How reading one container ended, and how far it came.
struct Read {
    target: Target,
    place: Place,
    ended: Result<(), ClientError>,
}

impl Reading {
    /// Reads all of them to their ends; with `-f` and a workload or selector, without end.
    pub(super) async fn run(self, first: BTreeSet<Target>, cx: &mut Cx) -> Result<ExitCode> {
        let (send, mut receive) = mpsc::channel(BUFFER);
        let mut readers = JoinSet::new();
        let mut known: BTreeMap<Target, Option<Place>> = BTreeMap::new();
        let more = self.args.follow && matches!(self.wanted, Wanted::Labels(_));
        // Where more may come, those that have not begun come by the same way.
        for target in first.into_iter().filter(|_| !more) {
            known.insert(target.clone(), None);
            readers.spawn(self.read(target, Place::default(), send.clone())?);
        }
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut code = ExitCode::SUCCESS;
        let mut told = String::new();
        loop {
            tokio::select! {
                biased;
                Some(said) = receive.recv() => self.say(said, cx)?,
                _ = look.tick(), if more => {
                    let note = self.look(&mut known, &mut readers, &send).await?;
                    if !note.is_empty() && note != told {
                        eprintln!("{note}");
                    }
                    told = note;
                }
                Some(read) = readers.join_next() => {
                    let Read { target, place, ended } = read?;
                    if let Err(error) = ended {
                        if !self.prefix && !more {
                            return Err(error.into());
                        }
                        eprintln!("error: {}: {error}", target.label());
                        code = ExitCode::FAILURE;
                    }
                    known.insert(target, Some(place));
                }
                else => break,
            }
            if readers.is_empty() && !more {
                break;
            }
        }
        receive.close();
        while let Some(said) = receive.recv().await {
            self.say(said, cx)?;
        }
        Ok(code)
    }

    fn say(&self, said: Said, cx: &mut Cx) -> Result<()> {
        match said {
            Said::Line(line) => {
                cx.out.raw(&line)?;
                if self.args.follow {
                    cx.out.flush()?;
                }
            }
            Said::Note(note) => eprintln!("{note}"),
        }
        Ok(())
    }

    /// Begins to read containers that are meant, have begun, and are not being read; returns what
    /// stands against that.
    async fn look(
        &self,
        known: &mut BTreeMap<Target, Option<Place>>,
        readers: &mut JoinSet<Read>,
        send: &mpsc::Sender<Said>,
    ) -> Result<String> {
        let Wanted::Labels(selector) = &self.wanted else { return Ok(String::new()) };
        let path = paths::collection(Kind::Pod, &self.namespace);
        let list = match self.client.get(&format!("{path}{}", paths::query(&[("labelSelector", selector)]))).await {
            Ok(list) => list,
            Err(error) => return Ok(format!("new pods cannot be looked for: {error}; tried again")),
        };
        let pods = items(&list);
        let uids: BTreeSet<&str> = pods.iter().map(|pod| text(pod, "/metadata/uid")).collect();
        known.retain(|target, place| place.is_none() || uids.contains(target.uid.as_str()));
        let mut left_out = 0_usize;
        for pod in pods {
            for target in targets(&self.args, pod) {
                let place = match known.get(&target) {
                    // It was read to its end; there is more only where it runs again.
                    Some(Some(place)) if runs(pod, &target.container) => place.clone(),
                    Some(_) => continue,
                    None if !has_begun(pod, &target.container) => continue,
                    None => Place::default(),
                };
                if readers.len() >= usize::from(self.args.max_log_requests) {
                    left_out += 1;
                    continue;
                }
                known.insert(target.clone(), None);
                readers.spawn(self.read(target, place, send.clone())?);
            }
        }
        Ok(match left_out {
            0 => String::new(),
            n => format!(
                "warning: {n} more containers are not read: {} are, as many as --max-log-requests says",
                readers.len()
            ),
        })
    }

    /// Reads one container to its end.
    fn read(
        &self,
        target: Target,
        mut place: Place,
        send: mpsc::Sender<Said>,
    ) -> Result<impl Future<Output = Read> + Send + 'static> {
        let (args, prefix) = (self.args.clone(), self.prefix);
        let client = Client::new(&self.place)?;
        Ok(async move {
            let ended = Reader { args, prefix, client, target: &target, send }.read(&mut place).await;
            Read { target, place, ended }
        })
    }
}

/// Whether a container runs now.
fn runs(pod: &Value, container: &str) -> bool {
    let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array);
    let mut meant = statuses.into_iter().flatten().filter(|s| container.is_empty() || text(s, "/name") == container);
    meant.any(|s| s.pointer("/state/running").is_some())
}

/// One container's reader.
struct Reader<'a> {
    args: Args,
    prefix: bool,
    client: Client,
    target: &'a Target,
    send: mpsc::Sender<Said>,
}

impl Reader<'_> {
    /// Reads to the end; with `-f`, over what passes.
    async fn read(&self, place: &mut Place) -> Result<(), ClientError> {
        let mut failures = 0;
        loop {
            let begun = place.at().to_owned();
            let error = match self.read_once(place, failures > 0).await {
                Ok(()) => return Ok(()),
                // The pod has gone while its node was away.
                Err(ClientError::Status { code: 404, .. }) if failures > 0 => return Ok(()),
                Err(error) if self.args.follow && passes(&error) => error,
                Err(error) => return Err(error),
            };
            if place.at() != begun {
                failures = 0;
            }
            if failures == 0 {
                self.note(format!("{}: {error}; it is tried again", self.target.label())).await;
            }
            tokio::time::sleep(pause(failures)).await;
            failures += 1;
        }
    }

    async fn read_once(&self, place: &mut Place, again: bool) -> Result<(), ClientError> {
        let since = place.resume();
        let mut lines = self.client.lines(&self.path(since.map(Time::rfc3339)), "*/*").await?;
        if again {
            self.note(format!("{}: it is read on", self.target.label())).await;
        }
        while let Some(line) = lines.next().await? {
            // Only who goes on needs the place.
            let shown = if self.args.follow { place.take(&line) } else { Some((&[][..], &line[..])) };
            let Some((stamp, rest)) = shown else { continue };
            let mut out = Vec::with_capacity(line.len() + 64);
            if self.prefix {
                out.extend_from_slice(format!("[{}] ", self.target.label()).as_bytes());
            }
            if self.args.form.timestamps && !stamp.is_empty() {
                out.extend_from_slice(stamp);
                out.push(b' ');
            }
            out.extend_from_slice(rest);
            out.push(b'\n');
            if self.send.send(Said::Line(out)).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn note(&self, text: String) {
        // Nobody listens any more where this process ends.
        let _over = self.send.send(Said::Note(text)).await;
    }

    fn path(&self, since: Option<String>) -> String {
        let (args, target) = (&self.args, self.target);
        let flag = |b: bool| if b { "true" } else { "" };
        let tail = args.tail.filter(|_| since.is_none()).map(|n| n.to_string()).unwrap_or_default();
        let seconds = args.since.filter(|_| since.is_none()).map(|d| d.as_secs().max(1).to_string());
        let from = since.or_else(|| args.since_time.map(Time::rfc3339));
        let query = paths::query(&[
            ("container", &target.container),
            ("follow", flag(args.follow)),
            ("previous", flag(args.previous)),
            ("timestamps", flag(args.form.timestamps || args.follow)),
            ("tailLines", &tail),
            ("sinceSeconds", &seconds.unwrap_or_default()),
            ("sinceTime", &from.unwrap_or_default()),
        ]);
        format!("{}/log{query}", paths::item(Kind::Pod, &target.namespace, &target.pod))
    }
}

/// Whether a failure is of a node, a connection or a server that comes back.
fn passes(error: &ClientError) -> bool {
    match error {
        ClientError::Stream(_) | ClientError::Connect { .. } | ClientError::Http { .. } => true,
        ClientError::Status { code, .. } => matches!(code, 429 | 503),
        _ => false,
    }
}
