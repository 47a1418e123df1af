//! Static tables, made by `examples/generate.rs`; the test `generated` holds them against `data/`.

#[rustfmt::skip]
pub(crate) mod kinds;
#[rustfmt::skip]
pub(crate) mod types;
