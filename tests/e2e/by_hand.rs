//! A rollback by hand pins the source; an unpin lets it go on.

use crate::support::{App, Cluster, eventually, holds_for};

#[test]
fn a_rollback_by_hand_holds_until_it_is_unpinned() {
    let app = |tag| App { replicas: 1, tag, ..App::default() }.yaml();
    let cluster = Cluster::start_with(&[("web.json", &app("1.0"))], &["--watch-window", "1s"]);
    let first = cluster.repo.git(&["rev-parse", "HEAD"]);
    cluster.wait_good(&first);
    cluster.repo.write("web.json", &app("1.1"));
    let second = cluster.repo.commit("web 1.1");
    cluster.wait_good(&second);

    cluster.evenkeel(&["rollback", "repo", "--reason", "prices are wrong"]);
    let image = || {
        let pods = cluster.pods("default", "app=web");
        let image = pods.first()?["spec"]["containers"][0]["image"].as_str()?.to_string();
        (pods.len() == 1).then_some(image)
    };
    eventually("the first revision runs again", || (image()? == "shop.example/shop:1.0").then_some(()));
    let source = cluster.source();
    assert!(source["pinned"]["revision"].as_str().unwrap().ends_with(&first), "{source:#}");
    assert_eq!(source["pinned"]["reason"], "prices are wrong");

    // A newer commit is seen, checked, and waits.
    cluster.repo.write("web.json", &App { replicas: 2, tag: "1.1", ..App::default() }.yaml());
    let third = cluster.repo.commit("two of them");
    let release = cluster.wait_phase(&third, "Pending");
    assert_eq!(release["status"]["reason"], "Pinned", "{release:#}");
    holds_for(std::time::Duration::from_secs(2), || {
        if cluster.pods("default", "app=web").len() == 1 { Ok(()) } else { Err("the pin does not hold".into()) }
    });
    let history = cluster.evenkeel(&["history", "repo"]);
    assert!(history.contains("prices are wrong"), "{history}");

    cluster.evenkeel(&["unpin", "repo"]);
    cluster.wait_phase(&third, "Healthy");
    cluster.wait_ready("default", "web", 2);
}
