//! Tests that our parser returns what the SDK's parser returns, or an error.

use super::parser_fallback::ParserFallback;
use super::reader::Reader;
use super::standalone;
use crate::config::Parser;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_smithy_schema::serde::SerdeError;
use proptest::prelude::*;
use std::fmt::Write as _;

/// Parses a GetRecords response with both.
fn answers(text: &[u8]) -> (Result<GetRecordsOutput, SerdeError>, Result<GetRecordsOutput, SerdeError>) {
    (standalone::parse_response(text, Parser::Fast), standalone::parse_response(text, Parser::Sdk))
}

fn same(text: &[u8]) -> GetRecordsOutput {
    let (ours, theirs) = answers(text);
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    assert_eq!(ours, theirs);
    ours
}

#[test]
fn a_response_is_parsed_as_by_the_sdk() {
    let text = br#" { "Records" : [
        {"SequenceNumber":"4959","ApproximateArrivalTimestamp":1.7000000001234E9,"Data":"aGVsbG8=","PartitionKey":"k"},
        {"SequenceNumber":"4960","ApproximateArrivalTimestamp":1700000000,"Data":"","PartitionKey":null,
         "EncryptionType":"KMS","New":{"in":[1,-2.5e3,"}",{"a":true}],"is":null}}
      ], "NextShardIterator":"AAA\/\u0041\\", "MillisBehindLatest":86400000,
      "ChildShards":[{"ShardId":"s","ParentShards":["a","b"],"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"}}] } "#;
    let answer = same(text);
    assert_eq!(answer.records()[0].data().as_ref(), b"hello");
    assert_eq!(answer.records()[1].partition_key(), None);
    assert_eq!((answer.records().len(), answer.next_shard_iterator()), (2, Some("AAA/A\\")));
    assert_eq!((answer.millis_behind_latest(), answer.child_shards().len()), (Some(86_400_000), 1));
}

#[test]
fn an_event_is_parsed_as_by_the_sdk() {
    let text = br#"{"ContinuationSequenceNumber":"4960","MillisBehindLatest":0,"Records":[
        {"SequenceNumber":"4959","Data":"\u0061GVs\/G8=","PartitionKey":"\u00e4\ud83d\ude00"}]}"#;
    let ours = standalone::parse_event(text, Parser::Fast).unwrap();
    assert_eq!(ours, standalone::parse_event(text, Parser::Sdk).unwrap());
    assert_eq!(ours.records()[0].partition_key(), Some("ä😀"));
}

