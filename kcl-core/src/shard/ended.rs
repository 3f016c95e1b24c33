//! Decides whether a shard has ended, from what its reads said and from several lists of shards. Pure.
//!
//! One answer may be wrong: a list may be stale, empty or incomplete, and a read may say "not found" once. SHARD_END is
//! final, so it needs lists of different times that agree.

use super::{Listing, Shard, hole_in};
use crate::clock::Time;
use crate::lease::row::HashKeyRange;
use crate::record::ShardId;
use std::time::Duration;

/// The lists that must show the shard closed, together with its children, and the least time from the first to the last. The
/// read has said that it ended, so the lists only confirm it.
const CLOSED: (u32, Duration) = (2, Duration::from_millis(500));
/// The same for a shard that no list shows any more. Here the lists are all the evidence there is.
const ABSENT: (u32, Duration) = (3, Duration::from_secs(30));
/// Before the second list; each later pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Where the list shows that the shard can be read.
const LONGEST_READ_PAUSE: Duration = Duration::from_secs(4);
/// A doubt that lasts this long is reported, and again once a minute.
const REPORT_AFTER: Duration = Duration::from_secs(10);
const REPORT_AGAIN: Duration = Duration::from_secs(60);
/// A split has two children and a merge one. An answer that names many more is nonsense.
const MOST_CHILDREN: usize = 16;
/// Kinesis: `[a-zA-Z0-9_.-]+`, at most 128 characters.
const LONGEST_NAME: usize = 128;

/// What a read said that may mean the end of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// The shard, or the stream, was not found.
    NotFound,
    /// There is no next iterator, but no children were named either.
    NoChildren,
}

impl Doubt {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Doubt::NotFound => "the shard is not found",
            Doubt::NoChildren => "the shard has ended, and its children are not known",
        }
    }
}

/// What one list says.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// The shard is there, and can be read.
    Readable,
    /// It is closed, and its children are listed.
    Closed(Vec<Shard>),
    /// It is not listed, and the open shards leave no room for it. Some children may be gone, too.
    Absent(Vec<Shard>),
    /// The list settles nothing: it is empty or incomplete, or does not show the children.
    Nothing,
}

/// What the reader does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It reads on, after a pause.
    ReadOn { pause: Duration },
    /// It asks again, after a pause.
    AskAgain { pause: Duration },
    /// The shard ended in these.
    Ended(Vec<Shard>),
}

/// What was seen so far that speaks for the end of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndEvidence {
    since: Option<Time>,
    lists: u32,
    agreeing: Option<Agreeing>,
    reported: Option<Time>,
}

/// Lists in a row that say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Agreeing {
    absent: bool,
    lists: u32,
    since: Time,
}

impl EndEvidence {
    /// The shard was read: it has not ended.
    pub(crate) fn clear(&mut self) {
        *self = EndEvidence::default();
    }

    /// Takes one list, as it was answered `now`.
    pub(crate) fn consider(&mut self, shard: &ShardId, doubt: Doubt, listing: &Listing, now: Time) -> Verdict {
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
            Finding::Nothing if mutated!(TrustsOneList) => return Verdict::Ended(Vec::new()),
            Finding::Nothing => {
                self.agreeing = None;
                return Verdict::AskAgain { pause };
            }
        };
        let agreeing = match self.agreeing.filter(|agreeing| agreeing.absent == absent) {
            Some(agreeing) => Agreeing { lists: agreeing.lists + 1, ..agreeing },
            None => Agreeing { absent, lists: 1, since: now },
        };
        self.agreeing = Some(agreeing);
        let (lists, apart) = if absent { ABSENT } else { CLOSED };
        if agreeing.lists >= lists && now.since(agreeing.since) >= apart {
            return Verdict::Ended(children);
        }
        Verdict::AskAgain { pause }
    }

    /// For how long the end has been in doubt, if that is to be reported now.
    pub(crate) fn report_due(&mut self, now: Time) -> Option<Duration> {
        let lasted = now.since(self.since?);
        let due = self.reported.is_none_or(|at| now.since(at) >= REPORT_AGAIN);
        (lasted >= REPORT_AFTER && due).then(|| {
            self.reported = Some(now);
            lasted
        })
    }
}

