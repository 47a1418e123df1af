//! What a scalar of YAML is: the core schema of YAML 1.2, and octal numbers as YAML 1.1 wrote them.
//!
//! `yes`, `no`, `on`, `off` are text. `0644` is 420, because that is how Kubernetes' manifests write
//! file modes. `1_000` is text.

/// What a scalar stands for. Text stays where it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar {
    /// `null`, `~` or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number, or a whole one that is too big.
    Float(f64),
    /// Text.
    Str,
}

/// Reads an unquoted scalar.
pub(crate) fn resolve(text: &str) -> Scalar {
    match text.as_bytes().first() {
        None => return Scalar::Null,
        Some(b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F') => {
            return match text {
                "~" | "null" | "Null" | "NULL" => Scalar::Null,
                "true" | "True" | "TRUE" => Scalar::Bool(true),
                "false" | "False" | "FALSE" => Scalar::Bool(false),
                _ => Scalar::Str,
            };
        }
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => {}
        Some(_) => return Scalar::Str,
    }
    number(text).unwrap_or(Scalar::Str)
}

fn number(text: &str) -> Option<Scalar> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let signed = |n: i64| Scalar::Int(if negative { -n } else { n });
    let bytes = digits.as_bytes();
    if let Some(hex) = digits.strip_prefix("0x") {
        return from_digits(hex, 16).map(signed);
    }
    if let Some(octal) = digits.strip_prefix("0o") {
        return from_digits(octal, 8).map(signed);
    }
    if bytes.len() > 1 && bytes[0] == b'0' && bytes.iter().all(|c| (b'0'..=b'7').contains(c)) {
        return from_digits(digits, 8).map(signed);
    }
    if !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit) {
        return Some(text.parse::<i64>().map_or_else(|_| float(text), Scalar::Int));
    }
    match digits {
        ".inf" | ".Inf" | ".INF" => {
            return Some(Scalar::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY }));
        }
        ".nan" | ".NaN" | ".NAN" => return Some(Scalar::Float(f64::NAN)),
        _ => {}
    }
    let numeric = bytes.iter().all(|c| c.is_ascii_digit() || matches!(c, b'.' | b'e' | b'E' | b'+' | b'-'));
    let begins = matches!(bytes.first(), Some(b'0'..=b'9' | b'.')) && bytes.iter().any(u8::is_ascii_digit);
    if !(numeric && begins) {
        return None;
    }
    text.parse().ok().map(whole)
}

/// A number with nothing behind its point is a whole one, as it is in JSON that Go writes: what Kubernetes'
/// clients make of YAML.
fn whole(number: f64) -> Scalar {
    // Beyond, not every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[allow(clippy::cast_possible_truncation)] // whole and small, as just seen
        return Scalar::Int(number as i64);
    }
    Scalar::Float(number)
}

fn from_digits(digits: &str, radix: u32) -> Option<i64> {
    // `from_str_radix` takes a sign, which cannot stand here.
    if digits.starts_with(['+', '-']) { None } else { i64::from_str_radix(digits, radix).ok() }
}

fn float(text: &str) -> Scalar {
    text.parse().map_or(Scalar::Str, Scalar::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_read_by_the_core_schema() {
        for (text, expected) in [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("null", Scalar::Null),
            ("nulL", Scalar::Str),
            ("true", Scalar::Bool(true)),
            ("yes", Scalar::Str),
            ("on", Scalar::Str),
            ("no", Scalar::Str),
            ("8080", Scalar::Int(8080)),
            ("-5", Scalar::Int(-5)),
            ("+5", Scalar::Int(5)),
            ("0644", Scalar::Int(420)),
            ("0o644", Scalar::Int(420)),
            ("0x1F", Scalar::Int(31)),
            ("08", Scalar::Int(8)),
            ("0", Scalar::Int(0)),
            ("1.5", Scalar::Float(1.5)),
            (".5", Scalar::Float(0.5)),
            ("3.0", Scalar::Int(3)),
            ("-2.", Scalar::Int(-2)),
            ("1e3", Scalar::Int(1000)),
            ("1e-3", Scalar::Float(0.001)),
            ("1e17", Scalar::Float(1e17)),
            ("1_000", Scalar::Str),
            ("1.2.3", Scalar::Str),
            ("1Gi", Scalar::Str),
            ("-", Scalar::Str),
            ("+-5", Scalar::Str),
            ("0x-1", Scalar::Str),
            (".", Scalar::Str),
            ("2026-01-01", Scalar::Str),
            ("12:30", Scalar::Str),
            ("-.inf", Scalar::Float(f64::NEG_INFINITY)),
            ("99999999999999999999", Scalar::Float(1e20)),
        ] {
            assert_eq!(resolve(text), expected, "{text}");
        }
    }
}
