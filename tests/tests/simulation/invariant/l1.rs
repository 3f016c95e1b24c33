//! **L1** Once faults stop and every delayed call has arrived, every open shard with finished
//! parents is read within 2 F + 5 s plus four times the time of a full table read. Changes that
//! only a full read can notice (rows changed by hand) add a minute, or ten times the time of a
//! read.

use super::done::Done;
use super::{Facts, seconds};
use crate::world::history::{Fact, is_of};
use crate::world::manner::Manner;
use std::collections::BTreeMap;
use std::time::Duration;

const MORE: Duration = Duration::from_secs(5);
/// A batch that a slow handler began before the faults ended, and the records that accumulated
/// behind it.
const HANDLERS: Duration = Duration::from_secs(5);
const FULL_READ: Duration = Duration::from_secs(60);
/// Quarantined records are retried every ten seconds, and children wait for their parents'
/// quarantine.
const QUARANTINE: Duration = Duration::from_secs(60);

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut calm = None;
    let mut open: BTreeMap<u32, &str> = BTreeMap::new();
    let mut done = Done::default();
    let mut late = Vec::new();
    let parked = if let Manner::Quarantine { .. } = facts.manner { QUARANTINE } else { Duration::ZERO };
    for event in &facts.events {
        for number in done.by(&event.fact) {
            let shard = open.remove(&number);
            if let (Some(shard), Some((at, bound))) = (shard, calm)
                && event.at > bound
            {
                late.push((shard, event.at.saturating_sub(at)));
            }
        }
        match &event.fact {
            Fact::Calm { tampered, read } => {
                // One read may have begun too early to show the change, one shows it, one confirms
                // it a failover time later, and a leader that died meanwhile costs another.
                let reads = *read * 4;
                let by_hand = if *tampered { FULL_READ.max(*read * 10) } else { Duration::ZERO };
                let bound = facts.failover_time * 2 + MORE + HANDLERS + reads + by_hand + parked;
                calm = Some((event.at, event.at + bound));
            }
            // Records that are put later are no measure: their shard may have been read long
            // before.
            Fact::Deleted { stream } => open.retain(|_, shard| !is_of(shard, stream)),
            Fact::Put { number, shard, .. } if calm.is_none_or(|(at, _)| event.at == at) => {
                open.insert(*number, shard);
            }
            _ => {}
        }
    }
    let Some((at, bound)) = calm else { return Vec::new() };
    let bound = seconds(bound.saturating_sub(at));
    let never = open.iter().map(|(number, shard)| format!("record {number} of {shard} was never handled"));
    let late =
        late.iter().map(|(shard, after)| format!("{shard} was read {} after the calm ({bound})", seconds(*after)));
    never.chain(late).collect()
}
