//! From changes of the world to writes of the store.

use std::sync::Arc;

use evenkeel_core::Change;
use evenkeel_model::{Digest, Version};
use evenkeel_store::{Batch, Op, Seal};

/// Documents written in one transaction while a revision is staged: small enough that no
/// transaction takes long.
const STAGE_PART: usize = 1000;

/// The transactions of a batch: parts of new revisions first, where nothing acts on them, then the
/// one that counts. `key` is that of digests.
pub(crate) fn transactions(from: Version, to: Version, changes: &[Change], key: &[u8; 32]) -> (Vec<Batch>, Batch) {
    let mut staged = Vec::new();
    let mut ops = Vec::with_capacity(changes.len());
    for change in changes {
        match change {
            Change::Put(object) => ops.push(Op::Put(object.clone())),
            Change::Delete(key) => ops.push(Op::Delete(key.clone(), to)),
            Change::PutContent(content) => ops.push(Op::PutContent(content.digest(key), content.clone())),
            Change::DropContent(digest) => ops.push(Op::DropContent(*digest)),
            Change::DropSnapshot(digest) => ops.push(Op::DropSnapshot(*digest)),
            Change::KeepSnapshot { source, revision, snapshot } => {
                let digest = snapshot.digest();
                for (i, part) in snapshot.docs.chunks(STAGE_PART).enumerate() {
                    staged.push(stage(from, digest, i * STAGE_PART, part));
                }
                ops.push(Op::SealSnapshot(Box::new(Seal {
                    digest,
                    source: source.clone(),
                    revision: revision.clone(),
                    docs: count(snapshot.docs.len()),
                    warnings: snapshot.warnings.clone(),
                    skipped: snapshot.skipped.clone(),
                })));
            }
        }
    }
    (staged, Batch { from, to, ops })
}

fn stage(at: Version, snapshot: Digest, first: usize, docs: &[Arc<evenkeel_model::Doc>]) -> Batch {
    Batch { from: at, to: at, ops: vec![Op::StageDocs { snapshot, first: count(first), docs: docs.to_vec() }] }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
