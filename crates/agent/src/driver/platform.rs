//! Whether this machine runs an image: one that was built for another architecture starts and ends
//! at once with "exec format error", in a loop whose reason is only in the container's output. So it
//! is said when the image is had.
//!
//! Used by `work` and `node`.

use std::path::Path;

use evenkeel_runtime::{ImageInfo, PullFailure, RuntimeError};

/// The kernel's table of programs that run what it cannot (`binfmt_misc`).
const EMULATORS: &str = "/proc/sys/fs/binfmt_misc";

/// This machine's architecture in Kubernetes' words.
pub(super) fn own_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// Fails where the machine cannot run the image.
pub(super) fn check(reference: &str, image: &ImageInfo) -> Result<(), RuntimeError> {
    let own = own_arch();
    if runs(own, &image.os, &image.arch) || emulated(Path::new(EMULATORS), &image.os, &image.arch) {
        return Ok(());
    }
    let (os, arch) = (&image.os, &image.arch);
    let message = format!(
        "it is built for {os}/{arch}, and this node is linux/{own}: it would end with \"exec format error\". Build it \
         for both, or name the architecture in the pod's nodeSelector (kubernetes.io/arch: {arch})"
    );
    Err(RuntimeError::Pull { image: reference.to_owned(), failure: PullFailure::WrongPlatform, message })
}

/// Whether a machine runs such programs by itself. An image that does not say what it is for may run.
fn runs(own: &str, os: &str, arch: &str) -> bool {
    let native = match (own, arch) {
        (_, "") | ("amd64", "386") | ("arm64", "arm") => true,
        (own, arch) => own == arch,
    };
    native && matches!(os, "" | "linux")
}

/// Whether an emulator is set up for them, under the names that qemu's packages use.
fn emulated(table: &Path, os: &str, arch: &str) -> bool {
    let name = match arch {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "386" => "i386",
        other => other,
    };
    os == "linux" && !name.is_empty() && !name.contains('/') && table.join(format!("qemu-{name}")).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_runs() {
        for (own, os, arch, expected) in [
            ("amd64", "linux", "amd64", true),
            ("amd64", "linux", "386", true),
            ("amd64", "linux", "arm64", false),
            ("arm64", "linux", "arm", true),
            ("arm64", "linux", "amd64", false),
            ("riscv64", "linux", "riscv64", true),
            ("amd64", "windows", "amd64", false),
            ("amd64", "", "", true),
        ] {
            assert_eq!(runs(own, os, arch), expected, "{own}: {os}/{arch}");
        }
    }

    #[test]
    fn an_emulator_makes_the_difference() {
        let table = tempfile::tempdir().unwrap();
        assert!(!emulated(table.path(), "linux", "arm64"));
        std::fs::write(table.path().join("qemu-aarch64"), "enabled").unwrap();
        assert!(emulated(table.path(), "linux", "arm64") && !emulated(table.path(), "linux", "s390x"));
        assert!(!emulated(table.path(), "windows", "arm64"));
    }

    #[test]
    fn the_refusal_names_both_sides_and_what_to_do() {
        let image = ImageInfo { os: "linux".into(), arch: "s390x".into(), ..ImageInfo::default() };
        let error = check("shop:1", &image).unwrap_err();
        assert_eq!((error.reason(), error.is_outside()), ("ErrImagePull", false));
        let text = error.to_string();
        assert!(text.contains("linux/s390x") && text.contains("kubernetes.io/arch: s390x"), "{text}");
        assert!(check("shop:1", &ImageInfo { arch: own_arch().into(), ..image }).is_ok());
    }
}
