//! What a listing says of containers that are younger than it, and of an engine that went away since
//! it was asked: nothing. All happens at one time of the clock, as after a machine stood still.

use evenkeel_runtime::{
    ContainerInfo, ContainerState, EventAction, ImageInfo, RuntimeError, RuntimeEvent, SandboxNetwork,
};

use super::*;
use crate::logic::{
    AgentLogic,
    command::{Command, Failure, OpId, Output, Work},
    labels,
};

const NOW: Time = Time(1_000_000_000_000);

/// An agent whose operations are answered by hand.
struct Hand {
    logic: AgentLogic,
    now: Time,
    /// Commands that nobody has looked at.
    out: Vec<Command>,
}

impl Hand {
    /// An agent with one pod that it was just told of, and an engine that has nothing.
    fn new() -> Self {
        let (node, cluster) = ("n1".into(), "c1".into());
        let logic = AgentLogic::new(Config { node, cluster, node_ip: None, settings: Settings::default() });
        let mut hand = Self { logic, now: NOW, out: Vec::new() };
        hand.give(Input::Restored(Box::default()));
        hand.give(Input::EngineUp);
        let list = hand.asked_to_list().unwrap();
        hand.listing(list, Vec::new());
        hand.give(Input::SessionOpened);
        let session = hand.logic.hello(NOW).session;
        let (pods, forget) = (vec![Arc::new(order(1, one("good")))], Vec::new());
        let full =
            Assignment { epoch: 1, session, seq: 0, full: true, pods, forget, keep_images: None, recovering: false };
        hand.give(Input::Server(ToAgent::Assign(Arc::new(full))));
        hand
    }

    fn give(&mut self, input: Input) {
        self.out.extend(self.logic.step(self.now, input));
    }

    fn listing(&mut self, op: OpId, infos: Vec<ContainerInfo>) {
        self.give(Input::Listing { op, result: Ok(infos) });
    }

    /// Takes out the newest question for a listing.
    fn asked_to_list(&mut self) -> Option<OpId> {
        let at = self.out.iter().rposition(|c| matches!(c, Command::List { .. }))?;
        match self.out.remove(at) {
            Command::List { op } => Some(op),
            other => panic!("{other:?}"),
        }
    }

    /// Takes out the only operation that is under way.
    fn work(&mut self) -> (OpId, Work) {
        let mut found = None;
        for command in std::mem::take(&mut self.out) {
            match command {
                Command::Run { op, work, .. } => assert!(found.replace((op, work)).is_none(), "{found:?}"),
                Command::List { op } => self.out.push(Command::List { op }),
                _ => {}
            }
        }
        found.unwrap()
    }

    fn done(&mut self, op: OpId, output: Output) {
        self.give(Input::Done { op, result: Ok(output) });
    }

    /// Goes on until the container is being made; gives that operation and the sandbox as it is listed.
    fn creating(&mut self) -> (OpId, ContainerInfo) {
        let (op, work) = self.work();
        let Work::CreateSandbox { spec, .. } = work else { panic!("{work:?}") };
        let sandbox = running("sandbox", &spec.name, spec.labels);
        self.done(op, Output::Sandbox { id: sandbox.id.clone(), ip: None });
        let (op, work) = self.work();
        assert!(matches!(work, Work::EnsureImage { .. }), "{work:?}");
        self.done(op, Output::Image(ImageInfo { id: "sha256:good".into(), ..ImageInfo::default() }));
        let (op, work) = self.work();
        assert!(matches!(work, Work::CreateContainer { .. }), "{work:?}");
        (op, sandbox)
    }

    fn created_and_started(&mut self, op: OpId) {
        self.done(op, Output::Created { id: ContainerId("main".into()) });
        let (op, work) = self.work();
        assert!(matches!(work, Work::Start { .. }), "{work:?}");
        self.done(op, Output::Done);
    }

    /// What it would do to containers.
    fn acts(&self) -> Vec<&Command> {
        self.out.iter().filter(|c| matches!(c, Command::Run { .. })).collect()
    }
}

fn running(id: &str, name: &str, labels: BTreeMap<String, String>) -> ContainerInfo {
    ContainerInfo {
        id: ContainerId(id.into()),
        name: name.into(),
        labels,
        image: "good".into(),
        image_id: "sha256:good".into(),
        created: NOW,
        state: ContainerState::Running { pid: 1, started: NOW },
        resources: Resources::default(),
        engine_restarts: false,
        ip: None,
        joins: None,
        network: SandboxNetwork::Default,
    }
}

#[test]
fn one_that_is_older_than_a_container_does_not_call_it_gone() {
    let mut hand = Hand::new();
    let (create, sandbox) = hand.creating();
    hand.give(Input::EngineDown { message: "connection refused".into() });
    hand.give(Input::EngineUp);
    let list = hand.asked_to_list().unwrap();
    // The engine made its list before it made the container, and the answers cross.
    hand.created_and_started(create);
    hand.listing(list, vec![sandbox]);
    assert!(hand.acts().is_empty(), "{:?}", hand.out);
    assert_eq!(hand.logic.container_id(uid(1), "web", false), Some(ContainerId("main".into())));
}

