//! Tokens that let a machine join: one file each in `ca/tokens/`, beside the CA they vouch for.
//!
//! A token is `ek1.ID.SECRET.PIN`: the secret's digest is kept, never the secret; PIN is the digest
//! of the CA's public key, by which a machine without a certificate knows the server. They live in
//! files, not in the database, so that a lost database takes no join away. Deliberately not here:
//! what a redeemed token is good for (`join`).

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use evenkeel_model::{Digest, Time};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use super::{PkiError, files, random};

/// What a token's text begins with: its form may change, old texts are told apart.
const FORM: &str = "ek1";
/// Bytes of an id; it is no secret.
const ID_BYTES: usize = 4;
/// Bytes of a secret: 128 bits cannot be guessed.
const SECRET_BYTES: usize = 16;
/// Tokens at one time: each is a file, and a list for people.
const MOST: usize = 1000;
/// An expired or used-up token is kept this long, so that who comes late is told why.
const KEEP: Duration = Duration::from_hours(24);
/// Nodes that a token remembers to have let in.
const REMEMBERED: usize = 20;

/// What is known of a token; no secret among it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Names it.
    pub id: String,
    /// SHA-256 of the secret.
    secret_digest: Digest,
    /// When it was made.
    pub created: Time,
    /// No machine joins by it from then on; `None` for never.
    pub expires: Option<Time>,
    /// Machines that may join by it; `None` for any number.
    pub uses: Option<u32>,
    /// Machines that did.
    pub used: u32,
    /// Labels that these nodes get.
    pub labels: BTreeMap<String, String>,
    /// Their names, the newest last; at most 20.
    pub nodes: Vec<String>,
}

/// Why a token lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It is no token.
    #[error("this is no token of Evenkeel; `evenkeel token create` prints one")]
    Malformed,
    /// There is none of this id, or the secret is another one. The two are not told apart.
    #[error("the token is not valid: it was never made here, or was revoked; `evenkeel token create` makes another")]
    Unknown,
    /// It is too old.
    #[error("the token expired at {at}; `evenkeel token create` makes another")]
    Expired {
        /// When, RFC 3339.
        at: String,
    },
    /// It was for fewer machines.
    #[error("the token has let in {uses} machines, as many as it may; `evenkeel token create --uses` makes another")]
    UsedUp {
        /// How many it may let in.
        uses: u32,
    },
}

/// Why a token cannot be made.
#[derive(Debug, Error)]
pub enum CreateError {
    /// There are very many.
    #[error("there are {MOST} tokens; revoke some (evenkeel token revoke ID)")]
    TooMany,
    /// The files.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// What a new token shall be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewToken {
    /// How long it lets machines in; `None` for ever.
    pub ttl: Option<Duration>,
    /// How many; `None` for any number.
    pub uses: Option<u32>,
    /// Labels of these nodes.
    pub labels: BTreeMap<String, String>,
}

/// All tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    dir: PathBuf,
    all: Mutex<BTreeMap<String, Token>>,
}

impl Tokens {
    /// Reads those there are.
    pub(super) fn open(dir: PathBuf) -> Result<Self, PkiError> {
        let mut all = BTreeMap::new();
        for name in files::names(&dir)? {
            let path = dir.join(&name);
            let token: Token = serde_json::from_str(&files::text(&path)?)
                .map_err(|e| PkiError::Damaged { path, reason: e.to_string() })?;
            all.insert(name, token);
        }
        Ok(Self { dir, all: Mutex::new(all) })
    }

    /// Makes one; gives its text without the pin, which nobody sees again.
    pub(super) fn create(&self, new: NewToken, now: Time) -> Result<(Token, String), CreateError> {
        let mut all = self.lock();
        self.sweep(&mut all, now)?;
        if all.len() >= MOST {
            return Err(CreateError::TooMany);
        }
        let id = loop {
            let id = hex::encode(random::<ID_BYTES>()?);
            if !all.contains_key(&id) {
                break id;
            }
        };
        let secret = hex::encode(random::<SECRET_BYTES>()?);
        let token = Token {
            id: id.clone(),
            secret_digest: Digest::of(secret.as_bytes()),
            created: now,
            expires: new.ttl.map(|ttl| now + ttl),
            uses: new.uses,
            used: 0,
            labels: new.labels,
            nodes: Vec::new(),
        };
        self.write(&token)?;
        all.insert(id.clone(), token.clone());
        Ok((token, format!("{id}.{secret}")))
    }

    /// All, by id.
    pub(super) fn list(&self) -> Vec<Token> {
        self.lock().values().cloned().collect()
    }

    /// Takes one back; false if there was none.
    pub(super) fn revoke(&self, id: &str) -> Result<bool, PkiError> {
        let mut all = self.lock();
        if all.contains_key(id) {
            files::remove(&self.dir.join(id))?;
        }
        Ok(all.remove(id).is_some())
    }

