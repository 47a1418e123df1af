//! One question for an address, as a program asks it: for the check of the network.

use std::net::{Ipv4Addr, SocketAddr};

use hickory_proto::{
    op::{Query, ResponseCode},
    rr::{Name, RData, RecordType},
};

use super::exchange::exchange;

/// The addresses of a name that a server says; an error is for people.
pub(crate) async fn addresses(server: SocketAddr, name: &str) -> Result<Vec<Ipv4Addr>, String> {
    let name = Name::from_ascii(name).map_err(|e| format!("{name} is no name: {e}"))?;
    let asked = Query::query(name, RecordType::A);
    let answer = exchange(server, &asked).await.map_err(|e| evenkeel_model::causes(&e))?;
    if answer.metadata.response_code != ResponseCode::NoError {
        return Err(format!("it answers {}", answer.metadata.response_code));
    }
    let address = |data: &RData| if let RData::A(a) = data { Some(a.0) } else { None };
    Ok(answer.answers.iter().filter_map(|record| address(&record.data)).collect())
}
