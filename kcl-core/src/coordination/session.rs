//! This worker's session: drawing its number, registering, beating, and hearing that it is over.

use super::effects::{Answer, Effects, Failure, Part};
use crate::clock::Time;
use crate::config::{Settings, timing};
use crate::lease::row::{Damaged, SessionNumber, SessionState, Weights, WorkerId};
use crate::lease::{Row, Write, Written};
use crate::record::StreamId;
use crate::telemetry::event::coordination::Happening;
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Session {
    me: WorkerId,
    capacity: Option<u32>,
    /// The streams that the worker serves, of several.
    streams: Option<BTreeSet<StreamId>>,
    /// Whether no row says so yet.
    unsaid: bool,
    /// The streams that the row is known to show.
    shown: Option<BTreeSet<StreamId>>,
    /// Of the session that is being registered.
    tag: u64,
    failover_time: Duration,
    every: Duration,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Absent,
    Drawing,
    /// The worker's last session has a higher number than the one drawn: another fleet row had counted it.
    DrawingAbove {
        last: SessionNumber,
        /// An attempt got no answer.
        unsettled: bool,
    },
    Registering {
        number: SessionNumber,
        first_sent: Option<Time>,
    },
    /// A row that cannot be read stands where this session's should.
    Mending {
        number: SessionNumber,
        damaged: Damaged,
    },
    Live(Live),
    Over,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Live {
    number: SessionNumber,
    /// Confirmed last.
    beat: u64,
    /// When the first attempt of the beat under way was sent, if one is.
    first_sent: Option<Time>,
    in_flight: bool,
    draining: bool,
    /// Which state the row is known to show.
    shown_draining: bool,
}

/// What became of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    Nothing,
    /// There is no fleet row to draw from.
    NoFleet,
    /// The session is registered, and its owner may deliver until then.
    Registered {
        number: SessionNumber,
        until: Time,
    },
    /// A beat is confirmed, and its owner may deliver until then.
    Confirmed {
        until: Time,
    },
    /// Fenced, or the row is gone: everything must be dropped.
    Lost {
        why: &'static str,
    },
    /// Another kind of row stands where the session's should, and is not ours to remove.
    Obstructed {
        why: String,
    },
    /// A later session under the same worker id.
    Replaced {
        by: SessionNumber,
    },
}

impl Session {
    pub(crate) fn new(me: WorkerId, streams: Option<BTreeSet<StreamId>>, settings: &Settings) -> Self {
        Session {
            me,
            capacity: settings.max_leases,
            streams,
            unsaid: false,
            shown: None,
            tag: 0,
            failover_time: settings.failover_time,
            every: settings.beat_interval(),
            state: State::Absent,
        }
    }

    pub(crate) fn number(&self) -> Option<SessionNumber> {
        if let State::Live(live) = &self.state { Some(live.number) } else { None }
    }

    /// The beat confirmed last.
    pub(crate) fn beat(&self) -> u64 {
        if let State::Live(live) = &self.state { live.beat } else { 0 }
    }

    /// Whether a row for it may exist that it does not know of yet.
    pub(crate) fn is_registering(&self) -> bool {
        matches!(self.state, State::Registering { .. } | State::Mending { .. })
    }

