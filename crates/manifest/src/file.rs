//! One file: its text, its documents, its complaints.
//!
//! [`parse_file`] is what sources call. It looks at nothing but its arguments, and at the path for
//! nothing but places, so a result can be kept by the content's id and used again under another
//! path ([`FileParse::with_path`]).

use std::sync::Arc;

use evenkeel_model::{Diagnostic, Doc, Place, Severity, own::UnsupportedMode};

use evenkeel_schema::Customs;

use crate::{
    document, json,
    limits::{MAX_DIAGNOSTICS, MAX_DOCUMENTS},
    text::{self, Lines},
    tree::{Flaw, Pos},
    yaml::{self, Read},
};

/// How a source wants its files read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// What to do with a kind that is not supported.
    pub unsupported: UnsupportedMode,
}

/// A document that `unsupported: skip` left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it starts.
    pub line: u32,
    /// Kind and name, as `StatefulSet db`.
    pub what: String,
}

/// Where a document says its name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameLine {
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    /// Characters.
    pub width: u32,
    /// The line.
    pub excerpt: String,
}

/// What one file holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FileParse {
    /// Relative to the source's root.
    pub path: Arc<str>,
    /// Its documents, in the order of the file; those with errors are left out.
    pub docs: Vec<Arc<Doc>>,
    /// Where each document says its name, with the line: for complaints about two documents.
    pub names: Vec<NameLine>,
    /// Its complaints, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// What was left out.
    pub skipped: Vec<Skipped>,
    /// The file's text and how it is read, where it has objects whose kinds definitions make: they may be
    /// in other files, so such a file is read again with all of them ([`crate::assemble`]).
    pub waiting: Option<(Arc<str>, Options)>,
    /// Whether there was such an object.
    pub(crate) waits: bool,
}

impl FileParse {
    /// Whether anything in it stops the revision.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// The same content under another path.
    pub fn with_path(&self, path: &str) -> Self {
        let path: Arc<str> = path.into();
        let docs = self.docs.iter().map(|doc| {
            let mut doc = Doc::clone(doc);
            doc.place.file = path.clone();
            doc.references.iter_mut().for_each(|r| r.place.file = path.clone());
            Arc::new(doc)
        });
        let diagnostics = self.diagnostics.iter().cloned().map(|mut d| {
            d.place.file = path.clone();
            d
        });
        let (docs, diagnostics) = (docs.collect(), diagnostics.collect());
        Self { path, docs, diagnostics, ..self.clone() }
    }
}

/// Reads a file whole: all its documents, all its complaints.
pub fn parse_file(path: &str, bytes: &[u8], options: &Options) -> FileParse {
    let path: Arc<str> = path.into();
    let mut file = match text::check(bytes) {
        Ok(text) => {
            let mut file = File::new(path, text, *options);
            file.read();
            if file.out.waits {
                file.out.waiting = Some((text.into(), *options));
            }
            file
        }
        Err(flaw) => {
            let mut file = File::new(path, "", *options);
            file.complain(flaw.at, "", flaw.message, Severity::Error, true);
            file
        }
    };
    file.finish()
}

/// Reads a file again that waited for the kinds of its objects.
pub(crate) fn parse_again(path: &Arc<str>, text: &str, options: Options, customs: &Customs) -> FileParse {
    let mut file = File::new(path.clone(), text, options);
    file.customs = Some(customs.clone());
    file.read();
    file.finish()
}

/// A file under way.
pub(crate) struct File<'a> {
    text: &'a str,
    lines: Lines<'a>,
    pub(crate) options: Options,
    pub(crate) out: FileParse,
    /// Kinds that definitions make, once they are known.
    pub(crate) customs: Option<Customs>,
    /// The worst of the complaints that were not kept.
    more: Option<Severity>,
    /// Documents so far, items of lists included.
    count: usize,
}

impl<'a> File<'a> {
    fn new(path: Arc<str>, text: &'a str, options: Options) -> Self {
        let out = FileParse { path, ..FileParse::default() };
        Self { text, lines: Lines::new(text), options, out, customs: None, more: None, count: 0 }
    }

    fn read(&mut self) {
        let text = self.text;
        if text.trim_start().starts_with(['{', '['])
            && let Ok(true) = json::document(text, &mut |tree, root, flaws| self.document(tree.node(root), flaws))
        {
            return;
        }
        // What kind of object broken text is in is not known: no line if there may be a Secret.
        let hide = text.contains("Secret");
        let end = yaml::documents(text, &mut |read| match read {
            Read::Document(tree, root, flaws) => self.document(tree.node(root), flaws),
            Read::Broken(flaw) => self.complain(flaw.at, "", flaw.message, Severity::Error, hide),
        });
        if let Err(flaw) = end {
            self.complain(flaw.at, "", flaw.message, Severity::Error, hide);
        }
    }

    fn document(&mut self, root: crate::tree::NodeRef<'_>, flaws: &[Flaw]) {
        if flaws.is_empty() {
            document::read(self, root);
            return;
        }
        let hide = document::may_hold_secret(root);
        for flaw in flaws {
            self.complain(flaw.at, "", flaw.message.clone(), Severity::Error, hide);
        }
        // Further complaints of the same document, without what has two values.
        let before = self.out.docs.len();
        document::read(self, root);
        self.out.docs.truncate(before);
        self.out.names.truncate(before);
    }

    /// Counts a document; says whether it is still within bounds.
    pub(crate) fn admit_one_more(&mut self, at: Pos) -> bool {
        self.count += 1;
        if self.count == MAX_DOCUMENTS + 1 {
            let message = format!("the file has more than {MAX_DOCUMENTS} documents");
            self.complain(at, "", message, Severity::Error, false);
        }
        self.count <= MAX_DOCUMENTS
    }

    /// Whether further complaints are only counted, so that their places need not be looked for.
    pub(crate) fn is_full(&self) -> bool {
        self.out.diagnostics.len() >= MAX_DIAGNOSTICS
    }

    pub(crate) fn place(&self, at: Pos) -> Place {
        Place { file: self.out.path.clone(), line: at.line, column: at.column }
    }

    pub(crate) fn excerpt(&self, at: Pos, hide: bool) -> String {
        self.lines.excerpt(at, hide)
    }

    pub(crate) fn complain(&mut self, at: Pos, path: &str, message: String, severity: Severity, hide: bool) {
        if self.is_full() {
            self.more = Some(self.more.map_or(severity, |worst| worst.min(severity)));
            return;
        }
        // Names in a message are the file's own text: no escape sequences on a terminal.
        let message = printable(message);
        let excerpt = self.excerpt(at, hide);
        let room =
            u32::try_from(excerpt.chars().count()).unwrap_or(u32::MAX).saturating_sub(at.column.saturating_sub(1));
        let width = at.width.min(room).max(1);
        let path = printable(path.to_owned());
        self.out.diagnostics.push(Diagnostic { place: self.place(at), path, message, excerpt, width, severity });
    }

    fn finish(&mut self) -> FileParse {
        let mut out = std::mem::take(&mut self.out);
        out.diagnostics.sort_by(|a, b| a.place.cmp(&b.place));
        out.diagnostics.dedup();
        if let Some(severity) = self.more {
            let place = Place { file: out.path.clone(), ..Place::default() };
            let message = format!("more complaints about this file: the first {MAX_DIAGNOSTICS} are shown");
            let (path, excerpt) = (String::new(), String::new());
            out.diagnostics.push(Diagnostic { place, path, message, excerpt, width: 1, severity });
        }
        out
    }
}

fn printable(text: String) -> String {
    if text.contains(char::is_control) {
        text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
    } else {
        text
    }
}
