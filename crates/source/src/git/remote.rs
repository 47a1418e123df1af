//! A repository behind a network: one query of its references a poll, a fetch only when the
//! followed one moved, into a bare mirror under the data directory.
//!
//! libgit2's own time limits cannot be set without `unsafe`, so a call that hangs is given up by its
//! caller (`follow`): its thread stays until the kernel ends the connection, and no other call for
//! this source starts meanwhile.

use std::{
    fs::{self, DirBuilder},
    io::ErrorKind,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use evenkeel_model::own::GitSpec;
use git2::{
    AutotagOption, CertificateCheckStatus, Cred, CredentialType, Direction, ErrorClass, ErrorCode, FetchOptions,
    ProxyOptions, RemoteCallbacks, Repository,
};

use super::{
    Parsed, Reader, commit,
    hosts::{Verdict, look_up},
    local::{branch_not_found, tag_not_found},
};
use crate::{Read, Reason, SourceError, spec::Target, work::Progress};

/// Holds a token for https where the Source names no file.
const TOKEN_VARIABLE: &str = "EVENKEEL_GIT_TOKEN";
/// A user's name that goes with a token: forges look at the token alone, but want one.
const TOKEN_USER: &str = "x-access-token";
/// The mirror's one reference: keeps what was fetched, and says what that was.
const CURRENT: &str = "refs/evenkeel/current";
/// Packs in a mirror after which it is fetched anew: each fetch adds one, each look-up asks all.
const MAX_PACKS: usize = 200;
/// The largest credential file: a key or token has a few KiB.
const MAX_CREDENTIAL: u64 = 64 << 10;

/// How we prove who we are.
enum Auth {
    None,
    Password { user: String, password: String },
    Ssh { key: Option<PathBuf> },
}

/// What follows a remote repository.
#[derive(Debug)]
pub(crate) struct Remote {
    git: GitSpec,
    target: Target,
    mirror: PathBuf,
    last: Option<(Option<String>, String)>,
    parsed: Parsed,
}

impl Remote {
    pub(crate) fn new(git: GitSpec, target: Target, mirror: PathBuf) -> Self {
        Self { git, target, mirror, last: None, parsed: None }
    }

    /// The revision, if it moved. A mirror that is damaged is fetched anew by the next look.
    pub(crate) fn check(&mut self, reader: &Reader<'_>) -> Result<Option<Read>, SourceError> {
        let result = self.look(reader);
        if let Err(e) = &result
            && e.reason == Reason::Damaged
        {
            tracing::warn!(mirror = %self.mirror.display(), error = %e, "the mirror is fetched anew");
            remove(&self.mirror)?;
        }
        result
    }

    fn look(&mut self, reader: &Reader<'_>) -> Result<Option<Read>, SourceError> {
        if matches!(self.target, Target::Commit(_)) && self.last.is_some() {
            // It cannot move.
            return Ok(None);
        }
        let auth = Auth::of(&self.git)?;
        let hosts = known_hosts(&self.git)?;
        let link = Link { git: &self.git, auth: &auth, hosts: hosts.as_deref(), progress: reader.progress };
        let mut path = self.mirror.clone();
        let stale = packs(&path) > MAX_PACKS;
        if stale {
            path.as_mut_os_string().push(".new");
            remove(&path)?;
        }
        let mut repo = open_mirror(&path, &auth)?;
        let (label, id) = link.update(&repo, &self.target, self.last.as_ref())?;
        if self.last.as_ref().is_some_and(|(l, i)| *l == label && *i == id) && !stale {
            return Ok(None);
        }
        if stale {
            drop(repo);
            remove(&self.mirror)?;
            fs::rename(&path, &self.mirror).map_err(|e| SourceError::io("replace mirror", &self.mirror, &e))?;
            repo = open_mirror(&self.mirror, &auth)?;
        }
        let read = reader.read(&repo, &commit(&repo, &id)?, label.as_deref(), &mut self.parsed)?;
        self.last = Some((label, id));
        Ok(Some(read))
    }
}

fn packs(mirror: &Path) -> usize {
    let Ok(entries) = fs::read_dir(mirror.join("objects/pack")) else { return 0 };
    entries.flatten().filter(|e| e.path().extension().is_some_and(|x| x == "pack")).count()
}

fn remove(path: &Path) -> Result<(), SourceError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(SourceError::io("remove mirror", path, &e)),
        _ => Ok(()),
    }
}

