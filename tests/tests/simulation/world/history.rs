//! The facts of a play in order; invariants are checked against them.

use kcl_core::lease::{Row, RowKey, Write};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// The name of a process. A restarted worker id is another process.
pub(crate) type Name = Arc<str>;

/// One fact.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// True time since the world's start.
    pub(crate) at: Duration,
    pub(crate) fact: Fact,
}

/// A record as a handler received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) number: u32,
    pub(crate) key: String,
}

#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "most facts of a play are the large ones")]
pub(crate) enum Fact {
    /// A statement of the scenario, for the transcript.
    Note(String),
    /// A record was put into the stream.
    Put {
        number: u32,
        key: String,
        shard: String,
        sequence: String,
        /// Its index in an aggregate; 0 if it is alone.
        part: u64,
    },
    /// One of several streams was deleted, with these unread records.
    Deleted {
        stream: String,
    },
    /// Another stream was created under the name of a deleted one.
    MadeAgain {
        stream: String,
    },
    /// Shards ended, with these children.
    Resharded {
        parents: Vec<String>,
        children: Vec<String>,
    },
    /// A process started under this worker id.
    Started {
        process: Name,
        worker: String,
    },
    /// Its worker could not be built; its supervisor tries again.
    BuildFailed {
        process: Name,
        error: String,
    },
    /// It was asked to stop.
    StopAsked {
        process: Name,
        within: Duration,
    },
    /// It ended, by itself or on request.
    Ended {
        process: Name,
        error: Option<String>,
    },
    /// The scenario expects the process to end with an error.
    MayFail {
        process: Name,
    },
    Killed {
        process: Name,
    },
    Frozen {
        process: Name,
    },
    Thawed {
        process: Name,
    },
    CutOff {
        process: Name,
        from: &'static str,
    },
    Mended {
        process: Name,
    },
    ClockJumped {
        process: Name,
        ahead: Duration,
    },
    /// A call met a fault.
    Befell {
        process: Name,
        operation: &'static str,
        what: String,
    },
    /// A process sent a write. (Unknown over the wire.)
    Sent {
        process: Name,
        call: u64,
        write: Write,
    },
    /// A row changed. `by` is `None` for an external writer.
    Changed {
        by: Option<Name>,
        call: Option<u64>,
        key: RowKey,
        before: Option<Row>,
        after: Option<Row>,
    },
    /// A processor was created for a shard, or dropped.
    ProcessorMade {
        process: Name,
        shard: String,
    },
    ProcessorDropped {
        process: Name,
        shard: String,
    },
    /// A handler was called.
    Handed {
        process: Name,
        worker: String,
        shard: String,
        token: u64,
        batch: u64,
        records: Vec<Handed>,
    },
    /// That call returned successfully.
    Handled {
        process: Name,
        batch: u64,
    },
    /// This record is done, independently of the others of its call.
    Acknowledged {
        process: Name,
        number: u32,
    },
    /// The dead-letter sink stored this record.
    GivenUp {
        process: Name,
        number: u32,
    },
    /// A transaction applied this record's effect to the database.
    Applied {
        process: Name,
        number: u32,
    },
    /// That call failed, or was cancelled.
    Failed {
        process: Name,
        batch: u64,
    },
    LeaseLost {
        process: Name,
        shard: String,
    },
    /// A process subscribes to a shard. (This and the next three are unknown over the wire.)
    AsksToBePushed {
        process: Name,
        shard: String,
    },
    /// The subscription is open.
    Pushed {
        process: Name,
        shard: String,
    },
    /// The subscription was refused or has ended.
    PushRefused {
        process: Name,
        shard: String,
        why: String,
    },
    /// A process starts to poll a shard.
    Polls {
        process: Name,
        shard: String,
    },
    /// A process is told to serve the streams of that account and name, or is built with them.
    Serves {
        process: Name,
        stream: String,
    },
    /// It is told to stop serving them.
    ServesNoMore {
        process: Name,
        stream: String,
    },
    /// It has nothing of them left.
    HasLeft {
        process: Name,
        stream: String,
    },
    /// A processor of one stream received records of another.
    Strayed {
        process: Name,
        shard: String,
        of: String,
    },
    /// No faults from here on, and every delayed call has arrived.
    Calm {
        /// True if a person had changed the table meanwhile.
        tampered: bool,
        /// The time of a read of the whole table, if that is long.
        read: Duration,
    },
}

/// All facts so far. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct History {
    began: Instant,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    /// Records that no handler has handled yet, and their places.
    unhandled: BTreeMap<u32, String>,
    /// Records in running handler calls.
    batches: BTreeMap<u64, Vec<u32>>,
}

impl History {
    /// Starts a world now.
    pub(crate) fn begin() -> Self {
        History { began: Instant::now(), state: Arc::default() }
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// True time since the world's start.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn add(&self, fact: Fact) {
        let at = self.now();
        let mut state = self.lock();
        state.count(&fact);
        state.events.push(Event { at, fact });
    }

    pub(crate) fn all(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// Gives access to the facts without a copy.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&[Event]) -> T) -> T {
        look(&self.lock().events)
    }

    /// Records that were put and that no handler has handled yet.
    pub(crate) fn unhandled(&self) -> BTreeSet<u32> {
        self.lock().unhandled.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// True if a lease, by its key, belongs to this stream, or to a stream of this account and name.
pub(crate) fn is_of(lease: &str, stream: &str) -> bool {
    lease.strip_prefix(stream).is_some_and(|rest| rest.starts_with(':'))
}

impl State {
    fn count(&mut self, fact: &Fact) {
        match fact {
            Fact::Put { number, shard, .. } => drop(self.unhandled.insert(*number, shard.clone())),
            Fact::Deleted { stream } => self.unhandled.retain(|_, shard| !is_of(shard, stream)),
            Fact::Handed { batch, records, .. } => {
                self.batches.insert(*batch, records.iter().map(|record| record.number).collect());
            }
            Fact::Handled { batch, .. } => {
                for number in self.batches.remove(batch).into_iter().flatten() {
                    self.unhandled.remove(&number);
                }
            }
            Fact::Acknowledged { number, .. } | Fact::GivenUp { number, .. } | Fact::Applied { number, .. } => {
                self.unhandled.remove(number);
            }
            _ => {}
        }
    }
}
