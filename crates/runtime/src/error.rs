//! Why an operation of the runtime failed, classified as the agent must tell it.
//!
//! The pod state machine turns these into Kubernetes' reasons, and the release into "the commit's
//! fault" or "the surroundings'". The engine's own words are kept for people.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why an image could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullFailure {
    /// The registry did not answer, or not as a registry does: from outside the revision.
    RegistryUnreachable,
    /// The registry answered that it has no such repository, tag or digest.
    NotFound,
    /// The registry wants other credentials. Docker Hub says the same of a repository that does
    /// not exist.
    Unauthorized,
    /// The registry limits this client: from outside the revision.
    RateLimited,
    /// There is none for this node's operating system and architecture.
    WrongPlatform,
    /// The reference is not one.
    InvalidReference,
    /// There is no room for it on the node: from outside the revision.
    NoSpace,
    /// Something else that the engine said.
    Other,
}

/// Why a created container did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartFailure {
    /// The command does not exist in the image.
    ExecutableNotFound,
    /// The command exists and may not be run.
    PermissionDenied,
    /// The command is a program of another architecture.
    WrongPlatform,
    /// The sandbox that it joins does not run any more: the pod must be made anew.
    SandboxGone,
    /// A host port is taken: from outside the revision.
    PortInUse,
    /// A mount could not be made.
    Mount,
    /// Something else that the engine said.
    Other,
}

/// An operation of the runtime failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum RuntimeError {
    /// The engine does not answer: no socket, connection refused, cut off, or itself shutting down.
    #[error("the container engine is unavailable: {message}")]
    EngineUnavailable {
        /// What the connection said.
        message: String,
    },
    /// The engine took longer than the operation's limit. What was asked may still happen.
    #[error("the container engine did not finish `{operation}` within {seconds} s")]
    Timeout {
        /// What was asked, as `create container`.
        operation: String,
        /// The limit in seconds.
        seconds: u64,
    },
    /// No such container or image.
    #[error("{message}")]
    NotFound {
        /// The engine's message.
        message: String,
    },
    /// The name is taken, or the container's state does not allow it.
    #[error("{message}")]
    Conflict {
        /// The engine's message.
        message: String,
    },
    /// A container was to be created from an image that the node does not have.
    #[error("image `{image}` is not present on this node")]
    ImageNotPresent {
        /// The image, as it was asked for.
        image: String,
    },
    /// An image could not be pulled.
    #[error("failed to pull image `{image}`: {message}")]
    Pull {
        /// The reference.
        image: String,
        /// Which kind of failure.
        failure: PullFailure,
        /// The engine's message.
        message: String,
    },
    /// The engine refused to create the container.
    #[error("{message}")]
    Create {
        /// The engine's message.
        message: String,
    },
    /// A created container could not be started.
    #[error("{message}")]
    Start {
        /// Which kind of failure.
        failure: StartFailure,
        /// The engine's message.
        message: String,
    },
    /// There is no room on the node.
    #[error("no space left on the node: {message}")]
    NoSpace {
        /// The engine's message.
        message: String,
    },
    /// Something else that the engine said.
    #[error("{message}")]
    Other {
        /// The engine's message.
        message: String,
    },
}

impl RuntimeError {
    /// Kubernetes' reason for a container that waits because of this. `ImagePullBackOff` and
    /// `CrashLoopBackOff` are waits, not failures: the state machine says those.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::EngineUnavailable { .. } => "EngineUnavailable",
            Self::Timeout { .. } => "EngineTimeout",
            Self::NotFound { .. } | Self::Conflict { .. } | Self::Other { .. } | Self::Create { .. } => {
                "CreateContainerError"
            }
            Self::ImageNotPresent { .. } => "ErrImageNeverPull",
            Self::Pull { failure: PullFailure::InvalidReference, .. } => "InvalidImageName",
            Self::Pull { failure: PullFailure::RegistryUnreachable, .. } => "RegistryUnavailable",
            Self::Pull { .. } => "ErrImagePull",
            Self::Start { .. } => "RunContainerError",
            Self::NoSpace { .. } => "NodeOutOfDisk",
        }
    }

    /// Whether the cause lies outside the revision: such a failure is rolled back but never
    /// quarantined.
    pub fn is_outside(&self) -> bool {
        match self {
            Self::EngineUnavailable { .. } | Self::Timeout { .. } | Self::NoSpace { .. } => true,
            Self::Pull { failure, .. } => {
                matches!(failure, PullFailure::RegistryUnreachable | PullFailure::RateLimited | PullFailure::NoSpace)
            }
            Self::Start { failure, .. } => matches!(failure, StartFailure::SandboxGone | StartFailure::PortInUse),
            Self::NotFound { .. }
            | Self::Conflict { .. }
            | Self::ImageNotPresent { .. }
            | Self::Create { .. }
            | Self::Other { .. } => false,
        }
    }

    /// Whether the engine itself was not there: no container is to blame.
    pub fn is_engine(&self) -> bool {
        matches!(self, Self::EngineUnavailable { .. } | Self::Timeout { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_blame() {
        let pull = |failure| RuntimeError::Pull { image: "a".into(), failure, message: "m".into() };
        assert_eq!(pull(PullFailure::NotFound).reason(), "ErrImagePull");
        assert!(!pull(PullFailure::NotFound).is_outside());
        assert!(pull(PullFailure::RegistryUnreachable).is_outside());
        let start = RuntimeError::Start { failure: StartFailure::ExecutableNotFound, message: "m".into() };
        assert_eq!(start.reason(), "RunContainerError");
        assert!(!start.is_outside() && !start.is_engine());
        assert!(RuntimeError::EngineUnavailable { message: "gone".into() }.is_engine());
    }
}
