//! Which tokens count, whose they are, and when keys are asked for; against an issuer on the loopback.

use std::{sync::atomic::Ordering, time::SystemTime};

use serde_json::json;

use super::{testkit::Issuer, *};

fn options(issuer: &Issuer, dir: &tempfile::TempDir) -> OidcOptions {
    let ca = dir.path().join("issuer.crt");
    std::fs::write(&ca, &issuer.authority).unwrap();
    OidcOptions {
        issuer: issuer.url.clone(),
        client: "evenkeel".into(),
        ca: Some(ca),
        username_claim: "sub".into(),
        username_prefix: String::new(),
        groups_claim: "groups".into(),
        groups_prefix: "oidc:".into(),
        required: BTreeMap::new(),
        algorithms: vec!["ES256".into()],
    }
}

fn now() -> Time {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Time(i64::try_from(now.as_millis()).unwrap())
}

async fn whose(oidc: &Arc<Oidc>, token: &str) -> Result<User, String> {
    oidc.user(&oidc.claimed(token).ok_or("not of this issuer")?, now()).await
}

/// Claims with some of them changed; null takes one away.
fn with(issuer: &Issuer, changes: &Value) -> Value {
    let mut claims = issuer.claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

#[tokio::test]
async fn what_a_token_must_say() {
    let (issuer, dir) = (Issuer::start(), tempfile::tempdir().unwrap());
    let required = BTreeMap::from([("hd".into(), "example.com".into())]);
    let oidc = Arc::new(Oidc::new(OidcOptions { required, ..options(&issuer, &dir) }).unwrap());
    let at = now().0 / 1000;
    for (changes, expected) in [
        (json!({"hd": "example.com"}), ""),
        (json!({"hd": "example.com", "aud": ["other", "evenkeel"], "nbf": at + 200, "exp": 1e11}), ""),
        (json!({"hd": "example.com", "groups": null}), ""),
        (json!({}), "required claim hd not present in ID token"),
        (json!({"hd": "example.org"}), "required claim hd value does not match"),
        (json!({"hd": ["example.com"]}), "required claim hd value does not match"),
        (json!({"aud": "other"}), "expected audience \"evenkeel\" got [\"other\"]"),
        (json!({"aud": null}), "expected audience"),
        (json!({"exp": at - 1}), "token is expired"),
        (json!({"exp": null}), "it does not say when it ends"),
        (json!({"exp": "never"}), "it does not say when it ends"),
        (json!({"nbf": at + 400}), "before the nbf (not before) time"),
        (json!({"nbf": "later"}), "its `nbf` is no time"),
        (json!({"iss": "https://other.example"}), "not of this issuer"),
        (json!({"iss": null}), "not of this issuer"),
        (json!({"hd": "example.com", "sub": 7}), "its claim \"sub\" is no user's name"),
        (json!({"hd": "example.com", "sub": ""}), "its claim \"sub\" is no user's name"),
        (json!({"hd": "example.com", "groups": {"a": 1}}), "its claim \"groups\" is no list of groups"),
        (json!({"hd": "example.com", "groups": ["a", 1]}), "its claim \"groups\" is no list of groups"),
    ] {
        let said = whose(&oidc, &issuer.sign(&with(&issuer, &changes))).await;
        match (&said, expected) {
            (Ok(_), "") => {}
            (Err(why), expected) if !expected.is_empty() && why.contains(expected) => {}
            _ => panic!("{changes}: {said:?}"),
        }
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1, "keys are asked for once");
}

#[tokio::test]
async fn how_a_token_must_be_signed() {
    let (issuer, dir) = (Issuer::start(), tempfile::tempdir().unwrap());
    let oidc = Arc::new(Oidc::new(options(&issuer, &dir)).unwrap());
    let claims = issuer.claims();
    // Without an id of its key, each may be the one.
    whose(&oidc, &issuer.sign_as(&json!({"alg": "ES256"}), &claims)).await.unwrap();
    for alg in ["none", "HS256", "ES384", "RS256", ""] {
        let why = whose(&oidc, &issuer.sign_as(&json!({"alg": alg, "kid": "one"}), &claims)).await.unwrap_err();
        assert!(why.contains("are not taken"), "{alg}: {why}");
    }
    let good = issuer.sign(&claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let head = signed.split_once('.').unwrap().0;
    let other = BASE64.encode(with(&issuer, &json!({"sub": "root"})).to_string());
    for (token, expected) in [
        (format!("{head}.{other}.{signature}"), "its signature is wrong"),
        (format!("{signed}."), "its signature is wrong"),
        (format!("{signed}.{}", &signature[2..]), "its signature is wrong"),
        (signed.to_owned(), "not of this issuer"),
        (format!("{signed}.!"), "not of this issuer"),
        (format!("!.{other}.{signature}"), "not of this issuer"),
        ("x".repeat(MOST + 1), "not of this issuer"),
    ] {
        assert_eq!(whose(&oidc, &token).await, Err(expected.to_owned()), "{token}");
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1, "what is wrong asks for no keys again so soon");
}

#[tokio::test]
async fn names_and_groups() {
    let (issuer, dir) = (Issuer::start(), tempfile::tempdir().unwrap());
    let own = options(&issuer, &dir);
    let user = async |options: OidcOptions, changes: Value| {
        whose(&Arc::new(Oidc::new(options).unwrap()), &issuer.sign(&with(&issuer, &changes))).await
    };
    let shown = user(own.clone(), json!({"groups": ["dev", "ops"], "jti": "7"})).await.unwrap();
    let extra = [("authentication.kubernetes.io/credential-id".to_owned(), vec!["JTI=7".to_owned()])];
    assert_eq!(
        shown,
        User {
            name: format!("{}#an", issuer.url),
            groups: vec!["oidc:dev".into(), "oidc:ops".into()],
            extra: extra.into(),
            uid: String::new()
        }
    );
    assert_eq!(user(own.clone(), json!({"groups": "dev"})).await.unwrap().groups, ["oidc:dev"]);
    let named = |claim: &str, prefix: &str| OidcOptions {
        username_claim: claim.into(),
        username_prefix: prefix.into(),
        ..own.clone()
    };
    let mail = json!({"email": "an@example.com"});
    assert_eq!(user(named("sub", "-"), json!({})).await.unwrap().name, "an");
    assert_eq!(user(named("sub", "x:"), json!({})).await.unwrap().name, "x:an");
    assert_eq!(user(named("email", ""), mail.clone()).await.unwrap().name, "an@example.com");
    let verified = |value: Value| json!({"email": "an@example.com", "email_verified": value});
    user(named("email", ""), verified(true.into())).await.unwrap();
    assert_eq!(user(named("email", ""), verified(false.into())).await, Err("email not verified".into()));
    user(named("email", ""), verified("true".into())).await.unwrap_err();
    user(named("email", ""), json!({})).await.unwrap_err();
    // Without a claim for groups there are none; a node is nobody by it.
    let none = OidcOptions { groups_claim: String::new(), ..own.clone() };
    assert!(user(none, json!({"groups": ["dev"]})).await.unwrap().groups.is_empty());
    let bare = OidcOptions { groups_prefix: String::new(), ..own.clone() };
    user(bare, json!({"groups": [NODES]})).await.unwrap_err();
}

#[tokio::test]
async fn an_issuer_that_is_away_takes_nothing_that_is_known() {
    let (issuer, dir) = (Issuer::start(), tempfile::tempdir().unwrap());
    let oidc = Arc::new(Oidc::new(options(&issuer, &dir)).unwrap());
    issuer.away.store(true, Ordering::SeqCst);
    let token = issuer.sign(&issuer.claims());
    let unknown = "the issuer's keys are not known yet";
    assert_eq!(whose(&oidc, &token).await, Err(unknown.into()));
    issuer.away.store(false, Ordering::SeqCst);
    assert_eq!(whose(&oidc, &token).await, Err(unknown.into()), "not so soon again");
    let long_ago = || Instant::now().checked_sub(REFETCH);
    *oidc.asked.lock().await = long_ago();
    whose(&oidc, &token).await.unwrap();
    // Away again: what is known counts, another key does not.
    issuer.away.store(true, Ordering::SeqCst);
    whose(&oidc, &token).await.unwrap();
    issuer.rotate("two");
    let other = issuer.sign(&issuer.claims());
    *oidc.asked.lock().await = long_ago();
    assert_eq!(whose(&oidc, &other).await, Err("its signature is wrong".into()));
    whose(&oidc, &token).await.unwrap();
    // Back: the new key is fetched because a token names it, and the old one ends with that.
    issuer.away.store(false, Ordering::SeqCst);
    *oidc.asked.lock().await = long_ago();
    whose(&oidc, &other).await.unwrap();
    assert_eq!(whose(&oidc, &token).await, Err("its signature is wrong".into()));
    // Many at once ask once.
    let before = issuer.asked.load(Ordering::SeqCst);
    issuer.rotate("three");
    *oidc.asked.lock().await = long_ago();
    let token = issuer.sign(&issuer.claims());
    let all: Vec<_> = (0..20)
        .map(|_| {
            let (oidc, token) = (oidc.clone(), token.clone());
            tokio::spawn(async move { whose(&oidc, &token).await })
        })
        .collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), before + 1);
}

