//! The sandbox image: a program of some hundred bytes that waits and reaps, embedded.
//!
//! Its image is made here, byte by byte the same on every machine, so that its id depends on the
//! program alone. Source and bytes lie in `sandbox/`; a test builds them again. Called by the
//! runtimes' `ensure_sandbox_image`. Deliberately not here: what a sandbox is for.

use std::{fmt::Write as _, sync::OnceLock};

use evenkeel_model::Digest;

use crate::{Result, RuntimeError};

const X86_64: &[u8] = include_bytes!("../sandbox/sandbox-x86_64");
const AARCH64: &[u8] = include_bytes!("../sandbox/sandbox-aarch64");

/// The program's path in its image.
const PROGRAM: &str = "sandbox";

/// The image for one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The tag it is loaded under; holds the first digits of the program's digest.
    pub tag: String,
    /// Digest of its one layer, uncompressed.
    pub layer_digest: Digest,
    /// Digest of its configuration: the image's id in the engine's classic store.
    pub config_digest: Digest,
    config: String,
    layer: Vec<u8>,
}

/// The image for an architecture in Rust's words, as `x86_64`.
pub fn image(arch: &str) -> Result<&'static Image> {
    static IMAGES: [OnceLock<Option<Image>>; 2] = [const { OnceLock::new() }; 2];
    let (slot, program, name) = match arch {
        "x86_64" => (&IMAGES[0], X86_64, "amd64"),
        "aarch64" => (&IMAGES[1], AARCH64, "arm64"),
        _ => {
            return Err(RuntimeError::Other {
                message: format!("there is no sandbox program for this machine's architecture, {arch}"),
            });
        }
    };
    slot.get_or_init(|| build(program, name).ok())
        .as_ref()
        .ok_or_else(|| RuntimeError::Other { message: "the sandbox image could not be made".into() })
}

fn build(program: &[u8], arch: &str) -> std::io::Result<Image> {
    let layer = archive(&[(PROGRAM, 0o755, program)])?;
    let layer_digest = Digest::of(&layer);
    let mut config = String::new();
    // Written out, not serialized: these bytes are the image's id. It runs as nobody in particular.
    let _ = write!(
        config,
        r#"{{"architecture":"{arch}","config":{{"Entrypoint":["/{PROGRAM}"],"User":"65535:65535"}},"created":"1970-01-01T00:00:00Z","history":[{{"created":"1970-01-01T00:00:00Z","created_by":"evenkeel"}}],"os":"linux","rootfs":{{"diff_ids":["sha256:{layer_digest}"],"type":"layers"}}}}"#
    );
    let tag = format!("evenkeel.dev/sandbox:{}", Digest::of(program).short(12));
    Ok(Image { tag, layer_digest, config_digest: Digest::of(config.as_bytes()), config, layer })
}

/// The image as `docker save` writes one.
pub fn docker_archive(image: &Image) -> Result<Vec<u8>> {
    let config_name = format!("{}.json", image.config_digest);
    let layer_name = format!("{}/layer.tar", image.layer_digest);
    let manifest = format!(r#"[{{"Config":"{config_name}","RepoTags":["{}"],"Layers":["{layer_name}"]}}]"#, image.tag);
    archive(&[
        (&config_name, 0o644, image.config.as_bytes()),
        (&layer_name, 0o644, &image.layer),
        ("manifest.json", 0o644, manifest.as_bytes()),
    ])
    .map_err(|e| RuntimeError::Other { message: format!("cannot make the sandbox image's archive: {e}") })
}

/// A tar whose bytes depend on its arguments alone.
fn archive(files: &[(&str, u32, &[u8])]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, mode, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(bytes.len() as u64);
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        tar.append(&header, *bytes)?;
    }
    tar.into_inner()
}

#[cfg(test)]
mod tests {
    use std::{path::Path, process::Command};

    use super::*;

    #[test]
    fn the_program_is_small_and_the_image_always_the_same() {
        for arch in ["x86_64", "aarch64"] {
            let image = image(arch).unwrap();
            assert_eq!(docker_archive(image).unwrap(), docker_archive(image).unwrap());
            assert_eq!(Digest::of(image.config.as_bytes()), image.config_digest);
        }
        assert!(X86_64.len() < 1024 && AARCH64.len() < 1024);
        assert!(image("riscv64").is_err());
        // A change of these is a change of every sandbox's image: it must be meant.
        assert_eq!(image("x86_64").unwrap().tag, format!("evenkeel.dev/sandbox:{}", Digest::of(X86_64).short(12)));
    }

    /// Builds the program from its source and compares. The host's own assembler must be there
    /// (other crates need a C compiler anyway); the other architecture's is used where it is.
    #[test]
    fn the_committed_bytes_are_those_of_the_source() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("sandbox");
        let temporary = tempfile::tempdir().unwrap();
        for (arch, bytes) in [("x86_64", X86_64), ("aarch64", AARCH64)] {
            let host = arch == std::env::consts::ARCH;
            let prefix = if host { String::new() } else { format!("{arch}-linux-gnu-") };
            let object = temporary.path().join(format!("{arch}.o"));
            let binary = temporary.path().join(arch);
            let assembled = Command::new(format!("{prefix}as"))
                .arg("-o")
                .arg(&object)
                .arg(dir.join(format!("sandbox-{arch}.s")))
                .status();
            match assembled {
                Ok(status) => assert!(status.success(), "{arch}"),
                Err(error) if host => panic!("the assembler `as` (package binutils) is needed: {error}"),
                Err(_) => continue,
            }
            let copied = Command::new(format!("{prefix}objcopy"))
                .args(["-O", "binary", "-j", ".text"])
                .args([&object, &binary])
                .status()
                .unwrap();
            assert!(copied.success(), "{arch}");
            assert_eq!(std::fs::read(&binary).unwrap(), bytes, "{arch}: assemble it again and commit the bytes");
        }
    }
}
