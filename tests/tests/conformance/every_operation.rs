//! Every operation that addresses a stream, called once each.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    EncryptionType, MetricsName, ScalingType, ShardIteratorType, StreamMode, StreamModeDetails,
};

use super::failure::Failure;
use super::server::Server;
use super::stream::{Stream, entry};

/// How a stream is addressed.
pub(crate) struct Address {
    name: Option<String>,
    arn: Option<String>,
    /// For operations without other parameters.
    only_arn: String,
}

impl Address {
    pub(crate) fn of_name(stream: &Stream<'_>) -> Self {
        Self { name: Some(stream.name.clone()), arn: None, only_arn: stream.arn.clone() }
    }

    pub(crate) fn of_arn(stream: &Stream<'_>) -> Self {
        Self { name: None, arn: Some(stream.arn.clone()), only_arn: stream.arn.clone() }
    }

    pub(crate) fn of_both(stream: &Stream<'_>) -> Self {
        Self { name: Some(stream.name.clone()), ..Self::of_arn(stream) }
    }

    pub(crate) fn unknown() -> Self {
        let only_arn = "arn:aws:kinesis:us-east-1:000000000000:stream/nowhere".to_owned();
        Self { name: Some("nowhere".to_owned()), arn: None, only_arn }
    }
}

/// Calls them in an order in which each finds its preconditions on a stream of two shards with a
/// consumer `app`, deletion last.
pub(crate) async fn every_operation(server: &Server, address: &Address) -> Vec<(&'static str, Result<(), Failure>)> {
    let client = &server.client;
    let mut results = Vec::new();
    macro_rules! call {
        ($operation:ident $(. $member:ident($value:expr $(, $more:expr)?))*) => {{
            let request = client.$operation().set_stream_name(address.name.clone()).set_stream_arn(address.arn.clone());
            settle(server, address).await;
            let result = request$(.$member($value $(, $more)?))*.send().await;
            results.push((stringify!($operation), result.map(drop).map_err(Failure::from)));
        }};
    }
    macro_rules! call_by_arn {
        ($operation:ident.$arn:ident $(. $member:ident($value:expr $(, $more:expr)?))*) => {{
            settle(server, address).await;
            let result = client.$operation().$arn(&address.only_arn)$(.$member($value $(, $more)?))*.send().await;
            results.push((stringify!($operation), result.map(drop).map_err(Failure::from)));
        }};
    }
    let first = "shardId-000000000000";
    call!(describe_stream);
    call!(describe_stream_summary);
    call!(list_shards);
    call!(put_record.partition_key("key").data(Blob::new("data")));
    call!(put_records.records(entry("key", "data")));
    call!(get_shard_iterator.shard_id(first).shard_iterator_type(ShardIteratorType::TrimHorizon));
    call!(add_tags_to_stream.tags("colour", "red"));
    call!(list_tags_for_stream);
    call!(remove_tags_from_stream.tag_keys("colour"));
    call!(increase_stream_retention_period.retention_period_hours(48));
    call!(decrease_stream_retention_period.retention_period_hours(24));
    call!(enable_enhanced_monitoring.shard_level_metrics(MetricsName::All));
    call!(disable_enhanced_monitoring.shard_level_metrics(MetricsName::All));
    call!(start_stream_encryption.encryption_type(EncryptionType::Kms).key_id("alias/aws/kinesis"));
    call!(stop_stream_encryption.encryption_type(EncryptionType::Kms).key_id("alias/aws/kinesis"));
    call!(split_shard.shard_to_split(first).new_starting_hash_key("10"));
    call!(merge_shards.shard_to_merge("shardId-000000000002").adjacent_shard_to_merge("shardId-000000000003"));
    call!(update_shard_count.target_shard_count(4).scaling_type(ScalingType::UniformScaling));
    call_by_arn!(update_max_record_size.stream_arn.max_record_size_in_kib(2048));
    call_by_arn!(register_stream_consumer.stream_arn.consumer_name("another"));
    call_by_arn!(list_stream_consumers.stream_arn);
    call_by_arn!(describe_stream_consumer.stream_arn.consumer_name("app"));
    call_by_arn!(deregister_stream_consumer.stream_arn.consumer_name("app"));
    call_by_arn!(put_resource_policy.resource_arn.policy("{}"));
    call_by_arn!(get_resource_policy.resource_arn);
    call_by_arn!(delete_resource_policy.resource_arn);
    call_by_arn!(tag_resource.resource_arn.tags("colour", "blue"));
    call_by_arn!(list_tags_for_resource.resource_arn);
    call_by_arn!(untag_resource.resource_arn.tag_keys("colour"));
    let on_demand = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().unwrap();
    call_by_arn!(update_stream_mode.stream_arn.stream_mode_details(on_demand));
    call!(update_stream_warm_throughput.warm_throughput_mibps(10));
    call!(delete_stream.enforce_consumer_deletion(true));
    results
}

/// Waits until the last operation is done, so that the next one finds the stream `ACTIVE`.
async fn settle(server: &Server, address: &Address) {
    let name = address.only_arn.rsplit('/').next().unwrap();
    if server.status(name).await.is_ok() {
        server.await_active(name).await;
    }
}
