//! Holds how far the shutdown of the worker is, and how the worker ends.

use super::departure::Departure;
use super::quarantine;
use crate::clock::Time;
use crate::error::Error;

/// The shutdown, once it was requested.
#[derive(Debug, Default)]
pub(super) struct Shutdown {
    departure: Option<Departure>,
    /// The error that the worker ends with once it has departed.
    error: Option<Error>,
    /// How the worker has ended.
    outcome: Option<Result<(), Error>>,
}

impl Shutdown {
    pub(super) fn is_requested(&self) -> bool {
        self.departure.is_some()
    }

    pub(super) fn departure(&self) -> Option<&Departure> {
        self.departure.as_ref()
    }

    pub(super) fn departure_mut(&mut self) -> Option<&mut Departure> {
        self.departure.as_mut()
    }

    pub(super) fn begin(&mut self, departure: Departure) {
        self.departure = Some(departure);
    }

    /// The worker is to end with this error. `false`: it is to end with an earlier one.
    pub(super) fn fail(&mut self, error: Error) -> bool {
        if self.error.is_some() {
            return false;
        }
        self.error = Some(error);
        true
    }

    /// The outcome of a worker that has departed, or had no time to.
    pub(super) fn take_pending(&mut self) -> Result<(), Error> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// The worker has ended. The first outcome counts.
    pub(super) fn end(&mut self, outcome: Result<(), Error>) {
        self.outcome.get_or_insert(outcome);
    }

    pub(super) fn take_outcome(&mut self) -> Option<Result<(), Error>> {
        self.outcome.take()
    }

    /// Whether the time for the departure's calls is over.
    pub(super) fn is_overdue(&self, now: Time) -> bool {
        self.outcome.is_none() && self.departure.as_ref().is_some_and(|departure| departure.is_overdue(now))
    }

    /// Whether the departure is complete. Keys in quarantine that kept the last worker from deleting our rows are an
    /// error: Java KCL would skip their records.
    pub(super) fn is_complete(&mut self) -> bool {
        let Some(departure) = self.departure.as_ref().filter(|departure| departure.is_gone()) else { return false };
        let quarantined = departure.quarantined();
        if !quarantined.is_empty() && self.error.is_none() {
            self.error = Some(quarantine::refusal(quarantined));
        }
        true
    }
}
