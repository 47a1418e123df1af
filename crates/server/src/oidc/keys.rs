//! The issuer's public keys, as a JSON Web Key Set has them, and what they have signed.
//!
//! Called by [`super::Oidc`]. Keys of another kind, or for encryption, are passed over, as a set may hold
//! some for others. Deliberately not here: where a set comes from (`fetch`).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, EcdsaVerificationAlgorithm, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
        RSA_PSS_2048_8192_SHA512, RsaParameters, UnparsedPublicKey,
    },
};
use serde::Deserialize;

/// Keys of one set that are kept: an issuer has a handful.
const MOST: usize = 100;

/// How an algorithm of RFC 7518 is checked.
enum Check {
    Rsa(&'static RsaParameters),
    /// With the name of its curve.
    Ec(&'static EcdsaVerificationAlgorithm, &'static str),
}

/// Kubernetes' list but ES512, for which `ring` has no curve.
static ALGORITHMS: [(&str, Check); 8] = [
    ("RS256", Check::Rsa(&RSA_PKCS1_2048_8192_SHA256)),
    ("RS384", Check::Rsa(&RSA_PKCS1_2048_8192_SHA384)),
    ("RS512", Check::Rsa(&RSA_PKCS1_2048_8192_SHA512)),
    ("ES256", Check::Ec(&ECDSA_P256_SHA256_FIXED, "P-256")),
    ("ES384", Check::Ec(&ECDSA_P384_SHA384_FIXED, "P-384")),
    ("PS256", Check::Rsa(&RSA_PSS_2048_8192_SHA256)),
    ("PS384", Check::Rsa(&RSA_PSS_2048_8192_SHA384)),
    ("PS512", Check::Rsa(&RSA_PSS_2048_8192_SHA512)),
];

/// The algorithms that can be allowed.
pub fn algorithms() -> impl Iterator<Item = &'static str> {
    ALGORITHMS.iter().map(|(name, _)| *name)
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Written>,
}

/// A key as it is written, of any kind.
#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Debug)]
enum Public {
    Rsa(PublicKeyComponents<Vec<u8>>),
    /// The curve, and the point as X9.62 has it, uncompressed.
    Ec(&'static str, Vec<u8>),
}

/// A key that tokens may be signed with.
#[derive(Debug)]
pub(super) struct PublicKey {
    kid: Option<String>,
    alg: Option<String>,
    public: Public,
}

impl PublicKey {
    /// Those of a set that can have signed anything.
    pub(super) fn of_set(bytes: &[u8]) -> Result<Vec<Self>, String> {
        let set: Set = serde_json::from_slice(bytes).map_err(|e| format!("its keys cannot be read: {e}"))?;
        Ok(set.keys.into_iter().filter_map(Self::of_written).take(MOST).collect())
    }

    fn of_written(key: Written) -> Option<Self> {
        if key.purpose.is_some_and(|p| p != "sig") {
            return None;
        }
        let bytes = |text: Option<String>| BASE64.decode(text?).ok();
        let public = match key.kty.as_str() {
            // `ring` takes no zeros before a number.
            "RSA" => Public::Rsa(PublicKeyComponents { n: trimmed(&bytes(key.n)?), e: trimmed(&bytes(key.e)?) }),
            "EC" => {
                let (curve, length) = match key.crv.as_deref()? {
                    "P-256" => ("P-256", 32),
                    "P-384" => ("P-384", 48),
                    _ => return None,
                };
                let (x, y) = (bytes(key.x)?, bytes(key.y)?);
                if x.len() != length || y.len() != length {
                    return None;
                }
                Public::Ec(curve, [&[4][..], &x, &y].concat())
            }
            _ => return None,
        };
        Some(Self { kid: key.kid, alg: key.alg, public })
    }

    /// Whether a token with this `kid` may be signed with it.
    pub(super) fn may_be(&self, kid: Option<&str>) -> bool {
        kid.is_none_or(|kid| self.kid.as_deref() == Some(kid))
    }

    /// Whether it signed `text` by the algorithm `alg`.
    pub(super) fn signed(&self, alg: &str, text: &[u8], signature: &[u8]) -> bool {
        if self.alg.as_deref().is_some_and(|own| own != alg) {
            return false;
        }
        let check = ALGORITHMS.iter().find(|(name, _)| *name == alg).map(|(_, check)| check);
        match (check, &self.public) {
            (Some(Check::Rsa(how)), Public::Rsa(key)) => key.verify(how, text, signature).is_ok(),
            (Some(Check::Ec(how, curve)), Public::Ec(own, point)) if curve == own => {
                UnparsedPublicKey::new(*how, point).verify(text, signature).is_ok()
            }
            _ => false,
        }
    }
}

fn trimmed(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|b| **b == 0).count();
    number[zeros..].to_vec()
}
