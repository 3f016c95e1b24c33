//! Where a fan-out reader stands in its shard and its subscription, and what an event makes of that.
//!
//! Pure. What is waited for, and for how long, is part of the state; the loop in `reader` obeys.

use crate::clock::Time;
use crate::record::{Position, SequenceNumber, ShardId, StartingPosition};
use crate::retrieval::Chunk;
use crate::retrieval::polling::drop_done;
use crate::shard::{ApiErrorKind, Doubt, EndEvidence, Listing, Pushed, Shard, Verdict, are_children};
use std::time::Duration;

/// AWS ends a subscription after five minutes. Ours is replaced before that, not all of them at the same time.
const LIFE: Duration = Duration::from_secs(240);
const LIFE_JITTER: Duration = Duration::from_secs(45);
/// Events come every few seconds, also where there are no records. Below the shortest `fetch_deadline` that makes sense.
const SILENCE: Duration = Duration::from_secs(20);
/// The first one comes at once. Two subscriptions that do not say it are noticed before the shortest such deadline, too.
const FIRST_SILENCE: Duration = Duration::from_secs(8);
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// The same where nothing else reads the shard meanwhile: reading resumes within 5 s of the end of an outage.
const LONGEST_BACKOFF_ALONE: Duration = Duration::from_millis(3_500);
/// AWS: a subscription (of the worker that had the shard a moment ago, or has just taken it over) is not replaced before it is
/// 5 s old. Whoever asks earlier is refused.
const IN_USE_PAUSE: Duration = Duration::from_secs(5);
const IN_USE_JITTER: Duration = Duration::from_secs(1);
/// So often it is not a hand-over any more: somebody else uses the consumer.
const MOST_IN_USE: u32 = 4;
/// A subscription that has lived so long is not contended for.
const SETTLED: Duration = Duration::from_secs(60);
/// So many subscriptions in a row that fall silent are a refusal: the last of them has said nothing at all.
const MOST_SILENT: u32 = 2;
/// Between two tries of what is refused, where the shard is polled meanwhile.
const REFUSED: Duration = Duration::from_secs(180);

/// What the reader does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Asks for the application's consumer (found, or registered and waited for), not before then.
    Registering { not_before: Time },
    /// Asks for a subscription, not before then.
    Subscribing { not_before: Time },
    /// Takes what is pushed, until it is time to replace the subscription.
    Streaming { rotate_at: Time },
    /// The shard was not found, or ended without naming its children. Asks for the list of shards, not before then: only a
    /// stream that still exists has shards that ended.
    Doubting { doubt: Doubt, not_before: Time },
    /// The shard ended in these.
    Closed { children: Vec<Shard> },
}

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// The consumer can subscribe.
    Registered,
    /// The subscription is open.
    Subscribed,
    /// It pushed this.
    Pushed(Pushed),
    /// It ended, as all do after five minutes.
    Ended,
    /// It said nothing for too long.
    Silent,
    /// It is time to replace it.
    RotationDue,
    /// The stream's shards.
    Listed(Listing),
    /// What was asked for, or the subscription, failed.
    Failed(ApiErrorKind),
}

/// What the reader does about it.
#[derive(Debug)]
pub(super) enum Next {
    /// As the state says.
    GoOn,
    /// Hand this on.
    Deliver(Chunk),
    /// The subscription is lost, and a new one is asked for.
    Resubscribe(Lost),
    /// Try again, later.
    BackOff,
    /// As the state says; the end of the shard has been in doubt for so long, which is to be reported.
    Report(Doubt, Duration),
    /// Fan-out is not to be had for now, for a reason that only somebody else can mend; maybe a subscription is lost by it.
    Refused(Option<Lost>),
    /// The stream is gone, or cannot be asked for.
    GiveUp,
}

/// Why a subscription is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It lived its time.
    Ended,
    /// It was replaced before that.
    Rotated,
    /// It said nothing.
    Silent,
    /// It failed.
    Failed(ApiErrorKind),
    /// It pushed what contradicts itself.
    Contradiction,
}

impl Lost {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Lost::Ended => "ended",
            Lost::Rotated => "rotated",
            Lost::Silent => "silent",
            Lost::Failed(_) => "failed",
            Lost::Contradiction => "contradiction",
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Machine {
    shard: ShardId,
    pub(super) state: State,
    /// After the last accepted record, or where reading started.
    from: StartingPosition,
    /// Where the last event said that one goes on. Moves on idle shards too.
    continuation: Option<SequenceNumber>,
    /// In a row, of whatever kind.
    failures: u32,
    /// How often another subscription was in the way, since one of ours has settled.
    in_use: u32,
    settled_at: Time,
    /// Whether the present subscription has said something.
    heard: bool,
    /// How often in a row one fell silent.
    silent: u32,
    /// Whether the shard is read in another way where fan-out is refused.
    falls_back: bool,
    refused: bool,
    /// What lists said about the end of the shard.
    evidence: EndEvidence,
    rng: fastrand::Rng,
}

impl Machine {
    pub(super) fn new(shard: ShardId, from: StartingPosition, falls_back: bool, now: Time, rng: fastrand::Rng) -> Self {
        Machine {
            shard,
            state: State::Registering { not_before: now },
            from,
            continuation: None,
            failures: 0,
            in_use: 0,
            settled_at: now,
            heard: false,
            silent: 0,
            falls_back,
            refused: false,
            evidence: EndEvidence::default(),
            rng,
        }
    }

