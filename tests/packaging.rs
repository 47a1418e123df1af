//! What is in `packaging/`, without a release build: the scripts, the units, the Debian package of a
//! dummy binary, and the install script in a folder of the test.
//!
//! Deliberately not here: what systemd and dpkg make of them, which needs a machine to change.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output},
};

const EVENKEEL: &str = env!("CARGO_BIN_EXE_evenkeel");
const HALVES: [&str; 2] = ["server", "agent"];
/// A date for what is packed, in seconds since 1970.
const DATE: &str = "1700000000";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn done(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{command:?}: {}{}", text(&stdout), text(&stderr));
    text(&stdout)
}

fn refused(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(!status.success(), "{command:?} did not fail: {}", text(&stdout));
    text(&stderr)
}

#[test]
fn scripts_are_posix_sh() {
    let mut scripts = Vec::new();
    for dir in ["scripts", "packaging", "packaging/debian"] {
        for entry in fs::read_dir(root().join(dir)).unwrap() {
            let path = entry.unwrap().path();
            let opens = fs::read_to_string(&path).is_ok_and(|t| t.starts_with("#!/bin/sh"));
            if opens || path.extension().is_some_and(|e| e == "sh") {
                scripts.push(path);
            }
        }
    }
    assert!(scripts.len() >= 12, "{scripts:?}");
    for script in scripts {
        done(Command::new("sh").arg("-n").arg(&script));
    }
}

/// The command line of a unit and what it sets.
fn unit(half: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let text = fs::read_to_string(root().join(format!("packaging/systemd/evenkeel-{half}.service"))).unwrap();
    let keys: BTreeMap<String, String> = text
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| l.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    (keys["ExecStart"].split(' ').map(str::to_owned).collect(), keys)
}

#[test]
fn units_start_what_the_command_line_has() {
    for half in HALVES {
        let (exec, keys) = unit(half);
        assert_eq!(exec[..2], ["/usr/bin/evenkeel", half]);
        let help = done(Command::new(EVENKEEL).args([half, "--help"]));
        for flag in exec[2..].iter().filter(|a| a.starts_with('-')) {
            assert!(help.contains(flag.as_str()), "evenkeel {half} has no {flag}");
        }
        assert_eq!(keys["KillMode"], "process", "nothing else dies with the {half}");
        assert_eq!((keys["Restart"].as_str(), keys["StartLimitIntervalSec"].as_str()), ("always", "0"));
    }
    // With mounts of its own the unit would hide its volumes from the engine.
    let (_, agent) = unit("agent");
    let own = |k: &&String| k.starts_with("Protect") || k.starts_with("Private") || k.contains("Paths");
    assert_eq!(agent.keys().find(own), None);
}

#[test]
fn settings_are_flags_also_those_in_comments() {
    for half in HALVES {
        let help = done(Command::new(EVENKEEL).args([half, "--help"]));
        let text = fs::read_to_string(root().join(format!("packaging/{half}.yaml"))).unwrap();
        let keys: Vec<&str> =
            text.lines().filter_map(|l| l.trim_start_matches('#').split_once(": ")).map(|(k, _)| k).collect();
        let keys: Vec<&str> = keys.into_iter().filter(|k| !k.contains(' ')).collect();
        assert!(keys.len() >= 2, "{half}: {keys:?}");
        for key in keys {
            assert!(help.contains(&format!("--{key} ")), "evenkeel {half} has no --{key}");
        }
    }
}

/// As it is installed, the agent's file names no server: it says so, and what to do.
#[test]
fn an_agent_without_a_server_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = root().join("packaging/agent.yaml");
    let error =
        refused(Command::new(EVENKEEL).arg("--data-dir").arg(dir.path()).args(["agent", "--config"]).arg(&file));
    assert!(error.contains("no server is named") && error.contains("--server HOST:PORT"), "{error}");
    let with = dir.path().join("agent.yaml");
    fs::write(&with, "server: 127.0.0.1:1\n").unwrap();
    let error =
        refused(Command::new(EVENKEEL).arg("--data-dir").arg(dir.path()).args(["agent", "--config"]).arg(&with));
    assert!(error.contains("has not joined yet"), "the file's server is taken: {error}");
}

