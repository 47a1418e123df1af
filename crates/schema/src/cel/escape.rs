//! Names of fields as rules write them: what is no name there is written in another way, by Kubernetes' rules.

use alloc::string::String;

use super::lex::RESERVED;

/// Words with a meaning of their own, beside those that nothing may be called.
const MEANING: [&str; 4] = ["true", "false", "null", "in"];
const SIGNS: [(&str, char); 4] = [("dot", '.'), ("dash", '-'), ("slash", '/'), ("underscores", '_')];

/// Whether it is a word of the language, which a field may be called all the same.
fn is_word(name: &str) -> bool {
    MEANING.contains(&name) || RESERVED.contains(&name)
}

/// The name of a field as a rule writes it; `None` where no rule can.
pub(super) fn escaped(name: &str) -> Option<String> {
    if is_word(name) {
        return Some(alloc::format!("__{name}__"));
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        return None;
    }
    let mut out = String::new();
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("__") {
            out.push_str("__underscores__");
            rest = after;
            continue;
        }
        match c {
            '.' => out.push_str("__dot__"),
            '-' => out.push_str("__dash__"),
            '/' => out.push_str("__slash__"),
            c if c.is_ascii_alphanumeric() || c == '_' => out.push(c),
            _ => return None,
        }
        rest = &rest[c.len_utf8()..];
    }
    Some(out)
}

/// The field that a rule means; `None` for what is none.
pub(super) fn unescaped(name: &str) -> Option<String> {
    if let Some(word) = name.strip_prefix("__").and_then(|n| n.strip_suffix("__"))
        && is_word(word)
    {
        return Some(word.into());
    }
    let mut out = String::new();
    let mut rest = name;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("__") {
            let found = SIGNS.iter().find_map(|(word, c)| {
                let after = after.strip_prefix(word)?.strip_prefix("__")?;
                Some((*word, *c, after))
            });
            let (word, c, after) = found?;
            out.push(c);
            if word == "underscores" {
                out.push(c);
            }
            rest = after;
            continue;
        }
        let c = rest.chars().next()?;
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for (name, written) in [
            ("replicas", "replicas"),
            ("a.b-c/d", "a__dot__b__dash__c__slash__d"),
            ("x__y", "x__underscores__y"),
            ("namespace", "__namespace__"),
            ("in", "__in__"),
            ("_a", "_a"),
        ] {
            assert_eq!(escaped(name).as_deref(), Some(written));
            assert_eq!(unescaped(written).as_deref(), Some(name));
        }
        assert_eq!(escaped("a$b"), None);
        assert_eq!(escaped("1st"), None);
        assert_eq!(unescaped("a__what__b"), None);
    }
}
