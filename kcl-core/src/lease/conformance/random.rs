//! Generates random writes over few rows. Each condition holds more often than not.

use crate::config::BalanceBy;
use crate::lease::row::{
    Acquire, AcquireMode, Assignment, CheckpointExtras, Fleet, FleetSettings, FleetStart, LARGEST_COUNTER, Lease,
    LeaseKey, Owner, Pending, ProcessId, QuarantineRequest, QuarantinedKey, Row, RowKey, SessionNumber, SessionState,
    SharedSettings, StreamRow, Weights, WorkerId, WorkerProfile, Yield,
};
use crate::lease::write::{PreviousOwner, Write};
use crate::record::{Checkpoint, Position, SequenceNumber, ShardId, StreamId, StreamIdentity};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::time::Duration;

type Model = BTreeMap<RowKey, Row>;

pub(crate) fn write(rng: &mut Rng, model: &Model) -> Write {
    match rng.u8(0..21) {
        0..4 => fleet(rng, model.get(&RowKey::Fleet).and_then(Row::as_fleet)),
        4..8 => session(rng, model),
        8..10 => assignment(rng, model),
        20 => stream_row(rng, model),
        _ => lease(rng, model),
    }
}

fn worker(rng: &mut Rng) -> WorkerId {
    WorkerId::from_row(["w1", "w2", "w 3", "ä"][rng.usize(0..4)])
}

/// Returns the number, or occasionally a neighbour.
fn near(rng: &mut Rng, n: u64) -> u64 {
    match rng.u8(0..10) {
        0 => n + 1,
        1 => n.saturating_sub(1),
        _ => n,
    }
}

fn maybe<T>(rng: &mut Rng, value: T) -> Option<T> {
    rng.bool().then_some(value)
}

fn fleet(rng: &mut Rng, now: Option<&Fleet>) -> Write {
    let Some(now) = now else { return Write::CreateFleet(Fleet::above(rng.u64(0..9), rng.u64(0..9), rng.bool())) };
    let (term, heartbeat) = (near(rng, now.term), near(rng, now.heartbeat));
    match rng.u8(0..10) {
        0 if rng.bool() => Write::NextSessionNumberAbove(near(rng, now.sessions)),
        0 => Write::NextSessionNumber,
        1 => Write::Wake,
        2 if rng.bool() => Write::MarkFilled,
        2 => {
            let seen = if rng.u8(0..4) == 0 { maybe(rng, ()).map(|()| settings(rng)) } else { now.settings.clone() };
            Write::ChangeSettings { seen, to: settings(rng) }
        }
        3 => {
            let checkpoint = checkpoint_of_start(rng);
            Write::PinStart(FleetStart { checkpoint, at_ms: maybe(rng, 17) })
        }
        4 | 5 => {
            let leader = if rng.u8(0..5) == 0 { None } else { now.leader.clone() };
            let failover_time = Duration::from_millis(rng.u64(1..99));
            Write::TakeTerm { term, heartbeat, leader, me: (worker(rng), rng.u64(0..4)), failover_time }
        }
        6 | 7 => Write::FleetHeartbeat {
            term,
            heartbeat,
            leader_session_heartbeat: rng.u64(..=LARGEST_COUNTER),
            assignment_version: rng.u64(0..9),
        },
        8 => {
            let me = now.leader.clone().unwrap_or((worker(rng), 1));
            Write::Resign { term, me: (me.0, near(rng, me.1)) }
        }
        _ => Write::DeleteFleet { term, heartbeat, wake: near(rng, now.wake), sessions: near(rng, now.sessions) },
    }
}

fn settings(rng: &mut Rng) -> FleetSettings {
    FleetSettings { shared: shared(rng), until_ms: maybe(rng, 17), set_by: worker(rng).to_string() }
}

fn shared(rng: &mut Rng) -> SharedSettings {
    let balance_by = if rng.bool() { BalanceBy::Bytes } else { BalanceBy::Leases };
    SharedSettings { failover_time: Duration::from_millis(rng.u64(1..9)), balance_by }
}

fn profile(rng: &mut Rng) -> WorkerProfile {
    let process = maybe(rng, ()).map(|()| ProcessId {
        host: "pod-1".to_owned(),
        id: rng.u32(..),
        started_at_ms: rng.i64(0..9_999),
        kernel: maybe(rng, "boot/4026531836/77".to_owned()),
    });
    WorkerProfile { settings: maybe(rng, ()).map(|()| shared(rng)), adopted: rng.bool(), process }
}

