//! Examines the table before anything is written: does it belong to this stream, and does no other kind of consumer use it?

mod agreement;
mod correction;
mod examine;
mod pinned;

pub(super) use agreement::shared;
pub(super) use examine::of_range;

use self::agreement::{Agreement, Verdict};
use self::correction::{Corrected, Correction, Step};
use super::backoff::RetryPolicy;
use super::call::{CallId, Op, Reply, StartCall, TimerId};
use super::effects::Effects;
use super::intervals;
use super::leader::StaleOwnerTracker;
use super::streams::Streams;
use crate::clock::Time;
use crate::config::Settings;
use crate::coordination::event::CoordinationEvent;
use crate::error::{Code, Error};
use crate::lease::row::{FleetSettings, Lease, RowKey, WorkerId};
use crate::lease::{Page, Table, Written};
use crate::shard::{ListWhich, Listing, Shard};
use std::time::Duration;

/// Reads the table until it is clear whether an external writer uses it, and whether the fleet's settings fit.
#[derive(Debug)]
pub(crate) struct Start {
    table: String,
    java_failover_time: Duration,
    /// The leases that external writers wrote, and since when each has not changed.
    stale_owners: StaleOwnerTracker,
    /// The stream's shards, if the leases do not name their stream.
    shards: Option<Vec<Shard>>,
    damaged_logged: bool,
    asked: Time,
    agreement: Agreement,
    /// Whether it was logged that a worker with other settings may be alive.
    waiting_logged: bool,
    correction: Correction,
    /// The writes under way that take a mistaken `start` back.
    correcting: Option<Step>,
    /// Whether it was logged that a start differs, and that it is corrected.
    correction_logged: (bool, bool),
}

/// The outcome of one step of the examination.
#[derive(Debug)]
pub(crate) enum StartEvent {
    Nothing,
    /// This worker may use the table.
    Clear(Box<Table>),
    /// This worker may use the table, with the fleet's settings.
    Adopted(Box<Table>, FleetSettings),
    /// This worker must not use the table.
    Refused(Error),
}

impl Start {
    pub(crate) fn new(table: String, me: WorkerId, settings: &Settings) -> Self {
        let java_failover_time = settings.java_failover_time;
        Start {
            agreement: Agreement::new(table.clone(), me, settings),
            waiting_logged: false,
            correction: Correction::new(settings.failover_time),
            correcting: None,
            correction_logged: (false, false),
            table,
            java_failover_time,
            stale_owners: StaleOwnerTracker::default(),
            shards: None,
            damaged_logged: false,
            asked: Time::ZERO,
        }
    }

    /// Reads the table again, or repeats the writes that failed.
    pub(crate) fn on_timer(&mut self, effects: &mut Effects) {
        match &mut self.correcting {
            Some(step) => {
                step.retry();
                self.send_corrections(effects);
            }
            None => self.read_table(effects),
        }
    }

    pub(crate) fn read_table(&mut self, effects: &mut Effects) {
        self.asked = effects.now;
        effects.read_table(CallId::Start(StartCall::ReadTable));
    }

    /// A page of the table arrived, in answer to a call that was sent then.
    pub(crate) fn on_page(&mut self, page: &Page, sent: Time, effects: &Effects) {
        for lease in page.rows.leases.iter().filter(|lease| is_external(lease)) {
            self.stale_owners.observe(lease, sent, effects.now, &effects.contact);
        }
    }

    /// The leases that external writers wrote, and since when each has not changed.
    pub(crate) fn into_stale_owners(self) -> StaleOwnerTracker {
        self.stale_owners
    }

    pub(crate) fn on_shards(&mut self, answer: Reply<Listing>, effects: &mut Effects) {
        match answer {
            Ok(listing) => {
                self.shards = Some(listing.shards);
                self.read_table(effects);
            }
            Err(_) => effects.retry(TimerId::Start, RetryPolicy::CALL),
        }
    }

