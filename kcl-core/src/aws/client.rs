//! The SDK clients: the caller's for reading, our own for coordination.

use super::answer_limit::AnswerLimit;
use crate::error::{Code, Error};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::BehaviorVersion;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use std::time::Duration;

/// The behaviour of the SDK that this version of the library was tested with.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// A heartbeat is due four times in a failover time; one that hangs must be given up while the next can still be in time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a call may take where the caller's client sets no bound: the SDK has none by itself, and a connection that went silent,
/// or a body that never ends, would hold a shard for ever. A full answer has 10 MB.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The same timeouts, with one for a call if there is none. It includes the reading of the answer.
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
/// Connections live on the runtime that first uses them. Where coordination has a runtime of its own, make its clients
/// for it alone, and let nobody else use them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Clients {
    /// Reads the stream. As the caller configured it.
    pub kinesis: aws_sdk_kinesis::Client,
    /// Lists and describes for the coordination.
    pub coordination_kinesis: aws_sdk_kinesis::Client,
    /// Keeps the lease table.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The endpoint that was configured for all services, for messages.
    pub(super) endpoint: Option<String>,
    /// Where credentials come from, where that is known.
    pub(super) credentials: Option<SharedCredentialsProvider>,
}

impl Clients {
    /// Clients from one configuration: `aws_config`'s, or any other.
    ///
    /// Reading acquires the configuration as it is. Coordination acquires Region, endpoints, credentials provider and clocks
    /// from it, and the HTTP client if it names one (that is where TLS roots and proxies are set); otherwise it has
    /// connections of its own. Its identity cache is its own, its retries are off, its timeouts are 1 s to connect and
    /// 2 s for a call.
    ///
    /// # Errors
    /// [`Code::Region`] when the configuration has no Region.
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
            dynamodb: bounded(aws_sdk_dynamodb::config::Builder::from(&coordination)),
            endpoint: config.endpoint_url().map(str::to_owned),
            credentials: config.credentials_provider(),
        })
    }

    /// Clients from what `aws_config` finds: environment, profile, container, instance.
    ///
    /// # Errors
    /// [`Code::Region`] when none of those names a Region.
    pub async fn from_environment() -> Result<Self, Error> {
        Self::from_config(&aws_config::defaults(behavior()).load().await)
    }

    /// The caller's own clients, which also refuse answers that are longer than what was asked for can be, and give up a call after
    /// 15 s if they have no timeout. The coordination's should have retries off and timeouts well below a quarter of the failover
    /// time.
    #[must_use]
    pub fn given(
        kinesis: aws_sdk_kinesis::Client,
        coordination_kinesis: aws_sdk_kinesis::Client,
        dynamodb: aws_sdk_dynamodb::Client,
    ) -> Self {
        let config = dynamodb.config();
        let dynamodb = bounded(config.to_builder().timeout_config(with_deadline(config.timeout_config())));
        Clients { kinesis, coordination_kinesis, dynamodb, endpoint: None, credentials: None }
    }
}

impl Clients {
    /// The same, with other clients for a stream.
    pub(crate) fn with_kinesis(
        &self,
        kinesis: aws_sdk_kinesis::Client,
        coordination_kinesis: aws_sdk_kinesis::Client,
    ) -> Self {
        Clients { kinesis, coordination_kinesis, dynamodb: self.dynamodb.clone(), endpoint: None, credentials: None }
    }
}

/// A client whose answers are bounded. Those of Kinesis are bounded by [`KinesisStream`](super::KinesisStream).
fn bounded(config: aws_sdk_dynamodb::config::Builder) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::from_conf(config.interceptor(AnswerLimit).build())
}

/// The same place and credentials, by means of our own.
fn coordination(config: &SdkConfig) -> SdkConfig {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    // From what is there rather than from nothing: endpoints of single services, as environment and profile name them,
    // cannot be read out of a configuration, only be kept.
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
