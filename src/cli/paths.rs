//! Paths of the API: kinds by the words that people use for them.

use anyhow::Result;
use evenkeel_model::{Kind, SourceName};
use serde_json::Value;

use super::error::hinted;
use crate::client::Client;

/// Where objects are looked for.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Scope {
    /// Namespace [default: that of the kubeconfig's context, else `default`]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
}

impl Scope {
    /// The namespace; empty for all.
    pub(crate) fn of(&self, client: &Client) -> String {
        if self.all_namespaces {
            String::new()
        } else {
            self.namespace.clone().unwrap_or_else(|| client.namespace().to_owned())
        }
    }
}

/// The kind that a word means, as `deploy` or `pods`.
pub(crate) fn kind(word: &str) -> Result<Kind> {
    Kind::of_word(word).ok_or_else(|| {
        let all: Vec<&str> = Kind::ALL.iter().map(|k| k.info().plural).collect();
        hinted(format!("there is no kind `{word}`"), format!("one of {}", all.join(", ")))
    })
}

/// KIND NAME or KIND/NAME: the word of the kind, and the name where there is one.
pub(crate) fn kind_and_name(word: &str, name: Option<String>) -> Result<(&str, Option<String>)> {
    match (word.split_once('/'), name) {
        (Some((kind, name)), None) => Ok((kind, Some(name.to_owned()))),
        (None, name) => Ok((word, name)),
        (Some(_), Some(_)) => Err(hinted("KIND/NAME takes no second name", "one object at a time")),
    }
}

/// The path of all objects of a kind; an empty namespace means all.
pub(crate) fn collection(kind: Kind, namespace: &str) -> String {
    let info = kind.info();
    let group = if info.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", info.group) };
    let space = if kind.namespaced() && !namespace.is_empty() {
        format!("/namespaces/{}", encode(namespace))
    } else {
        String::new()
    };
    format!("{group}/{}{space}/{}", info.version, info.plural)
}

/// The path of one object.
pub(crate) fn item(kind: Kind, namespace: &str, name: &str) -> String {
    format!("{}/{}", collection(kind, namespace), encode(name))
}

/// The path of a Source.
pub(crate) fn source(name: &str) -> String {
    item(Kind::Source, "", name)
}

/// A query, encoded; empty values are left out.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    let parts: Vec<String> =
        pairs.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| format!("{k}={}", encode(v))).collect();
    if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
}

/// Percent-encoding of everything but what is safe everywhere.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) {
            out.push(char::from(b));
        } else {
            let digit = |n: u8| char::from(b"0123456789ABCDEF"[usize::from(n & 0xf)]);
            out.extend(['%', digit(b >> 4), digit(b)]);
        }
    }
    out
}

/// The name given, or that of the only Source there is.
pub(crate) async fn one_source(client: &Client, given: Option<&str>) -> Result<SourceName> {
    if let Some(name) = given {
        return Ok(name.into());
    }
    let names = source_names(client).await?;
    match names.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(hinted("there is no source", "add one: `evenkeel source add NAME DIR|URL`")),
        several => Err(hinted("there are several sources", format!("name one of {}", several.join(", ")))),
    }
}

/// Names of all Sources.
pub(crate) async fn source_names(client: &Client) -> Result<Vec<SourceName>> {
    let list = client.get(&collection(Kind::Source, "")).await?;
    let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
    Ok(items.filter_map(|o| o.pointer("/metadata/name")?.as_str()).map(Into::into).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_paths() {
        assert_eq!(kind("po").unwrap(), Kind::Pod);
        assert!(kind("widgets").is_err());
        assert_eq!(item(Kind::Pod, "shop", "a"), "/api/v1/namespaces/shop/pods/a");
        assert_eq!(collection(Kind::Deployment, ""), "/apis/apps/v1/deployments");
        assert_eq!(item(Kind::Source, "shop", "a b"), "/apis/evenkeel.dev/v1alpha1/sources/a%20b");
        assert_eq!(query(&[("a", "x=y"), ("b", "")]), "?a=x%3Dy");
    }
}