    pub(crate) fn on_table(&mut self, answer: Reply<Table>, streams: &Streams, effects: &mut Effects) -> StartEvent {
        let Ok(table) = answer else {
            effects.retry(TimerId::Start, RetryPolicy::CALL);
            return StartEvent::Nothing;
        };
        if let Err(error) = examine::marks(&self.table, streams, &table) {
            return StartEvent::Refused(error);
        }
        match (streams, &self.shards) {
            (Streams::One(_), None) if examine::unmarked(&table).next().is_some() => {
                effects.call(CallId::Start(StartCall::ListShards), Op::List(None, ListWhich::All));
                return StartEvent::Nothing;
            }
            // The lease keys of several streams include the creation time of each stream.
            (Streams::Several(_), _) | (Streams::One(_), None) => {}
            (Streams::One(served), Some(shards)) => {
                if let Err(error) = examine::incarnation(&self.table, &served.keys.identity, &table, shards) {
                    return StartEvent::Refused(error);
                }
            }
        }
        for damaged in table.damaged.iter().filter(|_| !std::mem::replace(&mut self.damaged_logged, true)) {
            effects.emit(CoordinationEvent::damaged(damaged));
        }
        let mut waiting = false;
        for lease in table.leases.iter().filter(|lease| is_external(lease)) {
            if self.stale_owners.is_moving(&lease.key) {
                return StartEvent::Refused(self.in_use(lease));
            }
            waiting |= !self.stale_owners.is_stale_for(lease, self.java_failover_time);
        }
        if waiting {
            effects.emit(CoordinationEvent::WaitingForForeignHand { for_long: self.java_failover_time });
            effects.set_timer(TimerId::Start, effects.now + intervals::START_READ);
            return StartEvent::Nothing;
        }
        let verdict = self.agreement.look(&table, self.asked);
        if matches!(verdict, Verdict::Fits | Verdict::Adopt(_)) {
            if self.corrects_start(streams, &table, effects) {
                return StartEvent::Nothing;
            }
            for pinned::IgnoredStart { stream, setting, pinned } in pinned::ignored_starts(streams, &table) {
                effects.emit(CoordinationEvent::StartIgnored { stream, setting, pinned });
            }
        }
        match verdict {
            Verdict::Fits => StartEvent::Clear(Box::new(table)),
            Verdict::Adopt(settings) => StartEvent::Adopted(Box::new(table), settings),
            Verdict::Refused(error) => StartEvent::Refused(error),
            Verdict::Look(after) => {
                if let Some(theirs) = table.fleet.and_then(|fleet| fleet.settings)
                    && !std::mem::replace(&mut self.waiting_logged, true)
                {
                    effects.emit(CoordinationEvent::FleetSettingsDiffer { theirs });
                }
                effects.set_timer(TimerId::Start, effects.now + after);
                StartEvent::Nothing
            }
        }
    }

    /// Whether the table shows a start that nothing was read from and that is, or may be, taken back.
    fn corrects_start(&mut self, streams: &Streams, table: &Table, effects: &mut Effects) -> bool {
        match self.correction.look(streams, table, self.asked, effects.now, &effects.contact) {
            correction::Verdict::Nothing => false,
            correction::Verdict::Look { after, of } => {
                if !std::mem::replace(&mut self.correction_logged.0, true) {
                    for Corrected { stream, setting, pinned } in of {
                        effects.emit(CoordinationEvent::StartDiffers { stream, setting, pinned });
                    }
                }
                effects.set_timer(TimerId::Start, effects.now + after);
                true
            }
            correction::Verdict::Write { writes, of } => {
                if !std::mem::replace(&mut self.correction_logged.1, true) {
                    for Corrected { stream, setting, pinned } in of {
                        effects.emit(CoordinationEvent::StartCorrected { stream, setting, pinned });
                    }
                }
                self.correcting = Some(Step::new(writes));
                self.send_corrections(effects);
                true
            }
        }
    }

    fn send_corrections(&mut self, effects: &mut Effects) {
        let writes = self.correcting.as_mut().map(Step::send).unwrap_or_default();
        for write in writes {
            effects.write(CallId::Start(StartCall::Correct(write.key())), write);
        }
    }

    /// A write that takes a mistaken start back was answered.
    pub(crate) fn on_corrected(&mut self, row: &RowKey, answer: &Reply<Written>, effects: &mut Effects) {
        let Some(step) = &mut self.correcting else { return };
        step.on_answer(row, answer.is_err());
        if step.is_done() {
            self.correcting = None;
            self.read_table(effects);
        } else if step.is_waiting() {
            effects.retry(TimerId::Start, RetryPolicy::CALL);
        } else {
            self.send_corrections(effects);
        }
    }

    fn in_use(&self, lease: &Lease) -> Error {
        let owner = lease.owner.as_ref().map_or_else(|| "nobody".to_owned(), |owner| owner.worker.to_string());
        Error::new(
            Code::TableInUse,
            format!(
                "table `{}` is in use by another kind of consumer: worker `{owner}` (Java KCL?) keeps writing lease `{}`. \
                 Stop that fleet first; the two must never run at once",
                self.table, lease.key
            ),
        )
    }
}

/// Whether a lease is owned and was last written by an external writer, which does not know our attributes.
fn is_external(lease: &Lease) -> bool {
    lease.owner.is_some() && !lease.checkpoint.is_shard_end() && lease.was_written_externally()
}
