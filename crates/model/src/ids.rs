//! Identities: uids, the store's version counter, content digests.

use alloc::{format, string::String};
use core::{fmt, str::FromStr};

use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// An id did not have its textual form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a valid {what}")]
pub struct IdError {
    /// What was expected, as `uid`.
    pub what: &'static str,
    /// What was found.
    pub text: String,
}

/// An object's uid, written as an RFC 9562 UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uid(pub u128);

impl Uid {
    /// A version 4 UUID made of the given random bits.
    pub fn from_random(bits: u128) -> Self {
        let bits = bits & !(0xf << 76) & !(0b11 << 62);
        Self(bits | (0x4 << 76) | (0b10 << 62))
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            n >> 96,
            (n >> 80) & 0xffff,
            (n >> 64) & 0xffff,
            (n >> 48) & 0xffff,
            n & 0xffff_ffff_ffff
        )
    }
}

impl FromStr for Uid {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError { what: "uid", text: text.into() };
        let mut lengths = text.split('-').map(str::len);
        if !([8, 4, 4, 4, 12].into_iter().all(|n| lengths.next() == Some(n)) && lengths.next().is_none()) {
            return Err(bad());
        }
        let mut n = 0_u128;
        for c in text.bytes().filter(|c| *c != b'-') {
            let digit = (c as char).to_digit(16).ok_or_else(bad)?;
            n = (n << 4) | u128::from(digit);
        }
        Ok(Self(n))
    }
}

impl Serialize for Uid {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uid {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

/// The store's counter: one step for each change. An object's `resourceVersion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// The next version.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A SHA-256 digest, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of parts, each framed by its length, so that no two lists of parts collide.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// The HMAC-SHA256 (RFC 2104) of bytes under a key: says whether two values are equal to who has
    /// the key, and nothing to others.
    pub fn keyed(key: &[u8; 32], bytes: &[u8]) -> Self {
        // A key of any length is taken; 32 bytes always.
        Hmac::<Sha256>::new_from_slice(key).map_or_else(
            |_| Self::default(),
            |mut mac| {
                mac.update(bytes);
                Self(mac.finalize().into_bytes().into())
            },
        )
    }

    /// The first `n` hexadecimal digits, for names and messages.
    pub fn short(&self, n: usize) -> String {
        let mut text = format!("{self}");
        text.truncate(n);
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError { what: "digest", text: text.into() };
        if text.len() != 64 {
            return Err(bad());
        }
        let mut out = [0_u8; 32];
        for (slot, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |c: u8| (c as char).to_digit(16).ok_or_else(bad);
            *slot = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).map_err(|_| bad())?;
        }
        Ok(Self(out))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn uid_round_trips_and_is_version_4() {
        let uid = Uid::from_random(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
        let text = uid.to_string();
        assert_eq!(text.parse::<Uid>().unwrap(), uid);
        assert_eq!(text.as_bytes()[14], b'4');
        assert!(matches!(text.as_bytes()[19], b'8'..=b'b'));
        assert!("1234".parse::<Uid>().is_err());
        assert!("zz345678-9abc-4ef0-9234-56789abcdef0".parse::<Uid>().is_err());
    }

    #[test]
    fn digest_round_trips_and_frames_parts() {
        let digest = Digest::of(b"a");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert_ne!(Digest::of_parts([&b"ab"[..], b"c"]), Digest::of_parts([&b"a"[..], b"bc"]));
        assert!("é".repeat(32).parse::<Digest>().is_err());
    }
}
