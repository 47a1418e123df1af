//! A WebSocket to the server, with the client's TLS identity.
//!
//! The upgrade is an ordinary request of this client, so that a refusal comes with its whole
//! `Status`; after it the library frames messages.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hyper::{Method, StatusCode, header, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{Call, Client, ClientError};

/// Bytes of one message from the server: it sends 64 KiB and a byte at most.
const MESSAGE: usize = 1 << 20;

/// An open WebSocket.
pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

impl Client {
    /// Opens a WebSocket that speaks `protocol`.
    pub(crate) async fn socket(&self, path: &str, protocol: &str) -> Result<Socket, ClientError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|e| self.http(e))?;
        let key = STANDARD.encode(random);
        let headers = [
            (header::CONNECTION, "Upgrade"),
            (header::UPGRADE, "websocket"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::SEC_WEBSOCKET_KEY, key.as_str()),
            (header::SEC_WEBSOCKET_PROTOCOL, protocol),
        ];
        let call = Call {
            method: Method::GET,
            path,
            accept: "*/*",
            content_type: None,
            body: Bytes::new(),
            headers: &headers,
        };
        let mut connection = self.connect().await?;
        let response = self.exchange(&mut connection, &call).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let code = response.status().as_u16();
            let bytes = self.collect(response).await?;
            return Err(ClientError::of_status(code, &bytes));
        }
        let given = |name| response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if given(header::SEC_WEBSOCKET_ACCEPT) != derive_accept_key(key.as_bytes())
            || given(header::SEC_WEBSOCKET_PROTOCOL) != protocol
        {
            return Err(self.http("the server did not take the WebSocket up as it was asked"));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|e| self.http(e))?;
        let config = WebSocketConfig::default().max_message_size(Some(MESSAGE)).max_frame_size(Some(MESSAGE));
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await)
    }
}
