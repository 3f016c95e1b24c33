//! The list of settings: each with its meaning, its type, its default, its setter and its text form. Nothing else lists them.

use super::form::{
    Bytes, Consent, Count, Damage, Flag, Form, Look, Measure, Moment, OptionalCount, OptionalMoment, OptionalText,
    OptionalTime, Order, Span, Strangers, Tags, Way, Whose,
};
use super::{BalanceBy, OnFleetSettings, Parser, Start};
use crate::aggregate::{Checksum, ForeignRecords};
use crate::processor::Concurrency;
use crate::retrieval::{CorruptAggregates, Retrieval};
use std::time::Duration;

/// Hands the list to the macro `$then`. One row a setting:
/// meaning, `name: type = default, (argument of the setter) => stored value, text form`.
macro_rules! with_settings {
    ($then:ident!) => {
        $then! {
            /// A worker whose heartbeat does not move for so long is treated as dead. All workers of an application must agree on it: see `on_fleet_settings`.
            failover_time: Duration = Duration::from_secs(10), (time: Duration) => time, Span;
            /// Between two heartbeats of a session; a quarter of `failover_time` if absent.
            heartbeat: Option<Duration> = None, (time: Duration) => Some(time), OptionalTime;
            /// Between two looks at the fleet row.
            watch: Duration = Duration::from_millis(500), (time: Duration) => time, Span;
            /// Between two planning cycles; never more than a sixth of `failover_time`.
            assignment_interval: Duration = Duration::from_secs(1), (time: Duration) => time, Span;
            /// A planned move that acquires longer is ended by the old owner's coordination thread.
            handoff_timeout: Duration = Duration::from_secs(30), (time: Duration) => time, Span;
            /// How long a shutdown may take before what was acknowledged is released and the rest is dropped.
            shutdown_deadline: Duration = Duration::from_secs(25), (time: Duration) => time, Span;
            /// Between two checkpoints of a lease.
            checkpoint_interval: Duration = Duration::from_secs(5), (time: Duration) => time, Span;
            /// Between two lists of the stream's shards.
            shard_sync_interval: Duration = Duration::from_secs(60), (time: Duration) => time, Span;
            /// A foreign (Java) lease whose counter stands still for so long is free.
            java_failover_time: Duration = Duration::from_secs(20), (time: Duration) => time, Span;
            /// A shard without an answered read for so long has its fetch restarted, later its consumer, then goes to another worker.
            fetch_deadline: Duration = Duration::from_secs(30), (time: Duration) => time, Span;
            /// One call of a handler that acquires longer is told of, and again each time as long has passed.
            process_deadline: Duration = Duration::from_secs(300), (time: Duration) => time, Span;
            /// Whether a handler that runs past `process_deadline` is dropped and its batch handed over anew.
            restart_stuck_handlers: bool = false, (restart: bool) => restart, Flag;
            /// Records that are handed over and not acknowledged for so long, retries included, are told of.
            acknowledge_deadline: Duration = Duration::from_secs(600), (time: Duration) => time, Span;
            /// What is acknowledged and not written for so long is told of.
            checkpoint_deadline: Duration = Duration::from_secs(60), (time: Duration) => time, Span;
            /// How shards are read: `polling`, `fan-out`, or `auto`: fan-out, and polling where it is not to be had.
            retrieval: Retrieval = Retrieval::Polling, (retrieval: Retrieval) => retrieval, Way;
            /// The fan-out consumer that is found or registered; the application's name if absent.
            consumer_name: Option<String> = None, (name: impl Into<String>) => Some(name.into()), OptionalText;
            /// A fan-out consumer that somebody else has registered with the stream, instead of one by name.
            consumer_arn: Option<String> = None, (arn: impl Into<String>) => Some(arn.into()), OptionalText;
            /// Whether the last worker that stops, or stops serving a stream of several, removes the fan-out consumer, which is billed as long as it is there.
            deregister_consumer: bool = false, (deregister: bool) => deregister, Flag;
            /// Between two reads of a shard that is behind; zero reads as fast as answers come.
            poll_interval: Duration = Duration::from_millis(200), (time: Duration) => time, Span;
            /// Between two reads of a shard that had nothing new.
            idle_poll_interval: Duration = Duration::from_millis(500), (time: Duration) => time, Span;
            /// The most records a read asks for, 1 to 10000.
            max_records: u32 = 10_000, (records: u32) => records, Count;
            /// Whose code parses records as Kinesis sends them: `fast`, ours, at a fraction of the CPU, or `sdk`, the AWS SDK's.
            parser: Parser = Parser::Fast, (parser: Parser) => parser, Whose;
            /// Whether records that producers packed into one (KPL aggregates) are taken apart.
            deaggregate: bool = true, (deaggregate: bool) => deaggregate, Flag;
            /// Whether an aggregate's checksum is verified: `verify`, or `skip` where every producer is known.
            aggregate_checksum: Checksum = Checksum::Verify, (checksum: Checksum) => checksum, Look;
            /// What becomes of parts of an aggregate whose hash key is not their shard's: `deliver`, or `drop`, as the KCL does.
            foreign_records: ForeignRecords = ForeignRecords::Deliver, (foreign: ForeignRecords) => foreign, Strangers;
            /// What becomes of a record that begins as an aggregate and is none: `deliver` as it came, or `fail`, and the error policy decides.
            corrupt_aggregates: CorruptAggregates = CorruptAggregates::Deliver, (corrupt: CorruptAggregates) => corrupt, Damage;
            /// Bytes of records in memory, in the whole process, the answers under way included.
            byte_budget: usize = 256 * 1024 * 1024, (bytes: usize) => bytes, Bytes;
            /// How many handlers work on a shard at a time, and what order they keep: `serial`, `per-key:32`, `unordered:8`, or `auto`: serial where records have keys.
            concurrency: Concurrency = Concurrency::Auto, (concurrency: Concurrency) => concurrency, Order;
            /// The most records that a handler is called with.
            max_batch_records: usize = 10_000, (records: usize) => records, Count;
            /// The most payload that a handler is called with; one record is always handed over.
            max_batch_bytes: usize = 16 * 1024 * 1024, (bytes: usize) => bytes, Bytes;
            /// How long the first record of a batch waits for others.
            batch_window: Duration = Duration::ZERO, (time: Duration) => time, Span;
            /// A call of a handler that acquires longer is dropped, and has failed; no bound if absent.
            handler_timeout: Option<Duration> = None, (time: Duration) => Some(time), OptionalTime;
            /// Records of a shard from the first that is not acknowledged on: when there are so many, no more are read before it is. What was read by then is still handed over, so up to 10000 more may be open.
            max_unacknowledged: u64 = 100_000, (records: u64) => records, Count;
            /// Whether a handler's success acknowledges nothing: it checkpoints by itself.
            manual_checkpoints: bool = false, (manual: bool) => manual, Flag;
            /// Whether a lease's row tells what is done beyond its checkpoint, so that a crash does not repeat it.
            store_completed_ranges: bool = true, (keep: bool) => keep, Flag;
            /// Records of a shard that may be in quarantine, 1 to 1000; the shard waits when there is no room, or when they take 200 KB of the lease's row.
            max_quarantined: usize = 100, (records: usize) => records, Count;
            /// How often keys in quarantine are tried again; only when somebody says so if absent.
            quarantine_retry: Option<Duration> = None, (time: Duration) => Some(time), OptionalTime;
            /// Whether the last worker hands a plain table over though keys are in quarantine, which a Java KCL would skip.
            leave_quarantined: bool = false, (leave: bool) => leave, Flag;
            /// Where shards start that nobody has read yet.
            start: Start = Start::TrimHorizon, (start: Start) => start, Moment;
            /// A replay: the moment before which reading ends, by itself, in milliseconds since 1970; no end if absent. All workers of an application must agree on it.
            until: Option<i64> = None, (millis: i64) => Some(millis), OptionalMoment;
            /// How long a start waits for AWS in an outage or while it is throttled; what is refused ends the start at once.
            start_deadline: Duration = Duration::from_secs(600), (time: Duration) => time, Span;
            /// The most leases this worker acquires; no bound if absent.
            max_leases: Option<u32> = None, (leases: u32) => Some(leases), OptionalCount;
            /// What is balanced among workers, `leases` or `bytes` a second. All workers of an application must agree on it: see `on_fleet_settings`.
            balance_by: BalanceBy = BalanceBy::Leases, (by: BalanceBy) => by, Measure;
            /// What a worker does at its start where its fleet uses another `failover_time` or `balance_by`: `match` refuses to start, `adopt` uses the fleet's values, `change` introduces new ones in a rolling deploy.
            on_fleet_settings: OnFleetSettings = OnFleetSettings::Match, (policy: OnFleetSettings) => policy, Consent;
            /// Claims of this worker under way at once.
            max_claims_in_flight: usize = 64, (claims: usize) => claims, Count;
            /// The lease table's name; the application's name if absent.
            table_name: Option<String> = None, (name: impl Into<String>) => Some(name.into()), OptionalText;
            /// Whether a table that we create is protected against deletion.
            deletion_protection: bool = false, (protected: bool) => protected, Flag;
            /// Tags for a table that we create.
            table_tags: Vec<(String, String)> = Vec::new(), (tags: Vec<(String, String)>) => tags, Tags;
        }
    };
}

