//! Captures log lines while a test runs.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tracing::{Dispatch, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The captured lines. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    /// Captures lines of at least this level, in every scope where it is the subscriber.
    #[must_use]
    pub fn at_least(&self, level: Level) -> impl Subscriber + Send + Sync + 'static {
        // With a single subscriber in the process, tracing asks the subscriber of the thread that first
        // reaches an event, and keeps the answer. If that is the thread of another test, which has none,
        // the event is off for all. A second subscriber prevents that.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| Dispatch::new(tracing_subscriber::fmt().with_max_level(LevelFilter::OFF).finish()));
        tracing_subscriber::fmt().with_ansi(false).with_max_level(level).with_writer(self.clone()).finish()
    }

    /// The whole log.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Said {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Said {
    type Writer = Said;
    fn make_writer(&self) -> Said {
        self.clone()
    }
}
