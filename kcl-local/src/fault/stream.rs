//! Faults in the stream of events of a subscription.

use std::time::Duration;

use serde::Deserialize;

use super::millis;

/// A fault in the stream of events of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamFault {
    /// The connection is cut. Over HTTP/2 only this stream is reset (`RST_STREAM`); the connection
    /// continues.
    Cut,
    /// The stream ends as it does after five minutes: without an error and without a last event.
    End,
    /// No further event arrives, and the connection stays open.
    Silence,
    /// No event arrives for this long, then the stream continues. In the HTTP form: milliseconds.
    #[serde(deserialize_with = "millis")]
    Stall(Duration),
    /// An error event of this name, such as `KMSThrottlingException` or `InternalFailureException`,
    /// and then the end.
    Error(String),
    /// The connection is cut with all of its streams. In process: as `Cut`.
    CutConnection,
    /// The connection accepts no new requests (`GOAWAY`); this stream continues to its end. No
    /// effect in process.
    GoAway,
    /// The next message has a wrong checksum.
    BadChecksum,
    /// The stream ends in the middle of the next message.
    Truncated,
}

/// The point at which a stream of events has its fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BreakPoint {
    /// Nothing follows the HTTP headers.
    AfterHeaders,
    /// This fault, after this number of events.
    AfterEvents(usize, StreamFault),
}

/// Counts the events of a stream until its fault is due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    break_point: Option<BreakPoint>,
    events: usize,
}

impl Script {
    pub(crate) fn new(break_point: Option<BreakPoint>) -> Self {
        Self { break_point, events: 0 }
    }

    /// Whether nothing follows the headers, not even the initial response message.
    pub(crate) fn is_silent(&self) -> bool {
        self.break_point == Some(BreakPoint::AfterHeaders)
    }

    /// The fault before the next event, or of it.
    pub(crate) fn before_event(&mut self) -> Option<StreamFault> {
        let events = self.events;
        let is_due = |point: &mut BreakPoint| matches!(point, BreakPoint::AfterEvents(after, _) if *after <= events);
        match self.break_point.take_if(is_due) {
            Some(BreakPoint::AfterEvents(_, fault)) => Some(fault),
            Some(BreakPoint::AfterHeaders) | None => None,
        }
    }

    pub(crate) fn event_sent(&mut self) {
        self.events += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_due_once_after_its_number_of_events() {
        let mut script = Script::new(Some(BreakPoint::AfterEvents(2, StreamFault::Cut)));
        assert!(!script.is_silent());
        for _ in 0..2 {
            assert_eq!(script.before_event(), None);
            script.event_sent();
        }
        assert_eq!(script.before_event(), Some(StreamFault::Cut));
        assert_eq!(script.before_event(), None);
    }

    #[test]
    fn a_stream_of_headers_alone_has_no_fault_of_an_event() {
        let mut script = Script::new(Some(BreakPoint::AfterHeaders));
        assert!(script.is_silent());
        assert_eq!(script.before_event(), None);
    }
}
