//! A `known_hosts` file that a Source names: whether it knows a server's ssh key.
//!
//! Where a Source names none, libgit2 looks into `~/.ssh/known_hosts` itself. Either way an unknown
//! key is refused; there is no switch for that.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq as _;

/// What a file says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the host's.
    Known,
    /// The file has other keys for the host alone.
    Other,
    /// The file does not have the host.
    Unknown,
    /// The key is marked as one that must not be used any more.
    Revoked,
}

/// Looks a server's key up, as it came over the wire.
pub(super) fn look_up(file: &str, host: &str, port: u16, key: &[u8]) -> Verdict {
    let host = host.to_ascii_lowercase();
    let name = if port == 22 { host } else { format!("[{host}]:{port}") };
    let mut verdict = Verdict::Unknown;
    for line in file.lines() {
        let mut words = line.split_whitespace();
        let Some(first) = words.next().filter(|w| !w.starts_with('#')) else { continue };
        let (marker, hosts) = if first.starts_with('@') { (first, words.next()) } else { ("", Some(first)) };
        let Some(hosts) = hosts.filter(|h| matches_host(h, &name)) else { continue };
        debug_assert!(!hosts.is_empty());
        let same = words.nth(1).and_then(|k| STANDARD.decode(k).ok()).is_some_and(|k| k == key);
        match (marker, same) {
            ("@revoked", true) => return Verdict::Revoked,
            ("", true) => verdict = Verdict::Known,
            ("", false) if verdict == Verdict::Unknown => verdict = Verdict::Other,
            // Authorities sign certificates, which libssh2 does not offer to look at.
            _ => {}
        }
    }
    verdict
}

/// A list of patterns separated by commas, or one hashed name.
fn matches_host(patterns: &str, name: &str) -> bool {
    if let Some(hashed) = patterns.strip_prefix("|1|") {
        let Some((salt, hash)) = hashed.split_once('|') else { return false };
        let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else { return false };
        let Ok(mut mac) = <Hmac<Sha1> as Mac>::new_from_slice(&salt) else { return false };
        mac.update(name.as_bytes());
        return mac.finalize().into_bytes().as_slice().ct_eq(&hash).into();
    }
    let mut matched = false;
    for pattern in patterns.split(',') {
        let pattern = pattern.to_ascii_lowercase();
        match pattern.strip_prefix('!') {
            Some(not) if glob(not.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => matched |= glob(pattern.as_bytes(), name.as_bytes()),
        }
    }
    matched
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|i| glob(rest, &text[i..])),
        (Some((b'?', rest)), Some((_, tail))) => glob(rest, tail),
        (Some((p, rest)), Some((t, tail))) if p == t => glob(rest, tail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_only_where_the_file_says_so() {
        // `salt` hashed as `ssh-keygen -H` does.
        let mut mac = <Hmac<Sha1> as Mac>::new_from_slice(b"salt").unwrap();
        mac.update(b"hashed.example");
        let hash = STANDARD.encode(mac.finalize().into_bytes());
        let (key, other) = (STANDARD.encode("key"), STANDARD.encode("other"));
        let file = format!(
            "# comment\n\ngit.example,10.0.0.1 ssh-ed25519 {key} me\n[git.example]:2222 ssh-rsa {other}\n\
             *.wild.example,!no.wild.example ssh-rsa {key}\n|1|{}|{hash} ssh-rsa {key}\n\
             @revoked old.example ssh-rsa {key}\n@cert-authority ca.example ssh-rsa {key}\n",
            STANDARD.encode("salt")
        );
        for (host, port, expected) in [
            ("git.example", 22, Verdict::Known),
            ("GIT.example", 22, Verdict::Known),
            ("10.0.0.1", 22, Verdict::Known),
            ("git.example", 2222, Verdict::Other),
            ("git.example", 2223, Verdict::Unknown),
            ("a.wild.example", 22, Verdict::Known),
            ("no.wild.example", 22, Verdict::Unknown),
            ("hashed.example", 22, Verdict::Known),
            ("old.example", 22, Verdict::Revoked),
            ("ca.example", 22, Verdict::Unknown),
        ] {
            assert_eq!(look_up(&file, host, port, b"key"), expected, "{host}:{port}");
        }
    }
}
