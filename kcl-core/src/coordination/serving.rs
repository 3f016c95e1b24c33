//! The coordinator's half that concerns the streams themselves, where there are several: some come, some go, some vanish.

use super::coordinator::Coordinator;
use super::effects::{Answer, CallId, Failure};
use super::held_lease::Why;
use super::stream_removal::Elsewhere;
use super::streams::Change;
use crate::coordination::event::CoordinationEvent;
use crate::lease::row::LeaseKey;
use crate::record::StreamId;

impl Coordinator {
    pub(super) fn on_change(&mut self, change: Change) {
        match change {
            Change::Serve(served) => {
                if let Some(stream) = served.keys.id.clone() {
                    self.leaving.serve(&stream);
                    self.effects.tell(CoordinationEvent::StreamServed { stream });
                }
                self.identity.streams.serve(*served);
                self.say_streams();
            }
            Change::Stop { stream, asks } => {
                // Also where it is not served: whoever asked hears of it.
                self.leaving.stop(stream.clone(), asks);
                if self.identity.streams.stop(&stream) {
                    let leases = self.leases_of(&stream).len();
                    self.effects.tell(CoordinationEvent::StreamStopped { stream: stream.clone(), leases });
                    self.let_go(&stream);
                }
            }
            Change::Missing(stream) => self.on_missing(&stream),
        }
    }

    /// The service says that the stream does not exist: nobody reads its leases, and they stay as they are.
    fn on_missing(&mut self, stream: &StreamId) {
        if !self.identity.streams.stop(stream) {
            return;
        }
        let leases = self.leases_of(stream);
        self.effects.tell(CoordinationEvent::StreamMissing { stream: stream.clone(), leases: leases.len() });
        self.let_go(stream);
        for lease in leases {
            if let Some(held) = self.held.get_mut(&lease) {
                held.release_now(Why::StreamMissing, &mut self.effects);
            }
        }
    }

    /// Gives up what there is of a stream: handlers finish what they have begun.
    fn let_go(&mut self, stream: &StreamId) {
        let deadline = self.effects.now + self.settings.handoff_timeout;
        self.claims.give_up_stream(stream);
        self.pins.retain(|lease, _| lease.stream().as_ref() != Some(stream));
        self.shard_sync.forget(stream, &mut self.effects);
        for lease in self.leases_of(stream) {
            if let Some(held) = self.held.get_mut(&lease) {
                held.drain(Why::StreamStopped, deadline, &mut self.effects);
            }
        }
        self.say_streams();
    }

    fn leases_of(&self, stream: &StreamId) -> Vec<LeaseKey> {
        self.held.keys().filter(|lease| lease.stream().as_ref() == Some(stream)).cloned().collect()
    }

    fn say_streams(&mut self) {
        let (streams, load) = (self.identity.streams.ids(), self.load());
        self.session.serve(streams, load, &mut self.effects);
        if self.session.number().is_some() {
            self.wake_leader();
        }
    }

    /// The streams that were to be stopped and of which nothing is left here.
    pub(super) fn take_stopped(&mut self) -> Vec<(StreamId, Elsewhere)> {
        let is_of = |lease: &LeaseKey, stream: &StreamId| lease.stream().as_ref() == Some(stream);
        let (held, consumers, claims) = (&self.held, &self.consumers, &self.claims);
        let gone = |stream: &StreamId| {
            !held.keys().chain(consumers.keys()).any(|lease| is_of(lease, stream)) && !claims.has_any_of(stream)
        };
        let session = &self.session;
        self.leaving.settle(gone, |stream| session.shows_without(stream), &mut self.effects)
    }

    // --- keeping leases in step with shards

    pub(super) fn on_listings_timer(&mut self) {
        let known = self.term.as_ref().and_then(|term| term.known());
        self.shard_sync.on_timer(known, &self.identity.streams, &mut self.effects);
    }

    pub(super) fn on_listings_table(&mut self, answer: Answer) {
        self.shard_sync.on_table(answer, &self.identity.streams, &mut self.effects);
    }

    pub(super) fn on_listing_answer(&mut self, stream: &StreamId, part: &CallId, answer: Answer) {
        if matches!(&answer, Answer::Failed(Failure::Refused(refusal)) if refusal.missing) {
            self.on_missing(stream);
        }
        if self.shard_sync.on_answer(stream, part, answer, &mut self.effects) {
            self.wake_leader();
        }
    }
}
