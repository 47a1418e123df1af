//! What a running Evenkeel takes while nothing happens.

use std::{fs, path::Path, thread, time::Duration};

use crate::{
    cluster::Cluster,
    engine::Engine,
    measure::{Better, Samples, alone, bounded, status_kib},
};

/// How long it is watched, and how long it rests before: past the watch window of the first release.
const WATCHED: Duration = Duration::from_mins(1);
const REST: Duration = Duration::from_mins(1);
/// Pods of the example.
const PODS: usize = 5;

pub fn idle() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests-example");
    let cluster = Cluster::start(|repo| {
        for entry in fs::read_dir(example).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "yaml") {
                fs::copy(&path, repo.join(path.file_name().unwrap())).unwrap();
            }
        }
    });
    let mut engine = Engine::new();
    cluster.until("the example runs", || cluster.running(&mut engine).len() == PODS);
    cluster.settled();
    thread::sleep(REST);
    let pid = cluster.pid();
    let (cpu, written, files) = (cpu_seconds(pid), written(pid), database(&cluster.data()));
    thread::sleep(WATCHED);
    let cpu = (cpu_seconds(pid) - cpu) / WATCHED.as_secs_f64() * 100.0;
    let wrote = written_since(pid, written);
    bounded("anonymous memory", "MB", Better::Lower, 20.0, &Samples::one(status_kib(pid, "RssAnon") * 1024.0 / 1e6));
    bounded("resident memory", "MB", Better::Lower, 45.0, &Samples::one(status_kib(pid, "VmRSS") * 1024.0 / 1e6));
    bounded("of a core, over 60 s", "%", Better::Lower, 1.0, &Samples::one(cpu));
    alone("written to disk by the process in 60 s", "bytes", &Samples::one(wrote));
    let same = database(&cluster.data()) == files;
    println!("  database files in 60 s: {}", if same { "unchanged: met" } else { "CHANGED: MISSED" });
    let size = fs::metadata(cluster.program()).unwrap().len();
    bounded("the binary", "MB", Better::Lower, 25.0, &Samples::one(size as f64 / 1e6));
}

pub fn cpu_seconds(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after = text.rsplit_once(')').unwrap().1;
    let ticks: Vec<f64> = after.split_whitespace().skip(11).take(2).map(|n| n.parse().unwrap()).collect();
    // USER_HZ is 100 on every Linux.
    (ticks[0] + ticks[1]) / 100.0
}

pub fn written(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let line = text.lines().find(|l| l.starts_with("write_bytes")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

pub fn written_since(pid: u32, before: u64) -> f64 {
    (written(pid) - before) as f64
}

/// Names, sizes and times of the database's files.
pub fn database(data: &Path) -> Vec<(String, u64, std::time::SystemTime)> {
    let mut files: Vec<_> = fs::read_dir(data)
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| e.file_name().to_string_lossy().starts_with("evenkeel.db"))
        .map(|e| {
            let meta = e.metadata().unwrap();
            (e.file_name().to_string_lossy().into_owned(), meta.len(), meta.modified().unwrap())
        })
        .collect();
    files.sort();
    files
}
