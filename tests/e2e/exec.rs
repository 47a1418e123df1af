//! Commands in containers, by `evenkeel exec` and by `kubectl exec`: streams, exit codes, a
//! terminal, and what becomes of a command whose caller goes.
//!
//! The container has a program for it on a mounted path; the terminal is a pseudo-terminal.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use serde_json::json;

use crate::{
    inside::with_programs,
    support::{App, Cluster, eventually, output, run, through, tools},
};

/// A cluster with one pod that has the program.
fn cluster() -> Cluster {
    let mut cluster = Cluster::prepare(&[], &[]);
    let (mount, volume) = tools(&cluster);
    cluster.repo.write("web.json", &App { container: &mount, pod: &volume, ..App::default() }.yaml());
    cluster.repo.commit("web");
    cluster.up();
    cluster.wait_ready("default", "web", 1);
    cluster
}

/// `evenkeel exec` of the program in the pod.
fn exec(cluster: &Cluster, flags: &[&str], args: &[&str]) -> Command {
    let mut command = Command::new(crate::support::binary());
    command.arg("--data-dir").arg(cluster.data()).arg("exec").args(flags).arg("deployment/web").arg("--");
    command.arg("/tools/program").args(args).env_remove("KUBECONFIG").stdin(Stdio::null());
    command
}

fn kubectl(cluster: &Cluster, args: &[&str]) -> Command {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(cluster.data().join("admin.kubeconfig"));
    command.arg("--cache-dir").arg(cluster.dir.path().join("kubectl-cache")).args(args).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_command_has_its_streams_and_its_exit_code() {
    let cluster = cluster();
    let printed = output(&mut exec(&cluster, &[], &["print"]));
    assert_eq!((text(&printed.stdout), text(&printed.stderr)), ("out 1\nout 2\n".into(), "err 1\n".into()));
    assert_eq!(output(&mut exec(&cluster, &[], &["exit", "7"])).status.code(), Some(7));
    let five = (0..5_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<u8>>();
    let back = through(exec(&cluster, &["-i"], &["echo"]), &five);
    assert!(back.stdout == five, "{} of {} bytes came back: {}", back.stdout.len(), five.len(), text(&back.stderr));
    assert_eq!(back.status.code(), Some(0));
    // Without -i the command reads an end at once.
    assert!(output(&mut exec(&cluster, &[], &["echo"])).stdout.is_empty());

    let pod = cluster.pods("default", "app=web")[0]["metadata"]["name"].as_str().unwrap().to_string();
    let said = |args: &[&str]| {
        let mut command = Command::new(crate::support::binary());
        let shown = output(command.arg("--data-dir").arg(cluster.data()).args(args).env_remove("KUBECONFIG"));
        (shown.status.code().unwrap(), text(&shown.stderr))
    };
    let (code, error) = said(&["exec", &pod, "--", "/nope"]);
    assert!(code == 127 && error.contains("/nope"), "{code} {error}");
    let (code, error) = said(&["exec", &pod, "-c", "side", "--", "x"]);
    assert!(code == 1 && error.contains("container side is not valid for pod"), "{code} {error}");
    let (code, error) = said(&["exec", "gone", "--", "x"]);
    assert!(code == 1 && error.contains("pods \"gone\" not found"), "{code} {error}");

    // The same by kubectl, over WebSocket and over SPDY.
    for web_sockets in ["true", "false"] {
        let kubectl = |args: &[&str]| {
            let mut command = kubectl(&cluster, &[&["exec"], args].concat());
            command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", web_sockets);
            command
        };
        let printed = output(&mut kubectl(&[&pod, "--", "/tools/program", "print"]));
        assert_eq!((text(&printed.stdout), text(&printed.stderr)), ("out 1\nout 2\n".into(), "err 1\n".into()));
        let failed = output(&mut kubectl(&[&pod, "--", "/tools/program", "exit", "7"]));
        assert!(failed.status.code() == Some(7) && text(&failed.stderr).contains("exit code 7"), "{failed:?}");
        let back = through(kubectl(&["-i", &pod, "--", "/tools/program", "echo"]), &five);
        assert!(back.stdout == five, "{} bytes: {}", back.stdout.len(), text(&back.stderr));
        let none = output(&mut kubectl(&[&pod, "--", "/nope"]));
        assert!(!none.status.success() && text(&none.stderr).contains("/nope"), "{none:?}");
        let refused = output(&mut kubectl(&["gone", "--", "x"]));
        assert!(text(&refused.stderr).contains("pods \"gone\" not found"), "{refused:?}");
    }
    cluster.audit();
}

#[test]
fn kubectl_attaches_to_a_containers_own_process() {
    let mut cluster = Cluster::prepare(&[], &[]);
    let (mount, volume) = tools(&cluster);
    cluster.up();
    let pod = |name: &str, args: &str| {
        format!(
            r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "{name}"}}, "spec": {{"restartPolicy": "Never",
            {volume}, "containers": [{{"name": "c", "image": "shop.example/shop:1.0", "command": ["/tools/program", {args}],
            "stdin": true, "stdinOnce": true, {mount}}}]}}}}"#
        )
    };
    let made = through(kubectl(&cluster, &["create", "-f", "-"]), pod("echo", r#""echo""#).as_bytes());
    assert!(made.status.success(), "{made:?}");
    cluster.kubectl(&["wait", "--for=condition=Ready", "pod/echo", "--timeout=60s"]);
    // What goes in comes out, and the container ends with its input, of which there is one.
    let sent = (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<u8>>();
    let back = through(kubectl(&cluster, &["attach", "-i", "-q", "echo"]), &sent);
    assert!(back.stdout == sent, "{} of {} bytes: {}", back.stdout.len(), sent.len(), text(&back.stderr));
    cluster.kubectl(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/echo", "--timeout=60s"]);
    let late = output(&mut kubectl(&cluster, &["attach", "echo"]));
    let said = text(&late.stderr);
    assert!(!late.status.success() && said.contains("completed pod"), "{said}");

    // Who leaves takes nothing along.
    let made = output(&mut kubectl(&cluster, &["run", "web", "--image=shop.example/shop:1.0"]));
    assert!(made.status.success(), "{made:?}");
    cluster.kubectl(&["wait", "--for=condition=Ready", "pod/web", "--timeout=60s"]);
    let mut attached =
        kubectl(&cluster, &["attach", "web"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the server tells of it", || cluster.said().contains("somebody attaches pod=web").then_some(()));
    attached.kill().unwrap();
    attached.wait().unwrap();
    let pod = cluster.json(&["pod", "web"]).unwrap();
    assert_eq!(pod["status"]["phase"], "Running", "{pod:#}");
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0, "{pod:#}");

    // As people try an image out: input goes to the first process, its output and exit code come back.
    let run = ["run", "once", "--rm", "-i", "-q", "--restart=Never", "--image=shop.example/shop:1.0"];
    let overrides = format!("--overrides={}", pod_overrides(&mount, &volume));
    let back = through(kubectl(&cluster, &[&run[..], &[&overrides]].concat()), b"hello\n");
    assert!(text(&back.stdout).starts_with("hello\n"), "{back:?}");
    cluster.audit();
}

/// Of `kubectl run once`: the program in place of the image's.
fn pod_overrides(mount: &str, volume: &str) -> String {
    format!(
        r#"{{"spec": {{{volume}, "containers": [{{"name": "once", "image": "shop.example/shop:1.0", "stdin": true,
        "stdinOnce": true, "command": ["/tools/program", "echo"], {mount}}}]}}}}"#
    )
}

