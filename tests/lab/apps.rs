//! Applications as people write them, on three nodes: their parts find each other by the names in the
//! manifests, wherever they run, and go on when the server is away and when a part is gone for a while.

use std::{path::PathBuf, process::Command};

use evenkeel_lab::{At, Cluster, Lab, docker, eventually, output, run};
use serde_json::Value;

const FILES: [(&str, &str); 6] = [
    ("voting/redis.yaml", include_str!("apps/voting/redis.yaml")),
    ("voting/db.yaml", include_str!("apps/voting/db.yaml")),
    ("voting/vote.yaml", include_str!("apps/voting/vote.yaml")),
    ("voting/result.yaml", include_str!("apps/voting/result.yaml")),
    ("voting/worker.yaml", include_str!("apps/voting/worker.yaml")),
    ("boutique/boutique.yaml", include_str!("apps/boutique/boutique.yaml")),
];

/// Builds the program that stands in for all of theirs.
fn standin() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("standin");
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("standin");
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-C", "panic=abort"]);
    run(rustc.arg("-o").arg(&program).arg(root.join("tests/lab/apps/standin.rs")));
    program
}

/// Makes the images of both applications on each node.
fn images(lab: &Lab, program: &std::path::Path) {
    let tar = lab.dir().join("standin.tar");
    run(Command::new("tar").arg("-C").arg(program.parent().unwrap()).arg("-cf").arg(&tar).arg("standin"));
    for node in 1..=lab.nodes() {
        let engine = lab.engine(node).url();
        for image in ["voting.example/standin:1", "boutique.example/standin:1"] {
            docker(&["-H", &engine, "import", "--change", r#"ENTRYPOINT ["/standin"]"#, tar.to_str().unwrap(), image]);
        }
    }
}

struct Apps {
    cluster: Cluster,
    program: PathBuf,
}

impl Apps {
    /// Asks from outside, at a node's port.
    fn ask(&self, node: usize, port: &str, path: &str) -> Result<String, String> {
        let mut command = self.cluster.lab.command(At::Server, self.program.to_str().unwrap());
        let got = output(command.args(["ask", &format!("{}:{port}", self.cluster.lab.address(At::Node(node))), path]));
        let said = if got.status.success() { &got.stdout } else { &got.stderr };
        let said = String::from_utf8_lossy(said).trim().to_owned();
        if got.status.success() { Ok(said) } else { Err(said) }
    }

    fn votes(&self, choice: &str) -> usize {
        self.ask(2, "31001", &format!("/of/{choice}")).unwrap().parse().unwrap()
    }

    fn vote(&self, choice: &str, times: usize) {
        for n in 0..times {
            self.ask(n % 3 + 1, "31000", &format!("/vote/{choice}")).unwrap();
        }
    }

    fn counted(&self, choice: &str, votes: usize) {
        eventually(&format!("{votes} votes for {choice}"), || (self.votes(choice) == votes).then_some(()));
    }
}

/// What the shop's first tier hears, however it is asked.
const WHOLE_SHOP: [&str; 11] = [
    "frontend(",
    "adservice",
    "cartservice(redis-cart)",
    "checkoutservice(",
    "currencyservice",
    "emailservice",
    "paymentservice",
    "productcatalogservice",
    "recommendationservice(productcatalogservice)",
    "shippingservice",
    ")",
];

#[test]
fn applications_of_many_parts_find_each_other_by_name() {
    let lab = Lab::new(3);
    let program = standin();
    images(&lab, &program);
    let cluster = Cluster::start(env!("CARGO_BIN_EXE_evenkeel").as_ref(), lab, &FILES, &["--watch-window", "2s"]);
    cluster.wait_good(&cluster.repo.git(&["rev-parse", "HEAD"]));
    let mut apps = Apps { cluster, program };

    // Votes go in at every node and are counted at another.
    apps.vote("cats", 6);
    apps.vote("dogs", 3);
    apps.counted("cats", 6);
    apps.counted("dogs", 3);

    let service = apps.cluster.json(&["service", "frontend-external"]).unwrap();
    let port = service["spec"]["ports"][0]["nodePort"].to_string();
    let shop = |apps: &Apps| {
        for node in 1..=3 {
            let said = apps.ask(node, &port, "/").unwrap();
            let missing: Vec<_> = WHOLE_SHOP.iter().filter(|part| !said.contains(*part)).collect();
            assert!(missing.is_empty(), "at node {node} {missing:?} are missing in {said}");
        }
    };
    shop(&apps);

    // Names and ways hold without the server, and parts that die come back under the same ones.
    apps.cluster.server_kill();
    let (_, node) = node_of(&apps.cluster, "worker-");
    let victim = apps.cluster.lab.engine(node).running("worker-").remove(0);
    apps.cluster.lab.engine(node).kill_container(&victim.id);
    apps.vote("cats", 3);
    apps.counted("cats", 9);
    shop(&apps);
    apps.cluster.server_start();

    // A cache that is replaced has another address under the same name, and loses what it held; the
    // worker finds it without being started again.
    let worker = node_of(&apps.cluster, "worker-");
    apps.cluster.kubectl(&["delete", "pod", "-l", "app=redis"]);
    apps.cluster.wait_ready("default", "redis", 1);
    eventually("the new cache is asked", || apps.ask(1, "31000", "/vote/dogs").ok());
    eventually("the vote is counted", || (apps.votes("dogs") >= 4).then_some(()));
    assert_eq!(node_of(&apps.cluster, "worker-").0, worker.0, "the worker was not replaced");
    let restarts =
        apps.cluster.pods("default", "app=worker")[0]["status"]["containerStatuses"][0]["restartCount"].clone();
    assert_eq!(restarts, Value::from(1), "once, when it was killed");
    apps.cluster.audit();
}

/// The name of an application's only pod, and the number of the node that it is on.
fn node_of(cluster: &Cluster, prefix: &str) -> (String, usize) {
    let found = (1..=cluster.lab.nodes())
        .find_map(|node| Some((cluster.lab.engine(node).running(prefix).into_iter().next()?.pod, node)));
    found.unwrap_or_else(|| panic!("no container of {prefix} runs"))
}
