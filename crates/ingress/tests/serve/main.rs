//! Ingresses served to real clients over real connections, all on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bounds;
mod change;
mod kit;
mod protocols;
mod retry;
mod shapes;
mod silent;
mod ways;
