//! Checks the values of settings, alone and against each other. Each refusal has its reason.
//!
//! `KCL-0001.md` lists the rules; the tests in `rules.rs` compare the two.

use super::{Concurrency, Retrieval, Settings, Start, timestamp, timing};
use crate::error::{Code, Error};
use std::time::Duration;

/// Kinesis: the most records and bytes in one answer of GetRecords.
const MOST_RECORDS: u32 = 10_000;
const LARGEST_ANSWER: usize = 10 * 1024 * 1024;

/// The most tasks and processors per shard.
const MOST_LANES: u16 = 1_024;
/// Quarantine is also full at 200 KB, half of the size that DynamoDB allows a row. This number of
/// records of one key fits.
const MOST_QUARANTINED: usize = 1_000;

/// DynamoDB: the limits of a table's name and tags.
const TABLE_NAME: std::ops::RangeInclusive<usize> = 3..=255;
const MOST_TAGS: usize = 50;
const LONGEST_TAG_KEY: usize = 128;
const LONGEST_TAG_VALUE: usize = 256;

impl Settings {
    /// Checks all values, alone and against each other.
    ///
    /// # Errors
    /// [`Code::Setting`] with all violated rules: setting, value and reason of each.
    pub fn validate(&self) -> Result<(), Error> {
        let mut wrong = self.violations();
        wrong.extend(self.consumer_violations());
        result(&wrong)
    }

    /// Checks the settings of a worker of several streams. The settings of each stream's fan-out
    /// consumer are checked per stream.
    ///
    /// # Errors
    /// As [`validate`](Self::validate), and for settings that only a worker of one stream can have.
    pub(crate) fn validate_for_several(&self) -> Result<(), Error> {
        let mut wrong = self.violations();
        if let Some(arn) = &self.consumer_arn {
            wrong.push(format!(
                "`consumer_arn` (`{arn}`) is a consumer of one stream, and this worker reads several: set it for its stream with \
                 `StreamConfig::consumer_arn`, or set `consumer_name`, which applies to all streams"
            ));
        }
        if self.until.is_some() {
            wrong.push(
                "`until` ends a replay of one stream, and this worker reads several: replay each of them with a worker of its \
                 own"
                .to_owned(),
            );
        }
        result(&wrong)
    }

