//! Kubernetes' quantities: `250m`, `1.5Gi`, `2e3`.
//!
//! Only their numeric meaning; the text a user wrote is kept as it is where it is stored.

use alloc::string::String;
use core::{fmt, str::FromStr};

use thiserror::Error;

/// Text that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a quantity (a number with an optional suffix such as m, k, M, G, Ki, Mi, Gi)")]
pub struct QuantityError(pub String);

/// A quantity in billionths of its unit (`n`), the finest step Kubernetes has; finer input is
/// rounded up, as there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantity(pub i128);

const NANO: i128 = 1_000_000_000;

impl Quantity {
    /// Whole units, rounded up: bytes of memory, pieces.
    pub fn units(self) -> i64 {
        clamp(div_up(self.0, NANO))
    }

    /// Thousandths, rounded up: millicores of cpu.
    pub fn milli(self) -> i64 {
        clamp(div_up(self.0, NANO / 1000))
    }

    /// As Kubernetes writes it: the largest suffix that leaves a whole number, of bytes a binary one where
    /// that can be.
    pub fn canonical(self, bytes: bool) -> String {
        const BINARY: [(u32, &str); 6] = [(60, "Ei"), (50, "Pi"), (40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")];
        const DECIMAL: [(i128, &str); 10] = [
            (NANO * NANO * NANO, "E"),
            (NANO * NANO * 1_000_000, "P"),
            (NANO * NANO * 1000, "T"),
            (NANO * NANO, "G"),
            (NANO * 1_000_000, "M"),
            (NANO * 1000, "k"),
            (NANO, ""),
            (NANO / 1000, "m"),
            (NANO / 1_000_000, "u"),
            (1, "n"),
        ];
        if self.0 == 0 {
            return "0".into();
        }
        let binary = BINARY.iter().map(|(bits, suffix)| (NANO << bits, *suffix)).filter(|_| bytes);
        let mut steps = binary.chain(DECIMAL);
        let found = steps.find(|(step, _)| self.0 % step == 0);
        found.map_or_else(String::new, |(step, suffix)| alloc::format!("{}{suffix}", self.0 / step))
    }

    /// From whole units.
    pub fn from_units(units: i64) -> Self {
        Self(i128::from(units) * NANO)
    }

    /// From thousandths.
    pub fn from_milli(milli: i64) -> Self {
        Self(i128::from(milli) * (NANO / 1000))
    }
}

fn clamp(n: i128) -> i64 {
    i64::try_from(n).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX })
}

fn div_up(n: i128, d: i128) -> i128 {
    n.div_euclid(d) + i128::from(n.rem_euclid(d) != 0)
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text).ok_or_else(|| QuantityError(text.into()))
    }
}

fn parse(text: &str) -> Option<Quantity> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 30 || fraction.len() > 30 {
        return None;
    }
    // number = digits / 10^fraction; value = number * multiplier, both as exact ratios.
    let digits: i128 = if whole.is_empty() && fraction.is_empty() { 0 } else { parse_digits(whole, fraction)? };
    let (mul, div) = multiplier(suffix)?;
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let value = match digits.checked_mul(NANO).and_then(|n| n.checked_mul(mul)) {
        Some(n) => div_up(n, scale.checked_mul(div)?),
        // Too big for exact arithmetic: drop precision first. Kubernetes caps such values as well.
        None => div_up(digits, scale)
            .checked_mul(NANO)
            .and_then(|n| n.checked_mul(mul))
            .map_or(i128::MAX, |n| div_up(n, div)),
    };
    Some(Quantity(if negative { -value } else { value }))
}

fn parse_digits(whole: &str, fraction: &str) -> Option<i128> {
    let mut n = 0_i128;
    for c in whole.bytes().chain(fraction.bytes()) {
        n = n.checked_mul(10)?.checked_add(i128::from(c - b'0'))?;
    }
    Some(n)
}

fn multiplier(suffix: &str) -> Option<(i128, i128)> {
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, NANO),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (NANO, 1),
        "T" => (1000 * NANO, 1),
        "P" => (1_000_000 * NANO, 1),
        "E" => (NANO * NANO, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    })
}

/// The shortest decimal form: `250m`, `2`, `1500u`.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (step, suffix) in [(NANO, ""), (NANO / 1000, "m"), (1000, "u")] {
            if self.0 % step == 0 {
                return write!(f, "{}{suffix}", self.0 / step);
            }
        }
        write!(f, "{}n", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn quantities_as_kubernetes_reads_them() {
        for (text, milli) in [
            ("1", 1000),
            ("250m", 250),
            ("0.25", 250),
            (".5", 500),
            ("1.", 1000),
            ("1k", 1_000_000),
            ("1Ki", 1_024_000),
            ("1.5Ki", 1_536_000),
            ("2e3", 2_000_000),
            ("1E3", 1_000_000),
            ("1E", i64::MAX),
            ("100u", 1),
            ("-1", -1000),
            ("0", 0),
        ] {
            assert_eq!(text.parse::<Quantity>().unwrap().milli(), milli, "{text}");
        }
        for text in ["", "m", "1.2.3", "1 Gi", "1gi", "abc", "1e", "--1", "."] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
        assert_eq!("250m".parse::<Quantity>().unwrap().to_string(), "250m");
        for (text, bytes, canonical) in [
            ("0", true, "0"),
            ("1024Mi", true, "1Gi"),
            ("1.5Gi", true, "1536Mi"),
            ("100M", true, "100M"),
            ("512", true, "512"),
            ("2000", false, "2k"),
            ("2048", false, "2048"),
            ("1500m", false, "1500m"),
            ("2000m", false, "2"),
        ] {
            assert_eq!(text.parse::<Quantity>().unwrap().canonical(bytes), canonical, "{text}");
        }
        assert_eq!("1Gi".parse::<Quantity>().unwrap().units(), 1 << 30);
    }
}
