//! The subcommands, one module each.

mod handback;
mod local;
mod parked;

use clap::Subcommand;

/// What a command fails with: a sentence for whoever typed it.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve Kinesis and DynamoDB on this machine, until Ctrl-C or SIGTERM.
    Local(local::Arguments),
    /// Leave a plain KCL table after a fleet that crashed, so that a Java KCL can go on from it.
    Handback(handback::Arguments),
    /// Show the keys in quarantine, and say what is to become of them.
    Parked(parked::Arguments),
}

impl Command {
    pub(crate) async fn run(self) -> Result<(), Error> {
        match self {
            Self::Local(arguments) => local::run(arguments).await,
            Self::Handback(arguments) => handback::run(arguments).await,
            Self::Parked(arguments) => parked::run(arguments).await,
        }
    }
}
