//! A YAML stream to trees, one document after the other.
//!
//! Called by `file`. The parser is saphyr's; what it leaves open (tags, aliases, duplicate keys,
//! depth) is decided in [`Builder`] and here.

use std::{borrow::Cow, collections::BTreeMap};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use crate::{
    limits::{MAX_AGAIN_BYTES, MAX_DEPTH, MAX_DOCUMENTS},
    loose::{Loose, Stray},
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
    Broken(Flaw, Option<Again>),
    /// A bound is passed: nothing more is read.
    Bound(Flaw),
}

/// The document, from its first line, may be read with blanks where the parser wants them.
struct Again {
    from: u32,
    what: Stray,
}

impl From<Flaw> for Stop {
    fn from(flaw: Flaw) -> Self {
        Self::Bound(flaw)
    }
}

/// Reads a stream; a flaw that ends the reading is returned.
pub(crate) fn documents<'a>(text: &'a str, each: &mut dyn FnMut(Read<'_, 'a>)) -> Result<(), Flaw> {
    let mut reader = Reader { builder: Builder::for_text(text.len()), count: 0, again: MAX_AGAIN_BYTES, each };
    let (mut rest, mut skipped) = (text, 0);
    loop {
        let as_it_is = Written { skipped, added: &BTreeMap::new() };
        let (flaw, again) = match reader.stream(rest, as_it_is, std::convert::identity) {
            Ok(()) => return Ok(()),
            Err(Stop::Bound(flaw)) => return Err(flaw),
            Err(Stop::Broken(flaw, again)) => (flaw, again),
        };
        let next = next_document(rest, flaw.at.line.saturating_sub(skipped));
        let end = next.map_or(rest.len(), |(offset, _)| offset);
        if let Some(flaw) = reader.loosely(rest.get(..end).unwrap_or_default(), skipped, (flaw, again))? {
            one_more(&mut reader.count, flaw.at)?;
            (reader.each)(Read::Broken(flaw));
        }
        let Some((offset, lines)) = next else { return Ok(()) };
        rest = rest.get(offset..).unwrap_or_default();
        skipped = skipped.saturating_add(lines);
        reader.builder.clear();
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

/// Where the lines of a text stand in their file.
#[derive(Clone, Copy)]
struct Written<'l> {
    /// Lines before the text.
    skipped: u32,
    /// Blanks that the file does not have.
    added: &'l BTreeMap<u32, u32>,
}

impl Written<'_> {
    fn place(self, at: Pos) -> Pos {
        let at = Loose::place(self.added, at);
        Pos { line: at.line.saturating_add(self.skipped), ..at }
    }
}

fn one_more(count: &mut usize, at: Pos) -> Result<(), Flaw> {
    *count += 1;
    if *count > MAX_DOCUMENTS {
        return Err(Flaw { at, message: format!("the file has more than {MAX_DOCUMENTS} documents") });
    }
    Ok(())
}

/// A file under way.
struct Reader<'r, 'a> {
    builder: Builder<'a>,
    count: usize,
    /// Bytes that may still be read again.
    again: usize,
    each: &'r mut dyn FnMut(Read<'_, 'a>),
}

impl<'a> Reader<'_, 'a> {
    /// Reads a broken document again with blanks where the parser wants them, as often as it takes; what is still
    /// wrong with it then. `text` ends with the document.
    fn loosely(&mut self, text: &str, skipped: u32, broken: (Flaw, Option<Again>)) -> Result<Option<Flaw>, Flaw> {
        let (mut flaw, Some(Again { from, what })) = broken else { return Ok(Some(broken.0)) };
        let start: usize = text.split_inclusive('\n').take(from as usize).map(str::len).sum();
        let mut loose = Loose::new(text.get(start..).unwrap_or_default());
        let mut what = Some(what.after(from));
        while let Some(stray) = what
            && loose.mend(stray)
            && let Some(left) = self.again.checked_sub(loose.text().len())
        {
            self.again = left;
            self.builder.again();
            let written = Written { skipped: skipped.saturating_add(from), added: loose.added() };
            match self.stream(loose.text(), written, |text| Cow::Owned(text.into_owned())) {
                Ok(()) => return Ok(None),
                Err(Stop::Bound(flaw)) => return Err(flaw),
                Err(Stop::Broken(next, again)) => {
                    flaw = next;
                    // Behind `...` another one may stand that is broken; the first is not given twice.
                    what = again.filter(|a| a.from == 0).map(|a| a.what);
                }
            }
        }
        Ok(Some(flaw))
    }

    /// Reads the documents of a text; `keep` makes its scalars last.
    fn stream<'i>(
        &mut self,
        text: &'i str,
        written: Written<'_>,
        keep: impl Fn(Cow<'i, str>) -> Cow<'a, str>,
    ) -> Result<(), Stop> {
        let mut parser = Parser::new_from_str(text);
        // Lines before the document under way: none before the first, whatever stands there.
        let mut begins = Some(0);
        let mut first = true;
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|e| broken(text, &e, written, begins))?;
            let at = written.place(place(&span));
            let builder = &mut self.builder;
            match event {
                Event::Scalar(value, style, anchor, tag) => {
                    let plain = is_plain(style, tag.as_deref(), at, builder);
                    builder.scalar(keep(value), plain, anchor, at)?;
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
                Event::DocumentStart(_) => {
                    builder.clear();
                    begins = Some(if first { 0 } else { number(span.start.line()).saturating_sub(1) });
                }
                Event::DocumentEnd => {
                    one_more(&mut self.count, at)?;
                    if let Some(root) = builder.root() {
                        (self.each)(Read::Document(builder.tree(), root, builder.flaws()));
                    }
                    builder.clear();
                    (begins, first) = (None, false);
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
            }
        }
        Ok(())
    }
}

fn broken(text: &str, error: &ScanError, written: Written<'_>, begins: Option<u32>) -> Stop {
    let (line, column) = (number(error.marker().line()), number(error.marker().col()) + 1);
    let message = explain(text, line, error.info());
    let at = Pos { line, column, width: 1 };
    let again = begins.zip(Stray::of(error.info(), at)).map(|(from, what)| Again { from, what });
    Stop::Broken(Flaw { at: written.place(at), message }, again)
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
    if info.contains("expected <document start>") {
        return "not valid YAML: a further document begins with a line `---`".into();
    }
    if info.contains("recursion limit") {
        return format!("nesting deeper than {MAX_DEPTH} levels");
    }
    format!("not valid YAML: {info}")
}
