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

/// Reads a stream. `each` gets every document's tree and root, or its flaws; a flaw that ends the
/// reading is returned.
pub(crate) fn documents<'a>(text: &'a str, each: &mut dyn FnMut(&Tree<'a>, u32, &[Flaw])) -> Result<(), Flaw> {
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::for_text(text.len());
    let mut count = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|e| {
            let (line, column) = (number(e.marker().line()), number(e.marker().col()) + 1);
            let at = Pos { line, column, width: 1 };
            Flaw { at, message: explain(text, at, e.info()) }
        })?;
        let at = place(&span);
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let plain = is_plain(style, tag.as_deref(), at, &mut builder);
                builder.scalar(value, plain, anchor, at)?;
            }
            Event::SequenceStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "seq", at, &mut builder);
                builder.open(false, anchor, at)?;
            }
            Event::MappingStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "map", at, &mut builder);
                builder.open(true, anchor, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close()?,
            Event::Alias(anchor) => builder.alias(anchor, at)?,
            Event::DocumentStart(_) => builder.clear(),
            Event::DocumentEnd => {
                count += 1;
                if count > MAX_DOCUMENTS {
                    return Err(Flaw { at, message: format!("the file has more than {MAX_DOCUMENTS} documents") });
                }
                if let Some(root) = builder.root() {
                    each(builder.tree(), root, builder.flaws());
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
fn explain(text: &str, at: Pos, info: &str) -> String {
    let line = text.lines().nth(at.line.saturating_sub(1) as usize).unwrap_or_default();
    let indent: Cow<'_, str> = line.chars().take_while(|c| c.is_whitespace()).collect();
    if indent.contains('\t') || info.contains("tab") {
        return "a tab stands where YAML wants blanks for indentation".into();
    }
    if info.contains("recursion limit") {
        return format!("nesting deeper than {MAX_DEPTH} levels");
    }
    format!("not valid YAML: {info}")
}
