//! One operation of a batch, inside its transaction.

use std::{borrow::Cow, path::Path, sync::Arc};

use evenkeel_model::{Content, Digest, Doc, Key, Kind, Object, canonical};
use rusqlite::{Connection, OptionalExtension as _, params, types::ValueRef};

use super::{
    blobs::{Blobs, Cell},
    codec::{self, DocPlace, Remarks},
    sql,
};
use crate::{EncryptionKey, Ledger, Op, Seal, StoreError, ledger};

/// What a write needs beside the operation.
pub(super) struct Writer<'a> {
    pub(super) conn: &'a Connection,
    pub(super) dir: &'a Path,
    pub(super) key: &'a EncryptionKey,
    pub(super) blobs: &'a mut Blobs,
}

/// The table of a ledger.
pub(super) fn table(ledger: Ledger) -> &'static str {
    match ledger {
        Ledger::Releases => "releases",
        Ledger::Drifts => "drifts",
        Ledger::Events => "events",
    }
}

/// What a sealed value is bound to: its table, row and column.
pub(super) fn place(table: &str, row: &str, column: &str) -> Vec<u8> {
    // No separator can occur in a table's name; a row's text ends at the last one.
    format!("{table}\n{row}\n{column}").into_bytes()
}

/// The name under which a document lies.
pub(super) fn doc_name(key: &EncryptionKey, doc: &Key, digest: Digest) -> [u8; 32] {
    // The plain digest of a Secret would let a reader of the file try guesses at its values.
    if doc.kind == Kind::Secret { key.blind("doc", &digest.0) } else { digest.0 }
}

