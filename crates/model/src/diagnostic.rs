//! Complaints about manifests: a place, a path, what is wrong, the line itself.

use alloc::{string::String, sync::Arc};
use core::fmt;

use serde::{Deserialize, Serialize};

/// Whether a complaint stops a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// The revision is rejected.
    Error,
    /// It is told, and nothing stops.
    Warning,
}

/// A place in a source's file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Place {
    /// File, relative to the source's root.
    pub file: Arc<str>,
    /// 1-based; 0 where only the file is known.
    pub line: u32,
    /// 1-based, in characters; 0 where only the line is known.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        Ok(())
    }
}

/// One complaint. Its order is the order of places: file, line, column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Where.
    pub place: Place,
    /// Field path, as `spec.template.spec.containers[0].image`; empty where none fits.
    pub path: String,
    /// What is wrong, with a hint how to mend it.
    pub message: String,
    /// The offending line as it stands in the file, cut to 160 characters; empty where unknown.
    pub excerpt: String,
    /// How many characters of the line the caret underlines; at least 1.
    pub width: u32,
    /// Error or warning.
    pub severity: Severity,
}

/// `file:line:column: path: message`, then the line with a caret under the place.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if !self.excerpt.is_empty() {
            let line = alloc::format!("{}", self.place.line);
            let margin = line.len();
            write!(f, "\n {line} | {}", self.excerpt)?;
            if let Some(before) = self.place.column.checked_sub(1) {
                let (before, width) = (before as usize, self.width.max(1) as usize);
                write!(f, "\n {:margin$} | {:before$}{:^<width$}", "", "", "")?;
            }
        }
        Ok(())
    }
}

/// A mention of a ConfigMap, Secret or other object inside a document: checked against the
/// snapshot and the cluster when the revision is admitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The object that must be there.
    pub key: crate::key::Key,
    /// The key inside its data that must be there, if one is named.
    pub item: Option<String>,
    /// `optional: true`: never rejects.
    pub optional: bool,
    /// Where it is mentioned, for the complaint.
    pub place: Place,
    /// Field path of the mention.
    pub path: String,
    /// The line of the mention, for the complaint.
    pub excerpt: String,
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_diagnostic_points_at_its_place() {
        let d = Diagnostic {
            place: Place { file: "a/b.yaml".into(), line: 12, column: 3 },
            path: "spec.replica".into(),
            message: "unknown field `replica`, did you mean `replicas`?".into(),
            excerpt: "  replica: 3".into(),
            width: 7,
            severity: Severity::Error,
        };
        assert_eq!(
            d.to_string(),
            "a/b.yaml:12:3: spec.replica: unknown field `replica`, did you mean `replicas`?\n 12 |   replica: 3\n    |   ^^^^^^^"
        );
    }
}
