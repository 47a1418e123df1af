//! Bytes that many rows share: the body of the pods of one template is written once.
//!
//! A row holds either the bytes, when they are few, or the id of a row of `blobs`. How many rows
//! use a blob is counted in memory (the table `objects` is the truth, counted when it is loaded),
//! so that making a pod writes no counter; a blob that a transaction leaves unused goes with it.

use std::{borrow::Cow, collections::HashMap, path::Path, sync::Arc};

use evenkeel_model::Digest;
use rusqlite::{
    Connection, OptionalExtension as _,
    types::{ToSql, ToSqlOutput, Value, ValueRef},
};

use super::sql;
use crate::StoreError;

/// Up to here bytes lie in their row: an entry of the digest's index would weigh as much.
const INLINE_MAX: usize = 256;
/// Blobs whose id is remembered by their address: the templates of one batch, many times over. A
/// bound, because each entry keeps its bytes alive.
const KNOWN_MAX: usize = 256;

/// What stands in a column that may share.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cell<'a> {
    Inline(Cow<'a, [u8]>),
    Shared(i64),
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Inline(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::Shared(id) => ToSqlOutput::Owned(Value::Integer(*id)),
        })
    }
}

/// The shared bytes of one database.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    /// Rows that use each blob; `None` until they were counted.
    uses: Option<HashMap<i64, u32>>,
    /// Ids by the address of the bytes, which the entry keeps from being used again.
    known: HashMap<usize, (Arc<[u8]>, i64)>,
    /// Blobs that this transaction made or let go of.
    touched: Vec<i64>,
}

impl Blobs {
    /// The cell for these bytes; makes the blob if there is none.
    pub(super) fn cell<'a>(
        &mut self,
        conn: &Connection,
        dir: &Path,
        bytes: &'a Arc<[u8]>,
    ) -> Result<Cell<'a>, StoreError> {
        if bytes.len() <= INLINE_MAX {
            return Ok(Cell::Inline(Cow::Borrowed(bytes)));
        }
        let address = bytes.as_ptr().addr();
        if let Some((_, id)) = self.known.get(&address) {
            return Ok(Cell::Shared(*id));
        }
        let digest = Digest::of(bytes);
        let found: Option<i64> = conn
            .prepare_cached("SELECT id FROM blobs WHERE digest = ?1")
            .and_then(|mut s| s.query_row([&digest.0[..]], |row| row.get(0)).optional())
            .map_err(sql(dir, "look for shared bytes"))?;
        let id = if let Some(id) = found {
            id
        } else {
            conn.prepare_cached("INSERT INTO blobs (digest, bytes) VALUES (?1, ?2)")
                .and_then(|mut s| s.insert((&digest.0[..], &bytes[..])))
                .map_err(sql(dir, "write shared bytes"))
                .inspect(|id| self.touched.push(*id))?
        };
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(address, (bytes.clone(), id));
        Ok(Cell::Shared(id))
    }

    /// One row more uses this cell.
    pub(super) fn hold(&mut self, cell: &Cell<'_>) {
        if let (Cell::Shared(id), Some(uses)) = (cell, &mut self.uses) {
            *uses.entry(*id).or_default() += 1;
        }
    }

    /// One row less uses this cell, as it was read from the row.
    pub(super) fn release(&mut self, cell: ValueRef<'_>) {
        if let (ValueRef::Integer(id), Some(uses)) = (cell, &mut self.uses) {
            if let Some(n) = uses.get_mut(&id) {
                *n = n.saturating_sub(1);
            }
            self.touched.push(id);
        }
    }

    /// Removes what this transaction left unused.
    pub(super) fn sweep(&mut self, conn: &Connection, dir: &Path) -> Result<(), StoreError> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let Some(uses) = &mut self.uses else { return Ok(()) };
        touched.retain(|id| uses.get(id).is_none_or(|n| *n == 0));
        for id in &touched {
            uses.remove(id);
            conn.prepare_cached("DELETE FROM blobs WHERE id = ?1")
                .and_then(|mut s| s.execute([id]))
                .map_err(sql(dir, "remove shared bytes"))?;
        }
        if !touched.is_empty() {
            self.known.retain(|_, (_, id)| !touched.contains(id));
        }
        Ok(())
    }

    /// After a transaction that was undone: what is remembered may not be so.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Counts the uses, once.
    pub(super) fn count(&mut self, conn: &Connection, dir: &Path) -> Result<(), StoreError> {
        if self.uses.is_some() {
            return Ok(());
        }
        let mut uses = HashMap::new();
        let mut count = || -> rusqlite::Result<()> {
            for column in ["body", "managed"] {
                let mut statement = conn.prepare(&format!(
                    "SELECT {column}, count(*) FROM objects WHERE typeof({column}) = 'integer' GROUP BY {column}"
                ))?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    *uses.entry(row.get(0)?).or_default() += row.get::<_, u32>(1)?;
                }
            }
            Ok(())
        };
        count().map_err(sql(dir, "count shared bytes"))?;
        self.uses = Some(uses);
        Ok(())
    }
}
