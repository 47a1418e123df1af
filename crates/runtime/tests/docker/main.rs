//! The Docker runtime against the engine of this machine. A missing engine is a failure.
//!
//! Each test has a label of its own, removes what it made, and never looks at other containers.
//! The image is built from a static program and imported; no registry is asked for it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod exec;
mod support;

use std::{path::PathBuf, process::Command, time::Duration};

use evenkeel_model::Digest;
use evenkeel_runtime::{
    ContainerId, ContainerState, Docker, EnvVar, EventAction, ExecLimits, LogOptions, Mount, Propagation, PullFailure,
    RegistryAuth, Resources, Runtime, RuntimeError, SandboxNetwork, StartFailure,
};
use futures_util::StreamExt as _;
use support::{LABEL, Pod, docker, image, tar};

#[tokio::test]
async fn the_engine_tells_what_it_is() {
    let info = docker().info().await.unwrap();
    assert!(info.cpus > 0 && info.memory_bytes > 1 << 20);
    assert_eq!(info.os, "linux");
    assert!(["amd64", "arm64"].contains(&info.arch.as_str()), "{}", info.arch);
    assert!(!info.kernel.is_empty() && !info.root_dir.as_os_str().is_empty());
    let gone = Docker::new("/nonexistent/docker.sock").unwrap();
    assert!(matches!(gone.info().await, Err(RuntimeError::EngineUnavailable { .. })));
}

#[tokio::test]
async fn a_container_lives_in_its_sandbox() {
    let pod = Pod::new().await;
    let sandbox = pod.docker.inspect(&pod.sandbox).await.unwrap();
    assert!(sandbox.state.is_alive());
    assert_eq!(sandbox.ip.is_some(), pod.docker.info().await.unwrap().has_default_network);

    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("file"), "from the host").unwrap();
    let mut spec = pod.spec("app", &["run"]).await;
    spec.env.push(EnvVar { name: "GREETING".into(), value: "hello = you".into() });
    spec.mounts.push(Mount {
        source: PathBuf::from(host.path()),
        target: "/data".into(),
        read_only: true,
        propagation: Propagation::Private,
    });
    spec.security.user = Some("1000".into());
    spec.security.group = Some(2000);
    spec.resources = Resources { cpu_shares: Some(256), cpu_quota_micros: Some(50_000), memory_bytes: Some(64 << 20) };
    let id = pod.create(&spec).await;
    let info = pod.docker.inspect(&id).await.unwrap();
    assert_eq!(info.state, ContainerState::Created);
    assert_eq!(info.joins.as_ref(), Some(&pod.sandbox));
    assert_eq!((info.name.as_str(), info.resources, info.engine_restarts), (spec.name.as_str(), spec.resources, false));
    assert_eq!(info.image_id, image().await);
    pod.docker.start(&id).await.unwrap();
    pod.docker.start(&id).await.unwrap();

    let limits = ExecLimits { timeout: Duration::from_secs(10), max_output: 64 };
    let exec = async |args: &[&str]| {
        let command: Vec<String> = std::iter::once("/program").chain(args.iter().copied()).map(Into::into).collect();
        let result = pod.docker.exec(&id, &command, &limits).await.unwrap();
        (result.exit_code, String::from_utf8(result.output).unwrap())
    };
    assert_eq!(exec(&["env", "GREETING"]).await, (Some(0), "hello = you\n".into()));
    assert_eq!(exec(&["cat", "/data/file"]).await, (Some(0), "from the host".into()));
    assert_eq!(exec(&["cat", "/etc/hostname"]).await, (Some(0), "pod-host\n".into()));
    assert_eq!(exec(&["ids"]).await, (Some(0), "1000 2000\n".into()));
    assert_eq!(exec(&["exit", "5"]).await.0, Some(5));
    let missing = pod.docker.exec(&id, &["/nope".to_owned()], &limits).await.unwrap();
    assert!(matches!(missing.exit_code, Some(126 | 127)), "{missing:?}");
    let short = ExecLimits { timeout: Duration::from_millis(700), max_output: 64 };
    let slow = pod.docker.exec(&id, &["/program".into(), "sleep".into(), "20".into()], &short).await.unwrap();
    assert!(slow.timed_out());

    assert!(pod.docker.stats(&id).await.unwrap().memory_bytes > 0);
    assert!(pod.docker.images_in_use().await.unwrap().contains(&image().await.to_owned()));

    // Limits change at once, in both directions.
    pod.docker.update(&id, &Resources { memory_bytes: Some(32 << 20), ..spec.resources }).await.unwrap();
    assert_eq!(pod.docker.inspect(&id).await.unwrap().resources.memory_bytes, Some(32 << 20));
    pod.docker.update(&id, &spec.resources).await.unwrap();
    assert_eq!(pod.docker.inspect(&id).await.unwrap().resources, spec.resources);

    pod.docker.stop(&id, Duration::from_secs(5)).await.unwrap();
    assert!(matches!(pod.exited(&id).await, ContainerState::Exited { code: 7, oom: false, .. }));
    pod.docker.stop(&id, Duration::from_secs(5)).await.unwrap();
    pod.docker.kill(&id, "SIGKILL").await.unwrap();
    pod.docker.unpause(&id).await.unwrap();
    pod.docker.remove(&id).await.unwrap();
    pod.docker.remove(&id).await.unwrap();
    assert!(matches!(pod.docker.inspect(&id).await, Err(RuntimeError::NotFound { .. })));
    assert!(matches!(pod.docker.stop(&id, Duration::ZERO).await, Err(RuntimeError::NotFound { .. })));
    pod.end().await;
}

