//! A resolver that behaves as a test says, on real sockets.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use hickory_proto::{
    op::{Message, MessageType, Query, ResponseCode},
    rr::{
        Name, RData, Record,
        rdata::{A, SOA},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Answers with this address.
    Good,
    /// Says nothing.
    Silent,
    /// Says nothing but to who asks for the root.
    SilentButForRoot,
    /// Says nothing to the first question.
    Lossy,
    /// Answers over UDP that it does not fit, over TCP as it should.
    Truncating,
    /// Sends forged answers before the right one.
    Forged,
    /// Answers with this code.
    Code(ResponseCode),
    /// There is no such name, for 20 seconds.
    Missing,
    /// Does not know EDNS.
    Old,
}

/// One that runs until it is dropped.
pub(super) struct Resolver {
    pub(super) at: SocketAddr,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Resolver {
    pub(super) async fn start(manner: Manner) -> Self {
        loop {
            let at = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            if let Some(started) = Self::start_at(at, manner).await {
                return started;
            }
        }
    }

    /// At an address; `None` where somebody has it.
    pub(super) async fn start_at(at: SocketAddr, manner: Manner) -> Option<Self> {
        let (udp, tcp) = (UdpSocket::bind(at).await.ok()?, TcpListener::bind(at).await.ok()?);
        let (at, asked) = (udp.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        let count = Arc::clone(&asked);
        tasks.spawn(async move {
            let mut buffer = [0; 2048];
            loop {
                let (n, from) = udp.recv_from(&mut buffer).await.unwrap();
                let question = Message::from_vec(&buffer[..n]).unwrap();
                let nth = count.fetch_add(1, Ordering::SeqCst);
                for answer in answers(manner, &question, nth) {
                    udp.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
                }
            }
        });
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let length = stream.read_u16().await.unwrap();
                let mut question = vec![0; length.into()];
                stream.read_exact(&mut question).await.unwrap();
                let answer = good(&Message::from_vec(&question).unwrap(), [192, 0, 2, 53]).to_vec().unwrap();
                stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
        Some(Self { at, asked, _tasks: tasks })
    }

    /// Questions that came over UDP.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answers(manner: Manner, question: &Message, nth: usize) -> Vec<Message> {
    let right = good(question, [192, 0, 2, 1]);
    let with = |code| {
        let mut answer = right.clone();
        answer.answers.clear();
        answer.metadata.response_code = code;
        answer
    };
    match manner {
        Manner::Lossy if nth > 0 => vec![right],
        Manner::SilentButForRoot if question.queries[0].name.is_root() => vec![right],
        Manner::Silent | Manner::SilentButForRoot | Manner::Lossy => Vec::new(),
        Manner::Truncating => {
            let mut cut = with(ResponseCode::NoError);
            cut.metadata.truncation = true;
            vec![cut]
        }
        Manner::Forged => {
            let mut number = good(question, [6, 6, 6, 6]);
            number.metadata.id = number.metadata.id.wrapping_add(1);
            let mut name = good(question, [6, 6, 6, 6]);
            name.queries = vec![Query::query(Name::from_ascii("evil.example.").unwrap(), name.queries[0].query_type)];
            let mut asking = good(question, [6, 6, 6, 6]);
            asking.metadata.message_type = MessageType::Query;
            vec![number, name, asking, right]
        }
        Manner::Code(code) => vec![with(code)],
        Manner::Missing => {
            let mut missing = with(ResponseCode::NXDomain);
            let zone = Name::from_ascii("example.").unwrap();
            let soa = SOA::new(zone.clone(), zone.clone(), 1, 1, 1, 1, 20);
            missing.authorities.push(Record::from_rdata(zone, 20, RData::SOA(soa)));
            vec![missing]
        }
        Manner::Old if question.edns.is_some() => vec![with(ResponseCode::FormErr)],
        Manner::Good | Manner::Old => vec![right],
    }
}

fn good(question: &Message, address: [u8; 4]) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.queries = question.queries.clone();
    answer.answers.push(Record::from_rdata(question.queries[0].name.clone(), 60, RData::A(A(address.into()))));
    answer
}
