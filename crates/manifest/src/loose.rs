//! Blanks that YAML 1.2 wants and Kubernetes' own reader does not.
//!
//! Inside of quotes, `[]` and `{}` the blanks a line begins with mean nothing, yet YAML 1.2 wants at least as
//! many as the block around has. Many published manifests have none there, as a closing `]` below its key. The
//! parser says where one stands; [`Loose`] puts blanks before it, and `yaml` reads the document again. The same
//! goes for a tab between a key and its value. Nothing else is changed, and no other rule is loosened: text is
//! only touched where the parser says what it is inside of.

use std::collections::BTreeMap;

use crate::{limits::MAX_DEPTH, tree::Pos};

/// What the parser wants blanks before, in the text as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stray {
    /// A line of the quoted text that begins there (line and column from 1).
    Quoted(u32, u32),
    /// Something inside of `[]` or `{}` on this line.
    Flow(u32),
    /// A value behind a colon and tabs (line and column from 1).
    Tabbed(u32, u32),
}

impl Stray {
    /// From the parser's message and its place.
    pub(crate) fn of(info: &str, at: Pos) -> Option<Self> {
        match info {
            "invalid indentation in quoted scalar" => Some(Self::Quoted(at.line, at.column)),
            "':' must be followed by a valid YAML whitespace" => Some(Self::Tabbed(at.line, at.column)),
            // In a block, a line that is less indented ends it; only inside of brackets it is an error.
            "invalid indentation" | "invalid indentation in flow construct" => Some(Self::Flow(at.line)),
            _ => None,
        }
    }

    /// The same in a text that begins after some of the lines.
    pub(crate) fn after(self, lines: u32) -> Self {
        match self {
            Self::Quoted(line, column) => Self::Quoted(line.saturating_sub(lines), column),
            Self::Flow(line) => Self::Flow(line.saturating_sub(lines)),
            Self::Tabbed(line, column) => Self::Tabbed(line.saturating_sub(lines), column),
        }
    }
}

/// A document's text with blanks put before some of its lines.
#[derive(Debug)]
pub(crate) struct Loose {
    lines: Vec<String>,
    /// Blanks before lines, from 1.
    added: BTreeMap<u32, u32>,
    text: String,
}

impl Loose {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            lines: text.split_inclusive('\n').map(str::to_owned).collect(),
            added: BTreeMap::new(),
            text: String::new(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Puts blanks where they are wanted; whether anything was left to do.
    pub(crate) fn mend(&mut self, what: Stray) -> bool {
        let done = match what {
            Stray::Quoted(line, column) => self.quoted(line, column),
            Stray::Flow(line) => self.pad(line, self.deepest(line)),
            Stray::Tabbed(line, column) => self.tabs(line, column),
        };
        self.text = self.lines.concat();
        done
    }

    /// A place in the text as it is written.
    pub(crate) fn place(added: &BTreeMap<u32, u32>, at: Pos) -> Pos {
        let blanks = added.get(&at.line).copied().unwrap_or(0);
        Pos { column: at.column.saturating_sub(blanks).max(1), ..at }
    }

    pub(crate) fn added(&self) -> &BTreeMap<u32, u32> {
        &self.added
    }

    /// Puts blanks before a line, once.
    fn pad(&mut self, number: u32, blanks: u32) -> bool {
        let Some(line) = self.lines.get_mut((number as usize).wrapping_sub(1)) else { return false };
        if blanks == 0 || line.trim().is_empty() || self.added.contains_key(&number) {
            return false;
        }
        line.insert_str(0, &" ".repeat(blanks as usize));
        self.added.insert(number, blanks);
        true
    }

    /// Makes blanks of the tabs before a column.
    fn tabs(&mut self, number: u32, column: u32) -> bool {
        let Some(line) = self.lines.get_mut((number as usize).wrapping_sub(1)) else { return false };
        let Some((at, _)) = line.char_indices().nth(column.saturating_sub(1) as usize) else { return false };
        let (before, after) = line.split_at(at);
        let key = before.trim_end_matches('\t');
        let tabs = before.len() - key.len();
        *line = format!("{key}{}{after}", " ".repeat(tabs));
        tabs > 0
    }

    /// More than any block above a line is indented by. The blocks of one line (`- - a:`) begin behind dashes
    /// and blanks alone.
    fn deepest(&self, number: u32) -> u32 {
        let above = self.lines.iter().take(number as usize);
        let deepest = above.map(|line| line.chars().take_while(|c| matches!(c, ' ' | '-' | '?' | ':')).count()).max();
        // Of blocks of one level each, this many are read at all.
        let bound = MAX_DEPTH.saturating_mul(16);
        u32::try_from(deepest.unwrap_or(0)).unwrap_or(bound).min(bound).saturating_add(1)
    }

    /// The lines of a quoted text after its first, up to its closing quote.
    fn quoted(&mut self, line: u32, column: u32) -> bool {
        let blanks = column.saturating_sub(self.added.get(&line).copied().unwrap_or(0));
        let mut done = false;
        let mut within = Within::Nothing;
        let mut number = line;
        while let Some(text) = self.lines.get((number as usize).wrapping_sub(1)) {
            let from = if number == line { column.saturating_sub(1) as usize } else { 0 };
            let inside = within != Within::Nothing;
            within = text.chars().skip(from).fold(within, Within::next);
            if inside {
                done |= self.pad(number, blanks);
            }
            if within == Within::Closed {
                break;
            }
            number += 1;
        }
        done
    }
}

/// Where in a quoted text a character stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    /// In quotes; after a backslash, or a single quote that may be the first of two.
    Quotes {
        single: bool,
        after: bool,
    },
    Closed,
}

impl Within {
    fn next(self, c: char) -> Self {
        match self {
            Self::Nothing => Self::Quotes { single: c == '\'', after: false },
            Self::Quotes { single: true, after: true } if c != '\'' => Self::Closed,
            Self::Quotes { single: false, after: false } if c == '"' => Self::Closed,
            Self::Quotes { single, after } => {
                Self::Quotes { single, after: !after && c == if single { '\'' } else { '\\' } }
            }
            Self::Closed => Self::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_lines_are_indented_up_to_the_closing_quote() {
        let mut loose = Loose::new("a:\n  b: 'it''s\nlong\n\nand'\n  c: d\n");
        assert!(loose.mend(Stray::Quoted(2, 6)));
        assert_eq!(loose.text(), "a:\n  b: 'it''s\n      long\n\n      and'\n  c: d\n");
        assert!(!loose.mend(Stray::Quoted(2, 6)), "once");
        let at = Pos { line: 3, column: 9, width: 1 };
        assert_eq!(Loose::place(loose.added(), at), Pos { column: 3, ..at });
        let mut loose = Loose::new("b: \"x \\\" y\nz\"\nc: d\n");
        assert!(loose.mend(Stray::Quoted(1, 4)));
        assert_eq!(loose.text(), "b: \"x \\\" y\n    z\"\nc: d\n");
    }

    #[test]
    fn lines_in_brackets_are_indented_beyond_every_block_above_and_tabs_are_blanks() {
        let mut loose = Loose::new("- - a: [\n1\n]\n");
        assert!(loose.mend(Stray::Flow(2)));
        assert_eq!(loose.text(), "- - a: [\n     1\n]\n");
        assert!(!loose.mend(Stray::Flow(9)));
        let mut loose = Loose::new("a:\t\tb\tc\n");
        assert!(loose.mend(Stray::Tabbed(1, 5)));
        assert_eq!(loose.text(), "a:  b\tc\n");
        assert!(!loose.mend(Stray::Tabbed(1, 5)));
    }
}