/// Opens the mirror, or makes it: also in place of one that a crash left half made.
fn open_mirror(path: &Path, auth: &Auth) -> Result<Repository, SourceError> {
    let failed = |e: &git2::Error| {
        SourceError::new(Reason::Io, format!("cannot make mirror {}: {}", path.display(), e.message()))
    };
    let repo = match Repository::open_bare(path) {
        Ok(repo) => repo,
        Err(e) if e.code() != ErrorCode::NotFound => return Err(failed(&e)),
        Err(_) => {
            remove(path)?;
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|e| SourceError::io("make mirror", path, &e))?;
            Repository::init_bare(path).map_err(|e| failed(&e))?
        }
    };
    // With credentials a redirect to another host is refused: it would be given them.
    let follow = if matches!(auth, Auth::None) { "initial" } else { "false" };
    repo.config().and_then(|mut c| c.set_str("http.followRedirects", follow)).map_err(|e| failed(&e))?;
    Ok(repo)
}

fn credential(path: &str) -> Result<String, SourceError> {
    let failed = |e: String| SourceError::new(Reason::AuthenticationFailed, format!("cannot read {path}: {e}"));
    let length = fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
    if length > MAX_CREDENTIAL {
        return Err(failed("it is too large for a credential".into()));
    }
    let text = fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
    Ok(text.trim().to_owned())
}

impl Auth {
    fn of(git: &GitSpec) -> Result<Self, SourceError> {
        let has_file = git.token_file.is_some() || git.password_file.is_some();
        if git.url.starts_with("http://") {
            if has_file {
                let message = "credentials are not sent over http, where everybody on the way can read them: use https";
                return Err(SourceError::new(Reason::InvalidSpec, message));
            }
            return Ok(Self::None);
        }
        if !git.url.starts_with("https://") {
            return Ok(Self::Ssh { key: git.ssh_key_file.as_ref().map(PathBuf::from) });
        }
        if let Some(path) = &git.token_file {
            return Ok(Self::Password { user: TOKEN_USER.into(), password: credential(path)? });
        }
        if let Some(path) = &git.password_file {
            let text = credential(path)?;
            let (user, password) = text.split_once(':').ok_or_else(|| {
                SourceError::new(Reason::AuthenticationFailed, format!("{path} does not hold `user:password`"))
            })?;
            return Ok(Self::Password { user: user.into(), password: password.into() });
        }
        Ok(match std::env::var(TOKEN_VARIABLE) {
            Ok(token) if !token.trim().is_empty() => {
                Self::Password { user: TOKEN_USER.into(), password: token.trim().into() }
            }
            _ => Self::None,
        })
    }

    fn give(&self, user: Option<&str>, allowed: CredentialType) -> Result<Cred, git2::Error> {
        let user = user.unwrap_or("git");
        match self {
            Self::Password { user, password } if allowed.is_user_pass_plaintext() => {
                Cred::userpass_plaintext(user, password)
            }
            Self::Ssh { .. } if allowed.is_username() => Cred::username(user),
            Self::Ssh { key: Some(key) } if allowed.is_ssh_key() => Cred::ssh_key(user, None, key, None),
            Self::Ssh { key: None } if allowed.is_ssh_key() => Cred::ssh_key_from_agent(user),
            _ => Err(git2::Error::new(
                ErrorCode::Auth,
                ErrorClass::Callback,
                "the server asks for credentials, and the source has none of that kind",
            )),
        }
    }
}

fn known_hosts(git: &GitSpec) -> Result<Option<String>, SourceError> {
    let Some(path) = &git.known_hosts_file else { return Ok(None) };
    fs::read_to_string(path)
        .map(Some)
        .map_err(|e| SourceError::new(Reason::HostUntrusted, format!("cannot read {path}: {e}")))
}

/// The port of an ssh URL.
fn port(url: &str) -> u16 {
    let Some((_, rest)) = url.split_once("://") else { return 22 };
    let authority = rest.split('/').next().unwrap_or_default();
    authority.rsplit_once(':').and_then(|(_, p)| p.parse().ok()).unwrap_or(22)
}

/// As git: `http.proxy`, `https_proxy`, `no_proxy`.
fn proxy<'a>() -> ProxyOptions<'a> {
    let mut proxy = ProxyOptions::new();
    proxy.auto();
    proxy
}

