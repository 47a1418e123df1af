//! Tokens of ServiceAccounts: JSON Web Tokens signed with ES256, by a key beside the CA
//! (`ca/accounts.key`, 0600).
//!
//! The API signs and checks them here; a token says whose it is, for whom and until when. The key is no
//! CA's, so that rotating one leaves the other as it is; without the file a new one is made, and tokens of
//! the old one are worth nothing. Deliberately not here: whether the account is still there (`api::auth`).

use std::{collections::BTreeMap, path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use evenkeel_model::{Digest, Time, Uid};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
    },
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{PkiError, files, random};

/// Who makes them, and whom they are for where nobody else is named: as in Kubernetes.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// Seconds that a token lives if nothing else is said, and at least: as in Kubernetes.
pub const TOKEN_LIFE: u64 = 3600;
/// See [`TOKEN_LIFE`].
pub const TOKEN_LIFE_LEAST: u64 = 600;
/// And at most: who asks for more gets this, as a Kubernetes with a bound does it.
pub const TOKEN_LIFE_MOST: u64 = 365 * 24 * 3600;
/// The one algorithm.
const ALGORITHM: &str = "ES256";
/// Bytes of a token at most: with long names and many audiences it has some two thousand.
const MOST: usize = 16 << 10;
/// Hexadecimal digits of a key's id.
const ID_DIGITS: usize = 32;
/// A clock that was put back by no more than this breaks no token that was made just before.
const LEEWAY: Duration = Duration::from_secs(10);

/// The keys of tokens.
#[derive(Debug)]
pub struct Accounts {
    key: EcdsaKeyPair,
    id: String,
    random: SystemRandom,
}

/// A name and the uid of what bears it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: Uid,
}

/// Whose a token is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose {
    /// The ServiceAccount's namespace.
    pub namespace: String,
    /// The ServiceAccount.
    #[serde(rename = "serviceaccount")]
    pub account: Bound,
    /// The pod with which it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Bound>,
}

/// What a token says. Times are seconds of the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// For whom it is.
    pub aud: Vec<String>,
    /// Until when.
    pub exp: i64,
    /// When it was made.
    pub iat: i64,
    /// By whom.
    pub iss: String,
    /// Its own id.
    pub jti: String,
    /// Whose.
    #[serde(rename = "kubernetes.io")]
    pub whose: Whose,
    /// Not before.
    pub nbf: i64,
    /// The user.
    pub sub: String,
}

#[derive(Serialize, Deserialize)]
struct Head {
    alg: String,
    kid: String,
}

/// The key by which others check tokens: a JSON Web Key (RFC 7517, RFC 7518 section 6.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublicKey {
    /// What it is for.
    #[serde(rename = "use")]
    pub usage: &'static str,
    /// Its sort.
    pub kty: &'static str,
    /// As tokens name it.
    pub kid: String,
    /// The curve.
    pub crv: &'static str,
    /// The algorithm of tokens.
    pub alg: &'static str,
    /// One coordinate of the point, in base64url.
    pub x: String,
    /// The other one.
    pub y: String,
}

/// Why a text is no token that counts. None of it is told to who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadToken {
    /// Something else, or one of another server.
    #[error("it is no token of this server")]
    Foreign,
    /// Not signed by this server's key.
    #[error("its signature is wrong")]
    Signature,
    /// Too early or too late.
    #[error("it has expired, or is not valid yet")]
    Time,
}

impl Accounts {
    /// Reads the key of a CA's folder, and makes it where there is none.
    pub(super) fn open(dir: &Path) -> Result<Self, PkiError> {
        let path = dir.join("accounts.key");
        let damaged =
            |reason: &dyn std::fmt::Display| PkiError::Damaged { path: path.clone(), reason: reason.to_string() };
        let pem = if let Some(pem) = files::read(&path)? {
            pem
        } else {
            let key = rcgen::KeyPair::generate()
                .map_err(|source| PkiError::Certificate { what: "the accounts' key", source })?;
            let pem = key.serialize_pem().into_bytes();
            files::write(&path, &pem, files::PRIVATE)?;
            pem
        };
        let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|e| damaged(&e))?;
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_der(), &random)
            .map_err(|e| damaged(&e))?;
        let id = Digest::of(key.public_key().as_ref()).short(ID_DIGITS);
        Ok(Self { key, id, random })
    }

    /// Makes a token.
    pub fn sign(
        &self,
        user: &str,
        whose: Whose,
        audiences: Vec<String>,
        now: Time,
        life: Duration,
    ) -> Result<String, PkiError> {
        let iat = seconds(now);
        let claims = Claims {
            aud: audiences,
            exp: iat.saturating_add(i64::try_from(life.as_secs()).unwrap_or(i64::MAX)),
            iat,
            iss: ISSUER.into(),
            jti: Uid(u128::from_le_bytes(random()?)).to_string(),
            whose,
            nbf: iat,
            sub: user.into(),
        };
        let head = Head { alg: ALGORITHM.into(), kid: self.id.clone() };
        let part = |bytes: Result<Vec<u8>, serde_json::Error>| {
            bytes.map(|b| BASE64.encode(b)).map_err(|e| PkiError::Tls(e.to_string()))
        };
        let signed = format!("{}.{}", part(serde_json::to_vec(&head))?, part(serde_json::to_vec(&claims))?);
        let signature = self
            .key
            .sign(&self.random, signed.as_bytes())
            .map_err(|_| PkiError::Tls("a token could not be signed".into()))?;
        Ok(format!("{signed}.{}", BASE64.encode(signature)))
    }

    /// The key's public half.
    pub fn public(&self) -> PublicKey {
        // An uncompressed point of P-256: 4, and both coordinates in 32 bytes each (SEC 1, 2.3.3).
        let (_, point) = self.key.public_key().as_ref().split_at(1);
        let (x, y) = point.split_at(point.len() / 2);
        PublicKey {
            usage: "sig",
            kty: "EC",
            kid: self.id.clone(),
            crv: "P-256",
            alg: ALGORITHM,
            x: BASE64.encode(x),
            y: BASE64.encode(y),
        }
    }

    /// Reads a token; whoever asks looks at the audience.
    pub fn verify(&self, token: &str, now: Time) -> Result<Claims, BadToken> {
        if token.len() > MOST {
            return Err(BadToken::Foreign);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(BadToken::Foreign)?;
        let (head, claims) = signed.split_once('.').ok_or(BadToken::Foreign)?;
        let head: Head = part(head)?;
        if head.alg != ALGORITHM || head.kid != self.id {
            return Err(BadToken::Foreign);
        }
        let signature = BASE64.decode(signature).map_err(|_| BadToken::Foreign)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.public_key().as_ref())
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| BadToken::Signature)?;
        let claims: Claims = part(claims)?;
        if claims.iss != ISSUER {
            return Err(BadToken::Foreign);
        }
        let at = seconds(now);
        let leeway = i64::try_from(LEEWAY.as_secs()).unwrap_or_default();
        if at >= claims.exp || at.saturating_add(leeway) < claims.nbf {
            return Err(BadToken::Time);
        }
        Ok(claims)
    }
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, BadToken> {
    let bytes = BASE64.decode(text).map_err(|_| BadToken::Foreign)?;
    serde_json::from_slice(&bytes).map_err(|_| BadToken::Foreign)
}

