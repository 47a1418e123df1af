//! Tokens of pods' ServiceAccounts, asked of a server on another machine.
//!
//! One connection is kept for it, and made anew where it broke or the node's certificate is another one by
//! now. Deliberately not here: when a token is asked for (`crate::tokens`).

use std::sync::Arc;

use evenkeel_wire::proto::TokenRequest;
use tokio::sync::Mutex;

use super::{
    Current, Identity, RemoteError, ServerAddress,
    connect::{Channel, client, connect, refusal},
    tls,
};
use crate::tokens::{NoToken, Token, TokenAsk, TokenSource};

/// Asks this server with the identity in force.
pub fn tokens(server: ServerAddress, current: Current) -> TokenSource {
    let link = Arc::new(Link { server, current, open: Mutex::new(None) });
    TokenSource::new(move |ask| {
        let link = link.clone();
        Box::pin(async move { link.ask(ask).await })
    })
}

struct Link {
    server: ServerAddress,
    current: Current,
    open: Mutex<Option<(Arc<Identity>, Channel)>>,
}

impl Link {
    async fn ask(&self, ask: TokenAsk) -> Result<Token, NoToken> {
        let away = |e: &RemoteError| NoToken { message: evenkeel_model::causes(e), outside: true };
        let channel = self.channel().await.map_err(|e| away(&e))?;
        match client(channel).token(TokenRequest::from(ask)).await {
            Ok(reply) => Ok(reply.into_inner().into()),
            Err(status) => match status.code() {
                tonic::Code::FailedPrecondition => Err(NoToken { message: status.message().into(), outside: false }),
                tonic::Code::Unimplemented => {
                    Err(NoToken { message: "the server is older than this agent: upgrade it".into(), outside: true })
                }
                _ => {
                    *self.open.lock().await = None;
                    Err(away(&refusal(&self.server, &status)))
                }
            },
        }
    }

    async fn channel(&self) -> Result<Channel, RemoteError> {
        let mut open = self.open.lock().await;
        let identity = self.current.get();
        if let Some((of, channel)) = &*open
            && Arc::ptr_eq(of, &identity)
        {
            return Ok(channel.clone());
        }
        let channel = connect(&self.server, tls::of_node(&identity)?).await?;
        *open = Some((identity, channel.clone()));
        Ok(channel)
    }
}