impl Writer<'_> {
    pub(super) fn apply(&mut self, op: &Op) -> Result<(), StoreError> {
        match op {
            Op::Put(object) => match Ledger::of(object.key.kind) {
                Some(ledger) => self.put_record(ledger, object),
                None => self.put(object),
            },
            Op::Delete(key, _) => match Ledger::of(key.kind) {
                Some(ledger) => self.delete_record(ledger, key),
                None => self.delete(key),
            },
            Op::PutContent(digest, content) => self.put_content(*digest, content),
            Op::DropContent(digest) => self
                .conn
                .prepare_cached("DELETE FROM contents WHERE digest = ?1")
                .and_then(|mut s| s.execute([&digest.0[..]]))
                .map(drop)
                .map_err(sql(self.dir, "drop a content")),
            Op::StageDocs { snapshot, first, docs } => self.stage(*snapshot, *first, docs),
            Op::SealSnapshot(seal) => self.seal(seal),
            Op::DropSnapshot(digest) => self.drop_snapshot(*digest),
            Op::SetMeta(name, value) => self.set_meta(name, value),
            Op::RaiseEpoch(to) => self
                .conn
                .prepare_cached("UPDATE store SET epoch = max(epoch, ?1)")
                .and_then(|mut s| s.execute([to.cast_signed()]))
                .map(drop)
                .map_err(sql(self.dir, "raise the epoch")),
        }
    }

    fn put(&mut self, object: &Object) -> Result<(), StoreError> {
        let key = &object.key;
        let kind = &*key.kind.text();
        let uid = object.uid.0.to_be_bytes();
        let version = object.version.0.cast_signed();
        let node = object.node.as_deref();
        let (meta, body, status, managed) = self.columns(object)?;
        // The common write changes neither body nor managed fields: one statement, no count.
        let same = self
            .conn
            .prepare_cached(
                "UPDATE objects SET uid = ?1, version = ?2, meta = ?3, status = ?4, node = ?5 \
                 WHERE kind = ?6 AND namespace = ?7 AND name = ?8 AND body = ?9 AND managed = ?10",
            )
            .and_then(|mut s| {
                s.execute(params![uid, version, meta, status, node, kind, &*key.namespace, &*key.name, body, managed])
            })
            .map_err(sql(self.dir, "write an object"))?;
        if same > 0 {
            return Ok(());
        }
        // Next in number are new ones.
        let new = self
            .conn
            .prepare_cached(
                "INSERT INTO objects (kind, namespace, name, uid, version, meta, body, status, managed, node) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (kind, namespace, name) DO NOTHING",
            )
            .and_then(|mut s| {
                s.execute(params![kind, &*key.namespace, &*key.name, uid, version, meta, body, status, managed, node])
            })
            .map_err(sql(self.dir, "write an object"))?;
        if new == 0
            && let Some(id) = self.take_cells(key)?
        {
            self.conn
                .prepare_cached(
                    "UPDATE objects SET uid = ?1, version = ?2, meta = ?3, body = ?4, status = ?5, managed = ?6, \
                     node = ?7 WHERE id = ?8",
                )
                .and_then(|mut s| s.execute(params![uid, version, meta, body, status, managed, node, id]))
                .map_err(sql(self.dir, "write an object"))?;
        }
        self.blobs.hold(&body);
        self.blobs.hold(&managed);
        Ok(())
    }

    /// Metadata, body, status and managed fields as they lie in the table. All of a Secret's are
    /// sealed: an annotation may hold its values as well.
    #[allow(clippy::type_complexity)] // four columns, named where they are used
    fn columns<'o>(&mut self, object: &'o Object) -> Result<(Vec<u8>, Cell<'o>, Cow<'o, [u8]>, Cell<'o>), StoreError> {
        let meta = codec::meta_bytes(&object.meta)?;
        if object.key.kind != Kind::Secret {
            let body = self.blobs.cell(self.conn, self.dir, &object.body)?;
            let managed = self.blobs.cell(self.conn, self.dir, &object.managed)?;
            return Ok((meta, body, Cow::Borrowed(&object.status), managed));
        }
        let row = object.key.to_string();
        let seal = |column, bytes: &[u8]| self.key.seal(&place("objects", &row, column), bytes);
        Ok((
            seal("meta", &meta)?,
            Cell::Inline(Cow::Owned(seal("body", &object.body)?)),
            Cow::Owned(seal("status", &object.status)?),
            Cell::Inline(Cow::Owned(seal("managed", &object.managed)?)),
        ))
    }

    /// Lets go of what the row of a key shares, and gives its id.
    fn take_cells(&mut self, key: &Key) -> Result<Option<i64>, StoreError> {
        let blobs = &mut *self.blobs;
        self.conn
            .prepare_cached("SELECT id, body, managed FROM objects WHERE kind = ?1 AND namespace = ?2 AND name = ?3")
            .and_then(|mut s| {
                s.query_row(params![&*key.kind.text(), &*key.namespace, &*key.name], |row| {
                    for column in [1, 2] {
                        if let cell @ ValueRef::Integer(_) = row.get_ref(column)? {
                            blobs.release(cell);
                        }
                    }
                    row.get(0)
                })
                .optional()
            })
            .map_err(sql(self.dir, "look for an object"))
    }

    fn delete(&mut self, key: &Key) -> Result<(), StoreError> {
        if let Some(id) = self.take_cells(key)? {
            self.conn
                .prepare_cached("DELETE FROM objects WHERE id = ?1")
                .and_then(|mut s| s.execute([id]))
                .map_err(sql(self.dir, "delete an object"))?;
        }
        Ok(())
    }

    fn put_record(&mut self, ledger: Ledger, object: &Object) -> Result<(), StoreError> {
        let entry = ledger::entry(ledger, object);
        let meta = codec::meta_bytes(&object.meta)?;
        let statement = match ledger {
            Ledger::Releases => concat!("INSERT INTO releases ", record_upsert!()),
            Ledger::Drifts => concat!("INSERT INTO drifts ", record_upsert!()),
            Ledger::Events => concat!("INSERT INTO events ", record_upsert!()),
        };
        self.conn
            .prepare_cached(statement)
            .and_then(|mut s| {
                s.execute(params![
                    &*object.key.namespace,
                    &*object.key.name,
                    object.uid.0.to_be_bytes(),
                    object.version.0.cast_signed(),
                    meta,
                    &object.body[..],
                    &object.status[..],
                    &object.managed[..],
                    entry.source,
                    entry.about,
                    entry.time.0,
                    entry.state,
                ])
            })
            .map(drop)
            .map_err(sql(self.dir, "write a record"))
    }

    fn delete_record(&mut self, ledger: Ledger, key: &Key) -> Result<(), StoreError> {
        let statement = match ledger {
            Ledger::Releases => "DELETE FROM releases WHERE namespace = ?1 AND name = ?2",
            Ledger::Drifts => "DELETE FROM drifts WHERE namespace = ?1 AND name = ?2",
            Ledger::Events => "DELETE FROM events WHERE namespace = ?1 AND name = ?2",
        };
        self.conn
            .prepare_cached(statement)
            .and_then(|mut s| s.execute([&*key.namespace, &*key.name]))
            .map(drop)
            .map_err(sql(self.dir, "delete a record"))
    }

    fn put_content(&mut self, digest: Digest, content: &Content) -> Result<(), StoreError> {
        let mut data = codec::content_bytes(content);
        if content.secret {
            data = self.key.seal(&place("contents", &digest.to_string(), "data"), &data)?;
        }
        self.conn
            .prepare_cached("INSERT INTO contents (digest, secret, data) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")
            .and_then(|mut s| s.execute(params![digest.0, content.secret, data]))
            .map(drop)
            .map_err(sql(self.dir, "write a content"))
    }

    fn snapshot_id(&self, digest: Digest) -> Result<i64, StoreError> {
        let failed = || sql(self.dir, "write a snapshot");
        let found = self
            .conn
            .prepare_cached("SELECT id FROM snapshots WHERE digest = ?1")
            .and_then(|mut s| s.query_row([&digest.0[..]], |row| row.get(0)).optional())
            .map_err(failed())?;
        match found {
            Some(id) => Ok(id),
            None => self
                .conn
                .prepare_cached("INSERT INTO snapshots (digest) VALUES (?1)")
                .and_then(|mut s| s.insert([&digest.0[..]]))
                .map_err(failed()),
        }
    }

    fn stage(&mut self, snapshot: Digest, first: u32, docs: &[Arc<Doc>]) -> Result<(), StoreError> {
        let snapshot = self.snapshot_id(snapshot)?;
        for (position, doc) in (first..).zip(docs) {
            let id = self.doc_id(doc)?;
            let place = codec::json_bytes(&DocPlace::of(doc))?;
            self.conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO snapshot_docs (snapshot, position, doc, place) VALUES (?1, ?2, ?3, ?4)",
                )
                .and_then(|mut s| s.execute(params![snapshot, position, id, place]))
                .map_err(sql(self.dir, "stage a document"))?;
        }
        Ok(())
    }

    fn doc_id(&mut self, doc: &Doc) -> Result<i64, StoreError> {
        let name = doc_name(self.key, &doc.key, doc.digest);
        let found = self
            .conn
            .prepare_cached("SELECT id FROM docs WHERE digest = ?1")
            .and_then(|mut s| s.query_row([name], |row| row.get(0)).optional())
            .map_err(sql(self.dir, "look for a document"))?;
        if let Some(id) = found {
            return Ok(id);
        }
        let mut value = canonical::value_bytes(&doc.value);
        let key = doc.key.to_string();
        if doc.key.kind == Kind::Secret {
            value = self.key.seal(&place("docs", &key, "value"), &value)?;
        }
        self.conn
            .prepare_cached("INSERT INTO docs (digest, key, value) VALUES (?1, ?2, ?3)")
            .and_then(|mut s| s.insert(params![name, key, value]))
            .map_err(sql(self.dir, "write a document"))
    }

    fn seal(&mut self, seal: &Seal) -> Result<(), StoreError> {
        let id = self.snapshot_id(seal.digest)?;
        let found: i64 = self
            .conn
            .prepare_cached("SELECT count(*) FROM snapshot_docs WHERE snapshot = ?1")
            .and_then(|mut s| s.query_row([id], |row| row.get(0)))
            .map_err(sql(self.dir, "count a snapshot's documents"))?;
        if found != i64::from(seal.docs) {
            return Err(StoreError::Incomplete {
                digest: seal.digest.to_string(),
                found: found.cast_unsigned(),
                expected: u64::from(seal.docs),
            });
        }
        let remarks = codec::json_bytes(&Remarks { warnings: seal.warnings.clone(), skipped: seal.skipped.clone() })?;
        self.conn
            .prepare_cached("UPDATE snapshots SET source = ?1, revision = ?2, docs = ?3, remarks = ?4 WHERE id = ?5")
            .and_then(|mut s| s.execute(params![&*seal.source, seal.revision.as_str(), seal.docs, remarks, id]))
            .map(drop)
            .map_err(sql(self.dir, "seal a snapshot"))
    }

    fn drop_snapshot(&mut self, digest: Digest) -> Result<(), StoreError> {
        let failed = || sql(self.dir, "drop a snapshot");
        self.conn
            .prepare_cached(
                "DELETE FROM docs WHERE id IN (SELECT d.doc FROM snapshot_docs d JOIN snapshots s ON s.id = d.snapshot \
                 WHERE s.digest = ?1) AND NOT EXISTS (SELECT 1 FROM snapshot_docs o JOIN snapshots s \
                 ON s.id = o.snapshot WHERE o.doc = docs.id AND s.digest <> ?1)",
            )
            .and_then(|mut s| s.execute([&digest.0[..]]))
            .map_err(failed())?;
        self.conn
            .prepare_cached("DELETE FROM snapshots WHERE digest = ?1")
            .and_then(|mut s| s.execute([&digest.0[..]]))
            .map(drop)
            .map_err(failed())
    }

    fn set_meta(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        if value.is_empty() {
            self.conn.prepare_cached("DELETE FROM meta WHERE name = ?1").and_then(|mut s| s.execute([name]))
        } else {
            self.conn
                .prepare_cached(
                    "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
                )
                .and_then(|mut s| s.execute(params![name, value]))
        }
        .map(drop)
        .map_err(sql(self.dir, "write a value"))
    }
}
