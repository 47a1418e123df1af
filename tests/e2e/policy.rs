//! NetworkPolicies on one node, by real connections: each case is a set of policies and who may reach
//! whom under it.
//!
//! Servers and clients are threads of this test in the pods' own network namespaces, so that a
//! connection costs no process. Whether a case's policies are in place already is told by one more of
//! them, the last to be written: it lets through another port in each case.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd as _,
    thread,
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

use crate::support::{Cluster, eventually, output, run};

/// What is not let through is dropped: nobody answers within this.
const DENIED: Duration = Duration::from_millis(300);
/// What is let through has an answer at once, on a machine that has a moment.
const ALLOWED: Duration = Duration::from_secs(5);
const TCP: [u16; 6] = [80, 81, 8080, 8085, 8091, 9000];
const UDP: u16 = 5300;
/// Ports of the policy that tells that a case's are in place.
const TOLD: u16 = 10_000;

fn policy(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

/// A pod with the program that only waits, and two ports that have names: the web is at another port
/// in each.
fn pod(namespace: &str, name: &str, command: &[&str]) -> Value {
    let web = if name == "a" { 80 } else { 81 };
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"pod": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "restartPolicy": "Never", "containers": [{"name": "shop",
            "image": "shop.example/shop:1.0", "command": command,
            "ports": [{"name": "web", "containerPort": web}, {"name": "talk", "containerPort": UDP, "protocol": "UDP"}]}]}})
}

/// A place to speak from: a network namespace, and its address.
#[derive(Clone)]
struct Place {
    name: String,
    address: Ipv4Addr,
    namespace: String,
}

impl Place {
    /// Does something there, on a thread that ends then.
    fn within<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
        let file = fs::File::open(&self.namespace).unwrap();
        thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            act()
        })
    }

    /// Answers with its name at all of the ports, for as long as the test runs.
    fn serve(&self, more: &[u16]) {
        let (ports, name): (Vec<u16>, _) = (TCP.iter().chain(more).copied().collect(), self.name.clone());
        let bound = self.within(move || {
            let tcp: Vec<TcpListener> = ports.iter().map(|p| TcpListener::bind(("0.0.0.0", *p)).unwrap()).collect();
            (tcp, UdpSocket::bind(("0.0.0.0", UDP)).unwrap())
        });
        let (tcp, udp) = bound.join().unwrap();
        for listener in tcp {
            let name = name.clone();
            thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let name = name.clone();
                    thread::spawn(move || {
                        // Once for the greeting, then for each byte.
                        let _ = stream.write_all(name.as_bytes());
                        while stream.read_exact(&mut [0]).is_ok() && stream.write_all(b"!").is_ok() {}
                    });
                }
            });
        }
        thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, from)) = udp.recv_from(&mut buffer) {
                let _ = udp.send_to(name.as_bytes(), from);
            }
        });
    }

    /// Whether it is answered at an address.
    fn reaches(&self, to: SocketAddr, udp: bool, patience: Duration) -> thread::JoinHandle<bool> {
        self.within(move || {
            let mut buffer = [0; 64];
            if udp {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.set_read_timeout(Some(patience)).unwrap();
                return socket.send_to(b"?", to).is_ok() && socket.recv(&mut buffer).is_ok();
            }
            let Ok(mut stream) = TcpStream::connect_timeout(&to, patience) else { return false };
            stream.set_read_timeout(Some(patience)).unwrap();
            stream.read(&mut buffer).is_ok_and(|n| n > 0)
        })
    }

    /// A name asked of the cluster's name server.
    fn resolves(&self, server: SocketAddr, patience: Duration) -> thread::JoinHandle<bool> {
        self.within(move || {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.set_read_timeout(Some(patience)).unwrap();
            // Kubernetes' own name, of type A.
            let question =
                b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03svc\x07cluster\x05local\x00\x00\x01\x00\x01";
            socket.send_to(question, server).is_ok() && socket.recv(&mut [0; 512]).is_ok()
        })
    }
}

struct Net {
    cluster: Cluster,
    places: BTreeMap<String, Place>,
    /// Address of the Service of x's `a`, at port 800.
    service: Ipv4Addr,
    dns: SocketAddr,
    case: u16,
}

/// One to be asked for: `xa>yb:80`, `xa>yb:udp`, `xa>dns`, `ya>service`; with `!` before it what is
/// not let through.
struct Expected<'a> {
    text: &'a str,
    from: &'a str,
    to: &'a str,
    port: &'a str,
    allowed: bool,
}