#[test]
fn one_that_is_younger_does() {
    let mut hand = Hand::new();
    let (create, sandbox) = hand.creating();
    hand.created_and_started(create);
    hand.give(Input::EngineDown { message: "connection refused".into() });
    hand.give(Input::EngineUp);
    let list = hand.asked_to_list().unwrap();
    hand.listing(list, vec![sandbox]);
    let (_, work) = hand.work();
    assert!(matches!(work, Work::CreateContainer { .. } | Work::EnsureImage { .. }), "{work:?}");
}

#[test]
fn one_of_an_engine_that_went_away_since_is_none() {
    let mut hand = Hand::new();
    let (create, sandbox) = hand.creating();
    hand.created_and_started(create);
    hand.now = NOW + Settings::default().list_interval;
    hand.give(Input::Wake);
    let first = hand.asked_to_list().unwrap();
    hand.give(Input::EngineDown { message: "connection refused".into() });
    hand.give(Input::EngineUp);
    assert!(hand.asked_to_list().is_some_and(|second| second != first));
    hand.listing(first, vec![sandbox]);
    assert!(hand.acts().is_empty(), "{:?}", hand.out);
}

/// A container whose end was heard of when the engine went away.
fn ended_as_the_engine_went(hand: &mut Hand) -> (OpId, [ContainerInfo; 2]) {
    let (create, sandbox) = hand.creating();
    hand.created_and_started(create);
    let mut main = running("main", &sandbox.name.replace("POD", "web"), sandbox.labels.clone());
    main.labels.remove(labels::SANDBOX);
    main.labels.insert(labels::CONTAINER.into(), "web".into());
    hand.now = NOW + Duration::from_secs(5);
    hand.give(Input::Wake);
    hand.out.clear();
    for action in [EventAction::Killed { signal: 15 }, EventAction::Died { exit_code: 143 }] {
        let (at, id, name, labels) = (hand.now, main.id.clone(), main.name.clone(), main.labels.clone());
        hand.give(Input::Event(RuntimeEvent { at, id, name, labels, action }));
    }
    let (ask, work) = hand.work();
    assert_eq!(work, Work::Inspect { id: main.id.clone() });
    let (started, finished) = (NOW, hand.now);
    main.state = ContainerState::Exited { code: 143, oom: false, started, finished, error: String::new() };
    hand.give(Input::EngineDown { message: "its stream of events ended".into() });
    (ask, [sandbox, main])
}

#[test]
fn an_end_that_an_engine_was_asked_for_and_the_next_one_answers_is_that_ones_doing() {
    let mut hand = Hand::new();
    let (ask, [sandbox, main]) = ended_as_the_engine_went(&mut hand);
    hand.give(Input::EngineUp);
    // The question waited in the engine's socket, which is the system's.
    hand.done(ask, Output::Inspected(Some(Box::new(main.clone()))));
    hand.now = hand.now + Duration::from_secs(3);
    hand.give(Input::Wake);
    assert!(hand.acts().is_empty(), "nothing is asked before the listing: {:?}", hand.out);
    let list = hand.asked_to_list().unwrap();
    hand.listing(list, vec![sandbox, main]);
    hand.now = hand.now + Duration::from_secs(3);
    hand.give(Input::Wake);
    while let Some(list) = hand.asked_to_list() {
        hand.listing(list, Vec::new());
    }
    let ToServer::Report { report, .. } = hand.logic.next_message() else { panic!("no report") };
    assert!(report.drifts.is_empty(), "{:?}", report.drifts);
    let status = String::from_utf8(report.pods[0].status.to_vec()).unwrap();
    assert!(status.contains("EngineRestarted") && !status.contains("ContainerDrift"), "{status}");
}

#[test]
fn a_start_that_an_engine_did_as_it_went_is_counted() {
    let mut hand = Hand::new();
    let (create, sandbox) = hand.creating();
    hand.done(create, Output::Created { id: ContainerId("main".into()) });
    let (start, work) = hand.work();
    assert!(matches!(work, Work::Start { .. }), "{work:?}");
    hand.give(Input::EngineDown { message: "connection refused".into() });
    let error = RuntimeError::EngineUnavailable { message: "connection refused".into() };
    hand.give(Input::Done { op: start, result: Err(Failure::Runtime(error)) });
    hand.give(Input::EngineUp);
    let list = hand.asked_to_list().unwrap();
    let mut main = running("main", "web", sandbox.labels.clone());
    main.labels.remove(labels::SANDBOX);
    main.labels.insert(labels::CONTAINER.into(), "web".into());
    hand.listing(list, vec![sandbox, main]);
    let kept =
        hand.out.iter().rev().find_map(|c| if let Command::Persist(pod) = c { Some(pod) } else { None }).unwrap();
    assert!(kept.containers["web"].started && kept.containers["web"].restarts == 0, "{kept:?}");
    let ToServer::Report { report, .. } = hand.logic.next_message() else { panic!("no report") };
    let status = String::from_utf8(report.pods[0].status.to_vec()).unwrap();
    assert!(status.contains(r#""started":true"#) && !status.contains("EngineRestarted"), "{status}");
}
