//! Streams, of several, that are to be served no more: from when somebody asks for it until nothing of one is left here, and, if
//! that was asked too, until it is known whether other workers serve it. Pure.
//!
//! Who looks has said before, in its session's row, that it serves the stream no more. So of workers that stop at the same time
//! at least one finds nobody else.

use super::effects::{Answer, CallId, Effects, Op};
use super::streams::served_by_others;
use crate::lease::row::WorkerId;
use crate::record::StreamId;
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two looks of which the first got no answer, and how many there are.
const AGAIN: Duration = Duration::from_secs(1);
const MOST_LOOKS: u32 = 5;

/// Who else serves a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    NotAsked,
    Nobody,
    Somebody,
    /// The table did not tell.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Something of it is left.
    Draining {
        asks: bool,
    },
    /// Who else serves it is to be found out.
    Looking {
        asked: bool,
        failed: u32,
    },
    Known(Elsewhere),
}

/// The looks at the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Look {
    #[default]
    Idle,
    UnderWay,
    /// The last one failed, a moment ago.
    StaleOwnerTracker,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct StreamRemoval {
    of: BTreeMap<StreamId, State>,
    look: Look,
}

impl StreamRemoval {
    /// It is to be served no more.
    pub(crate) fn stop(&mut self, stream: StreamId, asks: bool) {
        self.of.insert(stream, State::Draining { asks });
    }

    /// It is served again.
    pub(crate) fn serve(&mut self, stream: &StreamId) {
        self.of.remove(stream);
    }

    /// The worker's session is over: what was asked for is not answered.
    pub(crate) fn begin_life(&mut self) {
        self.look = Look::Idle;
        for state in self.of.values_mut() {
            if let State::Looking { asked, .. } = state {
                *asked = false;
            }
        }
    }

    /// Goes on, as far as it can, and tells what is done. `is_gone`: nothing of the stream is left here; `is_said`: the
    /// session's row says so.
    pub(crate) fn settle(
        &mut self,
        is_gone: impl Fn(&StreamId) -> bool,
        is_said: impl Fn(&StreamId) -> bool,
        effects: &mut Effects,
    ) -> Vec<(StreamId, Elsewhere)> {
        for (stream, state) in self.of.iter_mut().filter(|(stream, _)| is_gone(stream)) {
            match *state {
                State::Draining { asks: false } => *state = State::Known(Elsewhere::NotAsked),
                State::Draining { asks: true } if is_said(stream) => {
                    *state = State::Looking { asked: false, failed: 0 }
                }
                State::Draining { .. } | State::Looking { .. } | State::Known(_) => {}
            }
        }
        if self.look == Look::Idle {
            self.ask(effects);
        }
        let known: Vec<(StreamId, Elsewhere)> =
            self.of.iter().filter_map(|(stream, state)| state.known(stream)).collect();
        self.of.retain(|stream, state| state.known(stream).is_none());
        known
    }

    fn ask(&mut self, effects: &mut Effects) {
        let mut any = false;
        for state in self.of.values_mut() {
            if let State::Looking { asked, .. } = state {
                (*asked, any) = (true, true);
            }
        }
        if any {
            self.look = Look::UnderWay;
            effects.call(CallId::StreamRemoval, Op::Scan);
        }
    }

    pub(crate) fn on_timer(&mut self) {
        self.look = Look::Idle;
    }

