//! Writes the table of what is supported into `docs/manifests.md`:
//! `cargo run -p evenkeel-schema --example support`. The test `generated` compares.

#![allow(clippy::disallowed_methods)] // a developer's tool reads and writes the page

use std::{error::Error, fs, path::Path};

const MARK: &str = "a test holds it -->\n\n";

fn main() -> Result<(), Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manifests.md");
    let page = fs::read_to_string(&path)?;
    let (text, _) = page.split_once(MARK).ok_or("docs/manifests.md has lost its mark")?;
    fs::write(&path, format!("{text}{MARK}{}", evenkeel_schema::support::markdown()))?;
    Ok(())
}