/// One connection's ends.
struct Link<'a> {
    git: &'a GitSpec,
    auth: &'a Auth,
    hosts: Option<&'a str>,
    progress: &'a Progress,
}

impl Link<'_> {
    fn callbacks(&self) -> RemoteCallbacks<'_> {
        let mut callbacks = RemoteCallbacks::new();
        let mut asked = 0_u32;
        callbacks.credentials(move |_, user, allowed| {
            // libgit2 asks again for as long as the server refuses: once for the name, once for the rest.
            asked += 1;
            if asked > 2 {
                let message = "the server refused the credentials";
                return Err(git2::Error::new(ErrorCode::Auth, ErrorClass::Callback, message));
            }
            self.auth.give(user, allowed)
        });
        callbacks.certificate_check(|cert, host| {
            let (Some(hosts), Some(key)) = (self.hosts, cert.as_hostkey()) else {
                // libgit2's own answer: the system's authorities, or `~/.ssh/known_hosts`.
                return Ok(CertificateCheckStatus::CertificatePassthrough);
            };
            let refused = |why: &str| {
                let message = format!("{host}: {why}");
                Err(git2::Error::new(ErrorCode::Certificate, ErrorClass::Ssh, message))
            };
            let Some(key) = key.hostkey() else { return refused("the server showed no key") };
            match look_up(hosts, host, port(&self.git.url), key) {
                Verdict::Known => Ok(CertificateCheckStatus::CertificateOk),
                Verdict::Other => refused("the server's key is not the one in knownHostsFile"),
                Verdict::Unknown => refused("the host is not in knownHostsFile"),
                Verdict::Revoked => refused("the server's key is revoked in knownHostsFile"),
            }
        });
        callbacks.transfer_progress(|_| self.progress.beat());
        callbacks.sideband_progress(|_| self.progress.beat());
        callbacks
    }

    fn fetch(&self, remote: &mut git2::Remote<'_>, refspec: &str) -> Result<(), git2::Error> {
        let mut options = FetchOptions::new();
        options.remote_callbacks(self.callbacks()).download_tags(AutotagOption::None).update_fetchhead(false);
        options.proxy_options(proxy());
        remote.fetch(&[refspec], Some(&mut options), None)
    }

    /// Label and id of what is followed, with its objects in the mirror.
    fn update(
        &self,
        repo: &Repository,
        target: &Target,
        last: Option<&(Option<String>, String)>,
    ) -> Result<(Option<String>, String), SourceError> {
        let doing = || format!("fetch from {}", self.git.url);
        let failed = |e: git2::Error| SourceError::remote(&doing(), &e);
        if let Target::Commit(hex) = target
            && commit(repo, hex).is_ok()
        {
            return Ok((None, hex.clone()));
        }
        let mut remote = repo.remote_anonymous(&self.git.url).map_err(failed)?;
        let mut connection =
            remote.connect_auth(Direction::Fetch, Some(self.callbacks()), Some(proxy())).map_err(failed)?;
        self.progress.beat();
        let (label, name) = match target {
            Target::Commit(hex) => return self.fetch_commit(connection.remote(), repo, hex),
            Target::Branch(branch) => (branch.clone(), format!("refs/heads/{branch}")),
            Target::Tag(tag) => (tag.clone(), format!("refs/tags/{tag}")),
            Target::Default => {
                let heads = connection.list().map_err(failed)?;
                let symref = heads.iter().find(|h| h.name() == "HEAD").and_then(|h| h.symref_target());
                let name = if let Some(name) = symref {
                    name.to_owned()
                } else {
                    let empty = || branch_not_found("HEAD");
                    let name = connection.default_branch().map_err(|_| empty())?;
                    std::str::from_utf8(&name).map_err(|_| empty())?.to_owned()
                };
                (name.strip_prefix("refs/heads/").unwrap_or(&name).to_owned(), name)
            }
        };
        let listed = connection.list().map_err(failed)?;
        let Some(id) = listed.iter().find(|h| h.name() == name).map(git2::RemoteHead::oid) else {
            return Err(if matches!(target, Target::Tag(_)) {
                tag_not_found(&label)
            } else {
                branch_not_found(&label)
            });
        };
        let known = (Some(label), id.to_string());
        if last == Some(&known) && repo.find_object(id, None).is_ok() {
            return Ok(known);
        }
        if repo.refname_to_id(CURRENT).ok() == Some(id) {
            // Fetched whole before a restart.
            return Ok(known);
        }
        self.fetch(connection.remote(), &format!("+{name}:{CURRENT}")).map_err(failed)?;
        // What came may be newer than what was listed.
        let id = repo.refname_to_id(CURRENT).map_err(|e| SourceError::objects("read the mirror", &e))?;
        Ok((known.0, id.to_string()))
    }

    /// A commit that no reference needs to name. Not every server gives one by its id; then
    /// everything that references do name is fetched.
    fn fetch_commit(
        &self,
        remote: &mut git2::Remote<'_>,
        repo: &Repository,
        hex: &str,
    ) -> Result<(Option<String>, String), SourceError> {
        if self.fetch(remote, &format!("+{hex}:{CURRENT}")).is_err() || commit(repo, hex).is_err() {
            for refspec in ["+refs/heads/*:refs/evenkeel/heads/*", "+refs/tags/*:refs/evenkeel/tags/*"] {
                self.fetch(remote, refspec)
                    .map_err(|e| SourceError::remote(&format!("fetch from {}", self.git.url), &e))?;
            }
        }
        commit(repo, hex).map(|_| (None, hex.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_credentials_are_read_from_the_spec() {
        for (url, expected) in [("ssh://git@h:2222/r", 2222), ("ssh://h/r", 22), ("git@h:team/r", 22)] {
            assert_eq!(port(url), expected, "{url}");
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p");
        fs::write(&file, "me:pass:word\n").unwrap();
        let git = |url: &str| GitSpec {
            url: url.into(),
            password_file: Some(file.display().to_string()),
            ..GitSpec::default()
        };
        let Ok(Auth::Password { user, password }) = Auth::of(&git("https://h/r")) else { panic!() };
        assert_eq!((user.as_str(), password.as_str()), ("me", "pass:word"));
        assert!(Auth::of(&git("http://h/r")).is_err_and(|e| e.reason == Reason::InvalidSpec));
        fs::write(&file, "secret-without-colon").unwrap();
        let Err(error) = Auth::of(&git("https://h/r")) else { panic!() };
        assert!(!error.message.contains("secret"), "{error}");
    }

    /// Answers every request with 401; gives the `Authorization` headers that it saw.
    fn refusing_server() -> (u16, std::sync::Arc<std::sync::Mutex<Vec<String>>>) {
        use std::io::{BufRead as _, BufReader, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen_here = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let mut writer = stream.try_clone().unwrap();
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let Some((name, value)) = line.split_once(':')
                        && name.eq_ignore_ascii_case("authorization")
                    {
                        seen_here.lock().unwrap().push(value.trim().to_owned());
                    }
                    if line.is_empty() {
                        let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
                                      Content-Length: 0\r\n\r\n";
                        writer.write_all(answer.as_bytes()).unwrap();
                    }
                }
            }
        });
        (port, seen)
    }

    #[test]
    fn a_token_is_offered_and_its_refusal_ends_the_try() {
        let dir = tempfile::tempdir().unwrap();
        let (port, seen) = refusing_server();
        let git = GitSpec { url: format!("http://127.0.0.1:{port}/r.git"), ..GitSpec::default() };
        let progress = Progress::default();
        let update = |auth: Auth| {
            let repo = open_mirror(&dir.path().join("mirror"), &auth).unwrap();
            let link = Link { git: &git, auth: &auth, hosts: None, progress: &progress };
            link.update(&repo, &Target::Default, None).unwrap_err()
        };
        let error = update(Auth::None);
        assert_eq!(error.reason, Reason::AuthenticationFailed, "{error}");
        assert_eq!(seen.lock().unwrap().len(), 0);
        let error = update(Auth::Password { user: TOKEN_USER.into(), password: "hunter2".into() });
        assert_eq!(error.reason, Reason::AuthenticationFailed, "{error}");
        assert!(!error.message.contains("hunter2"), "{error}");
        let seen = seen.lock().unwrap();
        // base64 of `x-access-token:hunter2`
        assert!(!seen.is_empty() && seen.iter().all(|h| h == "Basic eC1hY2Nlc3MtdG9rZW46aHVudGVyMg=="), "{seen:?}");
    }
}
