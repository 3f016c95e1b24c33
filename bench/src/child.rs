//! Starts, reads and ends child processes: this same program in a [`Role`](crate::role::Role),
//! which prints one [`Message`] per line.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use crate::Error;
use crate::role::Message;

/// The longest time between two messages of a child.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(120);
/// The longest time of a graceful shutdown: a worker's own limit is 25 s.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(40);

/// A child process and its messages.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    messages: Messages,
}

/// A child process, killed on drop. The child also ends when its standard input closes, in case the
/// bench is killed.
#[derive(Debug)]
pub(crate) struct Process {
    process: tokio::process::Child,
    _stdin: Option<ChildStdin>,
}

/// The messages of a child process.
#[derive(Debug)]
pub(crate) struct Messages {
    lines: Lines<BufReader<ChildStdout>>,
    started: Instant,
}

impl Child {
    /// Starts this program with these arguments.
    pub(crate) fn spawn(arguments: &[String]) -> Result<Self, Error> {
        let program = std::env::current_exe()?;
        let started = Instant::now();
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().ok_or("a child process has no standard output")?;
        let stdin = process.stdin.take();
        let messages = Messages { lines: BufReader::new(stdout).lines(), started };
        Ok(Child { process: Process { process, _stdin: stdin }, messages })
    }

    /// The process id, or `None` after the process has ended.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.process.id()
    }

    /// Returns the next message, and the time from the start of the process to the message.
    pub(crate) async fn next_message(&mut self) -> Result<(Message, Duration), Error> {
        let line = timeout(MESSAGE_TIMEOUT, self.messages.lines.next_line())
            .await
            .map_err(|_| format!("a child process sent no message for {MESSAGE_TIMEOUT:?}"))??
            .ok_or("a child process ended too early; its error is above")?;
        Ok((serde_json::from_str(&line)?, self.messages.started.elapsed()))
    }

    /// Splits the child, so that one task reads the messages and another ends the process.
    pub(crate) fn into_parts(self) -> (Process, Messages) {
        (self.process, self.messages)
    }

    /// As [`Process::kill`].
    pub(crate) async fn kill(self) -> Result<(), Error> {
        self.process.kill().await
    }

    /// As [`Process::terminate`].
    pub(crate) async fn terminate(self) -> Result<(), Error> {
        self.process.terminate().await
    }
}

impl Messages {
    /// Returns the next message, without a time limit, or `None` after the process has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>, Error> {
        let line = self.lines.next_line().await?;
        Ok(line.map(|line| serde_json::from_str(&line)).transpose()?)
    }
}

impl Process {
    /// Kills the process (SIGKILL) and waits for its end.
    pub(crate) async fn kill(mut self) -> Result<(), Error> {
        Ok(self.process.kill().await?)
    }

    /// Shuts the process down (SIGTERM) and waits for its end.
    pub(crate) async fn terminate(mut self) -> Result<(), Error> {
        let id = self.process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(id) = id {
            kill_process(id, Signal::TERM)?;
        }
        let status = timeout(SHUTDOWN_TIMEOUT, self.process.wait())
            .await
            .map_err(|_| format!("a child process did not end within {SHUTDOWN_TIMEOUT:?} after SIGTERM"))??;
        if status.success() { Ok(()) } else { Err(format!("a child process ended with {status}").into()) }
    }
}
