//! Prepares the lease table: there, of the right shape, ready.

use super::attributes::name;
use crate::aws::diagnosis::{Place, Subject, explain};
use crate::aws::failure::{Cause, EMPTY, Failure};
use crate::aws::startup_retry::patiently;
use crate::error::{Code, Error};
use crate::telemetry::event::table::{TableCreated, TableTooSmall};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription, TableStatus,
    Tag,
};
use std::time::Duration;
use tokio::time::Instant;

const DESCRIBE: &str = "DescribeTable";
const CREATE: &str = "CreateTable";

/// The tag by which a table that we create names its application.
const APPLICATION_TAG: &str = "kcl-application";

/// A new on-demand table is there in seconds, at times in half a minute.
const ACTIVE_WITHIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(500);

/// What the lease table is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Its name.
    pub name: String,
    /// The application, which a table that we create is tagged with (`kcl-application`).
    pub application: String,
    /// Whether a table that we create is protected against deletion.
    pub deletion_protection: bool,
    /// More tags for a table that we create.
    pub tags: Vec<(String, String)>,
    /// Between two checkpoints of a lease: what the table must bear.
    pub checkpoint_interval: Duration,
    /// How long an outage of AWS, or throttling, is waited out.
    pub start_deadline: Duration,
}

/// Makes sure that the lease table is there and fits: creates it, on demand, when it is missing, and waits until it is
/// ready. The same for a table that a Java KCL made.
///
/// `open_shards` is what a table with provisioned throughput is measured by; too little is a warning.
///
/// # Errors
/// [`Code::TableUnusable`] for a table of another shape or state, and what [`preflight`](crate::aws::preflight) names for
/// calls that fail.
pub async fn prepare_table(
    client: &Client,
    spec: &TableSpec,
    open_shards: u32,
    rng: &mut fastrand::Rng,
) -> Result<(), Error> {
    let place = Place { region: client.config().region().map(ToString::to_string), endpoint: None };
    let explained = |failure| explain(failure, Subject::Table(&spec.name), &place);
    let deadline = Instant::now() + ACTIVE_WITHIN;
    let mut created = false;
    loop {
        let found = patiently(rng, spec.start_deadline, || describe(client, &spec.name)).await.map_err(explained)?;
        match found {
            // Just created, it may not be seen at once: describing is eventually consistent.
            None if created => {}
            None => {
                created = true;
                if patiently(rng, spec.start_deadline, || create(client, spec)).await.map_err(explained)? {
                    TableCreated { table: &spec.name, deletion_protection: spec.deletion_protection }.emit();
                }
                continue;
            }
            Some(table) => {
                check_shape(&spec.name, &table)?;
                if is_ready(&spec.name, &table)? {
                    check_throughput(spec, &table, open_shards);
                    return Ok(());
                }
            }
        }
        if Instant::now() >= deadline {
            let said = format!("it is not ACTIVE after {} s", ACTIVE_WITHIN.as_secs());
            return Err(explained(Failure::new(Cause::Busy, DESCRIBE, said)));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn describe(client: &Client, name: &str) -> Result<Option<TableDescription>, Failure> {
    match client.describe_table().table_name(name).send().await {
        Ok(answer) if answer.table.is_none() => Err(Failure::new(Cause::Unanswered, DESCRIBE, EMPTY)),
        Ok(answer) => Ok(answer.table),
        Err(error) => match Failure::of(DESCRIBE, error) {
            Failure { cause: Cause::NotFound, .. } => Ok(None),
            failure => Err(failure),
        },
    }
}

/// Whether it was we who created it: another worker may have been faster.
async fn create(client: &Client, spec: &TableSpec) -> Result<bool, Failure> {
    let unsaid = |error: BuildError| Failure::new(Cause::Request, CREATE, error.to_string());
    let key = AttributeDefinition::builder().attribute_name(name::KEY).attribute_type(ScalarAttributeType::S);
    let schema = KeySchemaElement::builder().attribute_name(name::KEY).key_type(KeyType::Hash);
    let application = (APPLICATION_TAG.to_owned(), spec.application.clone());
    let tags: Result<Vec<Tag>, BuildError> = std::iter::once(&application)
        .chain(&spec.tags)
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect();
    let sent = client
        .create_table()
        .table_name(&spec.name)
        .attribute_definitions(key.build().map_err(unsaid)?)
        .key_schema(schema.build().map_err(unsaid)?)
        .billing_mode(BillingMode::PayPerRequest)
        .set_deletion_protection_enabled(spec.deletion_protection.then_some(true))
        .set_tags(Some(tags.map_err(unsaid)?))
        .send()
        .await;
    match sent {
        Ok(_) => Ok(true),
        Err(error) => match Failure::of(CREATE, error) {
            Failure { cause: Cause::Busy, .. } => Ok(false),
            failure => Err(failure),
        },
    }
}

/// One hash key, `leaseKey`, a string: KCL's shape.
fn check_shape(table: &str, found: &TableDescription) -> Result<(), Error> {
    let keys: Vec<String> = found
        .key_schema()
        .iter()
        .map(|key| {
            let defined = found.attribute_definitions().iter().find(|a| a.attribute_name == key.attribute_name);
            let kind = defined.map_or("?", |attribute| attribute.attribute_type.as_str());
            format!("{} {} {kind}", key.key_type, key.attribute_name)
        })
        .collect();
    if keys == ["HASH leaseKey S"] {
        return Ok(());
    }
    Err(Error::new(
        Code::TableUnusable,
        format!(
            "table `{table}` is no lease table: its key is `{}`, not `HASH leaseKey S`; use another application name or \
             `table_name`, or delete the table if nothing needs it",
            keys.join(", ")
        ),
    ))
}

/// Whether rows can be read and written; an error if that is not to be expected.
fn is_ready(table: &str, found: &TableDescription) -> Result<bool, Error> {
    let status = found.table_status.as_ref().map_or("unknown", TableStatus::as_str);
    match status {
        "ACTIVE" | "UPDATING" => Ok(true),
        "CREATING" | "unknown" => Ok(false),
        _ => Err(Error::new(
            Code::TableUnusable,
            format!("table `{table}` is {status}: wait until that is over, or use another application name"),
        )),
    }
}

fn check_throughput(spec: &TableSpec, found: &TableDescription, open_shards: u32) {
    let Some(throughput) = found.provisioned_throughput.as_ref() else { return };
    let read_units = throughput.read_capacity_units.unwrap_or(0);
    let write_units = throughput.write_capacity_units.unwrap_or(0);
    // Zero in both is how on-demand tables are described.
    if read_units == 0 && write_units == 0 {
        return;
    }
    let (wanted_read_units, wanted_write_units) = wanted_units(open_shards, spec.checkpoint_interval);
    if read_units < wanted_read_units || write_units < wanted_write_units {
        TableTooSmall { table: &spec.name, read_units, write_units, wanted_read_units, wanted_write_units }.emit();
    }
}

/// Units a second: a checkpoint of each shard an interval and a few heartbeats to write; to read, the fleet row twice a second
/// for each of a few workers, and the whole table now and then.
#[allow(clippy::cast_possible_truncation, reason = "shards are thousands at most, intervals seconds")]
fn wanted_units(open_shards: u32, checkpoint_interval: Duration) -> (i64, i64) {
    let checkpoints = (f64::from(open_shards) / checkpoint_interval.as_secs_f64().max(0.1)).ceil() as i64;
    (5 + i64::from(open_shards) / 50, 2 + checkpoints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_must_bear_a_checkpoint_of_each_shard_an_interval() {
        assert_eq!(wanted_units(0, Duration::from_secs(5)), (5, 2));
        assert_eq!(wanted_units(1_000, Duration::from_secs(5)), (25, 202));
        assert_eq!(wanted_units(1_000, Duration::from_secs(60)), (25, 19));
    }
}
