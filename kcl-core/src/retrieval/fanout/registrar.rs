//! The application's one consumer of a stream: found, or registered and waited for, once for all shards of the process.
//!
//! | state | next |
//! |---|---|
//! | unknown | looked for by its name or ARN |
//! | missing | registered, if it goes by a name |
//! | not active yet, or being removed | looked at again each second |
//! | active | told to whoever asks, until somebody doubts it |
//! | failed | told to whoever asks for a moment, so that a thousand shards are one call |

use crate::retrieval::call::in_time;
use crate::shard::{ApiError, ApiErrorKind, ConsumerRef, FanOutApi};
use crate::telemetry::event::fanout::ConsumerFound;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

const FIND: &str = "DescribeStreamConsumer";
/// Between two looks at a consumer that is not active yet. AWS acquires some seconds.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often one that asks looks before it is told to come back: AWS acquires less than a minute.
const MOST_LOOKS: u32 = 90;
/// How long a failure holds for others.
const FAILURE_HOLDS: Duration = Duration::from_secs(2);
/// A consumer that was looked at a moment ago is not looked at again.
const LOOK_HOLDS: Duration = Duration::from_secs(1);
/// AWS has one error for too many calls and too many consumers; the first passes.
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

    /// The consumer's ARN. Whoever found that the service does not take the one that is known says so.
    ///
    /// # Errors
    /// Refused: it cannot be had without somebody's help.
    pub(super) async fn arn(&self, doubted: Option<&str>) -> Result<Arc<str>, ApiError> {
        let mut known = self.known.lock().await;
        match &*known {
            Known::Active { arn, seen } if doubted != Some(&**arn) || seen.elapsed() < LOOK_HOLDS => {
                return Ok(Arc::clone(arn));
            }
            Known::Failed { kind, message, until } if Instant::now() < *until => {
                return Err(ApiError { kind: *kind, message: message.clone(), source: None });
            }
            Known::Nothing | Known::Active { .. } | Known::Failed { .. } => {}
        }
        match self.find().await {
            Ok(arn) => {
                *known = Known::Active { arn: Arc::clone(&arn), seen: Instant::now() };
                Ok(arn)
            }
            Err(error) => {
                let until = Instant::now() + FAILURE_HOLDS;
                *known = Known::Failed { kind: error.kind, message: error.message.clone(), until };
                Err(error)
            }
        }
    }

    async fn find(&self) -> Result<Arc<str>, ApiError> {
        let (mut limited, mut created) = (0, false);
        for _ in 0..MOST_LOOKS {
            let found = in_time(|| FIND.to_owned(), self.api.find_consumer(&self.consumer)).await?;
            match (found, &self.consumer) {
                (Some(consumer), _) if consumer.active => {
                    ConsumerFound { arn: &consumer.arn, created }.emit();
                    return Ok(consumer.arn.into());
                }
                (Some(_), _) => {}
                (None, ConsumerRef::Arn(arn)) => {
                    let message = format!("consumer `{arn}` is not registered with the stream");
                    return Err(ApiError { kind: ApiErrorKind::Refused, message, source: None });
                }
                (None, ConsumerRef::Name(name)) => {
                    match in_time(|| "RegisterStreamConsumer".to_owned(), self.api.register_consumer(name)).await {
                        Ok(_) => created = true,
                        // Somebody was faster, or the one of that name is still going.
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
            sleep(LOOK_AGAIN).await;
        }
        let message = format!("consumer {:?} has not become active", self.consumer);
        Err(ApiError { kind: ApiErrorKind::Unavailable, message, source: None })
    }

    /// Removes the consumer, if it goes by a name: whoever gave an ARN has made it, and keeps it.
    pub(crate) async fn deregister(&self) -> Result<(), ApiError> {
        let ConsumerRef::Name(_) = &self.consumer else { return Ok(()) };
        let found = in_time(|| FIND.to_owned(), self.api.find_consumer(&self.consumer)).await?;
        *self.known.lock().await = Known::Nothing;
        match found {
            Some(consumer) => {
                in_time(|| "DeregisterStreamConsumer".to_owned(), self.api.deregister_consumer(&consumer.arn)).await
            }
            None => Ok(()),
        }
    }
}
