//! What others do to a node's network, and a cluster of a thousand nodes.

use super::*;

/// Waits until a drift is told that says this; gives it.
async fn told(node: &mut Node, part: &str) -> String {
    let telling = async {
        loop {
            let message = node.drifts.recv().await.expect("the plane runs").message;
            if message.contains(part) {
                return message;
            }
        }
    };
    tokio::time::timeout(PATIENCE, telling).await.unwrap_or_else(|_| panic!("no drift with {part}"))
}

/// What is wrong and lasts.
fn troubles(node: &Node) -> String {
    let all = node.plane.troubles().borrow().clone();
    all.into_iter().map(|t| format!("{}: {}", t.reason, t.message)).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_undo_is_told_and_what_they_add_is_named_until_it_is_gone() {
    let (one, other) = two().await;
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [mut first, second] = started([&one, &other], &dirs, NetworkMode::Vxlan).await;
    let pods = [Place::new().await, Place::new().await];
    let a = first.pod(1, &pods[0]).await;
    let b = second.pod(2, &pods[1]).await;
    first.update(web(2, &[(b, "n2")])).await;
    asked(&pods[0], &pods[1], b).unwrap();

    let tunnel = Owner::new("test", "n1").tunnel();
    one.ip(&format!("link del {tunnel}"));
    assert!(told(&mut first, "VXLAN device").await.contains(&tunnel));
    eventually("the tunnel is back", || asked(&pods[0], &pods[1], b)).await;
    one.ip(&format!("link set {tunnel} down"));
    told(&mut first, "VXLAN device").await;
    eventually("the tunnel is up", || asked(&pods[0], &pods[1], b)).await;
    one.ip("route del 10.42.2.0/24");
    told(&mut first, "at 10.42.2.0/24 was gone").await;
    asked(&pods[0], &pods[1], b).expect("the route is back");
    // What the device knows of nodes: looked at with the rest.
    let bridge = format!("bridge fdb append 02:00:00:00:00:09 dev {tunnel} dst 10.77.0.99");
    let mut command = Command::new("nsenter");
    command.args(["-t", &one.pid().to_string(), "-n"]).args(bridge.split(' '));
    assert!(command.status().unwrap().success());
    one.ip("route del 10.42.2.0/24");
    told(&mut first, "entries of the VXLAN device (neighbours, fdb: 1)").await;
    one.ip("route add 10.42.77.0/24 via 10.77.0.2 proto 69");
    one.ip("route del 10.42.2.0/24");
    told(&mut first, "where no node is").await;
    assert!(!one.ip("route show proto 69").contains("10.42.77.0/24"));
    one.ip(&format!("link del {}", Owner::new("test", "n1").pod_link(Uid(1))));
    told(&mut first, "the link of pod shop/web-1 was gone").await;
    one.ip("addr del 10.42.1.1/32 dev lo");
    told(&mut first, "10.42.1.1, what this node speaks to pods from").await;
    one.ip("addr del 10.43.0.10/32 dev lo");
    told(&mut first, "10.43.0.10, that of the cluster's names").await;
    eventually("all of it is back", || asked(&pods[0], &pods[1], b)).await;
    asks_for_names(&pods[0]);
    assert_eq!(troubles(&first), "");

    // What cannot be undone, for it is somebody's wish: named, with whose it is and what to do.
    one.ip(&format!("addr add {a}/32 dev lo"));
    eventually("a pod's address is taken", || {
        let said = troubles(&first);
        let named = said.contains("AddressTaken: 10.42.1.2 is an address of pod shop/web-1");
        if named && said.contains("ip address del 10.42.1.2/32 dev lo") { Ok(()) } else { Err(said) }
    })
    .await;
    assert!(asked(&pods[1], &pods[0], a).is_err(), "it really is");
    one.ip("addr add 10.43.0.80/32 dev eth0");
    eventually("a Service's address is taken", || {
        let said = troubles(&first);
        if said.contains("10.43.0.80 is an address of the Service shop/web") { Ok(()) } else { Err(said) }
    })
    .await;
    assert_eq!(*first.plane.status().borrow(), Status::Own, "all else goes on");
    one.ip(&format!("addr del {a}/32 dev lo"));
    one.ip("addr del 10.43.0.80/32 dev eth0");
    eventually("it is over", || if troubles(&first).is_empty() { Ok(()) } else { Err(troubles(&first)) }).await;
    eventually("the pod is there as before", || asked(&pods[1], &pods[0], a)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_nodes_have_their_ways_and_a_change_of_one_is_quick() {
    let (one, _other) = two().await;
    let dir = tempfile::tempdir().unwrap();
    let first = Node::start(&one, "n1", "10.77.0.1".parse().unwrap(), dir.path());
    first.plane.found(Vec::new()).await;
    // Ranges of 32 addresses, from the second quarter of the cluster's on.
    let range = |n: u32| format!("10.42.{}.{}/27", 64 + n / 8, n % 8 * 32);
    let far = |n: u32| node(&format!("far-{n}"), &format!("10.78.{}.{}", n / 200, n % 200 + 1), &range(n));
    let mut all = nodes();
    all.extend((0..1000).map(far));
    let begun = Instant::now();
    first.update(update(1, NetworkMode::Auto, all)).await;
    println!("1,000 nodes by VXLAN: {:?}", begun.elapsed());
    let count = |what: &str| one.ip(what).lines().filter(|l| l.contains(&Owner::new("test", "n1").tunnel())).count();
    assert_eq!(count("route show proto 69"), 1000);

    // One moves: what the kernel is told of is that one alone, and not the 999 others.
    let mut watching = Command::new("nsenter");
    watching.args(["-t", &one.pid().to_string(), "-n", "ip", "-o", "monitor", "route", "neigh"]);
    let mut watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    // It listens once it tells of a change of our own.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(watching.stdout.take().unwrap()));
    let marks = std::thread::scope(|scope| {
        let seen = scope.spawn(|| lines.by_ref().map(Result::unwrap).find(|l| l.contains("192.0.2.0/24")));
        while !seen.is_finished() {
            one.ip("route replace blackhole 192.0.2.0/24");
            one.ip("route del blackhole 192.0.2.0/24");
        }
        seen.join().unwrap()
    });
    assert!(marks.is_some());
    let begun = Instant::now();
    let moved = node("far-500", "10.78.9.9", &range(500));
    first.update(NetworkUpdate { full: false, settings: None, ..update(2, NetworkMode::Auto, vec![moved]) }).await;
    println!("one of them changed: {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    one.ip("route add blackhole 198.51.100.0/24");
    let words: Vec<String> = lines.map(Result::unwrap).take_while(|l| !l.contains("198.51.100.0/24")).collect();
    let of_ours = words.iter().filter(|l| !l.contains("192.0.2.0/24")).count();
    assert!((1..=4).contains(&of_ours), "{words:#?}");
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_ends_while_the_node_is_looked_at_holds_up_nobody() {
    let (one, _other) = two().await;
    let (dir, pods) = (tempfile::tempdir().unwrap(), [Place::new().await, Place::new().await]);
    let settings = settings("n1", "10.77.0.1".parse().unwrap(), dir.path(), mpsc::channel(8).0);
    let checked = one.inside(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let (_plane, mut task, _asks, _announced) = Plane::made(settings).unwrap();
            task.known.take(&update(1, NetworkMode::Auto, nodes()));
            task.check().await;
            let [ends, stays] = pods;
            for (uid, place) in [(1, &ends), (2, &stays)] {
                task.plug(&sandbox(uid, place)).await.unwrap();
            }
            task.look().await.unwrap();
            let kernel = task.kernel().unwrap();
            drop(ends);
            let link = Owner::new("test", "n1").pod_link(Uid(1));
            let end = Instant::now() + PATIENCE;
            while kernel.link(&link).await.unwrap().is_some() {
                assert!(Instant::now() < end, "the link goes with its pod");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // As when the kernel had taken the routes away already, and the link not yet.
            task.machine.routes.clear();
            task.check_pods(&kernel).await.unwrap();
            task.wires.keys().copied().collect::<Vec<_>>()
        })
    });
    assert_eq!(checked.join().unwrap(), [Uid(2)]);
}

/// As an agent finds one that the agent before it had just started as it was killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_that_is_just_beginning_is_plugged_in_once_it_has_its_network() {
    let (one, _other) = two().await;
    let dir = tempfile::tempdir().unwrap();
    let first = Node::start(&one, "n1", "10.77.0.1".parse().unwrap(), dir.path());
    first.update(update(1, NetworkMode::Auto, nodes())).await;
    let mut command = Command::new("sh");
    command.args(["-c", "read go; exec unshare --net sleep infinity"]).stdin(Stdio::piped());
    let mut beginning = Place { process: command.spawn().unwrap() };
    first.plane.found(vec![sandbox(1, &beginning)]).await;
    // What is asked after it is answered after it was looked at.
    first.plane.lease(Uid(2)).await.unwrap();
    let link = Owner::new("test", "n1").pod_link(Uid(1));
    assert!(!one.ip("-o link show").contains(&link), "nothing is done to the machine's own network");
    beginning.process.stdin.take().unwrap().write_all(b"\n").unwrap();
    let address = || first.plane.address_of(Uid(1)).ok_or_else(|| "it has no address".to_owned());
    eventually("it has an address", address).await;
    let address = address().unwrap().to_string();
    let inside = || Some(beginning.ip("-o addr show")).filter(|all| all.contains(&address)).ok_or("no such address");
    eventually("it is on the network", || inside().map(drop).map_err(str::to_owned)).await;
}
