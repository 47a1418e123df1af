//! Tokens of pods' ServiceAccounts, asked of a server on another machine.
//!
//! One connection is kept for it, and made anew where it broke or the node's certificate is another one by
//! now. Deliberately not here: when a token is asked for (`crate::tokens`).

use std::sync::Arc;

use evenkeel_wire::proto::TokenRequest;
use tokio::sync::Mutex;

use super::{
    Current, Identity, RemoteError, ServerAddress,
    connect::{client, connect, refusal},
    tls,
};
use crate::{
    channel::Channel,
    tokens::{NoToken, Token, TokenAsk, TokenSource},
};

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

/// Whether a connection was made for this call.
#[derive(PartialEq, Eq)]
enum Age {
    New,
    Kept,
}

impl Link {
    async fn ask(&self, ask: TokenAsk) -> Result<Token, NoToken> {
        let away = |e: &RemoteError| NoToken { message: evenkeel_model::causes(e), outside: true };
        let request = TokenRequest::from(ask);
        loop {
            let (channel, age) = self.channel().await.map_err(|e| away(&e))?;
            let status = match client(channel).token(request.clone()).await {
                Ok(reply) => return Ok(reply.into_inner().into()),
                Err(status) => status,
            };
            match status.code() {
                tonic::Code::FailedPrecondition => {
                    return Err(NoToken { message: status.message().into(), outside: false });
                }
                tonic::Code::Unimplemented => {
                    let message = "the server is older than this agent: upgrade it".into();
                    return Err(NoToken { message, outside: true });
                }
                _ => *self.open.lock().await = None,
            }
            // A connection that was kept may have broken unseen; the next one is made now.
            if age == Age::New {
                return Err(away(&refusal(&self.server, &status)));
            }
        }
    }

    async fn channel(&self) -> Result<(Channel, Age), RemoteError> {
        let mut open = self.open.lock().await;
        let identity = self.current.get();
        if let Some((of, channel)) = &*open
            && Arc::ptr_eq(of, &identity)
            && channel.open()
        {
            return Ok((channel.clone(), Age::Kept));
        }
        let channel = connect(&self.server, tls::of_node(&identity)?).await?;
        *open = Some((identity, channel.clone()));
        Ok((channel, Age::New))
    }
}