fn finding(shard: &ShardId, doubt: Doubt, listing: &Listing) -> Finding {
    let children: Vec<Shard> = listing.shards.iter().filter(|listed| listed.parents.contains(shard)).cloned().collect();
    match (listing.shards.iter().find(|listed| listed.id == *shard), doubt) {
        // Kinesis has it, and may have records of it: a passing condition.
        (Some(_), Doubt::NotFound) => Finding::Readable,
        (Some(listed), Doubt::NoChildren) if !listed.closed => Finding::Readable,
        (Some(listed), Doubt::NoChildren) if cover(&children, listed.hash_range) => Finding::Closed(children),
        (Some(_), Doubt::NoChildren) => Finding::Nothing,
        (None, _) if is_replaced(shard, &children, listing) => Finding::Absent(children),
        (None, _) => Finding::Nothing,
    }
}

/// Whether shards that are open now take every hash key, so that an absent one cannot be open. One of them must be younger
/// than the absent one: otherwise the list may be older than it.
fn is_replaced(shard: &ShardId, children: &[Shard], listing: &Listing) -> bool {
    let open: Vec<Shard> = listing.shards.iter().filter(|listed| !listed.closed).cloned().collect();
    let is_certain = !children.is_empty() || open.iter().all(|listed| listed.hash_range.is_some());
    is_certain && open.iter().any(|listed| listed.id > *shard) && hole_in(&open).is_none()
}

