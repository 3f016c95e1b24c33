//! `kcl parked`: the keys in quarantine, and what is to become of them.

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use kcl_core::aws::{Clients, DynamoDbStore};
use kcl_core::lease::QuarantineRequest;
use kcl_core::{KeySelector, QuarantinedLease, parked, request_quarantined};

use super::Error;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The lease table: the application's name, unless the setting `table_name` said otherwise.
    #[arg(value_name = "TABLE")]
    table: String,
    /// Have this key's records handled again, in order, and then its later ones. A key, or the `position` of one of its
    /// records as log lines name it.
    #[arg(long, value_name = "KEY")]
    resume: Option<String>,
    /// The same for every key.
    #[arg(long, conflicts_with_all = ["resume", "dead_letter", "dead_letter_all"])]
    resume_all: bool,
    /// Have this key's records given to the application's dead-letter sink. An application without one refuses, and the list
    /// says so in the column `wish`. A key, or a position, as above.
    #[arg(long, value_name = "KEY", conflicts_with = "resume")]
    dead_letter: Option<String>,
    /// The same for every key.
    #[arg(long, conflicts_with_all = ["resume", "dead_letter"])]
    dead_letter_all: bool,
}

/// Region, endpoint and credentials are found as the AWS CLI finds them.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let Arguments { table, resume, resume_all, dead_letter, dead_letter_all } = arguments;
    let store = DynamoDbStore::new(Clients::from_environment().await?.dynamodb, table.clone());
    let wish = match (resume, dead_letter) {
        (Some(key), _) => Some((KeySelector::Key(key), QuarantineRequest::Resume)),
        (_, Some(key)) => Some((KeySelector::Key(key), QuarantineRequest::DeadLetter)),
        _ if resume_all => Some((KeySelector::All, QuarantineRequest::Resume)),
        _ if dead_letter_all => Some((KeySelector::All, QuarantineRequest::DeadLetter)),
        _ => None,
    };
    let Some((which, wish)) = wish else {
        println!("{}", report(&table, &parked(&store).await?));
        return Ok(());
    };
    let said = request_quarantined(&store, &which, wish).await?;
    if said.is_empty() {
        return Err(format!(
            "table `{table}` has no such key in quarantine: `kcl parked {table}` lists those there are"
        )
        .into());
    }
    println!(
        "written to {}: the owner does it at its next checkpoint, or within a minute; `kcl parked {table}` shows what is left, and \
         why where the owner refuses",
        said.join(", ")
    );
    Ok(())
}

fn report(table: &str, leases: &[QuarantinedLease]) -> String {
    if leases.is_empty() {
        return format!("table {table}: nothing is in quarantine");
    }
    let mut rows = Table::new();
    rows.load_style(UTF8_BORDERS_ONLY);
    rows.set_header(["lease", "owner", "key", "records", "first", "tried", "request", "error"]);
    for lease in leases {
        for key in &lease.keys {
            let wish = match key.wish {
                None => "",
                Some(QuarantineRequest::Resume) => "resume",
                Some(QuarantineRequest::DeadLetter) => "dead-letter",
            };
            let wish = match &key.refused {
                Some(reason) if key.wish.is_none() => format!("refused: {reason}"),
                Some(_) | None => wish.to_owned(),
            };
            rows.add_row([
                lease.lease.clone(),
                lease.owner.clone().unwrap_or_default(),
                key.key.clone().unwrap_or_default(),
                key.positions.len().to_string(),
                key.positions.first().map(ToString::to_string).unwrap_or_default(),
                key.attempts.to_string(),
                wish,
                key.error.clone(),
            ]);
        }
    }
    format!("table {table}\n{rows}")
}
