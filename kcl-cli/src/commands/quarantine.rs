//! `kcl quarantine`: lists the keys in quarantine, resumes them, or gives their records to the
//! dead-letter sink.

use clap::{Args, Subcommand};
use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use kcl_core::aws::{Clients, DynamoDbStore};
use kcl_core::operator::quarantine::{self, KeySelector, QuarantineRequest, QuarantinedLease};

use super::Error;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the keys in quarantine: lease, owner, number of records, attempts, last error, pending
    /// request.
    #[command(after_help = "Example:\n  kcl quarantine list clicks")]
    List {
        #[command(flatten)]
        table: LeaseTable,
    },
    /// Process the records of a key again, in order, and then the key's later records.
    #[command(
        override_usage = "kcl quarantine resume <TABLE> <KEY|--all>",
        after_help = "Examples:\n  kcl quarantine resume clicks customer-17\n  kcl quarantine resume clicks --all"
    )]
    Resume {
        #[command(flatten)]
        table: LeaseTable,
        #[command(flatten)]
        keys: Keys,
    },
    /// Give the records of a key to the application's dead-letter sink, and then process the key's
    /// later records.
    ///
    /// An application without a dead-letter sink refuses the request; `kcl quarantine list` then
    /// shows the refusal.
    #[command(
        override_usage = "kcl quarantine dead-letter <TABLE> <KEY|--all>",
        after_help = "Examples:\n  kcl quarantine dead-letter clicks customer-17\n  kcl quarantine dead-letter clicks --all"
    )]
    DeadLetter {
        #[command(flatten)]
        table: LeaseTable,
        #[command(flatten)]
        keys: Keys,
    },
}

#[derive(Debug, Args)]
struct LeaseTable {
    /// The lease table. Its name is the application's name, unless the setting `table_name` names
    /// another.
    #[arg(value_name = "TABLE")]
    name: String,
}

/// Either one key or all of them: an operator never resumes everything by leaving an argument out.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Keys {
    /// A partition key, or the `position` of one of its records as log lines show it.
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// All keys in quarantine, of all leases.
    #[arg(long)]
    all: bool,
}

impl From<Keys> for KeySelector {
    fn from(keys: Keys) -> Self {
        keys.key.map_or(KeySelector::All, KeySelector::Key)
    }
}

/// Region, endpoint and credentials come from the environment and AWS's configuration files, as for
/// the AWS CLI.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let text = match arguments.action {
        Action::List { table } => list(&table.name).await?,
        Action::Resume { table, keys } => request(&table.name, &keys.into(), QuarantineRequest::Resume).await?,
        Action::DeadLetter { table, keys } => request(&table.name, &keys.into(), QuarantineRequest::DeadLetter).await?,
    };
    println!("{text}");
    Ok(())
}

async fn store(table: &str) -> Result<DynamoDbStore, Error> {
    Ok(DynamoDbStore::new(Clients::from_environment().await?.dynamodb, table.to_owned()))
}

async fn list(table: &str) -> Result<String, Error> {
    Ok(report(table, &quarantine::list(&store(table).await?).await?))
}

/// Writes the request to the rows of the leases. Their owners carry it out.
async fn request(table: &str, keys: &KeySelector, request: QuarantineRequest) -> Result<String, Error> {
    let store = store(table).await?;
    let leases = match request {
        QuarantineRequest::Resume => quarantine::resume(&store, keys).await?,
        QuarantineRequest::DeadLetter => quarantine::dead_letter(&store, keys).await?,
        other => return Err(format!("this version of `kcl` does not know the request {other:?}").into()),
    };
    if leases.is_empty() {
        let which = match keys {
            KeySelector::Key(key) => format!("key `{key}` is not in quarantine"),
            KeySelector::All | _ => "no key is in quarantine".to_owned(),
        };
        return Err(format!("table `{table}`: {which}; `kcl quarantine list {table}` shows the keys that are").into());
    }
    Ok(format!(
        "requested {} for {}; the owner of each lease applies it at its next checkpoint, within a minute. `kcl quarantine list {table}` \
         shows the remaining keys, and the reason if the owner refuses",
        name(request),
        leases.join(", ")
    ))
}

fn name(request: QuarantineRequest) -> &'static str {
    match request {
        QuarantineRequest::Resume => "resume",
        QuarantineRequest::DeadLetter => "dead-letter",
        _ => "unknown",
    }
}

fn report(table: &str, leases: &[QuarantinedLease]) -> String {
    if leases.is_empty() {
        return format!("table {table}: no key is in quarantine");
    }
    let mut rows = Table::new();
    rows.load_style(UTF8_BORDERS_ONLY);
    rows.set_header(["lease", "owner", "key", "records", "first record", "attempts", "request", "last error"]);
    for lease in leases {
        for key in &lease.keys {
            let request = match (key.request, &key.refused) {
                (Some(request), _) => name(request).to_owned(),
                (None, Some(reason)) => format!("refused: {reason}"),
                (None, None) => String::new(),
            };
            rows.add_row([
                lease.lease.clone(),
                lease.owner.clone().unwrap_or_default(),
                key.key.clone().unwrap_or_default(),
                key.records.len().to_string(),
                key.records.first().map(ToString::to_string).unwrap_or_default(),
                key.attempts.to_string(),
                request,
                key.error.clone(),
            ]);
        }
    }
    format!("table {table}\n{rows}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn keys(arguments: &[&str]) -> Result<KeySelector, clap::Error> {
        let arguments = ["quarantine"].iter().chain(arguments);
        match Command::try_parse_from(arguments)?.arguments.action {
            Action::Resume { keys, .. } | Action::DeadLetter { keys, .. } => Ok(keys.into()),
            Action::List { .. } => panic!("list selects no keys"),
        }
    }

    #[test]
    fn a_request_names_one_key_or_all_of_them() {
        for action in ["resume", "dead-letter"] {
            assert_eq!(keys(&[action, "clicks", "customer-17"]).unwrap(), KeySelector::Key("customer-17".to_owned()));
            assert_eq!(keys(&[action, "clicks", "--all"]).unwrap(), KeySelector::All);
            assert!(keys(&[action, "clicks"]).is_err(), "{action} without a key");
            assert!(keys(&[action, "clicks", "customer-17", "--all"]).is_err(), "{action} with a key and --all");
        }
    }
}
