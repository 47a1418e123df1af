//! A small issuer of ID tokens, for tests: HTTPS on the loopback, by an authority of its own. Unit tests
//! and the story of the real kubectl share it.
#![allow(missing_docs, unreachable_pub)]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer as Authority, KeyPair};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// Serves until its process ends.
pub struct Issuer {
    pub url: String,
    /// PEM.
    pub authority: String,
    /// While it is set, every request is answered with 503.
    pub away: Arc<AtomicBool>,
    /// Requests for keys.
    pub asked: Arc<AtomicUsize>,
    signing: Arc<Mutex<(String, Arc<EcdsaKeyPair>)>>,
}

fn new_key() -> Arc<EcdsaKeyPair> {
    let (random, how) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let bytes = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
    Arc::new(EcdsaKeyPair::from_pkcs8(how, bytes.as_ref(), &random).unwrap())
}

fn tls() -> (String, Arc<ServerConfig>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let (own, ca) = (KeyPair::generate().unwrap(), Authority::new(params, key));
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&own, &ca).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], own.serialize_der().try_into().unwrap())
        .unwrap();
    (authority, Arc::new(config))
}

impl Issuer {
    pub fn start() -> Self {
        let (authority, config) = tls();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let this = Self {
            url,
            authority,
            away: Arc::default(),
            asked: Arc::default(),
            signing: Arc::new(Mutex::new(("one".into(), new_key()))),
        };
        let (url, away, asked, signing) =
            (this.url.clone(), this.away.clone(), this.asked.clone(), this.signing.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tls = ServerConnection::new(config.clone()).unwrap();
                let mut stream = BufReader::new(StreamOwned::new(tls, stream));
                let mut first = String::new();
                // Who trusts another authority ends the handshake.
                if stream.read_line(&mut first).is_err() {
                    continue;
                }
                let mut line = String::new();
                while stream.read_line(&mut line).is_ok_and(|n| n > 2) {
                    line.clear();
                }
                let body = if first.starts_with("GET /.well-known/openid-configuration ") {
                    json!({"issuer": url, "jwks_uri": format!("{url}/keys")})
                } else {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let (id, key) = signing.lock().unwrap().clone();
                    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                    let part = |bytes: &[u8]| BASE64.encode(bytes);
                    json!({"keys": [{"kty": "oct", "k": "AA"}, {"kty": "EC", "use": "sig", "alg": "ES256", "kid": id,
                        "crv": "P-256", "x": part(x), "y": part(y)}]})
                };
                let status = if away.load(Ordering::SeqCst) { "503 Service Unavailable" } else { "200 OK" };
                let body = body.to_string();
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let stream = stream.get_mut();
                // Whoever does not wait for the answer sees none.
                let _gone = stream.write_all((head + &body).as_bytes()).and_then(|()| stream.flush());
                stream.conn.send_close_notify();
                let _gone = stream.flush();
            }
        });
        this
    }

    /// Claims of somebody for `evenkeel`, for an hour.
    pub fn claims(&self) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        json!({"iss": self.url, "sub": "an", "aud": "evenkeel", "iat": now, "exp": now + 3600})
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let id = self.signing.lock().unwrap().0.clone();
        self.sign_as(&json!({"alg": "ES256", "kid": id}), claims)
    }

    /// The same with any head.
    pub fn sign_as(&self, head: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let text = format!("{}.{}", part(head), part(claims));
        let key = self.signing.lock().unwrap().1.clone();
        let signature = key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", BASE64.encode(signature))
    }

    /// Signs with another key from now on, and knows the old one no longer.
    pub fn rotate(&self, id: &str) {
        *self.signing.lock().unwrap() = (id.into(), new_key());
    }
}
