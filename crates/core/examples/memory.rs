//! What a pod takes in memory: the growth of the resident set from 10,000 to 150,000 pods, divided
//! by their number. For `docs/performance.md`; Linux only, for it reads `/proc/self/statm`.
#![allow(clippy::unwrap_used, missing_docs, clippy::disallowed_methods)]

#[path = "../benches/shape/mod.rs"]
mod shape;

const FIRST: usize = 10_000;
const LAST: usize = 150_000;
const NODES: usize = 5000;
const PAGE: usize = 4096;

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * PAGE
}

fn main() {
    let mut world = shape::nodes(NODES);
    shape::fill(&mut world, 0, FIRST, NODES);
    let first = resident();
    shape::fill(&mut world, FIRST, LAST, NODES);
    let last = resident();
    println!("{FIRST} pods: {} MiB, {LAST} pods: {} MiB", first >> 20, last >> 20);
    println!("{} bytes a pod", (last - first) / (LAST - FIRST));
    assert_eq!(world.pods.len(), LAST);
}
