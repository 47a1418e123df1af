//! The streams of this machine's containers, for the server's half.

use evenkeel_agent::driver::Streams;
use evenkeel_runtime::Docker;
use evenkeel_server::{api::Later, host::NodeAccess};
use evenkeel_wire::stream::{CallerEnd, StreamError, StreamRequest};

/// Opens streams at the agent's half, without the network between.
#[derive(Debug)]
pub(super) struct Access {
    streams: Streams<Docker>,
}

impl Access {
    pub(super) fn new(streams: Streams<Docker>) -> Self {
        Self { streams }
    }
}

impl NodeAccess for Access {
    fn open(&self, request: StreamRequest) -> Later<Result<CallerEnd, StreamError>> {
        let end = self.streams.open(request);
        Box::pin(std::future::ready(Ok(end)))
    }
}
