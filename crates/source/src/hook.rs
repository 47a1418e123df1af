//! A git hook's signature: proof that a `POST /hooks/git/SOURCE` comes from who knows the secret.
//!
//! The API calls [`verify`] with the body as it came and nudges the source's follower when it holds.
//! What the body says is not read: the repository is asked, so a forged or late one does no harm.

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

/// Whose hook it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookKind {
    /// `X-Hub-Signature-256: sha256=<hex>`. Forgejo, Bitbucket and others send it as well.
    GitHub,
    /// `X-Gitlab-Token: <secret>`.
    GitLab,
    /// `X-Gitea-Signature: <hex>`.
    Gitea,
}

/// A call that is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HookError {
    /// None of the three headers.
    #[error("no signature: X-Hub-Signature-256, X-Gitlab-Token or X-Gitea-Signature is needed")]
    Unsigned,
    /// The signature is not that of this body under this secret.
    #[error("the signature does not match")]
    Mismatch,
    /// The secret is empty: everybody knows it.
    #[error("the source's hook secret is empty")]
    NoSecret,
}

/// Checks the signature of a call. `header` gives a header's value by its name in lower case.
/// Takes the same time however much of a signature is right.
pub fn verify<'a>(
    secret: &[u8],
    header: impl Fn(&str) -> Option<&'a [u8]>,
    body: &[u8],
) -> Result<HookKind, HookError> {
    if secret.is_empty() {
        return Err(HookError::NoSecret);
    }
    // Gitea sends GitHub's header too; either proves the same.
    let (kind, right) = if let Some(value) = header("x-hub-signature-256") {
        (HookKind::GitHub, value.strip_prefix(b"sha256=").is_some_and(|hex| signed(secret, hex, body)))
    } else if let Some(value) = header("x-gitea-signature") {
        (HookKind::Gitea, signed(secret, value, body))
    } else if let Some(value) = header("x-gitlab-token") {
        // Of equal length whatever was sent, so that not even the length shows.
        (HookKind::GitLab, Sha256::digest(value).ct_eq(&Sha256::digest(secret)).into())
    } else {
        return Err(HookError::Unsigned);
    };
    if right { Ok(kind) } else { Err(HookError::Mismatch) }
}

fn signed(secret: &[u8], signature: &[u8], body: &[u8]) -> bool {
    let Ok(signature) = hex::decode(signature) else { return false };
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(secret) else { return false };
    mac.update(body);
    mac.verify_slice(&signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation.
    const SECRET: &[u8] = b"It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const HEX: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn check(name: &'static str, value: &str) -> Result<HookKind, HookError> {
        verify(SECRET, |n| (n == name).then_some(value.as_bytes()), BODY)
    }

    #[test]
    fn each_forge_proves_itself_in_its_own_way() {
        assert_eq!(check("x-hub-signature-256", &format!("sha256={HEX}")), Ok(HookKind::GitHub));
        assert_eq!(check("x-gitea-signature", HEX), Ok(HookKind::Gitea));
        assert_eq!(check("x-gitlab-token", "It's a Secret to Everybody"), Ok(HookKind::GitLab));
    }

    #[test]
    fn nothing_else_is_believed() {
        let wrong = HEX.replace("757", "758");
        for (name, value) in [
            ("x-hub-signature-256", HEX),
            ("x-hub-signature-256", &*format!("sha256={wrong}")),
            ("x-hub-signature-256", "sha256="),
            ("x-hub-signature-256", &format!("sha256={}", &HEX[..62])),
            ("x-gitea-signature", &wrong),
            ("x-gitea-signature", "zz"),
            ("x-gitlab-token", "It's a Secret to Everybod"),
            ("x-gitlab-token", ""),
        ] {
            assert_eq!(check(name, value), Err(HookError::Mismatch), "{name}: {value}");
        }
        assert_eq!(check("x-hub-signature", HEX), Err(HookError::Unsigned));
        assert_eq!(verify(b"", |_| Some(b"".as_slice()), BODY), Err(HookError::NoSecret));
    }
}
