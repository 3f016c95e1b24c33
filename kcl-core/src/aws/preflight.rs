//! Checks credentials, stream and table before a worker starts. A refusal is returned at once; an
//! outage is retried.

use super::client::Clients;
use super::diagnosis::{Place, Subject, diagnose};
use super::dry_run::DryRun;
use super::dynamodb::{TableSpec, prepare_table};
use super::failure::{Cause, Failure, chain, credentials};
use super::kinesis::KinesisStream;
use super::startup_retry::retry_through_outage;
use crate::error::{Code, Error};
use crate::record::StreamRef;
use crate::shard::StreamDescription;
use aws_credential_types::provider::ProvideCredentials;
use std::time::Duration;

/// The SDK's provider chain asks container and instance services one after the other.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks that credentials are found; that the stream exists and may be described, listed and read
/// as `reading` specifies; and that the lease table exists and fits. Creates a missing table. Call
/// it on the runtime that the coordination's clients will use. Pauses between retries are drawn
/// with `seed`.
///
/// # Errors
/// [`Code::Credentials`], [`Code::Permission`], [`Code::Unreachable`], [`Code::StreamMissing`],
/// [`Code::TableUnusable`], or [`Code::Setting`] for a stream in another Region than the clients'.
pub async fn preflight(
    clients: &Clients,
    stream: &StreamRef,
    table: &TableSpec,
    reading: &DryRun,
    seed: u64,
) -> Result<StreamDescription, Error> {
    let rng = &mut fastrand::Rng::with_seed(seed);
    let outage = table.start_deadline;
    let description = describe_stream(clients, &clients.coordination_kinesis, stream, outage, rng).await?;
    check_read_permission(clients, stream, &description, reading, rng).await?;
    prepare_table(&clients.dynamodb, table, description.open_shards, rng.u64(..)).await?;
    Ok(description)
}

/// The part of [`preflight`] for a stream, through one of its clients; retries an outage for
/// `outage`.
pub(crate) async fn describe_stream(
    clients: &Clients,
    kinesis: &aws_sdk_kinesis::Client,
    stream: &StreamRef,
    outage: Duration,
    rng: &mut fastrand::Rng,
) -> Result<StreamDescription, Error> {
    let region = kinesis.config().region().map(ToString::to_string);
    same_region(stream, region.as_deref())?;
    let place = Place { region, endpoint: clients.endpoint.clone() };
    check_credentials(clients, outage, rng).await?;
    let api = KinesisStream::new(kinesis, stream.clone());
    retry_through_outage(rng, outage, || api.summary())
        .await
        .map_err(|failure| diagnose(failure, Subject::Stream(stream), &place))
}

/// The part of [`preflight`] that checks read permissions. It comes before registration, so a
/// worker that may not read never owns a shard.
///
/// # Errors
/// [`Code::Permission`], [`Code::Credentials`].
pub(crate) async fn check_read_permission(
    clients: &Clients,
    stream: &StreamRef,
    description: &StreamDescription,
    reading: &DryRun,
    rng: &mut fastrand::Rng,
) -> Result<(), Error> {
    let region = clients.kinesis.config().region().map(ToString::to_string);
    let place = Place { region, endpoint: clients.endpoint.clone() };
    let arn = &description.identity.arn;
    let checked = reading.check(&clients.kinesis, &clients.coordination_kinesis, stream, arn, rng).await;
    checked.map_err(|failure| diagnose(failure, Subject::Stream(stream), &place))
}

async fn check_credentials(clients: &Clients, outage: Duration, rng: &mut fastrand::Rng) -> Result<(), Error> {
    let Some(provider) = &clients.credentials else { return Ok(()) };
    let request = || async {
        match tokio::time::timeout(CREDENTIALS_TIMEOUT, provider.provide_credentials()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Failure::new(credentials(&error), "credentials", chain(&error))),
            Err(_) => {
                Err(Failure::new(Cause::CredentialsUnavailable, "credentials", "no provider answered within 5 s"))
            }
        }
    };
    retry_through_outage(rng, outage, request).await.map_err(|failure| {
        let message = format!(
            "no AWS credentials were found: {}; set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the \
             task, pod or instance a role",
            failure.message
        );
        Error::new(Code::Credentials, message).with_source(failure)
    })
}

/// A client always calls its own Region, whatever the ARN contains.
fn same_region(stream: &StreamRef, region: Option<&str>) -> Result<(), Error> {
    let StreamRef::Arn(arn) = stream else { return Ok(()) };
    match (arn.split(':').nth(3), region) {
        (Some(there), Some(here)) if there != here => Err(Error::new(
            Code::Setting,
            format!(
                "stream `{arn}` is in Region {there}, and the clients are configured for {here}: set the Region to {there}"
            ),
        )),
        _ => Ok(()),
    }
}
