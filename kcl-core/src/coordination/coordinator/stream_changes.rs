//! Connects the addition, removal and loss of streams, where there are several, with leases, claims and the session.

use super::Coordinator;
use crate::coordination::event::CoordinationEvent;
use crate::coordination::held_lease::Why;
use crate::coordination::stream_removal::Elsewhere;
use crate::coordination::streams::Change;
use crate::lease::row::LeaseKey;
use crate::record::StreamId;

impl Coordinator {
    pub(super) fn on_change(&mut self, change: Change) {
        match change {
            Change::Serve(served) => {
                if let Some(stream) = served.keys.id.clone() {
                    self.stream_removal.serve(&stream);
                    self.effects.emit(CoordinationEvent::StreamServed { stream });
                }
                self.identity.streams.serve(*served);
                self.write_streams();
            }
            Change::Stop { stream, asks } => {
                // Also for a stream that is not served: the caller waits for the answer.
                self.stream_removal.stop(stream.clone(), asks);
                if self.identity.streams.stop(&stream) {
                    let leases = self.leases_of(&stream).len();
                    self.effects.emit(CoordinationEvent::StreamStopped { stream: stream.clone(), leases });
                    self.drain_stream(&stream);
                }
            }
            Change::Missing(stream) => self.on_missing_stream(&stream),
        }
    }

    /// The stream does not exist: its leases are released with their checkpoints, and no worker reads them.
    pub(super) fn on_missing_stream(&mut self, stream: &StreamId) {
        if !self.identity.streams.stop(stream) {
            return;
        }
        let leases = self.leases_of(stream);
        self.effects.emit(CoordinationEvent::StreamMissing { stream: stream.clone(), leases: leases.len() });
        self.drain_stream(stream);
        for lease in leases {
            if let Some(held) = self.per_session.held.get_mut(&lease) {
                held.release_now(Why::StreamMissing, &mut self.effects);
            }
        }
    }

    /// Cancels the claims of a stream and drains its leases: handlers finish the records that they have begun.
    fn drain_stream(&mut self, stream: &StreamId) {
        let deadline = self.effects.now + self.settings.handoff_timeout;
        self.per_session.claims.cancel_stream(stream);
        self.per_session.start_pins.forget_stream(stream);
        self.per_session.shard_sync.forget(stream, &mut self.effects);
        for lease in self.leases_of(stream) {
            if let Some(held) = self.per_session.held.get_mut(&lease) {
                held.drain(Why::StreamStopped, deadline, &mut self.effects);
            }
        }
        self.write_streams();
    }

    fn leases_of(&self, stream: &StreamId) -> Vec<LeaseKey> {
        self.per_session.held.keys().filter(|lease| lease.stream().as_ref() == Some(stream)).cloned().collect()
    }

    /// Writes the served streams into the session's row, by which the leader assigns leases.
    fn write_streams(&mut self) {
        let (streams, load) = (self.identity.streams.ids(), self.per_session.load());
        self.session.serve(streams, load, &mut self.effects);
        if self.session.number().is_some() {
            self.wake_leader();
        }
    }

    /// The streams whose removal is complete.
    pub(super) fn take_removed(&mut self) -> Vec<(StreamId, Elsewhere)> {
        let is_of = |lease: &LeaseKey, stream: &StreamId| lease.stream().as_ref() == Some(stream);
        let (held, claims) = (&self.per_session.held, &self.per_session.claims);
        let consumers = &self.consumers;
        let is_gone = |stream: &StreamId| {
            let mut leases = held.keys().chain(consumers.iter().map(|(lease, _)| lease));
            !leases.any(|lease| is_of(lease, stream)) && !claims.has_any_of(stream)
        };
        let session = &self.session;
        self.stream_removal.settle(is_gone, |stream| session.shows_without(stream), &mut self.effects)
    }
}
