//! What the coordination exports on its timer: how far each shard is behind, what is in quarantine, what retention threatens.

use super::coordinator::Coordinator;
use crate::clock::Time;
use crate::coordination::event::CoordinationEvent;
use crate::lease::row::LeaseKey;
use crate::record::StreamId;
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two exports.
const EVERY: Duration = Duration::from_secs(5);
/// Between two alarms about the same.
const ALARM_EVERY: Duration = Duration::from_secs(60);
/// The part of the stream's retention after which what is not read, or quarantined, is alarmed about.
const ALARM_AT: f64 = 0.8;
/// Between two questions for a stream's retention, which may be changed at any time. DescribeStreamSummary allows 20 calls a
/// second to an account, however many workers and streams it has.
const RETENTION_EVERY: Duration = Duration::from_secs(600);

/// When what was done last.
#[derive(Debug, Default)]
pub(super) struct Signals {
    exported: Time,
    alarmed: Time,
    asked: BTreeMap<Option<StreamId>, Time>,
    question: Option<Option<StreamId>>,
}

impl Signals {
    /// The stream to be described, if one is.
    pub(super) fn take_question(&mut self) -> Option<Option<StreamId>> {
        self.question.take()
    }
}

/// What is in quarantine of a stream.
#[derive(Default)]
struct Parked {
    records: usize,
    oldest: Duration,
}

impl Coordinator {
    pub(super) fn export_signals(&mut self) {
        let now = self.effects.now;
        if now.since(self.signals.exported) < EVERY {
            return;
        }
        self.signals.exported = now;
        let alarms = now.since(self.signals.alarmed) >= ALARM_EVERY;
        if alarms {
            self.signals.alarmed = now;
        }
        let streams = self.identity.streams.ids();
        let ids: Vec<Option<StreamId>> = streams.map_or(vec![None], |ids| ids.into_iter().map(Some).collect());
        let mut parked: BTreeMap<Option<StreamId>, Parked> =
            ids.into_iter().map(|id| (id, Parked::default())).collect();
        let mut happened = Vec::new();
        for (lease, held) in &self.held {
            let Some(served) = self.identity.streams.of(lease) else { continue };
            let (delivery, retention) = (&held.delivery, served.retention);
            let behind = delivery.lag();
            let (lag, unacknowledged) = (behind.lag, behind.unacknowledged);
            happened.push(CoordinationEvent::ShardBehind { lease: lease.clone(), lag, unacknowledged });
            let left = |age: Duration| retention.saturating_sub(age);
            let is_near = |age: Duration| age >= retention.mul_f64(ALARM_AT);
            if alarms && is_near(lag) {
                happened.push(CoordinationEvent::RetentionNear { lease: lease.clone(), lag, left: left(lag) });
            }
            for expired in delivery.expired(retention) {
                happened.push(CoordinationEvent::RecordsExpired { lease: lease.clone(), expired });
            }
            let keys = delivery.quarantined_keys();
            let Some(oldest) = keys.iter().map(|key| key.arrived_at_ms).min() else { continue };
            let age = delivery.age(oldest);
            let of_stream = parked.entry(served.keys.id.clone()).or_default();
            of_stream.records += keys.iter().map(|key| key.positions.len()).sum::<usize>();
            of_stream.oldest = of_stream.oldest.max(age);
            // What is parked must be dealt with before the stream's retention ends it.
            if alarms && is_near(age) {
                happened.push(CoordinationEvent::ParkedAging {
                    lease: lease.clone(),
                    keys: keys.len(),
                    left: left(age),
                });
            }
        }
        for (stream, Parked { records, oldest }) in parked {
            happened.push(CoordinationEvent::QuarantineHolds { stream, records, oldest });
        }
        for happening in happened {
            self.effects.tell(happening);
        }
        self.ask_for_retention(now);
    }

    /// Asks one stream of which this worker holds leases, the one that was not asked for longest.
    fn ask_for_retention(&mut self, now: Time) {
        let since = |lease: &LeaseKey| {
            let id = self.identity.streams.of(lease)?.keys.id.clone();
            let asked = self.signals.asked.get(&id).copied();
            Some((asked, id))
        };
        let Some((asked, id)) = self.held.keys().filter_map(since).min() else { return };
        match asked {
            // It was described when the worker started.
            None => drop(self.signals.asked.insert(id, now)),
            Some(asked) if now.since(asked) >= RETENTION_EVERY => {
                self.signals.asked.insert(id.clone(), now);
                self.signals.question = Some(id);
            }
            Some(_) => {}
        }
    }
}
