//! An ACME directory (RFC 8555) on this machine, as small as one can be that checks what clients must do:
//! nonces are used once, requests are signed by their account, hosts answer by HTTP-01. It knows no names:
//! all hosts are at the same addresses, and it looks at each of them, as real ones look from several places.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use ring::{
    digest::{SHA256, digest},
    signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey},
};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// A host that the directory never gives a certificate for.
pub const REJECTED: &str = "rejected.example";
/// A host that is at a port where nobody is.
pub const ELSEWHERE: &str = "elsewhere.example";
/// A host that the directory never comes to look at.
pub const SLOW: &str = "slow.example";

/// The directory, until it is dropped.
pub struct Directory {
    pub url: String,
    /// The certificate of the authority that signs for the directory itself and for all it issues.
    pub ca: PathBuf,
    place: Arc<Place>,
}

struct Place {
    base: String,
    /// Where hosts are looked at.
    hosts: Vec<SocketAddr>,
    life: Duration,
    issuer: Issuer<'static, KeyPair>,
    state: Mutex<State>,
    over: AtomicBool,
}

#[derive(Default)]
struct State {
    next: usize,
    nonces: BTreeSet<String>,
    /// Keys by the account's URL.
    accounts: BTreeMap<String, Value>,
    contacts: Vec<Value>,
    /// The hosts of each order that was asked for, refused ones among them.
    asked: Vec<Vec<String>>,
    /// Hosts that it was let look at, in this order.
    looked: Vec<String>,
    orders: BTreeMap<usize, Order>,
    authorizations: BTreeMap<usize, Authorization>,
    certificates: BTreeMap<usize, String>,
}

#[derive(Clone)]
struct Order {
    hosts: Vec<String>,
    authorizations: Vec<usize>,
    certificate: Option<usize>,
}

#[derive(Clone)]
struct Authorization {
    host: String,
    token: String,
    status: &'static str,
    error: Option<Value>,
}

/// An answer: status, further header, body.
type Answer = (u16, Option<(&'static str, String)>, String);

fn problem(status: u16, kind: &str, detail: &str) -> Answer {
    (status, None, json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail}).to_string())
}

impl Directory {
    /// Starts one that looks at hosts at these addresses, and whose certificates live so long.
    pub fn start(dir: &Path, hosts: Vec<SocketAddr>, life: Duration) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap();
        let ca = dir.join("acme-ca.pem");
        fs::write(&ca, authority.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&own, &issuer).unwrap();
        let provider = rustls::crypto::ring::default_provider().into();
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = own.serialize_der().try_into().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let (state, over) = (Mutex::default(), AtomicBool::new(false));
        let place = Arc::new(Place { base: base.clone(), hosts, life, issuer, state, over });
        let (served, config) = (place.clone(), Arc::new(config));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.over.load(Ordering::SeqCst) {
                    return;
                }
                let (served, config) = (served.clone(), config.clone());
                std::thread::spawn(move || served.serve(stream, config));
            }
        });
        Self { url: format!("{base}/directory"), ca, place }
    }

    /// Certificates that were issued.
    pub fn issued(&self) -> usize {
        self.place.state.lock().unwrap().certificates.len()
    }

    /// How many orders were asked for that name a host.
    pub fn orders(&self, host: &str) -> usize {
        self.place.state.lock().unwrap().asked.iter().filter(|hosts| hosts.iter().any(|h| h == host)).count()
    }

    /// How often it was let look at a host.
    pub fn looks(&self, host: &str) -> usize {
        self.place.state.lock().unwrap().looked.iter().filter(|h| *h == host).count()
    }

    /// What accounts said of whom to write to.
    pub fn contacts(&self) -> Vec<Value> {
        self.place.state.lock().unwrap().contacts.clone()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.place.over.store(true, Ordering::SeqCst);
        let address = self.place.base.trim_start_matches("https://").replace("localhost", "127.0.0.1");
        // Wakes the listener.
        drop(TcpStream::connect(address));
    }
}

