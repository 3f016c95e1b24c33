//! `kcl handback`: turns the table of a crashed fleet into a plain KCL table.

use std::time::Duration;

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use kcl_core::aws::{Clients, DynamoDbStore};
use kcl_core::operator::{Handback, HandbackOptions, HandbackProgress, handback};

use super::Error;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The lease table. Its name is the application's name, unless the setting `table_name` names
    /// another.
    #[arg(value_name = "TABLE")]
    table: String,
    /// The fleet's setting `failover_time`: a worker that sends no heartbeat for this long is
    /// treated as dead.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    failover_time: Duration,
    /// Hand the table over even if keys are in quarantine. The next consumer skips their records.
    #[arg(long)]
    leave_quarantined: bool,
    /// Change nothing; print the leases and rows that would change.
    #[arg(long)]
    dry_run: bool,
}

/// Region, endpoint and credentials come from the environment and AWS's configuration files, as for
/// the AWS CLI.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let Arguments { table, failover_time, leave_quarantined, dry_run } = arguments;
    let clients = Clients::from_environment().await?;
    let store = DynamoDbStore::new(clients.dynamodb, table.clone());
    let options =
        HandbackOptions::default().failover_time(failover_time).leave_quarantined(leave_quarantined).dry_run(dry_run);
    let done = handback(&store, &options, |progress| match progress {
        HandbackProgress::Watching { workers, within } => {
            eprintln!("waiting up to {within:?} for a heartbeat of {} ...", workers.join(", "));
        }
        HandbackProgress::Released { lease, owner } => eprintln!("released lease {lease} of dead worker {owner}"),
        HandbackProgress::Removed { key } => eprintln!("removed row {key}"),
        _ => {}
    });
    println!("{}", report(&table, &done.await?, dry_run));
    Ok(())
}

fn report(table: &str, done: &Handback, dry_run: bool) -> String {
    let mut rows = Table::new();
    rows.load_style(UTF8_BORDERS_ONLY);
    let (released, removed) =
        if dry_run { ("leases to release", "rows to remove") } else { ("leases released", "rows removed") };
    let leases: Vec<String> = done.released.iter().map(|(lease, owner)| format!("{lease} ({owner})")).collect();
    for (label, names) in [(released, &leases), (removed, &done.removed)] {
        rows.add_row([label.to_owned(), names.len().to_string(), names.join("\n")]);
    }
    if !done.external.is_empty() {
        rows.add_row([
            "leases left to Java, which wrote them last".to_owned(),
            done.external.len().to_string(),
            done.external.join("\n"),
        ]);
    }
    if !done.quarantined.is_empty() {
        rows.add_row([
            "leases with keys in quarantine, whose records KCL skips".to_owned(),
            done.quarantined.len().to_string(),
            done.quarantined.join("\n"),
        ]);
    }
    let mut text = rows.to_string();
    if !done.at_sentinel.is_empty() {
        text += &format!(
            "\nLeases still at LATEST or AT_TIMESTAMP (KCL starts them anew and skips the records that arrived since): {}",
            done.at_sentinel.join(", ")
        );
    }
    let end = if dry_run { "Nothing was changed." } else { "Any KCL can continue from this table." };
    format!("table {table}\n{text}\n{end}")
}
