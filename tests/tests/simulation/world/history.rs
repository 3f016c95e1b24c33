//! What happened, in order: the facts that invariants are checked against.

use kcl_core::lease::{Row, RowKey, Write};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// The name of a process. A worker id that is started again is another process.
pub(crate) type Name = Arc<str>;

/// One fact.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// True time since the world began.
    pub(crate) at: Duration,
    pub(crate) fact: Fact,
}

/// A record as a handler was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) number: u32,
    pub(crate) key: String,
}

#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "most facts of a play are the large ones")]
pub(crate) enum Fact {
    /// What a scenario says of itself.
    Note(String),
    /// A record is in the stream.
    Put {
        number: u32,
        key: String,
        shard: String,
        sequence: String,
        /// Its place in an aggregate; 0 where it is alone.
        part: u64,
    },
    /// One of several streams is no more, and what was not read of it.
    Deleted {
        stream: String,
    },
    /// Another stream was made under the name of one that was deleted.
    MadeAgain {
        stream: String,
    },
    /// Shards ended in others.
    Resharded {
        parents: Vec<String>,
        children: Vec<String>,
    },
    /// A process began, under this worker id.
    Started {
        process: Name,
        worker: String,
    },
    /// It could not be built; its supervisor tries again.
    BuildFailed {
        process: Name,
        error: String,
    },
    /// It was asked to stop.
    StopAsked {
        process: Name,
        within: Duration,
    },
    /// It came to its end by itself, or because it was asked to.
    Ended {
        process: Name,
        error: Option<String>,
    },
    /// A scenario says that the process is to end with an error.
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
    /// Something befell a call.
    Befell {
        process: Name,
        operation: &'static str,
        what: String,
    },
    /// A process sent a write. (Not known over the wire.)
    Sent {
        process: Name,
        call: u64,
        write: Write,
    },
    /// A row changed. `by` is `None` where another hand did it.
    Changed {
        by: Option<Name>,
        call: Option<u64>,
        key: RowKey,
        before: Option<Row>,
        after: Option<Row>,
    },
    /// A processor was made for a shard, or dropped.
    ProcessorMade {
        process: Name,
        shard: String,
    },
    ProcessorDropped {
        process: Name,
        shard: String,
    },
    /// A handler is called.
    Handed {
        process: Name,
        worker: String,
        shard: String,
        token: u64,
        batch: u64,
        records: Vec<Handed>,
    },
    /// That call came back with success.
    Handled {
        process: Name,
        batch: u64,
    },
    /// This record is done, whatever becomes of the others of its call.
    Acknowledged {
        process: Name,
        number: u32,
    },
    /// The dead-letter sink took this record.
    GivenUp {
        process: Name,
        number: u32,
    },
    /// A transaction changed the database for this record.
    Applied {
        process: Name,
        number: u32,
    },
    /// That call failed, or was given up.
    Failed {
        process: Name,
        batch: u64,
    },
    LeaseLost {
        process: Name,
        shard: String,
    },
    /// A process asks that a shard's records be pushed to it. (These four are not known over the wire.)
    AsksToBePushed {
        process: Name,
        shard: String,
    },
    /// They are from now on.
    Pushed {
        process: Name,
        shard: String,
    },
    /// They are not.
    PushRefused {
        process: Name,
        shard: String,
        why: String,
    },
    /// A process begins to poll a shard.
    Polls {
        process: Name,
        shard: String,
    },
    /// A process is told to serve streams of that account and name, of several, or is built with them.
    Serves {
        process: Name,
        stream: String,
    },
    /// It is told to serve them no more.
    ServesNoMore {
        process: Name,
        stream: String,
    },
    /// And nothing of them is left in it.
    HasLeft {
        process: Name,
        stream: String,
    },
    /// A handler that was made for one stream was given records of another.
    Strayed {
        process: Name,
        shard: String,
        of: String,
    },
    /// No faults from here on, and what they delayed has landed.
    Calm {
        /// Whether a person had changed the table meanwhile.
        tampered: bool,
        /// How long a read of the whole table takes, where that is long.
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
    /// Records that no handler has handled yet, and where they are.
    unhandled: BTreeMap<u32, String>,
    /// What handlers are at work on.
    batches: BTreeMap<u64, Vec<u32>>,
}

impl History {
    /// A world begins now.
    pub(crate) fn begin() -> Self {
        History { began: Instant::now(), state: Arc::default() }
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// True time since the world began.
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

    /// Looks at the facts without copying them.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&[Event]) -> T) -> T {
        look(&self.lock().events)
    }

    /// The records that were put and that no handler has handled yet.
    pub(crate) fn unhandled(&self) -> BTreeSet<u32> {
        self.lock().unhandled.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Whether a lease, by its key, is one of this stream, or of one of this account and name.
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
