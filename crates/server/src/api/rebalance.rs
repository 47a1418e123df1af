//! `/evenkeel/rebalance`: which pods would be better off on another node, and one such move.
//!
//! `GET ?limit=N&deleteEmptydirData=true` answers with a plan: `{"moves": [MOVE…], "more", "held":
//! [{"workload", "from", "to", "gain", "load", "siblings", "reason"}…]}`, where a MOVE is `{"namespace",
//! "pod", "uid", "replicaSet", "workload": {"kind", "name"}, "from", "to", "gain", "load": {"from", "to"},
//! "siblings": {"from", "to"}}`; loads are thousandths. `POST {"namespace", "pod", "uid", "to",
//! "deleteEmptydirData"}` begins one move of it and answers `{"move": MOVE}`, or says why not. Nothing is
//! written by a GET.
//!
//! Deliberately not here: whether a move helps or is allowed, which core decides.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, request::Parts},
    response::Response,
};
use evenkeel_core::{
    Answer, Ask,
    ask::Transfer,
    scheduler::rebalance::{Gain, Held, MOST_MOVES, Move, Rebalance, Wish},
};
use evenkeel_model::{Key, Kind, Uid};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api, body,
    query::Pairs,
    status::{Failure, json_response},
};

/// Where it is.
pub(crate) const PATH: &str = "/evenkeel/rebalance";
/// Moves of a plan if nothing else is said.
const LIMIT: usize = 100;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Asked {
    namespace: String,
    pod: String,
    uid: Option<Uid>,
    to: String,
    delete_emptydir_data: bool,
}

/// Answers a request for [`PATH`].
pub(crate) async fn handle(api: &Arc<Api>, parts: &Parts, body: Body, user: String) -> Result<Response, Failure> {
    match parts.method {
        Method::GET => {
            let pairs = Pairs::of(&parts.uri)?;
            let limit = pairs.number("limit")?.and_then(|n| usize::try_from(n).ok()).unwrap_or(LIMIT).min(MOST_MOVES);
            let wish = Wish { limit, empty_dirs: pairs.flag("deleteEmptydirData") };
            let plan = api.backend.rebalance(wish).await;
            let plan = plan.map_err(|e| Failure::of_ask(&e, &Key::cluster(Kind::Node, "")).plain())?;
            Ok(json_response(200, &planned(&plan)))
        }
        Method::POST => {
            let bytes = body::read(body, body::LIMIT).await?;
            let asked: Asked = body::fields(&parts.headers, &bytes)?;
            let Some(uid) = asked.uid.filter(|_| ![&asked.namespace, &asked.pod, &asked.to].contains(&&String::new()))
            else {
                return Err(Failure::bad_request("namespace, pod, uid and to must be set: a move as a plan has it"));
            };
            let pod = Key::new(Kind::Pod, asked.namespace.as_str(), asked.pod.as_str());
            let to = asked.to.as_str().into();
            let transfer = Transfer { pod: pod.clone(), uid, to, empty_dirs: asked.delete_emptydir_data };
            match api.backend.ask(Ask::Rebalance(transfer), user).await.map_err(|e| Failure::of_ask(&e, &pod))? {
                Answer::Moved(one) => Ok(json_response(201, &json!({"move": moved(&one)}))),
                _ => Err(Failure::new(500, "InternalError", "the server did not answer with a move").about(&pod)),
            }
        }
        _ => Err(Failure::not_allowed("this path takes GET and POST only")),
    }
}

fn planned(plan: &Rebalance) -> Value {
    let moves: Vec<Value> = plan.moves.iter().map(moved).collect();
    let held: Vec<Value> = plan.held.iter().map(held).collect();
    json!({"moves": moves, "more": plan.more, "held": held})
}

fn moved(one: &Move) -> Value {
    let mut value = gain(&one.gain, &one.from, &one.to, &one.workload);
    value["namespace"] = json!(one.pod.namespace);
    value["pod"] = json!(one.pod.name);
    value["uid"] = json!(one.uid.to_string());
    value["replicaSet"] = json!(one.set.name);
    value
}

