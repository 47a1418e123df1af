//! What a pod's life tells as Events.

use super::*;

impl Lab {
    /// Reasons told so far, each once, in their order.
    fn reasons(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        for event in &self.events {
            if !all.contains(&event.reason.as_str()) {
                all.push(&event.reason);
            }
        }
        all
    }

    fn said(&self, reason: &str) -> &str {
        self.events.iter().find(|e| e.reason == reason).map_or("", |e| e.message.as_str())
    }
}

#[test]
fn a_life_is_told_from_its_image_to_its_end() {
    let mut lab = Lab::new(1);
    let mut pod = order(1, one("good"));
    lab.assign(vec![pod.clone()]);
    lab.pass(3 * SECOND);
    assert_eq!(lab.reasons(), ["Pulled", "Created", "Started"]);
    assert!(lab.events.iter().all(|e| e.field == "spec.containers{web}" && !e.warning && e.count == 1));
    pod.version = Version(2);
    pod.deletion = Some(Deletion { at: lab.now + Duration::from_secs(30), grace_seconds: 30 });
    lab.assign(vec![pod]);
    lab.pass(3 * SECOND);
    assert_eq!(lab.said("Killing"), "Stopping container web");
}

#[test]
fn what_goes_wrong_is_told_with_its_cause() {
    let tcp = json!({"tcpSocket": {"port": 80}, "periodSeconds": 1, "failureThreshold": 3});
    let http = json!({"httpGet": {"path": "/live", "port": 80}, "periodSeconds": 5, "failureThreshold": 2});
    let live = json!({"containers": [{"name": "web", "image": "sick", "livenessProbe": http}]});
    let ready = json!({"containers": [{"name": "web", "image": "unready", "readinessProbe": tcp}]});
    for (spec, reason, says) in [
        (one("crash"), "BackOff", "Back-off restarting failed container web in pod web-1_shop"),
        (one("missing"), "Failed", "Error: ErrImagePull: "),
        (one("nocmd"), "Failed", "Error: RunContainerError: "),
        (one("oom"), "OOMKilled", "Container web was killed: out of memory"),
        (ready, "Unhealthy", "Readiness probe failed: "),
        (live.clone(), "Unhealthy", "Liveness probe failed: "),
        (live, "Killing", "Container web failed liveness probe: "),
    ] {
        let mut lab = Lab::new(2);
        lab.assign(vec![order(1, spec)]);
        lab.pass(40 * SECOND);
        assert!(lab.said(reason).starts_with(says), "{reason}: {:#?}", lab.events);
    }
}

#[test]
fn a_probe_that_fails_each_second_is_told_once_a_minute() {
    let probe = json!({"tcpSocket": {"port": 80}, "periodSeconds": 1});
    let spec = json!({"containers": [{"name": "web", "image": "unready", "readinessProbe": probe}]});
    let mut lab = Lab::new(3);
    lab.assign(vec![order(1, spec)]);
    for _ in 0..180 {
        lab.pass(SECOND);
    }
    let told: Vec<_> = lab.events.iter().filter(|e| e.reason == "Unhealthy").collect();
    assert!((3..=4).contains(&told.len()), "{told:#?}");
    let all: u32 = told.iter().map(|e| e.count).sum();
    assert!((110..=180).contains(&all), "{all}");
}
