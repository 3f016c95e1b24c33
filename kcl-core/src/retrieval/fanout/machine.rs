//! Decides what a fan-out reader does next, from its state and an event.
//!
//! Pure: no I/O, no clock. The state contains what to wait for and until when; the loop in `reader`
//! executes it.

use crate::clock::Time;
use crate::record::{Position, SequenceNumber, ShardId, StartingPosition};
use crate::retrieval::Chunk;
use crate::retrieval::polling::drop_completed;
use crate::shard::{ApiErrorKind, EndDoubt, EndEvidence, Listing, Pushed, Shard, Verdict, are_valid_children};
use std::time::Duration;

/// AWS ends a subscription after five minutes (API reference: SubscribeToShard). The reader
/// replaces its subscription before that, with jitter, so that not all shards do it at the same
/// time.
const LIFE: Duration = Duration::from_secs(240);
const LIFE_JITTER: Duration = Duration::from_secs(45);
/// Events arrive every few seconds even without records. Shorter than the smallest reasonable
/// `fetch_deadline`.
const SILENCE: Duration = Duration::from_secs(20);
/// The first event arrives at once. Two subscriptions without a first event are noticed before the
/// smallest reasonable `fetch_deadline`, too.
const FIRST_SILENCE: Duration = Duration::from_secs(8);
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// The longest backoff if polling cannot read the shard meanwhile: reading resumes within 5 s of
/// the end of an outage.
const LONGEST_BACKOFF_ALONE: Duration = Duration::from_millis(3_500);
/// AWS refuses to replace a subscription that is younger than 5 s with ResourceInUseException (API
/// reference: SubscribeToShard), for example that of the previous owner of a shard.
const IN_USE_PAUSE: Duration = Duration::from_secs(5);
const IN_USE_JITTER: Duration = Duration::from_secs(1);
/// After this many refusals it is not a handoff: another program uses the consumer.
const MOST_IN_USE: u32 = 4;
/// A subscription that has lived this long shows that no other program uses the consumer for this
/// shard.
const SETTLED: Duration = Duration::from_secs(60);
/// After this many consecutive subscriptions without events, fan-out counts as refused.
const MOST_SILENT: u32 = 2;
/// The pause between two attempts while fan-out is refused and the shard is polled.
const REFUSED: Duration = Duration::from_secs(180);

/// The state of a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Gets the application's consumer (finds it, or registers it and waits for it), not before
    /// this time.
    Registering { not_before: Time },
    /// Subscribes, not before this time.
    Subscribing { not_before: Time },
    /// Receives events until it is time to replace the subscription.
    Streaming { rotate_at: Time },
    /// The shard was not found, or ended without naming its children. Lists the shards, not before
    /// this time: only a stream that still exists has shards that ended.
    EndInDoubt { doubt: EndDoubt, not_before: Time },
    /// The shard has ended.
    Closed { children: Vec<Shard> },
}

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// The consumer is active.
    Registered,
    /// The subscription is open.
    Subscribed,
    /// The subscription pushed an event.
    Pushed(Pushed),
    /// The subscription ended, as all do after five minutes.
    Ended,
    /// The subscription sent nothing for too long.
    Silent,
    /// The subscription is due for replacement.
    RotationDue,
    /// The stream's shards.
    Listed(Listing),
    /// A call or the subscription failed.
    Failed(ApiErrorKind),
}

/// What the reader does next.
#[derive(Debug)]
pub(super) enum Next {
    /// As the state says.
    Continue,
    /// Returns a chunk.
    Deliver(Chunk),
    /// Drops the subscription and subscribes again.
    Resubscribe(Lost),
    /// Retries after a pause.
    BackOff,
    /// Follows the state, and reports how long the end of the shard has been in doubt.
    Report(EndDoubt, Duration),
    /// Fan-out is unavailable until an operator fixes the cause. Drops the subscription, if one is
    /// lost by it.
    Refused(Option<Lost>),
    /// Returns an error: the stream does not exist, or listing it is denied.
    Fail,
}

