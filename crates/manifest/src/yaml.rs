//! A YAML stream to trees, one document after the other.
//!
//! Called by `file`. The parser is saphyr's; what it leaves open (tags, aliases, duplicate keys,
//! depth) is decided in [`Builder`] and here.

use std::borrow::Cow;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::{
    limits::{MAX_DEPTH, MAX_DOCUMENTS},
    tree::{Builder, Flaw, Pos, Tree},
};

/// What reading a stream gives: a document's tree and root with its flaws, or a flaw in the text
/// itself, after which the next document is read.
pub(crate) enum Read<'t, 'a> {
    Document(&'t Tree<'a>, u32, &'t [Flaw]),
    Broken(Flaw),
}

/// Where reading stopped.
enum Stop {
    /// No document can be made of this text, the next one may be well.
    Broken(Flaw),
    /// A bound is passed: nothing more is read.
    Bound(Flaw),
}

impl From<Flaw> for Stop {
    fn from(flaw: Flaw) -> Self {
        Self::Bound(flaw)
    }
}

/// Reads a stream; a flaw that ends the reading is returned.
pub(crate) fn documents<'a>(text: &'a str, each: &mut dyn FnMut(Read<'_, 'a>)) -> Result<(), Flaw> {
    let mut builder = Builder::for_text(text.len());
    let (mut rest, mut skipped, mut count) = (text, 0, 0);
    loop {
        let flaw = match stream(rest, skipped, &mut builder, &mut count, each) {
            Ok(()) => return Ok(()),
            Err(Stop::Bound(flaw)) => return Err(flaw),
            Err(Stop::Broken(flaw)) => flaw,
        };
        let next = next_document(rest, flaw.at.line.saturating_sub(skipped));
        one_more(&mut count, flaw.at)?;
        each(Read::Broken(flaw));
        let Some((offset, lines)) = next else { return Ok(()) };
        rest = rest.get(offset..).unwrap_or_default();
        skipped = skipped.saturating_add(lines);
        builder.clear();
    }
}

/// The first document that begins at or after a line: its offset, and the lines before it. Text of
/// a scalar is indented, so a line that begins with `---` always begins a document.
fn next_document(text: &str, line: u32) -> Option<(usize, u32)> {
    let mut offset = 0;
    for (before, content) in (0_u32..).zip(text.split_inclusive('\n')) {
        // The first line began the broken one.
        let begins = content.strip_prefix("---").is_some_and(|r| r.is_empty() || r.starts_with(char::is_whitespace));
        if begins && before > 0 && before.saturating_add(1) >= line {
            return Some((offset, before));
        }
        offset += content.len();
    }
    None
}

fn one_more(count: &mut usize, at: Pos) -> Result<(), Flaw> {
    *count += 1;
    if *count > MAX_DOCUMENTS {
        return Err(Flaw { at, message: format!("the file has more than {MAX_DOCUMENTS} documents") });
    }
    Ok(())
}

/// Reads the documents of a text that begins after `skipped` lines of its file.
fn stream<'a>(
    text: &'a str,
    skipped: u32,
    builder: &mut Builder<'a>,
    count: &mut usize,
    each: &mut dyn FnMut(Read<'_, 'a>),
) -> Result<(), Stop> {
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| {
            let (line, column) = (number(e.marker().line()), number(e.marker().col()) + 1);
            let message = explain(text, line, e.info());
            Stop::Broken(Flaw { at: Pos { line: line.saturating_add(skipped), column, width: 1 }, message })
        })?;
        let mut at = place(&span);
        at.line = at.line.saturating_add(skipped);
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let plain = is_plain(style, tag.as_deref(), at, builder);
                builder.scalar(value, plain, anchor, at)?;
            }
            Event::SequenceStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "seq", at, builder);
                builder.open(false, anchor, at)?;
            }
            Event::MappingStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "map", at, builder);
                builder.open(true, anchor, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close()?,
            Event::Alias(anchor) => builder.alias(anchor, at)?,
            Event::DocumentStart(_) => builder.clear(),
            Event::DocumentEnd => {
                one_more(count, at)?;
                if let Some(root) = builder.root() {
                    each(Read::Document(builder.tree(), root, builder.flaws()));
                }
                builder.clear();
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
        }
    }
    Ok(())
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn place(span: &Span) -> Pos {
    let (start, end) = (&span.start, &span.end);
    let width = if end.line() == start.line() { end.col().saturating_sub(start.col()) } else { 1 };
    Pos { line: number(start.line()), column: number(start.col()) + 1, width: number(width).max(1) }
}

/// Whether a scalar is read by the core schema: it has no quotes, and no tag that says text.
fn is_plain(style: ScalarStyle, tag: Option<&Tag>, at: Pos, builder: &mut Builder<'_>) -> bool {
    let plain = style == ScalarStyle::Plain;
    let Some(tag) = tag else { return plain };
    match (tag.is_yaml_core_schema(), tag.suffix.as_str()) {
        (true, "str" | "binary") => false,
        (true, "int" | "float" | "bool" | "null") => true,
        (false, "") if tag.handle == "!" => false,
        _ => {
            builder.flaw(at, unknown_tag(tag));
            plain
        }
    }
}

fn collection_tag(tag: Option<&Tag>, expected: &str, at: Pos, builder: &mut Builder<'_>) {
    if let Some(tag) = tag.filter(|t| !(t.is_yaml_core_schema() && t.suffix == expected)) {
        builder.flaw(at, unknown_tag(tag));
    }
}

fn unknown_tag(tag: &Tag) -> String {
    format!("the tag `{tag}` is not supported")
}

/// The parser's message, with a hint where the cause is a common one.
fn explain(text: &str, line: u32, info: &str) -> String {
    let line = text.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default();
    if line.contains("{{") {
        return "this looks like a template, which is not YAML: render it and put the result into the source".into();
    }
    let indent: Cow<'_, str> = line.chars().take_while(|c| c.is_whitespace()).collect();
    if indent.contains('\t') || info.contains("tab") {
        return "a tab stands where YAML wants blanks for indentation".into();
    }
    if info.contains("recursion limit") {
        return format!("nesting deeper than {MAX_DEPTH} levels");
    }
    format!("not valid YAML: {info}")
}
