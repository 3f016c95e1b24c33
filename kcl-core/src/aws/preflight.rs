//! What is checked before a worker starts: credentials, stream, table. A refusal is reported at once and in full; an outage
//! is waited out.

use super::client::Clients;
use super::diagnosis::{Place, Subject, explain};
use super::dry_run::DryRun;
use super::dynamodb::{TableSpec, prepare_table};
use super::failure::{Cause, Failure, chain, credentials};
use super::kinesis::KinesisStream;
use super::startup_retry::patiently;
use crate::error::{Code, Error};
use crate::record::StreamRef;
use crate::shard::StreamDescription;
use aws_credential_types::provider::ProvideCredentials;
use std::time::Duration;

/// The SDK's chain of providers asks container and instance services in turn.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks that credentials are found, that the stream is there and may be described, listed and read as `reading` says, and
/// that the lease table is there and fits, which it creates when it is missing. Call it on the runtime that the coordination's clients will live on.
///
/// # Errors
/// [`Code::Credentials`], [`Code::Permission`], [`Code::Unreachable`], [`Code::StreamMissing`], [`Code::TableUnusable`],
/// [`Code::Setting`] for a stream in another Region than the clients'.
pub async fn preflight(
    clients: &Clients,
    stream: &StreamRef,
    table: &TableSpec,
    reading: &DryRun,
    rng: &mut fastrand::Rng,
) -> Result<StreamDescription, Error> {
    let outage = table.start_deadline;
    let description = describe_stream(clients, &clients.coordination_kinesis, stream, outage, rng).await?;
    may_read(clients, stream, &description, reading, rng).await?;
    prepare_table(&clients.dynamodb, table, description.open_shards, rng).await?;
    Ok(description)
}

/// The part of [`preflight`] that concerns a stream, asked through one of its clients; an outage is waited out for so long.
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
    patiently(rng, outage, || api.summary()).await.map_err(|failure| explain(failure, Subject::Stream(stream), &place))
}

/// The part of [`preflight`] that asks for permission to read. Afterwards, a worker that may not read holds no shard.
///
/// # Errors
/// [`Code::Permission`], [`Code::Credentials`].
pub(crate) async fn may_read(
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
    checked.map_err(|failure| explain(failure, Subject::Stream(stream), &place))
}

async fn check_credentials(clients: &Clients, outage: Duration, rng: &mut fastrand::Rng) -> Result<(), Error> {
    let Some(provider) = &clients.credentials else { return Ok(()) };
    let ask = || async {
        match tokio::time::timeout(CREDENTIALS_TIMEOUT, provider.provide_credentials()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Failure::new(credentials(&error), "credentials", chain(&error))),
            Err(_) => {
                Err(Failure::new(Cause::CredentialsUnavailable, "credentials", "no provider answered within 5 s"))
            }
        }
    };
    patiently(rng, outage, ask).await.map_err(|failure| {
        let message = format!(
            "no AWS credentials were found: {}; set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the \
             task, pod or instance a role",
            failure.said
        );
        Error::new(Code::Credentials, message).because(failure)
    })
}

/// A client asks its own Region for the stream, whatever the ARN says.
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
