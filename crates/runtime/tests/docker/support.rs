//! One test's containers on the engine of this machine, and the program that they run.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use evenkeel_model::Digest;
use evenkeel_runtime::{
    ContainerId, ContainerSpec, ContainerState, Docker, LogOptions, Runtime, SandboxNetwork, SandboxSpec, Stream,
    docker::DEFAULT_SOCKET,
};
use futures_util::StreamExt as _;
use tokio::sync::OnceCell;

pub(crate) const LABEL: &str = "evenkeel.dev/runtime-test";

pub(crate) fn docker() -> Docker {
    let address = std::env::var("DOCKER_HOST").unwrap_or_else(|_| DEFAULT_SOCKET.into());
    Docker::new(&address).unwrap()
}

/// Builds the test program and loads its image once.
pub(crate) async fn image() -> &'static str {
    static IMAGE: OnceCell<String> = OnceCell::const_new();
    IMAGE
        .get_or_init(|| async {
            let dir = tempfile::tempdir().unwrap();
            let binary = dir.path().join("program");
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program.c");
            let built = Command::new("gcc").args(["-O1", "-static", "-o"]).arg(&binary).arg(source).status().unwrap();
            assert!(built.success());
            let program = std::fs::read(&binary).unwrap();
            docker().load_images(Bytes::from(archive(&program))).await.unwrap();
            docker().image("evenkeel.test/runtime:1").await.unwrap().unwrap().id
        })
        .await
}

fn archive(program: &[u8]) -> Vec<u8> {
    let layer = tar(&[("program", 0o755, program)]);
    let digest = Digest::of(&layer);
    let arch = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
    let config = format!(
        r#"{{"architecture":"{arch}","os":"linux","config":{{"Entrypoint":["/program"],"Cmd":["run"]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}}}}"#
    );
    let name = format!("{}.json", Digest::of(config.as_bytes()));
    let manifest =
        format!(r#"[{{"Config":"{name}","RepoTags":["evenkeel.test/runtime:1"],"Layers":["{digest}/layer.tar"]}}]"#);
    tar(&[
        (&name, 0o644, config.as_bytes()),
        (&format!("{digest}/layer.tar"), 0o644, &layer),
        ("manifest.json", 0o644, manifest.as_bytes()),
    ])
}

pub(crate) fn tar(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, mode, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_size(bytes.len() as u64);
        header.set_mode(*mode);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// One test's containers: a label of its own, a sandbox, clean-up.
pub(crate) struct Pod {
    pub(crate) docker: Docker,
    pub(crate) mark: String,
    pub(crate) sandbox: ContainerId,
}

impl Pod {
    pub(crate) async fn new() -> Self {
        Self::within(SandboxNetwork::Default).await
    }

    pub(crate) async fn within(network: SandboxNetwork) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let docker = docker();
        let mark = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let spec = SandboxSpec {
            name: format!("ekrt-{mark}"),
            labels: BTreeMap::from([(LABEL.to_owned(), mark.clone())]),
            hostname: "pod-host".into(),
            network,
            ..Default::default()
        };
        let sandbox = docker.run_sandbox(&spec).await.unwrap();
        Self { docker, mark, sandbox }
    }

    pub(crate) fn selector(&self) -> Vec<(String, String)> {
        vec![(LABEL.into(), self.mark.clone())]
    }

    pub(crate) async fn spec(&self, name: &str, args: &[&str]) -> ContainerSpec {
        ContainerSpec {
            name: format!("ekrt-{}-{name}", self.mark),
            labels: BTreeMap::from([(LABEL.to_owned(), self.mark.clone())]),
            image: image().await.to_owned(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            ..Default::default()
        }
    }

    pub(crate) async fn create(&self, spec: &ContainerSpec) -> ContainerId {
        self.docker.create_container(&self.sandbox, spec).await.unwrap()
    }

    pub(crate) async fn run(&self, name: &str, args: &[&str]) -> ContainerId {
        let id = self.create(&self.spec(name, args).await).await;
        self.docker.start(&id).await.unwrap();
        id
    }

    pub(crate) async fn exited(&self, id: &ContainerId) -> ContainerState {
        for _ in 0..200 {
            let state = self.docker.inspect(id).await.unwrap().state;
            if matches!(state, ContainerState::Exited { .. }) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{id} did not end");
    }

    pub(crate) async fn logs(&self, id: &ContainerId, options: &LogOptions) -> (String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        let mut stream = self.docker.logs(id, options).await.unwrap();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.unwrap();
            let text = String::from_utf8(chunk.bytes.to_vec()).unwrap();
            if chunk.stream == Stream::Stdout { out.push_str(&text) } else { err.push_str(&text) }
        }
        (out, err)
    }

    pub(crate) async fn end(mut self) {
        for c in self.docker.list(&self.selector()).await.unwrap() {
            self.docker.remove(&c.id).await.unwrap();
        }
        assert!(self.docker.list(&self.selector()).await.unwrap().is_empty());
        self.mark.clear();
    }
}

impl Drop for Pod {
    /// A test that failed leaves nothing behind either.
    fn drop(&mut self) {
        if !self.mark.is_empty() {
            let script = format!("docker rm -f $(docker ps -aq --filter label={LABEL}={})", self.mark);
            let _ = Command::new("sh").args(["-c", &script]).output();
        }
    }
}
