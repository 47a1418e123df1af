//! Engines that are killed in the midst of starts: what they began, and their successors do not know of,
//! is ended before anything of its pod begins.

use super::*;

/// How a world goes on in which many pods begin as their engine is killed.
enum Then {
    /// The pods run.
    Run,
    /// They are to go.
    Delete,
    /// The agent is killed as well.
    AgentKilled,
}

/// Gives how many processes were left behind.
fn killed_in_mid_start(seed: u64, then: &Then) -> usize {
    let mut lab = Lab::new(seed);
    let mut pods: Vec<PodOrder> = (1..=8).map(|n| order(n, one("good"))).collect();
    lab.assign(pods.clone());
    lab.pass(60 + i64::try_from(seed).unwrap() * 5 % 120);
    lab.node.runtime.go_down(lab.now, false);
    lab.pass(SECOND);
    let left = lab.node.runtime.left_behind().count();
    if let Then::AgentKilled = then {
        lab.node.crash(lab.now, &lab.registry);
    }
    lab.node.runtime.come_up(lab.now, true);
    match then {
        Then::Run => {}
        Then::Delete => {
            for pod in &mut pods {
                pod.version = pod.version.next();
                pod.deletion = Some(Deletion { at: lab.now + Duration::from_secs(1), grace_seconds: 1 });
            }
            lab.assign(pods.clone());
        }
        Then::AgentKilled => {
            lab.node.start(lab.now);
            lab.connect();
            lab.full(pods.clone(), false);
        }
    }
    lab.pass(60 * SECOND);
    assert_eq!(lab.node.runtime.left_behind().next(), None, "seed {seed}");
    for n in 1..=8 {
        if let Then::Delete = then {
            assert!(lab.gone.contains(&uid(n)), "seed {seed}: pod {n}: {:#}", lab.status[&uid(n)]);
        } else {
            assert!(lab.ready(n), "seed {seed}: pod {n}: {:#}", lab.status[&uid(n)]);
            assert_eq!(lab.crashes(n, "web"), 0, "seed {seed}: pod {n}");
        }
    }
    assert!(lab.drifts.is_empty(), "seed {seed}: {:?}", lab.drifts);
    left
}

#[test]
fn what_a_killed_engine_began_ends_before_its_pod_goes_on() {
    for then in [Then::Run, Then::Delete, Then::AgentKilled] {
        let left: usize = (0..40).map(|seed| killed_in_mid_start(seed, &then)).sum();
        assert!(left > 40, "only {left} processes were left behind: nothing was tried");
    }
}
