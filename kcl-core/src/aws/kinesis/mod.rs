//! Implements [`StreamApi`] with a Kinesis client, one attempt per call.

mod fan_out;
pub(crate) mod fast;
mod response;
mod response_date;
mod subscription_clients;

use super::client::with_deadline;
use super::error_table::stream_kind;
use super::failure::{Cause, Failure};
use super::response_limit::ResponseLimit;
use crate::config::Parser;
use crate::record::{ShardId, StartingPosition, StreamRef};
use crate::shard::{
    self, ApiError, ApiErrorKind, FanOutApi, Fetched, ListWhich, Listing, ShardPage, StreamApi, StreamDescription,
};
use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ShardFilter, ShardFilterType, ShardIteratorType};
use fan_out::KinesisFanOut;
use fast::FastJson;
use response_date::ResponseDate;
use std::sync::Arc;

/// A Kinesis stream.
#[derive(Clone, Debug)]
pub struct KinesisStream {
    client: Client,
    stream: StreamRef,
}

impl KinesisStream {
    /// Creates a stream that is read with this client's connections, credentials and interceptors.
    /// The client's retries are disabled, because the readers pace themselves; a client without
    /// timeouts gets 15 s per call, including reading the response. Responses that are longer than
    /// requested fail.
    #[must_use]
    pub fn new(client: &Client, stream: StreamRef) -> Self {
        let config = client
            .config()
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(with_deadline(client.config().timeout_config()))
            .interceptor(ResponseLimit);
        KinesisStream { client: Client::from_conf(config.build()), stream }
    }

    /// Sets the parser of records (default: the SDK's). A client whose configuration sets a
    /// protocol keeps it.
    #[must_use]
    pub fn parser(mut self, parser: Parser) -> Self {
        if parser == Parser::Fast && self.client.config().protocol().is_none() {
            let config = self.client.config().to_builder().protocol(FastJson::new());
            self.client = Client::from_conf(config.build());
        }
        self
    }

    fn name(&self) -> Option<String> {
        match &self.stream {
            StreamRef::Name(name) => Some(name.clone()),
            StreamRef::Arn(_) => None,
        }
    }

    fn arn(&self) -> Option<String> {
        match &self.stream {
            StreamRef::Name(_) => None,
            StreamRef::Arn(arn) => Some(arn.clone()),
        }
    }

    pub(super) async fn summary(&self) -> Result<StreamDescription, Failure> {
        let response = self
            .client
            .describe_stream_summary()
            .set_stream_name(self.name())
            .set_stream_arn(self.arn())
            .send()
            .await
            .map_err(|error| Failure::of(response::DESCRIBE, error))?;
        response::description(response)
    }

    async fn page(&self, which: ListWhich, token: Option<&str>) -> Result<ShardPage, Failure> {
        let date = ResponseDate::default();
        let request = self.client.list_shards();
        let request = match token {
            // The token includes stream and filter; a request with both is rejected.
            Some(token) => request.next_token(token),
            None => request.set_stream_name(self.name()).set_stream_arn(self.arn()).set_shard_filter(filter(which)?),
        };
        let sent = request.customize().interceptor(date.clone()).send().await;
        let page = sent.map_err(|error| Failure::of(response::LIST, error))?;
        let shards = page.shards.unwrap_or_default().into_iter().map(response::shard).collect::<Result<_, _>>()?;
        Ok(ShardPage { shards, next_token: page.next_token, answered_at_ms: date.millis() })
    }