fn read(text: &str) -> Expected<'_> {
    let (allowed, rest) = text.strip_prefix('!').map_or((true, text), |rest| (false, rest));
    let (from, to) = rest.split_once('>').unwrap();
    let (to, port) = to.split_once(':').unwrap_or((to, "80"));
    Expected { text, from, to, port, allowed }
}

impl Net {
    fn start() -> Self {
        let namespaces = ["x", "y", "z"].map(|name| {
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": name}}})
        });
        let pods = [("x", "a"), ("x", "b"), ("y", "a"), ("y", "b"), ("z", "a")];
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "x"},
            "spec": {"selector": {"pod": "a"}, "ports": [{"port": 800, "targetPort": 80}]}});
        let made = pods.iter().map(|(namespace, name)| pod(namespace, name, &["/shop", "hang"]));
        let all: Vec<Value> = namespaces.into_iter().chain(made).chain([service]).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string();
        let cluster = Cluster::start(&[("all.json", &*list)]);
        let mut places = BTreeMap::new();
        for (namespace, name) in pods {
            let pod = eventually("a pod runs", || {
                let pod = cluster.json(&["pod", name, "-n", namespace])?;
                (pod["status"]["phase"] == "Running").then_some(pod)
            });
            let place = place(&cluster, &pod);
            places.insert(place.name.clone(), place);
        }
        let nodes = cluster.items(&["nodes"]);
        let addresses = nodes[0]["status"]["addresses"].as_array().unwrap();
        let node = addresses.iter().find(|a| a["type"] == "InternalIP").unwrap()["address"].as_str().unwrap();
        let host = Place { name: "host".into(), address: node.parse().unwrap(), namespace: "/proc/self/ns/net".into() };
        places.insert("host".into(), host);
        for place in places.values().filter(|p| p.name != "host") {
            let told: Vec<u16> = if place.name == "za" { (TOLD..TOLD + 64).collect() } else { Vec::new() };
            place.serve(&told);
        }
        let service = cluster.json(&["service", "web", "-n", "x"]).unwrap();
        let service: Ipv4Addr = service["spec"]["clusterIP"].as_str().unwrap().parse().unwrap();
        // The tenth of the range of Services.
        let dns = Ipv4Addr::from((u32::from(service) & !0xff) + 10);
        Self { cluster, places, service, dns: (dns, 53).into(), case: 0 }
    }

    fn place(&self, name: &str) -> &Place {
        self.places.get(name).unwrap_or_else(|| panic!("nobody is called {name}"))
    }

    fn ask(&self, expected: &Expected<'_>) -> thread::JoinHandle<bool> {
        let patience = if expected.allowed { ALLOWED } else { DENIED };
        let from = self.place(expected.from);
        match expected.to {
            "dns" => from.resolves(self.dns, patience),
            "service" => from.reaches((self.service, 800).into(), false, patience),
            to => {
                let (address, udp) = (self.place(to).address, expected.port == "udp");
                let port = if udp { UDP } else { expected.port.parse().unwrap() };
                from.reaches((address, port).into(), udp, patience)
            }
        }
    }

    /// All of these are so, asked at once.
    fn check(&self, what: &str, expected: &[&str]) {
        let asked: Vec<_> = expected.iter().map(|text| read(text)).map(|e| (self.ask(&e), e)).collect();
        let wrong: Vec<&str> =
            asked.into_iter().filter_map(|(got, e)| (got.join().unwrap() != e.allowed).then_some(e.text)).collect();
        if !wrong.is_empty() {
            let table = output(std::process::Command::new("nft").args(["list", "ruleset"]));
            let table = String::from_utf8_lossy(&table.stdout).into_owned();
            let own: Vec<&str> = table.split("table ").filter(|t| t.contains("isolated_in")).collect();
            panic!("{what}: not so: {wrong:?}\n{}", own.join("\n"));
        }
    }

    /// Sets these policies and no others, and checks when they are in place. At most three.
    fn case(&mut self, what: &str, policies: &[(&str, Value)], expected: &[&str]) {
        self.set(policies);
        self.check(what, expected);
    }

    fn set(&mut self, policies: &[(&str, Value)]) {
        self.case += 1;
        // Of nobody: what an earlier case had in its place.
        let nobody = json!({"podSelector": {"matchLabels": {"pod": "nobody"}}});
        let mut all: Vec<Value> = Vec::new();
        for namespace in ["x", "y"] {
            let mut own = policies.iter().filter(|(n, _)| *n == namespace);
            for slot in ["one", "two"] {
                all.push(policy(namespace, slot, own.next().map_or(&nobody, |(_, spec)| spec)));
            }
            assert!(own.next().is_none(), "more policies than there are slots");
        }
        let port = TOLD + self.case;
        all.push(policy(
            "z",
            "told",
            &json!({"podSelector": {}, "ingress": [
            {"ports": TCP.iter().chain([&port]).map(|p| json!({"port": p})).collect::<Vec<_>>()},
            {"ports": [{"protocol": "UDP"}]}]}),
        ));
        self.apply(&all);
        let (asks, to) = (self.place("yb").clone(), self.place("za").clone());
        eventually("the case's policies are in place", || {
            asks.reaches((to.address, port).into(), false, DENIED).join().unwrap().then_some(())
        });
    }

    fn apply(&self, all: &[Value]) {
        let path = self.cluster.dir.path().join("policies.json");
        let documents: Vec<String> = all.iter().map(ToString::to_string).collect();
        fs::write(&path, documents.join("\n")).unwrap();
        self.cluster.kubectl(&["apply", "-f", path.to_str().unwrap()]);
    }
}

