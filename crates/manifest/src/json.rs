//! JSON text to a tree with places.
//!
//! JSON is nearly YAML; this reader is for what differs: escapes in pairs, tabs, and very long
//! lines without cost. Called by `file` for text that begins with a brace or bracket; where it does
//! not understand the text, YAML's flow style gets its turn.

use std::borrow::Cow;

use crate::tree::{Builder, Flaw, Pos, Tree};

/// Reads one JSON value that fills the text. `Ok(false)`: the text is no JSON; nothing was given to
/// `each`.
pub(crate) fn document<'a>(text: &'a str, each: &mut dyn FnMut(&Tree<'a>, u32, &[Flaw])) -> Result<bool, Flaw> {
    let mut reader = Reader { text, at: 0, line: 1, column: 1, counted: 0, builder: Builder::for_text(text.len()) };
    match reader.run() {
        Ok(()) => {}
        Err(Stop::NotJson) => return Ok(false),
        Err(Stop::Flaw(flaw)) => return Err(flaw),
    }
    if let Some(root) = reader.builder.root() {
        each(reader.builder.tree(), root, reader.builder.flaws());
    }
    Ok(true)
}

/// Why the reading ended.
enum Stop {
    NotJson,
    Flaw(Flaw),
}

impl From<Flaw> for Stop {
    fn from(flaw: Flaw) -> Self {
        Stop::Flaw(flaw)
    }
}

struct Reader<'a> {
    text: &'a str,
    /// Byte offset.
    at: usize,
    line: u32,
    /// The column, from 1, of the byte `counted`, which lies in this line before `at`.
    column: usize,
    counted: usize,
    builder: Builder<'a>,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Value,
    /// A value or the end of an empty list.
    FirstItem,
    /// A key or the end of an empty mapping.
    FirstKey,
    Key,
    /// A comma or the end of what is open.
    More,
}

impl Reader<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        // True for a mapping.
        let mut open: Vec<bool> = Vec::new();
        let mut expect = Expect::Value;
        loop {
            self.blanks();
            if expect == Expect::More && open.is_empty() {
                return if self.peek().is_none() { Ok(()) } else { Err(Stop::NotJson) };
            }
            let Some(byte) = self.peek() else { return Err(Stop::NotJson) };
            expect = match (expect, byte) {
                (Expect::More, b',') => {
                    self.at += 1;
                    if open.last() == Some(&true) { Expect::Key } else { Expect::Value }
                }
                (Expect::More | Expect::FirstKey, b'}') if open.last() == Some(&true) => self.end(&mut open)?,
                (Expect::More | Expect::FirstItem, b']') if open.last() == Some(&false) => self.end(&mut open)?,
                (Expect::FirstKey | Expect::Key, b'"') => {
                    self.string()?;
                    self.blanks();
                    if self.peek() != Some(b':') {
                        return Err(Stop::NotJson);
                    }
                    self.at += 1;
                    Expect::Value
                }
                (Expect::Value | Expect::FirstItem, b'{' | b'[') => {
                    let map = byte == b'{';
                    let place = self.place(1);
                    self.builder.open(map, 0, place)?;
                    open.push(map);
                    self.at += 1;
                    if map { Expect::FirstKey } else { Expect::FirstItem }
                }
                (Expect::Value | Expect::FirstItem, b'"') => {
                    self.string()?;
                    Expect::More
                }
                (Expect::Value | Expect::FirstItem, _) => {
                    self.word()?;
                    Expect::More
                }
                _ => return Err(Stop::NotJson),
            };
        }
    }

    fn end(&mut self, open: &mut Vec<bool>) -> Result<Expect, Stop> {
        self.builder.close()?;
        open.pop();
        self.at += 1;
        Ok(Expect::More)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\r' | b'\n')) = self.peek() {
            self.at += 1;
            if byte == b'\n' {
                self.line += 1;
                (self.column, self.counted) = (1, self.at);
            }
        }
    }

    fn place(&mut self, width: usize) -> Pos {
        // From the last place on: a whole file may stand in one line.
        self.column += self.text[self.counted..self.at].chars().count();
        self.counted = self.at;
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Pos { line: self.line, column: small(self.column), width: small(width) }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<(), Stop> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).unwrap_or(rest.len());
        let word = &rest[..end];
        if !(matches!(word, "true" | "false" | "null") || serde_json::from_str::<serde_json::Number>(word).is_ok()) {
            return Err(Stop::NotJson);
        }
        let place = self.place(end);
        self.builder.scalar(Cow::Borrowed(word), true, 0, place)?;
        self.at += end;
        Ok(())
    }

    /// A string; its raw text where it has no escapes.
    fn string(&mut self) -> Result<(), Stop> {
        let rest = &self.text[self.at + 1..];
        let mut escaped = false;
        let mut bytes = rest.bytes().enumerate();
        let end = loop {
            match bytes.next().ok_or(Stop::NotJson)? {
                (i, b'"') => break i,
                (_, b'\\') => {
                    escaped = true;
                    bytes.next();
                }
                (_, 0..0x20) => return Err(Stop::NotJson),
                _ => {}
            }
        };
        let raw = &self.text[self.at..self.at + end + 2];
        let text = if escaped {
            Cow::Owned(serde_json::from_str::<String>(raw).map_err(|_| Stop::NotJson)?)
        } else {
            Cow::Borrowed(&rest[..end])
        };
        let place = self.place(raw.chars().count());
        self.builder.scalar(text, false, 0, place)?;
        self.at += end + 2;
        Ok(())
    }
}
