//! Where the passphrase of a backup comes from: a file, or a terminal that does not show it.

use std::{
    fs::File,
    io::{IsTerminal as _, Read as _},
    path::Path,
};

use anyhow::{Context as _, Result};

use super::error::hinted;

/// Bytes of a passphrase file that are read.
const LIMIT: u64 = 4096;

/// Asked for to seal something: on a terminal twice, for a slip would lock everybody out.
pub(crate) fn new(file: Option<&Path>) -> Result<String> {
    if let Some(file) = file {
        return read(file);
    }
    let first = ask("Passphrase: ")?;
    if first.is_empty() {
        return Err(hinted("the passphrase is empty", "--plain leaves the backup open, keys and all"));
    }
    if ask("The same again: ")? != first {
        anyhow::bail!("the two passphrases differ");
    }
    Ok(first)
}

/// Asked for to open something.
pub(crate) fn known(file: Option<&Path>) -> Result<String> {
    file.map_or_else(|| ask("Passphrase: "), read)
}

/// The first line of a file.
fn read(file: &Path) -> Result<String> {
    let mut text = String::new();
    let opened = File::open(file).and_then(|f| f.take(LIMIT).read_to_string(&mut text));
    opened.with_context(|| format!("the passphrase file {}", file.display()))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        anyhow::bail!("the first line of {} is empty", file.display());
    }
    Ok(line.to_owned())
}

fn ask(prompt: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(hinted(
            "a passphrase is needed, and there is no terminal to ask on",
            "--passphrase-file FILE reads it from the first line of a file",
        ));
    }
    rpassword::prompt_password(prompt).context("the passphrase cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p");
        std::fs::write(&file, "correct horse\nnot this\n").unwrap();
        assert_eq!(new(Some(&file)).unwrap(), "correct horse");
        std::fs::write(&file, "\n").unwrap();
        assert!(known(Some(&file)).is_err());
    }
}