#[tokio::test]
async fn settings_that_cannot_be() {
    let (issuer, dir) = (Issuer::start(), tempfile::tempdir().unwrap());
    let own = options(&issuer, &dir);
    for url in ["http://i.example", "https://i.example?x=1", "https://i.example#x", "i.example", "https://", ISSUER] {
        assert!(Oidc::new(OidcOptions { issuer: url.into(), ..own.clone() }).is_err(), "{url}");
    }
    let nothing = dir.path().join("nothing");
    let untold = |ca| Oidc::new(OidcOptions { ca, ..own.clone() });
    assert!(untold(Some(nothing.clone())).is_err());
    std::fs::write(&nothing, "").unwrap();
    assert!(untold(Some(nothing)).is_err());
    // An authority that did not sign its certificate, and a document that is another's.
    let stranger = dir.path().join("stranger.crt");
    std::fs::write(&stranger, Issuer::start().authority).unwrap();
    let why = untold(Some(stranger)).unwrap().fetch.keys(&issuer.url).await.unwrap_err();
    assert!(why.contains("certificate"), "{why}");
    let why = untold(own.ca.clone()).unwrap().fetch.keys(&format!("{}/", issuer.url)).await.unwrap_err();
    assert!(why.contains("is of the issuer"), "{why}");
}

/// RFC 7515, A.2: an algorithm whose keys `ring` does not make.
#[test]
fn rsa() {
    let set = json!({"keys": [{"kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]});
    let signed = b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = BASE64.decode("cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw").unwrap();
    let keys = PublicKey::of_set(set.to_string().as_bytes()).unwrap();
    let [key] = &keys[..] else { panic!("{keys:?}") };
    assert!(key.signed("RS256", signed, &signature));
    for other in ["RS384", "PS256", "ES256", "HS256", "none"] {
        assert!(!key.signed(other, signed, &signature), "{other}");
    }
    assert!(!key.signed("RS256", &signed[1..], &signature));
    assert!(PublicKey::of_set(b"[]").is_err());
}
