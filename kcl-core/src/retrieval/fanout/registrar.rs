//! Finds or registers the application's one consumer of a stream, once for all shards of the
//! process.
//!
//! | state | next |
//! |---|---|
//! | unknown | described by its name or ARN |
//! | missing | registered, if the settings give a name |
//! | not active yet, or being deleted | described again each second |
//! | active | its ARN is returned, until a shard doubts it |
//! | failed | the error is returned for two seconds, so that a thousand shards make one call |

use crate::retrieval::call_deadline::with_call_deadline;
use crate::retrieval::event::fan_out::ConsumerFound;
use crate::shard::{ApiError, ApiErrorKind, ConsumerRef, FanOutApi};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

const DESCRIBE: &str = "DescribeStreamConsumer";
/// The pause between two DescribeStreamConsumer calls while a consumer is not active. AWS takes
/// some seconds to activate one.
const DESCRIBE_PAUSE: Duration = Duration::from_secs(1);
/// The most DescribeStreamConsumer calls before the caller has to retry. AWS takes less than a
/// minute to activate a consumer.
const MOST_DESCRIBES: u32 = 90;
/// How long a failure is returned to other shards without another call.
const FAILURE_VALID_FOR: Duration = Duration::from_secs(2);
/// How long a consumer counts as existing after DescribeStreamConsumer, even if a shard doubts it.
const SEEN_VALID_FOR: Duration = Duration::from_secs(1);
/// AWS returns the same error for too many calls and too many consumers (LimitExceededException).
/// Too many calls is transient.
const MOST_LIMITED: u32 = 4;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Registrar {
    api: Arc<dyn FanOutApi>,
    consumer: ConsumerRef,
    known: Mutex<Known>,
}

#[derive(Debug)]
enum Known {
    Nothing,
    Active { arn: Arc<str>, seen: Instant },
    Failed { kind: ApiErrorKind, message: String, until: Instant },
}

impl Registrar {
    pub(crate) fn new(api: Arc<dyn FanOutApi>, consumer: ConsumerRef) -> Self {
        Registrar { api, consumer, known: Mutex::new(Known::Nothing) }
    }

    /// Returns the consumer's ARN. `doubted` is an ARN that the service has rejected.
    ///
    /// # Errors
    /// `Refused` if an operator must fix the cause.
    pub(super) async fn arn(&self, doubted: Option<&str>) -> Result<Arc<str>, ApiError> {
        let mut known = self.known.lock().await;
        match &*known {
            Known::Active { arn, seen } if doubted != Some(&**arn) || seen.elapsed() < SEEN_VALID_FOR => {
                return Ok(Arc::clone(arn));
            }
            Known::Failed { kind, message, until } if Instant::now() < *until => {
                return Err(ApiError { kind: *kind, message: message.clone(), code: None, source: None });
            }
            Known::Nothing | Known::Active { .. } | Known::Failed { .. } => {}
        }
        match self.find().await {
            Ok(arn) => {
                *known = Known::Active { arn: Arc::clone(&arn), seen: Instant::now() };
                Ok(arn)
            }
            Err(error) => {
                let until = Instant::now() + FAILURE_VALID_FOR;
                *known = Known::Failed { kind: error.kind, message: error.message.clone(), until };
                Err(error)
            }
        }
    }

    async fn find(&self) -> Result<Arc<str>, ApiError> {
        let (mut limited, mut created) = (0, false);
        for _ in 0..MOST_DESCRIBES {
            let found = with_call_deadline(|| DESCRIBE.to_owned(), self.api.find_consumer(&self.consumer)).await?;
            match (found, &self.consumer) {
                (Some(consumer), _) if consumer.active => {
                    ConsumerFound { arn: &consumer.arn, created }.emit();
                    return Ok(consumer.arn.into());
                }
                (Some(_), _) => {}
                (None, ConsumerRef::Arn(arn)) => {
                    let message = format!("consumer `{arn}` is not registered with the stream");
                    return Err(ApiError { kind: ApiErrorKind::Refused, message, code: None, source: None });
                }
                (None, ConsumerRef::Name(name)) => {
                    match with_call_deadline(|| "RegisterStreamConsumer".to_owned(), self.api.register_consumer(name))
                        .await
                    {
                        Ok(_) => created = true,
                        // Another worker registered it first, or the previous consumer of this name
                        // is still being deleted.
                        Err(error) if error.kind == ApiErrorKind::NotReady => {}
                        Err(error) if error.kind == ApiErrorKind::Throttled => {
                            limited += 1;
                            if limited >= MOST_LIMITED {
                                let message = format!("{} (a stream has 20 consumers at most)", error.message);
                                return Err(ApiError { kind: ApiErrorKind::Refused, message, ..error });
                            }
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
            sleep(DESCRIBE_PAUSE).await;
        }
        let message = format!("consumer {:?} has not become active", self.consumer);
        Err(ApiError { kind: ApiErrorKind::Unavailable, message, code: None, source: None })
    }

    /// Deregisters the consumer if the settings give its name. A consumer that is given by its ARN
    /// was created by the user, and is kept.
    pub(crate) async fn deregister(&self) -> Result<(), ApiError> {
        let ConsumerRef::Name(_) = &self.consumer else { return Ok(()) };
        let found = with_call_deadline(|| DESCRIBE.to_owned(), self.api.find_consumer(&self.consumer)).await?;
        *self.known.lock().await = Known::Nothing;
        match found {
            Some(consumer) => {
                with_call_deadline(
                    || "DeregisterStreamConsumer".to_owned(),
                    self.api.deregister_consumer(&consumer.arn),
                )
                .await
            }
            None => Ok(()),
        }
    }
}
