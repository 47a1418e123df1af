//! The generated types are what `proto/` says.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../examples/generate_wire.rs"]
#[allow(dead_code, unreachable_pub)]
mod generate;

use std::path::Path;

#[test]
fn the_types_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = std::fs::read_to_string(root.join("src/generated/agents.rs")).unwrap();
    assert!(generate::render(root).unwrap() == committed, "cargo run -p evenkeel-wire --example generate_wire");
}
