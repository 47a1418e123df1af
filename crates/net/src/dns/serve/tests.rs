//! The server on real sockets.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Edns, Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        Dns, DnsError, Resolvers,
        testkit::{NODE, endpoint, service, some_services, update},
        testresolver::{Manner, Resolver},
    },
    CONNECTIONS,
};

struct Running {
    dns: Arc<Dns>,
    at: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(resolvers: Vec<SocketAddr>) -> Self {
        let dns = Dns::new(NODE, Resolvers::Fixed(resolvers));
        let bound = dns.bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (at, stop) = (bound.address().unwrap(), CancellationToken::new());
        let task = tokio::spawn(bound.run(stop.clone()));
        Self { dns, at, stop, task }
    }

    async fn with_services(resolvers: Vec<SocketAddr>) -> Self {
        let running = Self::start(resolvers).await;
        running.dns.update(&update(true, some_services(), &[]));
        running
    }

    async fn udp(&self, name: &str, kind: RecordType) -> Message {
        over_udp(self.at, &question(name, kind, None)).await
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(Duration::from_secs(2), self.task).await.unwrap().unwrap();
    }
}

fn question(name: &str, kind: RecordType, edns: Option<u16>) -> Message {
    let mut message = Message::query();
    message.queries.push(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.edns = edns.map(|size| {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        edns
    });
    message
}

async fn over_udp(at: SocketAddr, question: &Message) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(at).await.unwrap();
    socket.send(&question.to_vec().unwrap()).await.unwrap();
    let mut buffer = [0; 4096];
    let n = timeout(Duration::from_secs(6), socket.recv(&mut buffer)).await.unwrap().unwrap();
    let answer = Message::from_vec(&buffer[..n]).unwrap();
    assert_eq!(answer.metadata.id, question.metadata.id);
    answer
}

