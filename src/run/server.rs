//! `evenkeel server`: the control half alone. Its nodes are other processes, on this machine or
//! others, that join by tokens.

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    control::{Control, ControlOptions},
    process::{End, raise_file_limit},
    terminal,
    up::END,
};

/// Runs until Ctrl-C or SIGTERM, or until the source given cannot be added.
pub(crate) async fn run(options: ControlOptions, host_name: String) -> Result<()> {
    raise_file_limit();
    let stop = CancellationToken::new();
    let mut server = Control::start(&options, &[host_name], None, stop.clone()).await?;
    if options.story {
        server.say_start(&options, None);
    }
    let mut end = End::new()?;
    let mut pending = true;
    let ended = loop {
        tokio::select! {
            () = end.asked() => break Ok(()),
            added = &mut server.added, if pending => {
                pending = false;
                if let Err(e) = added.context("adding the source").flatten() {
                    break Err(e);
                }
            }
        }
    };
    info!("stopping; containers run on");
    if options.story {
        terminal::say_server_end();
    }
    if tokio::time::timeout(END, server.end()).await.is_err() {
        warn!("some part did not end in time");
    }
    ended
}
