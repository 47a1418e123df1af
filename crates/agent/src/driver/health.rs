//! A probe by gRPC: the health checking protocol (`grpc.health.v1.Health`, method `Check`), asked without TLS as
//! the kubelet does. Called by `probe`, which bounds the time.

use hyper::{Uri, client::conn::http2, http::uri::PathAndQuery};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic::{Code, Request, client::Grpc, metadata::MetadataValue};
use tonic_prost::ProstCodec;

use super::probe::driven;
use crate::channel::Channel;

const CHECK: &str = "/grpc.health.v1.Health/Check";
/// An answer is two bytes.
const MOST: usize = 4 << 10;

#[derive(Clone, PartialEq, prost::Message)]
struct Question {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(enumeration = "Status", tag = "1")]
    status: i32,
}

/// How a service is, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum Status {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

impl Status {
    /// Its name in the protocol.
    fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}

/// Whether a service of the server there serves; what is wrong else, in the kubelet's words.
pub(super) async fn check(stream: TcpStream, at: &str, service: &str, agent: &'static str) -> Result<(), String> {
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (send, connection) = handshake.await.map_err(|e| evenkeel_model::causes(&e))?;
    let origin = Uri::builder().scheme("http").authority(at).path_and_query("/").build().map_err(|e| e.to_string())?;
    let mut client = Grpc::with_origin(Channel::new(send), origin).max_decoding_message_size(MOST);
    let mut question = Request::new(Question { service: service.to_owned() });
    question.metadata_mut().insert("user-agent", MetadataValue::from_static(agent));
    let answer = async {
        client.ready().await.map_err(|e| evenkeel_model::causes(&e))?;
        let codec = ProstCodec::<Question, Answer>::default();
        match client.unary(question, PathAndQuery::from_static(CHECK), codec).await {
            Ok(answer) => said(answer.into_inner().status()),
            Err(status) if status.code() == Code::Unimplemented => {
                Err("this server does not implement the grpc health protocol (grpc.health.v1.Health)".to_owned())
            }
            Err(status) => Err(format!("health rpc probe failed: {}", evenkeel_model::causes(&status))),
        }
    };
    driven(connection, answer).await
}

fn said(status: Status) -> Result<(), String> {
    match status {
        Status::Serving => Ok(()),
        other => Err(format!("service unhealthy (responded with \"{}\")", other.name())),
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use bytes::{BufMut as _, Bytes, BytesMut};
    use http_body_util::{BodyExt as _, Full};
    use hyper::{HeaderMap, Response, body::Incoming, server::conn::http2, service::service_fn};
    use prost::Message as _;
    use tokio::net::TcpListener;

    use super::*;

    /// Answers as a server of the protocol: each service by its name.
    async fn serve(
        request: hyper::Request<Incoming>,
    ) -> Response<http_body_util::combinators::BoxBody<Bytes, Infallible>> {
        assert_eq!(request.uri().path(), CHECK);
        assert_eq!(request.headers()["content-type"], "application/grpc");
        assert!(request.headers()["user-agent"].to_str().unwrap().starts_with("kube-probe/"), "{request:?}");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        // A message is preceded by one byte and its length.
        let question = Question::decode(&body[5..]).unwrap();
        let (code, status) = match &*question.service {
            "" => ("0", Status::Serving),
            "ill" => ("0", Status::NotServing),
            "new" => ("12", Status::Unknown),
            _ => ("5", Status::Unknown),
        };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.parse().unwrap());
        let mut message = BytesMut::new();
        if code == "0" {
            let answer = Answer { status: status.into() }.encode_to_vec();
            message.put_u8(0);
            message.put_u32(u32::try_from(answer.len()).unwrap());
            message.put_slice(&answer);
        }
        let body = Full::new(message.freeze()).with_trailers(async move { Some(Ok(trailers)) });
        Response::builder().header("content-type", "application/grpc").body(body.boxed()).unwrap()
    }

    async fn ask(service: &str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(|request| async { Ok::<_, Infallible>(serve(request).await) });
            // It ends with the client.
            let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
        let stream = TcpStream::connect(at).await.unwrap();
        let at = at.to_string();
        let asked = check(stream, &at, service, "kube-probe/1.36");
        let result = tokio::time::timeout(Duration::from_secs(10), asked).await.unwrap();
        server.await.unwrap();
        result
    }

    #[tokio::test]
    async fn a_server_says_how_its_services_are() {
        assert_eq!(ask("").await, Ok(()));
        assert_eq!(ask("ill").await.unwrap_err(), "service unhealthy (responded with \"NOT_SERVING\")");
        assert!(ask("new").await.unwrap_err().contains("does not implement the grpc health protocol"));
        assert!(ask("other").await.unwrap_err().starts_with("health rpc probe failed: "));
    }

    #[tokio::test]
    async fn what_speaks_no_grpc_is_no_good_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        });
        let stream = TcpStream::connect(at).await.unwrap();
        let at = at.to_string();
        let asked = check(stream, &at, "", "kube-probe/1.36");
        assert!(tokio::time::timeout(Duration::from_secs(10), asked).await.unwrap().is_err());
    }
}
