//! The engine's errors, sorted by what they mean to a pod.
//!
//! Docker's status codes are too coarse (a pull that finds no registry is a 500, a command that
//! does not exist a 400), so its messages are read. The phrases are those of moby 20.10 to 29,
//! containerd, runc, crun and Podman 4 and 5; an unknown phrase falls back to the plain kind.

use bollard::errors::Error;

use crate::{PullFailure, RuntimeError, StartFailure};

/// What the engine said, with its status.
struct Answer {
    status: u16,
    message: String,
}

/// Splits off everything that is no answer of the engine.
fn answer(error: Error) -> Result<Answer, RuntimeError> {
    match error {
        Error::DockerResponseServerError { status_code, message } => Ok(Answer { status: status_code, message }),
        Error::DockerStreamError { error } => Ok(Answer { status: 500, message: error }),
        Error::RequestTimeoutError => {
            Err(RuntimeError::Timeout { operation: "request".into(), seconds: super::CLIENT_TIMEOUT_SECS })
        }
        Error::SocketNotFoundError(path) => {
            Err(RuntimeError::EngineUnavailable { message: format!("{path}: no such socket") })
        }
        error @ (Error::IOError { .. } | Error::HyperResponseError { .. } | Error::HyperLegacyError { .. }) => {
            Err(RuntimeError::EngineUnavailable { message: evenkeel_model::causes(&error) })
        }
        other => Err(RuntimeError::Other { message: evenkeel_model::causes(&other) }),
    }
}

fn has(message: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|p| message.contains(p))
}

/// What any request can meet: no room, an engine whose own parts are away.
fn common(answer: Answer) -> Result<Answer, RuntimeError> {
    let m = answer.message.to_lowercase();
    if has(&m, &["no space left on device", "disk quota exceeded", "database or disk is full"]) {
        return Err(RuntimeError::NoSpace { message: answer.message });
    }
    // dockerd is there and its containerd is not, or dockerd is on its way out.
    let containerd = m.contains("containerd.sock")
        || (answer.status >= 500 && has(&m, &["transport is closing", "grpc: the client connection is closing"]));
    if containerd || has(&m, &["daemon is shutting down", "daemon is shutdown", "server closed"]) {
        return Err(RuntimeError::EngineUnavailable { message: answer.message });
    }
    Ok(answer)
}

fn by_status(answer: Answer) -> RuntimeError {
    let Answer { status, message } = answer;
    match status {
        404 => RuntimeError::NotFound { message },
        409 => RuntimeError::Conflict { message },
        _ => RuntimeError::Other { message },
    }
}

/// An error of a request about which nothing special is known.
pub(super) fn general(error: Error) -> RuntimeError {
    answer(error).and_then(common).map_or_else(|e| e, by_status)
}

/// An error of creating a container from `image`.
pub(super) fn create(error: Error, image: &str) -> RuntimeError {
    let answer = match answer(error).and_then(common) {
        Ok(answer) => answer,
        Err(error) => return error,
    };
    let m = answer.message.to_lowercase();
    match answer.status {
        404 if has(&m, &["no such image", "image not known", "image not found"]) => {
            RuntimeError::ImageNotPresent { image: image.into() }
        }
        404 if has(&m, &["no such container", "no container with"]) => {
            RuntimeError::Start { failure: StartFailure::SandboxGone, message: answer.message }
        }
        409 => RuntimeError::Conflict { message: answer.message },
        _ if has(&m, SANDBOX_GONE) => {
            RuntimeError::Start { failure: StartFailure::SandboxGone, message: answer.message }
        }
        // Podman answers 500 for a name in use.
        _ if m.contains("is already in use") && m.contains("name") => {
            RuntimeError::Conflict { message: answer.message }
        }
        _ => RuntimeError::Create { message: answer.message },
    }
}