fn session(rng: &mut Rng, model: &Model) -> Write {
    let worker = worker(rng);
    let now = model.get(&RowKey::Session(worker.clone())).and_then(Row::as_session);
    let (number, heartbeat) = now.map_or((1, 0), |now| (now.number, now.heartbeat));
    let (number, heartbeat) = (near(rng, number), near(rng, heartbeat));
    match rng.u8(0..8) {
        0 | 1 => {
            let (tag, capacity) = (rng.u64(..), maybe(rng, 40));
            let over = maybe(rng, now.map_or(1, |now| now.number));
            Write::Register { worker, number, tag, capacity, streams: streams(rng), profile: profile(rng), over }
        }
        2..5 => {
            let state = if rng.bool() { SessionState::Active } else { SessionState::Draining };
            let weights = rng.bool().then(|| weights(rng));
            Write::Heartbeat { worker, number, heartbeat, state, load: rng.u32(0..9), weights, streams: streams(rng) }
        }
        5 => Write::Fence { worker, number, heartbeat },
        6 => Write::EndSession { worker, number },
        _ => Write::DeleteSession { worker, number, own: rng.bool() },
    }
}

fn streams(rng: &mut Rng) -> Option<std::collections::BTreeSet<StreamId>> {
    maybe(rng, ()).map(|()| (0..rng.usize(0..3)).map(|n| StreamId::new(format!("1:s{n}:2"))).collect())
}

fn stream_row(rng: &mut Rng, model: &Model) -> Write {
    let id = StreamId::new(format!("1:s{}:2", rng.u8(0..2)));
    let now = model.get(&RowKey::Stream(id.clone())).and_then(Row::as_stream);
    let start = FleetStart { checkpoint: checkpoint_of_start(rng), at_ms: maybe(rng, 17) };
    let row = now.cloned().filter(|_| rng.u8(0..4) > 0).unwrap_or(StreamRow { id, start, filled: rng.bool() });
    match rng.u8(0..3) {
        0 => Write::PinStream(row),
        1 => Write::MarkStreamFilled(row.id),
        _ => Write::DeleteStream(row),
    }
}

fn checkpoint_of_start(rng: &mut Rng) -> Checkpoint {
    if rng.bool() { Checkpoint::Latest } else { Checkpoint::TrimHorizon }
}

fn weights(rng: &mut Rng) -> Weights {
    let measured = (0..rng.u32(0..4)).map(|n| (LeaseKey::new(format!("l{n}")), f64::from(rng.u32(0..1_000_000))));
    Weights::of(&measured.collect())
}

fn assignment(rng: &mut Rng, model: &Model) -> Write {
    let worker = worker(rng);
    let now = model.get(&RowKey::Assignment(worker.clone())).and_then(Row::as_assignment);
    let (term, version) = now.map_or((1, 1), |now| (now.term, now.version));
    let (term, version) = (near(rng, term), near(rng, version));
    if rng.u8(0..4) == 0 {
        return Write::DeleteAssignment { worker, term };
    }
    let acquires = (0..rng.usize(0..3))
        .map(|_| Acquire {
            lease: key(rng),
            owner: maybe(rng, ()).map(|()| owner(rng)),
            counter: rng.u64(0..9),
            mode: if rng.bool() { AcquireMode::Now } else { AcquireMode::After },
        })
        .collect();
    let yields = (0..rng.usize(0..3)).map(|_| Yield { lease: key(rng), counter: rng.u64(0..9) }).collect();
    let lists = streams(rng).unwrap_or_default().into_iter().collect();
    Write::Assignment(Assignment { worker, term, version, acquires, yields, lists })
}

fn key(rng: &mut Rng) -> LeaseKey {
    LeaseKey::new(format!("shardId-{:012}", rng.u8(0..4)))
}

fn owner(rng: &mut Rng) -> Owner {
    Owner { worker: worker(rng), session: maybe(rng, 3) }
}

fn stream(rng: &mut Rng) -> StreamIdentity {
    StreamIdentity { arn: "arn:aws:kinesis:us-east-1:123456789012:stream/orders".into(), created_at: rng.i64(0..3) }
}

