//! Tracks the removal of streams, of several, from a worker: until nothing of a stream is left here and, on request, until
//! it is known whether other workers serve it. Pure.
//!
//! A worker writes into its session's row that it no longer serves the stream before it reads who else does. So of
//! workers that remove a stream at the same time, at least one finds no other.

use super::backoff::RetryPolicy;
use super::call::{CallId, Reply, TimerId};
use super::effects::Effects;
use super::streams::served_by_others;
use crate::lease::Table;
use crate::lease::row::WorkerId;
use crate::record::StreamId;
use std::collections::BTreeMap;

/// Reads of the table that may fail before a removal ends without an answer.
const MOST_READS: u32 = 5;

/// Whether other workers serve a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    NotAsked,
    Nobody,
    Somebody,
    /// The table did not answer.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A lease, a claim or a consumer of the stream is left.
    Draining {
        asks: bool,
    },
    /// Nothing is left; a read of the table is to show who else serves the stream.
    Asking {
        /// Whether the read under way began after this state.
        asked: bool,
        failed: u32,
    },
    Known(Elsewhere),
}

/// The state of the read of the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Read {
    #[default]
    Idle,
    UnderWay,
    /// The last read failed; the next one waits for the timer.
    Pausing,
}

/// The removals under way.
#[derive(Debug, Default)]
pub(crate) struct StreamRemoval {
    streams: BTreeMap<StreamId, State>,
    read: Read,
}

impl StreamRemoval {
    /// Begins the removal of a stream. `asks`: the caller wants to know who else serves it.
    pub(crate) fn stop(&mut self, stream: StreamId, asks: bool) {
        self.streams.insert(stream, State::Draining { asks });
    }

    /// The worker serves the stream again.
    pub(crate) fn serve(&mut self, stream: &StreamId) {
        self.streams.remove(stream);
    }

    /// The session ended, and answers to its calls are dropped. Removals outlive it: the next session reads again.
    pub(crate) fn on_session_lost(&mut self) {
        self.read = Read::Idle;
        for state in self.streams.values_mut() {
            if let State::Asking { asked, .. } = state {
                *asked = false;
            }
        }
    }

    /// Advances the removals and returns those that are complete. `is_gone`: nothing of the stream is left here;
    /// `is_shown`: the session's row shows that this worker does not serve the stream.
    pub(crate) fn settle(
        &mut self,
        is_gone: impl Fn(&StreamId) -> bool,
        is_shown: impl Fn(&StreamId) -> bool,
        effects: &mut Effects,
    ) -> Vec<(StreamId, Elsewhere)> {
        for (stream, state) in self.streams.iter_mut().filter(|(stream, _)| is_gone(stream)) {
            match *state {
                State::Draining { asks: false } => *state = State::Known(Elsewhere::NotAsked),
                State::Draining { asks: true } if is_shown(stream) => {
                    *state = State::Asking { asked: false, failed: 0 }
                }
                State::Draining { .. } | State::Asking { .. } | State::Known(_) => {}
            }
        }
        if self.read == Read::Idle {
            self.ask(effects);
        }
        let known: Vec<(StreamId, Elsewhere)> =
            self.streams.iter().filter_map(|(stream, state)| state.known(stream)).collect();
        self.streams.retain(|stream, state| state.known(stream).is_none());
        known
    }

    fn ask(&mut self, effects: &mut Effects) {
        let mut any = false;
        for state in self.streams.values_mut() {
            if let State::Asking { asked, .. } = state {
                (*asked, any) = (true, true);
            }
        }
        if any {
            self.read = Read::UnderWay;
            effects.read_table(CallId::StreamRemoval);
        }
    }

    pub(crate) fn on_timer(&mut self) {
        self.read = Read::Idle;
    }

    pub(crate) fn on_table(&mut self, answer: &Reply<Table>, me: &WorkerId, effects: &mut Effects) {
        let served = answer.as_ref().ok().map(|table| served_by_others(table, me));
        for (stream, state) in &mut self.streams {
            let State::Asking { asked: true, failed } = *state else { continue };
            *state = match &served {
                Some(served) if served.contains(stream) => State::Known(Elsewhere::Somebody),
                Some(_) => State::Known(Elsewhere::Nobody),
                None if failed + 1 >= MOST_READS => State::Known(Elsewhere::Unknown),
                None => State::Asking { asked: false, failed: failed + 1 },
            };
        }
        if served.is_some() {
            self.read = Read::Idle;
        } else {
            self.read = Read::Pausing;
            effects.set_timer(TimerId::StreamRemoval, effects.now + RetryPolicy::STREAM_REMOVAL.pause(1));
        }
    }
}

