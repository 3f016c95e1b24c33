//! Tests the engine through direct calls: its configuration, and behaviour that clients cannot see.
//! The conformance suite tests the behaviour that clients see.

mod config;
mod dry_run;
mod hooks;
mod model_based;
mod placement;
mod quotas;
mod scopes;
mod stream_settings;
mod subscription;

use std::time::Duration;

use super::model::*;
use super::{Engine, EngineConfig, EngineTime};

/// An engine with a clock that the test moves.
struct Bench {
    engine: Engine,
    scope: Scope,
    now: EngineTime,
}

impl Bench {
    fn new(config: EngineConfig) -> Self {
        Self::seeded(config, 0)
    }

    fn seeded(config: EngineConfig, seed: u64) -> Self {
        Self {
            engine: Engine::new(config, seed),
            scope: Scope::new("123456789012", "eu-west-1"),
            now: EngineTime::from_millis(1_700_000_000_000),
        }
    }

    /// An engine with a stream `s` of this number of shards.
    fn with_stream(config: EngineConfig, shards: i64) -> Self {
        let mut bench = Self::new(config);
        bench.create("s", shards).unwrap();
        bench
    }

    fn wait(&mut self, duration: Duration) {
        self.now = self.now.plus(duration);
    }

    fn call(&mut self, request: impl Into<Request>) -> Result<Response, ApiError> {
        self.engine.handle(&self.scope, request.into(), self.now)
    }

    fn refused(&mut self, request: impl Into<Request>) -> ErrorCode {
        self.call(request).unwrap_err().code
    }

    fn create(&mut self, name: &str, shards: i64) -> Result<Response, ApiError> {
        self.call(CreateStreamInput {
            stream_name: Some(name.to_owned()),
            shard_count: Some(shards),
            ..CreateStreamInput::default()
        })
    }

    fn create_on_demand(&mut self, name: &str, strategy: Option<&str>) -> Result<Response, ApiError> {
        self.call(CreateStreamInput {
            stream_name: Some(name.to_owned()),
            stream_mode_details: Some(StreamModeDetailsInput { stream_mode: Some("ON_DEMAND".to_owned()) }),
            record_distribution_strategy: strategy.map(str::to_owned),
            ..CreateStreamInput::default()
        })
    }

    fn put(&mut self, key: &str, data: &str) -> PutRecordOutput {
        match self.call(put(key, data)) {
            Ok(Response::PutRecord(output)) => output,
            other => panic!("{other:?}"),
        }
    }

    fn shards(&mut self) -> Vec<Shard> {
        match self.call(ListShardsInput { stream_name: name(), ..ListShardsInput::default() }) {
            Ok(Response::ListShards(output)) => output.shards,
            other => panic!("{other:?}"),
        }
    }

    fn iterator(&mut self, shard: &str) -> String {
        let input = GetShardIteratorInput {
            stream_name: name(),
            shard_id: Some(shard.to_owned()),
            shard_iterator_type: Some("TRIM_HORIZON".to_owned()),
            ..GetShardIteratorInput::default()
        };
        match self.call(input) {
            Ok(Response::GetShardIterator(output)) => output.shard_iterator,
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, shard: &str) -> GetRecordsOutput {
        let shard_iterator = Some(self.iterator(shard));
        match self.call(GetRecordsInput { shard_iterator, ..GetRecordsInput::default() }) {
            Ok(Response::GetRecords(output)) => output,
            other => panic!("{other:?}"),
        }
    }

    fn summary(&mut self) -> StreamDescriptionSummary {
        match self.call(DescribeStreamSummaryInput { stream_name: name(), ..DescribeStreamSummaryInput::default() }) {
            Ok(Response::DescribeStreamSummary(output)) => output.stream_description_summary,
            other => panic!("{other:?}"),
        }
    }
}

fn name() -> Option<String> {
    Some("s".to_owned())
}

fn arn() -> Option<String> {
    Some("arn:aws:kinesis:eu-west-1:123456789012:stream/s".to_owned())
}

fn put(key: &str, data: &str) -> PutRecordInput {
    PutRecordInput {
        stream_name: name(),
        partition_key: Some(key.to_owned()),
        data: Some(data.to_owned().into()),
        ..PutRecordInput::default()
    }
}