    /// Whether a machine may join by this text (`ID.SECRET`); counts it for `node`, on disk before
    /// this returns.
    pub(super) fn redeem(&self, text: &str, node: &str, now: Time) -> Result<Token, RedeemError> {
        let (id, secret) = text.split_once('.').ok_or(TokenError::Malformed)?;
        let mut all = self.lock();
        let token = all.get(id).ok_or(TokenError::Unknown)?;
        if !bool::from(token.secret_digest.0.ct_eq(&Digest::of(secret.as_bytes()).0)) {
            return Err(TokenError::Unknown.into());
        }
        if let Some(at) = token.expires.filter(|at| *at <= now) {
            return Err(TokenError::Expired { at: at.rfc3339() }.into());
        }
        if let Some(uses) = token.uses.filter(|uses| token.used >= *uses) {
            return Err(TokenError::UsedUp { uses }.into());
        }
        let mut next = token.clone();
        next.used = next.used.saturating_add(1);
        next.nodes.push(node.to_owned());
        if next.nodes.len() > REMEMBERED {
            next.nodes.remove(0);
        }
        self.write(&next)?;
        all.insert(id.to_owned(), next.clone());
        Ok(next)
    }

    fn sweep(&self, all: &mut BTreeMap<String, Token>, now: Time) -> Result<(), PkiError> {
        let over = |t: &Token| t.expires.is_some_and(|at| at + KEEP <= now);
        for id in all.values().filter(|t| over(t)).map(|t| t.id.clone()).collect::<Vec<_>>() {
            files::remove(&self.dir.join(&id))?;
            all.remove(&id);
        }
        Ok(())
    }

    fn write(&self, token: &Token) -> Result<(), PkiError> {
        files::folder(&self.dir)?;
        let text = serde_json::to_vec(token).unwrap_or_default();
        files::write(&self.dir.join(&token.id), &text, files::PRIVATE)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Token>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token was not redeemed.
#[derive(Debug, Error)]
pub(super) enum RedeemError {
    /// It lets nobody in.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The files.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// The text that a person carries to a machine.
pub(super) fn text(id_and_secret: &str, pin: &Digest) -> String {
    format!("{FORM}.{id_and_secret}.{pin}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_800_000_000_000);

    fn tokens() -> (tempfile::TempDir, Tokens) {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(dir.path().join("tokens")).unwrap();
        (dir, tokens)
    }

    fn refused(result: Result<Token, RedeemError>) -> TokenError {
        match result.unwrap_err() {
            RedeemError::Token(e) => e,
            RedeemError::Pki(e) => panic!("{e}"),
        }
    }

    #[test]
    fn a_token_lets_in_as_many_as_it_says_also_after_a_restart() {
        let (dir, tokens) = tokens();
        let (_, text) = tokens.create(NewToken { uses: Some(2), ..NewToken::default() }, NOW).unwrap();
        assert_eq!(tokens.redeem(&text, "a", NOW).unwrap().used, 1);
        let again = Tokens::open(dir.path().join("tokens")).unwrap();
        assert_eq!(again.redeem(&text, "b", NOW).unwrap().nodes, ["a", "b"]);
        assert_eq!(refused(again.redeem(&text, "c", NOW)), TokenError::UsedUp { uses: 2 });
    }

    #[test]
    fn wrong_old_and_revoked_ones_are_refused() {
        let (_dir, tokens) = tokens();
        let ttl = Duration::from_mins(1);
        let (token, text) = tokens.create(NewToken { ttl: Some(ttl), ..NewToken::default() }, NOW).unwrap();
        assert_eq!(refused(tokens.redeem("nonsense", "a", NOW)), TokenError::Malformed);
        assert_eq!(refused(tokens.redeem("00000000.1", "a", NOW)), TokenError::Unknown);
        assert_eq!(refused(tokens.redeem(&format!("{}.1", token.id), "a", NOW)), TokenError::Unknown);
        assert!(matches!(refused(tokens.redeem(&text, "a", NOW + ttl)), TokenError::Expired { .. }));
        assert!(tokens.redeem(&text, "a", NOW).is_ok());
        assert!(tokens.revoke(&token.id).unwrap() && !tokens.revoke(&token.id).unwrap());
        assert_eq!(refused(tokens.redeem(&text, "a", NOW)), TokenError::Unknown);
    }

    #[test]
    fn what_is_long_over_goes_and_no_secret_is_kept() {
        let (dir, tokens) = tokens();
        let ttl = Duration::from_mins(1);
        let (old, text) = tokens.create(NewToken { ttl: Some(ttl), ..NewToken::default() }, NOW).unwrap();
        let kept = std::fs::read_to_string(dir.path().join("tokens").join(&old.id)).unwrap();
        assert!(!kept.contains(text.split_once('.').unwrap().1));
        tokens.create(NewToken::default(), NOW + ttl + KEEP).unwrap();
        assert!(tokens.list().iter().all(|t| t.id != old.id));
    }
}
