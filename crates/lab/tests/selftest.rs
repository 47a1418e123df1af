//! The lab itself: that its faults are faults, that their end is their end, and that nothing of it
//! is left. Without Evenkeel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    net::UdpSocket,
    process::Command,
    time::{Duration, Instant},
};

use evenkeel_lab::{At, Container, Lab, SHOP_READY, docker, eventually, output, run, within};

/// How long a datagram may take through a switch on this machine; what has not come by then was
/// lost.
const LOST: Duration = Duration::from_millis(400);

/// A socket at each place.
struct Phones {
    all: Vec<(At, UdpSocket)>,
}

impl Phones {
    fn of(lab: &Lab, places: &[At]) -> Self {
        let open = |at: At| {
            let address = (lab.address(at), 7077);
            lab.within_network(at, move || UdpSocket::bind(address)).unwrap()
        };
        Self { all: places.iter().map(|at| (*at, open(*at))).collect() }
    }

    fn at(&self, at: At) -> &UdpSocket {
        &self.all.iter().find(|(place, _)| *place == at).unwrap().1
    }

    /// Whether a datagram from one place to another arrives.
    fn hears(&self, from: At, to: At) -> bool {
        let (sender, receiver) = (self.at(from), self.at(to));
        receiver.set_nonblocking(true).unwrap();
        let mut buffer = [0; 64];
        while receiver.recv_from(&mut buffer).is_ok() {}
        receiver.set_nonblocking(false).unwrap();
        receiver.set_read_timeout(Some(LOST)).unwrap();
        // A link without carrier refuses at once.
        if sender.send_to(b"hello", receiver.local_addr().unwrap()).is_err() {
            return false;
        }
        receiver.recv_from(&mut buffer).is_ok_and(|(_, who)| who == sender.local_addr().unwrap())
    }

    /// How many of so many datagrams arrive.
    fn count(&self, from: At, to: At, sent: usize) -> usize {
        let (sender, receiver) = (self.at(from), self.at(to));
        receiver.set_read_timeout(Some(LOST)).unwrap();
        (0..sent).for_each(|_| assert_eq!(sender.send_to(b"hello", receiver.local_addr().unwrap()).unwrap(), 5));
        (0..sent).take_while(|_| receiver.recv_from(&mut [0; 64]).is_ok()).count()
    }

    fn all_hear_all(&self) {
        for (from, _) in &self.all {
            for (to, _) in self.all.iter().filter(|(to, _)| to != from) {
                eventually(&format!("{to:?} hears {from:?}"), || self.hears(*from, *to).then_some(()));
            }
        }
    }
}

#[test]
fn every_cut_cuts_what_it_says_and_nothing_else() {
    let (one, two) = (At::Node(1), At::Node(2));
    let mut lab = Lab::new(2);
    let phones = Phones::of(&lab, &[At::Host, At::Server, one, two]);
    phones.all_hear_all();

    lab.one_way(one, two);
    assert!(!phones.hears(one, two));
    assert!(phones.hears(two, one) && phones.hears(one, At::Host) && phones.hears(At::Server, two));
    lab.heal();
    phones.all_hear_all();

    lab.cut_between(one, At::Server);
    assert!(!phones.hears(one, At::Server) && !phones.hears(At::Server, one));
    assert!(phones.hears(one, two) && phones.hears(At::Host, one));
    lab.heal();
    phones.all_hear_all();

    lab.silent_cut(one);
    for other in [At::Host, At::Server, two] {
        assert!(!phones.hears(one, other) && !phones.hears(other, one), "{other:?}");
    }
    assert!(carrier(&lab, one), "a silent cut is not seen by the machine");
    assert!(phones.hears(two, At::Server));
    lab.heal();
    phones.all_hear_all();

    lab.cut(one);
    eventually("the machine sees that its cable is out", || (!carrier(&lab, one)).then_some(()));
    assert!(!phones.hears(At::Host, one) && phones.hears(At::Host, two));
    lab.mend(one);
    phones.all_hear_all();

    lab.lose(two, 50);
    assert_eq!(phones.count(one, At::Server, 100), 100);
    for (from, to) in [(one, two), (two, one)] {
        let heard = phones.count(from, to, 100);
        assert!((20..=80).contains(&heard), "half of 100 frames are lost, {heard} were heard");
    }
    lab.heal();
    phones.all_hear_all();
}

fn carrier(lab: &Lab, at: At) -> bool {
    run(lab.command(at, "cat").arg("/sys/class/net/eth0/carrier")).trim() == "1"
}

