//! Before anything is written: is this table ours to work on?

use super::effects::{Answer, Effects, Op, Part};
use super::planner::Resting;
use crate::clock::Time;
use crate::config::Settings;
use crate::error::{Code, Error};
use crate::lease::Table;
use crate::lease::row::{Fleet, Lease};
use crate::record::StreamIdentity;
use crate::telemetry::event::coordination::Happening;
use std::time::Duration;

/// Java renews every third of its failover time, 3.3 s by default: looks as close as this see it move in time.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks at the table until it is clear that no other hand is at work.
#[derive(Debug)]
pub(crate) struct Start {
    table: String,
    stream: StreamIdentity,
    java_failover_time: Duration,
    resting: Resting,
    asked: Time,
}

/// What a look told.
#[derive(Debug)]
pub(crate) enum News {
    Nothing,
    /// The table is ours to work on.
    Clear(Box<Table>),
    /// It is not.
    Refused(Error),
}

impl Start {
    pub(crate) fn new(table: String, stream: StreamIdentity, settings: &Settings) -> Self {
        let java_failover_time = settings.java_failover_time;
        Start { table, stream, java_failover_time, resting: Resting::default(), asked: Time::ZERO }
    }

    pub(crate) fn look(&mut self, effects: &mut Effects) {
        self.asked = effects.now;
        effects.call(Part::Start, Op::Scan);
    }

    /// What was seen of leases that other hands wrote.
    pub(crate) fn into_resting(self) -> Resting {
        self.resting
    }

    pub(crate) fn on_answer(&mut self, answer: Answer, effects: &mut Effects) -> News {
        let Answer::Table(table) = answer else {
            effects.remind(Part::Start, effects.now + Duration::from_millis(500));
            return News::Nothing;
        };
        if let Err(error) = self.examine(&table) {
            return News::Refused(error);
        }
        for damaged in &table.damaged {
            effects.tell(Happening::RowDamaged { key: damaged.key.to_string(), why: damaged.why.clone() });
        }
        let mut waiting = false;
        for lease in table.leases.iter().filter(|lease| is_another_hands(lease)) {
            self.resting.look(lease, self.asked);
            if self.resting.is_moving(&lease.key) {
                return News::Refused(self.in_use(lease));
            }
            waiting |= !self.resting.rested(&lease.key, self.java_failover_time);
        }
        if waiting {
            effects.tell(Happening::WaitingForForeignHand { for_long: self.java_failover_time });
            effects.remind(Part::Start, effects.now + LOOK_EVERY);
            return News::Nothing;
        }
        News::Clear(Box::new(table))
    }

    fn examine(&self, table: &Table) -> Result<(), Error> {
        let name = &self.table;
        if let Some(fleet) = table.fleet.as_ref().filter(|fleet| fleet.format > Fleet::FORMAT) {
            return Err(Error::new(
                Code::TableFormat,
                format!(
                    "table `{name}` has format {}, and this version knows formats up to {}: upgrade this worker",
                    fleet.format,
                    Fleet::FORMAT
                ),
            ));
        }
        if let Some(lease) = table.leases.iter().find(|lease| lease.stream_name.is_some()) {
            return Err(Error::new(
                Code::LeaseKeys,
                format!(
                    "table `{name}` holds leases of several streams (`{}`), and this worker reads one: use another \
                     application name",
                    lease.key
                ),
            ));
        }
        let other =
            table.leases.iter().find_map(|lease| lease.stream.as_ref().filter(|stream| **stream != self.stream));
        if let Some(other) = other {
            let recreated = if other.arn == self.stream.arn {
                "the stream was deleted and made again, so its checkpoints mean nothing here. "
            } else {
                ""
            };
            return Err(Error::new(
                Code::OtherStream,
                format!(
                    "table `{name}` belongs to stream `{}` created at {} (Unix time), and this worker reads `{}` \
                     created at {}: {recreated}use another application name, or delete the table",
                    other.arn, other.created_at, self.stream.arn, self.stream.created_at
                ),
            ));
        }
        Ok(())
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
    lease.owner.is_some() && !lease.checkpoint.is_shard_end() && lease.is_foreign()
}
