//! Registered consumers. K77 to K80.

use std::time::Duration;

use aws_sdk_kinesis::types::ConsumerStatus;

use super::failure::{ARGUMENT, IN_USE, LIMIT, NOT_FOUND, assert_refused};
use super::server::{Server, check};
use super::stream::Stream;

async fn register(stream: &Stream<'_>, name: &str) -> Result<String, super::failure::Failure> {
    let register = stream.server.client.register_stream_consumer().stream_arn(&stream.arn).consumer_name(name);
    let consumer = register.send().await?.consumer.unwrap();
    assert_eq!((consumer.consumer_name(), consumer.consumer_status()), (name, &ConsumerStatus::Creating));
    Ok(consumer.consumer_arn)
}

async fn status(stream: &Stream<'_>, name: &str) -> Result<ConsumerStatus, super::failure::Failure> {
    let describe = stream.server.client.describe_stream_consumer().stream_arn(&stream.arn).consumer_name(name);
    Ok(describe.send().await?.consumer_description.unwrap().consumer_status)
}

async fn deregister(stream: &Stream<'_>, name: &str) {
    let request = stream.server.client.deregister_stream_consumer().stream_arn(&stream.arn).consumer_name(name);
    request.send().await.unwrap();
    while status(stream, name).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn k77_a_consumer_is_creating_and_then_active_and_its_name_is_taken() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        register(&stream, "app").await.unwrap();
        assert_eq!(status(&stream, "app").await, Ok(ConsumerStatus::Creating));
        while status(&stream, "app").await != Ok(ConsumerStatus::Active) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_refused(register(&stream, "app").await, IN_USE);
    });
}

#[test]
fn k77_the_21st_consumer_is_refused() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        for number in 0..20 {
            let name = format!("app-{number}");
            register(&stream, &name).await.unwrap();
            while status(&stream, &name).await != Ok(ConsumerStatus::Active) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        assert_refused(register(&stream, "app-20").await, LIMIT);
        deregister(&stream, "app-7").await;
        register(&stream, "app-20").await.unwrap();
    });
}

#[test]
fn k78_an_arn_ends_in_name_and_epoch_and_is_never_given_again() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let first = register(&stream, "app").await.unwrap();
        let epoch = first.strip_prefix(&format!("{}/consumer/app:", stream.arn)).unwrap();
        let described = server.client.describe_stream_consumer().consumer_arn(&first).send().await.unwrap();
        let created = *described.consumer_description().unwrap().consumer_creation_timestamp();
        assert_eq!(epoch.parse(), Ok(created.secs()));
        deregister(&stream, "app").await;
        let second = register(&stream, "app").await.unwrap();
        assert_ne!(first, second);
        assert_refused(server.client.describe_stream_consumer().consumer_arn(&first).send().await, NOT_FOUND);
    });
}

#[test]
fn k79_a_consumer_is_named_by_its_arn_or_by_the_streams_arn_and_its_name() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        let arn = register(&stream, "app").await.unwrap();
        let describe = || server.client.describe_stream_consumer();
        let by_arn = describe().consumer_arn(&arn).send().await.unwrap().consumer_description.unwrap();
        let by_name = describe().stream_arn(&stream.arn).consumer_name("app").send().await.unwrap();
        let all = describe().consumer_arn(&arn).stream_arn(&stream.arn).consumer_name("app").send().await.unwrap();
        assert_eq!(Some(&by_arn), by_name.consumer_description());
        assert_eq!(Some(&by_arn), all.consumer_description());
        assert_eq!((by_arn.stream_arn(), by_arn.consumer_name()), (stream.arn.as_str(), "app"));
        assert_refused(describe().consumer_arn(&arn).consumer_name("other").send().await, ARGUMENT);
        assert_refused(describe().stream_arn(&stream.arn).send().await, ARGUMENT);
        assert_refused(describe().stream_arn(&stream.arn).consumer_name("other").send().await, NOT_FOUND);

        server.client.deregister_stream_consumer().consumer_arn(&arn).send().await.unwrap();
        let deleting = describe().consumer_arn(&arn).send().await.unwrap().consumer_description.unwrap();
        assert_eq!(deleting.consumer_status(), &ConsumerStatus::Deleting);
        deregister(&stream, "app").await;
        register(&stream, "app").await.unwrap();
        deregister(&stream, "app").await;
    });
}

#[test]
fn k80_consumers_are_listed_in_pages() {
    check(async |server: &Server| {
        let stream = server.stream(1).await;
        for number in 0..5 {
            register(&stream, &format!("app-{number}")).await.unwrap();
        }
        let list = || server.client.list_stream_consumers().stream_arn(&stream.arn);
        let mut page = list().max_results(2).send().await.unwrap();
        let mut names = Vec::new();
        loop {
            assert!(page.consumers().len() <= 2);
            names.extend(page.consumers().iter().map(|consumer| consumer.consumer_name().to_owned()));
            match page.next_token() {
                Some(token) => page = list().max_results(2).next_token(token).send().await.unwrap(),
                None => break,
            }
        }
        names.sort_unstable();
        assert_eq!(names, (0..5).map(|number| format!("app-{number}")).collect::<Vec<_>>());
        assert_eq!(list().send().await.unwrap().consumers().len(), 5);
        assert_refused(list().next_token("garbage").send().await, ARGUMENT);
    });
}
