//! One document as an arena of nodes with places: what the walks of the schema read.
//!
//! Built by `yaml` and `json` through [`Builder`]. Aliases share the anchored node; what they would
//! come to if expanded is counted, so that a bomb is found before it is walked. The arena is used
//! again for the next document of a file, so a stream of many costs the memory of its largest.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use evenkeel_schema::input::{Input, Shape};

use crate::{
    limits::{MAX_ALIAS_BYTES, MAX_DEPTH, MAX_DIAGNOSTICS, MAX_DOCUMENT_VALUES, MAX_FILE_VALUES},
    scalar::{Scalar, resolve},
};

/// A place in a file's text: 1-based line and column in characters, and how many characters wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Pos {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) width: u32,
}

/// Something wrong with the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) at: Pos,
    pub(crate) message: String,
}

#[derive(Debug)]
enum Kind<'a> {
    Scalar {
        text: Cow<'a, str>,
        is: Scalar,
        plain: bool,
    },
    /// Where its items are in `links`.
    List(u32, u32),
    /// Where its keys and values, in turns, are in `links`.
    Map(u32, u32),
}

#[derive(Debug)]
struct Node<'a> {
    kind: Kind<'a>,
    at: Pos,
    /// Bytes with aliases expanded.
    weight: u64,
    /// Levels below, itself included.
    height: u32,
}

/// A document's nodes.
#[derive(Debug, Default)]
pub(crate) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    links: Vec<u32>,
}

impl<'a> Tree<'a> {
    pub(crate) fn node(&self, id: u32) -> NodeRef<'_> {
        NodeRef { tree: self, id }
    }

    fn get(&self, id: u32) -> &Node<'a> {
        &self.nodes[id as usize]
    }
}

/// A node of a tree. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeRef<'t> {
    tree: &'t Tree<'t>,
    id: u32,
}

impl<'t> NodeRef<'t> {
    fn kind(self) -> &'t Kind<'t> {
        &self.tree.nodes[self.id as usize].kind
    }

    pub(crate) fn at(self) -> Pos {
        self.tree.nodes[self.id as usize].at
    }

    /// The value of a key, with the key's own node.
    pub(crate) fn entry(self, key: &str) -> Option<(NodeRef<'t>, NodeRef<'t>)> {
        self.entries().find(|(name, _, _)| *name == key).map(|(_, k, v)| (k, v))
    }

    /// A mapping's entries; none for anything else.
    pub(crate) fn entries(self) -> Entries<'t> {
        match self.kind() {
            Kind::Map(start, end) => Entries { tree: self.tree, ids: links(self.tree, *start, *end) },
            _ => Entries { tree: self.tree, ids: &[] },
        }
    }

    /// A list's items; none for anything else.
    pub(crate) fn items(self) -> Items<'t> {
        match self.kind() {
            Kind::List(start, end) => Items { tree: self.tree, ids: links(self.tree, *start, *end) },
            _ => Items { tree: self.tree, ids: &[] },
        }
    }

    pub(crate) fn is_map(self) -> bool {
        matches!(self.kind(), Kind::Map(..))
    }

    pub(crate) fn is_list(self) -> bool {
        matches!(self.kind(), Kind::List(..))
    }

    pub(crate) fn is_null(self) -> bool {
        matches!(self.kind(), Kind::Scalar { is: Scalar::Null, .. })
    }

    /// The text of a scalar that is text.
    pub(crate) fn as_str(self) -> Option<&'t str> {
        match self.kind() {
            Kind::Scalar { text, is: Scalar::Str, .. } => Some(text),
            _ => None,
        }
    }
}

fn links<'t>(tree: &'t Tree<'t>, start: u32, end: u32) -> &'t [u32] {
    &tree.links[start as usize..end as usize]
}

/// A list's items.
#[derive(Debug, Clone)]
pub(crate) struct Items<'t> {
    tree: &'t Tree<'t>,
    ids: &'t [u32],
}

impl<'t> Iterator for Items<'t> {
    type Item = NodeRef<'t>;

