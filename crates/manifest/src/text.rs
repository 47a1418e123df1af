//! A file's bytes as text, and its lines for excerpts.
//!
//! Called by `file` first and wherever a complaint is made.

use std::cell::OnceCell;

use crate::{
    limits::{MAX_EXCERPT, MAX_FILE_BYTES},
    tree::{Flaw, Pos},
};

/// The text of a file: UTF-8 without a byte order mark and without NUL.
pub(crate) fn check(bytes: &[u8]) -> Result<&str, Flaw> {
    if bytes.len() > MAX_FILE_BYTES {
        let (size, limit) = (bytes.len() >> 20, MAX_FILE_BYTES >> 20);
        let message = format!("the file has {size} MiB; a manifest may have {limit} MiB: split it");
        return Err(Flaw { at: Pos::default(), message });
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Flaw { at: Pos::default(), message: "the file is in UTF-16: save it as UTF-8".into() });
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let at = e.valid_up_to();
        let message = format!("byte 0x{:02x} is not UTF-8: save the file as UTF-8", bytes[at]);
        Flaw { at: place_of(&bytes[..at]), message }
    })?;
    if let Some(at) = text.find('\0') {
        return Err(Flaw { at: place_of(&bytes[..at]), message: "the file holds a NUL byte".into() });
    }
    Ok(text)
}

/// The place right after some bytes of valid text.
fn place_of(before: &[u8]) -> Pos {
    let text = std::str::from_utf8(before).unwrap_or_default();
    let line = text.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Pos { line: small(line), column: small(column), width: 1 }
}

/// A text's lines, found when first asked for.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: OnceCell<Vec<usize>>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, starts: OnceCell::new() }
    }

    /// A line by its number, from 1, without its end.
    fn line(&self, number: u32) -> &'a str {
        let starts = self
            .starts
            .get_or_init(|| std::iter::once(0).chain(self.text.match_indices('\n').map(|(i, _)| i + 1)).collect());
        let Some(index) = (number as usize).checked_sub(1) else { return "" };
        let Some(start) = starts.get(index) else { return "" };
        let end = starts.get(index + 1).map_or(self.text.len(), |next| next - 1);
        self.text[*start..end].trim_end_matches('\r')
    }

    /// The line of a place for a complaint: cut, without control characters. With `hide`, only what
    /// stands before its first colon: a key. Empty where the place lies beyond what is shown.
    pub(crate) fn excerpt(&self, at: Pos, hide: bool) -> String {
        if at.column as usize > MAX_EXCERPT {
            return String::new();
        }
        let line = self.line(at.line);
        let (shown, cut) = match line.find(':') {
            _ if !hide => (line, false),
            Some(colon) => (&line[..=colon], colon + 1 < line.trim_end().len()),
            None => ("", !line.trim().is_empty()),
        };
        let mut out: String = shown.chars().take(MAX_EXCERPT).map(|c| if c.is_control() { ' ' } else { c }).collect();
        if cut {
            out.push_str(" …");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_none_is_refused_at_its_place() {
        assert_eq!(check("\u{feff}a: b".as_bytes()).unwrap(), "a: b");
        let flaw = check(b"a: b\nc: \xe9t\xe9\n").unwrap_err();
        assert_eq!((flaw.at.line, flaw.at.column), (2, 4));
        assert!(flaw.message.contains("0xe9"), "{}", flaw.message);
        let flaw = check(b"a: b\nc: \0").unwrap_err();
        assert_eq!((flaw.at.line, flaw.at.column), (2, 4));
        assert!(check(&vec![b'a'; MAX_FILE_BYTES + 1]).unwrap_err().message.contains("32 MiB"));
        assert!(check(b"\xff\xfea\0").unwrap_err().message.contains("UTF-16"));
    }

    #[test]
    fn excerpts_hide_what_they_must() {
        let lines = Lines::new("a: b\r\n  password: hunter2\n  hunter2\n\tx\n");
        let at = |line| Pos { line, column: 1, width: 1 };
        assert_eq!(lines.excerpt(at(1), false), "a: b");
        assert_eq!(lines.excerpt(at(2), true), "  password: …");
        assert_eq!(lines.excerpt(at(3), true), " …");
        assert_eq!(lines.excerpt(at(4), false), " x");
        assert_eq!(lines.excerpt(at(9), false), "");
    }
}
