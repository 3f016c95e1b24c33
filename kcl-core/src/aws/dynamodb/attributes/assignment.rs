//! Encodes assignment rows: `assignment/<worker>`, `entityType` KCL_ASSIGNMENT. Acquires and yields
//! are lists of maps with short names, because a row has up to 500 of them.

use super::field::{Damage, Fields, required};
use super::{Item, flag, name, number, text, text_set, worker_after};
use crate::lease::{Acquire, AcquireMode, Assignment, LeaseKey, Owner, RowKey, WorkerId, Yield};
use crate::record::StreamId;
use aws_sdk_dynamodb::types::AttributeValue;

pub(super) fn encode(assignment: &Assignment) -> Item {
    let mut item = super::key(&RowKey::Assignment(assignment.worker.clone()));
    item.extend([
        (name::ENTITY_TYPE.to_owned(), text(name::ASSIGNMENT)),
        (name::TERM.to_owned(), number(assignment.term)),
        (name::VERSION.to_owned(), number(assignment.version)),
        (name::ACQUIRES.to_owned(), AttributeValue::L(assignment.acquires.iter().map(encode_acquire).collect())),
        (name::YIELDS.to_owned(), AttributeValue::L(assignment.yields.iter().map(encode_yield).collect())),
    ]);
    item.extend(text_set(&assignment.lists).map(|lists| (name::LISTS.to_owned(), lists)));
    item
}

fn encode_acquire(acquire: &Acquire) -> AttributeValue {
    let owner = acquire.owner.as_ref();
    let attributes: [(&str, Option<AttributeValue>); 5] = [
        (name::ENTRY_LEASE, Some(text(acquire.lease.as_str()))),
        (name::ENTRY_COUNTER, Some(number(acquire.counter))),
        (name::ENTRY_OWNER, owner.map(|owner| text(owner.worker.as_str()))),
        (name::ENTRY_SESSION, owner.and_then(|owner| owner.session).map(number)),
        (name::ENTRY_AFTER, (acquire.mode == AcquireMode::After).then(|| flag(true))),
    ];
    AttributeValue::M(attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

fn encode_yield(entry: &Yield) -> AttributeValue {
    AttributeValue::M(Item::from([
        (name::ENTRY_LEASE.to_owned(), text(entry.lease.as_str())),
        (name::ENTRY_COUNTER.to_owned(), number(entry.counter)),
    ]))
}

pub(super) fn decode(key: &str, fields: Fields<'_>) -> Result<Assignment, Damage> {
    Ok(Assignment {
        worker: worker(key)?,
        term: required(name::TERM, fields.counter(name::TERM)?)?,
        version: required(name::VERSION, fields.counter(name::VERSION)?)?,
        acquires: fields.maps(name::ACQUIRES)?.into_iter().map(decode_acquire).collect::<Result<_, _>>()?,
        yields: fields.maps(name::YIELDS)?.into_iter().map(decode_yield).collect::<Result<_, _>>()?,
        lists: fields.text_set(name::LISTS)?.into_iter().map(StreamId::new).collect(),
    })
}

fn decode_acquire(entry: Fields<'_>) -> Result<Acquire, Damage> {
    let owner = match entry.text(name::ENTRY_OWNER)? {
        Some(worker) => {
            Some(Owner { worker: WorkerId::from_row(worker), session: entry.counter(name::ENTRY_SESSION)? })
        }
        None => None,
    };
    let after = entry.flag(name::ENTRY_AFTER)?;
    Ok(Acquire {
        lease: entry_lease(entry)?,
        owner,
        counter: entry_counter(entry)?,
        mode: if after { AcquireMode::After } else { AcquireMode::Now },
    })
}

fn decode_yield(entry: Fields<'_>) -> Result<Yield, Damage> {
    Ok(Yield { lease: entry_lease(entry)?, counter: entry_counter(entry)? })
}

fn entry_lease(entry: Fields<'_>) -> Result<LeaseKey, Damage> {
    required(name::ENTRY_LEASE, entry.text(name::ENTRY_LEASE)?).map(LeaseKey::new)
}

fn entry_counter(entry: Fields<'_>) -> Result<u64, Damage> {
    required(name::ENTRY_COUNTER, entry.counter(name::ENTRY_COUNTER)?)
}

pub(super) fn worker(key: &str) -> Result<WorkerId, Damage> {
    worker_after("assignment/", key)
}
