//! Reading it back: everything at start, histories, snapshots.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use evenkeel_model::{
    Content, Custom, Digest, Doc, Key, Kind, Object, Snapshot, Uid, Version, custom::Names, ids::IdError, object,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params, types::ValueRef};

use super::{
    codec::{self, DocPlace, Remarks},
    sql,
    write::{doc_name, place, table},
};
use crate::{About, EncryptionKey, HistoryQuery, Ledger, SealedAs, SnapshotHead, StoreError};

/// What a read needs.
pub(super) struct Reader<'a> {
    pub(super) conn: &'a Connection,
    pub(super) dir: &'a Path,
    pub(super) key: &'a EncryptionKey,
}

/// Custom kinds by what the store writes of them.
type Customs = HashMap<String, Kind>;

/// The kind that a CustomResourceDefinition makes.
fn custom(definition: &Object) -> Option<(String, Kind)> {
    let names = Names::stored(definition.body_map().get("spec")?)?;
    let kind = Kind::Custom(Custom::new(&names));
    Some((kind.text().into_owned(), kind))
}

/// Shared bytes by id, each allocated once.
type Shared = HashMap<i64, Arc<[u8]>>;

impl Reader<'_> {
    /// Runs a query and reads each row; a row's own failure and SQLite's are told apart.
    fn each<T>(
        &self,
        doing: &'static str,
        query: &str,
        parameters: impl rusqlite::Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.conn.prepare_cached(query).map_err(sql(self.dir, doing))?;
        let mut rows = statement.query(parameters).map_err(sql(self.dir, doing))?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(sql(self.dir, doing))? {
            out.push(read(row)?);
        }
        Ok(out)
    }

    /// A column of a row.
    fn get<T: rusqlite::types::FromSql>(&self, row: &Row<'_>, column: &str) -> Result<T, StoreError> {
        row.get(column).map_err(sql(self.dir, "read a column"))
    }

    /// A column of bytes, without a copy.
    fn bytes<'r>(&self, row: &'r Row<'_>, column: &str) -> Result<&'r [u8], StoreError> {
        row.get_ref(column).and_then(|v| Ok(v.as_blob()?)).map_err(sql(self.dir, "read a column"))
    }

    pub(super) fn objects(&self) -> Result<Vec<Object>, StoreError> {
        let shared: Shared = self
            .each("read shared bytes", "SELECT id, bytes FROM blobs", [], |row| {
                Ok((self.get(row, "id")?, Arc::from(self.bytes(row, "bytes")?)))
            })?
            .into_iter()
            .collect();
        // Definitions first: the kinds of their objects are known by them.
        let definitions = "SELECT * FROM objects WHERE kind = ?1";
        let kind = Kind::CustomResourceDefinition.info().kind;
        let mut objects =
            self.each("read definitions", definitions, [kind], |row| self.object(row, &shared, &Customs::new()))?;
        let customs = objects.iter().filter_map(custom).collect();
        let others = "SELECT * FROM objects WHERE kind <> ?1";
        objects.extend(self.each("read objects", others, [kind], |row| self.object(row, &shared, &customs))?);
        for ledger in [Ledger::Releases, Ledger::Drifts, Ledger::Events] {
            let query = format!("SELECT * FROM {}", table(ledger));
            objects.extend(self.each("read records", &query, [], |row| self.record(ledger, row))?);
        }
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    fn object(&self, row: &Row<'_>, shared: &Shared, customs: &Customs) -> Result<Object, StoreError> {
        let text = self.get::<String>(row, "kind")?;
        let known = text.parse().or_else(|e| customs.get(&text).copied().ok_or(e));
        let kind: Kind = known.map_err(|e: IdError| StoreError::corrupt_by("an object's kind", e))?;
        let key = Key::new(kind, self.get::<Arc<str>>(row, "namespace")?, self.get::<Arc<str>>(row, "name")?);
        let cell = |column| -> Result<Arc<[u8]>, StoreError> {
            match row.get_ref(column).map_err(sql(self.dir, "read a column"))? {
                ValueRef::Integer(id) => shared
                    .get(&id)
                    .cloned()
                    .ok_or_else(|| StoreError::corrupt(format!("{column} {id} of {key} is missing"))),
                ValueRef::Blob([]) => Ok(object::empty()),
                ValueRef::Blob(bytes) => Ok(bytes.into()),
                _ => Err(StoreError::corrupt(format!("{column} of {key} has a wrong type"))),
            }
        };
        let (mut body, mut managed) = (cell("body")?, cell("managed")?);
        let (mut meta, mut status) = (self.bytes(row, "meta")?.to_vec(), self.bytes(row, "status")?.to_vec());
        if kind == Kind::Secret {
            let text = key.to_string();
            let open = |column, bytes: &[u8]| self.key.open(&place("objects", &text, column), bytes);
            body = open("body", &body)?.into();
            managed = open("managed", &managed)?.into();
            meta = open("meta", &meta)?;
            status = open("status", &status)?;
        }
        Ok(Object {
            uid: self.uid(row)?,
            version: self.version(row)?,
            meta: codec::meta_from(&meta)?,
            body,
            status: status.into(),
            managed,
            node: self.get(row, "node")?,
            key,
        })
    }

    fn record(&self, ledger: Ledger, row: &Row<'_>) -> Result<Object, StoreError> {
        let namespace: Arc<str> = self.get(row, "namespace")?;
        Ok(Object {
            key: Key::new(ledger.kind(), namespace, self.get::<Arc<str>>(row, "name")?),
            uid: self.uid(row)?,
            version: self.version(row)?,
            meta: codec::meta_from(self.bytes(row, "meta")?)?,
            body: self.bytes(row, "body")?.into(),
            status: self.bytes(row, "status")?.into(),
            managed: self.bytes(row, "managed")?.into(),
            node: None,
        })
    }

    fn uid(&self, row: &Row<'_>) -> Result<Uid, StoreError> {
        self.get::<[u8; 16]>(row, "uid").map(|b| Uid(u128::from_be_bytes(b)))
    }

    fn version(&self, row: &Row<'_>) -> Result<Version, StoreError> {
        self.get::<i64>(row, "version").map(|v| Version(v.cast_unsigned()))
    }

    pub(super) fn contents(&self) -> Result<Vec<(Digest, Content)>, StoreError> {
        self.each("read contents", "SELECT * FROM contents ORDER BY digest", [], |row| {
            let digest = Digest(self.get(row, "digest")?);
            let secret = self.get(row, "secret")?;
            let data = self.bytes(row, "data")?;
            let content = if secret {
                let data = self.key.open(&place("contents", &digest.to_string(), "data"), data)?;
                codec::content_from(secret, &data)?
            } else {
                codec::content_from(secret, data)?
            };
            Ok((digest, content))
        })
    }

    pub(super) fn heads(&self) -> Result<Vec<SnapshotHead>, StoreError> {
        self.each("read snapshots", "SELECT * FROM snapshots ORDER BY digest", [], |row| {
            let digest = Digest(self.get(row, "digest")?);
            let Some(source) = self.get::<Option<Arc<str>>>(row, "source")? else {
                return Ok(SnapshotHead { digest, seal: None });
            };
            let revision = self
                .get::<String>(row, "revision")?
                .parse()
                .map_err(|e: IdError| StoreError::corrupt_by("a snapshot's revision", e))?;
            Ok(SnapshotHead { digest, seal: Some(SealedAs { source, revision, docs: self.get(row, "docs")? }) })
        })
    }

    pub(super) fn meta(&self) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let all = self.each("read values", "SELECT name, value FROM meta", [], |row| {
            Ok((self.get(row, "name")?, self.get(row, "value")?))
        })?;
        Ok(all.into_iter().collect())
    }

    pub(super) fn history(&self, query: &HistoryQuery) -> Result<Vec<Object>, StoreError> {
        let (condition, about) = match (&query.about, query.ledger) {
            (About::All, _) => ("?1 = ''", String::new()),
            (About::Source(_), Ledger::Events) | (About::Object(_), Ledger::Releases) => return Ok(Vec::new()),
            (About::Source(source), _) if source.is_empty() => return Ok(Vec::new()),
            (About::Source(source), _) => ("source = ?1", source.to_string()),
            (About::Object(key), _) => ("about = ?1", key.to_string()),
        };
        let statement = format!(
            "SELECT * FROM {} WHERE {condition} AND time >= ?2 AND time < ?3 \
             ORDER BY time DESC, version DESC, namespace, name LIMIT ?4",
            table(query.ledger)
        );
        let since = query.since.map_or(i64::MIN, |t| t.0);
        let before = query.before.map_or(i64::MAX, |t| t.0);
        self.each("read a history", &statement, params![about, since, before, query.limit], |row| {
            self.record(query.ledger, row)
        })
    }

    pub(super) fn snapshot(&self, digest: Digest) -> Result<Option<Snapshot>, StoreError> {
        let head: Option<(i64, Option<Vec<u8>>)> = self
            .conn
            .prepare_cached("SELECT id, remarks FROM snapshots WHERE digest = ?1")
            .and_then(|mut s| s.query_row([&digest.0[..]], |row| Ok((row.get(0)?, row.get(1)?))).optional())
            .map_err(sql(self.dir, "read a snapshot"))?;
        let Some((id, Some(remarks))) = head else { return Ok(None) };
        let remarks: Remarks = codec::json_from(&remarks, "a snapshot's remarks")?;
        let query = "SELECT d.digest, d.key, d.value, p.place FROM snapshot_docs p JOIN docs d ON d.id = p.doc \
                     WHERE p.snapshot = ?1 ORDER BY p.position";
        let docs = self.each("read a snapshot's documents", query, [id], |row| self.doc(row).map(Arc::new))?;
        Ok(Some(Snapshot { docs, warnings: remarks.warnings, skipped: remarks.skipped }))
    }

    fn doc(&self, row: &Row<'_>) -> Result<Doc, StoreError> {
        let text: String = self.get(row, "key")?;
        let what = || format!("the document of {text}");
        let at: DocPlace = codec::json_from(self.bytes(row, "place")?, &what())?;
        let key = at.key(&text).map_err(|e| StoreError::corrupt_by("a document's key", e))?;
        let bytes = self.bytes(row, "value")?;
        let value = if key.kind == Kind::Secret {
            codec::json_from(&self.key.open(&place("docs", &text, "value"), bytes)?, &what())?
        } else {
            codec::json_from(bytes, &what())?
        };
        let doc = Doc::new(key, value, at.place, at.references);
        // What a rollback applies must be what the revision said.
        if self.bytes(row, "digest")? != doc_name(self.key, &doc.key, doc.digest) {
            return Err(StoreError::corrupt(format!("{} is not what was stored", what())));
        }
        Ok(doc)
    }
}
