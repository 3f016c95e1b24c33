//! Decides whether a shard has ended, from its reads and from several shard lists. Pure: no I/O, no
//! clock.
//!
//! One response may be wrong: a list may be stale, empty or incomplete, and a read may return "not
//! found" once. SHARD_END is final, so it requires several lists over time that agree
//! (docs/protocol/resharding.md).

use super::{Listing, Shard, hole_in};
use crate::clock::Time;
use crate::lease::row::HashKeyRange;
use crate::record::ShardId;
use std::time::Duration;

/// The number of lists that must show the shard closed with all its children, and the least time
/// between the first and the last. The read has already returned the end, so the lists only confirm
/// it.
const CLOSED: (u32, Duration) = (2, Duration::from_millis(500));
/// The same for a shard that is not listed at all. Here the lists are the only evidence.
const ABSENT: (u32, Duration) = (3, Duration::from_secs(30));
/// The pause before the second list; each later pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The longest pause while the list shows that the shard can be read. With a fifth more by jitter,
/// and the time of the list, the shard is read again within 5 s.
const LONGEST_READ_PAUSE: Duration = Duration::from_millis(3_500);
/// A doubt that lasts this long is reported, then again once a minute.
const REPORT_AFTER: Duration = Duration::from_secs(10);
const REPORT_AGAIN: Duration = Duration::from_secs(60);
/// A split has two children and a merge one. A response that names many more is invalid.
const MOST_CHILDREN: usize = 16;
/// Kinesis: `[a-zA-Z0-9_.-]+`, at most 128 characters (AWS: API reference, Shard).
const LONGEST_NAME: usize = 128;

/// A response of a read that may mean the end of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndDoubt {
    /// The shard, or the stream, was not found.
    NotFound,
    /// There is no next iterator, but no children were named either.
    NoChildren,
}

impl EndDoubt {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            EndDoubt::NotFound => "the shard was not found",
            EndDoubt::NoChildren => "the shard has ended, and its children are unknown",
        }
    }
}

/// The conclusion from one list.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// The shard is listed and can be read.
    Readable,
    /// It is closed, and all its children are listed.
    Closed(Vec<Shard>),
    /// It is not listed, and the open shards cover all hash keys. Some of its children may have
    /// expired, too.
    Absent(Vec<Shard>),
    /// The list is inconclusive: it is empty or incomplete, or does not show all children.
    Inconclusive,
}

/// What the reader does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It continues to read after a pause.
    ReadOn { pause: Duration },
    /// It lists the shards again after a pause.
    ListAgain { pause: Duration },
    /// The shard has ended, with these children.
    Ended(Vec<Shard>),
}

/// The evidence so far that one shard has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndEvidence {
    since: Option<Time>,
    lists: u32,
    agreeing: Option<Agreeing>,
    reported: Option<Time>,
}

/// Consecutive lists with the same conclusion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Agreeing {
    absent: bool,
    lists: u32,
    since: Time,
}

impl EndEvidence {
    /// Discards the evidence, because the shard was read.
    pub(crate) fn clear(&mut self) {
        *self = EndEvidence::default();
    }

    /// Adds a list that was answered at `now` and returns what the reader does next.
    pub(crate) fn consider(&mut self, shard: &ShardId, doubt: EndDoubt, listing: &Listing, now: Time) -> Verdict {
        self.since.get_or_insert(now);
        let pause = FIRST_PAUSE.saturating_mul(1 << self.lists.min(8)).min(LONGEST_PAUSE);
        self.lists = self.lists.saturating_add(1);
        let (absent, children) = match finding(shard, doubt, listing) {
            Finding::Closed(children) => (false, children),
            Finding::Absent(children) => (true, children),
            Finding::Readable => {
                self.agreeing = None;
                return Verdict::ReadOn { pause: pause.min(LONGEST_READ_PAUSE) };
            }
            Finding::Inconclusive if mutated!(TrustsOneList) => return Verdict::Ended(Vec::new()),
            Finding::Inconclusive => {
                self.agreeing = None;
                return Verdict::ListAgain { pause };
            }
        };
        let agreeing = match self.agreeing.filter(|agreeing| agreeing.absent == absent) {
            Some(agreeing) => Agreeing { lists: agreeing.lists + 1, ..agreeing },
            None => Agreeing { absent, lists: 1, since: now },
        };
        self.agreeing = Some(agreeing);
        let (lists, least_time) = if absent { ABSENT } else { CLOSED };
        if agreeing.lists >= lists && now.since(agreeing.since) >= least_time {
            return Verdict::Ended(children);
        }
        Verdict::ListAgain { pause }
    }

