//! Tokens of pods' ServiceAccounts: asked for when a volume has them, kept beside the volumes for the time
//! in which no server answers, and renewed before they end.
//!
//! What was got is in `pods/<uid>/tokens.json` (0600). At four fifths of its life a token is asked for anew,
//! and the volume's files are swapped as one. While nobody gives another one the last is used on: the
//! program is told by the API, and no container stops for it. Deliberately not here: how the server is
//! asked (whoever gives the [`TokenSource`]), and files (`volumes`).

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use evenkeel_model::{Time, Uid};
use evenkeel_wire::{
    PodOrder,
    proto::{TokenReply, TokenRequest},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::Notify;

use crate::{driver::clock, logic::command::Failure};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A renewal that failed is tried again after this: a fifth of ten minutes is left at least.
const AGAIN: Duration = Duration::from_secs(20);
/// Longest sleep: the clock may be set.
const LOOK: Duration = Duration::from_mins(5);

/// What is asked for: a place in a pod's specification, which says the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAsk {
    /// The pod.
    pub pod: Uid,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// The volume.
    pub volume: String,
    /// Which of its sources.
    pub source: u32,
}

impl From<TokenAsk> for TokenRequest {
    fn from(ask: TokenAsk) -> Self {
        Self {
            pod: ask.pod.to_string(),
            namespace: ask.namespace.to_string(),
            name: ask.name.to_string(),
            volume: ask.volume,
            source: ask.source,
        }
    }
}

/// A token. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Its text.
    pub text: String,
    /// How long it counts from now on.
    pub lasts: Duration,
}

impl From<TokenReply> for Token {
    fn from(reply: TokenReply) -> Self {
        Self { text: reply.token, lasts: Duration::from_secs(reply.lasts_seconds) }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("lasts", &self.lasts).finish_non_exhaustive()
    }
}

/// No token was given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct NoToken {
    /// Why.
    pub message: String,
    /// Whether the cause lies outside of what the pod says: the server does not answer.
    pub outside: bool,
}

/// An answer on its way.
pub type Asking = Pin<Box<dyn Future<Output = Result<Token, NoToken>> + Send>>;

/// Asks the server.
#[derive(Clone)]
pub struct TokenSource(Arc<dyn Fn(TokenAsk) -> Asking + Send + Sync>);

impl TokenSource {
    /// One that asks so.
    pub fn new(ask: impl Fn(TokenAsk) -> Asking + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }
}

impl Default for TokenSource {
    /// Nobody gives any.
    fn default() -> Self {
        let message = "nobody gives tokens to this agent";
        Self::new(move |_| Box::pin(async move { Err(NoToken { message: message.into(), outside: true }) }))
    }
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TokenSource").finish_non_exhaustive()
    }
}

/// Tokens of one pod by their place.
pub(crate) type Tokens = BTreeMap<(String, usize), Arc<[u8]>>;

/// What is kept of a token.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    volume: String,
    source: usize,
    token: String,
    made: Time,
    ends: Time,
}

impl Kept {
    /// When the next one is asked for: at four fifths of its life; at once if the clock was set back.
    fn due(&self, now: Time) -> Time {
        if now < self.made { now } else { self.made + self.ends.since(self.made) / 5 * 4 }
    }
}

/// A pod whose tokens are renewed.
struct Followed {
    order: Arc<PodOrder>,
    due: Time,
}

/// The pods with tokens.
pub(crate) struct Keeper {
    source: TokenSource,
    pods: Mutex<BTreeMap<Uid, Followed>>,
    /// One thing at a time with one pod's files.
    turns: Mutex<BTreeMap<Uid, Arc<tokio::sync::Mutex<()>>>>,
    changed: Notify,
}

impl Keeper {
    pub(crate) fn new(source: TokenSource) -> Self {
        Self { source, pods: Mutex::default(), turns: Mutex::default(), changed: Notify::new() }
    }

