//! Prepares the lease table: creates it if missing, checks its key schema, and waits until it is
//! active.

use super::attributes::name;
use crate::aws::diagnosis::{Place, Subject, diagnose};
use crate::aws::event::{TableCreated, TableTooSmall};
use crate::aws::failure::{Cause, EMPTY, Failure};
use crate::aws::startup_retry::retry_through_outage;
use crate::error::{Code, Error};
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

/// The tag of a created table that names its application.
const APPLICATION_TAG: &str = "kcl-application";

/// A new on-demand table is active after seconds, sometimes half a minute.
const ACTIVE_WITHIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(500);

/// The required properties of the lease table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Its name.
    pub name: String,
    /// The application, the value of the tag `kcl-application` of a created table.
    pub application: String,
    /// True if a created table is protected against deletion.
    pub deletion_protection: bool,
    /// Further tags of a created table.
    pub tags: Vec<(String, String)>,
    /// The interval between two checkpoints of a lease, which determines the required throughput.
    pub checkpoint_interval: Duration,
    /// How long an outage of AWS or throttling is retried.
    pub start_deadline: Duration,
}

/// Makes sure that the lease table exists, fits and is active. Creates a missing table with
/// on-demand capacity. Accepts a table that Java KCL created.
///
/// `open_shards` determines the required throughput of a provisioned table; too little is logged as
/// a warning. Pauses between retries are drawn with `seed`.
///
/// # Errors
/// [`Code::TableUnusable`] for a table with another key schema or in an unusable state, and the
/// errors of [`preflight`](crate::aws::preflight) for calls that fail.
pub async fn prepare_table(client: &Client, spec: &TableSpec, open_shards: u32, seed: u64) -> Result<(), Error> {
    let rng = &mut fastrand::Rng::with_seed(seed);
    let place = Place { region: client.config().region().map(ToString::to_string), endpoint: None };
    let diagnosed = |failure| diagnose(failure, Subject::Table(&spec.name), &place);
    let deadline = Instant::now() + ACTIVE_WITHIN;
    let mut created = false;
    loop {
        let found =
            retry_through_outage(rng, spec.start_deadline, || describe(client, &spec.name)).await.map_err(diagnosed)?;
        match found {
            // DescribeTable is eventually consistent: it may not return a table that was just
            // created.
            None if created => {}
            None => {
                created = true;
                if retry_through_outage(rng, spec.start_deadline, || create(client, spec)).await.map_err(diagnosed)? {
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
            let message = format!("it is not ACTIVE after {} s", ACTIVE_WITHIN.as_secs());
            return Err(diagnosed(Failure::new(Cause::Busy, DESCRIBE, message)));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn describe(client: &Client, name: &str) -> Result<Option<TableDescription>, Failure> {
    match client.describe_table().table_name(name).send().await {
        Ok(response) if response.table.is_none() => Err(Failure::new(Cause::Unanswered, DESCRIBE, EMPTY)),
        Ok(response) => Ok(response.table),
        Err(error) => match Failure::of(DESCRIBE, error) {
            Failure { cause: Cause::NotFound, .. } => Ok(None),
            failure => Err(failure),
        },
    }
}

/// Returns true if this call created the table, false if another worker was faster.
async fn create(client: &Client, spec: &TableSpec) -> Result<bool, Failure> {
    let invalid = |error: BuildError| Failure::new(Cause::Request, CREATE, error.to_string());
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
        .attribute_definitions(key.build().map_err(invalid)?)
        .key_schema(schema.build().map_err(invalid)?)
        .billing_mode(BillingMode::PayPerRequest)
        .set_deletion_protection_enabled(spec.deletion_protection.then_some(true))
        .set_tags(Some(tags.map_err(invalid)?))
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

/// Checks for KCL's schema: one hash key, `leaseKey`, a string.
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
            "table `{table}` is not a lease table: its key is `{}`, not `HASH leaseKey S`; use another application name or \
             `table_name`, or delete the table if nothing needs it",
            keys.join(", ")
        ),
    ))
}

/// Returns true if rows can be read and written; an error if waiting would not help.
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
    // DescribeTable returns zero for both on an on-demand table.
    if read_units == 0 && write_units == 0 {
        return;
    }
    let (wanted_read_units, wanted_write_units) = wanted_units(open_shards, spec.checkpoint_interval);
    if read_units < wanted_read_units || write_units < wanted_write_units {
        TableTooSmall { table: &spec.name, read_units, write_units, wanted_read_units, wanted_write_units }.emit();
    }
}

/// Returns the required read and write units per second. Writes: a checkpoint of each shard per
/// interval, and some heartbeats. Reads: the fleet row twice a second for each of a few workers,
/// and sometimes the whole table.
#[allow(clippy::cast_possible_truncation, reason = "shards are thousands at most, intervals seconds")]
fn wanted_units(open_shards: u32, checkpoint_interval: Duration) -> (i64, i64) {
    let checkpoints = (f64::from(open_shards) / checkpoint_interval.as_secs_f64().max(0.1)).ceil() as i64;
    (5 + i64::from(open_shards) / 50, 2 + checkpoints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_units_include_a_checkpoint_of_each_shard_per_interval() {
        assert_eq!(wanted_units(0, Duration::from_secs(5)), (5, 2));
        assert_eq!(wanted_units(1_000, Duration::from_secs(5)), (25, 202));
        assert_eq!(wanted_units(1_000, Duration::from_secs(60)), (25, 19));
    }
}
