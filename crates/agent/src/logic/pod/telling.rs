//! What of a pod's life is told as Events, in the kubelet's reasons and words.

use super::{
    Pod,
    container::{Kind, StopWhy},
};
use crate::logic::{happened::Tone, ops::Cx};

impl Pod {
    /// Tells something of the whole pod.
    pub(super) fn tell(&self, tone: Tone, reason: &'static str, message: &str, cx: &mut Cx<'_>) {
        cx.happened.note(cx.now, &self.order, None, tone, reason, message);
    }

    /// Tells something of one container.
    pub(super) fn tell_of(&self, i: usize, tone: Tone, reason: &'static str, message: &str, cx: &mut Cx<'_>) {
        let c = &self.containers[i];
        let list = match c.kind {
            Kind::Main => "containers",
            Kind::Init | Kind::Sidecar => "initContainers",
            Kind::Ephemeral => "ephemeralContainers",
        };
        let part = Some(format!("spec.{list}{{{}}}", c.spec.name));
        cx.happened.note(cx.now, &self.order, part, tone, reason, message);
    }

    /// A stop of the agent's own.
    pub(super) fn tell_stop(&self, i: usize, why: &StopWhy, cx: &mut Cx<'_>) {
        let name = &self.containers[i].spec.name;
        let message = match why {
            StopWhy::Pod => format!("Stopping container {name}"),
            StopWhy::Failed(what) => format!("Container {name} {what}; it will be restarted"),
            StopWhy::Changed => format!("Container {name} definition changed, will be restarted"),
            StopWhy::Disturbed(reason) => format!("Stopping container {name}: it is made anew ({reason})"),
        };
        self.tell_of(i, Tone::Normal, "Killing", &message, cx);
    }

    /// A step before a container runs failed. `again`: it had failed before.
    pub(super) fn tell_failure(&self, i: usize, reason: &str, message: &str, again: bool, cx: &mut Cx<'_>) {
        let image = self.containers[i].spec.image.clone().unwrap_or_default();
        let pulling = matches!(reason, "ErrImagePull" | "RegistryUnavailable");
        self.tell_of(i, Tone::Warning, "Failed", &format!("Error: {reason}: {message}"), cx);
        if pulling && again {
            self.tell_of(i, Tone::Normal, "BackOff", &format!("Back-off pulling image \"{image}\""), cx);
        }
    }
}
