//! Holds the page of KCL-0001 against what `validate` refuses: every rule is on the page, and every rule on the page holds.

use super::{Settings, Start};
use crate::error::Code;
use crate::processor::Concurrency;
use crate::retrieval::Retrieval;
use std::collections::BTreeSet;
use std::time::Duration;

/// A rule as the page has it, and settings that break it, each with a word of the message.
struct Rule {
    says: &'static str,
    broken_by: Vec<(Settings, &'static str)>,
}

fn rule(says: &'static str, broken_by: impl IntoIterator<Item = (Settings, &'static str)>) -> Rule {
    Rule { says, broken_by: broken_by.into_iter().collect() }
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

/// In the order of the page.
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
            "`heartbeat` is at most a third of `failover_time`: a worker stops delivering after 95 % of `failover_time` without a confirmed heartbeat, and must be able to lose one.",
            [(settings().heartbeat(seconds(4)), "longer than a third")],
        ),
        rule(
            "`watch` is shorter than `heartbeat`, or live workers would seem silent. With no `heartbeat` set, it is a quarter of `failover_time`, so a `failover_time` of 2 s or less needs a shorter `watch`.",
            [(settings().failover_time(seconds(2)), "not shorter than `heartbeat`")],
        ),
        rule(
            "`watch` and `assignment_interval` are at most 1.5 s: two polls and a claim must fit into the 4 s that a worker has to take a free lease.",
            [(settings().watch(seconds(2)), "is above 1s 500ms")],
        ),
        rule(
            "`watch` and `assignment_interval` are short enough for `failover_time`: a live worker that is polled late must not seem silent for `failover_time`.",
            [(settings().failover_time(seconds(3)).watch(millis(600)), "is too long for `failover_time`")],
        ),
        rule(
            "`handoff_timeout` is at least twice `watch` and the time of one call (a fifth of `failover_time`, at most 2 s): 3 s with the defaults.",
            [(settings().handoff_timeout(seconds(2)), "every planned move would be cut short")],
        ),
        rule(
            "`shutdown_deadline` is at least the time of one call.",
            [(settings().shutdown_deadline(seconds(1)), "nothing could be released")],
        ),
        rule("`max_claims_in_flight` is at least 1.", [(settings().max_claims_in_flight(0), "could take no lease")]),
        rule("`max_leases` is at least 1, or absent.", [(settings().max_leases(0), "or leave it out")]),
        rule("`max_records` is 1 to 10000.", [(settings().max_records(0), "Kinesis allows 1 to 10000")]),
        rule(
            "`byte_budget` holds one answer of Kinesis, 10 MiB.",
            [(settings().byte_budget(1), "one answer of Kinesis")],
        ),
        rule(
            "`idle_poll_interval` is at least `poll_interval`.",
            [(settings().idle_poll_interval(millis(1)), "raise `idle_poll_interval`")],
        ),
        rule("`start` and `until` are not before 1970.", [(settings().start(Start::AtTimestamp(-1)), "before 1970")]),
        rule(
            "`start` and `until` are milliseconds: a number that only makes sense in seconds, microseconds or nanoseconds is refused.",
            [(settings().start(Start::AtTimestamp(1_767_225_600)), "looks like seconds")],
        ),
        rule(
            "`consumer_name`, `consumer_arn` and `deregister_consumer` need `retrieval` to be `auto` or `fan-out`.",
            [(settings().deregister_consumer(true), "mean nothing where")],
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
            [(fan_out().consumer_arn(CONSUMER).deregister_consumer(true), "who registered that consumer keeps it")],
        ),
        rule(
            "`concurrency` asks for 1 to 1024 handlers a shard.",
            [(settings().concurrency(Concurrency::PerKey(0)), "1 to 1024 can work on one")],
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
            [(settings().max_batch_records(0), "no record could be handed over")],
        ),
        rule(
            "`max_quarantined` is 1 to 1000; fewer find room where keys or errors are long (200 KB in all).",
            [(settings().max_quarantined(0), "expected 1 to 1000")],
        ),
        rule(
            "`batch_window` is shorter than `acknowledge_deadline`.",
            [(settings().batch_window(seconds(600)), "every batch would seem stuck")],
        ),
        rule(
            "`fetch_deadline` holds two read calls.",
            [(settings().fetch_deadline(seconds(1)), "does not hold two read calls")],
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
            [(settings().start(Start::AtTimestamp(5)).until(5), "nothing lies between them")],
        ),
        rule(
            "`until` needs a `start` other than `LATEST`.",
            [(settings().start(Start::Latest).until(5), "is `LATEST`")],
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

/// Rules that only a worker of several streams has.
fn of_several() -> [Rule; 2] {
    [
        rule(
            "A worker of several streams has no `consumer_arn`: its streams have.",
            [(fan_out().consumer_arn(CONSUMER), "is a consumer of one stream")],
        ),
        rule("A worker of several streams has no `until`.", [(settings().until(5), "ends a replay of one stream")]),
    ]
}

#[test]
fn the_page_lists_every_rule_and_each_is_enforced() {
    let refused = |error: Option<crate::Error>, expected: &str, rule: &Rule| {
        let error = error.unwrap_or_else(|| panic!("not refused: {}", rule.says));
        assert_eq!(error.code(), Code::Setting);
        assert!(error.to_string().contains(expected), "`{expected}` for the rule `{}`: {error}", rule.says);
    };
    for rule in &rules() {
        for (settings, expected) in &rule.broken_by {
            refused(settings.validate().err(), expected, rule);
        }
    }
    for rule in &of_several() {
        for (settings, expected) in &rule.broken_by {
            refused(settings.validate_for_several().err(), expected, rule);
        }
    }
    let (_, after) = Code::Setting.page().split_once("\nThe rules:\n\n").expect("the page lists the rules");
    let listed: Vec<&str> = after.lines().map_while(|line| line.strip_prefix("- ")).collect();
    let expected: Vec<&str> = rules().iter().chain(&of_several()).map(|rule| rule.says).collect();
    let list: String = expected.iter().map(|says| format!("- {says}\n")).collect();
    assert_eq!(listed, expected, "put this list into KCL-0001.md:\n{list}");
}

#[test]
fn every_refusal_in_the_code_is_one_of_the_rules() {
    let source = include_str!("validate.rs");
    let (code, _) = source.split_once("#[cfg(test)]").unwrap_or((source, ""));
    // However rustfmt breaks the line.
    let code: String = code.split_whitespace().collect();
    let refusals = code.matches("wrong.push(").count();
    let rules: BTreeSet<&str> = rules().iter().chain(&of_several()).map(|rule| rule.says).collect();
    // Two places refuse a time of zero: times that are always there, and times that may be absent.
    assert_eq!(
        refusals,
        rules.len() + 1,
        "`validate.rs` has another number of refusals than there are rules: list it here"
    );
}
