//! Compares the rules on the page of KCL-0001 with the refusals of `validate`.

use super::{Concurrency, Retrieval, Settings, Start};
use crate::error::Code;
use crate::record::system_time;
use std::collections::BTreeSet;
use std::time::Duration;

/// A rule as the page states it, and settings that violate it, each with a part of the expected
/// message.
struct Rule {
    text: &'static str,
    violated_by: Vec<(Settings, &'static str)>,
}

fn rule(text: &'static str, violated_by: impl IntoIterator<Item = (Settings, &'static str)>) -> Rule {
    Rule { text, violated_by: violated_by.into_iter().collect() }
}

fn settings() -> Settings {
    Settings::default()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn fan_out() -> Settings {
    settings().retrieval(Retrieval::Auto)
}

const CONSUMER: &str = "arn:aws:kinesis:us-east-1:123456789012:stream/orders/consumer/billing:1700000000";

/// The rules, in the order of the page.
fn rules() -> Vec<Rule> {
    let millis = Duration::from_millis;
    vec![
        rule(
            "Every time is above zero, except `poll_interval` and `batch_window`, which may be zero.",
            [
                (settings().failover_time(Duration::ZERO), "`failover_time` is zero"),
                (settings().handler_timeout(Duration::ZERO), "`handler_timeout` is zero"),
            ],
        ),
        rule(
            "`failover_time` is at most 24 hours.",
            [(settings().failover_time(seconds(86_401)), "is longer than 1day")],
        ),
        rule(
            "`heartbeat_interval` is at most a third of `failover_time`: a worker stops delivering after 95 % of `failover_time` without a confirmed heartbeat, and must be able to lose one.",
            [(settings().heartbeat_interval(seconds(4)), "longer than a third")],
        ),
        rule(
            "`fleet_poll_interval` is shorter than `heartbeat_interval`, or workers would miss heartbeats. If `heartbeat_interval` is not set, it is a quarter of `failover_time`, so a `failover_time` of 2 s or less needs a shorter `fleet_poll_interval`.",
            [(settings().failover_time(seconds(2)), "not shorter than `heartbeat_interval`")],
        ),
        rule(
            "`fleet_poll_interval` and `assignment_interval` are at most 1.5 s: two polls and a claim must fit into the 4 s that a worker has to claim a free lease.",
            [(settings().fleet_poll_interval(seconds(2)), "is above 1s 500ms")],
        ),
        rule(
            "`fleet_poll_interval` and `assignment_interval` are short enough for `failover_time`: the heartbeat of a live worker must not look unchanged for `failover_time` if polls are late.",
            [(
                settings().failover_time(seconds(3)).fleet_poll_interval(millis(600)),
                "is too long for `failover_time`",
            )],
        ),
        rule(
            "`handoff_timeout` is at least twice `fleet_poll_interval` plus the time of one call (a fifth of `failover_time`, at most 2 s): 3 s with the defaults.",
            [(settings().handoff_timeout(seconds(2)), "no handler could finish its batch")],
        ),
        rule(
            "`shutdown_deadline` is at least the time of one call.",
            [(settings().shutdown_deadline(seconds(1)), "no lease could be released")],
        ),
        rule("`max_claims_in_flight` is at least 1.", [(settings().max_claims_in_flight(0), "could claim no lease")]),
        rule("`max_leases` is at least 1, or not set.", [(settings().max_leases(0), "or leave it unset")]),
        rule("`max_records` is 1 to 10000.", [(settings().max_records(0), "Kinesis allows 1 to 10000")]),
        rule(
            "`byte_budget` is at least 10 MiB, the size of the largest answer of Kinesis.",
            [(settings().byte_budget(1), "one answer of Kinesis")],
        ),
        rule(
            "`idle_poll_interval` is at least `poll_interval`.",
            [(settings().idle_poll_interval(millis(1)), "raise `idle_poll_interval`")],
        ),
        rule(
            "`start` and `until` are not before 1970.",
            [(settings().start(Start::of_millis(-1)), "must not be before 1970")],
        ),
        rule(
            "`start` and `until` as numbers are in milliseconds: a number that only makes sense in seconds, microseconds or nanoseconds is refused.",
            [(settings().start(Start::of_millis(1_767_225_600)), "looks like seconds")],
        ),
        rule(
            "`consumer_name`, `consumer_arn` and `deregister_consumer` need `retrieval` to be `auto` or `fan-out`.",
            [(settings().deregister_consumer(true), "have no effect if")],
        ),
        rule(
            "`consumer_name` and `consumer_arn` are not both set.",
            [(fan_out().consumer_name("billing").consumer_arn(CONSUMER), "both name a consumer")],
        ),
        rule(
            "`consumer_name` has 1 to 128 letters, digits, `_`, `.` or `-`.",
            [(fan_out().consumer_name("a b"), "expected 1 to 128 letters")],
        ),
        rule("`consumer_arn` is the ARN of a consumer.", [(fan_out().consumer_arn("billing"), "expected `arn:")]),
        rule(
            "`deregister_consumer` is not set with `consumer_arn`.",
            [(fan_out().consumer_arn(CONSUMER).deregister_consumer(true), "is not deregistered")],
        ),
        rule(
            "`concurrency` has 1 to 1024 handlers per shard.",
            [(settings().concurrency(Concurrency::PerKey(0)), "allowed are 1 to 1024")],
        ),
        rule(
            "`manual_checkpoints` needs `concurrency` to be `serial` or `auto`.",
            [(
                settings().manual_checkpoints(true).concurrency(Concurrency::PerKey(2)),
                "set `concurrency` to `serial`",
            )],
        ),
        rule(
            "`max_batch_records`, `max_batch_bytes` and `max_unacknowledged` are at least 1.",
            [(settings().max_batch_records(0), "no record could be delivered")],
        ),
        rule(
            "`max_quarantined` is 1 to 1000. Fewer records fit if keys or errors are long (200 KB in all).",
            [(settings().max_quarantined(0), "expected 1 to 1000")],
        ),
        rule(
            "`batch_window` is shorter than `acknowledge_deadline`.",
            [(settings().batch_window(seconds(600)), "every shard would look stalled")],
        ),
        rule(
            "`fetch_deadline` is at least the time of two read calls.",
            [(settings().fetch_deadline(seconds(1)), "is shorter than two read calls")],
        ),
        rule(
            "`acknowledge_deadline` is at least `process_deadline`.",
            [(settings().process_deadline(seconds(601)), "raise `acknowledge_deadline`")],
        ),
        rule(
            "`checkpoint_deadline` is longer than `checkpoint_interval`.",
            [(settings().checkpoint_interval(seconds(60)), "every checkpoint would be late")],
        ),
        rule(
            "`until` is after `start`.",
            [(settings().start(Start::of_millis(5)).until(system_time(5)), "the range is empty")],
        ),
        rule(
            "`until` needs a `start` other than `LATEST`.",
            [(settings().start(Start::Latest).until(system_time(5)), "is `LATEST`")],
        ),
        rule(
            "`table_name` has 3 to 255 of a-z, A-Z, 0-9, `_`, `-` and `.`.",
            [(settings().table_name("ab"), "DynamoDB allows 3 to 255")],
        ),
        rule(
            "`table_tags` has at most 50 tags.",
            [(settings().table_tags(vec![("a".to_owned(), "b".to_owned()); 51]), "AWS allows 50")],
        ),
        rule(
            "A tag's key has 1 to 128 characters and does not begin with `aws:`; its value has at most 256.",
            [(settings().table_tags(vec![("aws:a".to_owned(), "b".to_owned())]), "do not begin with `aws:`")],
        ),
    ]
}

/// The rules for workers of several streams only.
fn of_several() -> [Rule; 2] {
    [
        rule(
            "A worker of several streams has no `consumer_arn`; its streams may have one each.",
            [(fan_out().consumer_arn(CONSUMER), "is a consumer of one stream")],
        ),
        rule(
            "A worker of several streams has no `until`.",
            [(settings().until(system_time(5)), "ends a replay of one stream")],
        ),
    ]
}

#[test]
fn the_page_lists_every_rule_and_each_is_enforced() {
    let refused = |error: Option<crate::Error>, expected: &str, rule: &Rule| {
        let error = error.unwrap_or_else(|| panic!("not refused: {}", rule.text));
        assert_eq!(error.code(), Code::Setting);
        assert!(error.to_string().contains(expected), "`{expected}` for the rule `{}`: {error}", rule.text);
    };
    for rule in &rules() {
        for (settings, expected) in &rule.violated_by {
            refused(settings.validate().err(), expected, rule);
        }
    }
    for rule in &of_several() {
        for (settings, expected) in &rule.violated_by {
            refused(settings.validate_for_several().err(), expected, rule);
        }
    }
    let (_, after) = Code::Setting.page().split_once("\nThe rules:\n\n").expect("the page lists the rules");
    let listed: Vec<&str> = after.lines().map_while(|line| line.strip_prefix("- ")).collect();
    let expected: Vec<&str> = rules().iter().chain(&of_several()).map(|rule| rule.text).collect();
    let list: String = expected.iter().map(|text| format!("- {text}\n")).collect();
    assert_eq!(listed, expected, "put this list into KCL-0001.md:\n{list}");
}

#[test]
fn every_refusal_in_the_code_is_one_of_the_rules() {
    let source = include_str!("validate.rs");
    let (code, _) = source.split_once("#[cfg(test)]").unwrap_or((source, ""));
    // Without white space, so that it does not matter where rustfmt breaks lines.
    let code: String = code.split_whitespace().collect();
    let refusals = code.matches("wrong.push(").count();
    let rules: BTreeSet<&str> = rules().iter().chain(&of_several()).map(|rule| rule.text).collect();
    // Two places refuse a time of zero: one for required times, one for optional times.
    assert_eq!(refusals, rules.len() + 1, "`validate.rs` has another number of refusals than the list here has rules");
}
