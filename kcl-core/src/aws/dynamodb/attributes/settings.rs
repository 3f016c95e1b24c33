//! Encodes the settings that all workers must agree on, in session rows and in the fleet row.

use super::field::{Damage, Fields};
use super::{Item, flag, name, number, text};
use crate::config::{BalanceBy, timing};
use crate::lease::{FleetSettings, ProcessId, SharedSettings, WorkerProfile};
use aws_sdk_dynamodb::types::AttributeValue;
use std::time::Duration;

/// Encodes a time in whole milliseconds, rounded up: an observer must never wait for a shorter time
/// than the owner uses.
pub(in super::super) fn millis(time: Duration) -> AttributeValue {
    number(time.as_nanos().div_ceil(1_000_000))
}

/// The `balanceBy` attribute.
pub(in super::super) fn balance_text(by: BalanceBy) -> AttributeValue {
    text(by.as_str())
}

pub(super) fn encode_shared(shared: &SharedSettings) -> [(String, AttributeValue); 2] {
    [
        (name::FAILOVER_TIME.to_owned(), millis(shared.failover_time)),
        (name::BALANCE_BY.to_owned(), balance_text(shared.balance_by)),
    ]
}

/// Decodes both settings, or none: rows of earlier versions have neither.
pub(super) fn shared(fields: Fields<'_>) -> Result<Option<SharedSettings>, Damage> {
    let Some(failover_time) = failover_time(name::FAILOVER_TIME, fields)? else { return Ok(None) };
    let balance_by = match fields.text(name::BALANCE_BY)? {
        None | Some("leases") => BalanceBy::Leases,
        Some("bytes") => BalanceBy::Bytes,
        Some(other) => {
            return Err(Damage(format!("`{}` is `{other}`, not `leases` or `bytes`", name::BALANCE_BY)));
        }
    };
    Ok(Some(SharedSettings { failover_time, balance_by }))
}

/// Decodes a `failover_time` in milliseconds.
pub(super) fn failover_time(name: &str, fields: Fields<'_>) -> Result<Option<Duration>, Damage> {
    let Some(millis) = fields.number::<u64>(name)? else { return Ok(None) };
    let time = Duration::from_millis(millis);
    if time.is_zero() || time > timing::LONGEST_FAILOVER_TIME {
        return Err(Damage(format!("`{name}` is {millis}, not a time in milliseconds of up to 24 hours")));
    }
    Ok(Some(time))
}

pub(super) fn encode_fleet(settings: &FleetSettings) -> Item {
    let mut item = Item::from(encode_shared(&settings.shared));
    item.extend(settings.until_ms.map(|until| (name::UNTIL.to_owned(), number(until))));
    item.insert(name::SET_BY.to_owned(), text(&settings.set_by));
    item
}

pub(super) fn fleet(fields: Fields<'_>) -> Result<Option<FleetSettings>, Damage> {
    let Some(shared) = shared(fields)? else { return Ok(None) };
    let set_by = fields.text(name::SET_BY)?.unwrap_or_default().to_owned();
    Ok(Some(FleetSettings { shared, until_ms: fields.number(name::UNTIL)?, set_by }))
}

pub(super) fn encode_profile(profile: &WorkerProfile) -> Item {
    let mut item = Item::new();
    item.extend(profile.settings.iter().flat_map(encode_shared));
    item.extend(profile.adopted.then(|| (name::ADOPTED.to_owned(), flag(true))));
    if let Some(process) = &profile.process {
        item.insert(name::HOST.to_owned(), text(&process.host));
        item.insert(name::PROCESS.to_owned(), number(process.id));
        item.insert(name::STARTED_AT.to_owned(), number(process.started_at_ms));
        item.extend(process.kernel.as_ref().map(|kernel| (name::KERNEL.to_owned(), text(kernel))));
    }
    item
}

pub(super) fn profile(fields: Fields<'_>) -> Result<WorkerProfile, Damage> {
    Ok(WorkerProfile { settings: shared(fields)?, adopted: fields.flag(name::ADOPTED)?, process: process(fields) })
}

/// Decodes the process. Only operators and faster restarts need it, so an invalid one is ignored and
/// the session stays valid.
fn process(fields: Fields<'_>) -> Option<ProcessId> {
    Some(ProcessId {
        host: fields.text(name::HOST).ok()??.to_owned(),
        id: fields.number(name::PROCESS).ok()??,
        started_at_ms: fields.number(name::STARTED_AT).ok().flatten().unwrap_or(0),
        kernel: fields.text(name::KERNEL).ok().flatten().map(str::to_owned),
    })
}
