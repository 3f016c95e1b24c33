//! Which values settings may have, and which of them contradict each other: each rule with its reason.

use super::{Settings, Start, timestamp, timing};
use crate::error::{Code, Error};
use crate::lease::row::SharedSettings;
use crate::processor::Concurrency;
use crate::retrieval::Retrieval;
use std::time::Duration;

/// Kinesis: the most records, and the most bytes, that one GetRecords answers with.
const MOST_RECORDS: u32 = 10_000;
const LARGEST_ANSWER: usize = 10 * 1024 * 1024;

/// Tasks and processors a shard.
const MOST_LANES: u16 = 1_024;
/// Quarantine counts as full at 200 KB as well, whatever its number of records: half of what a row may have. So many records
/// of one key fit.
const MOST_PARKED: usize = 1_000;

/// DynamoDB: limits of a table's name and tags.
const TABLE_NAME: std::ops::RangeInclusive<usize> = 3..=255;
const MOST_TAGS: usize = 50;
const LONGEST_TAG_KEY: usize = 128;
const LONGEST_TAG_VALUE: usize = 256;

impl Settings {
    /// Checks every value, alone and against the others.
    ///
    /// # Errors
    /// [`Code::Setting`] with everything that is wrong, each with the setting, its value and the reason.
    pub fn validate(&self) -> Result<(), Error> {
        let mut wrong = self.contradictions();
        wrong.extend(self.wrong_of_consumer());
        told(&wrong)
    }

    /// The same, for several streams of which each may say for itself how it is read: whether that fits is checked for each.
    ///
    /// # Errors
    /// As [`validate`](Self::validate), and where the settings name something that only one stream can have.
    pub(crate) fn validate_for_several(&self) -> Result<(), Error> {
        let mut wrong = self.contradictions();
        if let Some(arn) = &self.consumer_arn {
            wrong.push(format!(
                "`consumer_arn` (`{arn}`) is a consumer of one stream, and this worker reads several: give it to its stream with \
                 `StreamConfig::consumer_arn`, or set `consumer_name`, which goes for all"
            ));
        }
        if self.until.is_some() {
            wrong.push(
                "`until` ends a replay of one stream, and this worker reads several: replay each of them with a worker of its \
                 own"
                .to_owned(),
            );
        }
        told(&wrong)
    }