/// Where a pod is.
fn place(cluster: &Cluster, pod: &Value) -> Place {
    let word = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let uid = format!("label=evenkeel.dev/pod-uid={}", word("/metadata/uid"));
    let id = cluster.docker(&["ps", "-q", "--no-trunc", "--filter", &uid, "--filter", "label=evenkeel.dev/sandbox"]);
    let pid = cluster.docker(&["inspect", "--format", "{{.State.Pid}}", id.trim()]);
    Place {
        name: word("/metadata/namespace") + &word("/metadata/name"),
        address: word("/status/podIP").parse().unwrap(),
        namespace: format!("/proc/{}/ns/net", pid.trim()),
    }
}

#[test]
fn policies_let_through_what_they_say_and_nothing_else() {
    let mut net = Net::start();
    net.check("without policies", &["xa>ya", "ya>xa:81", "xb>ya:udp", "za>xb", "host>xa", "xa>dns", "ya>service"]);
    ingress(&mut net);
    egress(&mut net);
    changes(&mut net);
    beginnings(&mut net);
    net.cluster.audit();
}

fn ingress(net: &mut Net) {
    let a = json!({"matchLabels": {"pod": "a"}});
    let b = json!({"podSelector": {"matchLabels": {"pod": "b"}}});
    let y = json!({"namespaceSelector": {"matchLabels": {"team": "y"}}});
    let from = |peers: Value| json!({"podSelector": a, "ingress": [{"from": peers}]});
    let ports = |ports: Value| json!({"podSelector": {}, "ingress": [{"ports": ports}]});
    net.case(
        "nothing may come",
        &[("x", json!({"podSelector": {}}))],
        &["!ya>xa", "!xb>xa", "!ya>xa:udp", "!ya>xb:81", "!yb>service", "xa>ya", "host>xa", "host>xb:81", "xa>service"],
    );
    net.case("everybody may come", &[("x", json!({"podSelector": {}, "ingress": [{}]}))], &["ya>xa", "za>xb:udp"]);
    net.case(
        "pods of the namespace by labels",
        &[("x", from(json!([b])))],
        &["xb>xa", "!yb>xa", "!ya>xa", "ya>xb", "xb>service"],
    );
    net.case(
        "namespaces by labels",
        &[("x", from(json!([y])))],
        &["ya>xa", "yb>xa", "!xb>xa", "!za>xa", "!xb>service"],
    );
    let both = json!([{"namespaceSelector": y["namespaceSelector"], "podSelector": b["podSelector"]}]);
    net.case("both together", &[("x", from(both))], &["yb>xa", "!ya>xa", "!xb>xa"]);
    net.case("either of two", &[("x", from(json!([y, b])))], &["ya>xa", "xb>xa", "!za>xa"]);
    net.case("all namespaces", &[("x", from(json!([{"namespaceSelector": {}}])))], &["za>xa", "xb>xa", "ya>service"]);
    net.case("all pods of its own", &[("x", from(json!([{"podSelector": {}}])))], &["xb>xa", "!ya>xa"]);
    let not_a = json!([{"namespaceSelector": {}, "podSelector":
        {"matchExpressions": [{"key": "pod", "operator": "NotIn", "values": ["a"]}]}}]);
    net.case("by expressions", &[("x", from(not_a))], &["yb>xa", "xb>xa", "!ya>xa", "!za>xa"]);
    let but = format!("{}/32", net.place("yb").address);
    net.case(
        "addresses without some",
        &[("x", from(json!([{"ipBlock": {"cidr": "0.0.0.0/0", "except": [but]}}])))],
        &["ya>xa", "xb>xa", "!yb>xa", "!yb>service"],
    );
    let one = format!("{}/32", net.place("yb").address);
    net.case("one address", &[("x", from(json!([{"ipBlock": {"cidr": one}}])))], &["yb>xa", "!ya>xa", "yb>service"]);
    net.case("IPv6 alone", &[("x", from(json!([{"ipBlock": {"cidr": "::/0"}}])))], &["!yb>xa"]);
    net.case("a port", &[("x", ports(json!([{"port": 81}])))], &["ya>xa:81", "!ya>xa:80", "!ya>xa:udp"]);
    net.case(
        "ports in ranges that overlap",
        &[("x", ports(json!([{"port": 8080, "endPort": 8090}, {"port": 8085, "endPort": 8086}, {"port": 80}])))],
        &["ya>xa:8080", "ya>xa:8085", "!ya>xa:8091", "ya>xa:80", "!ya>xa:81"],
    );
    net.case(
        "a port by its name, which is another in each pod",
        &[("x", ports(json!([{"port": "web"}])))],
        &["ya>xa:80", "!ya>xa:81", "ya>xb:81", "!ya>xb:80", "ya>service"],
    );
    net.case("UDP by name", &[("x", ports(json!([{"port": "talk", "protocol": "UDP"}])))], &["ya>xa:udp", "!ya>xa:80"]);
    net.case("a protocol", &[("x", ports(json!([{"protocol": "UDP"}])))], &["ya>xa:udp", "!ya>xa:80", "!ya>xa:81"]);
    let (web, talk) = (json!({"from": [b], "ports": [{"port": 80}]}), json!({"from": [y], "ports": [{"port": 81}]}));
    net.case(
        "rules of one policy add up, each whole",
        &[("x", json!({"podSelector": a, "ingress": [web, talk]}))],
        &["xb>xa:80", "!xb>xa:81", "ya>xa:81", "!ya>xa:80"],
    );
    net.case("policies add up", &[("x", from(json!([b]))), ("x", from(json!([y])))], &["xb>xa", "ya>xa", "!za>xa"]);
}