fn seconds(time: Time) -> i64 {
    time.0.div_euclid(1000)
}

/// What else is known of a user by a token, under Kubernetes' names.
pub fn extra(claims: &Claims) -> BTreeMap<String, Vec<String>> {
    let mut out =
        BTreeMap::from([("authentication.kubernetes.io/credential-id".into(), vec![format!("JTI={}", claims.jti)])]);
    if let Some(pod) = &claims.whose.pod {
        out.insert("authentication.kubernetes.io/pod-name".into(), vec![pod.name.clone()]);
        out.insert("authentication.kubernetes.io/pod-uid".into(), vec![pod.uid.to_string()]);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn whose() -> Whose {
        Whose { namespace: "shop".into(), account: Bound { name: "bot".into(), uid: Uid(7) }, pod: None }
    }

    fn sign(accounts: &Accounts, now: Time) -> String {
        accounts.sign("system:serviceaccount:shop:bot", whose(), vec![ISSUER.into()], now, HOUR).unwrap()
    }

    #[test]
    fn a_token_counts_for_its_time_and_with_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(dir.path()).unwrap();
        let mode = std::fs::metadata(dir.path().join("accounts.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let now = Time::from_secs(1_000_000);
        let token = sign(&accounts, now);
        let again = Accounts::open(dir.path()).unwrap();
        let claims = again.verify(&token, now).unwrap();
        assert_eq!(
            (claims.whose, claims.exp, claims.sub.as_str()),
            (whose(), 1_003_600, "system:serviceaccount:shop:bot")
        );
        // By the public half alone, as others do it.
        let key = again.public();
        let point = [vec![4], BASE64.decode(&key.x).unwrap(), BASE64.decode(&key.y).unwrap()].concat();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let checked = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
        checked.verify(signed.as_bytes(), &BASE64.decode(signature).unwrap()).unwrap();
        let head: Head = part(token.split('.').next().unwrap()).unwrap();
        assert_eq!((head.kid, head.alg.as_str()), (key.kid, key.alg));
        assert_eq!(again.verify(&token, Time::from_secs(1_003_600)), Err(BadToken::Time));
        assert!(again.verify(&token, Time::from_secs(1_003_599)).is_ok());
        assert!(again.verify(&token, Time::from_secs(999_995)).is_ok(), "a clock that went back a little");
        assert_eq!(again.verify(&token, Time::from_secs(999_900)), Err(BadToken::Time));
        std::fs::remove_file(dir.path().join("accounts.key")).unwrap();
        let other = Accounts::open(dir.path()).unwrap();
        assert_eq!(other.verify(&token, now), Err(BadToken::Foreign));
    }

    #[test]
    fn nothing_of_a_token_can_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = Accounts::open(dir.path()).unwrap();
        let now = Time::from_secs(1_000_000);
        let token = sign(&accounts, now);
        let parts: Vec<&str> = token.split('.').collect();
        let text = String::from_utf8(BASE64.decode(parts[1]).unwrap()).unwrap();
        let other = BASE64.encode(text.replace("shop", "kube"));
        assert_eq!(accounts.verify(&format!("{}.{other}.{}", parts[0], parts[2]), now), Err(BadToken::Signature));
        // Without a signature, or with another kind of one.
        for alg in ["none", "HS256"] {
            let head = BASE64.encode(format!(r#"{{"alg":"{alg}","kid":"{}"}}"#, accounts.id));
            assert_eq!(accounts.verify(&format!("{head}.{}.", parts[1]), now), Err(BadToken::Foreign));
        }
        assert_eq!(accounts.verify(&format!("{}.{}.", parts[0], parts[1]), now), Err(BadToken::Signature));
        for bad in ["", ".", "..", "a.b.c", &"x".repeat(MOST + 1)] {
            assert_eq!(accounts.verify(bad, now), Err(BadToken::Foreign));
        }
    }
}
