//! Lists the settings: meaning, type, default, setter and text form of each.
//!
//! Everything else that concerns all settings is generated from this list.

use super::form::{
    BalanceByForm, Bytes, ChecksumForm, ConcurrencyForm, CorruptAggregatesForm, Count, DurationForm, Flag,
    ForeignRecordsForm, Form, OnFleetSettingsForm, OptionalCount, OptionalDuration, OptionalText, OptionalTimestamp,
    ParserForm, RetrievalForm, StartForm, Tags,
};
use super::{BalanceBy, Concurrency, CorruptAggregates, OnFleetSettings, Parser, Retrieval, Start};
use crate::record::aggregate::{Checksum, ForeignRecords};
use crate::record::unix_millis;
use std::time::{Duration, SystemTime};

/// Passes the list to the macro `$then`. Each row is a setting:
/// meaning, `name: type = default, (argument of the setter) => stored value, text form`.
macro_rules! with_settings {
    ($then:ident!) => {
        $then! {
            /// A worker whose heartbeat does not change for this time is treated as dead, and its shards go to other workers. All workers of an application must use the same value: see `on_fleet_settings`.
            failover_time: Duration = Duration::from_secs(10), (time: Duration) => time, DurationForm;
            /// Time between two heartbeats of a worker; a quarter of `failover_time` if not set.
            heartbeat_interval: Option<Duration> = None, (time: Duration) => Some(time), OptionalDuration;
            /// Time between two reads of the fleet row, which shows the leader's heartbeat and new assignments.
            fleet_poll_interval: Duration = Duration::from_millis(500), (time: Duration) => time, DurationForm;
            /// Time between two assignment cycles of the leader; at most a sixth of `failover_time`.
            assignment_interval: Duration = Duration::from_secs(1), (time: Duration) => time, DurationForm;
            /// How long a planned move of a lease waits for the old owner's handler. Then the old owner releases the lease without it.
            handoff_timeout: Duration = Duration::from_secs(30), (time: Duration) => time, DurationForm;
            /// How long a graceful shutdown waits for handlers. Then the worker checkpoints what was acknowledged and drops the rest.
            shutdown_deadline: Duration = Duration::from_secs(25), (time: Duration) => time, DurationForm;
            /// Time between two checkpoints of a lease.
            checkpoint_interval: Duration = Duration::from_secs(5), (time: Duration) => time, DurationForm;
            /// Time between two lists of the stream's shards (shard sync).
            shard_sync_interval: Duration = Duration::from_secs(60), (time: Duration) => time, DurationForm;
            /// A lease of a Java KCL worker whose counter does not change for this time is free.
            java_failover_time: Duration = Duration::from_secs(20), (time: Duration) => time, DurationForm;
            /// A shard whose reads are not answered for this time is recovered in steps: restart of the fetch, restart of the consumer, release to another worker.
            fetch_deadline: Duration = Duration::from_secs(30), (time: Duration) => time, DurationForm;
            /// A handler call that takes longer is logged as a stalled shard, and again after each further such time.
            process_deadline: Duration = Duration::from_secs(300), (time: Duration) => time, DurationForm;
            /// Whether a handler call that exceeds `process_deadline` is dropped and its batch delivered again.
            restart_stuck_handlers: bool = false, (restart: bool) => restart, Flag;
            /// Delivered records that are not acknowledged for this time, retries included, are logged as a stalled shard.
            acknowledge_deadline: Duration = Duration::from_secs(600), (time: Duration) => time, DurationForm;
            /// A checkpoint that is not stored for this time is logged as a stalled shard.
            checkpoint_deadline: Duration = Duration::from_secs(60), (time: Duration) => time, DurationForm;
            /// How shards are read: `polling`, `fan-out` (enhanced fan-out), or `auto`: fan-out, and polling while fan-out is unavailable.
            retrieval: Retrieval = Retrieval::Polling, (retrieval: Retrieval) => retrieval, RetrievalForm;
            /// Name of the fan-out consumer, which is registered if it does not exist; the application's name if not set.
            consumer_name: Option<String> = None, (name: impl Into<String>) => Some(name.into()), OptionalText;
            /// ARN of an existing fan-out consumer, instead of one by name.
            consumer_arn: Option<String> = None, (arn: impl Into<String>) => Some(arn.into()), OptionalText;
            /// Whether the last worker that stops reading the stream deregisters the fan-out consumer, which AWS bills as long as it exists.
            deregister_consumer: bool = false, (deregister: bool) => deregister, Flag;
            /// Time between two reads of a shard that has more records; zero reads as fast as Kinesis answers.
            poll_interval: Duration = Duration::from_millis(200), (time: Duration) => time, DurationForm;
            /// Time between two reads of a shard that had no new records.
            idle_poll_interval: Duration = Duration::from_millis(500), (time: Duration) => time, DurationForm;
            /// The most records that one read asks for, 1 to 10000.
            max_records: u32 = 10_000, (records: u32) => records, Count;
            /// Parser of Kinesis' answers: `fast` (built in, takes a fraction of the CPU time) or `sdk` (the AWS SDK's).
            parser: Parser = Parser::Fast, (parser: Parser) => parser, ParserForm;
            /// Whether KPL aggregates are unpacked into the records that producers put.
            deaggregate: bool = true, (deaggregate: bool) => deaggregate, Flag;
            /// Whether the checksum of an aggregate is verified: `verify`, or `skip` if all producers are known.
            aggregate_checksum: Checksum = Checksum::Verify, (checksum: Checksum) => checksum, ChecksumForm;
            /// What happens to records of an aggregate whose hash key belongs to another shard: `deliver`, or `drop` as the KCL does.
            foreign_records: ForeignRecords = ForeignRecords::Deliver, (foreign: ForeignRecords) => foreign, ForeignRecordsForm;
            /// What happens to a record that starts like an aggregate and is not a valid one: `deliver` it unchanged, or `fail` it, so that the error policy decides.
            corrupt_aggregates: CorruptAggregates = CorruptAggregates::Deliver, (corrupt: CorruptAggregates) => corrupt, CorruptAggregatesForm;
            /// The most bytes of records in memory, for all shards of the worker, answers in flight included.
            byte_budget: usize = 256 * 1024 * 1024, (bytes: usize) => bytes, Bytes;
            /// How many handlers process a shard at a time, and which order they keep: `serial`, `per-key:32`, `unordered:8`, or `auto` (serial if records have partition keys).
            concurrency: Concurrency = Concurrency::Auto, (concurrency: Concurrency) => concurrency, ConcurrencyForm;
            /// The most records in one handler call.
            max_batch_records: usize = 10_000, (records: usize) => records, Count;
            /// The most payload bytes in one handler call; a larger record is delivered alone.
            max_batch_bytes: usize = 16 * 1024 * 1024, (bytes: usize) => bytes, Bytes;
            /// How long a batch waits for more records after its first one.
            batch_window: Duration = Duration::ZERO, (time: Duration) => time, DurationForm;
            /// A handler call that takes longer is dropped and counts as failed; no limit if not set.
            handler_timeout: Option<Duration> = None, (time: Duration) => Some(time), OptionalDuration;
            /// Reading of a shard pauses when this many records, counted from the first unacknowledged one, have been read. Records that were already fetched are still delivered, so up to 10000 more may be open.
            max_unacknowledged: u64 = 100_000, (records: u64) => records, Count;
            /// Whether handlers checkpoint by themselves; `Ok(())` then acknowledges nothing.
            manual_checkpoints: bool = false, (manual: bool) => manual, Flag;
            /// Whether the lease row lists the records that are done beyond the checkpoint, so that a crash does not repeat them.
            store_completed_ranges: bool = true, (keep: bool) => keep, Flag;
            /// The most quarantined records of a shard, 1 to 1000. The shard is blocked while its quarantine is full: at this number, or at 200 KB of the lease row.
            max_quarantined: usize = 100, (records: usize) => records, Count;
            /// Time between two retries of quarantined keys; they are retried on an operator's request only if not set.
            quarantine_retry: Option<Duration> = None, (time: Duration) => Some(time), OptionalDuration;
            /// Whether the last worker to stop cleans the lease table up although keys are quarantined. A Java KCL that continues from it skips their records.
            leave_quarantined: bool = false, (leave: bool) => leave, Flag;
            /// Where reading starts in shards without a checkpoint: `TRIM_HORIZON`, `LATEST` or `AT_TIMESTAMP(...)`.
            start: Start = Start::TrimHorizon, (start: Start) => start, StartForm;
            /// End of a replay: only records that arrived before this time are read, then the workers end; no end if not set. All workers of an application must use the same value.
            until: Option<SystemTime> = None, (time: impl Into<SystemTime>) => Some(time.into()), OptionalTimestamp;
            /// How long a start waits for AWS in an outage or while it is throttled. A refused call ends the start at once.
            start_deadline: Duration = Duration::from_secs(600), (time: Duration) => time, DurationForm;
            /// The most leases that this worker takes; no limit if not set.
            max_leases: Option<u32> = None, (leases: u32) => Some(leases), OptionalCount;
            /// What is balanced among workers: `leases` or `bytes` per second. All workers of an application must use the same value: see `on_fleet_settings`.
            balance_by: BalanceBy = BalanceBy::Leases, (by: BalanceBy) => by, BalanceByForm;
            /// What a starting worker does if its fleet uses another `failover_time` or `balance_by`: `match` refuses to start, `adopt` uses the fleet's values, `change` introduces new values in a rolling deploy.
            on_fleet_settings: OnFleetSettings = OnFleetSettings::Match, (policy: OnFleetSettings) => policy, OnFleetSettingsForm;
            /// The most lease claims that this worker has in flight.
            max_claims_in_flight: usize = 64, (claims: usize) => claims, Count;
            /// Name of the lease table; the application's name if not set.
            table_name: Option<String> = None, (name: impl Into<String>) => Some(name.into()), OptionalText;
            /// Whether a lease table that the worker creates is protected against deletion.
            deletion_protection: bool = false, (protected: bool) => protected, Flag;
            /// Tags of a lease table that the worker creates.
            table_tags: Vec<(String, String)> = Vec::new(), (tags: Vec<(String, String)>) => tags, Tags;
        }
    };
}