fn egress(net: &mut Net) {
    let a = json!({"matchLabels": {"pod": "a"}});
    let z = json!({"namespaceSelector": {"matchLabels": {"team": "z"}}});
    let out = |rules: Value| json!({"podSelector": a, "policyTypes": ["Egress"], "egress": rules});
    net.place("host").serve_some(9000);
    net.case(
        "nothing may leave",
        &[("x", json!({"podSelector": {}, "policyTypes": ["Egress"]}))],
        &[
            "!xa>ya",
            "!xa>xb",
            "!xb>ya:udp",
            "!xa>host:9000",
            "!xa>dns",
            "!xb>service",
            "ya>xa",
            "ya>xa:udp",
            "xa>service",
        ],
    );
    net.case("everything may leave", &[("x", out(json!([{}])))], &["xa>ya", "xa>host:9000", "xa>dns"]);
    net.case(
        "to a namespace",
        &[("x", out(json!([{"to": [z]}])))],
        &["xa>za", "!xa>ya", "!xa>xb", "xb>ya", "!xa>dns", "!xa>host:9000"],
    );
    net.case("to a port", &[("x", out(json!([{"ports": [{"port": 81}]}])))], &["xa>ya:81", "!xa>ya:80"]);
    net.case(
        "to a port by its name",
        &[("x", out(json!([{"ports": [{"port": "web"}]}])))],
        &["xa>ya:80", "!xa>ya:81", "xa>yb:81", "!xa>yb:80"],
    );
    let node = json!([{"to": [{"ipBlock": {"cidr": format!("{}/32", net.place("host").address)}}]}]);
    net.case("to the node", &[("x", out(node))], &["xa>host:9000", "!xa>ya", "!xa>dns"]);
    let names = json!([{"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}], "ports": [{"port": 53, "protocol": "UDP"}]}]);
    net.case("to the name server, as manifests have it", &[("x", out(names))], &["xa>dns", "!xa>ya", "!xa>host:9000"]);
    let web = json!([{"to": [{"podSelector": a}]}]);
    net.case(
        "by a Service: judged by the pod behind it",
        &[("x", json!({"podSelector": {"matchLabels": {"pod": "b"}}, "policyTypes": ["Egress"], "egress": web}))],
        &["xb>service", "xb>xa", "!xb>ya"],
    );
    net.case(
        "both sides have a say",
        &[("x", out(json!([{}]))), ("y", json!({"podSelector": {}, "ingress": [{"from": [z]}]}))],
        &["!xa>ya", "za>ya", "xa>za"],
    );
    net.case(
        "types that are not said follow from the rules",
        &[("x", json!({"podSelector": a, "egress": [{"to": [z]}]}))],
        &["!ya>xa", "xa>za", "!xa>ya"],
    );
    net.case(
        "both types without a rule",
        &[("x", json!({"podSelector": a, "policyTypes": ["Ingress", "Egress"]}))],
        &["!ya>xa", "!xa>ya", "host>xa"],
    );
}

/// Labels of pods and namespaces change, connections that are there go on, and others' hands.
fn changes(net: &mut Net) {
    let friends = json!({"podSelector": {}, "ingress": [
        {"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"friend": "yes"}}}]},
        {"from": [{"namespaceSelector": {"matchLabels": {"friend": "yes"}}}]}]});
    net.case("before they are friends", &[("x", friends)], &["!ya>xa", "!yb>xa", "!za>xa"]);
    let becomes = |net: &Net, what: &[&str], asked: &str| {
        net.cluster.kubectl(what);
        eventually(asked, || {
            let expected = read(asked);
            (net.ask(&expected).join().unwrap() == expected.allowed).then_some(())
        });
    };
    becomes(net, &["label", "pod", "-n", "y", "a", "friend=yes"], "ya>xa");
    becomes(net, &["label", "namespace", "z", "friend=yes"], "za>xa");
    net.check("friends", &["ya>xa", "za>xa", "!yb>xa"]);
    // A connection that is there goes on, and no other begins.
    let (from, to) = (net.place("ya").clone(), net.place("xa").address);
    let stream = from.within(move || TcpStream::connect_timeout(&(to, 80).into(), ALLOWED).unwrap());
    let mut stream = stream.join().unwrap();
    stream.set_read_timeout(Some(ALLOWED)).unwrap();
    stream.read_exact(&mut [0; 2]).unwrap();
    becomes(net, &["label", "pod", "-n", "y", "a", "friend-"], "!ya>xa");
    becomes(net, &["label", "namespace", "z", "friend-"], "!za>xa");
    stream.write_all(b"?").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    // The table is put right, with the policies in it.
    let id = net.cluster.id();
    let short: String = id.chars().filter(char::is_ascii_alphanumeric).take(8).collect::<String>().to_lowercase();
    run(std::process::Command::new("nft").args(["flush", "table", "ip", &format!("evenkeel_{short}")]));
    eventually("they are enforced again", || (!net.ask(&read("!yb>xa")).join().unwrap()).then_some(()));
    net.check("after a flush", &["!ya>xa", "!yb>xa", "!za>xa", "xa>ya"]);
}

/// What begins under a policy never sends or gets a packet without it; and what is gone isolates nobody.
fn beginnings(net: &mut Net) {
    net.set(&[("x", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))]);
    let target = format!("{}:80", net.place("ya").address);
    for name in ["first", "second", "third"] {
        let path = net.cluster.dir.path().join("pod.json");
        fs::write(&path, pod("x", name, &["/shop", "get", &target]).to_string()).unwrap();
        net.cluster.kubectl(&["create", "-f", path.to_str().unwrap()]);
    }
    for name in ["first", "second", "third"] {
        eventually("its first request is its last", || {
            let pod = net.cluster.json(&["pod", name, "-n", "x"])?;
            assert_ne!(pod["status"]["phase"], "Succeeded", "{name} has reached {target}");
            (pod["status"]["phase"] == "Failed").then_some(())
        });
    }
    let rows = net.cluster.kubectl(&["get", "networkpolicies", "-n", "x"]);
    assert!(rows.starts_with("NAME") && rows.contains("POD-SELECTOR"), "{rows}");
    let sctp = policy("x", "sctp", &json!({"podSelector": {}, "ingress": [{"ports": [{"protocol": "SCTP"}]}]}));
    let path = net.cluster.dir.path().join("sctp.json");
    fs::write(&path, sctp.to_string()).unwrap();
    let refused = net.cluster.kubectl_try(&["create", "-f", path.to_str().unwrap()]).unwrap_err();
    assert!(refused.contains("protocol: SCTP` is not supported yet"), "{refused}");
    for namespace in ["x", "y", "z"] {
        net.cluster.kubectl(&["delete", "networkpolicies", "--all", "-n", namespace]);
    }
    eventually("nobody is isolated", || net.ask(&read("ya>xa")).join().unwrap().then_some(()));
    net.check("without policies again", &["xa>ya", "yb>xb:81", "xa>dns", "za>xa:udp"]);
}

impl Place {
    /// Answers at one port of TCP.
    fn serve_some(&self, port: u16) {
        let listener = TcpListener::bind((self.address, port)).unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(b"host");
            }
        });
    }
}
