//! A backup made while the server is written to, and what `restore` makes of it: on a new machine,
//! over what runs, and with files that are no good.

use std::{
    collections::BTreeMap,
    fs,
    ops::RangeInclusive,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use crate::support::{App, Client, Cluster, eventually, output, run};

const SECRET: &str =
    r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "of-the-shop"}}"#;

/// A web that reads a Secret, so that a backup without the right key is worth nothing.
fn web(replicas: u32) -> String {
    let env = r#""env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1}"#;
    App { replicas, container: env, ..App::default() }.yaml()
}

fn start(replicas: u32, flags: &[&str]) -> Cluster {
    let flags = [&["--watch-window", "1s"], flags].concat();
    let cluster = Cluster::start_with(&[("web.json", &web(replicas)), ("s.json", SECRET)], &flags);
    cluster.wait_ready("default", "web", replicas.into());
    cluster.wait_good(&cluster.repo.git(&["rev-parse", "HEAD"]));
    cluster
}

/// Writes without a pause: each write sets two fields of one source to the same number.
struct Load {
    stop: Arc<AtomicBool>,
    /// The last number that the API has taken.
    taken: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Load {
    fn start(client: Client) -> Self {
        let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (stop.clone(), taken.clone());
        let thread = std::thread::spawn(move || {
            for n in 1.. {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let patch = format!(r#"{{"spec": {{"crashLimit": {n}, "maxUnsettled": {{"commits": {n}}}}}}}"#);
                client.kubectl(&["patch", "source", "load", "--type=merge", "-p", &patch]);
                counted.store(n, Ordering::SeqCst);
            }
        });
        Self { stop, taken, thread }
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::SeqCst)
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        self.taken.load(Ordering::SeqCst)
    }
}

/// Every file below a folder, by its bytes, but `agent/`, which is not the server's, and the lock,
/// which names who took it last.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                if entry.file_name() != "agent" {
                    folders.push(entry.path());
                }
            } else if entry.file_name() != "lock" {
                all.insert(entry.path(), fs::read(entry.path()).unwrap());
            }
        }
    }
    all
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// What every refusal says.
const UNCHANGED: &str = "was not restored; nothing was changed";

/// `evenkeel restore`, without anybody at a terminal.
fn restore(client: &Client, file: &Path, data: &Path, more: &[&str]) -> std::process::Output {
    let mut command = Command::new(&client.binary);
    command.arg("restore").arg(file).arg("--data-dir").arg(data).args(more).env_remove("KUBECONFIG");
    output(&mut command)
}

fn restored(client: &Client, file: &Path, data: &Path, more: &[&str]) -> String {
    let ended = restore(client, file, data, more);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}

/// It is refused with these words, and the data directory is as it was.
fn refused(client: &Client, file: &Path, data: &Path, more: &[&str], words: &[&str]) {
    let before = files(data);
    let ended = restore(client, file, data, more);
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{}: {told}", file.display());
    for word in words {
        assert!(told.contains(word), "{}: no word of `{word}` in: {told}", file.display());
    }
    let after = files(data);
    let all = before.keys().chain(after.keys());
    let changed: Vec<&PathBuf> = all.filter(|name| before.get(*name) != after.get(*name)).collect();
    assert!(changed.is_empty(), "{}: {changed:?} changed; {told}", file.display());
}

/// A copy each second: no more than seven stay, and nothing of the downloads does.
fn seven_daily_ones_stay(cluster: &Cluster) {
    let dailies = || -> Vec<PathBuf> {
        let all = fs::read_dir(cluster.data().join("backups")).unwrap().map(|e| e.unwrap().path());
        let mut all: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == "db")).collect();
        all.sort();
        all
    };
    let first = eventually("a daily copy", || dailies().first().cloned());
    eventually("the oldest goes when there are seven", || {
        let now = dailies();
        // The new one is there before the oldest goes.
        assert!(now.len() <= 8, "{now:?}");
        (!now.contains(&first) && now.len() == 7).then_some(())
    });
    for file in dailies() {
        // It may go meanwhile.
        assert!(fs::metadata(&file).is_err() || mode(&file) == 0o600, "{}", file.display());
    }
    assert!(!cluster.data().join("backups/download.tmp").exists());
}