    fn next(&mut self) -> Option<Self::Item> {
        let (id, rest) = self.ids.split_first()?;
        self.ids = rest;
        Some(NodeRef { tree: self.tree, id: *id })
    }

    // Paths lead to items by their number; without this each step would walk the list.
    fn nth(&mut self, n: usize) -> Option<Self::Item> {
        self.ids = self.ids.get(n..).unwrap_or_default();
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.ids.len(), Some(self.ids.len()))
    }
}

/// A mapping's entries.
#[derive(Debug, Clone)]
pub(crate) struct Entries<'t> {
    tree: &'t Tree<'t>,
    ids: &'t [u32],
}

impl<'t> Iterator for Entries<'t> {
    type Item = (&'t str, NodeRef<'t>, NodeRef<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        let [key, value, rest @ ..] = self.ids else { return None };
        self.ids = rest;
        let text = match &self.tree.nodes[*key as usize].kind {
            Kind::Scalar { text, .. } => text.as_ref(),
            _ => "",
        };
        Some((text, NodeRef { tree: self.tree, id: *key }, NodeRef { tree: self.tree, id: *value }))
    }
}

impl<'t> Input<'t> for NodeRef<'t> {
    type Items = Items<'t>;
    type Entries = Entries<'t>;

    fn shape(self) -> Shape<'t, Self> {
        match self.kind() {
            Kind::Scalar { text, is, .. } => match is {
                Scalar::Null => Shape::Null,
                Scalar::Bool(b) => Shape::Bool(*b),
                Scalar::Int(n) => Shape::Int(*n),
                Scalar::Float(n) => Shape::Float(*n),
                Scalar::Str => Shape::Str(text),
            },
            Kind::List(..) => Shape::List(self.items()),
            Kind::Map(..) => Shape::Map(self.entries()),
        }
    }

    fn written(self) -> Option<&'t str> {
        match self.kind() {
            Kind::Scalar { text, plain: true, .. } => Some(text),
            _ => None,
        }
    }
}

/// A mapping or list under way.
#[derive(Debug)]
struct Frame {
    map: bool,
    /// Whether one of its keys is `<<`.
    merges: bool,
    at: Pos,
    anchor: usize,
    /// Where its children begin in `pending`.
    start: usize,
}

/// Bytes that a node counts for, besides its text: about what it takes as JSON in memory.
const NODE_BYTES: u64 = 64;
/// Mappings up to this size are checked for duplicate keys by comparing each with each.
const SMALL_MAPPING: usize = 16;

/// Makes trees from a parser's events.
#[derive(Debug, Default)]
pub(crate) struct Builder<'a> {
    tree: Tree<'a>,
    pending: Vec<u32>,
    frames: Vec<Frame>,
    anchors: BTreeMap<usize, u32>,
    /// Faults of the document that do not end its reading; the first of them, if there are many.
    flaws: Vec<Flaw>,
    /// Values of the file's earlier documents.
    earlier: usize,
    /// Bytes that aliases of the whole file have added.
    alias_bytes: u64,
    /// The same before the document.
    earlier_alias_bytes: u64,
}

impl<'a> Builder<'a> {
    /// For a text of this many bytes. A node stands for some 20 bytes of ordinary manifests.
    pub(crate) fn for_text(bytes: usize) -> Self {
        // A stream of small documents uses the same room again and again.
        let nodes = (bytes / 20).min(4096);
        let tree = Tree { nodes: Vec::with_capacity(nodes), links: Vec::with_capacity(nodes) };
        Self { tree, ..Self::default() }
    }

    /// Forgets the document; keeps its memory and the count of the file.
    pub(crate) fn clear(&mut self) {
        self.earlier += self.tree.nodes.len();
        self.earlier_alias_bytes = self.alias_bytes;
        self.forget();
    }

    /// Forgets the document as if it had not been read.
    pub(crate) fn again(&mut self) {
        self.alias_bytes = self.earlier_alias_bytes;
        self.forget();
    }

    fn forget(&mut self) {
        self.tree.nodes.clear();
        self.tree.links.clear();
        self.pending.clear();
        self.frames.clear();
        self.anchors.clear();
        self.flaws.clear();
    }