    /// Returns how long the end has been in doubt, if it is time to report it.
    pub(crate) fn report_due(&mut self, now: Time) -> Option<Duration> {
        let lasted = now.since(self.since?);
        let due = self.reported.is_none_or(|at| now.since(at) >= REPORT_AGAIN);
        (lasted >= REPORT_AFTER && due).then(|| {
            self.reported = Some(now);
            lasted
        })
    }
}

fn finding(shard: &ShardId, doubt: EndDoubt, listing: &Listing) -> Finding {
    let children: Vec<Shard> = listing.shards.iter().filter(|listed| listed.parents.contains(shard)).cloned().collect();
    match (listing.shards.iter().find(|listed| listed.id == *shard), doubt) {
        // The shard exists and may have more records: "not found" was a transient error.
        (Some(_), EndDoubt::NotFound) => Finding::Readable,
        (Some(listed), EndDoubt::NoChildren) if !listed.closed => Finding::Readable,
        (Some(listed), EndDoubt::NoChildren) if covers(&children, listed.hash_range) => Finding::Closed(children),
        (Some(_), EndDoubt::NoChildren) => Finding::Inconclusive,
        (None, _) if is_covered_by_others(shard, &children, listing) => Finding::Absent(children),
        (None, _) => Finding::Inconclusive,
    }
}

/// True if the open shards cover every hash key, so that the absent shard cannot be open. One of
/// them must be younger than the absent shard: otherwise the list may be from before the shard was
/// created.
fn is_covered_by_others(shard: &ShardId, children: &[Shard], listing: &Listing) -> bool {
    let open: Vec<Shard> = listing.shards.iter().filter(|listed| !listed.closed).cloned().collect();
    let is_certain = !children.is_empty() || open.iter().all(|listed| listed.hash_range.is_some());
    is_certain && open.iter().any(|listed| listed.id > *shard) && hole_in(&open).is_none()
}

/// True if these shards cover the range, as far as ranges are known.
fn covers(shards: &[Shard], range: Option<HashKeyRange>) -> bool {
    let ranges: Option<Vec<HashKeyRange>> = shards.iter().map(|shard| shard.hash_range).collect();
    let (Some(range), Some(mut ranges)) = (range, ranges) else { return !shards.is_empty() };
    ranges.sort_unstable();
    let mut next = range.start;
    for part in ranges {
        if part.start > next {
            return false;
        }
        match part.end.checked_add(1) {
            Some(after) => next = next.max(after),
            None => return true,
        }
    }
    next > range.end
}

/// True if this can be a shard's id. Ids are checked because lease keys are made of them.
pub(crate) fn is_valid_shard_id(shard: &ShardId) -> bool {
    let name = shard.as_str().as_bytes();
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !name.is_empty() && name.len() <= LONGEST_NAME && name.iter().all(allowed)
}

