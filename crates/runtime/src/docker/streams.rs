//! What the engine sends piece by piece: events, logs, the output of commands.

use std::{collections::HashMap, time::Duration};

use bollard::{
    exec::{CreateExecOptions, StartExecResults},
    query_parameters as query,
};
use evenkeel_model::Time;
use futures_util::StreamExt as _;

use super::{Docker, READ_TIMEOUT, classify, containers::label_filters, convert, raw::Form};
use crate::{ContainerId, EventStream, ExecLimits, ExecResult, LogOptions, LogStream, Result, RuntimeError};

/// The engine ends the output a moment before it knows the exit code.
const EXIT_CODE_POLL: Duration = Duration::from_millis(10);

/// A container's standard streams.
pub(super) struct Standard {
    pub(super) form: Form,
    /// Its input ends with the first client's.
    pub(super) input_ends: bool,
    /// Its process runs.
    pub(super) runs: bool,
}

impl Docker {
    pub(super) fn event_stream(&self, selector: &[(String, String)], since: Option<Time>) -> Result<EventStream> {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), label_filters(selector)),
        ]);
        let mut options = query::EventsOptionsBuilder::new().filters(&filters);
        if let Some(at) = since {
            options = options.since(&format!("{}.{:03}", at.secs(), at.0.rem_euclid(1000)));
        }
        let client = self.client()?.clone();
        let stream = client.events(Some(options.build()));
        Ok(stream
            .filter_map(|message| async move {
                match message {
                    Ok(message) => convert::event(message).map(Ok),
                    Err(error) => Some(Err(classify::general(error))),
                }
            })
            .boxed())
    }

    /// How the engine sends a container's output.
    pub(super) async fn form(&self, id: &ContainerId) -> Result<Form> {
        self.standard(id).await.map(|standard| standard.form)
    }

    /// What a container's standard streams are.
    pub(super) async fn standard(&self, id: &ContainerId) -> Result<Standard> {
        let request = self.client()?.inspect_container(&id.0, None);
        let found = Self::within("inspect container", READ_TIMEOUT, request).await?.map_err(classify::general)?;
        let config = found.config.unwrap_or_default();
        Ok(Standard {
            form: if config.tty.unwrap_or(false) { Form::Plain } else { Form::Framed },
            input_ends: config.stdin_once.unwrap_or(false),
            runs: found.state.and_then(|state| state.running).unwrap_or(false),
        })
    }

    pub(super) async fn log_stream(&self, id: ContainerId, options: LogOptions) -> Result<LogStream> {
        let form = self.form(&id).await?;
        let tail = options.tail.map_or_else(|| "all".to_owned(), |n| n.to_string());
        let since = options.since.map(|at| format!("&since={}.{:03}", at.secs(), at.0.rem_euclid(1000)));
        let path = format!(
            "/containers/{id}/logs?stdout=true&stderr=true&follow={}&timestamps={}&tail={tail}{}",
            options.follow,
            options.timestamps,
            since.unwrap_or_default()
        );
        self.body(&path, form).await
    }

    pub(super) async fn run_exec(
        &self,
        id: ContainerId,
        command: Vec<String>,
        limits: ExecLimits,
    ) -> Result<ExecResult> {
        let client = self.client()?;
        let options = CreateExecOptions {
            cmd: Some(command),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        let mut result = ExecResult { exit_code: None, output: Vec::new(), truncated: false };
        let run = async {
            let made = Self::within("create exec", READ_TIMEOUT, client.create_exec(&id.0, options))
                .await?
                .map_err(classify::general)?;
            let started = client.start_exec(&made.id, None).await.map_err(classify::general)?;
            if let StartExecResults::Attached { mut output, .. } = started {
                while let Some(piece) = output.next().await {
                    let bytes = piece.map_err(classify::general)?.into_bytes();
                    let room = limits.max_output.saturating_sub(result.output.len());
                    result.truncated |= bytes.len() > room;
                    result.output.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
            }
            loop {
                let state = client.inspect_exec(&made.id).await.map_err(classify::general)?;
                if let (Some(false), Some(code)) = (state.running, state.exit_code) {
                    return Ok::<i64, RuntimeError>(code);
                }
                tokio::time::sleep(EXIT_CODE_POLL).await;
            }
        };
        match tokio::time::timeout(limits.timeout, run).await {
            Ok(code) => result.exit_code = Some(code?),
            Err(_) => result.exit_code = None,
        }
        Ok(result)
    }
}
