//! When a certificate is to be renewed: when two thirds of its life are over, or at once where it has not all
//! names. Pure.

use std::{collections::BTreeSet, time::Duration};

use evenkeel_model::Time;
use ring::digest::{SHA256, digest};
use x509_parser::{
    extensions::GeneralName,
    pem::{Pem, parse_x509_pem},
};

/// At most this part of its life later, so that those that came together do not go together.
const SPREAD: u32 = 20;

fn first(chain: &str) -> Option<Pem> {
    Some(parse_x509_pem(chain.as_bytes()).ok()?.1)
}

/// From when until when a certificate is good.
pub(super) fn life(chain: &str) -> Option<(Time, Time)> {
    let pem = first(chain)?;
    let validity = &pem.parse_x509().ok()?.tbs_certificate.validity;
    Some((Time::from_secs(validity.not_before.timestamp()), Time::from_secs(validity.not_after.timestamp())))
}

/// When a new one is asked for; `None`: now, because it is of no use.
pub(super) fn due(chain: &str, hosts: &BTreeSet<String>) -> Option<Time> {
    let pem = first(chain)?;
    let certificate = pem.parse_x509().ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let has = |host: &String| {
        names
            .value
            .general_names
            .iter()
            .any(|n| matches!(n, GeneralName::DNSName(name) if name.eq_ignore_ascii_case(host)))
    };
    if !hosts.iter().all(has) {
        return None;
    }
    let (begin, end) = life(chain)?;
    let life = end.since(begin);
    // The same at each look.
    let chance = digest(&SHA256, &pem.contents).as_ref().first().copied().unwrap_or_default();
    let later: Duration = life / SPREAD * u32::from(chance) / 255;
    Some(begin + life * 2 / 3 + later)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(hosts: &[&str]) -> String {
        let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 4, 1));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn hosts(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life_and_a_bit() {
        let chain = certificate(&["a.example", "b.example"]);
        let at = due(&chain, &hosts(&["a.example"])).unwrap();
        let (begin, end) = life(&chain).unwrap();
        assert_eq!((end.since(begin).as_secs()) / 86_400, 90);
        let days = at.since(begin).as_secs_f64() / 86_400.0;
        assert!((60.0..=64.5).contains(&days), "{days}");
        assert_eq!(due(&chain, &hosts(&["a.example"])), Some(at), "the same each time");
    }

    #[test]
    fn one_of_no_use_is_renewed_at_once() {
        assert_eq!(due(&certificate(&["a.example"]), &hosts(&["a.example", "c.example"])), None);
        assert_eq!(due("no certificate", &hosts(&["a.example"])), None);
    }
}