    /// Whether its row is known to say that the worker does not serve this stream, of several.
    pub(crate) fn shows_without(&self, stream: &StreamId) -> bool {
        self.number().is_some() && self.shown.as_ref().is_some_and(|shown| !shown.contains(stream))
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Begins a new session.
    pub(crate) fn begin(&mut self, effects: &mut Effects) {
        self.state = State::Drawing;
        self.tag = effects.rng.u64(..);
        effects.write(Part::Session, Write::Draw);
    }

    /// Beats no more.
    pub(crate) fn end(&mut self, effects: &mut Effects) {
        self.state = State::Over;
        effects.forget(&Part::Session);
    }

    /// Says `draining` from now on, with a beat at once.
    pub(crate) fn drain(&mut self, load: u32, effects: &mut Effects) {
        if let State::Live(live) = &mut self.state {
            live.draining = true;
            if !live.in_flight {
                self.send_beat(load, None, effects);
            }
        }
    }

    /// Says from now on, with a beat at once, that the worker serves these streams.
    pub(crate) fn serve(&mut self, streams: Option<BTreeSet<StreamId>>, load: u32, effects: &mut Effects) {
        self.streams = streams;
        self.unsaid = true;
        if matches!(&self.state, State::Live(live) if !live.in_flight) {
            self.send_beat(load, None, effects);
        }
    }

    pub(crate) fn on_timer(&mut self, load: u32, weights: Option<Weights>, effects: &mut Effects) {
        match &self.state {
            State::Absent => self.begin(effects),
            State::Drawing => effects.write(Part::Session, Write::Draw),
            State::DrawingAbove { last, .. } => effects.write(Part::Session, Write::DrawAbove(*last)),
            State::Registering { number, .. } => {
                let number = *number;
                effects.write(Part::Session, self.register(number));
            }
            State::Mending { damaged, .. } => effects.write(Part::Session, Write::Discard(damaged.clone())),
            // One at a time: a second of the same beat would be refused by the first one's success.
            State::Live(live) if live.in_flight => {}
            State::Live(_) => self.send_beat(load, weights, effects),
            State::Over => {}
        }
    }

    fn register(&self, number: SessionNumber) -> Write {
        let streams = self.streams.clone();
        Write::Register { worker: self.me.clone(), number, tag: self.tag, capacity: self.capacity, streams }
    }

    fn send_beat(&mut self, load: u32, weights: Option<Weights>, effects: &mut Effects) {
        let (worker, streams) = (self.me.clone(), self.streams.clone());
        if let State::Live(live) = &mut self.state {
            live.in_flight = true;
            self.unsaid = false;
            live.first_sent.get_or_insert(effects.now);
            let state = if live.draining { SessionState::Draining } else { SessionState::Active };
            #[cfg(kcl_mutants)]
            let load = if mutated!(ComparesClocks) { seconds(effects.now) } else { load };
            let beat = Write::Beat { worker, number: live.number, beat: live.beat, state, load, weights, streams };
            effects.write(Part::Session, beat);
        }
    }

    pub(crate) fn on_answer(&mut self, sent: Time, answer: Answer, load: u32, effects: &mut Effects) -> News {
        let written = match answer {
            Answer::Written(written) => written,
            Answer::Failed(failure) => return self.on_failure(failure, sent, effects),
            Answer::Rows(_) | Answer::Table(_) | Answer::Page(_) | Answer::Listing(_) => return News::Nothing,
        };
        match self.state.clone() {
            State::Drawing => self.on_drawn(written, effects),
            State::DrawingAbove { last, unsettled } => self.on_drawn_above(last, unsettled, written, effects),
            State::Registering { number, first_sent } => {
                self.on_registered(number, first_sent.unwrap_or(sent), &written, effects)
            }
            State::Mending { number, .. } => {
                self.state = State::Registering { number, first_sent: None };
                effects.write(Part::Session, self.register(number));
                News::Nothing
            }
            State::Live(live) => self.on_beat(live, sent, &written, load, effects),
            State::Absent | State::Over => News::Nothing,
        }
    }

    fn on_failure(&mut self, failure: Failure, sent: Time, effects: &mut Effects) -> News {
        match &mut self.state {
            State::Registering { first_sent, .. } => {
                first_sent.get_or_insert(sent);
            }
            State::Live(live) => {
                live.in_flight = false;
                effects.tell(Happening::BeatMissed { session: live.number, failure });
            }
            State::DrawingAbove { unsettled, .. } => *unsettled = true,
            State::Absent | State::Drawing | State::Mending { .. } | State::Over => {}
        }
        effects.remind(Part::Session, effects.now + timing::beat_again(self.failover_time));
        News::Nothing
    }

    fn on_drawn(&mut self, written: Written, effects: &mut Effects) -> News {
        match written {
            Written::Applied(Some(Row::Fleet(fleet))) => {
                let number = fleet.sessions;
                self.state = State::Registering { number, first_sent: None };
                effects.write(Part::Session, self.register(number));
                News::Nothing
            }
            Written::Applied(_) | Written::Refused(_) => {
                self.state = State::Absent;
                News::NoFleet
            }
        }
    }

    fn on_drawn_above(
        &mut self,
        last: SessionNumber,
        unsettled: bool,
        written: Written,
        effects: &mut Effects,
    ) -> News {
        match written {
            // By an attempt of ours that got no answer, perhaps: the next number is above it for certain.
            Written::Refused(Some(Row::Fleet(_))) if unsettled => {
                self.begin(effects);
                News::Nothing
            }
            // The fleet row that stands had counted it: it was drawn after ours.
            Written::Refused(Some(Row::Fleet(_))) => {
                self.state = State::Over;
                News::Replaced { by: last }
            }
            written @ (Written::Applied(_) | Written::Refused(_)) => self.on_drawn(written, effects),
        }
    }

    fn on_registered(
        &mut self,
        number: SessionNumber,
        first_sent: Time,
        written: &Written,
        effects: &mut Effects,
    ) -> News {
        // Refused by our own row, an earlier attempt had come through. Applied, one may have too, and another hand removed
        // what it made: others count from when they first saw it.
        let (Written::Applied(row) | Written::Refused(row)) = written;
        let confirmed = first_sent;
        if let Some(Row::Damaged(damaged)) = row {
            return self.mend(number, damaged.clone(), effects);
        }
        let Some(session) = row.as_ref().and_then(Row::as_session) else {
            effects.remind(Part::Session, effects.now + timing::beat_again(self.failover_time));
            return News::Nothing;
        };
        if session.number > number {
            self.state = State::DrawingAbove { last: session.number, unsettled: false };
            effects.write(Part::Session, Write::DrawAbove(session.number));
            return News::Nothing;
        }
        // Of the same number and another tag: of another process, which drew it from a fleet row that is gone.
        if (session.number, session.tag) != (number, self.tag) || session.state.has_ended() {
            self.begin(effects);
            return News::Nothing;
        }
        self.shown.clone_from(&session.streams);
        self.state = State::Live(Live {
            number,
            beat: session.beat,
            first_sent: None,
            in_flight: false,
            draining: false,
            shown_draining: false,
        });
        let next = if self.unsaid { effects.now } else { confirmed + self.every };
        effects.remind(Part::Session, next);
        News::Registered { number, until: self.until(confirmed) }
    }

    /// The session that the row was of has ended with it: its owner registers anew, and that is this worker.
    fn mend(&mut self, number: SessionNumber, damaged: Damaged, effects: &mut Effects) -> News {
        if !damaged.is_ours() {
            self.state = State::Over;
            return News::Obstructed { why: damaged.why };
        }
        effects.tell(Happening::damaged(&damaged));
        effects.write(Part::Session, Write::Discard(damaged.clone()));
        self.state = State::Mending { number, damaged };
        News::Nothing
    }

    fn on_beat(&mut self, mut live: Live, sent: Time, written: &Written, load: u32, effects: &mut Effects) -> News {
        live.in_flight = false;
        let (row, confirmed) = match written {
            Written::Applied(row) => (row, sent),
            Written::Refused(row) => (row, live.first_sent.unwrap_or(sent)),
        };
        let session = row.as_ref().and_then(Row::as_session);
        let ours = session.filter(|s| s.number == live.number && s.beat == live.beat + 1 && !s.state.has_ended());
        if let Some(session) = ours {
            live.beat += 1;
            live.first_sent = None;
            live.shown_draining = session.state == SessionState::Draining;
            self.shown.clone_from(&session.streams);
            let say_more = (live.draining && !live.shown_draining) || self.unsaid;
            self.state = State::Live(live);
            if say_more {
                self.send_beat(load, None, effects);
            } else {
                effects.remind(Part::Session, confirmed + self.every);
            }
            return News::Confirmed { until: self.until(confirmed) };
        }
        self.state = State::Over;
        match session {
            Some(session) if session.number > live.number => News::Replaced { by: session.number },
            Some(session) if session.state.has_ended() => News::Lost { why: "fenced" },
            Some(_) => News::Lost { why: "its row was changed by another hand" },
            None if matches!(row, Some(Row::Damaged(_))) => News::Lost { why: "its row cannot be read" },
            None => News::Lost { why: "its row is gone" },
        }
    }

    fn until(&self, confirmed: Time) -> Time {
        let counted = if mutated!(OwnerCountsTooLong) { self.failover_time * 2 } else { self.failover_time };
        confirmed + timing::owned_for(counted)
    }
}

/// The local clock in whole seconds, for the mutant that compares clocks of two machines.
#[cfg(kcl_mutants)]
fn seconds(now: Time) -> u32 {
    u32::try_from(now.nanos() / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::row::Session as SessionRow;

    fn row(number: SessionNumber, state: SessionState) -> Row {
        let worker = WorkerId::parse("me").unwrap();
        Row::Session(SessionRow {
            worker,
            number,
            tag: 0,
            beat: 0,
            state,
            capacity: None,
            load: 0,
            weights: None,
            streams: None,
        })
    }

    fn registering(number: SessionNumber) -> (Session, Effects) {
        let mut session = Session::new(WorkerId::parse("me").unwrap(), None, &Settings::default());
        session.state = State::Registering { number, first_sent: None };
        (session, Effects::new(fastrand::Rng::with_seed(1)))
    }

    fn fleet(sessions: SessionNumber) -> Row {
        Row::Fleet(crate::lease::row::Fleet { sessions, ..crate::lease::row::Fleet::above(0, 0, true) })
    }

    fn sent(effects: &mut Effects) -> Vec<Write> {
        let ops = effects.take_calls().into_iter().map(|call| call.op);
        ops.filter_map(|op| if let super::super::effects::Op::Write(write) = op { Some(write) } else { None }).collect()
    }

    #[test]
    fn a_last_session_that_another_fleet_row_had_counted_is_outnumbered() {
        let (mut session, mut effects) = registering(4);
        let refused = Answer::Written(Written::Refused(Some(row(900, SessionState::Left))));
        assert_eq!(session.on_answer(Time::ZERO, refused, 0, &mut effects), News::Nothing);
        assert_eq!(sent(&mut effects), [Write::DrawAbove(900)]);
        let drawn = Answer::Written(Written::Applied(Some(fleet(901))));
        session.on_answer(Time::ZERO, drawn, 0, &mut effects);
        assert!(matches!(sent(&mut effects)[..], [Write::Register { number: 901, .. }]));
    }

    #[test]
    fn one_that_was_drawn_later_from_the_same_fleet_row_replaces_this_one() {
        let (mut session, mut effects) = registering(4);
        let refused = Answer::Written(Written::Refused(Some(row(5, SessionState::Active))));
        session.on_answer(Time::ZERO, refused, 0, &mut effects);
        let refused = Answer::Written(Written::Refused(Some(fleet(5))));
        assert_eq!(session.on_answer(Time::ZERO, refused, 0, &mut effects), News::Replaced { by: 5 });
    }

    #[test]
    fn a_row_of_the_same_number_that_another_process_registered_is_not_ones_own() {
        let (mut session, mut effects) = registering(4);
        session.tag = 77;
        let refused = Answer::Written(Written::Refused(Some(row(4, SessionState::Active))));
        assert_eq!(session.on_answer(Time::ZERO, refused, 0, &mut effects), News::Nothing);
        assert_eq!(sent(&mut effects), [Write::Draw], "the next number is higher");
    }

    #[test]
    fn a_registration_counts_from_its_first_attempt_whichever_was_applied() {
        let (mut session, mut effects) = registering(4);
        session.on_answer(Time::ZERO, Answer::Failed(Failure::Unanswered), 0, &mut effects);
        let applied = Answer::Written(Written::Applied(Some(row(4, SessionState::Active))));
        let later = Time::ZERO + Duration::from_secs(5);
        let until = Time::ZERO + timing::owned_for(session.failover_time);
        let news = session.on_answer(later, applied, 0, &mut effects);
        assert_eq!(news, News::Registered { number: 4, until });
    }

    #[test]
    fn a_draw_above_that_got_no_answer_replaces_nobody() {
        let (mut session, mut effects) = registering(4);
        let refused = Answer::Written(Written::Refused(Some(row(900, SessionState::Left))));
        session.on_answer(Time::ZERO, refused, 0, &mut effects);
        session.on_answer(Time::ZERO, Answer::Failed(Failure::Unanswered), 0, &mut effects);
        session.on_timer(0, None, &mut effects);
        sent(&mut effects);
        let refused = Answer::Written(Written::Refused(Some(fleet(901))));
        assert_eq!(session.on_answer(Time::ZERO, refused, 0, &mut effects), News::Nothing);
        assert_eq!(sent(&mut effects), [Write::Draw]);
    }

    #[test]
    fn a_beat_is_never_under_way_twice() {
        let me = WorkerId::parse("me").unwrap();
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        let mut session = Session::new(me.clone(), None, &Settings::default());
        session.state = State::Registering { number: 4, first_sent: None };
        let row = SessionRow {
            worker: me,
            number: 4,
            tag: 0,
            beat: 0,
            state: SessionState::Active,
            capacity: None,
            load: 0,
            weights: None,
            streams: None,
        };
        let registered = Answer::Written(Written::Applied(Some(Row::Session(row))));
        session.on_answer(Time::ZERO, registered, 0, &mut effects);
        session.drain(0, &mut effects);
        assert_eq!(effects.take_calls().len(), 1, "it says that it drains");
        session.on_timer(0, None, &mut effects);
        assert_eq!(effects.take_calls(), [], "the beat that was due meanwhile");
    }

    #[test]
    fn streams_that_change_are_said_with_a_beat_at_once() {
        let said = |effects: &mut Effects| match sent(effects).as_slice() {
            [Write::Beat { streams, .. } | Write::Register { streams, .. }] => streams.clone(),
            other => panic!("{other:?}"),
        };
        let ids = |names: &[&str]| Some(names.iter().map(StreamId::new).collect::<BTreeSet<_>>());
        let (mut session, mut effects) = registering(4);
        session.streams = ids(&["1:a:2"]);
        session.on_timer(0, None, &mut effects);
        assert_eq!(said(&mut effects), ids(&["1:a:2"]));
        session.serve(ids(&["1:a:2", "1:b:2"]), 0, &mut effects);
        assert!(sent(&mut effects).is_empty(), "it is not registered yet");
        let registered = Answer::Written(Written::Applied(Some(row(4, SessionState::Active))));
        session.on_answer(Time::ZERO, registered, 0, &mut effects);
        assert_eq!(effects.next_due(), Some(effects.now));
        session.on_timer(0, None, &mut effects);
        assert_eq!(said(&mut effects), ids(&["1:a:2", "1:b:2"]));
    }

    #[test]
    fn a_stream_is_known_to_be_left_once_the_row_does_not_name_it_any_more() {
        let (a, b) = (StreamId::new("1:a:2"), StreamId::new("1:b:2"));
        let shown = |beat, streams: &[&StreamId]| {
            let Row::Session(session) = row(4, SessionState::Active) else { panic!("a session's row") };
            let streams = Some(streams.iter().copied().cloned().collect());
            Answer::Written(Written::Applied(Some(Row::Session(SessionRow { beat, streams, ..session }))))
        };
        let (mut session, mut effects) = registering(4);
        assert!(!session.shows_without(&a), "it says nothing yet");
        session.on_answer(Time::ZERO, shown(0, &[&a, &b]), 0, &mut effects);
        assert!(!session.shows_without(&a) && !session.shows_without(&b));
        session.serve(Some([a.clone()].into()), 0, &mut effects);
        assert!(!session.shows_without(&b), "the beat is on its way");
        session.on_answer(Time::ZERO, shown(1, &[&a]), 0, &mut effects);
        assert!(!session.shows_without(&a) && session.shows_without(&b));
        session.end(&mut effects);
        assert!(!session.shows_without(&b), "of a session that is over nothing is known");
    }
}
