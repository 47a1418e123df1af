//! What verbs print: lines, tables, colour on a terminal, objects as JSON and YAML.

use std::io::{BufWriter, IsTerminal, Stdout, Write};

use anyhow::Result;
use serde_json::Value;

/// Columns of a table are this far apart, as kubectl's.
const GAP: usize = 3;

/// Standard output. A closed pipe is an error that ends the verb in silence.
pub(crate) struct Out {
    to: BufWriter<Stdout>,
    colour: bool,
}

/// A colour with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// Under way, or worth a look.
    Warn,
    /// Not as it should be.
    Bad,
    /// Less important.
    Faint,
    /// A heading.
    Bold,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns.
    #[default]
    Table,
    /// More columns.
    Wide,
    /// The Kubernetes objects.
    Json,
    /// The Kubernetes objects.
    Yaml,
    /// KIND/NAME.
    Name,
}

impl Out {
    /// Of this process.
    pub(crate) fn new() -> Self {
        let stdout = std::io::stdout();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let colour = stdout.is_terminal() && !plain;
        Self { to: BufWriter::new(stdout), colour }
    }

    /// One line.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> Result<()> {
        Ok(writeln!(self.to, "{}", text.as_ref())?)
    }

    /// Text as it is.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.to.write_all(bytes)?)
    }

    /// Makes what was printed visible.
    pub(crate) fn flush(&mut self) -> Result<()> {
        Ok(self.to.flush()?)
    }

    /// Text in a colour, on a terminal.
    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Bold => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A mark before a line of `status`.
    pub(crate) fn mark(&self, tone: Tone) -> String {
        let sign = match tone {
            Tone::Good => "ok",
            Tone::Warn => "..",
            Tone::Bad => "!!",
            Tone::Faint | Tone::Bold => "--",
        };
        self.paint(tone, sign)
    }

    /// Rows under a header, aligned.
    pub(crate) fn table(&mut self, header: &[String], rows: &[Vec<String>]) -> Result<()> {
        let mut all: Vec<&[String]> = vec![header];
        all.extend(rows.iter().map(Vec::as_slice));
        for line in align(&all) {
            self.line(line)?;
        }
        Ok(())
    }

    /// An object or list.
    pub(crate) fn object(&mut self, value: &Value, format: Format) -> Result<()> {
        if format == Format::Json {
            serde_json::to_writer_pretty(&mut self.to, value)?;
            return self.line("");
        }
        let text = yaml(value)?;
        self.raw(text.as_bytes())
    }
}

/// YAML of a tree, for readers of YAML 1.1 as well: kubectl takes a bare `yes` for a boolean.
pub(crate) fn yaml(value: &Value) -> Result<String> {
    let mut value = value.clone();
    mark_words(&mut value);
    let text = serde_yaml::to_string(&value)?;
    let mut parts = text.split(MARK);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(part.len());
        let (word, rest) = part.split_at(end);
        out.extend(["'", word, "'", rest]);
    }
    Ok(out)
}

/// Stands before a word that is to be quoted; a character of nobody's.
const MARK: char = '\u{f8fd}';

/// Marks the strings that are booleans in YAML 1.1 alone. Keys are left as they are: no field and no
/// valid name of a label is one of them.
fn mark_words(value: &mut Value) {
    match value {
        Value::String(text) => {
            if ["y", "n", "yes", "no", "on", "off"].iter().any(|w| text.eq_ignore_ascii_case(w)) {
                text.insert(0, MARK);
            } else if text.contains(MARK) {
                *text = text.replace(MARK, "\u{fffd}");
            }
        }
        Value::Array(list) => list.iter_mut().for_each(mark_words),
        Value::Object(map) => map.values_mut().for_each(mark_words),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Rows padded to columns; the last column is not padded.
pub(crate) fn align(rows: &[&[String]]) -> Vec<String> {
    let columns = rows.iter().map(|r| r.len()).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (i, cell) in row.iter().enumerate() {
                line.push_str(cell);
                if i + 1 < row.len() {
                    let missing = widths.get(i).unwrap_or(&0).saturating_sub(cell.chars().count());
                    line.extend(std::iter::repeat_n(' ', missing + GAP));
                }
            }
            line.truncate(line.trim_end().len());
            line
        })
        .collect()
}

/// One line of text, for a cell.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_older_readers_take_for_booleans_are_quoted() {
        let text = yaml(&serde_json::json!({"a": "yes", "b": ["Off", "often", "no\n"], "c": "true"})).unwrap();
        assert_eq!(text, "a: 'yes'\nb:\n- 'Off'\n- often\n- |\n  no\nc: 'true'\n");
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: &[&str]| cells.iter().map(ToString::to_string).collect::<Vec<_>>();
        let rows = [row(&["NAME", "READY"]), row(&["a-long-name", "1/1"]), row(&["é", ""])];
        let rows: Vec<&[String]> = rows.iter().map(Vec::as_slice).collect();
        assert_eq!(align(&rows), ["NAME          READY", "a-long-name   1/1", "é"]);
    }
}