/// True if these can be the children of an ended shard. If not, the list of shards decides.
pub(crate) fn are_valid_children(shard: &ShardId, children: &[Shard]) -> bool {
    let is_child = |child: &Shard| is_valid_shard_id(&child.id) && child.id != *shard && child.parents.contains(shard);
    !children.is_empty() && children.len() <= MOST_CHILDREN && children.iter().all(is_child)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::sample_shards::{HALF, family, id, shard};

    fn t(millis: u64) -> Time {
        Time::from_origin(Duration::from_millis(millis))
    }

    fn list(shards: &[Shard]) -> Listing {
        Listing { shards: shards.to_vec(), answered_at_ms: None }
    }

    /// Adds the same list as often as the verdicts ask for it. Returns the children, if it ended,
    /// and the time at the end, in seconds.
    fn settle(n: u32, doubt: EndDoubt, listing: &Listing, rounds: usize) -> (Option<Vec<ShardId>>, u64) {
        let (mut evidence, mut now) = (EndEvidence::default(), t(0));
        for _ in 0..rounds {
            match evidence.consider(&id(n), doubt, listing, now) {
                Verdict::ReadOn { pause } | Verdict::ListAgain { pause } => now = now + pause,
                Verdict::Ended(children) => {
                    return (Some(children.into_iter().map(|child| child.id).collect()), now.since(t(0)).as_secs());
                }
            }
        }
        (None, now.since(t(0)).as_secs())
    }

    #[test]
    fn an_open_shard_that_lists_omit_has_not_ended() {
        let [parent, left, right] = family();
        for listed in [&[][..], std::slice::from_ref(&left), &[parent.clone(), left.clone()]] {
            assert_eq!(settle(2, EndDoubt::NotFound, &list(listed), 50).0, None, "{listed:?}");
            assert_eq!(settle(2, EndDoubt::NoChildren, &list(listed), 50).0, None, "{listed:?}");
        }
        let before = Shard { closed: false, ..parent };
        assert_eq!(settle(2, EndDoubt::NotFound, &list(&[before]), 50).0, None, "the list is older than the shard");
        assert_eq!(settle(2, EndDoubt::NotFound, &list(&[left, right]), 50).0, None, "it is listed");
    }

    #[test]
    fn an_unlisted_shard_has_ended_when_lists_over_half_a_minute_agree() {
        let [_, left, right] = family();
        let (children, at) = settle(0, EndDoubt::NotFound, &list(&[left.clone(), right.clone()]), 50);
        assert_eq!(children, Some(vec![id(1), id(2)]));
        assert!((30..60).contains(&at), "{at}");
        let [gone, left] = [Shard { closed: true, ..left }, shard(3, &[1], (0, HALF), false)];
        let later = list(&[gone, left, right]);
        assert_eq!(settle(0, EndDoubt::NotFound, &later, 50).0, Some(vec![id(1), id(2)]));
    }

    #[test]
    fn one_list_never_ends_a_shard_and_a_different_list_restarts_the_count() {
        let [parent, left, right] = family();
        let whole = list(&[left.clone(), right.clone()]);
        let mut evidence = EndEvidence::default();
        let mut add = |listing: &Listing, at| evidence.consider(&id(0), EndDoubt::NotFound, listing, t(at));
        assert!(matches!(add(&whole, 0), Verdict::ListAgain { .. }));
        assert!(matches!(add(&whole, 29_000), Verdict::ListAgain { .. }));
        assert!(matches!(add(&list(&[]), 30_000), Verdict::ListAgain { .. }));
        assert!(matches!(add(&whole, 40_000), Verdict::ListAgain { .. }));
        assert!(matches!(add(&list(&[parent, left, right]), 41_000), Verdict::ReadOn { .. }));
        assert!(matches!(add(&whole, 80_000), Verdict::ListAgain { .. }));
    }

    #[test]
    fn a_closed_shard_ends_when_two_lists_show_all_its_children() {
        let [parent, left, right] = family();
        let whole = list(&[parent.clone(), left.clone(), right.clone()]);
        let (children, at) = settle(0, EndDoubt::NoChildren, &whole, 10);
        assert_eq!((children, at), (Some(vec![id(1), id(2)]), 1));
        for listed in [&[parent.clone()][..], &[parent.clone(), left.clone()]] {
            assert_eq!(settle(0, EndDoubt::NoChildren, &list(listed), 50).0, None, "{listed:?}");
        }
        let open = Shard { closed: false, ..parent };
        assert_eq!(settle(0, EndDoubt::NoChildren, &list(&[open, left, right]), 50).0, None);
    }

    #[test]
    fn pauses_grow_and_a_lasting_doubt_is_reported_once_a_minute() {
        let [parent, ..] = family();
        let (mut evidence, mut now, mut pauses, mut reports) = (EndEvidence::default(), t(0), Vec::new(), 0);
        while now < t(300_000) {
            let verdict = evidence.consider(&id(0), EndDoubt::NoChildren, &list(std::slice::from_ref(&parent)), now);
            let Verdict::ListAgain { pause } = verdict else { panic!("{verdict:?}") };
            reports += u32::from(evidence.report_due(now).is_some());
            pauses.push(pause.as_secs());
            now = now + pause;
        }
        assert_eq!(pauses[..6], [1, 2, 4, 8, 15, 15]);
        assert_eq!(reports, 5);
    }

    #[test]
    fn invalid_ids_and_invalid_children_are_refused() {
        assert!(is_valid_shard_id(&id(0)) && is_valid_shard_id(&ShardId::from("a")));
        for invalid in ["", "session/w0", "a b", "a\n", &"x".repeat(129)] {
            assert!(!is_valid_shard_id(&ShardId::from(invalid)), "{invalid:?}");
        }
        let [parent, left, right] = family();
        assert!(are_valid_children(&id(0), &[left.clone(), right.clone()]));
        let named = |name: &str| Shard { id: ShardId::from(name), ..left.clone() };
        assert!(!are_valid_children(&id(0), &[right, named("session/w0")]));
        assert!(!are_valid_children(&id(0), &[named("shardId-000000000000")]), "a shard is not its own child");
        assert!(!are_valid_children(&id(0), &[parent]), "it does not name its parent");
        assert!(!are_valid_children(&id(0), &vec![left; 3_000]));
        assert!(!are_valid_children(&id(0), &[]));
    }
}
