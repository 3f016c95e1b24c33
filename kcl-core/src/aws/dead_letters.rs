//! Puts dead letters into another Kinesis stream.

use super::client::with_deadline;
use super::response_limit::ResponseLimit;
use crate::processor::{BoxError, DeadLetter, DeadLetterSink};
use crate::record::StreamRef;
use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;

/// Puts each letter into a stream as one record. Its data is [`DeadLetter::to_json`]; its partition
/// key is that of the record, so that a key's letters stay in order, or the letter's idempotency
/// key if the record has none.
///
/// The client's retries apply, so a letter may be put twice after a lost response. Data and key
/// together must fit into the stream's largest record; the JSON is longer than the payload, by a
/// third if it is not text. A letter that is refused for its size is retried forever and reported:
/// use another sink for such streams.
#[derive(Clone, Debug)]
pub struct KinesisDeadLetters {
    client: Client,
    stream: StreamRef,
}

impl KinesisDeadLetters {
    /// Creates a sink for this stream with this client. A client without timeouts gets 15 s per
    /// attempt.
    #[must_use]
    pub fn new(client: Client, stream: impl Into<StreamRef>) -> Self {
        let config = client.config();
        let config =
            config.to_builder().interceptor(ResponseLimit).timeout_config(with_deadline(config.timeout_config()));
        KinesisDeadLetters { client: Client::from_conf(config.build()), stream: stream.into() }
    }
}

#[async_trait]
impl DeadLetterSink for KinesisDeadLetters {
    async fn put(&self, letter: &DeadLetter) -> Result<(), BoxError> {
        let key = letter.record.partition_key.as_deref().map_or_else(|| letter.idempotency_key(), str::to_owned);
        let put = self.client.put_record().partition_key(key).data(Blob::new(letter.to_json()));
        let put = match &self.stream {
            StreamRef::Name(name) => put.stream_name(name),
            StreamRef::Arn(arn) => put.stream_arn(arn),
        };
        let describe = |error| {
            format!("dead-letter stream `{}`: {}", self.stream, aws_sdk_kinesis::error::DisplayErrorContext(error))
        };
        put.send().await.map_err(describe)?;
        Ok(())
    }
}
