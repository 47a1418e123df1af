//! Makes `src/generated/` from `proto/`: `cargo run -p evenkeel-wire --example generate_wire`.
//!
//! The output is committed, so that a build needs neither a compiler of .proto files nor the time
//! for one; a test makes it again and compares.

use std::path::Path;

/// What the generated file opens with.
const HEAD: &str = "//! The agents' protocol as Rust types. Generated from `proto/agents.proto` by the example
//! `generate_wire`; a test holds the two together. Not to be edited.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

";

/// The generated file's text, from the .proto below a crate's folder.
pub fn render(root: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let folder = root.join("proto");
    let set = protox::compile([folder.join("agents.proto")], [&folder])?;
    let out = std::env::temp_dir().join(format!("evenkeel-wire-{}", std::process::id()));
    std::fs::create_dir_all(&out)?;
    let made = tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .btree_map(".")
        .skip_debug(["PodContent", "JoinRequest", "Part", "Certificate", "TokenReply"])
        .out_dir(&out)
        .compile_fds(set);
    let text = made.and_then(|()| std::fs::read_to_string(out.join("evenkeel.agent.v1.rs")));
    std::fs::remove_dir_all(&out)?;
    Ok(format!("{HEAD}{}", text?))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::write(root.join("src/generated/agents.rs"), render(root)?)?;
    Ok(())
}