    /// Checks the rules that depend on `failover_time`, which a worker may adopt from its fleet.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub(crate) fn validate_timing(&self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        self.check_sessions(&mut wrong);
        self.check_moves(&mut wrong);
        result(&wrong)
    }

    fn violations(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        self.check_above_zero(&mut wrong);
        self.check_sessions(&mut wrong);
        self.check_moves(&mut wrong);
        self.check_reading(&mut wrong);
        self.check_times(&mut wrong);
        self.check_watchdogs(&mut wrong);
        self.check_handling(&mut wrong);
        self.check_table(&mut wrong);
        self.check_range(&mut wrong);
        wrong
    }

    /// A loop with a pause of zero spins, and a deadline of zero expires at once.
    fn check_above_zero(&self, wrong: &mut Vec<String>) {
        let intervals = [
            ("failover_time", self.failover_time),
            ("heartbeat_interval", self.effective_heartbeat_interval()),
            ("fleet_poll_interval", self.fleet_poll_interval),
            ("assignment_interval", self.assignment_interval),
            ("handoff_timeout", self.handoff_timeout),
            ("shutdown_deadline", self.shutdown_deadline),
            ("start_deadline", self.start_deadline),
            ("checkpoint_interval", self.checkpoint_interval),
            ("shard_sync_interval", self.shard_sync_interval),
            ("java_failover_time", self.java_failover_time),
            ("idle_poll_interval", self.idle_poll_interval),
            ("fetch_deadline", self.fetch_deadline),
            ("process_deadline", self.process_deadline),
            ("acknowledge_deadline", self.acknowledge_deadline),
            ("checkpoint_deadline", self.checkpoint_deadline),
        ];
        for (name, _) in intervals.iter().filter(|(_, interval)| interval.is_zero()) {
            wrong.push(format!("`{name}` is zero: set a time above zero"));
        }
    }

    fn check_sessions(&self, wrong: &mut Vec<String>) {
        let (failover, heartbeat) = (self.failover_time, self.effective_heartbeat_interval());
        let poll_interval = self.fleet_poll_interval;
        // Delivery stops 0.95 of the failover time after the last confirmed heartbeat. With a third
        // of it, one heartbeat may be lost and the next still has time for its answer (a property
        // in `coordination::timing_tests`).
        if heartbeat > failover / 3 {
            wrong.push(format!(
                "`heartbeat_interval` ({}) is longer than a third of `failover_time` ({}): one lost heartbeat would end the \
                 session; lower `heartbeat_interval` or raise `failover_time`",
                shown(heartbeat),
                shown(failover)
            ));
        }
        if poll_interval >= heartbeat && !heartbeat.is_zero() {
            wrong.push(format!(
                "`fleet_poll_interval` ({}) is not shorter than `heartbeat_interval` ({}{}): a worker could miss the leader's \
                 heartbeats and treat it as dead; lower `fleet_poll_interval` or raise `{}`",
                shown(poll_interval),
                shown(heartbeat),
                if self.heartbeat_interval.is_none() { ", a quarter of `failover_time`" } else { "" },
                if self.heartbeat_interval.is_none() { "failover_time" } else { "heartbeat_interval" },
            ));
        }
        let longest = timing::LONGEST_FAILOVER_TIME;
        if failover > longest {
            wrong.push(format!(
                "`failover_time` ({}) is longer than {}: nobody would read a dead worker's shards for this time; lower it",
                shown(failover),
                shown(longest)
            ));
        }
        if failover.is_zero() || heartbeat.is_zero() || poll_interval.is_zero() || heartbeat > failover / 3 {
            return;
        }
        for (name, interval, polls) in [
            ("fleet_poll_interval", poll_interval, poll_interval),
            ("assignment_interval", self.assignment_interval, timing::tick(self.assignment_interval, failover)),
        ] {
            if interval > timing::longest_poll_interval() {
                wrong.push(format!(
                    "`{name}` ({}) is above {}: two polls and a claim would not fit into the {} that a worker has to claim a free \
                     lease; lower it",
                    shown(interval),
                    shown(timing::longest_poll_interval()),
                    shown(timing::FREE_LEASE_CLAIM)
                ));
                continue;
            }
            let unchanged = timing::longest_unchanged(heartbeat, polls, failover);
            if unchanged > failover {
                wrong.push(format!(
                    "`{name}` ({}) is too long for `failover_time` ({}): after polls that are up to {} apart, the heartbeat of a \
                     live worker (every {}) could look unchanged for {}, and the worker would be treated as dead; lower \
                     `{name}` or `heartbeat_interval`, or raise `failover_time`",
                    shown(interval),
                    shown(failover),
                    shown(timing::longest_gap(failover, polls)),
                    shown(heartbeat),
                    shown(unchanged)
                ));
            }
        }
    }

    fn check_moves(&self, wrong: &mut Vec<String>) {
        let call = timing::call_timeout(self.failover_time);
        if self.handoff_timeout < timing::shortest_handoff(self.fleet_poll_interval, self.failover_time)
            && !self.handoff_timeout.is_zero()
        {
            wrong.push(format!(
                "`handoff_timeout` ({}) is shorter than two polls (`fleet_poll_interval` is {}) and the release, which may take \
                 {}: no handler could finish its batch before a planned move; raise `handoff_timeout`",
                shown(self.handoff_timeout),
                shown(self.fleet_poll_interval),
                shown(call)
            ));
        }
        if self.shutdown_deadline < call && !self.shutdown_deadline.is_zero() {
            wrong.push(format!(
                "`shutdown_deadline` ({}) is shorter than one write to the table may take ({}): no lease could be released; raise \
                 `shutdown_deadline`",
                shown(self.shutdown_deadline),
                shown(call)
            ));
        }
        if self.max_claims_in_flight == 0 {
            wrong.push("`max_claims_in_flight` is 0: the worker could claim no lease; set 1 or more".to_owned());
        }
        if self.max_leases == Some(0) {
            wrong.push(
                "`max_leases` is 0: the worker could claim no lease; set 1 or more, or leave it unset".to_owned(),
            );
        }
    }

    fn check_reading(&self, wrong: &mut Vec<String>) {
        if !(1..=MOST_RECORDS).contains(&self.max_records) {
            wrong.push(format!("`max_records` is {}: Kinesis allows 1 to {MOST_RECORDS}", self.max_records));
        }
        if self.byte_budget < LARGEST_ANSWER {
            wrong.push(format!(
                "`byte_budget` ({} bytes) is smaller than one answer of Kinesis, which may have 10MiB: set 10MiB or more",
                self.byte_budget
            ));
        }
        if self.idle_poll_interval < self.poll_interval {
            wrong.push(format!(
                "`idle_poll_interval` ({}) is shorter than `poll_interval` ({}): an idle shard would be read \
                 more often than one that is behind; raise `idle_poll_interval`",
                shown(self.idle_poll_interval),
                shown(self.poll_interval)
            ));
        }
    }

    /// Checks `start` and `until`, each for itself.
    pub(crate) fn check_times(&self, wrong: &mut Vec<String>) {
        let times = [("start", self.start.at_ms()), ("until", self.until_ms())];
        for (name, millis) in times.into_iter().filter_map(|(name, time)| Some((name, time?))) {
            if millis < 0 {
                wrong.push(format!("`{name}` is {millis} ms before or after 1970: it must not be before 1970"));
            }
            if let Some((unit, meant)) = other_unit(millis) {
                wrong.push(format!(
                    "`{name}` is {millis} ms since 1970, which is {}: the number looks like {unit} since 1970. In milliseconds it \
                     is {meant} ({}); write that, or a time such as `2026-01-01T00:00:00Z`",
                    timestamp(millis),
                    timestamp(meant)
                ));
            }
        }
    }

    /// Checks the settings of a stream's fan-out consumer.
    pub(crate) fn consumer_violations(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let (name, arn) = (&self.consumer_name, &self.consumer_arn);
        if self.retrieval == Retrieval::Polling && (name.is_some() || arn.is_some() || self.deregister_consumer) {
            wrong.push(
                "`consumer_name`, `consumer_arn` and `deregister_consumer` have no effect if `retrieval` is `polling`: set it \
                 to `auto` or `fan-out`"
                    .to_owned(),
            );
        }
        if let (Some(name), Some(arn)) = (name, arn) {
            wrong
                .push(format!("`consumer_name` (`{name}`) and `consumer_arn` (`{arn}`) both name a consumer: set one"));
        }
        let fits = |name: &str| {
            (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        };
        if let Some(name) = name.as_ref().filter(|name| !fits(name)) {
            wrong.push(format!("`consumer_name` is `{name}`: expected 1 to 128 letters, digits, `_`, `.` or `-`"));
        }
        if let Some(arn) = arn
            && stream_of_consumer(arn).is_none()
        {
            wrong.push(format!(
                "`consumer_arn` is `{arn}`: expected `arn:aws:kinesis:<region>:<account>:stream/<stream>/consumer/<name>:<time>`"
            ));
        }
        if arn.is_some() && self.deregister_consumer {
            wrong.push(
                "`deregister_consumer` with `consumer_arn`: a consumer that somebody else registered is not deregistered; set one of them"
                    .to_owned(),
            );
        }
        wrong
    }

    fn check_handling(&self, wrong: &mut Vec<String>) {
        let lanes = match self.concurrency {
            Concurrency::Auto | Concurrency::Serial => 1,
            Concurrency::PerKey(lanes) | Concurrency::Unordered(lanes) => lanes,
        };
        if !(1..=MOST_LANES).contains(&lanes) {
            wrong.push(format!("`concurrency` has {lanes} handlers per shard: allowed are 1 to {MOST_LANES}"));
        }
        if self.manual_checkpoints && !matches!(self.concurrency, Concurrency::Auto | Concurrency::Serial) {
            wrong.push(
                "`manual_checkpoints` with several handlers per shard: a handler does not know whether the records before its own \
                 are done; set `concurrency` to `serial`, or acknowledge record by record"
                    .to_owned(),
            );
        }
        for (name, value) in [
            ("max_batch_records", self.max_batch_records),
            ("max_batch_bytes", self.max_batch_bytes),
            ("max_unacknowledged", usize::try_from(self.max_unacknowledged).unwrap_or(usize::MAX)),
        ] {
            if value == 0 {
                wrong.push(format!("`{name}` is 0: no record could be delivered; set 1 or more"));
            }
        }
        if !(1..=MOST_QUARANTINED).contains(&self.max_quarantined) {
            wrong.push(format!(
                "`max_quarantined` is {}: expected 1 to {MOST_QUARANTINED}, because the lease row stores their positions (and fewer fit if \
                 keys or errors are long: 200 KB in all)",
                self.max_quarantined
            ));
        }
        for (name, time) in [("handler_timeout", self.handler_timeout), ("quarantine_retry", self.quarantine_retry)] {
            if time.is_some_and(|time| time.is_zero()) {
                wrong.push(format!("`{name}` is zero: set a time above zero, or leave it unset"));
            }
        }
        if self.batch_window >= self.acknowledge_deadline {
            wrong.push(format!(
                "`batch_window` ({}) is not shorter than `acknowledge_deadline` ({}): every shard would look stalled",
                shown(self.batch_window),
                shown(self.acknowledge_deadline)
            ));
        }
    }

    fn check_watchdogs(&self, wrong: &mut Vec<String>) {
        let longest_read = timing::READ_CALL_DEADLINE;
        if self.fetch_deadline < longest_read * 2 && !self.fetch_deadline.is_zero() {
            wrong.push(format!(
                "`fetch_deadline` ({}) is shorter than two read calls, which may take {} each: one slow answer would restart \
                 the fetch; raise it",
                shown(self.fetch_deadline),
                shown(longest_read)
            ));
        }
        if self.acknowledge_deadline < self.process_deadline {
            wrong.push(format!(
                "`acknowledge_deadline` ({}) is shorter than `process_deadline` ({}): records cannot be acknowledged before \
                 their handler finishes; raise `acknowledge_deadline`",
                shown(self.acknowledge_deadline),
                shown(self.process_deadline)
            ));
        }
        if self.checkpoint_deadline <= self.checkpoint_interval && !self.checkpoint_deadline.is_zero() {
            wrong.push(format!(
                "`checkpoint_deadline` ({}) is not longer than `checkpoint_interval` ({}): every checkpoint would be late; raise \
                 `checkpoint_deadline`",
                shown(self.checkpoint_deadline),
                shown(self.checkpoint_interval)
            ));
        }
    }

    /// Checks the range of a replay.
    fn check_range(&self, wrong: &mut Vec<String>) {
        let Some(until) = self.until_ms() else { return };
        match self.start {
            Start::AtTimestamp(_) if self.start.at_ms() >= Some(until) => wrong.push(format!(
                "`until` ({}) is not after `start` ({}): the range is empty; raise `until` or lower `start`",
                timestamp(until),
                timestamp(self.start.at_ms().unwrap_or_default())
            )),
            Start::Latest => wrong.push(
                "`until` ends a replay, and `start` is `LATEST`, which skips everything in the past: set `start` to \
                 `AT_TIMESTAMP(...)` or `TRIM_HORIZON`"
                    .to_owned(),
            ),
            Start::AtTimestamp(_) | Start::TrimHorizon => {}
        }
    }

    fn check_table(&self, wrong: &mut Vec<String>) {
        if let Some(name) = &self.table_name {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            if !TABLE_NAME.contains(&name.len()) || !name.chars().all(allowed) {
                wrong.push(format!(
                    "`table_name` is `{name}`: DynamoDB allows {} to {} of a-z, A-Z, 0-9, `_`, `-` and `.`",
                    TABLE_NAME.start(),
                    TABLE_NAME.end()
                ));
            }
        }
        if self.table_tags.len() > MOST_TAGS {
            wrong.push(format!("`table_tags` has {} tags: AWS allows {MOST_TAGS}", self.table_tags.len()));
        }
        for (key, value) in &self.table_tags {
            let fits =
                (1..=LONGEST_TAG_KEY).contains(&key.chars().count()) && value.chars().count() <= LONGEST_TAG_VALUE;
            if !fits || key.starts_with("aws:") {
                wrong.push(format!(
                    "`table_tags` has the tag `{key}`: AWS allows keys of 1 to {LONGEST_TAG_KEY} characters that do not \
                     begin with `aws:`, and values of up to {LONGEST_TAG_VALUE}"
                ));
            }
        }
    }
}

