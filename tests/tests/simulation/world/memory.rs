//! Counts the payload bytes in memory: those of every record that was read and is not dropped yet.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// See the module's documentation. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    now: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

impl Memory {
    /// The maximum so far.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Counts these bytes for as long as they live.
    pub(crate) fn count(&self, bytes: Bytes) -> Bytes {
        let now = self.now.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        self.peak.fetch_max(now, Ordering::Relaxed);
        Bytes::from_owner(Counted(bytes, self.clone()))
    }
}

struct Counted(Bytes, Memory);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.now.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}