    async fn iterator(&self, shard: &ShardId, from: &StartingPosition) -> Result<String, Failure> {
        let request = self
            .client
            .get_shard_iterator()
            .set_stream_name(self.name())
            .set_stream_arn(self.arn())
            .shard_id(shard.as_str());
        let request = match from {
            StartingPosition::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            StartingPosition::AtTimestamp(ms) => {
                request.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(*ms))
            }
            StartingPosition::At(number) => request
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(number.as_str()),
            // Part of an aggregate is completed: the aggregate is read again, and the reader drops
            // that part.
            StartingPosition::After(position) => request
                .shard_iterator_type(match position.sub_sequence_number {
                    0 => ShardIteratorType::AfterSequenceNumber,
                    _ => ShardIteratorType::AtSequenceNumber,
                })
                .starting_sequence_number(position.sequence_number.as_str()),
        };
        let response = request.send().await.map_err(|error| Failure::of(response::ITERATOR, error))?;
        response
            .shard_iterator
            .ok_or_else(|| Failure::new(Cause::Unanswered, response::ITERATOR, "the response has no iterator"))
    }

    async fn records(&self, iterator: &str, limit: u32) -> Result<Fetched, Failure> {
        let sent = self
            .client
            .get_records()
            .set_stream_arn(self.arn())
            .shard_iterator(iterator)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .send()
            .await;
        let response = sent.map_err(|error| {
            let not_understood = error.as_service_error().is_some_and(|error| error.is_invalid_argument_exception());
            let mut failure = Failure::of(response::RECORDS, error);
            if not_understood {
                failure.cause = Cause::Iterator;
            }
            failure
        })?;
        response::fetched(response)
    }

    fn api_result<T>(&self, result: Result<T, Failure>) -> Result<T, ApiError> {
        result.map_err(|failure| error(failure, &format!("stream `{}`", self.stream)))
    }
}

/// Converts a failure for readers.
fn error(failure: Failure, subject: &str) -> ApiError {
    let (kind, message) = (stream_kind(failure.cause), failure.sentence(subject));
    ApiError { kind, message, code: Some(failure.code()), source: Some(Box::new(failure)) }
}

#[async_trait]
impl StreamApi for KinesisStream {
    async fn describe(&self) -> Result<StreamDescription, ApiError> {
        self.api_result(self.summary().await)
    }

    async fn list_shards(&self, which: ListWhich) -> Result<Listing, ApiError> {
        shard::pages::list(self, which, || ()).await
    }

    async fn shard_page(&self, which: ListWhich, token: Option<&str>) -> Result<ShardPage, ApiError> {
        self.api_result(self.page(which, token).await)
    }

    async fn shard_iterator(&self, shard: &ShardId, from: &StartingPosition) -> Result<String, ApiError> {
        let subject = || format!("shard `{shard}` of stream `{}`", self.stream);
        self.iterator(shard, from).await.map_err(|failure| {
            // The same call succeeds with other positions, so a rejected request means a rejected
            // position.
            let position = failure.cause == Cause::Request;
            let kind = match from {
                StartingPosition::AtTimestamp(_) => ApiErrorKind::StartAhead,
                StartingPosition::TrimHorizon | StartingPosition::At(_) | StartingPosition::After(_) => {
                    ApiErrorKind::PositionRefused
                }
            };
            let error = error(failure, &subject());
            if position { ApiError { kind, ..error } } else { error }
        })
    }

    async fn get_records(&self, iterator: &str, limit: u32) -> Result<Fetched, ApiError> {
        self.api_result(self.records(iterator, limit).await)
    }

    fn fan_out(&self) -> Option<Arc<dyn FanOutApi>> {
        Some(Arc::new(KinesisFanOut::new(self.clone())))
    }
}

fn filter(which: ListWhich) -> Result<Option<ShardFilter>, Failure> {
    let filter = match which {
        ListWhich::All => return Ok(None),
        ListWhich::AtTrimHorizon => ShardFilter::builder().r#type(ShardFilterType::AtTrimHorizon),
        ListWhich::AtLatest => ShardFilter::builder().r#type(ShardFilterType::AtLatest),
        ListWhich::AtTimestamp(ms) => {
            ShardFilter::builder().r#type(ShardFilterType::AtTimestamp).timestamp(DateTime::from_millis(ms))
        }
    };
    filter.build().map(Some).map_err(|error| Failure::new(Cause::Request, response::LIST, error.to_string()))
}