    pub(crate) fn tree(&self) -> &Tree<'a> {
        &self.tree
    }

    /// The document's root, once it is closed.
    pub(crate) fn root(&self) -> Option<u32> {
        if self.frames.is_empty() { self.pending.first().copied() } else { None }
    }

    pub(crate) fn flaws(&self) -> &[Flaw] {
        &self.flaws
    }

    pub(crate) fn flaw(&mut self, at: Pos, message: String) {
        if self.flaws.len() < MAX_DIAGNOSTICS {
            self.flaws.push(Flaw { at, message });
        }
    }

    fn add(&mut self, kind: Kind<'a>, at: Pos, weight: u64, height: u32) -> Result<u32, Flaw> {
        let count = self.tree.nodes.len();
        if count >= MAX_DOCUMENT_VALUES {
            return Err(Flaw {
                at,
                message: format!("the document has more than {MAX_DOCUMENT_VALUES} values: split it"),
            });
        }
        if self.earlier + count >= MAX_FILE_VALUES {
            return Err(Flaw { at, message: format!("the file has more than {MAX_FILE_VALUES} values: split it") });
        }
        self.tree.nodes.push(Node { kind, at, weight, height });
        // Far below 2^32, by the limits.
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// A scalar. `plain` where it stood without quotes.
    pub(crate) fn scalar(&mut self, text: Cow<'a, str>, plain: bool, anchor: usize, at: Pos) -> Result<(), Flaw> {
        let is = if plain { resolve(&text) } else { Scalar::Str };
        let weight = NODE_BYTES + text.len() as u64;
        if self.at_key() {
            self.check_key(&text, plain, at);
        }
        let id = self.add(Kind::Scalar { text, is, plain }, at, weight, 1)?;
        if anchor > 0 {
            self.anchors.insert(anchor, id);
        }
        self.pending.push(id);
        Ok(())
    }

    fn check_key(&mut self, text: &str, plain: bool, at: Pos) {
        if plain && text == "<<" {
            if let Some(frame) = self.frames.last_mut() {
                frame.merges = true;
            }
        } else if plain && text.is_empty() {
            self.flaw(at, "a key is missing before the colon".into());
        }
    }

    /// Whether what comes next is a key.
    fn at_key(&self) -> bool {
        self.frames.last().is_some_and(|f| f.map && (self.pending.len() - f.start).is_multiple_of(2))
    }

    /// The begin of a mapping or list.
    pub(crate) fn open(&mut self, map: bool, anchor: usize, at: Pos) -> Result<(), Flaw> {
        if self.at_key() {
            // `name: {{ .Values.name }}` is valid YAML and never meant so.
            let message = "a key must be text, not a mapping or a list; a template must be rendered first".into();
            return Err(Flaw { at, message });
        }
        if self.frames.len() >= MAX_DEPTH as usize {
            return Err(too_deep(at));
        }
        self.frames.push(Frame { map, merges: false, at, anchor, start: self.pending.len() });
        Ok(())
    }

    /// The end of a mapping or list.
    pub(crate) fn close(&mut self) -> Result<(), Flaw> {
        let Some(Frame { map, merges, at, anchor, start }) = self.frames.pop() else { return Ok(()) };
        if map {
            self.check_duplicates(start);
        }
        if merges {
            self.merge(start);
        }
        let (mut weight, mut height) = (NODE_BYTES, 0);
        for id in &self.pending[start..] {
            let node = self.tree.get(*id);
            weight = weight.saturating_add(node.weight);
            height = height.max(node.height);
        }
        if height >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        let from = u32::try_from(self.tree.links.len()).unwrap_or(u32::MAX);
        self.tree.links.extend(self.pending.drain(start..));
        let to = u32::try_from(self.tree.links.len()).unwrap_or(u32::MAX);
        let kind = if map { Kind::Map(from, to) } else { Kind::List(from, to) };
        let id = self.add(kind, at, weight, height + 1)?;
        // Only now, so that an alias inside its own anchor finds nothing.
        if anchor > 0 {
            self.anchors.insert(anchor, id);
        }
        self.pending.push(id);
        Ok(())
    }

    /// Puts the fields of mappings under `<<` beside those of the mapping, which win; of several mappings the
    /// first wins. Their own are merged already.
    fn merge(&mut self, start: usize) {
        let text = |id: u32| match &self.tree.get(id).kind {
            Kind::Scalar { text, .. } => text.as_ref(),
            _ => "",
        };
        let merging =
            |id: u32| matches!(&self.tree.get(id).kind, Kind::Scalar { text, plain: true, .. } if text == "<<");
        let links = |from: &u32, to: &u32| &self.tree.links[*from as usize..*to as usize];
        let (mut all, mut merged, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for pair in self.pending[start..].chunks_exact(2) {
            if !merging(pair[0]) {
                all.extend_from_slice(pair);
                continue;
            }
            let parts = match &self.tree.get(pair[1]).kind {
                Kind::List(from, to) => links(from, to),
                _ => &pair[1..],
            };
            for id in parts {
                match &self.tree.get(*id).kind {
                    Kind::Map(from, to) => merged.extend_from_slice(links(from, to)),
                    _ => wrong.push(self.tree.get(*id).at),
                }
            }
        }
        let mut seen: BTreeSet<&str> = all.iter().step_by(2).map(|id| text(*id)).collect();
        for pair in merged.chunks_exact(2) {
            if seen.insert(text(pair[0])) {
                all.extend_from_slice(pair);
            }
        }
        self.pending.truncate(start);
        self.pending.extend(all);
        for at in wrong {
            self.flaw(at, "`<<` takes a mapping, or a list of mappings".into());
        }
    }

    /// An alias: the anchored node again.
    pub(crate) fn alias(&mut self, anchor: usize, at: Pos) -> Result<(), Flaw> {
        let Some(id) = self.anchors.get(&anchor).copied() else {
            let inside = self.frames.iter().any(|f| f.anchor == anchor);
            let message = if inside {
                "the alias stands inside the block that it names"
            } else {
                "the alias names something in another document: anchors end with their document"
            };
            return Err(Flaw { at, message: message.into() });
        };
        let node = self.tree.get(id);
        if self.at_key() && !matches!(node.kind, Kind::Scalar { .. }) {
            return Err(Flaw { at, message: "a key must be text, not a mapping or a list".into() });
        }
        self.alias_bytes = self.alias_bytes.saturating_add(node.weight);
        if self.alias_bytes > MAX_ALIAS_BYTES {
            let limit = MAX_ALIAS_BYTES >> 20;
            let message = format!("the file's aliases expand to more than {limit} MiB: an alias bomb is not read");
            return Err(Flaw { at, message });
        }
        self.pending.push(id);
        Ok(())
    }

    fn check_duplicates(&mut self, start: usize) {
        let keys: Vec<u32> = self.pending[start..].iter().copied().step_by(2).collect();
        let text = |id: u32| match &self.tree.get(id).kind {
            Kind::Scalar { text, .. } => text.as_ref(),
            _ => "",
        };
        let mut found: Vec<(u32, u32)> = Vec::new();
        if keys.len() <= SMALL_MAPPING {
            for (i, later) in keys.iter().enumerate() {
                found.extend(keys[..i].iter().find(|k| text(**k) == text(*later)).map(|first| (*first, *later)));
            }
        } else {
            let mut first = BTreeMap::new();
            for id in &keys {
                found.extend(first.get(text(*id)).map(|f| (*f, *id)));
                first.entry(text(*id)).or_insert(*id);
            }
        }
        let told: Vec<(Pos, String)> = found
            .into_iter()
            .take(MAX_DIAGNOSTICS)
            .map(|(first, later)| {
                let Pos { line, column, .. } = self.tree.get(first).at;
                (self.tree.get(later).at, format!("duplicate key `{}` (first at {line}:{column})", text(later)))
            })
            .collect();
        for (at, message) in told {
            self.flaw(at, message);
        }
    }
}

fn too_deep(at: Pos) -> Flaw {
    Flaw { at, message: format!("nesting deeper than {MAX_DEPTH} levels") }
}