/// Why a subscription was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It ended after five minutes.
    Ended,
    /// It was replaced before that.
    Rotated,
    /// It sent nothing for too long.
    Silent,
    /// It failed.
    Failed(ApiErrorKind),
    /// It pushed a contradictory event.
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
    /// The continuation number of the last event. It also advances on idle shards.
    continuation: Option<SequenceNumber>,
    /// Consecutive failures of any kind.
    failures: u32,
    /// Refusals because of another subscription, since one of ours lived for [`SETTLED`].
    in_use: u32,
    settled_at: Time,
    /// True if the current subscription has sent an event.
    heard: bool,
    /// Consecutive subscriptions that stopped sending.
    silent: u32,
    /// True if the shard is polled while fan-out is refused.
    can_poll: bool,
    refused: bool,
    /// What lists have shown about the end of the shard.
    evidence: EndEvidence,
    rng: fastrand::Rng,
}

impl Machine {
    pub(super) fn new(shard: ShardId, from: StartingPosition, can_poll: bool, now: Time, rng: fastrand::Rng) -> Self {
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
            can_poll,
            refused: false,
            evidence: EndEvidence::default(),
            rng,
        }
    }

    /// Returns where the next subscription starts.
    pub(super) fn subscribe_from(&self) -> StartingPosition {
        let after = |number: &SequenceNumber| {
            StartingPosition::After(Position { sequence_number: number.clone(), sub_sequence_number: 0 })
        };
        self.continuation.as_ref().map_or_else(|| self.from.clone(), after)
    }

    /// Returns where a polling reader starts. Not at the continuation, which need not be a record's
    /// number.
    pub(super) fn read_from(&self) -> StartingPosition {
        self.from.clone()
    }

    /// True if fan-out was refused and has not recovered.
    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns how long the subscription may send nothing.
    pub(super) fn silence_timeout(&self) -> Duration {
        if self.heard { SILENCE } else { FIRST_SILENCE }
    }

    /// Accepts a chunk that the polling reader has read.
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
                Next::Continue
            }
            Event::Subscribed => {
                (self.heard, self.settled_at) = (false, now + SETTLED);
                self.state = State::Streaming { rotate_at: now + LIFE + LIFE_JITTER.mul_f64(self.rng.f64()) };
                Next::Continue
            }
            Event::Pushed(pushed) => self.accept(pushed, now),
            Event::Ended => self.resubscribe(Lost::Ended, now),
            Event::RotationDue => self.resubscribe(Lost::Rotated, now),
            Event::Silent => {
                self.silent += 1;
                // Another subscription would probably be silent too, and polling can read the
                // shard.
                if self.silent >= MOST_SILENT && self.can_poll {
                    return self.refuse(Some(Lost::Silent), now);
                }
                self.resubscribe(Lost::Silent, now)
            }
            Event::Listed(listing) => self.decide(&listing, now),
            // Another subscription replaced this one.
            Event::Failed(ApiErrorKind::NotReady) if matches!(self.state, State::Streaming { .. }) => {
                let lost = Lost::Failed(ApiErrorKind::NotReady);
                if self.yields_to_other_subscription(now) {
                    Next::Resubscribe(lost)
                } else {
                    self.refuse(Some(lost), now)
                }
            }
            Event::Failed(kind) if matches!(self.state, State::Streaming { .. }) => {
                self.resubscribe(Lost::Failed(kind), now)
            }
            Event::Failed(kind) => self.fail(kind, now),
        }
    }

    /// An event with both a continuation and children contradicts itself (as in KCL's
    /// `DataRetrievalUtil`): following it would end a shard too early, or never. An event with
    /// neither, or with invalid children, does not show how the shard ended: the list of shards
    /// decides.
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
            drop_completed(&mut records, done);
        }
        if let Some(last) = records.last() {
            self.from = StartingPosition::After(last.position());
        }
        let end = match &continuation {
            Some(_) => {
                self.evidence.clear();
                None
            }
            None if are_valid_children(&self.shard, &children) => {
                self.state = State::Closed { children: children.clone() };
                Some(children)
            }
            None => {
                self.state = State::EndInDoubt { doubt: EndDoubt::NoChildren, not_before: now };
                None
            }
        };
        // Without a continuation, the next subscription starts after the last record.
        self.continuation = continuation;
        Next::Deliver(Chunk { records, millis_behind_latest, end, ..Chunk::default() })
    }

    /// Resubscribes after a subscription was lost. The first time at once, because every
    /// subscription ends eventually.
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
            // The consumer or the shard may have been deleted.
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
            // The stream does not exist, or listing it is denied.
            (
                ApiErrorKind::NotFound
                | ApiErrorKind::Denied
                | ApiErrorKind::Refused
                | ApiErrorKind::PositionRefused
                | ApiErrorKind::StartAhead,
                State::EndInDoubt { .. },
            ) => {
                self.refuse(None, now);
                Next::Fail
            }
            (ApiErrorKind::NotFound, State::Subscribing { .. }) => {
                self.state = State::EndInDoubt { doubt: EndDoubt::NotFound, not_before: now };
                Next::Continue
            }
            (
                ApiErrorKind::Denied
                | ApiErrorKind::Refused
                | ApiErrorKind::PositionRefused
                | ApiErrorKind::StartAhead
                | ApiErrorKind::NotFound
                | ApiErrorKind::IteratorExpired,
                _,
            ) => self.refuse(None, now),
            (ApiErrorKind::NotReady, State::Subscribing { .. }) => {
                if self.yields_to_other_subscription(now) {
                    Next::BackOff
                } else {
                    self.refuse(None, now)
                }
            }
            (ApiErrorKind::Throttled | ApiErrorKind::NotReady | ApiErrorKind::Unavailable, state) => {
                let retry_state = match state {
                    State::Registering { .. } => |not_before| State::Registering { not_before },
                    State::Subscribing { .. }
                    | State::Streaming { .. }
                    | State::EndInDoubt { .. }
                    | State::Closed { .. } => |not_before| State::Subscribing { not_before },
                };
                let pause = self.back_off();
                self.failures = self.failures.saturating_add(1);
                self.state = retry_state(now + pause);
                Next::BackOff
            }
        }
    }

    /// Waits until another subscription is old enough to be replaced. Returns false after
    /// [`MOST_IN_USE`] times, so that two programs do not replace each other's subscriptions
    /// forever.
    fn yields_to_other_subscription(&mut self, now: Time) -> bool {
        self.in_use += 1;
        if self.in_use >= MOST_IN_USE {
            self.in_use = 0;
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let not_before = now + IN_USE_PAUSE + IN_USE_JITTER.mul_f64(self.rng.f64());
        // Every other time, look up the consumer again: it may have been re-created, or not be
        // active yet.
        self.state = if self.in_use.is_multiple_of(2) {
            State::Registering { not_before }
        } else {
            State::Subscribing { not_before }
        };
        true
    }

    fn refuse(&mut self, lost: Option<Lost>, now: Time) -> Next {
        self.refused = true;
        let pause = if self.can_poll { REFUSED.mul_f64(0.8 + 0.4 * self.rng.f64()) } else { self.back_off() };
        self.failures = self.failures.saturating_add(1);
        self.state = State::Registering { not_before: now + pause };
        Next::Refused(lost)
    }

    /// Returns true once after fan-out has recovered from a refusal.
    pub(super) fn take_recovered(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    fn decide(&mut self, listing: &Listing, now: Time) -> Next {
        let State::EndInDoubt { doubt, .. } = self.state else { return Next::Continue };
        let verdict = self.evidence.consider(&self.shard, doubt, listing, now);
        let report = self.evidence.report_due(now);
        let later = |pause: Duration, rng: &mut fastrand::Rng| now + pause.mul_f64(0.8 + 0.4 * rng.f64());
        self.state = match (verdict, doubt) {
            (Verdict::Ended(children), _) => {
                self.state = State::Closed { children: children.clone() };
                return Next::Deliver(Chunk { end: Some(children), ..Chunk::default() });
            }
            // The shard exists, so it is the consumer that was not found.
            (Verdict::ReadOn { .. }, EndDoubt::NotFound) => {
                let pause = self.back_off();
                self.failures = self.failures.saturating_add(1);
                State::Registering { not_before: now + pause }
            }
            // A shard that was not found may be found again before the lists agree, so the reader
            // also tries to subscribe.
            (Verdict::ListAgain { pause }, EndDoubt::NotFound) => {
                State::Registering { not_before: later(pause, &mut self.rng) }
            }
            (Verdict::ReadOn { pause }, EndDoubt::NoChildren) => {
                State::Subscribing { not_before: later(pause, &mut self.rng) }
            }
            (Verdict::ListAgain { pause }, EndDoubt::NoChildren) => {
                State::EndInDoubt { doubt, not_before: later(pause, &mut self.rng) }
            }
        };
        report.map_or(Next::BackOff, |lasted| Next::Report(doubt, lasted))
    }

    /// Returns an exponential pause with full jitter.
    fn back_off(&mut self) -> Duration {
        let longest = if self.can_poll { LONGEST_BACKOFF } else { LONGEST_BACKOFF_ALONE };
        let ceiling = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(16)).min(longest);
        ceiling.mul_f64(self.rng.f64())
    }
}
