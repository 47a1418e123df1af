//! Paths to fields, as Kubernetes prints them: `spec.template.spec.containers[0].image`.
//!
//! A [`Trail`] is a path under way: it lives on the stack of a walk and costs nothing until a
//! complaint needs it as a [`Path`].

use alloc::{borrow::ToOwned, string::String, vec::Vec};
use core::fmt;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A field.
    Field(String),
    /// A key of a free mapping.
    Key(String),
    /// An item of a list.
    Index(usize),
}

/// A path to a value; empty for the whole object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Path(pub Vec<Step>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if i == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Key(key) => write!(f, "[{key}]")?,
                Step::Index(n) => write!(f, "[{n}]")?,
            }
        }
        Ok(())
    }
}

/// A path under way, as a list from the innermost step outwards.
#[derive(Debug, Clone, Copy)]
pub enum Trail<'t> {
    /// The object itself.
    Root,
    /// A field of what is above.
    Field(&'t Trail<'t>, &'t str),
    /// A key of the free mapping above.
    Key(&'t Trail<'t>, &'t str),
    /// An item of the list above.
    Index(&'t Trail<'t>, usize),
}

impl Trail<'_> {
    /// A field below.
    pub fn field<'a>(&'a self, name: &'a str) -> Trail<'a> {
        Trail::Field(self, name)
    }

    /// A key below.
    pub fn key<'a>(&'a self, key: &'a str) -> Trail<'a> {
        Trail::Key(self, key)
    }

    /// An item below.
    pub fn index(&self, index: usize) -> Trail<'_> {
        Trail::Index(self, index)
    }

    /// What it goes on from; `None` for the root.
    pub fn up(&self) -> Option<&Trail<'_>> {
        match self {
            Trail::Root => None,
            Trail::Field(up, _) | Trail::Key(up, _) | Trail::Index(up, _) => Some(up),
        }
    }

    /// The path that it is.
    pub fn path(&self) -> Path {
        let mut steps = Vec::new();
        let mut at: &Trail<'_> = self;
        while let Some(up) = at.up() {
            steps.push(match at {
                Trail::Field(_, name) => Step::Field((*name).to_owned()),
                Trail::Key(_, key) => Step::Key((*key).to_owned()),
                Trail::Index(_, index) => Step::Index(*index),
                Trail::Root => break,
            });
            at = up;
        }
        steps.reverse();
        Path(steps)
    }
}

/// As the path that it is.
impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trail::Root => Ok(()),
            Trail::Field(Trail::Root, name) => f.write_str(name),
            Trail::Field(up, name) => write!(f, "{up}.{name}"),
            Trail::Key(up, key) => write!(f, "{up}[{key}]"),
            Trail::Index(up, index) => write!(f, "{up}[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_trail_prints_as_kubernetes_does() {
        let (root, data) = (Trail::Root, Trail::Root.field("data").path());
        let spec = root.field("spec");
        let containers = spec.field("containers");
        for trail in [&containers.index(2).field("image"), &root.field("data").key("a.b"), &root] {
            assert_eq!(trail.to_string(), trail.path().to_string());
        }
        assert_eq!(containers.index(2).field("image").path().to_string(), "spec.containers[2].image");
        assert_eq!(data.to_string(), "data");
        assert_eq!(root.field("data").key("a.b").path().to_string(), "data[a.b]");
        assert_eq!(root.path().to_string(), "");
    }
}
