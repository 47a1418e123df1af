//! End to end, on real parts: the built binary, real git, SQLite, Docker and kubectl. One file a
//! story. Nothing is skipped: a missing part is an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod first_sync;
mod support;
