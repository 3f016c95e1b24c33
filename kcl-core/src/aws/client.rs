//! Builds the SDK clients of a worker: the caller's for reading, separate ones for coordination.

use super::response_limit::ResponseLimit;
use crate::error::{Code, Error};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::BehaviorVersion;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use std::time::Duration;

/// The SDK behaviour version that this library was tested with.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// A heartbeat is due four times per failover time. A stalled one must time out early enough for
/// the next one to arrive in time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// The timeout of a call if the caller's client has none. The SDK sets none itself, and a silently
/// broken connection or an endless body would block a shard forever. A full response has 10 MB.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Returns the given timeouts, with an attempt timeout if there is none. It includes reading the
/// response.
pub(super) fn with_deadline(given: Option<&TimeoutConfig>) -> TimeoutConfig {
    match given {
        Some(given) if given.operation_attempt_timeout().is_some() || given.operation_timeout().is_some() => {
            given.clone()
        }
        Some(given) => given.to_builder().operation_attempt_timeout(CALL_TIMEOUT).build(),
        None => TimeoutConfig::builder().operation_attempt_timeout(CALL_TIMEOUT).build(),
    }
}

/// The clients of a worker.
///
/// Connections live on the runtime that first uses them. If coordination has a runtime of its own,
/// create its clients for it alone, and do not use them elsewhere.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Clients {
    /// Reads the stream, as the caller configured it.
    pub kinesis: aws_sdk_kinesis::Client,
    /// Lists and describes streams for the coordination.
    pub coordination_kinesis: aws_sdk_kinesis::Client,
    /// Reads and writes the lease table.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The endpoint that is configured for all services, for error messages.
    pub(super) endpoint: Option<String>,
    /// The credentials provider, if known.
    pub(super) credentials: Option<SharedCredentialsProvider>,
}

impl Clients {
    /// Creates clients from one configuration: `aws_config`'s, or any other.
    ///
    /// The reading client uses the configuration unchanged. The coordination clients use its
    /// Region, endpoints, credentials provider and clocks, and its HTTP client if it has one (for
    /// TLS roots and proxies); otherwise they have their own connections. They have their own
    /// identity cache, no retries, and timeouts of 1 s to connect and 2 s per call.
    ///
    /// # Errors
    /// [`Code::Region`] if the configuration has no Region.
    pub fn from_config(config: &SdkConfig) -> Result<Self, Error> {
        if config.region().is_none() {
            return Err(no_region());
        }
        let mut reading = config.to_builder();
        reading.set_behavior_version(Some(config.behavior_version().unwrap_or_else(behavior)));
        let (kinesis, coordination) = (reading.build(), coordination(config));
        Ok(Clients {
            kinesis: aws_sdk_kinesis::Client::new(&kinesis),
            coordination_kinesis: aws_sdk_kinesis::Client::new(&coordination),
            dynamodb: limited(aws_sdk_dynamodb::config::Builder::from(&coordination)),
            endpoint: config.endpoint_url().map(str::to_owned),
            credentials: config.credentials_provider(),
        })
    }

    /// Creates clients from what `aws_config` finds: environment, profile, container, instance.
    ///
    /// # Errors
    /// [`Code::Region`] if none of these sets a Region.
    pub async fn from_environment() -> Result<Self, Error> {
        Self::from_config(&aws_config::defaults(behavior()).load().await)
    }

    /// Uses the caller's own clients, but limits the size of responses and adds a timeout of 15 s
    /// per call to clients without one. The coordination clients should have no retries, and
    /// timeouts well below a quarter of the failover time.
    #[must_use]
    pub fn given(
        kinesis: aws_sdk_kinesis::Client,
        coordination_kinesis: aws_sdk_kinesis::Client,
        dynamodb: aws_sdk_dynamodb::Client,
    ) -> Self {
        let config = dynamodb.config();
        let dynamodb = limited(config.to_builder().timeout_config(with_deadline(config.timeout_config())));
        Clients { kinesis, coordination_kinesis, dynamodb, endpoint: None, credentials: None }
    }
}

impl Clients {
    /// Returns the same clients with other Kinesis clients, for one stream.
    pub(crate) fn with_kinesis(
        &self,
        kinesis: aws_sdk_kinesis::Client,
        coordination_kinesis: aws_sdk_kinesis::Client,
    ) -> Self {
        Clients { kinesis, coordination_kinesis, dynamodb: self.dynamodb.clone(), endpoint: None, credentials: None }
    }
}

/// Builds a client whose responses are limited in size. Those of Kinesis are limited by
/// [`KinesisStream`](super::KinesisStream).
fn limited(config: aws_sdk_dynamodb::config::Builder) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::from_conf(config.interceptor(ResponseLimit).build())
}

/// Derives the coordination's configuration.
fn coordination(config: &SdkConfig) -> SdkConfig {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    // Start from the caller's configuration: endpoints of single services, as set by environment or
    // profile, can only be kept, not read.
    let mut own = config.to_builder();
    own.set_behavior_version(Some(behavior()))
        .set_retry_config(Some(RetryConfig::disabled()))
        .set_timeout_config(Some(timeouts))
        .set_identity_cache(None)
        .set_stalled_stream_protection(None);
    own.build()
}

fn no_region() -> Error {
    Error::new(
        Code::Region,
        "no Region is configured: set AWS_REGION, or `region` in the profile, or give the worker an SdkConfig that has \
         one",
    )
}
