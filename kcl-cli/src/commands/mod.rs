//! The subcommands, one module each.

mod handback;
mod local;
mod quarantine;

use clap::Subcommand;

/// The error of a command: a sentence for the person who typed the command.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve Kinesis and DynamoDB on this machine, until Ctrl-C or SIGTERM.
    ///
    /// Prints the environment variables that point AWS's clients to the two servers.
    #[command(after_help = "Examples:\n  kcl local --shards clicks=4\n  kcl local --tls ca.pem --throttle-reads")]
    Local(local::Arguments),
    /// Turn the table of a crashed fleet into a plain KCL table, so that a Java KCL can continue
    /// from it.
    ///
    /// A fleet that stops cleanly does this by itself. The command changes nothing if a worker of
    /// the fleet is alive.
    #[command(after_help = "Examples:\n  kcl handback clicks --dry-run\n  kcl handback clicks")]
    Handback(handback::Arguments),
    /// List the keys in quarantine, resume them, or give their records to the dead-letter sink.
    Quarantine(quarantine::Arguments),
}

impl Command {
    pub(crate) async fn run(self) -> Result<(), Error> {
        match self {
            Self::Local(arguments) => local::run(arguments).await,
            Self::Handback(arguments) => handback::run(arguments).await,
            Self::Quarantine(arguments) => quarantine::run(arguments).await,
        }
    }
}
