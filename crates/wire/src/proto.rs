//! The protocol's types, as generated, and what the generator cannot know: which of them must not
//! be shown.

use std::fmt;

pub use crate::generated::*;

/// Never the values.
impl fmt::Debug for PodContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodContent").field("name", &self.name).field("keys", &self.data.keys()).finish_non_exhaustive()
    }
}

/// Never the token.
impl fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Never the bytes: they may be of a Secret.
impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("length", &self.bytes.len()).field("last", &self.last).finish_non_exhaustive()
    }
}

/// Never the key.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("secret", &self.secret).finish_non_exhaustive()
    }
}
