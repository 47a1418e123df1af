//! Names that are not the cluster's: from what is kept, else from the node's resolvers, one after
//! the other.
//!
//! Who asks what is already being asked waits for that answer, which also takes away what a forger
//! would gain by many equal questions. Deliberately not here: bounds on what is under way (`serve`).

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::select_ok;
use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RecordType},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout_at},
};

use super::{
    answer::Reply,
    cache::Cache,
    exchange::{ExchangeError, exchange},
    resolvers::{Current, Resolvers},
};

/// How long is tried in all: a client waits for 5 seconds, and is told before that.
const TOTAL: Duration = Duration::from_millis(4500);

/// Times that each resolver is asked: a packet may get lost.
const ROUNDS: usize = 2;

/// How long one that did not answer is asked last.
const DOUBT: Duration = Duration::from_secs(10);

/// Resolvers of which none answers are asked again this often, until one does.
const REVIVE: Duration = Duration::from_secs(1);

/// Asks others.
#[derive(Debug)]
pub(super) struct Upstream {
    resolvers: Current,
    cache: Mutex<Cache>,
    asking: Mutex<HashMap<Query, watch::Receiver<Option<Reply>>>>,
    /// Resolvers that did not answer, and until when they come last. At most as many as there are.
    doubted: Mutex<HashMap<SocketAddr, Instant>>,
    /// When one answered last.
    heard: Mutex<Option<Instant>>,
    /// A question found nobody, and what is to be said if it is so.
    suspected: watch::Sender<Option<String>>,
    /// None of them answers, and what is to be said of it. Nobody waits for them then.
    silent: watch::Sender<Option<String>>,
}

impl Upstream {
    pub(super) fn new(resolvers: Resolvers) -> Self {
        Self {
            resolvers: Current::new(resolvers),
            cache: Mutex::default(),
            asking: Mutex::default(),
            doubted: Mutex::default(),
            heard: Mutex::default(),
            suspected: watch::Sender::new(None),
            silent: watch::Sender::new(None),
        }
    }

    /// Whether none of the resolvers answers, and then what is to be said of it.
    pub(super) fn silent(&self) -> watch::Receiver<Option<String>> {
        self.silent.subscribe()
    }

    /// Where a question found nobody: asks whether really none of the resolvers answers, and then again and
    /// again until one does.
    pub(super) async fn revive(&self, own: impl Fn() -> Option<IpAddr>) {
        let mut suspected = self.suspected.subscribe();
        // Any answer will do, and this question every resolver has one for.
        let query = Query::query(Name::root(), RecordType::NS);
        while let Ok(Some(message)) = suspected.wait_for(Option::is_some).await.map(|m| m.clone()) {
            let servers = self.in_order(own());
            let answers = servers.iter().map(|server| Box::pin(exchange(*server, &query)));
            // Without any there is nobody to wait for.
            if servers.is_empty() || select_ok(answers).await.is_ok() {
                self.hear();
                continue;
            }
            self.silent.send_if_modified(|silent| silent.is_none() && silent.replace(message).is_none());
            sleep(REVIVE).await;
        }
    }

    fn hear(&self) {
        *lock(&self.heard) = Some(Instant::now());
        for of in [&self.suspected, &self.silent] {
            of.send_if_modified(|message| message.take().is_some());
        }
    }

    /// None answered a question that was begun at this moment, the last of them for this reason. It may be
    /// the question's fault.
    fn unheard(&self, begun: Instant, last: &(SocketAddr, ExchangeError)) {
        if lock(&self.heard).is_some_and(|at| at >= begun) {
            return;
        }
        let message = format!(
            "none of the node's resolvers answers ({}: {}): names outside of the cluster are not found until one does; look at the node's /etc/resolv.conf and at the way to them",
            last.0,
            evenkeel_model::causes(&last.1)
        );
        self.suspected.send_if_modified(|now| now.is_none() && now.replace(message).is_none());
    }

    /// What is kept of an answer.
    pub(super) fn kept(&self, query: &Query) -> Option<Reply> {
        lock(&self.cache).get(query, Instant::now())
    }

