//! Reads the monotonic clock, which all processes of the machine share, and the CPU time of a
//! thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of this thread. Does not include the time of other processes.
pub(crate) fn thread_cpu_time() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// Time since a fixed moment, which is the same for all processes. Never decreases.
pub(crate) fn now() -> Duration {
    read(ClockId::Monotonic)
}

fn read(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
