//! Writing: routing, sequence numbers, batches, sizes. K15 to K26, but for K21.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{EncryptionType, PutRecordsRequestEntry};
use kcl_local::kinesis::EngineConfig;
use kcl_local::kinesis::model::{PutRecordInput, Response};
use md5::{Digest as _, Md5};

use super::decimal::{add, less, low_bits};
use super::failure::{ARGUMENT, VALIDATION, assert_refused};
use super::server::{Server, check, check_engine, check_engine_with_seed};
use super::stream::{From, Stream, data, entry, range};

const MIB: usize = 1024 * 1024;

#[test]
fn k15_a_record_goes_where_the_md5_of_its_key_points() {
    check(async |server: &Server| {
        let stream = server.stream(7).await;
        let ranges: BTreeMap<_, _> =
            stream.shards().await.iter().map(|shard| (shard.shard_id().to_owned(), range(shard))).collect();
        let mut rng = fastrand::Rng::with_seed(15);
        let keys: Vec<String> = (0..1000)
            .map(|_| {
                (0..rng.usize(1..=20))
                    .map(|_| if rng.u8(..4) == 0 { rng.char(..) } else { rng.alphanumeric() })
                    .collect()
            })
            .collect();
        for keys in keys.chunks(500) {
            let put = stream.put_all(keys.iter().map(|key| entry(key, "data")).collect()).await.unwrap();
            for (key, result) in keys.iter().zip(put.records()) {
                let hash_key = u128::from_be_bytes(Md5::digest(key.as_bytes()).into());
                let (start, end) = ranges[result.shard_id().unwrap()];
                assert!(start <= hash_key && hash_key <= end, "{key:?}");
            }
        }
    });
}

#[test]
fn k16_an_explicit_hash_key_wins_over_the_key() {
    check(async |server: &Server| {
        let stream = server.stream(2).await;
        let (lower, upper) = ("shardId-000000000000", "shardId-000000000001");
        assert_eq!(stream.put_at(0, "data").await.shard_id(), lower);
        assert_eq!(stream.put_at(u128::MAX, "data").await.shard_id(), upper);
        assert_eq!(stream.put_at(1 << 127, "data").await.shard_id(), upper);
        assert_eq!(stream.put_at((1 << 127) - 1, "data").await.shard_id(), lower);
        let beyond = "340282366920938463463374607431768211456";
        let put = server.client.put_record().stream_name(&stream.name).partition_key("key").data(Blob::new("data"));
        assert_refused(put.explicit_hash_key(beyond).send().await, ARGUMENT);
        let bad =
            PutRecordsRequestEntry::builder().partition_key("key").data(Blob::new("data")).explicit_hash_key(beyond);
        assert_refused(stream.put_all(vec![entry("key", "good"), bad.build().unwrap()]).await, ARGUMENT);
    });
}

#[test]
fn k17_sequence_numbers_have_the_structure_that_aws_gives_them() {
    check(async |server: &Server| {
        let stream = server.stream(3).await;
        for place in 0..3_u32 {
            let put = stream.put_at(u128::MAX / 3 * u128::from(place) + 5, "data").await;
            let number = put.sequence_number();
            assert_eq!(number.len(), 56);
            assert!(!number.starts_with('0'));
            let (smallest, above) = (
                "49039857307708443467467104868809893875799651909875269632",
                "98079714615416886934934209737619787751599303819750539264",
            );
            assert!(!less(number, smallest) && less(number, above), "186 bits");
            assert_eq!(low_bits(number) >> 4 & 0xffff_ffff, u128::from(place));
            assert_eq!(put.shard_id(), format!("shardId-{place:012}"));
        }
    });
}

#[test]
fn k18_numbers_grow_within_a_shard() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let mut last = String::new();
        for _ in 0..20 {
            let put = stream.put("key", "data").await;
            assert!(less(&last, put.sequence_number()));
            put.sequence_number().clone_into(&mut last);
        }
    });
}

#[test]
fn k18_numbers_grow_when_the_clock_steps_back() {
    check_engine(EngineConfig::in_process(), async |server: &Server| {
        let stream = server.stream(1).await;
        let mut last = stream.put("key", "data").await.sequence_number().to_owned();
        for seconds in [1, 60, 3600] {
            let input = PutRecordInput {
                stream_name: Some(stream.name.clone()),
                partition_key: Some("key".to_owned()),
                data: Some("earlier".into()),
                ..PutRecordInput::default()
            };
            let put = server.engine(|engine, scope, now| {
                engine.handle(scope, input.into(), now.minus(Duration::from_secs(seconds)))
            });
            let Ok(Response::PutRecord(put)) = put else { panic!("{put:?}") };
            assert!(less(&last, &put.sequence_number.to_string()));
            last = put.sequence_number.to_string();
        }
    });
}

#[test]
fn k19_a_number_for_ordering_is_exceeded() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let put = async |floor: &str| {
            let put = server.client.put_record().stream_name(&stream.name).partition_key("key").data(Blob::new("data"));
            put.sequence_number_for_ordering(floor).send().await
        };
        let first = stream.put("key", "data").await.sequence_number().to_owned();
        // Far beyond what the next number would be.
        let floor = add(&first, 1 << 100);
        let second = put(&floor).await.unwrap();
        assert!(less(&floor, second.sequence_number()));
        let third = put(&first).await.unwrap();
        assert!(less(second.sequence_number(), third.sequence_number()));
        for bad in ["1", "99999", &format!("9{floor}")] {
            assert_refused(put(bad).await, ARGUMENT);
        }
        assert_refused(put("no number").await, VALIDATION);
    });
}