fn checkpoint(rng: &mut Rng) -> Checkpoint {
    let digits = rng.u64(..).to_string();
    match (rng.u8(0..6), SequenceNumber::parse(digits)) {
        (0, _) | (_, Err(_)) => Checkpoint::TrimHorizon,
        (1, _) => Checkpoint::Latest,
        (2, _) => Checkpoint::AtTimestamp,
        (_, Ok(sequence_number)) => Checkpoint::At(Position { sequence_number, sub_sequence_number: rng.u64(0..3) }),
    }
}

fn extras(rng: &mut Rng) -> CheckpointExtras {
    let bytes = |rng: &mut Rng| (0..rng.usize(0..4)).map(|_| rng.u8(..)).collect();
    let parked = |rng: &mut Rng| QuarantinedKey {
        key: maybe(rng, "key".to_owned()),
        positions: (0..rng.usize(1..3)).filter_map(|_| position(rng)).collect(),
        attempts: rng.u32(..),
        error: String::new(),
        arrived_at_ms: rng.i64(..),
        wish: maybe(rng, ())
            .map(|()| if rng.bool() { QuarantineRequest::Resume } else { QuarantineRequest::DeadLetter }),
        refused: maybe(rng, "no sink".to_owned()),
    };
    CheckpointExtras {
        pending: maybe(rng, ())
            .map(|()| Pending { checkpoint: checkpoint(rng), state: maybe(rng, ()).map(|()| bytes(rng)) }),
        done: maybe(rng, ()).map(|()| bytes(rng)),
        parked: (0..rng.usize(0..3)).map(|_| parked(rng)).collect(),
        unreadable_by: (0..rng.usize(0..3)).filter_map(|n| WorkerId::parse(format!("w{n}")).ok()).collect(),
    }
}

fn position(rng: &mut Rng) -> Option<Position> {
    let sequence_number = SequenceNumber::parse(rng.u64(..).to_string()).ok()?;
    Some(Position { sequence_number, sub_sequence_number: rng.u64(0..3) })
}

fn lease(rng: &mut Rng, model: &Model) -> Write {
    let lease = key(rng);
    let Some(now) = model.get(&RowKey::Lease(lease.clone())).and_then(Row::as_lease) else {
        return create(rng, &lease);
    };
    let counter = near(rng, now.counter);
    let me: (WorkerId, SessionNumber) = match &now.owner {
        Some(owner) if rng.u8(0..6) > 0 => (owner.worker.clone(), near(rng, owner.session.unwrap_or(1))),
        Some(_) | None => (worker(rng), rng.u64(0..4)),
    };
    match rng.u8(0..15) {
        0 => create(rng, &lease),
        14 => {
            let checkpoint = if rng.u8(0..4) == 0 { checkpoint(rng) } else { now.checkpoint.clone() };
            let start_ms = if rng.u8(0..4) == 0 { maybe(rng, 17) } else { now.start_ms };
            Write::DeleteUnread { lease, counter, checkpoint, start_ms }
        }
        13 => Write::QuarantineRequest { lease, counter, parked: extras(rng).parked },
        12 => Write::ClearOwner { lease, counter, from: me },
        1..5 => {
            let from = if rng.u8(0..5) == 0 { maybe(rng, ()).map(|()| owner(rng)) } else { now.owner.clone() };
            let me = (worker(rng), rng.u64(0..4));
            Write::Claim {
                lease,
                counter,
                from: PreviousOwner::from(from),
                me,
                stream: stream(rng),
                start_ms: maybe(rng, 99),
            }
        }
        5..8 => Write::Checkpoint { lease, me, counter, checkpoint: checkpoint(rng), extras: extras(rng) },
        8..10 => Write::Release { lease, me, counter, checkpoint: checkpoint(rng), extras: extras(rng) },
        10 => {
            let children = (0..rng.usize(0..3)).map(|n| ShardId::new(format!("shardId-{n:012}"))).collect();
            Write::ShardEnd { lease, me, counter, children }
        }
        _ => Write::DeleteLease { lease, counter },
    }
}

fn create(rng: &mut Rng, key: &LeaseKey) -> Write {
    let mut lease = Lease::unowned(ShardId::new(key.as_str()), checkpoint(rng));
    lease.counter = rng.u64(0..3);
    lease.kcl_counter = maybe(rng, lease.counter);
    lease.start_ms = maybe(rng, 17);
    lease.stream = maybe(rng, ()).map(|()| stream(rng));
    if rng.u8(0..4) == 0 {
        lease.owner = Some(owner(rng));
    }
    Write::CreateLease(Box::new(lease))
}