    pub(crate) fn on_answer(&mut self, answer: &Answer, me: &WorkerId, effects: &mut Effects) {
        let served = match answer {
            Answer::Table(table) => Some(served_by_others(table, me)),
            Answer::Written(_) | Answer::Rows(_) | Answer::Page(_) | Answer::Listing(_) | Answer::Failed(_) => None,
        };
        self.look = if served.is_some() { Look::Idle } else { Look::StaleOwnerTracker };
        for (stream, state) in &mut self.of {
            let State::Looking { asked: true, failed } = *state else { continue };
            *state = match &served {
                Some(served) if served.contains(stream) => State::Known(Elsewhere::Somebody),
                Some(_) => State::Known(Elsewhere::Nobody),
                None if failed + 1 >= MOST_LOOKS => State::Known(Elsewhere::Unknown),
                None => State::Looking { asked: false, failed: failed + 1 },
            };
        }
        if self.look == Look::StaleOwnerTracker {
            effects.remind(CallId::StreamRemoval, effects.now + AGAIN);
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
    use crate::coordination::effects::Failure;
    use crate::lease::Table;
    use crate::lease::row::{Session, SessionState};

    fn id(name: &str) -> StreamId {
        StreamId::new(format!("1:{name}:2"))
    }

    fn me() -> WorkerId {
        WorkerId::parse("me").unwrap()
    }

    fn table(sessions: &[(&str, SessionState, &[&str])]) -> Answer {
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
        Answer::Table(Table { sessions: sessions.iter().map(session).collect(), ..Table::default() })
    }

    struct Stage {
        leaving: StreamRemoval,
        effects: Effects,
        gone: bool,
        said: bool,
    }

    impl Stage {
        fn stopping(asks: bool) -> Self {
            let mut leaving = StreamRemoval::default();
            leaving.stop(id("instructions"), asks);
            Stage { leaving, effects: Effects::new(fastrand::Rng::with_seed(1)), gone: false, said: false }
        }

        fn settle(&mut self) -> Option<Elsewhere> {
            let known = self.leaving.settle(|_| self.gone, |_| self.said, &mut self.effects);
            known.first().map(|(_, elsewhere)| *elsewhere)
        }

        fn looks(&mut self) -> usize {
            self.effects.take_calls().len()
        }

        fn answer(&mut self, answer: &Answer) -> Option<Elsewhere> {
            self.leaving.on_answer(answer, &me(), &mut self.effects);
            self.settle()
        }
    }

    #[test]
    fn a_stream_is_left_when_nothing_of_it_is_left_and_nobody_asks_more() {
        let mut stage = Stage::stopping(false);
        assert_eq!(stage.settle(), None);
        stage.gone = true;
        assert_eq!(stage.settle(), Some(Elsewhere::NotAsked));
        assert_eq!((stage.settle(), stage.looks()), (None, 0), "told once");
    }

    #[test]
    fn nobody_is_looked_for_before_the_table_says_that_this_worker_serves_it_no_more() {
        let mut stage = Stage::stopping(true);
        stage.gone = true;
        assert_eq!((stage.settle(), stage.looks()), (None, 0));
        stage.said = true;
        assert_eq!((stage.settle(), stage.looks()), (None, 1));
        assert_eq!((stage.settle(), stage.looks()), (None, 0), "one at a time");
        assert_eq!(stage.answer(&table(&[("me", SessionState::Active, &[])])), Some(Elsewhere::Nobody));
    }

    #[test]
    fn whoever_lives_and_serves_it_counts_and_nobody_else() {
        let of = |sessions: &[(&str, SessionState, &[&str])]| {
            let mut stage = Stage::stopping(true);
            (stage.gone, stage.said) = (true, true);
            stage.settle();
            stage.answer(&table(sessions))
        };
        let (instructions, payments): (&[&str], &[&str]) = (&["instructions", "payments"], &["payments"]);
        for state in [SessionState::Active, SessionState::Draining] {
            assert_eq!(of(&[("b", state, instructions)]), Some(Elsewhere::Somebody));
            assert_eq!(of(&[("b", state, payments)]), Some(Elsewhere::Nobody));
            assert_eq!(of(&[("me", state, instructions)]), Some(Elsewhere::Nobody), "a former life's row");
        }
        for state in [SessionState::Left, SessionState::Fenced] {
            assert_eq!(of(&[("b", state, instructions)]), Some(Elsewhere::Nobody));
        }
    }

    #[test]
    fn a_look_that_was_sent_before_says_nothing_of_a_stream_that_was_left_after() {
        let mut stage = Stage::stopping(true);
        (stage.gone, stage.said) = (true, true);
        stage.settle();
        stage.leaving.stop(id("payments"), true);
        stage.settle();
        let (known, looks) = (stage.answer(&table(&[])), stage.looks());
        assert_eq!((known, looks), (Some(Elsewhere::Nobody), 2), "and it is looked for again");
        assert!(stage.leaving.of.contains_key(&id("payments")));
        assert_eq!(stage.answer(&table(&[])), Some(Elsewhere::Nobody));
    }

    #[test]
    fn a_table_that_does_not_answer_is_asked_again_each_second_and_not_for_ever() {
        let mut stage = Stage::stopping(true);
        (stage.gone, stage.said) = (true, true);
        stage.settle();
        for _ in 1..MOST_LOOKS {
            assert_eq!((stage.answer(&Answer::Failed(Failure::Unanswered)), stage.looks()), (None, 1));
            stage.effects.now = stage.effects.now + AGAIN;
            assert_eq!(stage.effects.take_due(), Some(CallId::StreamRemoval));
            stage.leaving.on_timer();
            stage.settle();
        }
        assert_eq!(stage.answer(&Answer::Failed(Failure::Unanswered)), Some(Elsewhere::Unknown));
    }

    #[test]
    fn a_worker_that_registers_anew_looks_again_and_one_that_serves_it_again_does_not() {
        let mut stage = Stage::stopping(true);
        (stage.gone, stage.said) = (true, true);
        stage.settle();
        assert_eq!(stage.looks(), 1);
        stage.leaving.begin_life();
        stage.settle();
        assert_eq!(stage.looks(), 1);
        stage.leaving.serve(&id("instructions"));
        assert_eq!(stage.answer(&table(&[])), None);
    }
}
