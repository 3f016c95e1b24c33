//! Tests settings that are stored and returned: tags, policies, monitoring, throughput, mode.

use super::*;

fn tags(count: usize) -> Option<std::collections::BTreeMap<String, String>> {
    Some((0..count).map(|number| (format!("key-{number:02}"), "value".to_owned())).collect())
}

#[test]
fn a_resource_has_fifty_tags_at_most_and_they_are_listed_in_pages() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let add =
        |count| AddTagsToStreamInput { stream_name: name(), tags: tags(count), ..AddTagsToStreamInput::default() };
    assert_eq!(bench.refused(add(51)), ErrorCode::InvalidArgument);
    bench.call(add(50)).unwrap();
    bench.call(add(50)).unwrap();
    let list = |after: Option<&str>, limit| ListTagsForStreamInput {
        stream_name: name(),
        exclusive_start_tag_key: after.map(str::to_owned),
        limit,
        ..ListTagsForStreamInput::default()
    };
    let Ok(Response::ListTagsForStream(page)) = bench.call(list(None, Some(20))) else { panic!("refused") };
    assert_eq!((page.tags.len(), page.has_more_tags), (20, true));
    let Ok(Response::ListTagsForStream(page)) = bench.call(list(Some("key-19"), None)) else { panic!("refused") };
    assert_eq!((page.tags.len(), page.has_more_tags, page.tags[0].key.as_str()), (30, false, "key-20"));
    assert_eq!(bench.refused(list(None, Some(51))), ErrorCode::Validation);
}

#[test]
fn both_families_of_tag_operations_see_the_same_tags() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let register =
        RegisterStreamConsumerInput { stream_arn: arn(), consumer_name: Some("app".to_owned()), tags: tags(1) };
    let Ok(Response::RegisterStreamConsumer(output)) = bench.call(register) else { panic!("refused") };
    let consumer_arn = Some(output.consumer.consumer_arn);
    bench.call(AddTagsToStreamInput { stream_name: name(), tags: tags(2), ..AddTagsToStreamInput::default() }).unwrap();
    let count = |bench: &mut Bench, resource_arn: &Option<String>| match bench
        .call(ListTagsForResourceInput { resource_arn: resource_arn.clone() })
    {
        Ok(Response::ListTagsForResource(output)) => output.tags.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!((count(&mut bench, &arn()), count(&mut bench, &consumer_arn)), (2, 1));
    bench.call(TagResourceInput { resource_arn: consumer_arn.clone(), tags: tags(5) }).unwrap();
    let keys = Some(vec!["key-00".to_owned(), "unknown".to_owned()]);
    bench.call(UntagResourceInput { resource_arn: arn(), tag_keys: keys }).unwrap();
    assert_eq!((count(&mut bench, &arn()), count(&mut bench, &consumer_arn)), (1, 5));
}

#[test]
fn a_policy_must_be_json_and_is_missing_until_it_is_put() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let get = || GetResourcePolicyInput { resource_arn: arn() };
    assert_eq!(bench.refused(get()), ErrorCode::ResourceNotFound);
    let put = |policy: &str| PutResourcePolicyInput { resource_arn: arn(), policy: Some(policy.to_owned()) };
    assert_eq!(bench.refused(put("{")), ErrorCode::InvalidArgument);
    bench.call(put("{\"Statement\":[]}")).unwrap();
    let Ok(Response::GetResourcePolicy(output)) = bench.call(get()) else { panic!("refused") };
    assert_eq!(output.policy, "{\"Statement\":[]}");
    bench.call(DeleteResourcePolicyInput { resource_arn: arn() }).unwrap();
    assert_eq!(bench.refused(get()), ErrorCode::ResourceNotFound);
}

#[test]
fn all_means_the_seven_metrics() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    let some = Some(vec!["IncomingBytes".to_owned()]);
    let enable = EnableEnhancedMonitoringInput { stream_name: name(), stream_arn: None, shard_level_metrics: some };
    bench.call(enable).unwrap();
    let all = Some(vec!["ALL".to_owned()]);
    let enable =
        EnableEnhancedMonitoringInput { stream_name: name(), stream_arn: None, shard_level_metrics: all.clone() };
    let Ok(Response::EnableEnhancedMonitoring(output)) = bench.call(enable) else { panic!("refused") };
    assert_eq!(output.current_shard_level_metrics, [MetricsName::IncomingBytes]);
    assert_eq!(output.desired_shard_level_metrics.len(), 7);
    let disable = DisableEnhancedMonitoringInput { stream_name: name(), stream_arn: None, shard_level_metrics: all };
    let Ok(Response::DisableEnhancedMonitoring(output)) = bench.call(disable) else { panic!("refused") };
    assert_eq!((output.current_shard_level_metrics.len(), output.desired_shard_level_metrics.len()), (7, 0));
}

#[test]
fn the_mode_can_be_switched_twice_a_day() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 2);
    let switch = |mode: &str| UpdateStreamModeInput {
        stream_arn: arn(),
        stream_mode_details: Some(StreamModeDetailsInput { stream_mode: Some(mode.to_owned()) }),
        warm_throughput_mibps: None,
    };
    bench.call(switch("ON_DEMAND")).unwrap();
    bench.call(switch("PROVISIONED")).unwrap();
    assert_eq!(bench.refused(switch("ON_DEMAND")), ErrorCode::LimitExceeded);
    assert_eq!(bench.summary().open_shard_count, 2);
    bench.wait(Duration::from_secs(86_400));
    bench.call(switch("ON_DEMAND")).unwrap();
}

#[test]
fn warm_throughput_is_returned_after_it_is_set() {
    let mut bench = Bench::with_stream(EngineConfig::in_process(), 1);
    assert!(bench.summary().warm_throughput.is_none());
    let update =
        UpdateStreamWarmThroughputInput { stream_arn: arn(), stream_name: None, warm_throughput_mibps: Some(7) };
    let Ok(Response::UpdateStreamWarmThroughput(output)) = bench.call(update) else { panic!("refused") };
    assert_eq!((output.warm_throughput.target_mibps, output.warm_throughput.current_mibps), (7, 0));
    assert_eq!(bench.summary().warm_throughput.map(|throughput| throughput.current_mibps), Some(7));
}
