//! An outage of hours in the log: few enough lines that an operator can read them.

use crate::world::refusal::AwsError;
use crate::world::weather::{Fate, Service};
use crate::world::{Making, World, run};
use kcl_core::{Retrieval, Settings};
use kcl_tests::said::Said;
use std::collections::BTreeMap;
use std::time::Duration;
use tracing::Level;

const SHARDS: u32 = 64;

/// Two hours where the code is fast. Twenty minutes are enough for all that happens in an outage, as what follows repeats itself.
const MINUTES: u64 = if cfg!(debug_assertions) { 20 } else { 120 };
const OUTAGE: Duration = Duration::from_secs(60 * MINUTES);

/// A line a minute from each of two workers, and 60 for how it begins and ends: 300 in two hours.
const MOST_LINES: u64 = 2 * MINUTES + 60;

/// Idle shards are polled seldom, so that the test takes seconds: no line depends on it.
const IDLE: Duration = Duration::from_secs(4);

/// A fleet whose calls to this service all meet this fate for so long; counts the log lines from then on until everything
/// is read again, and a minute more.
fn lines_of_an_outage(service: Service, fate: Fate, retrieval: Retrieval) {
    let said = Said::default();
    let text = tracing::subscriber::with_default(said.at_least(Level::INFO), || {
        run(async {
            let settings = Settings::default().retrieval(retrieval).idle_poll_interval(IDLE);
            let mut world = World::new(Making { settings, ..Making::new(7, SHARDS) });
            world.fleet(&["ann", "ben"]).await;
            world.stream.put(100);
            world.until_handled(Duration::from_secs(30)).await;
            let (history, from, before) = (world.history.clone(), world.history.now(), said.text().len());
            world.weather.rule(move |call| (call.service == service && history.now() - from < OUTAGE).then_some(fate));
            world.pass(OUTAGE).await;
            assert_eq!(world.alive().len(), 2, "nobody ends");
            world.stream.put(100);
            world.until_handled(Duration::from_secs(10)).await;
            world.seconds(60).await;
            said.text().split_off(before)
        })
    });
    let lines = text.lines().count() as u64;
    assert!(lines > MINUTES, "the outage is reported:\n{text}");
    assert!(lines <= MOST_LINES, "{lines} lines about {service:?}, {fate:?}, {retrieval:?}: {:#?}", kinds(&text));
}

/// How many lines are alike but for their numbers.
fn kinds(text: &str) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for line in text.lines() {
        let after_the_time = line.split_once(' ').map_or(line, |(_, rest)| rest);
        let alike = after_the_time.replace(|digit: char| digit.is_ascii_digit(), "");
        *kinds.entry(alike).or_default() += 1;
    }
    kinds
}

#[test]
fn hours_without_the_lease_table_are_two_log_lines_a_minute() {
    for fate in [Fate::LostRequest, Fate::Refused(AwsError::AccessDenied)] {
        lines_of_an_outage(Service::Table, fate, Retrieval::Polling);
    }
}

#[test]
fn hours_without_kinesis_are_two_log_lines_a_minute() {
    for fate in [Fate::LostRequest, Fate::Refused(AwsError::AccessDenied)] {
        lines_of_an_outage(Service::Stream, fate, Retrieval::Polling);
    }
}

#[test]
fn hours_without_kinesis_are_two_log_lines_a_minute_where_records_are_pushed() {
    for fate in [Fate::LostRequest, Fate::Refused(AwsError::InternalError)] {
        lines_of_an_outage(Service::Stream, fate, Retrieval::Auto);
    }
}
