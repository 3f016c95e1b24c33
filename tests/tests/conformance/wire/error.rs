//! The errors that a client receives, and the order in which the server checks.

use http::StatusCode;
use kcl_local::Fault;

use super::http::{Answer, CBOR, JSON, SIGNATURE, Wire};

fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.json()["__type"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn k93_errors_have_type_and_message_and_status_400() {
    let wire = Wire::start().await;
    let answer = wire.call(JSON, "DescribeStream", r#"{"StreamName":"none"}"#).await;
    assert_eq!(refusal(&answer), (400, "ResourceNotFoundException".to_owned()));
    assert_eq!(answer.header("content-type"), JSON);
    let json = answer.json();
    let members: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(members, ["__type", "message"]);
}

#[tokio::test]
async fn k93_internal_failure_is_500_and_service_unavailable_503() {
    let wire = Wire::start().await;
    wire.aws.faults().once("ListStreams", Fault::Error("InternalFailure".to_owned()));
    wire.aws.faults().once("ListStreams", Fault::Error("ServiceUnavailable".to_owned()));
    let failed = wire.call(JSON, "ListStreams", "{}").await;
    assert_eq!(refusal(&failed), (500, "InternalFailure".to_owned()));
    assert_eq!(wire.call(JSON, "ListStreams", "{}").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn k93_every_answer_has_its_own_request_id() {
    let wire = Wire::start().await;
    let answers = [
        wire.call(JSON, "ListStreams", "{}").await,
        wire.call(JSON, "DescribeStream", r#"{"StreamName":"none"}"#).await,
        wire.call(CBOR, "ListStreams", [0xa0].to_vec()).await,
        wire.call(JSON, "Nonsense", "{}").await,
        wire.call("text/plain", "ListStreams", "{}").await,
        wire.send(&[], "").await,
    ];
    let mut ids: Vec<_> = answers.iter().map(|answer| answer.header("x-amzn-requestid")).collect();
    assert!(ids.iter().all(|id| id.len() == 36 && id.matches('-').count() == 4), "{ids:?}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), answers.len());
    for answer in &answers {
        assert!(!answer.header("x-amz-id-2").is_empty());
        assert!(answer.header("x-amz-crc32").is_empty());
        assert!(answer.header("date").ends_with(" GMT"));
    }
}

#[tokio::test]
async fn k94_a_member_of_the_wrong_type_is_a_serialization_exception_with_a_capital_message() {
    let wire = Wire::start().await;
    for body in [r#"{"StreamName":5}"#, r#"{"StreamName":"a","Limit":"five"}"#, r#"{"StreamName":{}}"#] {
        let answer = wire.call(JSON, "DescribeStream", body).await;
        assert_eq!(refusal(&answer), (400, "SerializationException".to_owned()), "{body}");
        assert!(answer.json()["Message"].is_string() && answer.json()["message"].is_null(), "{}", answer.text());
    }
}

#[tokio::test]
async fn k94_a_body_that_does_not_parse_is_a_serialization_exception() {
    let wire = Wire::start().await;
    for body in ["nonsense", "{", r#"{"StreamName":"a"} x"#] {
        let answer = wire.call(JSON, "DescribeStream", body).await;
        assert_eq!(answer.text(), r#"{"__type":"SerializationException"}"#, "{body}");
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn k94_all_broken_constraints_are_listed() {
    let wire = Wire::start().await;
    let answer = wire.call(JSON, "PutRecord", r#"{"StreamName":"a b"}"#).await;
    assert_eq!(refusal(&answer).1, "ValidationException");
    let json = answer.json();
    let message = json["message"].as_str().unwrap();
    assert!(message.contains("validation errors detected"), "{message}");
    for member in ["streamName", "partitionKey", "data"] {
        assert!(message.contains(&format!("'{member}'")), "{member}: {message}");
    }
}

#[tokio::test]
async fn k95_an_unknown_operation_is_an_unknown_operation_exception() {
    let wire = Wire::start().await;
    let answer = wire.call(JSON, "CreateQueue", "{}").await;
    assert_eq!(answer.text(), r#"{"__type":"UnknownOperationException"}"#);
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let foreign = [("content-type", JSON), ("x-amz-target", "Sqs_2012.SendMessage")];
    assert_eq!(refusal(&wire.send(&foreign, "{}").await).1, "UnknownOperationException");
}

#[tokio::test]
async fn wire_the_body_is_parsed_before_the_target_is_read_and_the_signature_comes_third() {
    let wire = Wire::start().await;
    let list = ("x-amz-target", "Kinesis_20131202.ListStreams");
    let nonsense = ("x-amz-target", "Kinesis_20131202.Nonsense");
    let json = ("content-type", JSON);
    let checks = [
        (vec![json, nonsense], "{", "SerializationException"),
        (vec![json, list], "{", "SerializationException"),
        (vec![json, nonsense], "{}", "UnknownOperationException"),
        (vec![json, list], r#"{"Limit":"x"}"#, "MissingAuthenticationTokenException"),
        (vec![json, list, ("authorization", "AWS4-HMAC-SHA256 Signature=0")], "{}", "IncompleteSignatureException"),
    ];
    for (headers, body, error) in checks {
        let answer = wire.send(&headers, body).await;
        assert_eq!(refusal(&answer), (400, error.to_owned()), "{body}");
    }
}

#[tokio::test]
async fn wire_a_request_without_a_known_format_is_answered_in_xml() {
    let wire = Wire::start().await;
    let list = ("x-amz-target", "Kinesis_20131202.ListStreams");
    let unsigned = wire.send(&[("content-type", "text/plain"), list], "{}").await;
    assert_eq!(unsigned.status, StatusCode::FORBIDDEN);
    assert!(unsigned.text().starts_with("<MissingAuthenticationTokenException>"), "{}", unsigned.text());
    let signed = [("content-type", "text/plain"), list, ("authorization", SIGNATURE), ("x-amz-date", "d")];
    let signed = wire.send(&signed, "{}").await;
    assert_eq!(signed.status, StatusCode::NOT_FOUND);
    assert_eq!(signed.text(), "<UnknownOperationException/>\n");
    let nothing = wire.send(&[], "").await;
    assert_eq!(nothing.status, StatusCode::FORBIDDEN);
    assert!(nothing.text().starts_with("<AccessDeniedException>"), "{}", nothing.text());
}
