//! Lets pods' packets through Docker's firewall.
//!
//! Docker sets the policy of the chain that forwarded packets pass to drop, and offers a chain,
//! `DOCKER-USER`, for whoever wants something let through before. Two rules of ours stand at its
//! beginning: from the cluster's range, and to it. They carry a comment, and by it alone they are
//! found again and taken away. They say what iptables can show. Nothing is done where there is no such
//! chain: other firewalls are their owner's.

use std::fmt::Write as _;

use evenkeel_model::net::Cidr;
use serde_json::Value;

use crate::nft::run::{Nft, NftError};

/// Where Docker looks for what others want.
const CHAIN: [&str; 3] = ["ip", "filter", "DOCKER-USER"];

/// What all comments of a cluster's rules begin with.
fn mark(cluster: &str) -> String {
    let short: String = cluster.chars().take(36).collect();
    format!("evenkeel {short} ")
}

/// Makes our rules where Docker's chain is and they are not; gives whether anything was done.
pub(crate) async fn open(nft: &Nft, cluster: &str, range: Cidr) -> Result<bool, NftError> {
    let Some(rules) = rules(nft).await? else { return Ok(false) };
    let batch = opening(&rules, &mark(cluster), range);
    nft.batch(&batch).await?;
    Ok(!batch.is_empty())
}

/// Takes our rules away.
pub(crate) async fn close(nft: &Nft, cluster: &str) -> Result<(), NftError> {
    let Some(rules) = rules(nft).await? else { return Ok(()) };
    nft.batch(&closing(&rules, &mark(cluster), |_| true)).await
}

/// The rules of the chain; `None` where it is not there.
async fn rules(nft: &Nft) -> Result<Option<Value>, NftError> {
    match nft.list(&["chain", CHAIN[0], CHAIN[1], CHAIN[2]]).await {
        Ok(listed) => Ok(Some(listed)),
        Err(NftError::Absent(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Our rules: handle and comment.
fn ours<'a>(rules: &'a Value, mark: &'a str) -> impl Iterator<Item = (u64, &'a str)> {
    let list = rules["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(move |entry| {
        let rule = &entry["rule"];
        let comment = rule["comment"].as_str().filter(|c| c.starts_with(mark))?;
        Some((rule["handle"].as_u64()?, comment))
    })
}

fn opening(rules: &Value, mark: &str, range: Cidr) -> String {
    let mut batch = String::new();
    let wanted = ["saddr", "daddr"].map(|side| (side, format!("{mark}{side} {range}")));
    for (side, comment) in &wanted {
        if !ours(rules, mark).any(|(_, c)| c == comment) {
            let [family, table, chain] = CHAIN;
            // Writing to a string does not fail.
            let _ = writeln!(
                batch,
                "insert rule {family} {table} {chain} ip {side} {range} counter accept comment \"{comment}\""
            );
        }
    }
    batch + &closing(rules, mark, |comment| wanted.iter().all(|(_, w)| w != comment))
}

fn closing(rules: &Value, mark: &str, which: impl Fn(&str) -> bool) -> String {
    let [family, table, chain] = CHAIN;
    let mut batch = String::new();
    for (handle, _) in ours(rules, mark).filter(|(_, comment)| which(comment)) {
        let _ = writeln!(batch, "delete rule {family} {table} {chain} handle {handle}");
    }
    batch
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_missing_is_made_and_only_ours_is_taken() {
        let range: Cidr = "10.42.0.0/16".parse().unwrap();
        let mark = mark("c1");
        let none = json!({"nftables": [{"chain": {}}, {"rule": {"handle": 4, "expr": []}}]});
        let made = opening(&none, &mark, range);
        assert_eq!(made.lines().count(), 2);
        assert!(made.starts_with("insert rule ip filter DOCKER-USER ip saddr 10.42.0.0/16 counter accept comment \"evenkeel c1 saddr 10.42.0.0/16\""), "{made}");
        let rule = |handle: u64, comment: &str| json!({"rule": {"handle": handle, "comment": comment}});
        let there = json!({"nftables": [
            rule(4, "mine"),
            rule(5, "evenkeel c1 saddr 10.42.0.0/16"),
            rule(6, "evenkeel c1 daddr 10.42.0.0/16"),
            rule(7, "evenkeel c1 daddr 10.9.0.0/16"),
            rule(8, "evenkeel c12 daddr 10.42.0.0/16"),
        ]});
        assert_eq!(opening(&there, &mark, range), "delete rule ip filter DOCKER-USER handle 7\n");
        let closed = closing(&there, &mark, |_| true);
        assert_eq!(closed.lines().count(), 3);
        assert!(!closed.contains("handle 4") && !closed.contains("handle 8"), "{closed}");
    }
}