macro_rules! define {
    ($($(#[doc = $meaning:literal])* $name:ident: $type:ty = $default:expr, ($($argument:tt)*) => $value:expr, $form:ident;)*) => {
        /// The settings of a worker. See [`Settings::default`] for what each is when it is not set.
        ///
        /// Each has a field, a setter of the same name (here and on the worker's builder), a [key](Settings::set) and an
        /// [environment form](Settings::from_env_iter).
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

        /// Every setting as texts see it, in the order of the fields.
        pub(super) const TEXTS: &[Text] = &[$(Text {
            key: stringify!($name),
            meaning: concat!($($meaning),*),
            expected: <$form as Form<$type>>::EXPECTED,
            read: |settings, text| <$form as Form<$type>>::read(text).map(|value| settings.$name = value),
            write: |settings| <$form as Form<$type>>::write(&settings.$name),
        }),*];
    };
}

/// One setting as texts see it.
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

    /// Between two heartbeats of a session: what `heartbeat` says, or a quarter of `failover_time`.
    #[must_use]
    pub fn heartbeat_interval(&self) -> Duration {
        self.heartbeat.unwrap_or(self.failover_time / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_heartbeats_four_times_in_a_failover_time_unless_told_otherwise() {
        let settings = Settings::default().failover_time(Duration::from_secs(4));
        assert_eq!(settings.heartbeat_interval(), Duration::from_secs(1));
        assert_eq!(settings.heartbeat(Duration::from_millis(700)).heartbeat_interval(), Duration::from_millis(700));
    }

    #[test]
    fn setters_set_their_own_field_and_no_other() {
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