#[test]
fn a_slow_link_is_slow() {
    let mut lab = Lab::new(1);
    let node = At::Node(1);
    lab.slow(node, "1mbit");
    let phones = Phones::of(&lab, &[At::Host, node]);
    phones.all_hear_all();
    for (from, to) in [(At::Host, node), (node, At::Host)] {
        let (sender, receiver) = (phones.at(from), phones.at(to));
        receiver.set_read_timeout(Some(LOST)).unwrap();
        let begin = Instant::now();
        // 100 KiB at 1 Mbit/s are 0.8 s, at the speed of the switch nothing. The queue holds 25 KB.
        let (mut got, mut buffer) = (0, [0; 2048]);
        for _ in 0..100 {
            sender.send_to(&[1; 1024], receiver.local_addr().unwrap()).unwrap();
            got += receiver.recv_from(&mut buffer).map_or(0, |(length, _)| length);
        }
        let time = begin.elapsed();
        assert!(got > 90_000 && time > Duration::from_millis(400), "{from:?} to {to:?}: {got} bytes in {time:?}");
    }
}

/// A container of the example's shop on a node, without a network.
fn shop(lab: &Lab, node: usize, policy: &str) -> String {
    let url = lab.engine(node).url();
    let run = ["-H", &url, "run", "-d", "--network", "none", "--restart", policy, "shop.example/shop:1.0"];
    docker(&run)
}

fn container(lab: &Lab, node: usize, id: &str) -> Container {
    lab.engine(node).containers().into_iter().find(|c| c.id == id).unwrap()
}

#[test]
fn power_engine_and_time_stop_and_go_on() {
    let mut lab = Lab::with_engines(&[true, false]);
    let (one, two) = (At::Node(1), At::Node(2));
    let names: Vec<String> = [one, two].iter().map(|at| run(lab.command(*at, "uname").arg("-n"))).collect();
    assert_eq!(names, ["node-1\n", "node-2\n"]);
    let boot = |lab: &Lab| run(lab.command(one, "cat").arg("/proc/sys/kernel/random/boot_id"));
    let machine = |lab: &Lab, at| run(lab.command(at, "cat").arg("/etc/machine-id"));
    let (first_boot, id) = (boot(&lab), machine(&lab, one));
    assert_ne!(id, machine(&lab, two));

    let (a, b) = (shop(&lab, 1, "no"), shop(&lab, 2, "no"));
    let watch = lab.watch(SHOP_READY);
    let answering = |lab: &Lab, expected: &[usize]| {
        eventually(&format!("{expected:?} answer"), || (lab.answering(&SHOP_READY) == expected).then_some(()));
    };
    answering(&lab, &[1, 1]);
    let before = container(&lab, 1, &a);

    // An engine with live-restore is killed, and stopped: its container does not notice.
    lab.engine_kill(1);
    assert_eq!(lab.answering(&SHOP_READY), [1, 1]);
    lab.engine_start(1);
    lab.engine_stop(1);
    lab.engine_start(1);
    assert_eq!(container(&lab, 1, &a), before);
    // One without stops its containers.
    lab.engine_stop(2);
    lab.engine_start(2);
    assert!(!container(&lab, 2, &b).running);

    // Frozen, containers answer no more; thawed, they do.
    lab.freeze(one);
    assert_eq!(lab.answering(&SHOP_READY), [0, 0]);
    lab.thaw(one);
    answering(&lab, &[1, 0]);
    assert_eq!(container(&lab, 1, &a), before);

    // Without power everything is gone but what is on the disk.
    lab.power_off(one);
    assert_eq!(lab.answering(&SHOP_READY), [0, 0]);
    assert!(!lab.node(1).is_on() && lab.engine(1).get("/_ping").is_err());
    lab.power_on(one);
    assert!(!container(&lab, 1, &a).running, "a container without a restart policy");
    assert_ne!(boot(&lab), first_boot);
    assert_eq!(machine(&lab, one), id);
    shop(&lab, 1, "no");
    answering(&lab, &[1, 0]);

    let seen = watch.stop();
    assert!(seen.iter().any(|s| s.answering == [1, 1]) && seen.iter().any(|s| s.all() == 0), "{seen:?}");

    // A new node is like the others.
    let three = lab.add_node();
    shop(&lab, three, "no");
    answering(&lab, &[1, 0, 1]);
}

