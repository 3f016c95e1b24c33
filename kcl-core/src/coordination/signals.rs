//! Exports gauges and alarms about held leases: consumer lag, quarantined records, and records that near the end of the
//! stream's retention.

use super::effects::Effects;
use super::held_lease::HeldLease;
use super::intervals;
use super::streams::Streams;
use crate::clock::Time;
use crate::coordination::event::CoordinationEvent;
use crate::lease::row::LeaseKey;
use crate::record::StreamId;
use std::collections::BTreeMap;
use std::time::Duration;

/// Records that are older than this share of the stream's retention, and unread or in quarantine, raise an alarm.
const ALARM_AT: f64 = 0.8;

/// When the exports were last made.
#[derive(Debug, Default)]
pub(super) struct Signals {
    exported: Time,
    alarmed: Time,
    described: BTreeMap<Option<StreamId>, Time>,
    to_describe: Option<Option<StreamId>>,
}

/// The records in quarantine of one stream.
#[derive(Default)]
struct Quarantined {
    records: usize,
    oldest: Duration,
}

impl Signals {
    /// The stream whose retention is to be read, if one is due: one of several, or the only one.
    pub(super) fn take_to_describe(&mut self) -> Option<Option<StreamId>> {
        self.to_describe.take()
    }

    /// Exports what is due.
    pub(super) fn export(&mut self, held: &BTreeMap<LeaseKey, HeldLease>, streams: &Streams, effects: &mut Effects) {
        let now = effects.now;
        if now.since(self.exported) < intervals::EXPORT {
            return;
        }
        self.exported = now;
        let alarms = now.since(self.alarmed) >= intervals::ALARM_REPEAT;
        if alarms {
            self.alarmed = now;
        }
        let ids: Vec<Option<StreamId>> = streams.ids().map_or(vec![None], |ids| ids.into_iter().map(Some).collect());
        let mut quarantined: BTreeMap<Option<StreamId>, Quarantined> =
            ids.into_iter().map(|id| (id, Quarantined::default())).collect();
        for (lease, held) in held {
            let Some(served) = streams.of(lease) else { continue };
            let (delivery, retention) = (&held.delivery, served.retention);
            let behind = delivery.lag();
            let (lag, unacknowledged) = (behind.lag, behind.unacknowledged);
            effects.emit(CoordinationEvent::ShardBehind { lease: lease.clone(), lag, unacknowledged });
            let left = |age: Duration| retention.saturating_sub(age);
            let is_near = |age: Duration| age >= retention.mul_f64(ALARM_AT);
            if alarms && is_near(lag) {
                effects.emit(CoordinationEvent::RetentionNear { lease: lease.clone(), lag, left: left(lag) });
            }
            for expired in delivery.expired(retention) {
                effects.emit(CoordinationEvent::RecordsExpired { lease: lease.clone(), expired });
            }
            let keys = delivery.quarantined_keys();
            let Some(oldest) = keys.iter().map(|key| key.arrived_at_ms).min() else { continue };
            let age = delivery.age(oldest);
            let of_stream = quarantined.entry(served.keys.id.clone()).or_default();
            of_stream.records += keys.iter().map(|key| key.positions.len()).sum::<usize>();
            of_stream.oldest = of_stream.oldest.max(age);
            // An operator must resume these records before the stream's retention deletes them.
            if alarms && is_near(age) {
                let (lease, keys, left) = (lease.clone(), keys.len(), left(age));
                effects.emit(CoordinationEvent::ParkedAging { lease, keys, left });
            }
        }
        for (stream, Quarantined { records, oldest }) in quarantined {
            effects.emit(CoordinationEvent::QuarantineHolds { stream, records, oldest });
        }
        self.describe_next(held, streams, now);
    }

    /// Picks the stream, of those of which leases are held, that was described longest ago.
    fn describe_next(&mut self, held: &BTreeMap<LeaseKey, HeldLease>, streams: &Streams, now: Time) {
        let since = |lease: &LeaseKey| {
            let id = streams.of(lease)?.keys.id.clone();
            let described = self.described.get(&id).copied();
            Some((described, id))
        };
        let Some((described, id)) = held.keys().filter_map(since).min() else { return };
        match described {
            // The stream was described when the worker started.
            None => drop(self.described.insert(id, now)),
            Some(described) if now.since(described) >= intervals::RETENTION => {
                self.described.insert(id.clone(), now);
                self.to_describe = Some(id);
            }
            Some(_) => {}
        }
    }
}
