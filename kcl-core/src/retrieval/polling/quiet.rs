//! Which of many failures in a row is worth a warning: at most one a minute.

use crate::clock::Time;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// Remembers when it last let a warning pass.
#[derive(Debug, Default)]
pub(in crate::retrieval) struct Quiet {
    last: Option<Time>,
}

impl Quiet {
    /// Whether this one is to be a warning.
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
        let mut quiet = Quiet::default();
        let at = |secs| Time::ZERO + Duration::from_secs(secs);
        let warned: Vec<u64> = (0..200).step_by(7).filter(|secs| quiet.may_warn(at(*secs))).collect();
        assert_eq!(warned, [0, 63, 126, 189]);
    }
}
