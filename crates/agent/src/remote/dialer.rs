//! What the driver dials: opens a connection, joins again where the server has forgotten this node
//! and there is a token, and hands the session over to its pumps.

use std::sync::Arc;

use evenkeel_wire::local;

use super::{
    Current, JoinOptions, RemoteError, Serve, ServerAddress,
    connect::connect,
    join::join,
    session::{self, Link},
    streams::Side,
    tls,
};
use crate::driver::{Dial, DialError, Dialing};

/// Opens sessions with a server on another machine.
pub struct Dialer {
    link: Arc<Link>,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("server", &self.link.server).finish_non_exhaustive()
    }
}

impl Dialer {
    /// For this server, with the identity in force; `again` joins anew where it counts no longer.
    /// Streams are served by `serve`.
    pub fn new(
        server: ServerAddress,
        current: Current,
        again: Option<JoinOptions>,
        serve: Serve,
    ) -> Result<Self, getrandom::Error> {
        let mut instance = [0; 16];
        getrandom::fill(&mut instance)?;
        let side = Side::new(server.clone(), current.clone(), serve);
        Ok(Self { link: Arc::new(Link::new(server, current, again, instance, side)) })
    }
}

impl Dial for Dialer {
    fn dial(&mut self) -> Dialing {
        let link = self.link.clone();
        Box::pin(async move {
            let opened = async {
                if link.join_again() {
                    rejoin(&link).await?;
                }
                connect(&link.server, tls::of_node(&link.current.get())?).await
            };
            let channel = opened.await.map_err(|e| DialError(evenkeel_model::causes(&e)))?;
            let (agent, server) = local::pair();
            let why = agent.why.clone();
            tokio::spawn(session::run(link, channel, server, why));
            Ok(agent)
        })
    }
}

/// The server knows this node no longer, or its certificate is over: the token lets it in again.
async fn rejoin(link: &Link) -> Result<(), RemoteError> {
    let Some(options) = &link.again else { return Ok(()) };
    tracing::info!(node = options.node, "joining again by the token");
    let store = link.current.store.clone();
    let refused = |e: super::JoinFailure| {
        RemoteError::Refused(format!(
            "the server knows this node no longer, or its certificate is over, and the token does not let it in again: {}",
            evenkeel_model::causes(&e)
        ))
    };
    let identity = join(options, &store).await.map_err(refused)?;
    link.current.replace(identity).await.map_err(|e| RemoteError::Keys(e.to_string()))?;
    link.joined();
    Ok(())
}
