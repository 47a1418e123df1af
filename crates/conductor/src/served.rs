//! How far nodes are with the Ingresses that they were told of: who serves what, and who is behind.
//!
//! Agents say it themselves ([`Report::ingresses`](evenkeel_model::session::Report::ingresses)), after their
//! servers follow. A node that is silent serves nobody that anybody could count on, and is left out; one that
//! is not, and has no session for the moment, serves on what it knew. Deliberately not here: how long anybody
//! waits for it, and what for.

use std::sync::Arc;

use evenkeel_model::Version;

/// What nodes serve, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Served {
    /// All that was committed up to here was told to those that have a session.
    pub told: Version,
    /// Nodes that are not known to serve all of it, by name.
    pub behind: Vec<Behind>,
}

/// A node that is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// Its name.
    pub node: Arc<str>,
    /// How far it is.
    pub reach: Reach,
}

/// How far a node is that is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It serves what was committed up to here.
    At(Version),
    /// Its agent has not said in this session what it serves: it is busy, or of a version that does not say
    /// so.
    Unsaid,
    /// Its agent has no session.
    Away,
}

impl Served {
    /// The nodes that are not known to serve what was committed up to a version; `None` where it was not
    /// told yet.
    pub fn missing(&self, version: Version) -> Option<Vec<&Behind>> {
        let serves = |reach: Reach| matches!(reach, Reach::At(at) if at >= version);
        (self.told >= version).then(|| self.behind.iter().filter(|b| !serves(b.reach)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_waited_for_until_it_serves_what_is_asked_for() {
        let behind = |node: &str, reach| Behind { node: node.into(), reach };
        let served = Served {
            told: Version(9),
            behind: vec![
                behind("n1", Reach::At(Version(7))),
                behind("n2", Reach::Unsaid),
                behind("n3", Reach::Away),
                behind("n4", Reach::At(Version(5))),
            ],
        };
        let missing = |version| -> Option<Vec<&str>> {
            served.missing(Version(version)).map(|all| all.iter().map(|b| &*b.node).collect())
        };
        assert_eq!(missing(10), None, "nobody was told of it");
        assert_eq!(missing(8).unwrap(), ["n1", "n2", "n3", "n4"]);
        assert_eq!(missing(7).unwrap(), ["n2", "n3", "n4"]);
        assert_eq!(missing(5).unwrap(), ["n2", "n3"]);
        assert_eq!(Served { told: Version(9), behind: Vec::new() }.missing(Version(9)), Some(Vec::new()));
    }
}