fn dummy(dir: &Path) -> PathBuf {
    let path = dir.join("evenkeel");
    fs::write(&path, "#!/bin/sh\necho evenkeel 0\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn deb(binary: &Path, out: &Path) -> PathBuf {
    let mut command = Command::new("sh");
    command.arg(root().join("packaging/deb.sh")).arg("--binary").arg(binary).args(["--arch", "amd64", "--out"]);
    done(command.arg(out).env("SOURCE_DATE_EPOCH", DATE)).trim().into()
}

#[test]
fn the_debian_package_has_its_files_and_the_same_bytes_twice() {
    let dir = tempfile::tempdir().unwrap();
    let binary = dummy(dir.path());
    let (one, two) = (deb(&binary, &dir.path().join("one")), deb(&binary, &dir.path().join("two")));
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    let listed = done(Command::new("dpkg-deb").arg("--contents").arg(&one).env("TZ", "UTC"));
    let files: Vec<String> = listed
        .lines()
        .map(|l| l.split_whitespace().collect::<Vec<_>>())
        .filter(|w| w[0].starts_with('-'))
        .map(|w| [w[0], w[1], w[3], w[5]].join(" "))
        .collect();
    let expected = [
        ("-rw-r--r--", "./etc/evenkeel/agent.yaml"),
        ("-rw-r--r--", "./etc/evenkeel/server.yaml"),
        ("-rw-r--r--", "./lib/systemd/system/evenkeel-agent.service"),
        ("-rw-r--r--", "./lib/systemd/system/evenkeel-server.service"),
        ("-rwxr-xr-x", "./usr/bin/evenkeel"),
        ("-rw-r--r--", "./usr/share/doc/evenkeel/changelog.gz"),
        ("-rw-r--r--", "./usr/share/doc/evenkeel/copyright"),
    ];
    let mut files: Vec<&str> = files.iter().map(String::as_str).collect();
    files.sort_unstable_by_key(|f| f.rsplit(' ').next());
    assert_eq!(files, expected.map(|(mode, path)| format!("{mode} root/root 2023-11-14 {path}")));
    let field = |name: &str| done(Command::new("dpkg-deb").arg("--field").arg(&one).arg(name));
    assert_eq!(field("Version").trim(), env!("CARGO_PKG_VERSION"));
    let conffiles = done(Command::new("dpkg-deb").arg("--info").arg(&one).arg("conffiles"));
    assert_eq!(conffiles, "/etc/evenkeel/agent.yaml\n/etc/evenkeel/server.yaml\n");
}

/// A folder to install into, and a binary with its checksum.
struct Scratch {
    dir: tempfile::TempDir,
    binary: PathBuf,
}

impl Scratch {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let binary = dummy(dir.path());
        let sums = done(Command::new("sha256sum").arg("evenkeel").current_dir(dir.path()));
        fs::write(dir.path().join("SHA256SUMS"), sums).unwrap();
        Self { dir, binary }
    }

    fn install(&self, args: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.arg(root().join("packaging/install.sh")).arg("--root").arg(self.root()).args(args);
        command
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn from(&self) -> [&str; 2] {
        ["--from", self.binary.to_str().unwrap()]
    }

    /// Each file and folder under the root, with its mode and its time of change.
    fn found(&self) -> BTreeMap<PathBuf, (u32, i64, i64)> {
        let (mut all, mut left) = (BTreeMap::new(), vec![self.root()]);
        while let Some(dir) = left.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                let meta = entry.metadata().unwrap();
                if meta.is_dir() {
                    left.push(entry.path());
                }
                let path = entry.path().strip_prefix(self.root()).unwrap().to_owned();
                let file = if meta.is_dir() { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) };
                all.insert(path, (meta.mode() & 0o7777, file.0, file.1));
            }
        }
        all
    }
}

#[test]
fn a_node_is_installed_twice_and_removed() {
    let scratch = Scratch::new();
    let token = scratch.dir.path().join("token");
    fs::write(&token, "secret").unwrap();
    let [from, binary] = scratch.from();
    let args = [from, binary, "--agent", "--server", "10.0.0.1:7443", "--token-file", token.to_str().unwrap()];
    let said = done(&mut scratch.install(&args));
    assert!(said.contains("installed") && said.contains("systemctl enable --now evenkeel-agent"), "{said}");
    let found = scratch.found();
    let mode = |path: &str| found[Path::new(path)].0;
    assert_eq!(mode("usr/local/bin/evenkeel"), 0o755);
    assert_eq!((mode("etc/evenkeel/token"), mode("var/lib/evenkeel")), (0o600, 0o700));
    let unit = fs::read_to_string(scratch.root().join("etc/systemd/system/evenkeel-agent.service")).unwrap();
    assert!(unit.contains("\nExecStart=/usr/local/bin/evenkeel agent "), "{unit}");
    let settings = fs::read_to_string(scratch.root().join("etc/evenkeel/agent.yaml")).unwrap();
    assert!(settings.ends_with("\nserver: \"10.0.0.1:7443\"\n"), "{settings}");

    let said = done(&mut scratch.install(&args));
    assert!(!said.contains("installed"), "the second time nothing is to be done: {said}");
    assert_eq!(scratch.found(), found);
    let other = refused(&mut scratch.install(&[from, binary, "--agent", "--server", "10.0.0.2:7443"]));
    assert!(other.contains("names another server"), "{other}");

    done(&mut scratch.install(&["--uninstall"]));
    let left = scratch.found();
    assert!(!left.keys().any(|p| p.ends_with("bin/evenkeel") || p.extension().is_some_and(|e| e == "service")));
    assert!(left.contains_key(Path::new("var/lib/evenkeel")) && left.contains_key(Path::new("etc/evenkeel/token")));
    assert!(done(&mut scratch.install(&["--uninstall"])).contains("nothing was installed"));
}

#[test]
fn a_binary_with_a_wrong_checksum_is_not_installed() {
    let scratch = Scratch::new();
    fs::write(&scratch.binary, "something else").unwrap();
    let error = refused(&mut scratch.install(&scratch.from()));
    assert!(error.contains("checksum"), "{error}");
    fs::remove_file(scratch.dir.path().join("SHA256SUMS")).unwrap();
    let error = refused(&mut scratch.install(&scratch.from()));
    assert!(error.contains("no SHA256SUMS") && error.contains("--sha256"), "{error}");
    assert!(!scratch.root().exists(), "nothing is half done");
    for wrong in [vec!["--agent"], vec!["--server", "a:1"], vec!["--start"], vec!["--frm", "x"]] {
        let error = refused(&mut scratch.install(&wrong));
        assert!(error.contains("Usage:"), "{wrong:?}: {error}");
    }
}