#[tokio::test]
async fn output_is_read_by_stream_and_tail() {
    let pod = Pod::new().await;
    let id = pod.run("app", &["print"]).await;
    pod.exited(&id).await;
    let all = LogOptions { follow: true, ..Default::default() };
    assert_eq!(pod.logs(&id, &all).await, ("out 1\nout 2\n".into(), "err 1\n".into()));
    let last = LogOptions { tail: Some(1), ..Default::default() };
    let (out, err) = pod.logs(&id, &last).await;
    assert_eq!(out.lines().count() + err.lines().count(), 1);
    let stamped = LogOptions { timestamps: true, ..Default::default() };
    assert!(pod.logs(&id, &stamped).await.0.lines().all(|l| l.split_once('T').is_some()));
    assert!(matches!(
        pod.docker.logs(&ContainerId("nonexistent".into()), &all).await.map(|_| ()),
        Err(RuntimeError::NotFound { .. })
    ));
    pod.end().await;
}

#[tokio::test]
async fn memory_is_bounded() {
    let pod = Pod::new().await;
    let mut why_is_told = false;
    // The engine forgets why where it hears of the end first, which is rare.
    for name in ["eater", "second", "third", "fourth"] {
        let mut spec = pod.spec(name, &["eat"]).await;
        spec.resources.memory_bytes = Some(16 << 20);
        let id = pod.create(&spec).await;
        pod.docker.start(&id).await.unwrap();
        let ContainerState::Exited { code: 137, oom, .. } = pod.exited(&id).await else { panic!("it went on eating") };
        why_is_told |= oom;
        if why_is_told {
            break;
        }
    }
    assert!(why_is_told);
    pod.end().await;
}

#[tokio::test]
async fn failures_have_their_kinds() {
    let pod = Pod::new().await;
    let mut spec = pod.spec("nocmd", &[]).await;
    spec.command = vec!["/no/such/command".into()];
    let id = pod.create(&spec).await;
    assert!(matches!(
        pod.docker.start(&id).await,
        Err(RuntimeError::Start { failure: StartFailure::ExecutableNotFound, .. })
    ));

    let mut spec = pod.spec("noimage", &[]).await;
    spec.image = "evenkeel.test/nonexistent:1".into();
    assert!(matches!(
        pod.docker.create_container(&pod.sandbox, &spec).await,
        Err(RuntimeError::ImageNotPresent { .. })
    ));

    let mut spec = pod.spec("badmount", &[]).await;
    spec.mounts.push(Mount {
        source: "/nonexistent/path".into(),
        target: "/x".into(),
        read_only: false,
        propagation: Propagation::Private,
    });
    assert!(matches!(pod.docker.create_container(&pod.sandbox, &spec).await, Err(RuntimeError::Create { .. })));

    let spec = pod.spec("app", &["run"]).await;
    let id = pod.create(&spec).await;
    assert!(matches!(pod.docker.create_container(&pod.sandbox, &spec).await, Err(RuntimeError::Conflict { .. })));

    // A dead sandbox is a dead pod.
    pod.docker.kill(&pod.sandbox, "SIGKILL").await.unwrap();
    pod.exited(&pod.sandbox).await;
    match pod.docker.start(&id).await {
        Err(RuntimeError::Start { failure: StartFailure::SandboxGone, .. }) => {}
        other => panic!("{other:?}"),
    }
    pod.end().await;
}

