//! One order at the directory, from its account to the certificate.

use std::time::Duration;

use evenkeel_core::acme::{self, CREDENTIALS, Step, Wanted};
use evenkeel_model::Content;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use serde::{Deserialize, Serialize};

use super::{Acme, http::Http};
use crate::api::Backend as _;

/// Nodes that do not serve the answers after this are not waited for. An agent whose session was cut off, or
/// whose server started again, dials again within 15 s; who is away for longer is found silent after a while,
/// and is not waited for then.
const SPREAD: Duration = Duration::from_secs(20);
/// The directory looks at the hosts, and makes the certificate, within this.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(90));
/// What a directory says where an account is not its own.
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// What is kept of an account.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    credentials: AccountCredentials,
}

impl Acme {
    /// The chain and its key, both PEM.
    pub(super) async fn order(&mut self, want: &Wanted) -> Result<(String, String), String> {
        let account = self.account().await?;
        let hosts: Vec<Identifier> = want.hosts.iter().cloned().map(Identifier::Dns).collect();
        let ordered = account.new_order(&NewOrder::new(&hosts)).await;
        let mut order = ordered.map_err(|e| {
            if matches!(&e, Error::Api(problem) if problem.r#type.as_deref() == Some(NO_ACCOUNT)) {
                (self.account, self.forget) = (None, true);
            }
            told(&e)
        })?;
        let answers = answers(&mut order).await?;
        if !answers.is_empty() {
            self.write(Step::Answers { ingress: want.ingress.clone(), answers }).await?;
            self.until_served(want).await;
            if let Err(e) = look(&mut order).await {
                return Err(refused(&mut order).await.unwrap_or_else(|| told(&e)));
            }
        }
        match order.poll_ready(&PATIENCE).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) => {
                return Err(refused(&mut order)
                    .await
                    .unwrap_or_else(|| "the directory found the order invalid".into()));
            }
            Err(e) => return Err(refused(&mut order).await.unwrap_or_else(|| told(&e))),
        }
        let key = order.finalize().await.map_err(|e| told(&e))?;
        let chain = order.poll_certificate(&PATIENCE).await.map_err(|e| told(&e))?;
        Ok((chain, key))
    }

    /// Waits until the directory finds the answers at whichever node it asks.
    async fn until_served(&self, want: &Wanted) {
        let view = self.host.live().view();
        // One that is gone by now is served nowhere; the directory says so.
        let Some(version) = view.get(&want.ingress).map(|i| i.version) else { return };
        match self.host.until_served(version, SPREAD).await {
            Ok(after) => tracing::debug!(ingress = %want.ingress, ?after, "all nodes serve an order's answers"),
            Err(missing) => tracing::warn!(
                ingress = %want.ingress, %missing, after = ?SPREAD,
                "the directory looks for an order's answers although not all nodes are known to serve them"
            ),
        }
    }

    async fn account(&mut self) -> Result<Account, String> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        let client = || Http::new(self.options.ca.as_deref()).map(|http| Account::builder_with_http(Box::new(http)));
        let account = if let Some(credentials) = self.kept() {
            client()?.from_credentials(credentials).await.map_err(|e| told(&e))?
        } else {
            let contact: Vec<String> = self.options.email.iter().map(|e| format!("mailto:{e}")).collect();
            let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
            let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
            let directory = self.options.directory.clone();
            let made = client()?.create(&new, directory.clone(), None).await;
            let (account, credentials) = made.map_err(|e| told(&e))?;
            let kept = serde_json::to_string(&Kept { directory, credentials }).map_err(|e| e.to_string())?;
            self.write(Step::Account(kept)).await?;
            account
        };
        self.forget = false;
        Ok(self.account.insert(account).clone())
    }

    /// The account that was made at this very directory.
    fn kept(&self) -> Option<AccountCredentials> {
        let view = self.host.live().view();
        let content = Content::of_object(view.get(&acme::account()).filter(|_| !self.forget)?);
        let kept: Kept = serde_json::from_slice(content.data.get(CREDENTIALS)?).ok()?;
        (kept.directory == self.options.directory).then_some(kept.credentials)
    }
}

/// What the directory shall find; nothing where it has looked before.
async fn answers(order: &mut Order) -> Result<Vec<String>, String> {
    let mut answers = Vec::new();
    let mut all = order.authorizations();
    while let Some(authorization) = all.next().await {
        let mut authorization = authorization.map_err(|e| told(&e))?;
        let host = authorization.identifier().to_string();
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            _ => return Err(format!("the directory does not authorize {host}")),
        }
        let challenge = authorization.challenge(ChallengeType::Http01);
        let challenge = challenge.ok_or_else(|| format!("the directory offers no HTTP-01 for {host}"))?;
        answers.push(challenge.key_authorization().as_str().to_owned());
    }
    Ok(answers)
}

/// Lets the directory look.
async fn look(order: &mut Order) -> Result<(), Error> {
    let mut all = order.authorizations();
    while let Some(authorization) = all.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        if let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) {
            challenge.set_ready().await?;
        }
    }
    Ok(())
}

/// What the directory found at a host instead of the answer.
async fn refused(order: &mut Order) -> Option<String> {
    let mut all = order.authorizations();
    while let Some(authorization) = all.next().await {
        let mut authorization = authorization.ok()?;
        let host = authorization.identifier().to_string();
        let state = authorization.refresh().await.ok()?;
        if let Some(problem) = state.challenges.iter().find_map(|c| c.error.as_ref()) {
            let why = problem.detail.as_deref().or(problem.r#type.as_deref()).unwrap_or("no reason was given");
            return Some(format!("the directory looked at {host}: {why}"));
        }
    }
    None
}

/// An error for people.
fn told(error: &Error) -> String {
    match error {
        Error::Api(problem) => {
            let why = problem.detail.as_deref().or(problem.r#type.as_deref()).unwrap_or("without a reason");
            format!("the directory refused it: {why}")
        }
        other => format!("the directory: {}", evenkeel_model::causes(other)),
    }
}