    /// Checks what `failover_time` must leave room for: a worker may take it from its fleet.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub(crate) fn validate_timing(&self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        self.check_sessions(&mut wrong);
        self.check_moves(&mut wrong);
        told(&wrong)
    }

    fn contradictions(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        self.check_presence(&mut wrong);
        self.check_sessions(&mut wrong);
        self.check_moves(&mut wrong);
        self.check_reading(&mut wrong);
        self.check_watchdogs(&mut wrong);
        self.check_handling(&mut wrong);
        self.check_table(&mut wrong);
        self.check_range(&mut wrong);
        wrong
    }

    /// A loop that waits for zero time never rests, and a deadline of zero is over before it begins.
    fn check_presence(&self, wrong: &mut Vec<String>) {
        let intervals = [
            ("failover_time", self.failover_time),
            ("heartbeat", self.heartbeat_interval()),
            ("watch", self.watch),
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
        let (failover, heartbeat, watch) = (self.failover_time, self.heartbeat_interval(), self.watch);
        // ShardDelivery stops 0.95 of the failover time after the last confirmed heartbeat: with a third, one heartbeat may be lost
        // and the next still has time for its answer, whatever a call may take (a property in `coordination::timing_tests`).
        if heartbeat > failover / 3 {
            wrong.push(format!(
                "`heartbeat` ({}) is longer than a third of `failover_time` ({}): one lost heartbeat would end the session; \
                 lower `heartbeat` or raise `failover_time`",
                shown(heartbeat),
                shown(failover)
            ));
        }
        if watch >= heartbeat && !heartbeat.is_zero() {
            wrong.push(format!(
                "`watch` ({}) is not shorter than `heartbeat` ({}{}): a heartbeat could pass unseen and a live worker seem \
                 silent; lower `watch` or raise `{}`",
                shown(watch),
                shown(heartbeat),
                if self.heartbeat.is_none() { ", a quarter of `failover_time`" } else { "" },
                if self.heartbeat.is_none() { "failover_time" } else { "heartbeat" },
            ));
        }
        let longest = SharedSettings::LONGEST_FAILOVER_TIME;
        if failover > longest {
            wrong.push(format!(
                "`failover_time` ({}) is longer than {}: a dead worker's shards would not be read for so long; lower it",
                shown(failover),
                shown(longest)
            ));
        }
        if failover.is_zero() || heartbeat.is_zero() || watch.is_zero() || heartbeat > failover / 3 {
            return;
        }
        for (name, interval, looks) in [
            ("watch", watch, watch),
            ("assignment_interval", self.assignment_interval, timing::tick(self.assignment_interval, failover)),
        ] {
            if interval > timing::longest_look() {
                wrong.push(format!(
                    "`{name}` ({}) is above {}: two looks and a claim would not fit into the {} that a worker has to take a free \
                     lease; lower it",
                    shown(interval),
                    shown(timing::longest_look()),
                    shown(timing::FREE_TAKE)
                ));
                continue;
            }
            let (seems, gap) = (timing::seems_silent(heartbeat, looks, failover), timing::longest_gap(failover, looks));
            if seems > failover {
                wrong.push(format!(
                    "`{name}` ({}) is too long for `failover_time` ({}): a look may be {} late before the count begins again, and \
                     a live worker that heartbeats every {} could then seem silent for {}; lower `{name}` or `heartbeat`, or raise \
                     `failover_time`",
                    shown(interval),
                    shown(failover),
                    shown(gap),
                    shown(heartbeat),
                    shown(seems)
                ));
            }
        }
    }

    fn check_moves(&self, wrong: &mut Vec<String>) {
        let call = timing::call_timeout(self.failover_time);
        // Told at the first look, finished by the second, released in one call.
        if self.handoff_timeout < timing::shortest_handoff(self.watch, self.failover_time)
            && !self.handoff_timeout.is_zero()
        {
            wrong.push(format!(
                "`handoff_timeout` ({}) is shorter than two looks at the plan (`watch` is {}) and the release, which may take \
                 {}: every planned move would be cut short; raise `handoff_timeout`",
                shown(self.handoff_timeout),
                shown(self.watch),
                shown(call)
            ));
        }
        if self.shutdown_deadline < call && !self.shutdown_deadline.is_zero() {
            wrong.push(format!(
                "`shutdown_deadline` ({}) is shorter than one write of the table may take ({}): nothing could be released; raise \
                 `shutdown_deadline`",
                shown(self.shutdown_deadline),
                shown(call)
            ));
        }
        if self.max_claims_in_flight == 0 {
            wrong.push("`max_claims_in_flight` is 0: the worker could take no lease; set 1 or more".to_owned());
        }
        if self.max_leases == Some(0) {
            wrong.push("`max_leases` is 0: the worker could take no lease; set 1 or more, or leave it out".to_owned());
        }
    }

    fn check_reading(&self, wrong: &mut Vec<String>) {
        if !(1..=MOST_RECORDS).contains(&self.max_records) {
            wrong.push(format!("`max_records` is {}: Kinesis allows 1 to {MOST_RECORDS}", self.max_records));
        }
        if self.byte_budget < LARGEST_ANSWER {
            wrong.push(format!(
                "`byte_budget` ({} bytes) does not hold one answer of Kinesis, which may have 10MiB: set 10MiB or more",
                self.byte_budget
            ));
        }
        if self.idle_poll_interval < self.poll_interval {
            wrong.push(format!(
                "`idle_poll_interval` ({}) is shorter than `poll_interval` ({}): a shard with nothing new would be read \
                 more often than one that is behind; raise `idle_poll_interval`",
                shown(self.idle_poll_interval),
                shown(self.poll_interval)
            ));
        }
        let moments = [("start", self.start.at_ms()), ("until", self.until)];
        for (name, millis) in moments.into_iter().filter_map(|(name, moment)| Some((name, moment?))) {
            if millis < 0 {
                wrong.push(format!("`{name}` is {millis} ms: it lies before 1970, and so before every stream"));
            }
            if let Some((unit, meant)) = other_unit(millis) {
                wrong.push(format!(
                    "`{name}` is {millis} ms since 1970, which is {}: it looks like {unit} since 1970. As milliseconds that is \
                     {meant} ({}); write it so, or as a time such as `2026-01-01T00:00:00Z`",
                    timestamp(millis),
                    timestamp(meant)
                ));
            }
        }
    }

    /// What is wrong with the fan-out consumer of a stream that is read like this.
    pub(crate) fn wrong_of_consumer(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let (name, arn) = (&self.consumer_name, &self.consumer_arn);
        if self.retrieval == Retrieval::Polling && (name.is_some() || arn.is_some() || self.deregister_consumer) {
            wrong.push(
                "`consumer_name`, `consumer_arn` and `deregister_consumer` mean nothing where `retrieval` is `polling`: set \
                 it to `auto` or `fan-out`"
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
                "`deregister_consumer` with `consumer_arn`: who registered that consumer keeps it; set one of them"
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
            wrong.push(format!("`concurrency` asks for {lanes} handlers a shard: 1 to {MOST_LANES} can work on one"));
        }
        if self.manual_checkpoints && !matches!(self.concurrency, Concurrency::Auto | Concurrency::Serial) {
            wrong.push(
                "`manual_checkpoints` with several handlers a shard: what lies before a record is not known to be done; \
                 set `concurrency` to `serial`, or acknowledge record by record"
                    .to_owned(),
            );
        }
        for (name, value) in [
            ("max_batch_records", self.max_batch_records),
            ("max_batch_bytes", self.max_batch_bytes),
            ("max_unacknowledged", usize::try_from(self.max_unacknowledged).unwrap_or(usize::MAX)),
        ] {
            if value == 0 {
                wrong.push(format!("`{name}` is 0: no record could be handed over; set 1 or more"));
            }
        }
        if !(1..=MOST_PARKED).contains(&self.max_quarantined) {
            wrong.push(format!(
                "`max_quarantined` is {}: positions are kept in the lease's row; expected 1 to {MOST_PARKED}, and fewer find room \
                 where keys or errors are long (200 KB in all)",
                self.max_quarantined
            ));
        }
        for (name, time) in [("handler_timeout", self.handler_timeout), ("quarantine_retry", self.quarantine_retry)] {
            if time.is_some_and(|time| time.is_zero()) {
                wrong.push(format!("`{name}` is zero: set a time above zero, or leave it out"));
            }
        }
        if self.batch_window >= self.acknowledge_deadline {
            wrong.push(format!(
                "`batch_window` ({}) is not shorter than `acknowledge_deadline` ({}): every batch would seem stuck",
                shown(self.batch_window),
                shown(self.acknowledge_deadline)
            ));
        }
    }

    fn check_watchdogs(&self, wrong: &mut Vec<String>) {
        let longest_read = crate::retrieval::CALL_DEADLINE;
        if self.fetch_deadline < longest_read * 2 && !self.fetch_deadline.is_zero() {
            wrong.push(format!(
                "`fetch_deadline` ({}) does not hold two read calls, which may take {} each: shards would be given up for one \
                 slow answer; raise it",
                shown(self.fetch_deadline),
                shown(longest_read)
            ));
        }
        if self.acknowledge_deadline < self.process_deadline {
            wrong.push(format!(
                "`acknowledge_deadline` ({}) is shorter than `process_deadline` ({}): records cannot be acknowledged before \
                 their handler is done; raise `acknowledge_deadline`",
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

    /// A replay's two ends.
    fn check_range(&self, wrong: &mut Vec<String>) {
        let Some(until) = self.until else { return };
        match self.start {
            Start::AtTimestamp(from) if from >= until => wrong.push(format!(
                "`until` ({until}) is not after `start` ({from}), both in milliseconds since 1970: nothing lies between them; \
                 raise `until` or lower `start`"
            )),
            Start::Latest => wrong.push(
                "`until` ends a replay, and `start` is `LATEST`, which is no moment of the past: set `start` to \
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

/// The unit that a moment was most likely given in, where milliseconds make no sense of it, and what it then means in
/// milliseconds. Kinesis has no record from before 2013, and none from after 2100 yet.
fn other_unit(millis: i64) -> Option<(&'static str, i64)> {
    const DAY: i64 = 24 * 60 * 60 * 1_000;
    const LAST: i64 = 131 * 365 * DAY;
    match millis {
        // 1973 to 2100 in seconds: 1970 in milliseconds.
        _ if (100_000_000..LAST / 1_000).contains(&millis) => Some(("seconds", millis.saturating_mul(1_000))),
        _ if millis < LAST => None,
        _ if millis / 1_000 < LAST => Some(("microseconds", millis / 1_000)),
        _ => Some(("nanoseconds", millis / 1_000_000)),
    }
}

fn told(wrong: &[String]) -> Result<(), Error> {
    if wrong.is_empty() { Ok(()) } else { Err(Error::new(Code::Setting, wrong.join("; "))) }
}

fn shown(time: Duration) -> impl std::fmt::Display {
    humantime::format_duration(time)
}

/// The ARN of the stream that a consumer's ARN names.
pub(crate) fn stream_of_consumer(arn: &str) -> Option<&str> {
    let (stream, consumer) = arn.split_once("/consumer/")?;
    let named = consumer.split_once(':').is_some_and(|(name, created)| !name.is_empty() && !created.is_empty());
    (named && stream.starts_with("arn:") && stream.contains(":stream/")).then_some(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_heartbeat_may_be_a_third_of_the_failover_time_and_no_longer() {
        settings().failover_time(9 * SECOND).heartbeat(3 * SECOND).validate().unwrap();
        refused(
            &settings().failover_time(9 * SECOND).heartbeat(millis(3_001)),
            "`heartbeat` (3s 1ms) is longer than a third of `failover_time` (9s)",
        );
        refused(&settings().heartbeat(11 * SECOND), "lower `heartbeat` or raise `failover_time`");
    }

    #[test]
    fn a_watch_must_be_shorter_than_a_heartbeat() {
        settings().watch(millis(999)).heartbeat(SECOND).validate().unwrap();
        refused(&settings().watch(SECOND).heartbeat(SECOND), "`watch` (1s) is not shorter than `heartbeat` (1s)");
        refused(
            &settings().failover_time(SECOND),
            "`watch` (500ms) is not shorter than `heartbeat` (250ms, a quarter of `failover_time`)",
        );
    }

    #[test]
    fn two_looks_and_a_claim_fit_into_the_time_that_a_take_has() {
        settings().watch(millis(1_500)).assignment_interval(millis(1_500)).validate().unwrap();
        refused(&settings().watch(millis(1_501)), "`watch` (1s 501ms) is above 1s 500ms");
        refused(&settings().assignment_interval(2 * SECOND), "`assignment_interval` (2s) is above 1s 500ms");
    }

    #[test]
    fn a_handoff_has_time_for_two_looks_and_the_release() {
        settings().handoff_timeout(3 * SECOND).validate().unwrap();
        refused(&settings().handoff_timeout(millis(2_999)), "every planned move would be cut short");
    }

    #[test]
    fn a_shutdown_has_time_for_one_write() {
        settings().shutdown_deadline(2 * SECOND).validate().unwrap();
        refused(&settings().shutdown_deadline(millis(1_999)), "nothing could be released");
    }

    #[test]
    fn a_look_is_frequent_enough_that_a_live_worker_never_seems_silent() {
        settings().failover_time(3 * SECOND).watch(millis(500)).validate().unwrap();
        refused(
            &settings().failover_time(3 * SECOND).watch(millis(600)),
            "`watch` (600ms) is too long for `failover_time` (3s): a look may be 1s 500ms late before the count begins again",
        );
    }

    #[test]
    fn no_interval_is_zero_but_those_that_may_be() {
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
        refused(&settings().heartbeat(Duration::ZERO), "`heartbeat` is zero");
    }

    #[test]
    fn handlers_can_be_handed_something_and_speak_for_what_they_know() {
        settings().concurrency(Concurrency::PerKey(1_024)).validate().unwrap();
        refused(&settings().concurrency(Concurrency::PerKey(0)), "asks for 0 handlers");
        refused(&settings().concurrency(Concurrency::Unordered(1_025)), "1 to 1024 can work on one");
        let manual = settings().manual_checkpoints(true);
        manual.validate().unwrap();
        refused(&manual.concurrency(Concurrency::PerKey(2)), "what lies before a record is not known to be done");
        refused(&settings().max_batch_records(0), "`max_batch_records` is 0");
        refused(&settings().max_batch_bytes(0), "`max_batch_bytes` is 0");
        refused(&settings().max_unacknowledged(0), "`max_unacknowledged` is 0");
        refused(&settings().max_quarantined(0), "`max_quarantined` is 0");
        refused(&settings().max_quarantined(1_001), "expected 1 to 1000");
        refused(&settings().handler_timeout(Duration::ZERO), "`handler_timeout` is zero");
        refused(&settings().quarantine_retry(Duration::ZERO), "`quarantine_retry` is zero");
        refused(&settings().batch_window(600 * SECOND), "every batch would seem stuck");
    }

    #[test]
    fn a_read_asks_for_what_kinesis_allows() {
        settings().max_records(1).validate().unwrap();
        refused(&settings().max_records(0), "`max_records` is 0");
        refused(&settings().max_records(10_001), "Kinesis allows 1 to 10000");
    }

    #[test]
    fn the_byte_budget_holds_one_answer() {
        settings().byte_budget(10 << 20).validate().unwrap();
        refused(&settings().byte_budget((10 << 20) - 1), "does not hold one answer of Kinesis");
    }

    #[test]
    fn an_idle_shard_is_not_read_more_often_than_a_busy_one() {
        refused(&settings().idle_poll_interval(millis(199)), "raise `idle_poll_interval`");
    }

    #[test]
    fn a_worker_can_take_at_least_one_lease() {
        refused(&settings().max_leases(0), "`max_leases` is 0");
        refused(&settings().max_claims_in_flight(0), "`max_claims_in_flight` is 0");
    }

    #[test]
    fn a_start_lies_after_1970() {
        settings().start(Start::AtTimestamp(0)).validate().unwrap();
        refused(&settings().start(Start::AtTimestamp(-1)), "before 1970");
    }

    #[test]
    fn a_moment_in_another_unit_is_refused_with_what_was_meant() {
        let start = |moment| settings().start(Start::AtTimestamp(moment));
        start(1_767_225_600_000).validate().unwrap();
        refused(
            &start(1_767_225_600),
            "looks like seconds since 1970. As milliseconds that is 1767225600000 (2026-01-01",
        );
        refused(
            &start(1_767_225_600_000_000),
            "looks like microseconds since 1970. As milliseconds that is 1767225600000 (",
        );
        refused(
            &start(1_767_225_600_000_000_000),
            "looks like nanoseconds since 1970. As milliseconds that is 1767225600000",
        );
        refused(&settings().until(1_767_225_600), "`until` is 1767225600 ms since 1970, which is 1970-01-21T10:53:45Z");
        refused(&settings().until(-1), "before 1970");
        // Early in 1970 is a way to say "everything"; and whatever comes next year may be waited for.
        start(99_999_999).validate().unwrap();
        start(1_900_000_000_000).validate().unwrap();
    }

    #[test]
    fn a_replay_ends_after_it_begins() {
        let replay = |from, until| settings().start(Start::AtTimestamp(from)).until(until);
        replay(5, 6).validate().unwrap();
        settings().until(6).validate().unwrap();
        refused(&replay(5, 5), "`until` (5) is not after `start` (5)");
        refused(&settings().start(Start::Latest).until(5), "`start` is `LATEST`");
    }

    #[test]
    fn names_and_tags_are_what_dynamodb_takes() {
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
    fn everything_that_is_wrong_is_told_at_once() {
        let error = settings().max_records(0).byte_budget(1).validate().unwrap_err().to_string();
        assert!(error.contains("`max_records`") && error.contains("`byte_budget`"), "{error}");
    }
}
