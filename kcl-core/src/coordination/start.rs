//! Before anything is written: is this table ours to work on?

mod agreement;
mod correction;
mod examine;
mod pinned;

pub(super) use agreement::shared;
pub(super) use examine::of_range;

use self::agreement::{Agreement, Verdict};
use self::correction::{Corrected, Correction, Step};
use super::effects::{Answer, CallId, Effects, Op};
use super::leader::StaleOwnerTracker;
use super::streams::Streams;
use crate::clock::Time;
use crate::config::Settings;
use crate::coordination::event::CoordinationEvent;
use crate::error::{Code, Error};
use crate::lease::row::{FleetSettings, Lease, RowKey, WorkerId};
use crate::lease::{Page, Table};
use crate::shard::{ListWhich, Shard};
use std::time::Duration;

/// Java renews every third of its failover time, 3.3 s by default: looks as close as this see it move in time.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks at the table until it is clear that no other hand is at work.
#[derive(Debug)]
pub(crate) struct Start {
    table: String,
    java_failover_time: Duration,
    resting: StaleOwnerTracker,
    /// The stream's shards, once it turned out that they matter.
    shards: Option<Vec<Shard>>,
    damaged_told: bool,
    asked: Time,
    agreement: Agreement,
    /// Whether it was told that somebody with other settings may be alive.
    waiting_told: bool,
    correction: Correction,
    /// Writes under way that take a mistaken `start` back.
    correcting: Option<Step>,
    /// Whether it was logged that a start differs, and that it is corrected.
    correction_logged: (bool, bool),
}

/// What a look told.
#[derive(Debug)]
pub(crate) enum StartEvent {
    Nothing,
    /// The table is ours to work on.
    Clear(Box<Table>),
    /// It is, and the fleet's settings are to be used.
    Adopted(Box<Table>, FleetSettings),
    /// It is not.
    Refused(Error),
}

impl Start {
    pub(crate) fn new(table: String, me: WorkerId, settings: &Settings) -> Self {
        let java_failover_time = settings.java_failover_time;
        Start {
            agreement: Agreement::new(table.clone(), me, settings),
            waiting_told: false,
            correction: Correction::new(settings.failover_time),
            correcting: None,
            correction_logged: (false, false),
            table,
            java_failover_time,
            resting: StaleOwnerTracker::default(),
            shards: None,
            damaged_told: false,
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
            None => self.look(effects),
        }
    }

    pub(crate) fn look(&mut self, effects: &mut Effects) {
        self.asked = effects.now;
        effects.call(CallId::Start, Op::Scan);
    }

    /// A page of the table, as an answer to a call that was sent then.
    pub(crate) fn on_page(&mut self, page: &Page, sent: Time, effects: &Effects) {
        for lease in page.rows.leases.iter().filter(|lease| is_another_hands(lease)) {
            self.resting.observe(lease, sent, effects.now, &effects.contact);
        }
    }

    /// What was seen of leases that other hands wrote.
    pub(crate) fn into_resting(self) -> StaleOwnerTracker {
        self.resting
    }

    pub(crate) fn on_answer(&mut self, answer: Answer, streams: &Streams, effects: &mut Effects) -> StartEvent {
        match answer {
            Answer::Table(table) => self.on_table(table, streams, effects),
            Answer::Listing(listing) => {
                self.shards = Some(listing.shards);
                self.look(effects);
                StartEvent::Nothing
            }
            Answer::Written(_) | Answer::Rows(_) | Answer::Page(_) | Answer::Failed(_) => {
                effects.repeat(CallId::Start);
                StartEvent::Nothing
            }
        }
    }

    fn on_table(&mut self, table: Table, streams: &Streams, effects: &mut Effects) -> StartEvent {
        if let Err(error) = examine::marks(&self.table, streams, &table) {
            return StartEvent::Refused(error);
        }
        match (streams, &self.shards) {
            (Streams::One(_), None) if examine::unmarked(&table).next().is_some() => {
                effects.call(CallId::Start, Op::List(None, ListWhich::All));
                return StartEvent::Nothing;
            }
            // Keys of several streams say themselves when each was created.
            (Streams::Several(_), _) | (Streams::One(_), None) => {}
            (Streams::One(served), Some(shards)) => {
                if let Err(error) = examine::incarnation(&self.table, &served.keys.identity, &table, shards) {
                    return StartEvent::Refused(error);
                }
            }
        }
        for damaged in table.damaged.iter().filter(|_| !std::mem::replace(&mut self.damaged_told, true)) {
            effects.tell(CoordinationEvent::damaged(damaged));
        }
        let mut waiting = false;
        for lease in table.leases.iter().filter(|lease| is_another_hands(lease)) {
            if self.resting.is_moving(&lease.key) {
                return StartEvent::Refused(self.in_use(lease));
            }
            waiting |= !self.resting.is_stale_for(lease, self.java_failover_time);
        }
        if waiting {
            effects.tell(CoordinationEvent::WaitingForForeignHand { for_long: self.java_failover_time });
            effects.remind(CallId::Start, effects.now + LOOK_EVERY);
            return StartEvent::Nothing;
        }
        let verdict = self.agreement.look(&table, self.asked);
        if matches!(verdict, Verdict::Fits | Verdict::Adopt(_)) {
            if self.corrects_start(streams, &table, effects) {
                return StartEvent::Nothing;
            }
            for pinned::IgnoredStart { stream, setting, pinned } in pinned::ignored_starts(streams, &table) {
                effects.tell(CoordinationEvent::StartIgnored { stream, setting, pinned });
            }
        }
        match verdict {
            Verdict::Fits => StartEvent::Clear(Box::new(table)),
            Verdict::Adopt(settings) => StartEvent::Adopted(Box::new(table), settings),
            Verdict::Refused(error) => StartEvent::Refused(error),
            Verdict::Look(after) => {
                if let Some(theirs) = table.fleet.and_then(|fleet| fleet.settings)
                    && !std::mem::replace(&mut self.waiting_told, true)
                {
                    effects.tell(CoordinationEvent::FleetSettingsDiffer { theirs });
                }
                effects.remind(CallId::Start, effects.now + after);
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
                        effects.tell(CoordinationEvent::StartDiffers { stream, setting, pinned });
                    }
                }
                effects.remind(CallId::Start, effects.now + after);
                true
            }
            correction::Verdict::Write { writes, of } => {
                if !std::mem::replace(&mut self.correction_logged.1, true) {
                    for Corrected { stream, setting, pinned } in of {
                        effects.tell(CoordinationEvent::StartCorrected { stream, setting, pinned });
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
            effects.write(CallId::Correct(write.key()), write);
        }
    }

    /// An answer to a write that takes a mistaken start back.
    pub(crate) fn on_corrected(&mut self, row: &RowKey, answer: &Answer, effects: &mut Effects) {
        let Some(step) = &mut self.correcting else { return };
        step.on_answer(row, matches!(answer, Answer::Failed(_)));
        if step.is_done() {
            self.correcting = None;
            self.look(effects);
        } else if step.is_waiting() {
            effects.repeat(CallId::Start);
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

/// Whether a lease is owned and was last written by a hand that does not know our attributes.
fn is_another_hands(lease: &Lease) -> bool {
    lease.owner.is_some() && !lease.checkpoint.is_shard_end() && lease.was_written_externally()
}