const SANDBOX_GONE: &[&str] = &[
    "cannot join network of a non running container",
    "cannot join network of a non-running container",
    "non-existent container",
    "joining network namespace",
    "cannot join ipc of a non running container",
    "cannot join ipc of a non-running container",
];

/// An error of starting a container.
pub(super) fn start(error: Error) -> RuntimeError {
    let answer = match answer(error).and_then(common) {
        Ok(answer) => answer,
        Err(error) => return error,
    };
    let m = answer.message.to_lowercase();
    let failure = if has(&m, SANDBOX_GONE) {
        StartFailure::SandboxGone
    } else if has(&m, &["port is already allocated", "address already in use"]) {
        StartFailure::PortInUse
    } else if has(&m, &["error mounting", "error while creating mount source", "rootfs_linux.go", "bind source path"]) {
        StartFailure::Mount
    } else if has(&m, &["executable file not found", "executable file `"])
        || (m.contains("exec") && has(&m, &["no such file or directory", "not a directory", "is a directory"]))
    {
        StartFailure::ExecutableNotFound
    } else if m.contains("exec format error") {
        StartFailure::WrongPlatform
    } else if m.contains("permission denied") {
        StartFailure::PermissionDenied
    } else if answer.status == 404 && m.contains("no such container") && !m.contains("joining") {
        return RuntimeError::NotFound { message: answer.message };
    } else {
        StartFailure::Other
    };
    RuntimeError::Start { failure, message: answer.message }
}

/// An error of pulling `image`.
pub(super) fn pull(error: Error, image: &str) -> RuntimeError {
    // No room, on any layer of the engine, is said as a failure of this pull.
    let answer = match answer(error).and_then(common) {
        Ok(answer) => answer,
        Err(RuntimeError::NoSpace { message }) => {
            return RuntimeError::Pull { image: image.into(), failure: PullFailure::NoSpace, message };
        }
        Err(error) => return error,
    };
    let m = answer.message.to_lowercase();
    RuntimeError::Pull { image: image.into(), failure: pull_failure(&m), message: answer.message }
}

fn pull_failure(m: &str) -> PullFailure {
    if has(m, &["invalid reference format", "invalid repository name", "must be lowercase", "invalid tag format"]) {
        PullFailure::InvalidReference
    } else if has(m, &["toomanyrequests", "too many requests", "rate limit"]) {
        PullFailure::RateLimited
    } else if has(m, &["manifest unknown", "name unknown", "repository name not known"]) {
        PullFailure::NotFound
    } else if has(m, &["no matching manifest", "no match for platform", "no image found in manifest list"]) {
        PullFailure::WrongPlatform
    } else if has(
        m,
        &[
            "unauthorized",
            "access denied",
            "access to the resource is denied",
            "no basic auth credentials",
            "forbidden",
        ],
    ) {
        PullFailure::Unauthorized
    } else if has(m, UNREACHABLE) || (m.contains("unexpected") && m.contains("status") && m.contains(": 5")) {
        PullFailure::RegistryUnreachable
    } else if has(m, &["not found"]) {
        PullFailure::NotFound
    } else {
        PullFailure::Other
    }
}