#[tokio::test]
async fn pulls_fail_with_the_reason() {
    let docker = docker();
    // Nothing listens on the discard port of this machine.
    let error = docker.pull("127.0.0.1:9/evenkeel/none:1", None).await.unwrap_err();
    assert!(
        matches!(&error, RuntimeError::Pull { failure: PullFailure::RegistryUnreachable, image, .. } if image.ends_with("none:1")),
        "{error:?}"
    );
    let error = docker.pull("Not A Reference", None).await.unwrap_err();
    assert!(matches!(error, RuntimeError::Pull { failure: PullFailure::InvalidReference, .. }), "{error:?}");
    assert_eq!(docker.image("evenkeel.test/nonexistent:1").await.unwrap(), None);
    docker.remove_image("evenkeel.test/nonexistent:1").await.unwrap();
}

#[tokio::test]
async fn events_tell_what_is_done_to_a_container() {
    let pod = Pod::new().await;
    let id = pod.create(&pod.spec("app", &["run"]).await).await;
    let created = pod.docker.inspect(&id).await.unwrap().created;
    let mut events = pod.docker.events(&pod.selector(), Some(created)).await.unwrap();
    pod.docker.start(&id).await.unwrap();
    let cli = |args: &[&str]| assert!(Command::new("docker").args(args).output().unwrap().status.success());
    cli(&["pause", &id.0]);
    assert!(matches!(pod.docker.inspect(&id).await.unwrap().state, ContainerState::Paused { .. }));
    pod.docker.unpause(&id).await.unwrap();
    cli(&["rename", &id.0, &format!("ekrt-{}-other", pod.mark)]);
    pod.docker.rename(&id, &format!("ekrt-{}-app", pod.mark)).await.unwrap();
    cli(&["update", "--memory", "64m", "--memory-swap", "64m", "--restart", "always", &id.0]);
    let drifted = pod.docker.inspect(&id).await.unwrap();
    assert!(drifted.engine_restarts && drifted.resources.memory_bytes == Some(64 << 20));
    pod.docker.update(&id, &Resources::default()).await.unwrap();
    let healed = pod.docker.inspect(&id).await.unwrap();
    assert!(!healed.engine_restarts && healed.resources.memory_bytes.is_none(), "{healed:?}");
    cli(&["kill", &id.0]);
    pod.exited(&id).await;
    pod.docker.remove(&id).await.unwrap();

    let mut seen = Vec::new();
    while !matches!(seen.last(), Some(EventAction::Destroyed)) {
        let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await.unwrap().unwrap().unwrap();
        if event.id == id {
            assert_eq!(event.labels.get(LABEL), Some(&pod.mark));
            seen.push(event.action);
        }
    }
    let before = format!("ekrt-{}-app", pod.mark);
    for action in [
        EventAction::Started,
        EventAction::Paused,
        EventAction::Unpaused,
        EventAction::Renamed { old_name: before },
        EventAction::Updated,
        EventAction::Killed { signal: 9 },
        EventAction::Died { exit_code: 137 },
    ] {
        assert!(seen.contains(&action), "{action:?} is missing in {seen:?}");
    }
    pod.end().await;
}

#[tokio::test]
async fn the_sandbox_image_is_loaded_once_and_stops_at_once() {
    let docker = docker();
    let id = docker.ensure_sandbox_image().await.unwrap();
    assert_eq!(docker.ensure_sandbox_image().await.unwrap(), id);
    let pod = Pod::new().await;
    let begun = std::time::Instant::now();
    pod.docker.stop(&pod.sandbox, Duration::from_secs(10)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(matches!(pod.exited(&pod.sandbox).await, ContainerState::Exited { code: 0, .. }));
    pod.end().await;
}

/// A process's network namespace, and all its capabilities as the kernel shows them.
fn network_of(pid: u32) -> (PathBuf, Vec<String>) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let lines = status
        .lines()
        .filter(|l| ["Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapAmb"].iter().any(|n| l.starts_with(n)));
    let words = lines.flat_map(|l| l.split_whitespace().skip(1)).map(str::to_owned).collect();
    (std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap(), words)
}

fn pid(info: &evenkeel_runtime::ContainerInfo) -> u32 {
    let ContainerState::Running { pid, .. } = info.state else { panic!("{info:?}") };
    pid
}