/// A pseudo-terminal with a process in it, which has it as its controlling terminal.
struct Terminal {
    control: File,
    inside: File,
    child: Child,
    seen: String,
}

impl Terminal {
    fn start(command: &Command, (columns, rows): (u16, u16)) -> Self {
        let control: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&control).unwrap();
        unlockpt(&control).unwrap();
        let path = ptsname(&control, Vec::new()).unwrap().into_string().unwrap();
        let inside = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let control = File::from(control);
        tcsetwinsize(&control, size(columns, rows)).unwrap();
        let end = || Stdio::from(inside.try_clone().unwrap());
        let mut under = Command::new("setsid");
        under.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_remove("KUBECONFIG");
        under.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let child = under.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        Self { control, inside, child, seen: String::new() }
    }

    fn wait_for(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.seen.contains(text) {
            let n = self.control.read(&mut buffer).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.inside).unwrap().local_modes.contains(LocalModes::ICANON)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(ws_col: u16, ws_row: u16) -> Winsize {
    Winsize { ws_col, ws_row, ws_xpixel: 0, ws_ypixel: 0 }
}

#[test]
fn a_terminal_is_passed_on_and_put_back() {
    let cluster = cluster();
    let mut terminal = Terminal::start(&exec(&cluster, &["-it"], &["size"]), (91, 33));
    terminal.wait_for("91x33");
    assert!(terminal.is_raw());
    tcsetwinsize(&terminal.control, size(120, 40)).unwrap();
    terminal.wait_for("120x40");
    // The key goes to the command, whose terminal makes a signal of it.
    terminal.control.write_all(b"\x03").unwrap();
    assert_eq!(terminal.child.wait().unwrap().code(), Some(130));
    assert!(!terminal.is_raw());

    // A signal from outside puts it back, too, and the command ends.
    let mut terminal = Terminal::start(&exec(&cluster, &["-it"], &["size"]), (80, 24));
    terminal.wait_for("80x24");
    assert!(terminal.is_raw());
    run(Command::new("kill").args(["-TERM", &terminal.child.id().to_string()]));
    assert_eq!(terminal.child.wait().unwrap().code(), Some(143));
    assert!(!terminal.is_raw());
    eventually("the command has ended", || (count(&cluster) == 1).then_some(()));

    // kubectl over SPDY has a terminal as well.
    let mut old = kubectl(&cluster, &["exec", "-it", "deployment/web", "--", "/tools/program", "size"]);
    let mut terminal = Terminal::start(old.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false"), (91, 33));
    terminal.wait_for("91x33");
    tcsetwinsize(&terminal.control, size(120, 40)).unwrap();
    terminal.wait_for("120x40");
    terminal.control.write_all(b"\x03").unwrap();
    assert_eq!(terminal.child.wait().unwrap().code(), Some(130));
    cluster.audit();
}

/// `kubectl cp` is `tar` in the container, with its archive on the command's streams.
#[test]
fn files_are_copied_both_ways() {
    let container = json!({"command": ["/shop", "hang"], "volumeMounts": [{"name": "copy", "mountPath": "/copy"}]});
    let pod = json!({"volumes": [{"name": "copy", "emptyDir": {}}]});
    let cluster = Cluster::start(&[("tools.json", &with_programs("tools", container, pod))]);
    cluster.wait_ready("default", "tools", 1);
    let name = cluster.pods("default", "app=tools").remove(0)["metadata"]["name"].as_str().unwrap().to_owned();

    let here = cluster.dir.path().join("here");
    fs::create_dir_all(here.join("deep/er")).unwrap();
    // More than any buffer on the way holds, and no two parts alike.
    let big: Vec<u8> = (0..6_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(here.join("big"), &big).unwrap();
    fs::write(here.join("deep/er/small"), "hello").unwrap();
    let at = |cluster_path: &str| format!("{name}:{cluster_path}");
    cluster.kubectl(&["cp", here.to_str().unwrap(), &at("/copy/there")]);
    let sum = cluster.kubectl(&["exec", &name, "--", "cat", "/copy/there/deep/er/small"]);
    assert_eq!(sum, "hello");
    let back = cluster.dir.path().join("back");
    cluster.kubectl(&["cp", &at("/copy/there"), back.to_str().unwrap()]);
    assert!(fs::read(back.join("big")).unwrap() == big, "the copy of a copy is another file");
    assert_eq!(fs::read_to_string(back.join("deep/er/small")).unwrap(), "hello");
    cluster.audit();
}

/// Processes in the container but the one that counts.
fn count(cluster: &Cluster) -> usize {
    text(&output(&mut exec(cluster, &[], &["count"])).stdout).trim().parse().unwrap()
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[test]
fn a_slow_reader_slows_the_command_and_a_lost_one_ends_it() {
    const MEBIBYTES: usize = 96;
    let mut cluster = cluster();
    let idle = count(&cluster);
    let before = resident(cluster.pid());
    let mut child = exec(&cluster, &[], &["flood", &MEBIBYTES.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut first = [0; 1];
    out.read_exact(&mut first).unwrap();
    eventually("the command waits for its reader", || {
        let (a, b) = (written(&cluster), {
            thread::sleep(Duration::from_millis(500));
            written(&cluster)
        });
        (a == b && a > 0).then_some(())
    });
    let kept = resident(cluster.pid()).saturating_sub(before);
    assert!(kept < 48 << 20, "{kept} bytes are kept for a reader that does not read");
    // Others go on meanwhile.
    assert_eq!(output(&mut exec(&cluster, &[], &["exit", "0"])).status.code(), Some(0));
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len() + 1, MEBIBYTES << 20);
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let mut lost = exec(&cluster, &[], &["fork"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 6];
    lost.stdout.take().unwrap().read_exact(&mut ready).unwrap();
    assert_eq!(count(&cluster), idle + 2);
    lost.kill().unwrap();
    lost.wait().unwrap();
    eventually("the command has ended", || (count(&cluster) == idle).then_some(()));
    cluster.audit();
}

/// Bytes that the command which floods has written so far.
fn written(cluster: &Cluster) -> u64 {
    text(&output(&mut exec(cluster, &[], &["written"])).stdout).trim().parse().unwrap()
}
