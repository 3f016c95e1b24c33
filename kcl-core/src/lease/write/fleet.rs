//! What the writes of the fleet row mean.

use super::{Write, next};
use crate::lease::row::Fleet;

/// The row after the write (`None`: deleted), or no answer where the condition does not hold.
#[allow(clippy::wildcard_enum_match_arm, reason = "the caller dispatched by key; a write of another row is refused")]
pub(super) fn apply(write: &Write, old: Option<&Fleet>) -> Option<Option<Fleet>> {
    if let Write::CreateFleet(fleet) = write {
        return old.is_none().then(|| Some(fleet.clone()));
    }
    let old = old?;
    let mut new = old.clone();
    match write {
        Write::Draw => new.sessions = next(new.sessions),
        Write::DrawAbove(last) if old.sessions < *last => new.sessions = next(*last),
        Write::Wake => new.wake = next(new.wake),
        Write::PinStart(start) if old.start.is_none() => new.start = Some(start.clone()),
        Write::Filled => new.filled = true,
        Write::ChangeSettings { seen, to } if old.settings == *seen => new.settings = Some(to.clone()),
        Write::TakeTerm { term, beat, planner, me, failover_time }
            if old.term == *term && old.beat == *beat && old.planner == *planner =>
        {
            new.term = next(new.term);
            new.beat = next(new.beat);
            new.planner = Some(me.clone());
            new.planner_failover_time = Some(*failover_time);
            new.mirror = None;
        }
        Write::FleetBeat { term, beat, mirror, plan_version } if old.term == *term && old.beat == *beat => {
            new.beat = next(new.beat);
            new.mirror = Some(*mirror);
            new.plan_version = *plan_version;
        }
        Write::Resign { term, me } if old.term == *term && old.planner.as_ref() == Some(me) => {
            new.planner = None;
            new.planner_failover_time = None;
        }
        Write::DeleteFleet { term, beat, wake, sessions }
            if old.term == *term && old.beat == *beat && old.wake == *wake && old.sessions == *sessions =>
        {
            return Some(None);
        }
        _ => return None,
    }
    Some(Some(new))
}
