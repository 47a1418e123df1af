//! End to end, on real parts: the built binary, real git, SQLite, Docker and kubectl. One file a
//! story. Nothing is skipped: a missing part is an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod access;
mod adopt;
mod amnesia;
mod backup;
mod bad_commits;
mod balancer;
mod by_hand;
mod crash;
mod custom;
mod debug;
mod disk_full;
mod doors;
mod drain;
mod drift;
mod engine;
mod engine_restart;
mod exec;
mod first_sync;
mod forward;
mod hand;
mod ingress;
mod inside;
mod kubectl;
mod logs;
mod networking;
mod openapi;
mod ownership;
mod pause;
mod pods;
mod policy;
mod python;
mod quota;
mod rollback;
mod rolling_update;
mod secrets;
mod sources;
mod streams;
mod support;
mod upgrade;
