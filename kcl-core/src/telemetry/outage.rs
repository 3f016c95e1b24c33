//! Decides which of many repeated failures become log lines: one when trouble begins, one a minute, one when it is over.
//!
//! Pure: a failure or a success and the time go in, the line to write (if any) comes out.

use crate::clock::Time;
use std::collections::BTreeSet;
use std::time::Duration;

/// Between two lines about the same trouble.
const EVERY: Duration = Duration::from_secs(60);

/// Trouble is over once nothing has failed for this long. Calls that alternate between success and failure are one
/// trouble, not many.
const SETTLED: Duration = Duration::from_secs(5);

/// A line to write about some trouble.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    /// It begins.
    Began(Trouble),
    /// It goes on.
    Continues(Trouble),
    /// It is over.
    Ended(Trouble),
}

/// The facts of a [`Line`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trouble {
    /// Failures since the last line.
    pub(crate) failures: u64,
    /// Failures since it began.
    pub(crate) total: u64,
    /// From the first failure to the last.
    pub(crate) lasting: Duration,
    /// How many members (shards, usually) fail now.
    pub(crate) members: usize,
}

/// The trouble of one subject, such as the lease table or the reads of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutageLog {
    /// What fails now, of all that share the subject.
    failing: BTreeSet<Box<str>>,
    current: Option<Current>,
    /// When the last line was written that says that something fails. Outlives the trouble, so that trouble that comes
    /// and goes is one line a minute too.
    logged: Option<Time>,
}

/// Trouble that is not over.
#[derive(Clone, Copy, Debug)]
struct Current {
    began: Time,
    last: Time,
    total: u64,
    since_line: u64,
    /// Whether a line says that it began.
    open: bool,
}

impl OutageLog {
    /// A member failed.
    pub(crate) fn failed(&mut self, member: &str, now: Time) -> Option<Line> {
        if !self.failing.contains(member) {
            self.failing.insert(member.into());
        }
        let members = self.failing.len();
        let current =
            self.current.get_or_insert(Current { began: now, last: now, total: 0, since_line: 0, open: false });
        (current.last, current.total, current.since_line) = (now, current.total + 1, current.since_line + 1);
        if self.logged.is_some_and(|logged| now.since(logged) < EVERY) {
            return None;
        }
        self.logged = Some(now);
        let trouble = current.trouble(members);
        current.since_line = 0;
        let began = !std::mem::replace(&mut current.open, true);
        Some(if began { Line::Began(trouble) } else { Line::Continues(trouble) })
    }

    /// A member leaves: another worker reads its shard. The outage ends when another member succeeds.
    pub(crate) fn left(&mut self, member: &str) {
        self.failing.remove(member);
    }

    /// A member succeeded.
    pub(crate) fn recovered(&mut self, member: &str, now: Time) -> Option<Line> {
        let current = self.current?;
        self.failing.remove(member);
        if !self.failing.is_empty() || now.since(current.last) < SETTLED {
            return None;
        }
        self.current = None;
        current.open.then(|| Line::Ended(current.trouble(0)))
    }

    /// Whether a line says that it began, and none that it is over.
    pub(crate) fn is_open(&self) -> bool {
        self.current.is_some_and(|current| current.open)
    }

    /// Whether nothing is left to remember at this time.
    pub(crate) fn is_idle(&self, now: Time) -> bool {
        self.current.is_none() && self.logged.is_none_or(|logged| now.since(logged) >= EVERY)
    }
}

impl Current {
    fn trouble(&self, members: usize) -> Trouble {
        let (failures, total, lasting) = (self.since_line, self.total, self.last.since(self.began));
        Trouble { failures, total, lasting, members }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Time {
        Time::ZERO + Duration::from_secs(secs)
    }

    fn trouble(failures: u64, total: u64, secs: u64, members: usize) -> Trouble {
        Trouble { failures, total, lasting: Duration::from_secs(secs), members }
    }

    #[test]
    fn trouble_is_a_line_when_it_begins_one_a_minute_and_one_when_it_ends() {
        let mut log = OutageLog::default();
        let mut lines: Vec<(u64, Line)> = Vec::new();
        for second in 0..=150 {
            lines.extend(log.failed("", at(second)).map(|line| (second, line)));
        }
        assert!(log.is_open());
        for second in 151..=170 {
            lines.extend(log.recovered("", at(second)).map(|line| (second, line)));
        }
        assert_eq!(
            lines,
            [
                (0, Line::Began(trouble(1, 1, 0, 1))),
                (60, Line::Continues(trouble(60, 61, 60, 1))),
                (120, Line::Continues(trouble(60, 121, 120, 1))),
                (155, Line::Ended(trouble(30, 151, 150, 0))),
            ]
        );
        assert!(!log.is_open());
    }

    #[test]
    fn it_is_over_when_the_last_member_has_recovered() {
        let mut log = OutageLog::default();
        log.failed("a", at(0));
        log.failed("b", at(1));
        assert_eq!(log.recovered("a", at(10)), None);
        assert_eq!(log.recovered("b", at(11)), Some(Line::Ended(trouble(1, 2, 1, 0))));
        assert_eq!(log.recovered("b", at(12)), None);
    }

    #[test]
    fn what_fails_and_succeeds_by_turns_is_two_lines_a_minute_at_most() {
        for (period, failing) in [(1, 1), (7, 1), (20, 3), (61, 30)] {
            let mut log = OutageLog::default();
            let mut lines = 0;
            for second in 0..3_600 {
                let line =
                    if second % period < failing { log.failed("", at(second)) } else { log.recovered("", at(second)) };
                lines += usize::from(line.is_some());
            }
            assert!((1..=121).contains(&lines), "{period} {failing}: {lines}");
        }
    }

    #[test]
    fn nothing_is_remembered_a_minute_after_it_is_over() {
        let mut log = OutageLog::default();
        assert!(log.is_idle(at(0)));
        log.failed("", at(0));
        log.recovered("", at(30));
        assert!(!log.is_idle(at(59)));
        assert!(log.is_idle(at(60)));
    }
}
