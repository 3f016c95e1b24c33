//! A process that the bench started: this same program in a [`Role`](crate::role::Role), which says what it has to say line by line.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use crate::Error;
use crate::role::Said;

/// No child is silent for longer while somebody listens.
const PATIENCE: Duration = Duration::from_secs(120);
/// What an orderly end may take.
const ENDING: Duration = Duration::from_secs(40);

/// A child and what it says.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    voice: Voice,
}

/// A child; killed when this is dropped. Its standard input is its leash: the child ends when that does.
#[derive(Debug)]
pub(crate) struct Process {
    process: tokio::process::Child,
    _leash: Option<ChildStdin>,
}

/// What a child says.
#[derive(Debug)]
pub(crate) struct Voice {
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
        let leash = process.stdin.take();
        let voice = Voice { lines: BufReader::new(stdout).lines(), started };
        Ok(Child { process: Process { process, _leash: leash }, voice })
    }

    /// Its process id; none once it has ended.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.process.id()
    }

    /// The next that it says, and how long after its start.
    pub(crate) async fn hear(&mut self) -> Result<(Said, Duration), Error> {
        let line = timeout(PATIENCE, self.voice.lines.next_line())
            .await
            .map_err(|_| format!("a child process said nothing for {PATIENCE:?}"))??
            .ok_or("a child process ended too early: see above for why")?;
        Ok((serde_json::from_str(&line)?, self.voice.started.elapsed()))
    }

    /// For one who listens all the time, and another who ends it.
    pub(crate) fn into_parts(self) -> (Process, Voice) {
        (self.process, self.voice)
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

impl Voice {
    /// The next that the child says, if it takes hours; nothing once it has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Said>, Error> {
        let line = self.lines.next_line().await?;
        Ok(line.map(|line| serde_json::from_str(&line)).transpose()?)
    }
}

impl Process {
    /// Kills it without a warning (SIGKILL), and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result<(), Error> {
        Ok(self.process.kill().await?)
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    pub(crate) async fn terminate(mut self) -> Result<(), Error> {
        let id = self.process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(id) = id {
            kill_process(id, Signal::TERM)?;
        }
        let status = timeout(ENDING, self.process.wait())
            .await
            .map_err(|_| format!("a child process was asked to end and has not within {ENDING:?}"))??;
        if status.success() { Ok(()) } else { Err(format!("a child process ended with {status}").into()) }
    }
}
