//! "Did you mean": the nearest of some names.
//!
//! Called by the strict decoder and the lookup of kinds.

use alloc::vec::Vec;

/// Names longer than this are not compared: no field or kind is as long, and the comparison's cost
/// grows with the square.
const MAX_NAME: usize = 64;

/// The candidate nearest to `name`, if it is near enough to be a slip: two edits, one more for
/// each six characters. A candidate that differs in case alone comes first.
pub fn nearest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    if name.len() > MAX_NAME {
        return None;
    }
    let limit = (2 + name.len() / 6).min(name.len().saturating_sub(1));
    candidates
        .map(|c| (if c.eq_ignore_ascii_case(name) { 0 } else { distance(name.as_bytes(), c.as_bytes()).max(1) }, c))
        .min()
        .filter(|(d, _)| *d <= limit)
        .map(|(_, c)| c)
}

/// Edits (insert, delete, replace, swap of neighbours) from `a` to `b`.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = alloc::vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            next[j + 1] = (row[j] + usize::from(a[i] != b[j])).min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                next[j + 1] = next[j + 1].min(before[j - 1] + 1);
            }
        }
        before = core::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_their_name_and_nonsense_finds_none() {
        let names = ["replicas", "selector", "template", "imagePullPolicy"];
        for (slip, name) in [
            ("replica", Some("replicas")),
            ("imagepullpolicy", Some("imagePullPolicy")),
            ("tempalte", Some("template")),
            ("containers", None),
            ("x", None),
        ] {
            assert_eq!(nearest(slip, names.into_iter()), name, "{slip}");
        }
        assert_eq!(nearest(&"r".repeat(1000), names.into_iter()), None);
    }
}
