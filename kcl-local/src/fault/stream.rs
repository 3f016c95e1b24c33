//! What goes wrong within an answer of events, which is under way for minutes.

use std::time::Duration;

use serde::Deserialize;

use super::millis;

/// What happens to the events of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamFault {
    /// The connection is cut. Over HTTP/2 this stream alone is reset (`RST_STREAM`), the connection lives on.
    Cut,
    /// The answer ends as after five minutes: no error, no event before it.
    End,
    /// Nothing comes any more, and nothing tells.
    Silence,
    /// Nothing comes for that long, then it goes on. In the HTTP form: milliseconds.
    #[serde(deserialize_with = "millis")]
    Stall(Duration),
    /// An error event of that name, such as `KMSThrottlingException` or `InternalFailureException`, and then the end.
    Error(String),
    /// The whole connection is cut, with all that is on it. In process: as `Cut`.
    CutConnection,
    /// The connection acquires no new requests (`GOAWAY`); this one goes on to its end. In process it is not noticed.
    GoAway,
    /// The next message's checksum is wrong.
    BadChecksum,
    /// The next message stops in its middle, and the answer ends.
    Truncated,
}

/// What goes wrong with one answer of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Nothing comes but the HTTP headers.
    AtStart,
    /// This, once so many events have arrived.
    After(usize, StreamFault),
}

/// Counts the events of one answer until its fault is due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    broken: Option<Broken>,
    events: usize,
}

impl Script {
    pub(crate) fn new(broken: Option<Broken>) -> Self {
        Self { broken, events: 0 }
    }

    /// Whether even the first message, which is no event, is kept from coming.
    pub(crate) fn is_silent(&self) -> bool {
        self.broken == Some(Broken::AtStart)
    }

    /// What goes wrong before the next event, or with it.
    pub(crate) fn before_event(&mut self) -> Option<StreamFault> {
        let events = self.events;
        let is_due = |broken: &mut Broken| matches!(broken, Broken::After(after, _) if *after <= events);
        match self.broken.take_if(is_due) {
            Some(Broken::After(_, fault)) => Some(fault),
            Some(Broken::AtStart) | None => None,
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
        let mut script = Script::new(Some(Broken::After(2, StreamFault::Cut)));
        assert!(!script.is_silent());
        for _ in 0..2 {
            assert_eq!(script.before_event(), None);
            script.event_sent();
        }
        assert_eq!(script.before_event(), Some(StreamFault::Cut));
        assert_eq!(script.before_event(), None);
    }

    #[test]
    fn headers_alone_are_no_fault_of_an_event() {
        let mut script = Script::new(Some(Broken::AtStart));
        assert!(script.is_silent());
        assert_eq!(script.before_event(), None);
    }
}