macro_rules! define {
    ($($(#[doc = $meaning:literal])* $name:ident: $type:ty = $default:expr, ($($argument:tt)*) => $value:expr, $form:ident;)*) => {
        /// The settings of a worker.
        ///
        /// Each setting has a field, a setter of the same name (here and on [`WorkerBuilder`](crate::WorkerBuilder)), a
        /// [string key](Settings::set) and an [environment variable](Settings::from_env_iter). The module
        /// [`settings`](crate::settings) lists all defaults.
        ///
        /// ```
        /// use kcl_core::Settings;
        /// use std::time::Duration;
        ///
        /// let mut settings = Settings::default().failover_time(Duration::from_secs(5)).max_leases(50);
        /// settings.set("checkpoint_interval", "10s")?;
        /// settings.validate()?;
        ///
        /// let from_env = Settings::from_env_iter([("KCL_FAILOVER_TIME", "5s"), ("KCL_MAX_LEASES", "50")])?;
        /// assert_eq!(from_env.failover_time, settings.failover_time);
        /// # Ok::<(), kcl_core::Error>(())
        /// ```
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct Settings {
            $($(#[doc = $meaning])* pub $name: $type,)*
        }

        impl Default for Settings {
            fn default() -> Self {
                Settings { $($name: $default,)* }
            }
        }

        /// The text forms of all settings, in the order of the fields.
        pub(super) const TEXTS: &[Text] = &[$(Text {
            key: stringify!($name),
            meaning: concat!($($meaning),*),
            expected: <$form as Form<$type>>::EXPECTED,
            read: |settings, text| <$form as Form<$type>>::read(text).map(|value| settings.$name = value),
            write: |settings| <$form as Form<$type>>::write(&settings.$name),
        }),*];
    };
}

/// The text form of one setting.
pub(super) struct Text {
    pub(super) key: &'static str,
    pub(super) meaning: &'static str,
    pub(super) expected: &'static str,
    pub(super) read: fn(&mut Settings, &str) -> Option<()>,
    pub(super) write: fn(&Settings) -> String,
}

/// The setters of every setting, for an `impl` block of a type that has `fn settings_mut(&mut self) -> &mut Settings`.
macro_rules! setters {
    ($($(#[doc = $meaning:literal])* $name:ident: $type:ty = $default:expr, ($argument:ident: $taken:ty) => $value:expr, $form:ident;)*) => {
        $($(#[doc = $meaning])*
        #[must_use]
        pub fn $name(mut self, $argument: $taken) -> Self {
            self.settings_mut().$name = $value;
            self
        })*
    };
}

pub(crate) use {setters, with_settings};

with_settings!(define!);

impl Settings {
    with_settings!(setters!);

    fn settings_mut(&mut self) -> &mut Settings {
        self
    }

    /// The time between two heartbeats: `heartbeat_interval`, or a quarter of `failover_time` if that is not set.
    #[must_use]
    pub fn effective_heartbeat_interval(&self) -> Duration {
        self.heartbeat_interval.unwrap_or(self.failover_time / 4)
    }

    /// `until` in milliseconds since 1970.
    pub(crate) fn until_ms(&self) -> Option<i64> {
        self.until.map(unix_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_sends_four_heartbeats_in_a_failover_time_by_default() {
        let settings = Settings::default().failover_time(Duration::from_secs(4));
        assert_eq!(settings.effective_heartbeat_interval(), Duration::from_secs(1));
        let settings = settings.heartbeat_interval(Duration::from_millis(700));
        assert_eq!(settings.effective_heartbeat_interval(), Duration::from_millis(700));
    }

    #[test]
    fn a_setter_sets_its_own_field_and_no_other() {
        let settings = Settings::default().table_name("leases").max_leases(7).byte_budget(1 << 25);
        let by_hand = Settings {
            table_name: Some("leases".to_owned()),
            max_leases: Some(7),
            byte_budget: 32 * 1024 * 1024,
            ..Settings::default()
        };
        assert_eq!(settings, by_hand);
    }
}
