//! Sleeps of the machine and clocks that are set: waits keep their length, nothing is restarted, and
//! what is told shows the wall's time.

use super::*;

const HOUR: i64 = 3600 * SECOND;

impl Lab {
    fn jump(&mut self, millis: i64) {
        self.now = Time(self.now.0 + millis);
        self.node.clock_moved(self.now, millis);
    }
}

/// Both directions, and far.
const JUMPS: [i64; 4] = [HOUR, -HOUR, 400 * 24 * HOUR, -400 * 24 * HOUR];

#[test]
fn a_back_off_keeps_its_length() {
    for jump in JUMPS {
        let mut lab = Lab::new(1);
        lab.assign(vec![order(1, one("crash"))]);
        lab.pass(3 * SECOND);
        assert_eq!(lab.container(1, "web")["state"]["waiting"]["reason"], "CrashLoopBackOff");
        lab.jump(jump);
        lab.pass(5 * SECOND);
        assert_eq!(lab.container(1, "web")["restartCount"], 1, "jump of {jump} ms");
        lab.pass(6 * SECOND);
        assert_eq!(lab.container(1, "web")["restartCount"], 2, "jump of {jump} ms");
        // The next one is twice as long, whatever the clock did during the run.
        lab.jump(-jump);
        lab.pass(15 * SECOND);
        assert_eq!(lab.container(1, "web")["restartCount"], 2, "jump of {jump} ms");
        lab.pass(6 * SECOND);
        assert_eq!(lab.container(1, "web")["restartCount"], 3, "jump of {jump} ms");
    }
}

#[test]
fn a_grace_keeps_its_length() {
    for jump in JUMPS {
        let mut lab = Lab::new(2);
        let mut pod = order(1, one("deaf"));
        lab.assign(vec![pod.clone()]);
        lab.pass(2 * SECOND);
        pod.version = Version(2);
        pod.deletion = Some(Deletion { at: lab.now + Duration::from_secs(30), grace_seconds: 30 });
        lab.assign(vec![pod]);
        lab.pass(10 * SECOND);
        lab.jump(jump);
        lab.pass(15 * SECOND);
        assert!(lab.gone.is_empty(), "jump of {jump} ms");
        lab.pass(10 * SECOND);
        assert_eq!(lab.gone, [uid(1)], "jump of {jump} ms");
    }
}

#[test]
fn what_runs_runs_on_and_its_conditions_show_the_new_time() {
    for jump in JUMPS {
        let mut lab = Lab::new(3);
        lab.assign(vec![order(1, one("good")), order(2, one("good"))]);
        lab.pass(15 * SECOND);
        assert!(lab.ready(1) && lab.ready(2));
        let since = lab.condition(2, "Ready")["lastTransitionTime"].clone();
        let id = lab.id(2, "web");
        lab.jump(jump);
        let begun = lab.now;
        let other = lab.id(1, "web");
        lab.node.runtime.kill(lab.now, &other);
        lab.pass(50 * SECOND);
        assert!(lab.ready(1) && lab.ready(2), "jump of {jump} ms");
        assert_eq!(lab.condition(2, "Ready")["lastTransitionTime"], since, "what was told stays");
        let told = lab.condition(1, "Ready")["lastTransitionTime"].as_str().and_then(Time::parse_rfc3339).unwrap();
        assert!((0..60 * SECOND).contains(&(told.0 - begun.0)), "{told} after a jump of {jump} ms");
        assert_eq!((lab.id(2, "web"), lab.container(2, "web")["restartCount"].as_i64()), (id, Some(0)));
        assert!(lab.drifts.iter().all(|d| d.pod == uid(1)));
    }
}

#[test]
fn ends_are_seen_at_once_after_the_clock_was_set_back() {
    for jump in JUMPS {
        let mut lab = Lab::new(4);
        lab.assign(vec![order(1, one("good"))]);
        lab.pass(5 * SECOND);
        lab.jump(jump);
        let id = lab.id(1, "web");
        lab.node.runtime.kill(lab.now, &id);
        lab.pass(3 * SECOND);
        assert_eq!(lab.container(1, "web")["restartCount"], 1, "jump of {jump} ms");
        assert_eq!(lab.drifts.iter().map(|d| d.action).next(), Some(DriftAction::Killed));
    }
}

#[test]
fn a_pull_that_is_under_way_is_not_given_up() {
    let mut lab = Lab::new(5);
    lab.assign(vec![order(1, one("good"))]);
    lab.jump(24 * HOUR);
    lab.pass(5 * SECOND);
    assert!(lab.ready(1));
    assert_eq!(lab.condition(1, "evenkeel.dev/FailedStarts"), Value::Null);
}

#[test]
fn a_pod_that_is_being_ended_keeps_its_grace_over_the_agents_restart() {
    let mut lab = Lab::new(6);
    let mut pod = order(1, one("deaf"));
    lab.assign(vec![pod.clone()]);
    lab.pass(60 * SECOND);
    pod.version = Version(2);
    pod.deletion = Some(Deletion { at: lab.now + Duration::from_secs(30), grace_seconds: 30 });
    lab.assign(vec![pod]);
    lab.pass(10 * SECOND);
    lab.node.crash(lab.now, &lab.registry);
    lab.node.start(lab.now);
    lab.connect();
    lab.pass(15 * SECOND);
    assert_eq!(lab.node.runtime.containers().filter(|c| c.info.state.is_alive()).count(), 2);
    lab.pass(20 * SECOND);
    assert_eq!(lab.gone, [uid(1)]);
}
