//! The flags of `up` and `server` for certificates from an ACME directory.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use clap::Args;
use evenkeel_server::acme::Options;

/// The directory that most people mean.
const LETS_ENCRYPT: (&str, &str) = ("letsencrypt", "https://acme-v02.api.letsencrypt.org/directory");
/// The same for trials: nobody trusts what it issues, and it refuses later.
const STAGING: (&str, &str) = ("letsencrypt-staging", "https://acme-staging-v02.api.letsencrypt.org/directory");
/// First wait after a failure.
const FIRST_WAIT: Duration = Duration::from_mins(1);

/// What was given of it.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Certificates")]
pub(super) struct Acme {
    /// ACME directory that Ingresses with evenkeel.dev/acme: "true" get certificates from: its URL,
    /// letsencrypt or letsencrypt-staging. Who sets it agrees to the directory's terms
    #[arg(id = "acme_directory", long = "acme-directory", value_name = "URL", value_parser = directory)]
    directory: Option<String>,
    /// Whom the directory may write to
    #[arg(id = "acme_email", long = "acme-email", value_name = "ADDRESS", requires = "acme_directory", value_parser = address)]
    email: Option<String>,
    /// PEM of the authority that vouches for a directory of one's own [default: those of the system]
    #[arg(id = "acme_ca", long = "acme-ca", value_name = "FILE", requires = "acme_directory")]
    ca: Option<PathBuf>,
}

fn directory(text: &str) -> Result<String, String> {
    for (name, url) in [LETS_ENCRYPT, STAGING] {
        if text == name {
            return Ok(url.into());
        }
    }
    let url: hyper::Uri = text.parse().map_err(|e| format!("no URL: {e}"))?;
    if url.scheme_str() != Some("https") || url.host().is_none() {
        return Err("a URL with https, letsencrypt or letsencrypt-staging".into());
    }
    Ok(text.into())
}

fn address(text: &str) -> Result<String, String> {
    let (name, host) = text.split_once('@').unwrap_or_default();
    let odd = |c: char| c.is_whitespace() || c.is_control() || "?,<>:".contains(c);
    if name.is_empty() || host.is_empty() || text.contains(odd) {
        return Err("one address, as someone@example.com".into());
    }
    Ok(text.into())
}

impl Acme {
    /// As the process takes it.
    pub(super) fn options(self) -> Result<Option<Options>> {
        let ca = self.ca.map(std::path::absolute).transpose().context("the file of --acme-ca")?;
        let email = self.email;
        Ok(self.directory.map(|directory| Options { directory, email, ca, first_wait: FIRST_WAIT }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_have_names_or_urls() {
        assert_eq!(directory("letsencrypt").unwrap(), LETS_ENCRYPT.1);
        assert!(directory("https://ca.example/acme/directory").is_ok());
        assert!(directory("http://ca.example/").is_err() && directory("zerossl").is_err());
        assert!(address("someone@shop.example").is_ok());
        assert!(["someone", "a b@c", "a@b,c@d", "@b"].into_iter().all(|a| address(a).is_err()));
    }
}
