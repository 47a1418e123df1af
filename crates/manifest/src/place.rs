//! From a field path to its place in the text.

use evenkeel_schema::{Path, Step, Trail};

use crate::tree::{NodeRef, Pos};

/// What of a path was found in a document.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// The key that leads to the deepest node found, or the item itself.
    pub(crate) key: Pos,
    /// The deepest node found.
    pub(crate) value: Pos,
    /// Whether the whole path is there.
    pub(crate) whole: bool,
}

impl Found {
    /// Where to point: at the value, or where that is missing at what should hold it.
    pub(crate) fn best(self) -> Pos {
        if self.whole { self.value } else { self.key }
    }
}

/// Follows a path as far as the text goes. A Secret's `data` may stand in `stringData`.
pub(crate) fn find(root: NodeRef<'_>, path: &Path) -> Found {
    let found = follow(root, &path.0);
    if !found.whole
        && let Some((Step::Field(first), rest)) = path.0.split_first()
        && first == "data"
        && let Some((_, node)) = root.entry("stringData")
    {
        let other = follow(node, rest);
        if other.whole {
            return other;
        }
    }
    found
}

/// The same for a trail, which costs no path.
pub(crate) fn find_trail(root: NodeRef<'_>, trail: &Trail<'_>) -> Found {
    let Some(up) = trail.up() else { return Found { key: root.at(), value: root.at(), whole: true } };
    follow_trail(root, trail, up).map_or_else(|found| found, |(key, node)| Found { key, value: node.at(), whole: true })
}

/// The key and node at a trail's end, or how far it went.
fn follow_trail<'t>(root: NodeRef<'t>, trail: &Trail<'_>, up: &Trail<'_>) -> Result<(Pos, NodeRef<'t>), Found> {
    let (key, node) = match up.up() {
        None => (root.at(), root),
        Some(further) => follow_trail(root, up, further)?,
    };
    let next = match trail {
        Trail::Root => Some((key, node)),
        Trail::Field(_, name) | Trail::Key(_, name) => node.entry(name).map(|(k, v)| (k.at(), v)),
        Trail::Index(_, i) => node.items().nth(*i).map(|v| (v.at(), v)),
    };
    next.ok_or(Found { key, value: node.at(), whole: false })
}

fn follow(root: NodeRef<'_>, steps: &[Step]) -> Found {
    let (mut node, mut key) = (root, root.at());
    for step in steps {
        let next = match step {
            Step::Field(name) | Step::Key(name) => node.entry(name).map(|(k, v)| (k.at(), v)),
            Step::Index(i) => node.items().nth(*i).map(|v| (v.at(), v)),
        };
        match next {
            Some((at, value)) => (key, node) = (at, value),
            None => return Found { key, value: node.at(), whole: false },
        }
    }
    Found { key, value: node.at(), whole: true }
}