#[test]
fn an_invalid_text_is_an_error_without_payload_and_activates_the_fallback() {
    for text in [
        "",
        "{",
        "[]",
        "null",
        "{}x",
        r#"{"Records":"#,
        r#"{"Records":{}}"#,
        r#"{"Records":[{},]}"#,
        r#"{"Records":[,]}"#,
        r#"{"Records":[{"Data":"secret"}]}"#,
        r#"{"Records":[{"Data":5}]}"#,
        r#"{"Records":[{"Data":"c2VjcmV0}]}"#,
        r#"{"Records":[{"PartitionKey":"secret\q"}]}"#,
        r#"{"Records":[{"ApproximateArrivalTimestamp":"2026"}]}"#,
        r#"{"Records":[],"MillisBehindLatest":1.5}"#,
        r#"{"Records":[],"MillisBehindLatest":secret}"#,
        r#"{"a" 1}"#,
    ]
    .map(str::as_bytes)
    .into_iter()
    .chain([b"{\"Records\":[{\"PartitionKey\":\"\xff\"}]}".as_slice()])
    {
        let fallback = ParserFallback::default();
        let Err(error) = GetRecordsOutput::deserialize(&mut Reader::new(text, fallback.clone())) else {
            assert_eq!(text, b"", "only an empty text has no members");
            continue;
        };
        assert!(fallback.is_active(), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn nesting_is_limited_as_in_the_sdk() {
    let text = format!(r#"{{"Deep":{}"#, "[".repeat(1_000_000));
    assert!(answers(text.as_bytes()).0.is_err());
    for depth in [1, 126, 127, 128, 129] {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        let (ours, theirs) = answers(format!(r#"{{"Deep":{open}{close}}}"#).as_bytes());
        assert_eq!((ours.is_ok(), depth), (theirs.is_ok(), depth));
        strict(format!(r#"{{"Records":[{{"Deep":{open}{close}}}]}}"#).as_bytes());
    }
}

/// Our parser accepts nothing that the SDK's parser rejects, and returns the same values.
#[track_caller]
fn strict(text: &[u8]) {
    let (ours, theirs) = answers(text);
    if let Ok(ours) = ours {
        match theirs {
            Ok(theirs) => assert_eq!(ours, theirs),
            Err(error) => panic!("only our parser accepts {:?}: {error}", String::from_utf8_lossy(text)),
        }
    }
}

#[test]
fn malformed_numbers_are_refused_at_any_place() {
    let malformed =
        ["1e1e1", "01", "-01", ".5", "-.5", "1-1", "1.", "1.e1", "1e", "1e+", "+1", "--1", "-", "1.2.3", "0x1", "1_0"];
    for number in malformed {
        for text in [
            format!(r#"{{"Later":{number}}}"#),
            format!(r#"{{"Later":[1,{number}]}}"#),
            format!(r#"{{"Records":[{{"Later":{{"in":{number}}}}}]}}"#),
            format!(r#"{{"MillisBehindLatest":{number}}}"#),
            format!(r#"{{"Records":[{{"ApproximateArrivalTimestamp":{number}}}]}}"#),
        ] {
            assert!(answers(text.as_bytes()).0.is_err(), "{text}");
        }
    }
    for number in ["0", "-0", "1", "10", "-1.50", "1e3", "1E-3", "0.0e+0", "12345678901234567890123"] {
        let text = format!(r#"{{"Later":[{number},{number}],"L":{number} }}"#);
        same(text.as_bytes());
    }
}

#[test]
fn unknown_members_must_be_utf_8() {
    for text in [
        b"{\"Later\":\"\xff\"}".as_slice(),
        b"{\"Later\":[\"a\",\"\xc3\"]}",
        b"{\"Records\":[{\"Later\":{\"\xff\":1}}]}",
        b"{\"\xe2\x82\":1}",
        b"{\"Later\":\"\\n\xff\"}",
    ] {
        assert!(answers(text).0.is_err(), "{}", String::from_utf8_lossy(text));
    }
    same("{\"Later\":\"€\",\"ä\":{\"ö\":\"\\u00fc\"}}".as_bytes());
}

/// A JSON string with some unnecessary escapes.
fn text() -> impl Strategy<Value = String> {
    prop::collection::vec((any::<char>(), any::<bool>()), 0..40).prop_map(|characters| {
        characters.into_iter().fold(String::new(), |mut text, (character, escaped)| {
            if escaped || character == '"' || character == '\\' || character < ' ' {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            } else {
                text.push(character);
            }
            text
        })
    })
}

fn member() -> impl Strategy<Value = String> {
    prop_oneof![
        text().prop_map(|text| format!(r#""SequenceNumber":"{text}""#)),
        text().prop_map(|text| format!(r#""PartitionKey":"{text}""#)),
        prop::collection::vec(any::<u8>(), 0..300)
            .prop_map(|data| format!(r#""Data":"{}""#, aws_smithy_types::base64::encode(data))),
        any::<i64>().prop_map(|seconds| format!(r#""ApproximateArrivalTimestamp":{seconds}"#)),
        (0_u64..4_000_000_000_000).prop_map(|ms| format!(
            r#""ApproximateArrivalTimestamp":{}.{:03}"#,
            ms / 1000,
            ms % 1000
        )),
        (0_u64..4_000_000_000_000).prop_map(|ms| format!(r#""ApproximateArrivalTimestamp":{:E}"#, ms as f64 / 1000.0)),
        Just(r#""EncryptionType":"NONE""#.to_owned()),
        Just(r#""PartitionKey":null"#.to_owned()),
        (text(), value()).prop_map(|(key, value)| format!(r#""{key}":{value}"#)),
    ]
}

/// A value that a later version of the service may send.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        text().prop_map(|text| format!("\"{text}\"")),
        any::<i32>().prop_map(|number| number.to_string()),
        (-1e300_f64..1e300).prop_map(|number| format!("{number:e}")),
        prop::sample::select(&["true", "false", "null", "[]", "{}"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[ {} ]", values.join(" , "))),
            prop::collection::vec((text(), inner), 0..4).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\" : {value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn answer() -> impl Strategy<Value = String> {
    let record = prop::collection::vec(member(), 0..6).prop_map(|members| format!("{{{}}}", members.join(",")));
    let records = prop::collection::vec(record, 0..6);
    (records, text(), any::<i64>(), any::<bool>()).prop_map(|(records, iterator, behind, spaced)| {
        let comma = if spaced { " ,\n\t" } else { "," };
        format!(
            r#"{{"NextShardIterator":"{iterator}","Records":[{}],"MillisBehindLatest":{behind}}}"#,
            records.join(comma)
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_response_is_parsed_as_by_the_sdk(text in answer()) {
        same(text.as_bytes());
    }

    /// No text is parsed to other values than the SDK's; a text that only one of them accepts is an
    /// error.
    #[test]
    fn a_damaged_response_is_never_parsed_differently(
        text in answer(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..4),
    ) {
        let mut text = text.into_bytes();
        for (place, byte, how) in damage {
            let at = place.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
        }
        strict(&text);
    }

    /// Numbers, payloads, strings and nesting that only resemble JSON, in known and unknown
    /// members.
    #[test]
    fn our_parser_accepts_nothing_that_the_sdk_rejects(
        members in prop::collection::vec((known_or_not(), odd_value()), 1..5),
        in_record in any::<bool>(),
    ) {
        let mut text = if in_record { b"{\"Records\":[{".to_vec() } else { b"{".to_vec() };
        for (place, (key, value)) in members.iter().enumerate() {
            text.extend_from_slice(if place > 0 { b"," } else { b"" });
            text.extend_from_slice(format!("\"{key}\":").as_bytes());
            text.extend_from_slice(value);
        }
        text.extend_from_slice(if in_record { b"}]}" } else { b"}" });
        strict(&text);
    }
}

fn known_or_not() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&[
        "Data",
        "PartitionKey",
        "SequenceNumber",
        "ApproximateArrivalTimestamp",
        "MillisBehindLatest",
        "Records",
        "NextShardIterator",
        "EncryptionType",
        "ChildShards",
        "Later",
        "__type",
    ])
}

fn odd_value() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop_oneof![
        3 => "[-+]?[0-9]{0,3}[.]?[0-9]{0,2}([eE][-+]?[0-9]{0,2}){0,2}".prop_map(String::into_bytes),
        2 => "\"[A-Za-z0-9+/=_-]{0,9}\"".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..6)
            .prop_map(|bytes| [b"\"".as_slice(), &bytes, b"\""].concat()),
        1 => "\"(a|\\\\[a-zA-Z\"/]|\\\\u[0-9a-fA-F]{2,4}|\\\\ud83d\\\\ude00){0,5}\"".prop_map(String::into_bytes),
        1 => prop::sample::select(&["true", "nul", "null", "nullx", "truefalse", "[]", "[,]", "[null]", "{}", "[1,]", ""])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    odd.prop_recursive(4, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3)
                .prop_map(|values| [b"[", values.join(&b',').as_slice(), b"]"].concat()),
            (known_or_not(), inner)
                .prop_map(|(key, value)| [format!("{{\"{key}\":").as_bytes(), &value, b"}"].concat()),
        ]
    })
}
