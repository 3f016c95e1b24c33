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
        Write::TakeTerm { term, heartbeat, leader, me, failover_time }
            if old.term == *term && old.heartbeat == *heartbeat && old.leader == *leader =>
        {
            new.term = next(new.term);
            new.heartbeat = next(new.heartbeat);
            new.leader = Some(me.clone());
            new.leader_failover_time = Some(*failover_time);
            new.leader_session_heartbeat = None;
        }
        Write::FleetHeartbeat { term, heartbeat, leader_session_heartbeat, assignment_version }
            if old.term == *term && old.heartbeat == *heartbeat =>
        {
            new.heartbeat = next(new.heartbeat);
            new.leader_session_heartbeat = Some(*leader_session_heartbeat);
            new.assignment_version = *assignment_version;
        }
        Write::Resign { term, me } if old.term == *term && old.leader.as_ref() == Some(me) => {
            new.leader = None;
            new.leader_failover_time = None;
        }
        Write::DeleteFleet { term, heartbeat, wake, sessions }
            if old.term == *term && old.heartbeat == *heartbeat && old.wake == *wake && old.sessions == *sessions =>
        {
            return Some(None);
        }
        _ => return None,
    }
    Some(Some(new))
}