/// A server that was restored has what was written up to the backup, whole, and its pods.
fn is_whole(cluster: &Cluster, expected: &RangeInclusive<u64>) {
    for secret in ["evenkeel.db", "encryption.key", "ca/ca.key"] {
        assert_eq!(mode(&cluster.data().join(secret)), 0o600, "{secret}");
    }
    let spec = cluster.json(&["source", "load"]).unwrap()["spec"].clone();
    let n = spec["crashLimit"].as_u64().unwrap();
    assert!(expected.contains(&n), "{n} is none of {expected:?}");
    assert_eq!(spec["maxUnsettled"]["commits"], n, "half of a write");
    eventually("the recovery is over", || {
        let status = cluster.evenkeel(&["status"]).to_lowercase();
        (!status.contains("recovering")).then_some(())
    });
    cluster.wait_ready("default", "web", 2);
}

#[test]
fn a_backup_under_write_load_comes_back_on_a_new_machine() {
    let mut cluster = start(2, &["--backup-interval", "1s"]);
    let dir = cluster.dir.path().to_path_buf();
    let empty = dir.join("nothing");
    fs::create_dir(&empty).unwrap();
    cluster.evenkeel(&["source", "add", "load", empty.to_str().unwrap()]);
    let pass = dir.join("pass");
    fs::write(&pass, "correct horse\nnot this line\n").unwrap();

    // Three of them, each between two of the writes, one of them open.
    let load = Load::start(Client::clone(&cluster));
    let mut made = Vec::new();
    for n in 0..3 {
        eventually("some writes are taken", || (load.taken() > 3 * (n + 1)).then_some(()));
        let (file, before) = (dir.join(format!("shop-{n}.backup")), load.taken());
        let path = file.to_str().unwrap();
        let how = if n == 0 { &["--plain"][..] } else { &["--passphrase-file", pass.to_str().unwrap()] };
        let told = cluster.evenkeel(&[&["backup", path], how].concat());
        // One write may be on its way.
        made.push((file.clone(), before..=load.taken() + 1));
        assert!(told.contains(if n == 0 { "open" } else { "sealed" }), "{told}");
        assert_eq!(mode(&file), 0o600);
        assert!(!file.with_extension("backup.part").exists());
    }
    load.stop();
    let readable = fs::read(&made[0].0).unwrap();
    assert!(readable.starts_with(b"backup.json"), "the open form is a tar");
    let sealed = fs::read(&made[2].0).unwrap();
    assert!(!sealed.windows(11).any(|w| w == b"PRIVATE KEY"), "a key lies open in the sealed form");

    // Nobody at the terminal, no passphrase: no file.
    let none = cluster.evenkeel_output(&["backup", dir.join("none").to_str().unwrap()]);
    assert!(!none.status.success() && String::from_utf8_lossy(&none.stderr).contains("--passphrase-file"), "{none:?}");
    assert!(!dir.join("none").exists());

    seven_daily_ones_stay(&cluster);
    let before = cluster.containers();
    let started = cluster.started(&before);
    let (id, old) = (cluster.id(), cluster.data());
    cluster.kill();
    for (n, (file, expected)) in made.into_iter().enumerate().rev() {
        let data = dir.join(format!("new-{n}"));
        let more = if n == 0 { &[][..] } else { &["--passphrase-file", pass.to_str().unwrap()] };
        let told = restored(&cluster, &file, &data, more);
        assert!(told.contains(&id) && told.contains("recovering"), "{told}");
        cluster.use_data(data);
        cluster.up();
        is_whole(&cluster, &expected);
        assert_eq!(cluster.containers(), before);
        assert_eq!(cluster.started(&before), started);
        cluster.audit();
        cluster.kill();
    }
    // It was never touched, and does not know of the others.
    assert!(old.join("evenkeel.db").exists());
    cluster.up();
}

