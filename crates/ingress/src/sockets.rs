//! What is set on every connection of TCP: small messages leave at once, and the kernel notices when
//! the other end is gone, or takes nothing any more.

use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::TcpStream;

/// A silent connection is asked for after this long.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How often it is asked, and how many answers may be missing.
const INTERVAL: Duration = Duration::from_secs(10);
const MISSING: u32 = 3;
/// A connection ends whose other end has not taken what was sent to it for this long: a client that
/// reads nothing holds neither its backend nor memory.
pub(crate) const STALLED: Duration = Duration::from_mins(1);

/// Sets it; `stalled` is how long the other end may not take what was sent to it. What the kernel refuses is
/// left as it is: the connection works without.
pub(crate) fn prepare(stream: &TcpStream, stalled: Duration) {
    let stalled = u32::try_from(stalled.as_millis()).unwrap_or(u32::MAX);
    let set = || -> rustix::io::Result<()> {
        sockopt::set_tcp_nodelay(stream, true)?;
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, KEEP_ALIVE)?;
        sockopt::set_tcp_keepintvl(stream, INTERVAL)?;
        sockopt::set_tcp_keepcnt(stream, MISSING)?;
        sockopt::set_tcp_user_timeout(stream, stalled)
    };
    if let Err(error) = set() {
        tracing::debug!(%error, "a connection's options cannot be set");
    }
}