    /// Whose turn it is with a pod's files.
    pub(crate) fn turn(&self, pod: Uid) -> Arc<tokio::sync::Mutex<()>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(pod).or_default().clone()
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<Uid, Followed>) -> T) -> T {
        act(&mut self.pods.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The tokens of a pod, of which `kept` were got before: those that are due are asked for. Gives what is
    /// to be kept, if that changed.
    pub(crate) async fn tokens(&self, order: &Arc<PodOrder>, kept: Vec<Kept>) -> Result<(Vec<Kept>, bool), Failure> {
        let mut all = Vec::new();
        let (mut changed, mut failed) = (false, false);
        for (volume, source) in wanted(&order.pod) {
            let before = kept.iter().find(|k| k.volume == volume && k.source == source);
            let now = clock();
            if let Some(good) = before.filter(|k| k.due(now) > now) {
                all.push(good.clone());
                continue;
            }
            match self.ask(order, &volume, source).await {
                Ok(token) => {
                    let made = clock();
                    all.push(Kept { volume, source, token: token.text, made, ends: made + token.lasts });
                    changed = true;
                }
                Err(error) => match before {
                    Some(last) => {
                        tracing::warn!(pod = %order.uid, %error, "a pod's token is not renewed; trying again");
                        failed = true;
                        all.push(last.clone());
                    }
                    None => return Err(Failure::Token { message: error.message, outside: error.outside }),
                },
            }
        }
        let now = clock();
        let due = if failed { now + AGAIN } else { all.iter().map(|k| k.due(now)).min().unwrap_or(now + LOOK) };
        self.with(|pods| pods.insert(order.uid, Followed { order: order.clone(), due }));
        self.changed.notify_one();
        Ok((all, changed))
    }

    async fn ask(&self, order: &PodOrder, volume: &str, source: usize) -> Result<Token, NoToken> {
        let ask = TokenAsk {
            pod: order.uid,
            namespace: order.namespace.clone(),
            name: order.name.clone(),
            volume: volume.into(),
            source: u32::try_from(source).unwrap_or(u32::MAX),
        };
        let silent = || NoToken {
            message: format!("volume `{volume}`: the server gives no token within {} s", PATIENCE.as_secs()),
            outside: true,
        };
        let answer = tokio::time::timeout(PATIENCE, (self.source.0)(ask)).await.unwrap_or_else(|_| Err(silent()));
        answer.map_err(|e| NoToken { message: format!("volume `{volume}`: no token of the server: {e}"), ..e })
    }

    /// A pod's volumes go.
    pub(crate) fn forget(&self, pod: Uid) {
        self.with(|pods| pods.remove(&pod));
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).remove(&pod);
    }

    /// Waits for a pod whose tokens are due; it is due again soon if it is not renewed.
    pub(crate) async fn next(&self) -> Uid {
        loop {
            let now = clock();
            let first = self.with(|pods| {
                let (pod, first) = pods.iter_mut().min_by_key(|(_, p)| p.due)?;
                if first.due > now {
                    return Some(Err(first.due.since(now)));
                }
                first.due = now + AGAIN;
                Some(Ok(*pod))
            });
            let wait = match first {
                Some(Ok(pod)) => return pod,
                Some(Err(wait)) => wait.min(LOOK),
                None => LOOK,
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// The newest order of a pod that has tokens.
    pub(crate) fn order(&self, pod: Uid) -> Option<Arc<PodOrder>> {
        self.with(|pods| pods.get(&pod).map(|p| p.order.clone()))
    }
}

/// Tokens by their place, for the files.
pub(crate) fn by_place(kept: &[Kept]) -> Tokens {
    kept.iter().map(|k| ((k.volume.clone(), k.source), Arc::from(k.token.as_bytes()))).collect()
}

/// The places in a pod's volumes that hold a token.
pub(crate) fn wanted(pod: &Value) -> Vec<(String, usize)> {
    let mut out = Vec::new();
    for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
        let sources = volume["projected"]["sources"].as_array().into_iter().flatten().enumerate();
        let name = volume["name"].as_str().unwrap_or_default();
        out.extend(sources.filter(|(_, s)| s["serviceAccountToken"].is_object()).map(|(i, _)| (name.to_owned(), i)));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use serde_json::json;

    use super::*;

    fn order() -> Arc<PodOrder> {
        Arc::new(PodOrder {
            uid: Uid(7),
            namespace: "shop".into(),
            name: "web".into(),
            version: evenkeel_model::Version(1),
            pod: json!({"spec": {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "t", "projected": {"sources": [
                {"configMap": {"name": "c"}}, {"serviceAccountToken": {"path": "token"}}]}}]}}),
            deletion: None,
            contents: Vec::new(),
            image_ids: BTreeMap::new(),
            self_heal: true,
        })
    }

    /// Gives numbered tokens while `up` is not 0.
    fn source(up: &Arc<AtomicU64>, lasts: Duration) -> TokenSource {
        let (up, given) = (up.clone(), AtomicU64::new(0));
        TokenSource::new(move |ask| {
            assert_eq!((ask.volume.as_str(), ask.source), ("t", 1));
            let n = given.fetch_add(1, Ordering::SeqCst);
            let up = up.load(Ordering::SeqCst) != 0;
            let no = NoToken { message: "away".into(), outside: true };
            Box::pin(async move { if up { Ok(Token { text: format!("t{n}"), lasts }) } else { Err(no) } })
        })
    }

    #[tokio::test]
    async fn tokens_are_renewed_and_the_last_one_is_used_while_nobody_gives_another() {
        let up = Arc::new(AtomicU64::new(1));
        let keeper = Keeper::new(source(&up, Duration::ZERO));
        let (kept, changed) = keeper.tokens(&order(), Vec::new()).await.unwrap();
        assert!(changed);
        assert_eq!(by_place(&kept).into_iter().next().unwrap(), (("t".into(), 1), Arc::from(&b"t0"[..])));
        // It has ended at once, so it is due.
        assert_eq!(keeper.next().await, Uid(7));
        up.store(0, Ordering::SeqCst);
        let (kept, changed) = keeper.tokens(&order(), kept).await.unwrap();
        assert!(!changed && kept[0].token == "t0", "the last one stays");
        up.store(1, Ordering::SeqCst);
        let (kept, changed) = keeper.tokens(&order(), kept).await.unwrap();
        assert!(changed && kept[0].token == "t2");
        keeper.forget(Uid(7));
        assert!(keeper.order(Uid(7)).is_none());
    }

    #[tokio::test]
    async fn a_good_token_is_not_asked_for_again_and_none_at_all_is_a_failure() {
        let up = Arc::new(AtomicU64::new(1));
        let keeper = Keeper::new(source(&up, Duration::from_hours(1)));
        let (kept, _) = keeper.tokens(&order(), Vec::new()).await.unwrap();
        up.store(0, Ordering::SeqCst);
        assert!(!keeper.tokens(&order(), kept.clone()).await.unwrap().1);
        let now = clock();
        assert!(kept[0].due(now).since(now) > Duration::from_mins(47), "at 80 % of its life");
        assert!(kept[0].due(now).since(now) < Duration::from_mins(49));
        let failed = keeper.tokens(&order(), Vec::new()).await.map(|_| ()).unwrap_err();
        assert_eq!(
            failed,
            Failure::Token { message: "volume `t`: no token of the server: away".into(), outside: true }
        );
    }
}