const UNREACHABLE: &[&str] = &[
    "dial tcp",
    "connection refused",
    "connection reset",
    "i/o timeout",
    "no such host",
    "handshake timeout",
    "x509:",
    "tls:",
    "client.timeout exceeded",
    "deadline exceeded",
    "request canceled",
    "server misbehaving",
    "network is unreachable",
    "no route to host",
    "server gave http response",
    "unexpected eof",
    ": eof",
    "service unavailable",
    "bad gateway",
    "proxyconnect",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status_code: u16, message: &str) -> Error {
        Error::DockerResponseServerError { status_code, message: message.into() }
    }

    #[test]
    fn pulls() {
        use PullFailure as F;
        for (message, failure) in [
            ("manifest for shop/web:2 not found: manifest unknown: manifest unknown", F::NotFound),
            ("no matching manifest for linux/arm64/v8 in the manifest list entries", F::WrongPlatform),
            (
                "pull access denied for shop/web, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                F::Unauthorized,
            ),
            ("unauthorized: authentication required", F::Unauthorized),
            ("Get \"https://r.test/v2/\": dial tcp 10.0.0.1:443: connect: connection refused", F::RegistryUnreachable),
            ("Get https://r.test/v2/: net/http: request canceled while waiting for connection", F::RegistryUnreachable),
            ("Get \"https://r.test/v2/\": dial tcp: lookup r.test: no such host", F::RegistryUnreachable),
            ("received unexpected HTTP status: 503 Service Unavailable", F::RegistryUnreachable),
            ("toomanyrequests: You have reached your pull rate limit.", F::RateLimited),
            ("invalid reference format", F::InvalidReference),
            ("write /var/lib/x: no space left on device", F::NoSpace),
            ("image operating system \"windows\" cannot be used on this platform", F::Other),
        ] {
            match pull(said(500, message), "shop/web:2") {
                RuntimeError::Pull { failure: f, message: m, .. } => assert_eq!((f, m.as_str()), (failure, message)),
                other => panic!("{message}: {other:?}"),
            }
        }
    }

    #[test]
    fn starts() {
        use StartFailure as F;
        for (status, message, failure) in [
            (
                400,
                "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"/nope\": stat /nope: no such file or directory: unknown",
                F::ExecutableNotFound,
            ),
            (
                400,
                "failed to create shim: OCI runtime create failed: runc create failed: unable to start container process: exec: \"nope\": executable file not found in $PATH: unknown",
                F::ExecutableNotFound,
            ),
            (
                400,
                "OCI runtime create failed: runc create failed: unable to start container process: exec: \"/etc/x\": permission denied: unknown",
                F::PermissionDenied,
            ),
            (
                400,
                "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec /app: exec format error: unknown",
                F::WrongPlatform,
            ),
            (409, "cannot join network of a non running container: abc", F::SandboxGone),
            (
                500,
                "driver failed programming external connectivity on endpoint x: Bind for 0.0.0.0:80 failed: port is already allocated",
                F::PortInUse,
            ),
            (
                500,
                "OCI runtime create failed: error mounting \"/a\" to rootfs at \"/b\": not a directory: unknown",
                F::Mount,
            ),
            (500, "OCI runtime create failed: can't get final child's PID from pipe: EOF: unknown", F::Other),
        ] {
            match start(said(status, message)) {
                RuntimeError::Start { failure: f, .. } => assert_eq!(f, failure, "{message}"),
                other => panic!("{message}: {other:?}"),
            }
        }
        assert!(matches!(start(said(404, "No such container: abc")), RuntimeError::NotFound { .. }));
    }

    #[test]
    fn creates_and_the_engine() {
        assert!(
            matches!(create(said(404, "No such image: a:1"), "a:1"), RuntimeError::ImageNotPresent { image } if image == "a:1")
        );
        assert!(matches!(
            create(said(409, "Conflict. The container name \"/x\" is already in use by container \"y\"."), "a"),
            RuntimeError::Conflict { .. }
        ));
        assert!(matches!(
            create(said(400, "invalid mount config for type \"bind\": bind source path does not exist: /x"), "a"),
            RuntimeError::Create { .. }
        ));
        assert!(matches!(
            create(said(500, "write /var/lib/docker/x: no space left on device"), "a"),
            RuntimeError::NoSpace { .. }
        ));
        assert!(matches!(
            general(said(
                500,
                "connection error: desc = \"transport: error while dialing: dial unix /run/containerd/containerd.sock: connect: no such file\""
            )),
            RuntimeError::EngineUnavailable { .. }
        ));
        assert!(matches!(general(said(404, "x")), RuntimeError::NotFound { .. }));
        let io = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(matches!(general(Error::IOError { err: io }), RuntimeError::EngineUnavailable { .. }));
    }
}
