//! Limits the warnings of consecutive failures to one a minute.

use crate::clock::Time;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// Remembers the time of the last warning.
#[derive(Debug, Default)]
pub(in crate::retrieval) struct WarnLimiter {
    last: Option<Time>,
}

impl WarnLimiter {
    /// True if this failure is to be logged as a warning.
    pub(in crate::retrieval) fn may_warn(&mut self, now: Time) -> bool {
        let may = self.last.is_none_or(|last| now.since(last) >= MINUTE);
        if may {
            self.last = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_a_minute() {
        let mut warn_limiter = WarnLimiter::default();
        let at = |secs| Time::ZERO + Duration::from_secs(secs);
        let warned: Vec<u64> = (0..200).step_by(7).filter(|secs| warn_limiter.may_warn(at(*secs))).collect();
        assert_eq!(warned, [0, 63, 126, 189]);
    }
}