/// Returns the unit that a time was probably given in, if it makes no sense in milliseconds, and
/// the time in milliseconds.
///
/// Kinesis exists since 2013, so no record arrived before.
fn other_unit(millis: i64) -> Option<(&'static str, i64)> {
    const DAY: i64 = 24 * 60 * 60 * 1_000;
    const LAST: i64 = 131 * 365 * DAY;
    match millis {
        // 1973 to 2100, read as seconds; in milliseconds all of these are in 1970.
        _ if (100_000_000..LAST / 1_000).contains(&millis) => Some(("seconds", millis.saturating_mul(1_000))),
        _ if millis < LAST => None,
        _ if millis / 1_000 < LAST => Some(("microseconds", millis / 1_000)),
        _ => Some(("nanoseconds", millis / 1_000_000)),
    }
}

fn result(wrong: &[String]) -> Result<(), Error> {
    if wrong.is_empty() { Ok(()) } else { Err(Error::new(Code::Setting, wrong.join("; "))) }
}

fn shown(time: Duration) -> impl std::fmt::Display {
    humantime::format_duration(time)
}

/// Returns the stream's ARN, which a consumer's ARN contains.
pub(crate) fn stream_of_consumer(arn: &str) -> Option<&str> {
    let (stream, consumer) = arn.split_once("/consumer/")?;
    let named = consumer.split_once(':').is_some_and(|(name, created)| !name.is_empty() && !created.is_empty());
    (named && stream.starts_with("arn:") && stream.contains(":stream/")).then_some(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::system_time;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings() -> Settings {
        Settings::default()
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[track_caller]
    fn refused(settings: &Settings, because: &str) {
        let error = settings.validate().expect_err("should be refused");
        assert_eq!(error.code(), Code::Setting);
        assert!(error.to_string().contains(because), "{error}");
    }

    #[test]
    fn the_defaults_contradict_nothing() {
        settings().validate().unwrap();
    }

    #[test]
    fn a_short_failover_time_needs_nothing_else_changed() {
        settings().failover_time(3 * SECOND).validate().unwrap();
    }

    #[test]
    fn a_heartbeat_interval_is_at_most_a_third_of_the_failover_time() {
        settings().failover_time(9 * SECOND).heartbeat_interval(3 * SECOND).validate().unwrap();
        refused(
            &settings().failover_time(9 * SECOND).heartbeat_interval(millis(3_001)),
            "`heartbeat_interval` (3s 1ms) is longer than a third of `failover_time` (9s)",
        );
        refused(&settings().heartbeat_interval(11 * SECOND), "lower `heartbeat_interval` or raise `failover_time`");
    }

    #[test]
    fn a_poll_interval_is_shorter_than_a_heartbeat_interval() {
        settings().fleet_poll_interval(millis(999)).heartbeat_interval(SECOND).validate().unwrap();
        refused(
            &settings().fleet_poll_interval(SECOND).heartbeat_interval(SECOND),
            "`fleet_poll_interval` (1s) is not shorter than `heartbeat_interval` (1s)",
        );
        refused(
            &settings().failover_time(SECOND),
            "`fleet_poll_interval` (500ms) is not shorter than `heartbeat_interval` (250ms, a quarter of `failover_time`)",
        );
    }

    #[test]
    fn two_polls_and_a_claim_fit_into_the_time_for_a_free_lease() {
        settings().fleet_poll_interval(millis(1_500)).assignment_interval(millis(1_500)).validate().unwrap();
        refused(&settings().fleet_poll_interval(millis(1_501)), "`fleet_poll_interval` (1s 501ms) is above 1s 500ms");
        refused(&settings().assignment_interval(2 * SECOND), "`assignment_interval` (2s) is above 1s 500ms");
    }

    #[test]
    fn a_handoff_has_time_for_two_polls_and_the_release() {
        settings().handoff_timeout(3 * SECOND).validate().unwrap();
        refused(&settings().handoff_timeout(millis(2_999)), "no handler could finish its batch");
    }

    #[test]
    fn a_shutdown_has_time_for_one_write() {
        settings().shutdown_deadline(2 * SECOND).validate().unwrap();
        refused(&settings().shutdown_deadline(millis(1_999)), "no lease could be released");
    }

    #[test]
    fn polls_are_so_frequent_that_the_heartbeat_of_a_live_worker_never_looks_stale() {
        settings().failover_time(3 * SECOND).fleet_poll_interval(millis(500)).validate().unwrap();
        refused(
            &settings().failover_time(3 * SECOND).fleet_poll_interval(millis(600)),
            "`fleet_poll_interval` (600ms) is too long for `failover_time` (3s): after polls that are up to 1s 500ms apart",
        );
    }

    #[test]
    fn only_a_poll_interval_and_a_batch_window_may_be_zero() {
        let is_time = |text: String| text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with('s');
        for (key, _) in Settings::keys().filter(|(key, _)| settings().get(key).is_some_and(is_time)) {
            let mut settings = settings();
            settings.set(key, "0s").unwrap();
            if ["poll_interval", "batch_window"].contains(&key) {
                settings.validate().unwrap();
            } else {
                refused(&settings, &format!("`{key}` is zero"));
            }
        }
        refused(&settings().heartbeat_interval(Duration::ZERO), "`heartbeat_interval` is zero");
    }

    #[test]
    fn handlers_get_at_least_one_record_and_checkpoint_only_if_they_are_alone() {
        settings().concurrency(Concurrency::PerKey(1_024)).validate().unwrap();
        refused(&settings().concurrency(Concurrency::PerKey(0)), "has 0 handlers per shard");
        refused(&settings().concurrency(Concurrency::Unordered(1_025)), "allowed are 1 to 1024");
        let manual = settings().manual_checkpoints(true);
        manual.validate().unwrap();
        refused(
            &manual.concurrency(Concurrency::PerKey(2)),
            "does not know whether the records before its own are done",
        );
        refused(&settings().max_batch_records(0), "`max_batch_records` is 0");
        refused(&settings().max_batch_bytes(0), "`max_batch_bytes` is 0");
        refused(&settings().max_unacknowledged(0), "`max_unacknowledged` is 0");
        refused(&settings().max_quarantined(0), "`max_quarantined` is 0");
        refused(&settings().max_quarantined(1_001), "expected 1 to 1000");
        refused(&settings().handler_timeout(Duration::ZERO), "`handler_timeout` is zero");
        refused(&settings().quarantine_retry(Duration::ZERO), "`quarantine_retry` is zero");
        refused(&settings().batch_window(600 * SECOND), "every shard would look stalled");
    }

    #[test]
    fn a_read_asks_for_a_number_that_kinesis_allows() {
        settings().max_records(1).validate().unwrap();
        refused(&settings().max_records(0), "`max_records` is 0");
        refused(&settings().max_records(10_001), "Kinesis allows 1 to 10000");
    }

    #[test]
    fn the_byte_budget_holds_one_answer() {
        settings().byte_budget(10 << 20).validate().unwrap();
        refused(&settings().byte_budget((10 << 20) - 1), "is smaller than one answer of Kinesis");
    }

    #[test]
    fn an_idle_shard_is_not_read_more_often_than_a_busy_one() {
        refused(&settings().idle_poll_interval(millis(199)), "raise `idle_poll_interval`");
    }

    #[test]
    fn a_worker_can_claim_at_least_one_lease() {
        refused(&settings().max_leases(0), "`max_leases` is 0");
        refused(&settings().max_claims_in_flight(0), "`max_claims_in_flight` is 0");
    }

    #[test]
    fn a_start_is_not_before_1970() {
        settings().start(Start::of_millis(0)).validate().unwrap();
        refused(&settings().start(Start::of_millis(-1)), "must not be before 1970");
    }

    #[test]
    fn a_time_in_another_unit_is_refused_with_the_probable_one() {
        let start = |millis| settings().start(Start::of_millis(millis));
        start(1_767_225_600_000).validate().unwrap();
        refused(
            &start(1_767_225_600),
            "looks like seconds since 1970. In milliseconds it is 1767225600000 (2026-01-01",
        );
        refused(
            &start(1_767_225_600_000_000),
            "looks like microseconds since 1970. In milliseconds it is 1767225600000 (",
        );
        refused(
            &start(1_767_225_600_000_000_000),
            "looks like nanoseconds since 1970. In milliseconds it is 1767225600000",
        );
        refused(
            &settings().until(system_time(1_767_225_600)),
            "`until` is 1767225600 ms since 1970, which is 1970-01-21T10:53:45.600Z",
        );
        refused(&settings().until(system_time(-1)), "must not be before 1970");
        // A time early in 1970 means "everything", and a replay may wait for a time in the future.
        start(99_999_999).validate().unwrap();
        start(1_900_000_000_000).validate().unwrap();
    }

    #[test]
    fn a_replay_ends_after_it_begins() {
        let replay = |from, until| settings().start(Start::of_millis(from)).until(system_time(until));
        replay(5, 6).validate().unwrap();
        settings().until(system_time(6)).validate().unwrap();
        refused(&replay(5, 5), "`until` (1970-01-01T00:00:00.005Z) is not after `start` (1970-01-01T00:00:00.005Z)");
        refused(&settings().start(Start::Latest).until(system_time(5)), "`start` is `LATEST`");
    }

    #[test]
    fn names_and_tags_have_the_form_that_dynamodb_allows() {
        settings().table_name("clicks.leases_v2-eu").validate().unwrap();
        for name in ["ab", "clicks/leases", "caf\u{e9}", &"x".repeat(256)] {
            refused(&settings().table_name(name), "DynamoDB allows 3 to 255");
        }
        let tag = |key: &str, value: &str| settings().table_tags(vec![(key.to_owned(), value.to_owned())]);
        tag("team", "").validate().unwrap();
        refused(&tag("", "x"), "`table_tags` has the tag ``");
        refused(&tag("aws:team", "x"), "do not begin with `aws:`");
        refused(&tag("team", &"x".repeat(257)), "values of up to 256");
        refused(&settings().table_tags(vec![("a".to_owned(), "b".to_owned()); 51]), "has 51 tags");
    }

    #[test]
    fn an_error_names_all_violated_rules() {
        let error = settings().max_records(0).byte_budget(1).validate().unwrap_err().to_string();
        assert!(error.contains("`max_records`") && error.contains("`byte_budget`"), "{error}");
    }
}
