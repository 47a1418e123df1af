//! Following a list: what is there, then every change, for as long as it is asked for.
//!
//! Used by `get --watch`, `events --watch` and `sync --wait`. A watch that ends is begun again where
//! it ended; one that is too old begins with a new list.

use anyhow::Result;
use serde_json::Value;

use super::{objects::text, paths};
use crate::client::{Client, ClientError, Lines};

/// A watch of one collection.
pub(crate) struct Watch<'a> {
    client: &'a Client,
    path: String,
    selection: Vec<(String, String)>,
    accept: &'a str,
    version: String,
    lines: Option<Lines>,
}

/// One thing that happened.
pub(crate) struct Event {
    /// `ADDED`, `MODIFIED`, `DELETED`.
    pub(crate) what: String,
    /// The object, or a table with its row.
    pub(crate) object: Value,
}

impl<'a> Watch<'a> {
    /// Lists; gives the list, and the watch that goes on after it.
    pub(crate) async fn start(
        client: &'a Client,
        path: &str,
        selection: &[(&str, &str)],
        accept: &'a str,
    ) -> Result<(Value, Self)> {
        let list = client.get_as(&format!("{path}{}", paths::query(selection)), accept).await?;
        let version = text(&list, "/metadata/resourceVersion").to_owned();
        let selection = selection.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Ok((list, Self { client, path: path.to_owned(), selection, accept, version, lines: None }))
    }

    /// The next event; `None` when the version was too old and the list must be made again.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if self.lines.is_none() && !self.open().await? {
                return Ok(None);
            }
            let Some(lines) = &mut self.lines else { continue };
            let Some(line) = lines.next().await? else {
                self.lines = None;
                continue;
            };
            let mut event: Value = serde_json::from_slice(&line)?;
            let what = text(&event, "/type").to_owned();
            let object = event.get_mut("object").map(Value::take).unwrap_or_default();
            if what == "ERROR" {
                self.lines = None;
                if object.get("code").and_then(Value::as_u64) == Some(410) {
                    return Ok(None);
                }
                anyhow::bail!("the watch failed: {}", text(&object, "/message"));
            }
            let version = text(&object, "/metadata/resourceVersion");
            if !version.is_empty() {
                version.clone_into(&mut self.version);
            }
            if what != "BOOKMARK" {
                return Ok(Some(Event { what, object }));
            }
        }
    }

    /// Says whether the watch could go on.
    async fn open(&mut self) -> Result<bool> {
        let mut pairs: Vec<(&str, &str)> = self.selection.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        pairs.extend([("watch", "true"), ("allowWatchBookmarks", "true"), ("resourceVersion", self.version.as_str())]);
        match self.client.lines(&format!("{}{}", self.path, paths::query(&pairs)), self.accept).await {
            Ok(lines) => {
                self.lines = Some(lines);
                Ok(true)
            }
            Err(ClientError::Status { code: 410, .. }) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}