#[test]
fn k20_results_have_the_order_of_the_records() {
    check(async |server: &Server| {
        let stream = server.stream(4).await;
        let places = [3_u32, 0, 2, 2, 1, 3, 0];
        let at = |place: u32| {
            let hash_key = (u128::MAX / 4 * u128::from(place) + 9).to_string();
            PutRecordsRequestEntry::builder()
                .partition_key("key")
                .data(Blob::new("data"))
                .explicit_hash_key(hash_key)
                .build()
        };
        let put = stream.put_all(places.iter().map(|place| at(*place).unwrap()).collect()).await.unwrap();
        let shards: Vec<_> = put.records().iter().map(|result| result.shard_id().unwrap().to_owned()).collect();
        assert_eq!(shards, places.map(|place| format!("shardId-{place:012}")));
        assert_eq!(put.failed_record_count(), Some(0));
        assert!(put.records().iter().all(|result| result.error_code().is_none()));
    });
}

#[test]
fn k20_a_failed_record_has_an_error_and_no_place() {
    let mut config = EngineConfig::in_process();
    config.failed_entries = 0.3;
    check_engine_with_seed(config, 20, async |server: &Server| {
        let stream = server.stream(1).await;
        let put = stream.put_all((0..100).map(|number| entry("key", number.to_string())).collect()).await.unwrap();
        let mut stored = Vec::new();
        let mut failed = 0;
        for (number, result) in put.records().iter().enumerate() {
            if result.error_code().is_some() {
                failed += 1;
                assert_eq!(result.error_code(), Some("InternalFailure"));
                assert!(
                    result.error_message().is_some()
                        && result.shard_id().is_none()
                        && result.sequence_number().is_none()
                );
            } else {
                assert!(result.shard_id().is_some() && result.sequence_number().is_some());
                stored.push(number.to_string());
            }
        }
        assert!((10..60).contains(&failed));
        assert_eq!(put.failed_record_count(), Some(failed));
        assert_eq!(stream.data("shardId-000000000000", From::TrimHorizon).await, stored);
    });
}

#[test]
fn k22_no_record_and_501_records_are_refused_and_nothing_is_stored() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        assert_refused(stream.put_all(vec![]).await, VALIDATION);
        assert_refused(stream.put_all(vec![entry("key", "data"); 501]).await, VALIDATION);
        assert!(stream.data("shardId-000000000000", From::TrimHorizon).await.is_empty());
        assert!(stream.put_all(vec![entry("key", "data"); 500]).await.is_ok());
    });
}

#[test]
fn k23_a_mebibyte_with_the_key_is_accepted_and_a_byte_more_is_not() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let size = MIB - "key".len();
        stream.try_put("key", &vec![b'x'; size]).await.unwrap();
        let refused = stream.try_put("key", &vec![b'x'; size + 1]).await.unwrap_err();
        assert!([ARGUMENT, VALIDATION].contains(&refused.code.as_str()), "{refused:?}");
        assert!(stream.put_all(vec![entry("key", "data"), entry("key", vec![b'x'; size + 1])]).await.is_err());
        assert_eq!(stream.rest("shardId-000000000000", From::TrimHorizon).await.records.len(), 1);
    });
}

#[test]
fn k24_large_records_go_in_once_the_stream_takes_them() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let large = vec![b'x'; 9 * MIB];
        assert!(stream.try_put("key", &large).await.is_err());
        let update = server.client.update_max_record_size().stream_arn(&stream.arn);
        update.max_record_size_in_kib(10_240).send().await.unwrap();
        stream.active().await;
        stream.try_put("key", &large).await.unwrap();
        let records = stream.rest("shardId-000000000000", From::TrimHorizon).await.records;
        assert!(records.len() == 1 && records[0].data.as_ref() == large);
        let out_of_range =
            server.client.update_max_record_size().stream_arn(&stream.arn).max_record_size_in_kib(10_241);
        assert_refused(out_of_range.send().await, VALIDATION);
    });
}

#[test]
fn k25_empty_data_comes_back() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        stream.put("key", "").await;
        assert_eq!(stream.data("shardId-000000000000", From::TrimHorizon).await, [""]);
    });
}

#[test]
fn k26_records_show_the_encryption_that_was_on_when_they_were_put() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        assert_ne!(stream.put("key", "plain").await.encryption_type, Some(EncryptionType::Kms));
        let start = server.client.start_stream_encryption().stream_name(&stream.name).key_id("alias/aws/kinesis");
        start.encryption_type(EncryptionType::Kms).send().await.unwrap();
        stream.active().await;
        assert_eq!(stream.put("key", "secret").await.encryption_type, Some(EncryptionType::Kms));
        let batch = stream.put_all(vec![entry("key", "secret")]).await.unwrap();
        assert_eq!(batch.encryption_type, Some(EncryptionType::Kms));
        assert_eq!(encryption(&stream).await, [false, true, true]);
        let stop = server.client.stop_stream_encryption().stream_name(&stream.name).key_id("alias/aws/kinesis");
        stop.encryption_type(EncryptionType::Kms).send().await.unwrap();
        stream.active().await;
        stream.put("key", "plain").await;
        assert_eq!(encryption(&stream).await, [false, true, true, false]);
    });
}

async fn encryption(stream: &Stream<'_>) -> Vec<bool> {
    let records = stream.rest("shardId-000000000000", From::TrimHorizon).await.records;
    assert_eq!(data(&records).len(), records.len());
    records.iter().map(|record| record.encryption_type == Some(EncryptionType::Kms)).collect()
}
