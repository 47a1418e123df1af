//! The one source of chance in the pure crates: a seeded generator that is passed in.
//!
//! Uids, name suffixes and jitter come from it, so the same seed gives the same plan. Keys, tokens
//! and certificates never do: those come from the operating system, in the server's `pki`.

use alloc::string::String;

use crate::ids::Uid;

/// Kubernetes' alphabet for generated names and hashes in names: no vowels, so no words
/// (apimachinery, `rand.String` and `rand.SafeEncodeString`).
pub const NAME_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A SplitMix64 generator (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator that repeats itself for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // A multiply-shift: biased by at most bound / 2^64, which no caller can notice.
        u64::try_from((u128::from(self.next_u64()) * u128::from(bound)) >> 64).unwrap_or(0)
    }

    /// A fresh uid.
    pub fn uid(&mut self) -> Uid {
        Uid::from_random((u128::from(self.next_u64()) << 64) | u128::from(self.next_u64()))
    }

    /// A suffix for a generated name, 5 characters long as in Kubernetes.
    pub fn name_suffix(&mut self) -> String {
        (0..5)
            .map(|_| {
                let i = usize::try_from(self.below(NAME_ALPHABET.len() as u64)).unwrap_or(0);
                NAME_ALPHABET[i] as char
            })
            .collect()
    }

    /// A generator of its own for one purpose, so that drawing from one never shifts another.
    pub fn fork(&self, purpose: &str) -> Self {
        let mut seed = self.0;
        for byte in purpose.bytes() {
            seed = (seed ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_numbers_and_bounds_hold() {
        let (mut a, mut b) = (Rng::new(7), Rng::new(7));
        for bound in 1..200 {
            let n = a.below(bound);
            assert_eq!(n, b.below(bound));
            assert!(n < bound);
        }
        assert_ne!(Rng::new(7).fork("x").next_u64(), Rng::new(7).fork("y").next_u64());
        assert_eq!(Rng::new(1).name_suffix().len(), 5);
    }
}