/// Needs to see the engine's processes: the engine of this machine, root.
#[tokio::test]
async fn a_sandbox_makes_its_own_network_and_is_nobody_then() {
    let pod = Pod::within(SandboxNetwork::Own).await;
    let info = pod.docker.inspect(&pod.sandbox).await.unwrap();
    assert_eq!((info.network, info.ip), (SandboxNetwork::Own, None));
    let own = network_of(std::process::id()).0;
    let mut left = 400;
    let sandbox = loop {
        let (network, rights) = network_of(pid(&info));
        // It changes its user after its network.
        if network != own && !rights.iter().any(|w| w == "0") {
            break (network, rights);
        }
        left -= 1;
        assert!(left > 0, "it stays where it was started");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(sandbox.1.iter().all(|w| w == "65535" || w == "0000000000000000"), "{sandbox:?}");
    let app = pod.run("app", &["run"]).await;
    let app = pod.docker.inspect(&app).await.unwrap();
    assert_eq!(network_of(pid(&app)).0, sandbox.0);
    pod.end().await;

    let pod = Pod::within(SandboxNetwork::Host).await;
    let info = pod.docker.inspect(&pod.sandbox).await.unwrap();
    assert_eq!(info.network, SandboxNetwork::Host);
    assert_eq!(network_of(pid(&info)).0, own);
    pod.end().await;
}

/// A registry of one image on this machine: enough of the protocol for a pull. With `password`, it
/// asks for `user` and that. Returns its address.
async fn registry(password: Option<&'static str>) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let layer = tar(&[("empty", 0o644, b"")]);
    let layer_digest = Digest::of(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"User":"7"}},"rootfs":{{"type":"layers","diff_ids":["sha256:{layer_digest}"]}}}}"#
    );
    let config_digest = Digest::of(config.as_bytes());
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":{},"digest":"sha256:{config_digest}"}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar","size":{},"digest":"sha256:{layer_digest}"}}]}}"#,
        config.len(),
        layer.len()
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 8192];
            let n = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..n]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            // "user:sesame" in base64.
            let authorized = password.is_none() || request.contains("dXNlcjpzZXNhbWU=");
            let (status, kind, body): (&str, &str, &[u8]) = if !authorized {
                (
                    "401 Unauthorized",
                    "application/json",
                    br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#,
                )
            } else if path == "/v2/" {
                ("200 OK", "application/json", b"{}")
            } else if path.ends_with("/manifests/1")
                || path.ends_with(&format!("sha256:{}", Digest::of(manifest.as_bytes())))
            {
                ("200 OK", "application/vnd.docker.distribution.manifest.v2+json", manifest.as_bytes())
            } else if path.ends_with(&config_digest.to_string()) {
                ("200 OK", "application/octet-stream", config.as_bytes())
            } else if path.ends_with(&layer_digest.to_string()) {
                ("200 OK", "application/octet-stream", &layer)
            } else {
                (
                    "404 Not Found",
                    "application/json",
                    br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
                )
            };
            let mut answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nDocker-Distribution-Api-Version: registry/2.0\r\nWWW-Authenticate: Basic realm=\"test\"\r\nDocker-Content-Digest: sha256:{}\r\nConnection: close\r\n\r\n",
                body.len(),
                Digest::of(body)
            )
            .into_bytes();
            if !request.starts_with("HEAD") {
                answer.extend_from_slice(body);
            }
            let _ = stream.write_all(&answer).await;
        }
    });
    address
}

#[tokio::test]
async fn images_are_pulled_with_and_without_credentials() {
    let docker = docker();
    let failure = |result: Result<_, RuntimeError>| match result.map(|_: evenkeel_runtime::ImageInfo| ()) {
        Err(RuntimeError::Pull { failure, .. }) => failure,
        other => panic!("{other:?}"),
    };
    let open = registry(None).await;
    let image = docker.pull(&format!("{open}/shop/web:1"), None).await.unwrap();
    assert_eq!((image.user.as_str(), image.digests.len()), ("7", 1));
    assert!(docker.images().await.unwrap().iter().any(|i| i.id == image.id));
    assert_eq!(failure(docker.pull(&format!("{open}/shop/web:2"), None).await), PullFailure::NotFound);

    let closed = registry(Some("sesame")).await;
    let reference = format!("{closed}/shop/web:1");
    assert_eq!(failure(docker.pull(&reference, None).await), PullFailure::Unauthorized);
    let mut auth = RegistryAuth { username: "user".into(), password: "wrong".into(), ..RegistryAuth::default() };
    auth.server.clone_from(&closed);
    assert_eq!(failure(docker.pull(&reference, Some(&auth)).await), PullFailure::Unauthorized);
    auth.password = "sesame".into();
    let same = docker.pull(&reference, Some(&auth)).await.unwrap();
    assert_eq!(same.id, image.id);
    // Both tags go, and the image with them.
    docker.remove_image(&image.id).await.unwrap();
    assert_eq!(docker.image(&image.id).await.unwrap(), None);
}