/// A file of the story's folder.
fn file(cluster: &Cluster, name: &str, bytes: &[u8]) -> PathBuf {
    let path = cluster.dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn changed(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

/// Cut, changed and foreign ones.
fn bad_files(cluster: &Cluster, open: &Path, daily: &Path) {
    let (dir, data) = (cluster.dir.path(), cluster.data());
    let no = |file: &Path, word: &str| refused(cluster, file, &data, &[], &[word, UNCHANGED]);
    let whole = fs::read(open).unwrap();
    for part in [1, 2, 3, 9] {
        let cut = file(cluster, &format!("cut-{part}"), &whole[..whole.len() * part / 10]);
        no(&cut, "it ends too early");
    }
    no(&file(cluster, "changed", &changed(&whole, whole.len() / 2)), "evenkeel.db in it is damaged");
    // In one of the small files, and in what stands before each.
    let at = |text: &[u8]| whole.windows(text.len()).position(|w| w == text).unwrap();
    no(&file(cluster, "changed-early", &changed(&whole, at(b"BEGIN CERTIFICATE"))), "damaged");
    no(&file(cluster, "changed-name", &changed(&whole, at(b"ca/accounts.key\0"))), "cannot read the backup");
    no(&file(cluster, "nothing", b""), "it is empty");
    no(&file(cluster, "text", b"Dear shop,\nthe backup is in the other file.\n"), "it is no backup of Evenkeel");
    let foreign = dir.join("foreign.tar");
    run(Command::new("tar").arg("-cf").arg(&foreign).arg("-C").arg(dir).arg("pass"));
    no(&foreign, "it is no backup of Evenkeel");
    let other = dir.join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE shop (n)").unwrap();
    no(&other, "it is no database of Evenkeel");
    let copy = fs::read(daily).unwrap();
    no(&file(cluster, "half.db", &copy[..copy.len() / 2]), "damaged");
    no(&dir.join("absent"), "cannot open");
}

/// The same under a passphrase, and the passphrase itself.
fn bad_sealed_files(cluster: &Cluster, sealed: &Path, pass: &[&str]) {
    let data = cluster.data();
    let no = |file: &Path, pass: &[&str], word: &str| refused(cluster, file, &data, pass, &[word, UNCHANGED]);
    let bytes = fs::read(sealed).unwrap();
    let late = bytes.len() * 3 / 4;
    no(sealed, &[], "--passphrase-file");
    let wrong = file(cluster, "wrong", b"battery staple\n");
    no(sealed, &["--passphrase-file", wrong.to_str().unwrap()], "the passphrase is wrong, or the file was changed");
    no(&file(cluster, "sealed-cut", &bytes[..late]), pass, "the copy is not whole");
    no(&file(cluster, "sealed-changed", &changed(&bytes, late)), pass, "the file was changed");
}

/// A copy of the database alone needs the rest; another cluster's directory is not for this one.
fn wrong_places(cluster: &Cluster, open: &Path, daily: &Path) {
    let (new, stranger) = (cluster.dir.path().join("new"), cluster.dir.path().join("stranger"));
    fs::create_dir(&new).unwrap();
    refused(cluster, daily, &new, &[], &["ca/ca.crt is missing", UNCHANGED]);
    fs::create_dir_all(stranger.join("ca")).unwrap();
    fs::write(stranger.join("ca/cluster-id"), format!("{}\n", "0".repeat(32))).unwrap();
    refused(cluster, open, &stranger, &[], &["belongs to cluster 000", UNCHANGED]);
}

#[test]
fn a_file_that_is_no_good_replaces_nothing() {
    let mut cluster = start(1, &["--backup-interval", "1s"]);
    let (dir, data) = (cluster.dir.path().to_path_buf(), cluster.data());
    let pass = dir.join("pass");
    fs::write(&pass, "correct horse\n").unwrap();
    let pass = ["--passphrase-file", pass.to_str().unwrap()];
    let (open, sealed) = (dir.join("open.tar"), dir.join("sealed.backup"));
    cluster.evenkeel(&["backup", open.to_str().unwrap(), "--plain"]);
    cluster.evenkeel(&[&["backup", sealed.to_str().unwrap()], &pass[..]].concat());
    let daily = eventually("a daily copy", || {
        let mut all = fs::read_dir(data.join("backups")).ok()?.flatten().map(|e| e.path());
        all.find(|p| p.extension().is_some_and(|e| e == "db"))
    });
    let kept = dir.join("daily.db");
    fs::copy(&daily, &kept).unwrap();
    let before = cluster.containers();
    let started = cluster.started(&before);

    // The server runs on this very directory.
    let ended = restore(&cluster, &open, &data, &[]);
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(1) && told.contains("stop its server first"), "{told}");
    assert!(!data.join("restore.new").exists() && cluster.evenkeel_output(&["status"]).status.success());
    cluster.interrupt();

    bad_files(&cluster, &open, &kept);
    bad_sealed_files(&cluster, &sealed, &pass);
    wrong_places(&cluster, &open, &kept);

    // The good ones: what was there is kept, and no container is any the wiser.
    for file in [&sealed, &open, &kept] {
        restored(&cluster, file, &data, if file == &sealed { &pass } else { &[] });
        cluster.up();
        cluster.wait_ready("default", "web", 1);
        assert_eq!(cluster.containers(), before, "{}", file.display());
        assert_eq!(cluster.started(&before), started);
        cluster.interrupt();
    }
    let kept = fs::read_dir(&data).unwrap().flatten().filter(|e| {
        e.file_name().to_string_lossy().starts_with("before-restore-") && e.path().join("evenkeel.db").exists()
    });
    assert_eq!(kept.count(), 3);
    cluster.up();
    cluster.audit();
}

#[test]
fn a_key_that_lies_elsewhere_stays_there() {
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("shop.key");
    let mut cluster = start(1, &["--encryption-key-file", key.to_str().unwrap()]);
    let (dir, file) = (cluster.dir.path().to_path_buf(), cluster.dir.path().join("open.tar"));
    // As anybody with the administrator's kubeconfig gets it.
    let field = |name: &str| {
        let path = format!("{{{name}}}");
        cluster.kubectl(&["config", "view", "--raw", "-o", &format!("jsonpath={path}")])
    };
    for (name, path) in [
        ("ca.crt", ".clusters[0].cluster.certificate-authority-data"),
        ("admin.crt", ".users[0].user.client-certificate-data"),
        ("admin.key", ".users[0].user.client-key-data"),
    ] {
        let mut decode = Command::new("base64");
        decode.arg("-d");
        fs::write(dir.join(name), evenkeel_lab::feed(&mut decode, &field(path))).unwrap();
    }
    let url = format!("{}/evenkeel/backup", field(".clusters[0].cluster.server"));
    let mut curl = Command::new("curl");
    curl.current_dir(&dir).args(["-sS", "--fail", "--noproxy", "*", "--cacert", "ca.crt", "--cert", "admin.crt"]);
    curl.args(["--key", "admin.key", "-O", "-J", &url]);
    run(&mut curl);
    let made = fs::read_dir(&dir).unwrap().flatten().map(|e| e.path()).find(|p| {
        p.file_name().unwrap().to_string_lossy().starts_with("evenkeel-") && p.extension().is_some_and(|e| e == "tar")
    });
    fs::rename(made.expect("curl names it as the server says"), &file).unwrap();
    let before = cluster.containers();
    cluster.kill();

    // Another key in the place of the backup's is not overwritten.
    let data = dir.join("new");
    let flag = ["--encryption-key-file", key.to_str().unwrap()];
    let own = fs::read(&key).unwrap();
    fs::write(&key, [7; 32]).unwrap();
    fs::create_dir(&data).unwrap();
    let ended = restore(&cluster, &file, &data, &flag);
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.code() == Some(1) && told.contains("holds another key"), "{told}");
    assert_eq!(fs::read(&key).unwrap(), [7; 32]);
    // A machine that has none gets it there, and only there; the configuration says where as well.
    fs::remove_file(&key).unwrap();
    fs::write(data.join("config.yaml"), format!("encryption-key-file: {}\n", key.display())).unwrap();
    let told = restored(&cluster, &file, &data, &[]);
    assert!(told.contains(key.to_str().unwrap()), "{told}");
    assert!(fs::read(&key).unwrap() == own && mode(&key) == 0o600);
    assert!(!data.join("encryption.key").exists());
    cluster.use_data(data.clone());
    cluster.up();
    cluster.wait_ready("default", "web", 1);
    assert_eq!(cluster.containers(), before);
    assert!(!data.join("encryption.key").exists());
    cluster.audit();
}
