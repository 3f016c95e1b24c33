//! `kcl handback`: a plain KCL table after a fleet that did not stop cleanly.

use std::time::Duration;

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use kcl_core::aws::{Clients, DynamoDbStore};
use kcl_core::{BootClock, Handback, HandbackOptions, HandbackProgress, handback};

use super::Error;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The lease table: the application's name, unless the setting `table_name` said otherwise.
    #[arg(value_name = "TABLE")]
    table: String,
    /// The fleet's own failover_time: a worker that is silent for so long is dead.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    failover_time: Duration,
    /// Hand the table over though keys are in quarantine, whose records the next consumer will skip.
    #[arg(long)]
    leave_quarantined: bool,
    /// Look only, and say what would be done.
    #[arg(long)]
    dry_run: bool,
}

/// Region, endpoint and credentials are found as the AWS CLI finds them.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Error> {
    let Arguments { table, failover_time, leave_quarantined, dry_run } = arguments;
    let clients = Clients::from_environment().await?;
    let store = DynamoDbStore::new(clients.dynamodb, table.clone());
    let mut options = HandbackOptions::default();
    (options.failover_time, options.leave_quarantined, options.dry_run) = (failover_time, leave_quarantined, dry_run);
    let done = handback(&store, &BootClock, &options, |progress| match progress {
        HandbackProgress::Watching { workers, within } => {
            eprintln!("watching for {within:?} whether {} lives ...", workers.join(", "));
        }
        HandbackProgress::Released { lease, owner } => eprintln!("released {lease}, which {owner} had"),
        HandbackProgress::Removed { key } => eprintln!("removed {key}"),
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
    for (what, which) in [(released, &leases), (removed, &done.removed)] {
        rows.add_row([what.to_owned(), which.len().to_string(), which.join("\n")]);
    }
    if !done.foreign.is_empty() {
        rows.add_row([
            "left to Java, which wrote them last".to_owned(),
            done.foreign.len().to_string(),
            done.foreign.join("\n"),
        ]);
    }
    if !done.parked.is_empty() {
        rows.add_row([
            "with keys in quarantine, which KCL skips".to_owned(),
            done.parked.len().to_string(),
            done.parked.join("\n"),
        ]);
    }
    let mut text = rows.to_string();
    if !done.at_sentinel.is_empty() {
        text += &format!(
            "\nStill at LATEST or AT_TIMESTAMP, where KCL starts anew and skips what arrived since: {}",
            done.at_sentinel.join(", ")
        );
    }
    let end = if dry_run { "Nothing was changed." } else { "Any KCL can go on from it." };
    format!("table {table}\n{text}\n{end}")
}