    /// The answer of the resolvers, never of the one at `own`. `SERVFAIL` where none answers.
    pub(super) async fn resolve(&self, query: &Query, own: Option<IpAddr>) -> Reply {
        loop {
            if let Some(reply) = self.kept(query) {
                return reply;
            }
            match self.join(query) {
                Role::Follow(mut answer) => {
                    // An error: who asked was given up, and left nothing. Then it is tried again.
                    if let Ok(reply) = answer.wait_for(Option::is_some).await.map(|reply| reply.clone()) {
                        return reply.unwrap_or_else(|| Reply::of(ResponseCode::ServFail));
                    }
                }
                Role::Lead(lead) => {
                    let reply = self.ask(query, own).await;
                    lock(&self.cache).insert(query.clone(), &reply, Instant::now());
                    lead.tell(reply.clone());
                    return reply;
                }
            }
        }
    }

    fn join(&self, query: &Query) -> Role<'_> {
        let mut asking = lock(&self.asking);
        if let Some(answer) = asking.get(query) {
            return Role::Follow(answer.clone());
        }
        let (tell, answer) = watch::channel(None);
        asking.insert(query.clone(), answer);
        Role::Lead(Lead { of: self, query: query.clone(), tell })
    }

    async fn ask(&self, query: &Query, own: Option<IpAddr>) -> Reply {
        if self.silent.borrow().is_some() {
            return Reply::of(ResponseCode::ServFail);
        }
        let (begun, deadline) = (Instant::now(), tokio::time::Instant::now() + TOTAL);
        let mut left = self.in_order(own);
        let (mut last, mut failed) = (None, None);
        'tries: for _ in 0..ROUNDS {
            // Who answered with an error is not asked again.
            let mut again = Vec::new();
            for server in left {
                match timeout_at(deadline, exchange(server, query)).await {
                    Ok(Ok(answer)) => {
                        lock(&self.doubted).remove(&server);
                        self.hear();
                        let code = answer.metadata.response_code;
                        if matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
                            return reply(answer);
                        }
                        last = Some(code);
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(%server, %error, "a resolver gave no answer");
                        lock(&self.doubted).insert(server, Instant::now() + DOUBT);
                        failed = Some((server, error));
                        again.push(server);
                    }
                    Err(_) => break 'tries,
                }
            }
            left = again;
        }
        if let (None, Some(failed)) = (last, &failed) {
            self.unheard(begun, failed);
        }
        Reply::of(last.unwrap_or(ResponseCode::ServFail))
    }

    /// Those to ask: as the node names them, those in doubt last.
    fn in_order(&self, own: Option<IpAddr>) -> Vec<SocketAddr> {
        let now = Instant::now();
        let mut servers: Vec<SocketAddr> =
            self.resolvers.get(now).iter().copied().filter(|server| Some(server.ip()) != own).collect();
        let mut doubted = lock(&self.doubted);
        doubted.retain(|_, until| *until > now);
        servers.sort_by_key(|server| doubted.contains_key(server));
        servers
    }
}

/// Who asks, and who waits for that.
enum Role<'a> {
    Lead(Lead<'a>),
    Follow(watch::Receiver<Option<Reply>>),
}

/// Stands for a question under way, which it ends when it is dropped.
struct Lead<'a> {
    of: &'a Upstream,
    query: Query,
    tell: watch::Sender<Option<Reply>>,
}

impl Lead<'_> {
    fn tell(&self, reply: Reply) {
        self.tell.send_replace(Some(reply));
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        lock(&self.of.asking).remove(&self.query);
    }
}

/// What of an answer is passed on: what was asked for, and how long it holds that there is nothing.
fn reply(answer: Message) -> Reply {
    let negative = answer.answers.is_empty() || answer.metadata.response_code != ResponseCode::NoError;
    Reply {
        answers: answer.answers,
        authorities: if negative { answer.authorities } else { Vec::new() },
        ..Reply::of(answer.metadata.response_code)
    }
}

// What is locked is put right by each step on its own.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
