//! Regular expressions as Kubernetes reads them, which is as Go does (RE2).
//!
//! The crate's own syntax differs in small things that published definitions are full of: in Go a `[` inside
//! of a class and a `{` that repeats nothing are text, `\<` is `<`, and `\d`, `\s` and `\w` are ASCII. A
//! pattern is written over before it is built; what both read alike stays as it is.

use alloc::string::{String, ToString};
use core::fmt::Write as _;

use regex::{Regex, RegexBuilder};

/// Builds a pattern; why it is none.
pub(crate) fn build(pattern: &str, most_bytes: usize) -> Result<Regex, String> {
    RegexBuilder::new(&translated(pattern)).size_limit(most_bytes).build().map_err(|e| {
        let why = e.to_string();
        why.lines().last().unwrap_or_default().trim_start_matches("error: ").into()
    })
}

fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\\' => escape(after, false, &mut out),
            '[' => class(after, &mut out),
            '{' if !repeats(after) => {
                out.push_str("\\{");
                after
            }
            _ => {
                out.push(c);
                after
            }
        };
    }
    out
}

/// Whether what follows a `{` makes it a repetition: `3}`, `3,}`, `3,5}`.
fn repeats(after: &str) -> bool {
    let Some((inside, _)) = after.split_once('}') else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    !least.is_empty() && least.bytes().chain(most.bytes()).all(|b| b.is_ascii_digit())
}

/// What stands after a backslash; gives what follows it.
fn escape<'p>(rest: &'p str, in_class: bool, out: &mut String) -> &'p str {
    let Some(c) = rest.chars().next() else {
        out.push('\\');
        return rest;
    };
    let after = &rest[c.len_utf8()..];
    let ascii = match c {
        'd' => "0-9",
        's' => "\\t\\n\\f\\r ",
        'w' => "0-9A-Za-z_",
        'D' => "^0-9",
        'S' => "^\\t\\n\\f\\r ",
        'W' => "^0-9A-Za-z_",
        _ => "",
    };
    match c {
        _ if !ascii.is_empty() => {
            out.push('[');
            out.push_str(ascii);
            out.push(']');
        }
        'b' if !in_class => out.push_str("(?-u:\\b)"),
        'Q' if !in_class => {
            let (text, after) = after.split_once("\\E").unwrap_or((after, ""));
            out.push_str(&regex::escape(text));
            return after;
        }
        // A code point or a property in braces.
        'x' | 'p' | 'P' if after.starts_with('{') => {
            let end = after.find('}').map_or(after.len(), |at| at + 1);
            out.push('\\');
            out.push(c);
            out.push_str(&after[..end]);
            return &after[end..];
        }
        c if c.is_ascii_punctuation() => {
            // Writing into text cannot fail.
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        c => {
            out.push('\\');
            out.push(c);
        }
    }
    after
}

/// A class, after its `[`; gives what follows its `]`.
fn class<'p>(mut rest: &'p str, out: &mut String) -> &'p str {
    out.push('[');
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    let mut first = true;
    // After `\w` and the like a dash is text.
    let mut after_set = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let set = matches!(c, '\\') && after.starts_with(['d', 's', 'w', 'D', 'S', 'W', 'p', 'P']);
        rest = match c {
            ']' if !first => {
                out.push(']');
                return after;
            }
            '[' if after.starts_with(':') => match after.split_once(":]") {
                Some((name, after)) => {
                    out.push('[');
                    out.push_str(name);
                    out.push_str(":]");
                    after
                }
                None => literal(c, after, out),
            },
            '\\' => escape(after, true, out),
            '-' if after_set => literal(c, after, out),
            '[' | ']' | '&' | '~' => literal(c, after, out),
            // Two dashes take away in the crate's syntax; in Go a range begins or ends with one.
            '-' if first && after.starts_with('-') => literal(c, after, out),
            '-' if let Some(after) = after.strip_prefix('-') => {
                out.push('-');
                literal(c, after, out)
            }
            _ => {
                out.push(c);
                after
            }
        };
        (first, after_set) = (false, set);
    }
    rest
}

fn literal<'p>(c: char, after: &'p str, out: &mut String) -> &'p str {
    out.push('\\');
    out.push(c);
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        for (pattern, good, bad) in [
            (r"^[^()<>@,;:\\\x22\/[\]?={} \t\x7f]+$", "name", "a[b"),
            (r"^[[a]$", "[", "b"),
            (r"^{[a-z]+}$", "{abc}", "abc"),
            (r"^a{2}$", "aa", "a{2}"),
            (r"^a{,2}$", "a{,2}", "aa"),
            (r"^\<a\>$", "<a>", "a"),
            (r"^\d+$", "12", "\u{662}"),
            (r"^[\w-.]+$", "a-b.c", "a b"),
            (r"^[\w.-]+$", "a-b.c", "a b"),
            (r"^[[:alpha:]_]+$", "a_b", "1"),
            (r"^[]a]+$", "]a", "b"),
            (r"^[^]a]+$", "b", "]"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^[+--]+$", "+,-", "a"),
            (r"^[--9]+$", "-.5", "a"),
            (r"^\Qa.b\E$", "a.b", "axb"),
            (r"^\S+$", "a", " "),
            (r"^[^\s]+$", "a", "\t"),
            (r"\bb\b", "a b", "ab"),
            (r"^[\-\_\/]+$", "-_/", "a"),
            (r"^(?i)ABC$", "abc", "abd"),
            (r"^\p{L}+$", "\u{e4}", "1"),
            (r"^[\p{L}-]+\x{41}$", "\u{e4}-A", "1A"),
        ] {
            let built = build(pattern, 1 << 20).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            assert!(built.is_match(good), "{pattern} {good}");
            assert!(!built.is_match(bad), "{pattern} {bad}");
        }
        for bad in ["(", "[a", r"(?=a)", r"\1", "a\\"] {
            assert!(build(bad, 1 << 20).is_err(), "{bad}");
        }
    }
}
