//! The flags of `up` and `server` for ID tokens of OpenID Connect: kube-apiserver's, with their names,
//! defaults and meaning.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use evenkeel_server::oidc::{OidcOptions, algorithms};

use super::error::hinted;

/// What was given.
#[derive(Debug, Args)]
#[command(next_help_heading = "OpenID Connect")]
#[expect(clippy::struct_field_names, reason = "they are the names of the flags")]
pub(super) struct Issuer {
    /// URL of the issuer whose ID tokens count as bearer tokens; with https:// alone
    #[arg(long, value_name = "URL")]
    oidc_issuer_url: Option<String>,
    /// Client id that tokens must be for (their `aud`)
    #[arg(long, value_name = "ID")]
    oidc_client_id: Option<String>,
    /// File with the authorities that the issuer's certificate is checked by [default: this machine's]
    #[arg(long, value_name = "FILE")]
    oidc_ca_file: Option<PathBuf>,
    /// Claim that is the user's name
    #[arg(long, value_name = "CLAIM", default_value = "sub")]
    oidc_username_claim: String,
    /// What stands before each user's name; `-` for nothing [default: the issuer's URL and `#`, or
    /// nothing where the claim is `email`]
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    oidc_username_prefix: String,
    /// Claim with the user's groups, a text or a list of texts [default: none]
    #[arg(long, value_name = "CLAIM", default_value = "", hide_default_value = true)]
    oidc_groups_claim: String,
    /// What stands before each group
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    oidc_groups_prefix: String,
    /// A claim that tokens must have, and its value; can be given several times
    #[arg(long, value_name = "CLAIM=VALUE", value_parser = claim)]
    oidc_required_claim: Vec<(String, String)>,
    /// Algorithms by which tokens may be signed
    #[arg(long, value_name = "ALG,...", value_delimiter = ',', default_value = "RS256", value_parser = algorithm)]
    oidc_signing_algs: Vec<String>,
}

fn claim(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as CLAIM=VALUE")?;
    Ok((name.trim().into(), value.trim().into()))
}

fn algorithm(text: &str) -> Result<String, String> {
    if algorithms().any(|a| a == text) {
        return Ok(text.into());
    }
    let all: Vec<&str> = algorithms().collect();
    let why = if text == "ES512" { "is not supported yet" } else { "is no algorithm for ID tokens" };
    Err(format!("{text} {why}; one of {}", all.join(", ")))
}

impl Issuer {
    /// The issuer, if there is one.
    pub(super) fn options(self) -> Result<Option<OidcOptions>> {
        match (self.oidc_issuer_url, self.oidc_client_id) {
            (Some(issuer), Some(client)) => Ok(Some(OidcOptions {
                issuer,
                client,
                ca: self.oidc_ca_file.map(std::path::absolute).transpose()?,
                username_claim: self.oidc_username_claim,
                username_prefix: self.oidc_username_prefix,
                groups_claim: self.oidc_groups_claim,
                groups_prefix: self.oidc_groups_prefix,
                required: self.oidc_required_claim.into_iter().collect(),
                algorithms: self.oidc_signing_algs,
            })),
            (None, None) => Ok(None),
            _ => Err(hinted(
                "ID tokens need both the issuer and whom they are for",
                "give --oidc-issuer-url and --oidc-client-id together, or neither",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(args_override_self = true)]
    struct Line {
        #[command(flatten)]
        given: Issuer,
    }

    fn given(words: &[&str]) -> Result<Option<OidcOptions>, String> {
        let line = Line::try_parse_from([&["x"], words].concat()).map_err(|e| e.to_string())?;
        line.given.options().map_err(|e| e.to_string())
    }

    #[test]
    fn flags_are_kubernetes() {
        assert_eq!(given(&[]), Ok(None));
        let least = ["--oidc-issuer-url=https://i.example", "--oidc-client-id=evenkeel"];
        let options = given(&least).unwrap().unwrap();
        assert_eq!((options.username_claim.as_str(), &options.algorithms[..]), ("sub", &["RS256".to_owned()][..]));
        let more = [
            "--oidc-required-claim=hd=a,b=c",
            "--oidc-required-claim=x=y",
            "--oidc-signing-algs=ES256,PS512",
            "--oidc-username-prefix",
            "-",
        ];
        let options = given(&[&least[..], &more].concat()).unwrap().unwrap();
        assert_eq!(options.required, [("hd", "a,b=c"), ("x", "y")].map(|(k, v)| (k.into(), v.into())).into());
        assert_eq!((options.algorithms.len(), options.username_prefix.as_str()), (2, "-"));
        for (wrong, why) in [
            (&least[..1], "need both"),
            (&["--oidc-signing-algs=HS256"], "no algorithm for ID tokens"),
            (&["--oidc-signing-algs=ES512"], "not supported yet"),
            (&["--oidc-required-claim=x"], "CLAIM=VALUE"),
        ] {
            let error = given(wrong).unwrap_err();
            assert!(error.contains(why), "{wrong:?}: {error}");
        }
    }
}
