//! What the switch does to frames, as data, and as the text that `nft` takes.
//!
//! The whole table is replaced at once with each change, so no frame sees half of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// A port of the switch, by its device's name.
pub(crate) type Port = String;

/// Frames that are lost.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Faults {
    /// From the first port to the second; the other way is a pair of its own.
    pub(crate) cut: BTreeSet<(Port, Port)>,
    /// Of what a port sends and gets, per cent.
    pub(crate) loss: BTreeMap<Port, u8>,
}

impl Faults {
    /// The table as `nft -f` takes it, in place of the one before.
    pub(crate) fn table(&self) -> String {
        let mut out = String::from("add table bridge fault\ndelete table bridge fault\ntable bridge fault {\n");
        out.push_str(" set cut {\n  type ifname . ifname\n");
        if !self.cut.is_empty() {
            let pairs: Vec<String> = self.cut.iter().map(|(from, to)| format!("\"{from}\" . \"{to}\"")).collect();
            let _ = writeln!(out, "  elements = {{ {} }}", pairs.join(", "));
        }
        out.push_str(" }\n chain forward {\n  type filter hook forward priority 0\n");
        out.push_str("  iifname . oifname @cut drop\n");
        for (port, percent) in &self.loss {
            for side in ["iifname", "oifname"] {
                let _ = writeln!(out, "  {side} \"{port}\" numgen random mod 100 < {percent} drop");
            }
        }
        out.push_str(" }\n}\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_every_fault() {
        let mut faults = Faults::default();
        assert!(!faults.table().contains("elements"), "an empty list of elements is an error for nft");
        faults.cut.insert(("p1".into(), "p2".into()));
        faults.cut.insert(("p2".into(), "p0".into()));
        faults.loss.insert("p3".into(), 30);
        let table = faults.table();
        assert!(table.contains(r#"elements = { "p1" . "p2", "p2" . "p0" }"#), "{table}");
        assert!(table.contains(r#"iifname "p3" numgen random mod 100 < 30 drop"#), "{table}");
        assert!(table.contains(r#"oifname "p3" numgen random mod 100 < 30 drop"#), "{table}");
    }
}
