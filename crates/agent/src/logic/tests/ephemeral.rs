//! Containers that are added to a pod that runs.

use super::*;

fn with(ephemeral: Value) -> Value {
    let mut spec = one("good");
    spec["ephemeralContainers"] = ephemeral;
    spec
}

fn status(lab: &Lab, name: &str) -> Value {
    let list = lab.status[&uid(1)]["ephemeralContainerStatuses"].as_array().cloned().unwrap_or_default();
    list.into_iter().find(|c| c["name"] == name).unwrap_or_default()
}

fn made(lab: &Lab, name: &str) -> usize {
    let of = |c: &&crate::sim::SimContainer| {
        c.info.labels.get(crate::logic::labels::CONTAINER).map(String::as_str) == Some(name)
    };
    lab.node.runtime.containers().filter(of).count()
}

#[test]
fn one_that_is_added_is_begun_once_and_changes_nothing_else() {
    let mut lab = Lab::new(41);
    lab.assign(vec![order(1, one("good"))]);
    lab.pass(2 * SECOND);
    let web = lab.id(1, "web");
    let look = json!({"name": "look", "image": "once", "targetContainerName": "web"});
    let mut pod = order(1, with(json!([look])));
    pod.version = Version(2);
    lab.assign(vec![pod.clone()]);
    lab.pass(SECOND);
    assert!(status(&lab, "look")["state"]["running"].is_object(), "{}", status(&lab, "look"));
    assert_eq!(status(&lab, "look")["ready"], false);
    assert!(lab.ready(1), "the pod is as ready as it was");
    lab.pass(60 * SECOND);
    assert_eq!(status(&lab, "look")["state"]["terminated"]["exitCode"], 0);
    assert_eq!(status(&lab, "look")["restartCount"], 0);
    assert_eq!((lab.id(1, "web"), lab.status[&uid(1)]["phase"].as_str()), (web.clone(), Some("Running")));
    assert_eq!(made(&lab, "look"), 1);
    assert!(lab.node.logic.as_ref().unwrap().at_rest() && lab.drifts.is_empty());

    // A second one beside the first, which is not begun again; nor is it when the agent comes back.
    pod.pod["spec"]["ephemeralContainers"] = json!([look, {"name": "stay", "image": "good"}]);
    pod.version = Version(3);
    lab.assign(vec![pod.clone()]);
    lab.pass(2 * SECOND);
    assert!(status(&lab, "stay")["state"]["running"].is_object());
    lab.node.crash(lab.now, &lab.registry);
    lab.node.start(lab.now);
    lab.connect();
    lab.full(vec![pod.clone()], false);
    lab.pass(10 * SECOND);
    assert_eq!((made(&lab, "look"), made(&lab, "stay")), (1, 1));
    assert!(status(&lab, "stay")["state"]["running"].is_object());
    assert_eq!(status(&lab, "look")["state"]["terminated"]["exitCode"], 0);
    assert_eq!(lab.id(1, "web"), web);

    // Somebody ends it: no drift, and no other one.
    let id = lab.id(1, "stay");
    lab.node.runtime.remove(lab.now, &id);
    lab.pass(30 * SECOND);
    assert!(status(&lab, "stay")["state"]["terminated"].is_object(), "{}", status(&lab, "stay"));
    assert!(lab.drifts.is_empty(), "{:?}", lab.drifts);

    pod.version = Version(4);
    pod.deletion = Some(Deletion { at: lab.now + Duration::from_secs(30), grace_seconds: 30 });
    lab.assign(vec![pod]);
    lab.pass(5 * SECOND);
    assert_eq!(lab.gone, [uid(1)]);
    assert_eq!(lab.node.runtime.containers().count(), 0);
}

#[test]
fn one_whose_target_does_not_run_says_so_and_waits() {
    let mut lab = Lab::new(42);
    lab.assign(vec![order(1, one("crash"))]);
    lab.pass(5 * SECOND);
    let mut spec = one("crash");
    spec["ephemeralContainers"] = json!([{"name": "look", "image": "good", "targetContainerName": "web"}]);
    let mut pod = order(1, spec);
    pod.version = Version(2);
    lab.assign(vec![pod]);
    let mut said = String::new();
    for _ in 0..20 {
        lab.pass(100);
        let waiting = status(&lab, "look")["state"]["waiting"].clone();
        if waiting["reason"] == "CreateContainerConfigError" {
            said = waiting["message"].as_str().unwrap().to_owned();
        }
    }
    assert!(said.contains(r#"the target container "web" does not run"#), "{said}: {}", status(&lab, "look"));
}