fn held(one: &Held) -> Value {
    let mut value = gain(&one.gain, &one.from, &one.to, &one.workload);
    value["namespace"] = json!(one.workload.namespace);
    value["reason"] = json!(one.why);
    value
}

fn gain(gain: &Gain, from: &str, to: &str, workload: &Key) -> Value {
    json!({
        "workload": {"kind": workload.kind.info().kind, "name": workload.name},
        "from": from, "to": to, "gain": gain.points,
        "load": {"from": gain.load.0, "to": gain.load.1},
        "siblings": {"from": gain.siblings.0, "to": gain.siblings.1},
    })
}

#[cfg(test)]
mod tests {
    use evenkeel_core::{Refusal, ask::More};

    use super::{
        super::{
            AskError,
            tests::{Fake, call, get},
        },
        *,
    };

    fn one() -> Move {
        Move {
            pod: Key::new(Kind::Pod, "shop", "web-1-a"),
            uid: Uid(7),
            set: Key::new(Kind::ReplicaSet, "shop", "web-1"),
            workload: Key::new(Kind::Deployment, "shop", "web"),
            from: "n1".into(),
            to: "n2".into(),
            gain: Gain { points: 412, load: (610, 90), siblings: (3, 0) },
        }
    }

    #[tokio::test]
    async fn a_plan_is_read_and_one_move_of_it_is_asked_for() {
        let fake = Fake::new();
        assert_eq!(get(&fake, PATH).await, (200.try_into().unwrap(), json!({"moves": [], "more": false, "held": []})));
        let body = json!({"namespace": "shop", "pod": "web-1-a", "uid": Uid(7).to_string(), "to": "n2"}).to_string();
        *fake.answer.lock().unwrap() = Ok(Answer::Moved(one()));
        let (status, text) = call(&fake, "POST", PATH, &[], &body).await;
        assert_eq!(
            (status.as_u16(), serde_json::from_str::<Value>(&text).unwrap()),
            (201, json!({"move": moved(&one())}))
        );
        let pod = one().pod;
        let wish = Ask::Rebalance(Transfer { pod, uid: Uid(7), to: "n2".into(), empty_dirs: false });
        assert_eq!(fake.asked.lock().unwrap().drain(..).collect::<Vec<_>>(), [(wish, "admin".to_string())]);

        let refusal = Refusal::new(429, "TooManyRequests", "no").with(More::DisruptionBudget("needs 3".into()));
        *fake.answer.lock().unwrap() = Err(AskError::Refused(refusal));
        let (status, text) = call(&fake, "POST", PATH, &[], &body).await;
        assert!(status == 429 && text.contains("needs 3"), "{text}");
        for (method, body, code) in
            [("POST", "{}", 400), ("POST", r#"{"pod": "a", "unknown": 1}"#, 400), ("PUT", "{}", 405)]
        {
            assert_eq!(call(&fake, method, PATH, &[], body).await.0.as_u16(), code, "{method} {body}");
        }
        assert_eq!(get(&fake, &format!("{PATH}?limit=many")).await.0, 400);
    }

    #[test]
    fn the_form_of_a_plan_is_fixed() {
        let Move { workload, gain, .. } = one();
        let held = Held { workload, from: "n1".into(), to: "n2".into(), gain, why: "a budget".into() };
        let common = json!({"namespace": "shop", "workload": {"kind": "Deployment", "name": "web"}, "from": "n1",
            "to": "n2", "gain": 412, "load": {"from": 610, "to": 90}, "siblings": {"from": 3, "to": 0}});
        let (mut first, mut stays) = (common.clone(), common);
        first["pod"] = "web-1-a".into();
        first["replicaSet"] = "web-1".into();
        first["uid"] = Uid(7).to_string().into();
        stays["reason"] = "a budget".into();
        let plan = Rebalance { moves: vec![one()], more: true, held: vec![held] };
        assert_eq!(planned(&plan), json!({"moves": [first], "more": true, "held": [stays]}));
    }
}
