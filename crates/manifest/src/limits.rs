//! Bounds of what a source's files may be, each with its reason. Beyond them a file is refused
//! with a clear error.

/// A file's size in bytes. Manifests are written by people and generators; the largest that are
/// seen (bundles of custom resource definitions) have a few MiB.
pub const MAX_FILE_BYTES: usize = 32 << 20;

/// Documents of one file, items of lists included.
pub const MAX_DOCUMENTS: usize = 100_000;

/// Levels of mappings and lists, aliases expanded. The deepest field of Kubernetes lies below 20;
/// the walks that follow are recursive and need a bound.
pub const MAX_DEPTH: u32 = 100;

/// Values (scalars, mappings, lists) of one document, and of one file. A value takes up to some
/// 250 bytes in memory, so these bound what a hostile file costs; an ordinary one has a value for
/// every 10 to 20 bytes of its text.
pub const MAX_DOCUMENT_VALUES: usize = 1_000_000;
/// See [`MAX_DOCUMENT_VALUES`].
pub const MAX_FILE_VALUES: usize = 4_000_000;

/// Bytes (64 a value, and its text) that aliases of one file may add by being expanded.
/// Honest files repeat a block some dozen times; a bomb wants gigabytes.
pub const MAX_ALIAS_BYTES: u64 = 16 << 20;

/// Complaints kept of one file; the rest is counted.
pub const MAX_DIAGNOSTICS: usize = 1000;

/// Characters of a line that a complaint shows.
pub const MAX_EXCERPT: usize = 160;

/// Bytes that are read again in one file because blanks are missing that only the parser wants.
/// Each such place costs a reading of its document.
pub const MAX_AGAIN_BYTES: usize = 64 << 20;
