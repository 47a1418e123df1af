//! What the halves of one process ask of each other beside the session: streams of this machine's containers,
//! and tokens of its pods' ServiceAccounts.

use std::sync::Arc;

use evenkeel_agent::{
    driver::Streams,
    tokens::{NoToken, Token, TokenSource},
};
use evenkeel_runtime::Docker;
use evenkeel_server::{api::Later, dispatch::Agents, host::NodeAccess};
use evenkeel_wire::stream::{CallerEnd, StreamError, StreamRequest};

/// Opens streams at the agent's half, without the network between.
#[derive(Debug)]
pub(super) struct Access {
    streams: Streams<Docker>,
}

impl Access {
    pub(super) fn new(streams: Streams<Docker>) -> Self {
        Self { streams }
    }
}

impl NodeAccess for Access {
    fn open(&self, request: StreamRequest) -> Later<Result<CallerEnd, StreamError>> {
        let end = self.streams.open(request);
        Box::pin(std::future::ready(Ok(end)))
    }
}

/// Tokens for the pods of this process' own node.
pub(super) fn tokens(agents: Agents, node: &str) -> TokenSource {
    let node: Arc<str> = node.into();
    TokenSource::new(move |ask| {
        let given = agents.token_of(&node, &ask.into()).map(Token::from);
        let given = given.map_err(|e| NoToken { message: e.to_string(), outside: e.is_outside() });
        Box::pin(std::future::ready(given))
    })
}