async fn over_tcp(stream: &mut TcpStream, question: &Message) -> Message {
    let bytes = question.to_vec().unwrap();
    stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

fn addresses(answer: &Message) -> Vec<String> {
    let address = |data: &RData| match data {
        RData::A(a) => Some(a.to_string()),
        _ => None,
    };
    answer.answers.iter().filter_map(|record| address(&record.data)).collect()
}

#[tokio::test]
async fn an_update_is_seen_by_the_next_question() {
    let running = Running::start(Vec::new()).await;
    let name = "web.shop.svc.cluster.local.";
    assert_eq!(
        running.udp(name, RecordType::A).await.metadata.response_code,
        ResponseCode::ServFail,
        "nothing is known"
    );
    running.dns.update(&update(true, some_services(), &[]));
    let answer = running.udp(name, RecordType::A).await;
    assert!(answer.metadata.authoritative);
    assert_eq!(addresses(&answer), ["10.43.0.20"]);
    running.dns.update(&update(false, vec![service("web.shop", &["10.43.0.77"])], &[]));
    assert_eq!(addresses(&running.udp(name, RecordType::A).await), ["10.43.0.77"]);
    running.dns.update(&update(false, Vec::new(), &["web.shop"]));
    assert_eq!(running.udp(name, RecordType::A).await.metadata.response_code, ResponseCode::NXDomain);
    running.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_comes_by_tcp() {
    let running = Running::with_services(Vec::new()).await;
    let mut many = service("many.shop", &[]);
    many.endpoints = (0..300).map(|n| endpoint(&format!("10.42.{}.{}", n / 200, n % 200), None)).collect();
    running.dns.update(&update(false, vec![many], &[]));
    let name = "many.shop.svc.cluster.local.";
    for (edns, most) in [(None, 512), (Some(1232), 1232), (Some(9000), 1232)] {
        let asked = question(name, RecordType::A, edns);
        let answer = over_udp(running.at, &asked).await;
        assert!(answer.metadata.truncation);
        assert!(answer.to_vec().unwrap().len() <= most);
        assert!(!answer.answers.is_empty(), "who does not come again has some");
    }
    let mut stream = TcpStream::connect(running.at).await.unwrap();
    for kind in [RecordType::A, RecordType::SRV, RecordType::A] {
        let name = if kind == RecordType::SRV { format!("_http._tcp.{name}") } else { name.into() };
        let answer = over_tcp(&mut stream, &question(&name, kind, None)).await;
        assert!(!answer.metadata.truncation);
        assert_eq!(answer.answers.len(), 300, "{kind} over one connection");
    }
    running.stop().await;
}

#[tokio::test]
async fn other_names_are_asked_elsewhere() {
    let resolver = Resolver::start(Manner::Good).await;
    let running = Running::with_services(vec![resolver.at]).await;
    assert_eq!(addresses(&running.udp("example.org.", RecordType::A).await), ["192.0.2.1"]);
    let alias = running.udp("mail.shop.svc.cluster.local.", RecordType::A).await;
    assert_eq!(alias.answers[0].record_type(), RecordType::CNAME);
    assert_eq!(addresses(&alias), ["192.0.2.1"]);
    let mut stream = TcpStream::connect(running.at).await.unwrap();
    let over = over_tcp(&mut stream, &question("tcp.example.org.", RecordType::A, None)).await;
    assert_eq!(addresses(&over), ["192.0.2.1"]);
    assert_eq!(resolver.asked(), 3);
    assert_eq!(running.udp("example.org.", RecordType::ANY).await.metadata.response_code, ResponseCode::NotImp);
    assert_eq!(resolver.asked(), 3, "what nobody needs is not passed on");
    running.stop().await;
}

#[tokio::test]
async fn dead_resolvers_do_not_hold_up_the_clusters_names() {
    let resolver = Resolver::start(Manner::Silent).await;
    let running = Running::with_services(vec![resolver.at]).await;
    let at = running.at;
    let slow = tokio::spawn(async move { over_udp(at, &question("example.org.", RecordType::A, None)).await });
    let start = Instant::now();
    while resolver.asked() == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        running.udp("web.shop.svc.cluster.local.", RecordType::A).await;
    }
    assert!(!slow.is_finished() && start.elapsed() < Duration::from_secs(2));
    assert_eq!(slow.await.unwrap().metadata.response_code, ResponseCode::ServFail);
    running.stop().await;
}

#[tokio::test]
async fn a_client_has_its_share_of_questions_under_way() {
    let resolver = Resolver::start(Manner::Silent).await;
    let running = Running::with_services(vec![resolver.at]).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for n in 0..super::ASKING.1 + 5 {
        let asked = question(&format!("n{n}.example.org."), RecordType::A, None);
        socket.send_to(&asked.to_vec().unwrap(), running.at).await.unwrap();
    }
    let start = Instant::now();
    let mut buffer = [0; 512];
    for _ in 0..5 {
        let n = timeout(Duration::from_secs(1), socket.recv(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(Message::from_vec(&buffer[..n]).unwrap().metadata.response_code, ResponseCode::ServFail);
    }
    assert!(start.elapsed() < Duration::from_secs(1), "the surplus is told at once");
    running.stop().await;
}

#[tokio::test]
async fn connections_are_bounded_and_bad_ones_end() {
    let running = Running::with_services(Vec::new()).await;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS.1 {
        let mut stream = TcpStream::connect(running.at).await.unwrap();
        over_tcp(&mut stream, &question("web.shop.svc.cluster.local.", RecordType::A, None)).await;
        held.push(stream);
    }
    let mut surplus = TcpStream::connect(running.at).await.unwrap();
    assert_eq!(surplus.read(&mut [0; 1]).await.unwrap_or(0), 0, "one too many is closed");
    let mut large = held.pop().unwrap();
    large.write_u16(5000).await.unwrap();
    assert_eq!(large.read(&mut [0; 1]).await.unwrap_or(0), 0, "a question that is too large ends it");
    let mut broken = held.pop().unwrap();
    broken.write_all(&[0, 13, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 99]).await.unwrap();
    let mut answer = vec![0; broken.read_u16().await.unwrap().into()];
    broken.read_exact(&mut answer).await.unwrap();
    assert_eq!(Message::from_vec(&answer).unwrap().metadata.response_code, ResponseCode::FormErr);
    running.stop().await;
}

#[tokio::test]
async fn an_address_that_is_not_there_is_named() {
    let dns = Dns::new(NODE, Resolvers::Fixed(Vec::new()));
    let error = dns.bind("192.0.2.99:53".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, DnsError::Bind { .. }) && error.to_string().contains("192.0.2.99:53"), "{error}");
}

#[tokio::test]
async fn without_its_resolvers_it_answers_what_it_has_fails_the_rest_at_once_and_says_so_once() {
    let resolver = Resolver::start(Manner::Silent).await;
    let at = resolver.at;
    let running = Running::with_services(vec![at]).await;
    let mut silent = running.dns.silent();
    let code = |message: &Message| message.metadata.response_code;
    assert_eq!(code(&running.udp("a.example.", RecordType::A).await), ResponseCode::ServFail);
    let told = timeout(Duration::from_secs(5), silent.wait_for(Option::is_some)).await.unwrap().unwrap().clone();
    assert!(told.unwrap().contains(&at.to_string()));
    silent.mark_unchanged();

    // From now on nobody waits; what is the cluster's is answered as ever; and no word of it again.
    let begun = Instant::now();
    for n in 0..20 {
        let answer = running.udp(&format!("b{n}.example."), RecordType::A).await;
        assert_eq!(code(&answer), ResponseCode::ServFail);
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(running.udp("web.shop.svc.cluster.local.", RecordType::A).await.answers.len(), 1);
    assert!(!silent.has_changed().unwrap(), "told once");

    // It comes back, and is found by itself.
    drop(resolver);
    let mut back = None;
    while back.is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        back = Resolver::start_at(at, Manner::Good).await;
    }
    timeout(Duration::from_secs(5), silent.wait_for(Option::is_none)).await.unwrap().unwrap();
    assert_eq!(running.udp("a.example.", RecordType::A).await.answers.len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn one_name_that_nobody_answers_is_no_silence() {
    let resolver = Resolver::start(Manner::SilentButForRoot).await;
    let running = Running::with_services(vec![resolver.at]).await;
    let mut silent = running.dns.silent();
    assert_eq!(running.udp("a.example.", RecordType::A).await.metadata.response_code, ResponseCode::ServFail);
    // Long enough for the question whether it is there at all.
    let told = timeout(Duration::from_millis(500), silent.wait_for(Option::is_some)).await;
    assert!(told.is_err(), "it was asked and answered");
    running.stop().await;
}