    /// Where a subscription starts.
    pub(super) fn subscribe_from(&self) -> StartingPosition {
        let after = |number: &SequenceNumber| {
            StartingPosition::After(Position { sequence_number: number.clone(), sub_sequence_number: 0 })
        };
        self.continuation.as_ref().map_or_else(|| self.from.clone(), after)
    }

    /// Where another reader would go on. Not a continuation, which need not be any record's number.
    pub(super) fn read_from(&self) -> StartingPosition {
        self.from.clone()
    }

    /// Whether fan-out was refused and has not come since.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// For how long the subscription may say nothing.
    pub(super) fn patience(&self) -> Duration {
        if self.heard { SILENCE } else { FIRST_SILENCE }
    }

    /// Another reader has read this meanwhile.
    pub(super) fn polled(&mut self, chunk: &Chunk) {
        if let Some(last) = chunk.records.last() {
            self.from = StartingPosition::After(last.position());
            self.continuation = None;
        }
        if let Some(children) = &chunk.end {
            self.state = State::Closed { children: children.clone() };
        }
    }

    pub(super) fn step(&mut self, event: Event, now: Time) -> Next {
        if let State::Closed { children } = &self.state {
            return Next::Deliver(Chunk { end: Some(children.clone()), ..Chunk::default() });
        }
        match event {
            Event::Registered => {
                self.state = State::Subscribing { not_before: now };
                Next::GoOn
            }
            Event::Subscribed => {
                (self.heard, self.settled_at) = (false, now + SETTLED);
                self.state = State::Streaming { rotate_at: now + LIFE + LIFE_JITTER.mul_f64(self.rng.f64()) };
                Next::GoOn
            }
            Event::Pushed(pushed) => self.accept(pushed, now),
            Event::Ended => self.resubscribe(Lost::Ended, now),
            Event::RotationDue => self.resubscribe(Lost::Rotated, now),
            Event::Silent => {
                self.silent += 1;
                // Another one would be no help where the shard can be read in another way.
                if self.silent >= MOST_SILENT && self.falls_back {
                    return self.refuse(Some(Lost::Silent), now);
                }
                self.resubscribe(Lost::Silent, now)
            }
            Event::Listed(listing) => self.decide(&listing, now),
            // Another one took its place.
            Event::Failed(ApiErrorKind::NotReady) if matches!(self.state, State::Streaming { .. }) => {
                let lost = Lost::Failed(ApiErrorKind::NotReady);
                if self.gives_way(now) { Next::Resubscribe(lost) } else { self.refuse(Some(lost), now) }
            }
            Event::Failed(kind) if matches!(self.state, State::Streaming { .. }) => {
                self.resubscribe(Lost::Failed(kind), now)
            }
            Event::Failed(kind) => self.fail(kind, now),
        }
    }

    /// An event that has both a continuation and children contradicts itself (KCL, class `DataRetrievalUtil`): acting on it
    /// would end a shard early, or never. One that has neither, or nonsense as children, leaves it open how the shard ended:
    /// the list of shards settles it.
    fn accept(&mut self, pushed: Pushed, now: Time) -> Next {
        let Pushed { mut records, continuation, millis_behind_latest, children } = pushed;
        if continuation.is_some() && !children.is_empty() {
            self.failures = self.failures.saturating_add(1);
            return self.resubscribe(Lost::Contradiction, now);
        }
        (self.heard, self.failures, self.silent) = (true, 0, 0);
        if now >= self.settled_at {
            self.in_use = 0;
        }
        if let StartingPosition::After(done) = &self.from {
            drop_done(&mut records, done);
        }
        if let Some(last) = records.last() {
            self.from = StartingPosition::After(last.position());
        }
        let end = match &continuation {
            Some(_) => {
                self.evidence.clear();
                None
            }
            None if are_children(&self.shard, &children) => {
                self.state = State::Closed { children: children.clone() };
                Some(children)
            }
            None => {
                self.state = State::Doubting { doubt: Doubt::NoChildren, not_before: now };
                None
            }
        };
        // Without one, a new subscription starts after the last record.
        self.continuation = continuation;
        Next::Deliver(Chunk { records, millis_behind_latest, end, ..Chunk::default() })
    }