#[test]
fn processes_stop_and_go_on() {
    let lab = Lab::new(1);
    let log = lab.dir().join("log");
    let mut beat = Command::new("sh");
    beat.args(["-c", "while :; do echo beat; sleep 0.05; done"]);
    let beats = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
    let grows = |from: usize| eventually("it beats", || (beats() > from).then_some(()));
    let on_host = lab.start_on_host(&beat, &log);
    for mut process in [lab.node(1).start(&beat, &log), on_host] {
        let pid = process.pid();
        grows(beats());
        process.pause();
        let state = |state: char| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(state))
        };
        eventually("it is stopped", || state('T').then_some(()));
        process.resume();
        eventually("it goes on", || (!state('T')).then_some(()));
        process.pause();
        // Also what is stopped ends.
        process.kill();
        assert!(!std::path::Path::new("/proc").join(pid.to_string()).exists());
    }
    let process = lab.node(1).start(&beat, &log);
    grows(beats());
    process.terminate();
}

/// What labs of a process leave, or have, on this machine.
fn traces(pid: u32) -> Vec<String> {
    let mine = format!("evenkeel-lab-{pid}-");
    let mut found = Vec::new();
    let mut look = |dir: &std::path::Path| {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&mine) {
                found.push(entry.path().display().to_string());
            }
        }
    };
    look(&std::env::temp_dir());
    look("/sys/fs/cgroup".as_ref());
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        look(&hierarchy.path());
    }
    let links = run(Command::new("ip").args(["-o", "link"]));
    found.extend(links.lines().filter(|l| l.contains(&format!("ek{pid}x"))).map(String::from));
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        found.extend(words.contains(&mine).then_some(words));
    }
    found
}

#[test]
fn nothing_is_left_of_a_lab_also_when_its_process_is_killed() {
    let bare = |log: &str| {
        let program = env!("CARGO_BIN_EXE_evenkeel-lab");
        let out = std::fs::File::create(log).unwrap();
        Command::new(program).args(["--bare", "--nodes", "1"]).stdout(out).spawn().unwrap()
    };
    let ready = |log: &str| {
        within(Duration::from_mins(1), "the lab is up", || {
            std::fs::read_to_string(log).unwrap().contains("Ctrl-C").then_some(())
        });
    };
    let log = std::env::temp_dir().join(format!("evenkeel-selftest-{}.log", std::process::id()));
    let log = log.to_str().unwrap();
    // Ctrl-C.
    let mut lab = bare(log);
    ready(log);
    assert!(traces(lab.id()).len() > 3, "{:?}", traces(lab.id()));
    run(Command::new("kill").args(["-INT", &lab.id().to_string()]));
    assert!(lab.wait().unwrap().success());
    // The kernel takes a namespace's links away some moments after its last process.
    within(Duration::from_secs(20), "nothing is left", || traces(lab.id()).is_empty().then_some(()));

    // `kill -9` while a machine is frozen, the worst moment: frozen processes cannot die.
    let mut lab = bare(log);
    ready(log);
    let (pid, mine) = (lab.id(), format!("evenkeel-lab-{}-", lab.id()));
    for base in ["/sys/fs/cgroup/freezer", "/sys/fs/cgroup"] {
        let groups = std::fs::read_dir(base).into_iter().flatten().flatten();
        for group in groups.filter(|g| g.file_name().to_string_lossy().starts_with(&mine)) {
            for (file, word) in [("freezer.state", "FROZEN"), ("cgroup.freeze", "1")] {
                if group.path().join(file).exists() {
                    std::fs::write(group.path().join(file), word).unwrap();
                }
            }
        }
    }
    lab.kill().unwrap();
    lab.wait().unwrap();
    assert!(!traces(pid).is_empty());
    // Whoever makes the next lab cleans up, and touches nothing of a lab that lives.
    let mut other = bare(log);
    ready(log);
    eventually("the dead lab is gone", || traces(pid).is_empty().then_some(()));
    let mut third = bare(&format!("{log}.third"));
    ready(&format!("{log}.third"));
    assert!(traces(other.id()).len() > 3);
    for lab in [&mut other, &mut third] {
        run(Command::new("kill").args(["-TERM", &lab.id().to_string()]));
        assert!(lab.wait().unwrap().success());
        within(Duration::from_secs(20), "nothing is left", || traces(lab.id()).is_empty().then_some(()));
    }
    output(Command::new("rm").args(["-f", log, &format!("{log}.third")]));
}
