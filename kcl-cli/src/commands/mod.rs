//! The subcommands, one module each.

mod local;

use clap::Subcommand;

/// What a command fails with: a sentence for whoever typed it.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve Kinesis and DynamoDB on this machine, until Ctrl-C or SIGTERM.
    Local(local::Arguments),
}

impl Command {
    pub(crate) async fn run(self) -> Result<(), Error> {
        match self {
            Self::Local(arguments) => local::run(arguments).await,
        }
    }
}