/// Whether these shards take all keys of the range, as far as ranges are known.
fn cover(shards: &[Shard], range: Option<HashKeyRange>) -> bool {
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

/// Whether this can be the name of a shard. A lease's key is made of it.
pub(crate) fn is_name(shard: &ShardId) -> bool {
    let name = shard.as_str().as_bytes();
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !name.is_empty() && name.len() <= LONGEST_NAME && name.iter().all(allowed)
}

/// Whether an ended shard may have named these as its children. Otherwise the list of shards decides.
pub(crate) fn are_children(shard: &ShardId, children: &[Shard]) -> bool {
    let is_child = |child: &Shard| is_name(&child.id) && child.id != *shard && child.parents.contains(shard);
    !children.is_empty() && children.len() <= MOST_CHILDREN && children.iter().all(is_child)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> ShardId {
        ShardId::new(format!("shardId-{n:012}"))
    }

    fn t(millis: u64) -> Time {
        Time::from_origin(Duration::from_millis(millis))
    }

    const HALF: u128 = u128::MAX / 2;

    fn shard(n: u32, parents: &[u32], (start, end): (u128, u128), closed: bool) -> Shard {
        let (parents, hash_range) = (parents.iter().copied().map(id).collect(), Some(HashKeyRange { start, end }));
        Shard { id: id(n), parents, hash_range, starting_sequence_number: None, closed }
    }

    /// 0 was split into 1 and 2.
    fn family() -> [Shard; 3] {
        [
            shard(0, &[], (0, u128::MAX), true),
            shard(1, &[0], (0, HALF), false),
            shard(2, &[0], (HALF + 1, u128::MAX), false),
        ]
    }

    fn list(shards: &[Shard]) -> Listing {
        Listing { shards: shards.to_vec(), answered_at_ms: None }
    }

    /// What is made of the same list, asked for as often as the verdicts say; the time at the end, in seconds.
    fn settle(n: u32, doubt: Doubt, listing: &Listing, rounds: usize) -> (Option<Vec<ShardId>>, u64) {
        let (mut evidence, mut now) = (EndEvidence::default(), t(0));
        for _ in 0..rounds {
            match evidence.consider(&id(n), doubt, listing, now) {
                Verdict::ReadOn { pause } | Verdict::AskAgain { pause } => now = now + pause,
                Verdict::Ended(children) => {
                    return (Some(children.into_iter().map(|child| child.id).collect()), now.since(t(0)).as_secs());
                }
            }
        }
        (None, now.since(t(0)).as_secs())
    }

    #[test]
    fn an_open_shard_that_lists_leave_out_has_not_ended() {
        let [parent, left, right] = family();
        for listed in [&[][..], std::slice::from_ref(&left), &[parent.clone(), left.clone()]] {
            assert_eq!(settle(2, Doubt::NotFound, &list(listed), 50).0, None, "{listed:?}");
            assert_eq!(settle(2, Doubt::NoChildren, &list(listed), 50).0, None, "{listed:?}");
        }
        let before = Shard { closed: false, ..parent };
        assert_eq!(settle(2, Doubt::NotFound, &list(&[before]), 50).0, None, "the list is older than the shard");
        assert_eq!(settle(2, Doubt::NotFound, &list(&[left, right]), 50).0, None, "it is listed");
    }

    #[test]
    fn a_shard_that_is_gone_has_ended_once_lists_over_half_a_minute_agree() {
        let [_, left, right] = family();
        let (children, at) = settle(0, Doubt::NotFound, &list(&[left.clone(), right.clone()]), 50);
        assert_eq!(children, Some(vec![id(1), id(2)]));
        assert!((30..60).contains(&at), "{at}");
        let [gone, left] = [Shard { closed: true, ..left }, shard(3, &[1], (0, HALF), false)];
        let later = list(&[gone, left, right]);
        assert_eq!(settle(0, Doubt::NotFound, &later, 50).0, Some(vec![id(1), id(2)]));
    }

    #[test]
    fn one_list_never_ends_a_shard_and_a_list_that_differs_begins_the_count_anew() {
        let [parent, left, right] = family();
        let whole = list(&[left.clone(), right.clone()]);
        let mut evidence = EndEvidence::default();
        let mut look = |listing: &Listing, at| evidence.consider(&id(0), Doubt::NotFound, listing, t(at));
        assert!(matches!(look(&whole, 0), Verdict::AskAgain { .. }));
        assert!(matches!(look(&whole, 29_000), Verdict::AskAgain { .. }));
        assert!(matches!(look(&list(&[]), 30_000), Verdict::AskAgain { .. }));
        assert!(matches!(look(&whole, 40_000), Verdict::AskAgain { .. }));
        assert!(matches!(look(&list(&[parent, left, right]), 41_000), Verdict::ReadOn { .. }));
        assert!(matches!(look(&whole, 80_000), Verdict::AskAgain { .. }));
    }

    #[test]
    fn a_closed_shard_ends_when_two_lists_show_all_its_children() {
        let [parent, left, right] = family();
        let whole = list(&[parent.clone(), left.clone(), right.clone()]);
        let (children, at) = settle(0, Doubt::NoChildren, &whole, 10);
        assert_eq!((children, at), (Some(vec![id(1), id(2)]), 1));
        for listed in [&[parent.clone()][..], &[parent.clone(), left.clone()]] {
            assert_eq!(settle(0, Doubt::NoChildren, &list(listed), 50).0, None, "{listed:?}");
        }
        let open = Shard { closed: false, ..parent };
        assert_eq!(settle(0, Doubt::NoChildren, &list(&[open, left, right]), 50).0, None);
    }

    #[test]
    fn pauses_grow_and_a_doubt_that_lasts_is_reported_once_a_minute() {
        let [parent, ..] = family();
        let (mut evidence, mut now, mut pauses, mut reports) = (EndEvidence::default(), t(0), Vec::new(), 0);
        while now < t(300_000) {
            let verdict = evidence.consider(&id(0), Doubt::NoChildren, &list(std::slice::from_ref(&parent)), now);
            let Verdict::AskAgain { pause } = verdict else { panic!("{verdict:?}") };
            reports += u32::from(evidence.report_due(now).is_some());
            pauses.push(pause.as_secs());
            now = now + pause;
        }
        assert_eq!(pauses[..6], [1, 2, 4, 8, 15, 15]);
        assert_eq!(reports, 5);
    }

    #[test]
    fn nonsense_is_no_name_and_no_child() {
        assert!(is_name(&id(0)) && is_name(&ShardId::from("a")));
        for nonsense in ["", "session/w0", "a b", "a\n", &"x".repeat(129)] {
            assert!(!is_name(&ShardId::from(nonsense)), "{nonsense:?}");
        }
        let [parent, left, right] = family();
        assert!(are_children(&id(0), &[left.clone(), right.clone()]));
        let named = |name: &str| Shard { id: ShardId::from(name), ..left.clone() };
        assert!(!are_children(&id(0), &[right, named("session/w0")]));
        assert!(!are_children(&id(0), &[named("shardId-000000000000")]), "a shard is not its own child");
        assert!(!are_children(&id(0), &[parent]), "it does not name its parent");
        assert!(!are_children(&id(0), &vec![left; 3_000]));
        assert!(!are_children(&id(0), &[]));
    }
}