impl State {
    fn known(self, stream: &StreamId) -> Option<(StreamId, Elsewhere)> {
        if let State::Known(elsewhere) = self { Some((stream.clone(), elsewhere)) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordination::call::Failure;
    use crate::lease::row::{Session, SessionState};

    fn id(name: &str) -> StreamId {
        StreamId::new(format!("1:{name}:2"))
    }

    fn me() -> WorkerId {
        WorkerId::parse("me").unwrap()
    }

    fn table(sessions: &[(&str, SessionState, &[&str])]) -> Reply<Table> {
        let session = |(worker, state, streams): &(&str, SessionState, &[&str])| Session {
            worker: WorkerId::parse(*worker).unwrap(),
            number: 1,
            tag: 0,
            heartbeat: 1,
            state: *state,
            capacity: None,
            load: 0,
            weights: None,
            streams: Some(streams.iter().map(|name| id(name)).collect()),
            profile: crate::lease::WorkerProfile::default(),
        };
        Ok(Table { sessions: sessions.iter().map(session).collect(), ..Table::default() })
    }

    struct Harness {
        removal: StreamRemoval,
        effects: Effects,
        gone: bool,
        shown: bool,
    }

    impl Harness {
        fn stopping(asks: bool) -> Self {
            let mut removal = StreamRemoval::default();
            removal.stop(id("instructions"), asks);
            Harness { removal, effects: Effects::new(fastrand::Rng::with_seed(1)), gone: false, shown: false }
        }

        fn settle(&mut self) -> Option<Elsewhere> {
            let known = self.removal.settle(|_| self.gone, |_| self.shown, &mut self.effects);
            known.first().map(|(_, elsewhere)| *elsewhere)
        }

        fn reads(&mut self) -> usize {
            self.effects.take_calls().len()
        }

        fn answer(&mut self, answer: &Reply<Table>) -> Option<Elsewhere> {
            self.removal.on_table(answer, &me(), &mut self.effects);
            self.settle()
        }
    }

    #[test]
    fn a_removal_is_complete_when_nothing_of_the_stream_is_left_here() {
        let mut harness = Harness::stopping(false);
        assert_eq!(harness.settle(), None);
        harness.gone = true;
        assert_eq!(harness.settle(), Some(Elsewhere::NotAsked));
        assert_eq!((harness.settle(), harness.reads()), (None, 0), "reported once");
    }

    #[test]
    fn the_table_is_read_after_it_shows_that_this_worker_does_not_serve_the_stream() {
        let mut harness = Harness::stopping(true);
        harness.gone = true;
        assert_eq!((harness.settle(), harness.reads()), (None, 0));
        harness.shown = true;
        assert_eq!((harness.settle(), harness.reads()), (None, 1));
        assert_eq!((harness.settle(), harness.reads()), (None, 0), "one at a time");
        assert_eq!(harness.answer(&table(&[("me", SessionState::Active, &[])])), Some(Elsewhere::Nobody));
    }

    #[test]
    fn only_other_live_workers_that_serve_the_stream_count() {
        let of = |sessions: &[(&str, SessionState, &[&str])]| {
            let mut harness = Harness::stopping(true);
            (harness.gone, harness.shown) = (true, true);
            harness.settle();
            harness.answer(&table(sessions))
        };
        let (instructions, payments): (&[&str], &[&str]) = (&["instructions", "payments"], &["payments"]);
        for state in [SessionState::Active, SessionState::Draining] {
            assert_eq!(of(&[("b", state, instructions)]), Some(Elsewhere::Somebody));
            assert_eq!(of(&[("b", state, payments)]), Some(Elsewhere::Nobody));
            assert_eq!(
                of(&[("me", state, instructions)]),
                Some(Elsewhere::Nobody),
                "an earlier session of this worker"
            );
        }
        for state in [SessionState::Left, SessionState::Fenced] {
            assert_eq!(of(&[("b", state, instructions)]), Some(Elsewhere::Nobody));
        }
    }

    #[test]
    fn a_read_that_began_before_a_removal_says_nothing_about_it() {
        let mut harness = Harness::stopping(true);
        (harness.gone, harness.shown) = (true, true);
        harness.settle();
        harness.removal.stop(id("payments"), true);
        harness.settle();
        let (known, reads) = (harness.answer(&table(&[])), harness.reads());
        assert_eq!((known, reads), (Some(Elsewhere::Nobody), 2), "the table is read again");
        assert!(harness.removal.streams.contains_key(&id("payments")));
        assert_eq!(harness.answer(&table(&[])), Some(Elsewhere::Nobody));
    }

    #[test]
    fn a_table_that_does_not_answer_is_read_each_second_and_five_times() {
        let mut harness = Harness::stopping(true);
        (harness.gone, harness.shown) = (true, true);
        harness.settle();
        for _ in 1..MOST_READS {
            assert_eq!((harness.answer(&Err(Failure::Unanswered)), harness.reads()), (None, 1));
            harness.effects.now = harness.effects.now + std::time::Duration::from_secs(1);
            assert_eq!(harness.effects.take_due(), Some(TimerId::StreamRemoval));
            harness.removal.on_timer();
            harness.settle();
        }
        assert_eq!(harness.answer(&Err(Failure::Unanswered)), Some(Elsewhere::Unknown));
    }

    #[test]
    fn a_new_session_reads_again_and_a_worker_that_serves_the_stream_again_does_not() {
        let mut harness = Harness::stopping(true);
        (harness.gone, harness.shown) = (true, true);
        harness.settle();
        assert_eq!(harness.reads(), 1);
        harness.removal.on_session_lost();
        harness.settle();
        assert_eq!(harness.reads(), 1);
        harness.removal.serve(&id("instructions"));
        assert_eq!(harness.answer(&table(&[])), None);
    }
}