    /// The first time at once: that a subscription ends is what all of them do.
    fn resubscribe(&mut self, lost: Lost, now: Time) -> Next {
        let pause = match lost {
            Lost::Ended | Lost::Rotated => Duration::ZERO,
            Lost::Silent | Lost::Failed(_) | Lost::Contradiction => {
                let pause = if self.failures == 0 { Duration::ZERO } else { self.back_off() };
                self.failures = self.failures.saturating_add(1);
                pause
            }
        };
        self.state = match lost {
            // The consumer, or the shard, may be gone.
            Lost::Failed(ApiErrorKind::NotFound | ApiErrorKind::Denied | ApiErrorKind::Refused) => {
                State::Registering { not_before: now + pause }
            }
            Lost::Ended | Lost::Rotated | Lost::Silent | Lost::Failed(_) | Lost::Contradiction => {
                State::Subscribing { not_before: now + pause }
            }
        };
        Next::Resubscribe(lost)
    }

    fn fail(&mut self, kind: ApiErrorKind, now: Time) -> Next {
        match (kind, &self.state) {
            // The stream itself is gone, or the list may not be had.
            (
                ApiErrorKind::NotFound | ApiErrorKind::Denied | ApiErrorKind::Refused | ApiErrorKind::PositionRefused,
                State::Doubting { .. },
            ) => {
                self.refuse(None, now);
                Next::GiveUp
            }
            (ApiErrorKind::NotFound, State::Subscribing { .. }) => {
                self.state = State::Doubting { doubt: Doubt::NotFound, not_before: now };
                Next::GoOn
            }
            (
                ApiErrorKind::Denied
                | ApiErrorKind::Refused
                | ApiErrorKind::PositionRefused
                | ApiErrorKind::NotFound
                | ApiErrorKind::IteratorExpired,
                _,
            ) => self.refuse(None, now),
            (ApiErrorKind::NotReady, State::Subscribing { .. }) => {
                if self.gives_way(now) {
                    Next::BackOff
                } else {
                    self.refuse(None, now)
                }
            }
            (ApiErrorKind::Throttled | ApiErrorKind::NotReady | ApiErrorKind::Unavailable, state) => {
                let again = match state {
                    State::Registering { .. } => |not_before| State::Registering { not_before },
                    State::Subscribing { .. }
                    | State::Streaming { .. }
                    | State::Doubting { .. }
                    | State::Closed { .. } => |not_before| State::Subscribing { not_before },
                };
                let pause = self.back_off();
                self.failures = self.failures.saturating_add(1);
                self.state = again(now + pause);
                Next::BackOff
            }
        }
    }

    /// To another subscription, for as long as none can replace it; not again and again, whoever it is.
    fn gives_way(&mut self, now: Time) -> bool {
        self.in_use += 1;
        if self.in_use >= MOST_IN_USE {
            self.in_use = 0;
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let not_before = now + IN_USE_PAUSE + IN_USE_JITTER.mul_f64(self.rng.f64());
        // Every other time the consumer is looked at again: it may be another one by now, or not active yet.
        self.state = if self.in_use.is_multiple_of(2) {
            State::Registering { not_before }
        } else {
            State::Subscribing { not_before }
        };
        true
    }

    fn refuse(&mut self, lost: Option<Lost>, now: Time) -> Next {
        self.refused = true;
        let pause = if self.falls_back { REFUSED.mul_f64(0.8 + 0.4 * self.rng.f64()) } else { self.back_off() };
        self.failures = self.failures.saturating_add(1);
        self.state = State::Registering { not_before: now + pause };
        Next::Refused(lost)
    }

    /// Says once that what was refused has come.
    pub(super) fn has_returned(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    fn decide(&mut self, listing: &Listing, now: Time) -> Next {
        let State::Doubting { doubt, .. } = self.state else { return Next::GoOn };
        let verdict = self.evidence.consider(&self.shard, doubt, listing, now);
        let report = self.evidence.report_due(now);
        let later = |pause: Duration, rng: &mut fastrand::Rng| now + pause.mul_f64(0.8 + 0.4 * rng.f64());
        self.state = match (verdict, doubt) {
            (Verdict::Ended(children), _) => {
                self.state = State::Closed { children: children.clone() };
                return Next::Deliver(Chunk { end: Some(children), ..Chunk::default() });
            }
            // The shard is there: it was the consumer that was not found.
            (Verdict::ReadOn { .. }, Doubt::NotFound) => {
                let pause = self.back_off();
                self.failures = self.failures.saturating_add(1);
                State::Registering { not_before: now + pause }
            }
            // What was not found may be found again before the lists agree.
            (Verdict::AskAgain { pause }, Doubt::NotFound) => {
                State::Registering { not_before: later(pause, &mut self.rng) }
            }
            (Verdict::ReadOn { pause }, Doubt::NoChildren) => {
                State::Subscribing { not_before: later(pause, &mut self.rng) }
            }
            (Verdict::AskAgain { pause }, Doubt::NoChildren) => {
                State::Doubting { doubt, not_before: later(pause, &mut self.rng) }
            }
        };
        report.map_or(Next::BackOff, |lasted| Next::Report(doubt, lasted))
    }

    /// Exponential, with full jitter.
    fn back_off(&mut self) -> Duration {
        let longest = if self.falls_back { LONGEST_BACKOFF } else { LONGEST_BACKOFF_ALONE };
        let ceiling = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(16)).min(longest);
        ceiling.mul_f64(self.rng.f64())
    }
}