impl Place {
    /// One request of one connection.
    fn serve(&self, stream: TcpStream, config: Arc<ServerConfig>) {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut reader = BufReader::new(StreamOwned::new(ServerConnection::new(config).unwrap(), stream));
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut length = 0;
        loop {
            let mut field = String::new();
            reader.read_line(&mut field).unwrap();
            if field.trim().is_empty() {
                break;
            }
            if let Some(value) = field.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let (status, more, text) = self.answer(&method, &path, &body);
        let nonce = self.nonce();
        let more = more.map_or_else(String::new, |(name, value)| format!("{name}: {value}\r\n"));
        let head = format!(
            "HTTP/1.1 {status} x\r\nReplay-Nonce: {nonce}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n",
            text.len()
        );
        let mut stream = reader.into_inner();
        let text = if method == "HEAD" { "" } else { &text };
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes())).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    }

    fn number(&self) -> usize {
        let mut state = self.state.lock().unwrap();
        state.next += 1;
        state.next
    }

    fn nonce(&self) -> String {
        let nonce = format!("nonce-{}", self.number());
        self.state.lock().unwrap().nonces.insert(nonce.clone());
        nonce
    }

    fn answer(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let base = &self.base;
        match (method, path) {
            ("GET", "/directory") => {
                let all = json!({"newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"),
                    "newOrder": format!("{base}/order")});
                (200, None, all.to_string())
            }
            ("HEAD", "/nonce") => (200, None, String::new()),
            ("POST", _) => self.signed(path, body).unwrap_or_else(|refused| refused),
            _ => problem(404, "malformed", "no such place"),
        }
    }

    /// Checks a signed request, and answers it.
    fn signed(&self, path: &str, body: &[u8]) -> Result<Answer, Answer> {
        let bad = |detail: &str| problem(400, "malformed", detail);
        let request: Value = serde_json::from_slice(body).map_err(|_| bad("no JSON"))?;
        let part = |name: &str| request[name].as_str().unwrap_or_default();
        let decoded = |name: &str| BASE64.decode(part(name)).map_err(|_| bad("no base64url"));
        let header: Value = serde_json::from_slice(&decoded("protected")?).map_err(|_| bad("no header"))?;
        let nonce = header["nonce"].as_str().unwrap_or_default();
        if !self.state.lock().unwrap().nonces.remove(nonce) {
            return Err(problem(400, "badNonce", "the nonce was not given out, or used before"));
        }
        if header["url"] != format!("{}{path}", self.base) || header["alg"] != "ES256" {
            return Err(bad("another url or algorithm"));
        }
        let account = header["kid"].as_str().unwrap_or_default().to_owned();
        let key = if path == "/account" {
            header["jwk"].clone()
        } else {
            let known = self.state.lock().unwrap().accounts.get(&account).cloned();
            known.ok_or_else(|| problem(400, "accountDoesNotExist", "no such account"))?
        };
        let point: Vec<u8> = [vec![4], half(&key, "x"), half(&key, "y")].concat();
        let text = format!("{}.{}", part("protected"), part("payload"));
        let signed =
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(text.as_bytes(), &decoded("signature")?);
        signed.map_err(|_| problem(403, "unauthorized", "the signature is wrong"))?;
        let payload: Value = serde_json::from_slice(&decoded("payload")?).unwrap_or(Value::Null);
        Ok(self.done(path, &payload, &key))
    }

    fn done(&self, path: &str, payload: &Value, key: &Value) -> Answer {
        let (place, number) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        let number = number.parse().unwrap_or(0);
        match place {
            "account" => {
                let url = format!("{}/account/{}", self.base, self.number());
                let mut state = self.state.lock().unwrap();
                state.accounts.insert(url.clone(), key.clone());
                state.contacts.push(payload["contact"].clone());
                (201, Some(("Location", url)), json!({"status": "valid"}).to_string())
            }
            "order" if number == 0 => self.new_order(payload),
            "order" => (200, None, self.order(number)),
            "authz" => (200, None, self.authorization(number)),
            "challenge" => {
                self.look(number, key);
                (200, None, self.challenge(number).to_string())
            }
            "finalize" => self.finalize(number, payload),
            "cert" => {
                let chain = self.state.lock().unwrap().certificates.get(&number).cloned();
                chain.map_or_else(|| problem(404, "malformed", "no such certificate"), |c| (200, None, c))
            }
            _ => problem(404, "malformed", "no such place"),
        }
    }

    fn new_order(&self, payload: &Value) -> Answer {
        let hosts: Vec<String> = payload["identifiers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["value"].as_str().unwrap().to_owned())
            .collect();
        self.state.lock().unwrap().asked.push(hosts.clone());
        if hosts.iter().any(|h| h == REJECTED) {
            return problem(403, "rejectedIdentifier", "policy forbids rejected.example");
        }
        let mut authorizations = Vec::new();
        for host in &hosts {
            let (number, token) = (self.number(), format!("token-{}", self.number()));
            let new = Authorization { host: host.clone(), token, status: "pending", error: None };
            self.state.lock().unwrap().authorizations.insert(number, new);
            authorizations.push(number);
        }
        let number = self.number();
        self.state.lock().unwrap().orders.insert(number, Order { hosts, authorizations, certificate: None });
        (201, Some(("Location", format!("{}/order/{number}", self.base))), self.order(number))
    }

    fn order(&self, number: usize) -> String {
        let state = self.state.lock().unwrap();
        let order = &state.orders[&number];
        let all = |status| order.authorizations.iter().all(|a| state.authorizations[a].status == status);
        let any = |status| order.authorizations.iter().any(|a| state.authorizations[a].status == status);
        let status = match order.certificate {
            Some(_) => "valid",
            None if all("valid") => "ready",
            None if any("invalid") => "invalid",
            None => "pending",
        };
        let urls: Vec<String> = order.authorizations.iter().map(|a| format!("{}/authz/{a}", self.base)).collect();
        let hosts: Vec<Value> = order.hosts.iter().map(|h| json!({"type": "dns", "value": h})).collect();
        let mut value = json!({"status": status, "identifiers": hosts, "authorizations": urls,
            "finalize": format!("{}/finalize/{number}", self.base)});
        if let Some(certificate) = order.certificate {
            value["certificate"] = format!("{}/cert/{certificate}", self.base).into();
        }
        value.to_string()
    }

    fn authorization(&self, number: usize) -> String {
        let challenge = self.challenge(number);
        let authorization = self.state.lock().unwrap().authorizations[&number].clone();
        json!({"identifier": {"type": "dns", "value": authorization.host}, "status": authorization.status,
            "challenges": [challenge]})
        .to_string()
    }

    fn challenge(&self, number: usize) -> Value {
        let authorization = self.state.lock().unwrap().authorizations[&number].clone();
        let mut value = json!({"type": "http-01", "url": format!("{}/challenge/{number}", self.base),
            "token": authorization.token, "status": authorization.status});
        if let Some(error) = authorization.error {
            value["error"] = error;
        }
        value
    }

    /// Looks for the answer where the host is.
    fn look(&self, number: usize, key: &Value) {
        let authorization = self.state.lock().unwrap().authorizations[&number].clone();
        // RFC 7638: these members, in this order.
        let text = format!(r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#, key["crv"], key["kty"], key["x"], key["y"]);
        let thumbprint = BASE64.encode(digest(&SHA256, text.as_bytes()));
        let wanted = format!("{}.{thumbprint}", authorization.token);
        self.state.lock().unwrap().looked.push(authorization.host.clone());
        if authorization.host == SLOW {
            return;
        }
        let nowhere = [SocketAddr::from(([127, 0, 0, 1], 1))];
        let places = if authorization.host == ELSEWHERE { &nowhere[..] } else { &self.hosts };
        let found: Vec<_> =
            places.iter().map(|at| Self::fetch(*at, &authorization.host, &authorization.token)).collect();
        let mut state = self.state.lock().unwrap();
        let entry = state.authorizations.get_mut(&number).unwrap();
        if found.iter().all(|found| found.as_ref() == Ok(&wanted)) {
            entry.status = "valid";
        } else {
            entry.status = "invalid";
            let detail = format!("at {} is not what was asked for: {found:?}", authorization.host);
            entry.error = Some(json!({"type": "urn:ietf:params:acme:error:unauthorized", "detail": detail}));
        }
    }

    fn fetch(at: SocketAddr, host: &str, token: &str) -> Result<String, String> {
        let mut stream = TcpStream::connect(at).map_err(|e| e.to_string())?;
        let request =
            format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let mut text = String::new();
        let read = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut text));
        read.map_err(|e| e.to_string())?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
        if head.starts_with("HTTP/1.1 200 ") { Ok(body.trim().to_owned()) } else { Err(head.to_owned()) }
    }

    fn finalize(&self, number: usize, payload: &Value) -> Answer {
        let order: Value = serde_json::from_str(&self.order(number)).unwrap();
        if order["status"] != "ready" {
            return problem(403, "orderNotReady", "not all hosts were looked at");
        }
        let csr = BASE64.decode(payload["csr"].as_str().unwrap_or_default()).unwrap();
        let mut csr = CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
        let mut hosts = self.state.lock().unwrap().orders[&number].hosts.clone();
        let mut asked: Vec<String> = csr.params.subject_alt_names.iter().filter_map(dns).collect();
        hosts.sort();
        asked.sort();
        if hosts != asked {
            return problem(400, "badCSR", "other names than were ordered");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let begin = date_time_ymd(1970, 1, 1) + Duration::from_secs(now.as_secs());
        (csr.params.not_before, csr.params.not_after) = (begin, begin + self.life);
        let chain = csr.signed_by(&self.issuer).unwrap().pem();
        let certificate = self.number();
        {
            let mut state = self.state.lock().unwrap();
            state.certificates.insert(certificate, chain);
            state.orders.get_mut(&number).unwrap().certificate = Some(certificate);
        }
        (200, Some(("Location", format!("{}/order/{number}", self.base))), self.order(number))
    }
}

fn dns(name: &SanType) -> Option<String> {
    if let SanType::DnsName(name) = name { Some(name.to_string()) } else { None }
}

/// A coordinate of a key.
fn half(key: &Value, name: &str) -> Vec<u8> {
    BASE64.decode(key[name].as_str().unwrap_or_default()).unwrap_or_default()
}
