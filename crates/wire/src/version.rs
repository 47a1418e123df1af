//! The protocol's version, and what happens when two sides differ.
//!
//! Additions need no new version: who does not know them ignores them. A new version is for changes
//! that an older side would get wrong. The server is upgraded first, so it understands older ones.

use crate::proto::Speaks;

/// Newest version that this program speaks.
pub const NEWEST: u32 = 1;
/// Oldest version that it understands.
pub const OLDEST: u32 = 1;

/// What this program says of itself.
pub fn speaks() -> Speaks {
    Speaks { newest: NEWEST, oldest: OLDEST, program: env!("CARGO_PKG_VERSION").into() }
}

/// Which side a message speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The server.
    Server,
    /// An agent.
    Agent,
}

/// The version that both sides speak; else what to upgrade.
pub fn agree(other: Option<&Speaks>, who: Side) -> Result<u32, String> {
    agree_with(&speaks(), other, who)
}

fn agree_with(ours: &Speaks, other: Option<&Speaks>, who: Side) -> Result<u32, String> {
    let Some(other) = other else {
        return Err("the other side does not say which version of the protocol it speaks".into());
    };
    let both = ours.newest.min(other.newest);
    if both >= ours.oldest && both >= other.oldest {
        return Ok(both);
    }
    let (server, agent) = match who {
        Side::Server => (other, ours),
        Side::Agent => (ours, other),
    };
    let upgrade = if agent.newest < server.oldest { "the agent" } else { "the server" };
    Err(format!(
        "agent {} speaks version {} to {} of the agents' protocol, server {} version {} to {}: upgrade {upgrade}",
        agent.program, agent.oldest, agent.newest, server.program, server.oldest, server.newest
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(oldest: u32, newest: u32) -> Speaks {
        Speaks { newest, oldest, program: format!("0.{newest}") }
    }

    #[test]
    fn both_sides_take_the_newest_version_that_both_speak() {
        assert_eq!(agree_with(&side(1, 3), Some(&side(1, 2)), Side::Agent), Ok(2));
        assert_eq!(agree_with(&side(1, 1), Some(&side(1, 2)), Side::Server), Ok(1));
    }

    #[test]
    fn a_mismatch_says_what_to_upgrade() {
        let old_agent = agree_with(&side(3, 4), Some(&side(1, 2)), Side::Agent).unwrap_err();
        assert!(old_agent.ends_with("upgrade the agent"), "{old_agent}");
        let old_server = agree_with(&side(3, 4), Some(&side(1, 2)), Side::Server).unwrap_err();
        assert!(old_server.ends_with("upgrade the server"), "{old_server}");
        assert!(agree_with(&side(1, 1), None, Side::Agent).is_err());
    }
}
