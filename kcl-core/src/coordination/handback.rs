//! Restores a plain KCL table after a fleet that did not stop cleanly, as the last worker would
//! have done.
//!
//! What remains are leases in KCL's own format, without owners, at the stored checkpoints. Our
//! attributes stay on them: `kclStream` shows a later start whose table it is, `kclCounter` shows
//! whether an external writer changed the lease, and `kclStart` completes sentinels. Every KCL
//! ignores attributes that it does not know.

use super::cleanup::clearing;
use super::quarantine;
use super::retry::{read_table, until_answered};
use super::staleness::{Contact, StalenessTimer};
use crate::clock::{BootClock, Clock, Time};
use crate::error::{Code, Error};
use crate::lease::row::{Fleet, Lease, Owner, Session, SessionNumber, WorkerId};
use crate::lease::{Consistency, LeaseStore, PreviousOwner, Row, RowKey, Table, Write, Written};
use crate::record::Checkpoint;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The pause between two reads of sessions that may be alive.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A longer time without an answer voids the evidence that a session is dead.
const LONGEST_GAP: Duration = Duration::from_secs(3);
/// The owner of a lease between its claim from the dead worker and its release.
const HANDING_BACK: &str = "handback";

/// Options of [`handback`].
#[derive(Clone, Debug)]
pub struct HandbackOptions {
    failover_time: Duration,
    dry_run: bool,
    leave_quarantined: bool,
    clock: Arc<dyn Clock>,
}

impl Default for HandbackOptions {
    fn default() -> Self {
        HandbackOptions {
            failover_time: Duration::from_secs(10),
            dry_run: false,
            leave_quarantined: false,
            clock: Arc::new(BootClock),
        }
    }
}

impl HandbackOptions {
    /// The fleet's `failover_time`, for session rows of earlier versions that do not say it; 10 s if not set. A worker whose
    /// heartbeat does not change for this time is treated as dead.
    #[must_use]
    pub fn failover_time(mut self, time: Duration) -> Self {
        self.failover_time = time;
        self
    }

    /// Reports the plan and changes nothing.
    #[must_use]
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Hands the table back although keys are quarantined. The next consumer skips their records.
    #[must_use]
    pub fn leave_quarantined(mut self, leave: bool) -> Self {
        self.leave_quarantined = leave;
        self
    }

    /// The clock that heartbeats are timed by; time since boot if not set.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

/// The progress of a handback.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandbackProgress {
    /// These workers have not ended their sessions. Whether they are alive is known within this
    /// time.
    Watching {
        /// Their ids.
        workers: Vec<String>,
        /// The longest time that this takes.
        within: Duration,
    },
    /// A lease of a dead worker was released.
    Released {
        /// Its key.
        lease: String,
        /// The dead worker.
        owner: String,
    },
    /// A row that only this library uses was deleted.
    Removed {
        /// Its key.
        key: String,
    },
}

/// What was done, or, in a dry run, would be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handback {
    /// Leases that were released, with the dead workers that owned them.
    pub released: Vec<(String, String)>,
    /// Rows that were deleted.
    pub removed: Vec<String>,
    /// Leases that an external writer (Java KCL) owns, which were left unchanged.
    pub external: Vec<String>,
    /// Leases with quarantined keys, whose records other consumers skip.
    pub quarantined: Vec<String>,
    /// Unfinished leases at LATEST or AT_TIMESTAMP. KCL does not know the instant that this library
    /// had pinned and starts anew, so it skips the records that arrived in between.
    pub at_sentinel: Vec<String>,
}

/// Removes from a lease table what only this library uses, so that any KCL (1.x, 2.x, 3.x) can
/// continue from it. A fleet that stops cleanly does this itself; call this after a crash. It may
/// be repeated.
///
/// `told` is called with the progress.
///
/// # Errors
/// A worker of the fleet is alive or joins meanwhile (its leases are not affected), the table has a
/// newer format, a row cannot be read, or the table does not answer.
///
/// # Cancellation
/// Completed steps stay; a later call continues.
///
/// # Examples
#[cfg_attr(feature = "aws", doc = "```no_run")]
#[cfg_attr(not(feature = "aws"), doc = "```ignore")]
/// use kcl_core::aws::{Clients, DynamoDbStore};
/// use kcl_core::operator::{HandbackOptions, handback};
///
/// # async fn example() -> Result<(), kcl_core::Error> {
/// let table = DynamoDbStore::new(Clients::from_environment().await?.dynamodb, "delays");
/// let options = HandbackOptions::default().dry_run(true);
/// let planned = handback(&table, &options, |progress| println!("{progress:?}")).await?;
/// println!("leases to release: {:?}", planned.released);
/// # Ok(())
/// # }
/// ```
pub async fn handback(
    store: &dyn LeaseStore,
    options: &HandbackOptions,
    mut told: impl FnMut(HandbackProgress),
) -> Result<Handback, Error> {
    let table = read_table(store).await?;
    readable(&table)?;
    let in_quarantine = quarantine::of_table(&table);
    if !in_quarantine.is_empty() && !options.leave_quarantined && !options.dry_run {
        return Err(quarantine::refusal(&in_quarantine));
    }
    let watched = watch(store, options.clock.as_ref(), &table, options.failover_time, &mut told).await?;
    if options.dry_run {
        return Ok(planned(&table));
    }
    for Session { worker, number, heartbeat, .. } in watched {
        let fence = Write::Fence { worker: worker.clone(), number, heartbeat };
        if let Written::Refused(Some(Row::Session(session))) = write(store, &fence).await?
            && !session.state.has_ended()
        {
            return Err(lives(&worker));
        }
    }
    let me = draw(store).await?;
    // Read only now, because writes that the dead workers had sent may have changed the counters
    // since the first read.
    let table = read_table(store).await?;
    let mut done = Handback {
        external: foreign(&table),
        quarantined: in_quarantine.into_iter().map(|parked| parked.lease).collect(),
        at_sentinel: at_sentinel(&table),
        ..Handback::default()
    };
    for lease in owned(&table) {
        if let Some(owner) = release(store, lease, me).await? {
            let (lease, owner) = (lease.key.to_string(), owner.worker.to_string());
            told(HandbackProgress::Released { lease: lease.clone(), owner: owner.clone() });
            done.released.push((lease, owner));
        }
    }
    for removal in clearing(&table, None) {
        let key = name(&removal.key());
        match write(store, &removal).await? {
            Written::Applied(_) | Written::Refused(None) => {
                told(HandbackProgress::Removed { key: key.clone() });
                done.removed.push(key);
            }
            Written::Refused(Some(_)) => return Err(joined(&key)),
        }
    }
    Ok(done)
}

/// Checks that every row can be read.
fn readable(table: &Table) -> Result<(), Error> {
    if let Some(why) = table.fleet.as_ref().and_then(Fleet::is_too_new) {
        return Err(Error::new(Code::TableFormat, format!("the table {why}")));
    }
    match table.damaged.first() {
        Some(damaged) => {
            let message = format!(
                "row `{}` cannot be read ({}): mend or delete it by hand, then try again",
                name(&damaged.key),
                damaged.why
            );
            Err(Error::new(Code::TableUnusable, message))
        }
        None => Ok(()),
    }
}

/// Watches the sessions that have not ended until each has proved to be alive or dead.
async fn watch(
    store: &dyn LeaseStore,
    clock: &dyn Clock,
    table: &Table,
    failover_time: Duration,
    told: &mut impl FnMut(HandbackProgress),
) -> Result<Vec<Session>, Error> {
    let open: Vec<Session> = table.sessions.iter().filter(|session| !session.state.has_ended()).cloned().collect();
    if open.is_empty() {
        return Ok(open);
    }
    let workers = open.iter().map(|session| session.worker.to_string()).collect();
    // Each session is timed by its own worker's `failover_time`, in which only four heartbeats
    // come.
    let times: BTreeMap<&WorkerId, Duration> =
        open.iter().map(|session| (&session.worker, session.failover_time(failover_time))).collect();
    let within = times.values().copied().max().unwrap_or(failover_time);
    told(HandbackProgress::Watching { workers, within });
    let now = clock.now();
    let mut contact = Contact::new(LONGEST_GAP);
    contact.answered(now);
    let mut silences: BTreeMap<WorkerId, StalenessTimer<(SessionNumber, u64)>> =
        open.iter().map(|s| (s.worker.clone(), StalenessTimer::new((s.number, s.heartbeat), now))).collect();
    let keys: Vec<RowKey> = open.iter().map(|session| RowKey::Session(session.worker.clone())).collect();
    while silences
        .iter()
        .any(|(worker, staleness)| times.get(worker).is_none_or(|time| staleness.lasted(&contact) < *time))
    {
        sleep(LOOK_EVERY).await;
        for keys in keys.chunks(100) {
            let Ok(rows) = store.read(keys, Consistency::Strong).await else { continue };
            contact.answered(clock.now());
            look(&rows, &mut silences, clock.now())?;
        }
    }
    Ok(open)
}

/// Evaluates one read. A changed heartbeat is a sign of life.
fn look(
    rows: &[Option<Row>],
    silences: &mut BTreeMap<WorkerId, StalenessTimer<(SessionNumber, u64)>>,
    now: Time,
) -> Result<(), Error> {
    for session in rows.iter().flatten().filter_map(Row::as_session) {
        let Some(staleness) = silences.get_mut(&session.worker) else { continue };
        if session.state.has_ended() {
            silences.remove(&session.worker);
        } else if (session.number, session.heartbeat) != *staleness.value() {
            return Err(lives(&session.worker));
        } else {
            staleness.look(&(session.number, session.heartbeat), now);
        }
    }
    Ok(())
}

/// Unfinished leases that sessions of ours own.
fn owned(table: &Table) -> impl Iterator<Item = &Lease> {
    let ours = |lease: &&Lease| {
        let session = lease.owner.as_ref().and_then(|owner| owner.session);
        session.is_some()
            && !lease.was_written_externally()
            && !lease.checkpoint.is_shard_end()
            && lease.stream.is_some()
    };
    table.leases.iter().filter(ours)
}

fn foreign(table: &Table) -> Vec<String> {
    let foreign = table.leases.iter().filter(|lease| lease.owner.is_some() && lease.was_written_externally());
    foreign.map(|lease| lease.key.to_string()).collect()
}

fn at_sentinel(table: &Table) -> Vec<String> {
    let sentinel = |lease: &&Lease| matches!(lease.checkpoint, Checkpoint::Latest | Checkpoint::AtTimestamp);
    table.leases.iter().filter(sentinel).map(|lease| lease.key.to_string()).collect()
}

fn planned(table: &Table) -> Handback {
    let owner = |lease: &Lease| lease.owner.as_ref().map(|owner| owner.worker.to_string()).unwrap_or_default();
    Handback {
        released: owned(table).map(|lease| (lease.key.to_string(), owner(lease))).collect(),
        removed: clearing(table, None).iter().map(|removal| name(&removal.key())).collect(),
        external: foreign(table),
        quarantined: quarantine::of_table(table).into_iter().map(|parked| parked.lease).collect(),
        at_sentinel: at_sentinel(table),
    }
}

/// Takes a session number above all others, so that a worker that joins later gets a higher one.
async fn draw(store: &dyn LeaseStore) -> Result<SessionNumber, Error> {
    match write(store, &Write::NextSessionNumber).await? {
        Written::Applied(Some(Row::Fleet(fleet))) => Ok(fleet.sessions),
        Written::Applied(_) | Written::Refused(_) => Ok(SessionNumber::MAX),
    }
}

/// Claims a lease from its dead owner and releases it, at its position.
async fn release(store: &dyn LeaseStore, lease: &Lease, number: SessionNumber) -> Result<Option<Owner>, Error> {
    let (Some(owner), Some(stream)) = (lease.owner.clone(), lease.stream.clone()) else { return Ok(None) };
    let me = (WorkerId::from_row(HANDING_BACK), number);
    let claim = Write::Claim {
        lease: lease.key.clone(),
        counter: lease.counter,
        from: PreviousOwner::Owned(owner.clone()),
        me: me.clone(),
        stream,
        start_ms: None,
    };
    let held = match write(store, &claim).await? {
        Written::Applied(Some(Row::Lease(held))) => held,
        // An earlier attempt, which got no answer, was applied.
        Written::Refused(Some(Row::Lease(row))) if row.is_held_by(&me.0, me.1) => row,
        Written::Applied(_) | Written::Refused(_) => return Err(joined(lease.key.as_str())),
    };
    let (key, counter, checkpoint) = (held.key.clone(), held.counter, held.checkpoint.clone());
    let release = Write::Release { lease: key, me, counter, checkpoint, extras: held.extras };
    match write(store, &release).await? {
        Written::Applied(_) => Ok(Some(owner)),
        Written::Refused(Some(Row::Lease(row))) if row.owner.is_none() => Ok(Some(owner)),
        Written::Refused(_) => Err(joined(lease.key.as_str())),
    }
}

async fn write(store: &dyn LeaseStore, write: &Write) -> Result<Written, Error> {
    until_answered(|| store.write(write)).await
}

fn lives(worker: &WorkerId) -> Error {
    Error::new(
        Code::FleetLives,
        format!(
            "worker `{worker}` lives: stop the whole fleet first (a fleet that stops cleanly hands its table back itself)"
        ),
    )
}

fn joined(key: &str) -> Error {
    Error::new(
        Code::FleetLives,
        format!(
            "`{key}` changed meanwhile: a worker has started on this table. Nothing of it was harmed; stop it first"
        ),
    )
}

fn name(key: &RowKey) -> String {
    key.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TokioClock;
    use crate::lease::MemoryStore;
    use crate::lease::row::SessionState;
    use crate::record::{ShardId, StreamIdentity};

    fn worker(id: &str) -> WorkerId {
        WorkerId::parse(id).unwrap()
    }

    fn session(id: &str, number: u64, state: SessionState) -> Row {
        Row::Session(Session {
            worker: worker(id),
            number,
            tag: 0,
            heartbeat: 7,
            state,
            capacity: None,
            load: 1,
            weights: None,
            streams: None,
            profile: crate::lease::WorkerProfile::default(),
        })
    }

    fn lease(n: u32, owner: Option<(&str, u64)>, checkpoint: Checkpoint) -> Row {
        let shard = ShardId::from(format!("shardId-{n:012}").as_str());
        let stream = StreamIdentity { arn: "arn:aws:kinesis:us-east-1:000000000000:stream/s".into(), created_at: 1 };
        Row::Lease(Lease {
            owner: owner.map(|(id, number)| Owner { worker: worker(id), session: Some(number) }),
            counter: 4,
            kcl_counter: Some(4),
            stream: Some(stream),
            ..Lease::unowned(shard, checkpoint)
        })
    }

    /// The table of a fleet of two whose processes were killed.
    fn crashed() -> MemoryStore {
        let fleet = Fleet { leader: Some((worker("a"), 1)), ..Fleet::above(3, 2, true) };
        let plan = crate::lease::row::Assignment {
            worker: worker("a"),
            term: 4,
            version: 2,
            acquires: vec![],
            yields: vec![],
            lists: vec![],
        };
        MemoryStore::of([
            Row::Fleet(fleet),
            Row::Assignment(plan),
            session("a", 1, SessionState::Active),
            session("b", 2, SessionState::Left),
            lease(0, Some(("a", 1)), Checkpoint::TrimHorizon),
            lease(1, None, Checkpoint::Latest),
            lease(2, None, Checkpoint::ShardEnd),
        ])
    }

    async fn hand(store: &MemoryStore, dry_run: bool) -> Result<Handback, Error> {
        let options = HandbackOptions::default().dry_run(dry_run).with_clock(Arc::new(TokioClock::new()));
        handback(store, &options, |_| {}).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_a_plain_table_at_the_same_positions() {
        let store = crashed();
        let done = hand(&store, false).await.unwrap();
        assert_eq!(done.released, [("shardId-000000000000".to_owned(), "a".to_owned())]);
        assert_eq!(done.removed, ["assignment/a", "session/a", "session/b", "fleet"]);
        assert_eq!(done.at_sentinel, ["shardId-000000000001"]);
        let table = store.table();
        assert!(table.sessions.is_empty() && table.assignments.is_empty() && table.fleet.is_none());
        let left: Vec<_> = table.leases.iter().map(|lease| (lease.owner.clone(), lease.checkpoint.clone())).collect();
        let wanted = [Checkpoint::TrimHorizon, Checkpoint::Latest, Checkpoint::ShardEnd].map(|at| (None, at));
        assert_eq!(left, wanted);
        assert!(table.leases.iter().all(|lease| !lease.was_written_externally()), "a later start finds them as ours");
        assert_eq!(hand(&store, false).await.unwrap().removed, [""; 0], "again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dry_run_tells_the_same_and_changes_nothing() {
        let (store, before) = (crashed(), crashed().table());
        let told = hand(&store, true).await.unwrap();
        assert_eq!(store.table(), before);
        assert_eq!(told, hand(&store, false).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn keys_in_quarantine_are_not_left_to_who_would_skip_them_unless_that_is_wanted() {
        let store = crashed();
        let mut table = store.table();
        let lease = table.leases.iter_mut().find(|lease| !lease.checkpoint.is_shard_end()).unwrap();
        let parked = crate::lease::QuarantinedKey {
            key: Some("UA".to_owned()),
            positions: Vec::new(),
            attempts: 1,
            error: String::new(),
            arrived_at_ms: 1,
            wish: None,
            refused: None,
        };
        lease.extras.parked = vec![parked];
        store.put(Row::Lease(lease.clone()));
        let before = store.table();
        let error = hand(&store, false).await.unwrap_err();
        assert!(error.code() == Code::Quarantined && error.to_string().contains("UA"), "{error}");
        assert_eq!(store.table(), before);
        let options = HandbackOptions::default().leave_quarantined(true).with_clock(Arc::new(TokioClock::new()));
        let done = handback(&store, &options, |_| {}).await.unwrap();
        assert_eq!((done.quarantined.len(), store.table().fleet), (1, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_fleet_that_lives_is_left_alone() {
        let store = std::sync::Arc::new(crashed());
        let beating = store.clone();
        tokio::spawn(async move {
            for heartbeat in 7.. {
                sleep(Duration::from_millis(2_500)).await;
                let (worker, state) = (worker("a"), SessionState::Active);
                beating.apply(&Write::Heartbeat {
                    worker,
                    number: 1,
                    heartbeat,
                    state,
                    load: 1,
                    weights: None,
                    streams: None,
                });
            }
        });
        let before = store.table();
        let error = hand(&store, false).await.unwrap_err();
        assert!(error.to_string().contains("worker `a` lives"), "{error}");
        assert_eq!(store.table().leases, before.leases);
        assert_eq!(store.table().sessions.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_with_a_long_failover_time_is_given_as_long_to_show_that_it_lives() {
        use crate::lease::row::{SharedSettings, WorkerProfile};
        let store = std::sync::Arc::new(crashed());
        let shared =
            SharedSettings { failover_time: Duration::from_secs(60), balance_by: crate::config::BalanceBy::Leases };
        let Row::Session(slow) = session("a", 1, SessionState::Active) else { panic!("a session's row") };
        let profile = WorkerProfile { settings: Some(shared), ..WorkerProfile::default() };
        store.put(Row::Session(Session { profile, ..slow }));
        let beating = store.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(15)).await;
            let (worker, state) = (worker("a"), SessionState::Active);
            beating.apply(&Write::Heartbeat {
                worker,
                number: 1,
                heartbeat: 7,
                state,
                load: 1,
                weights: None,
                streams: None,
            });
        });
        let error = hand(&store, false).await.unwrap_err();
        assert!(error.to_string().contains("worker `a` lives"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_joins_meanwhile_is_not_harmed() {
        let store = std::sync::Arc::new(crashed());
        let joining = store.clone();
        // Between the deletion of the assignments and that of the fleet row.
        let options = HandbackOptions::default().with_clock(Arc::new(TokioClock::new()));
        let outcome = handback(store.as_ref(), &options, |progress| {
            if matches!(progress, HandbackProgress::Removed { .. }) && joining.table().sessions.len() == 2 {
                joining.apply(&Write::NextSessionNumber);
                joining.apply(&Write::Register {
                    worker: worker("c"),
                    number: 4,
                    tag: 1,
                    capacity: None,
                    streams: None,
                    profile: crate::lease::WorkerProfile::default(),
                    over: None,
                });
            }
        });
        let error = outcome.await.unwrap_err();
        assert_eq!(error.code(), Code::FleetLives, "{error}");
        let table = store.table();
        assert!(table.fleet.is_some(), "what it needs is there");
        assert_eq!(table.sessions.iter().map(|s| s.worker.as_str()).collect::<Vec<_>>(), ["c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_newer_format_and_a_row_that_cannot_be_read_are_refused() {
        let store = crashed();
        store.put(Row::Fleet(Fleet { format: Fleet::FORMAT + 1, ..Fleet::above(3, 2, true) }));
        assert_eq!(hand(&store, false).await.unwrap_err().code(), Code::TableFormat);
        let store = crashed();
        let key = RowKey::Session(worker("a"));
        store.put(Row::Damaged(crate::lease::row::Damaged {
            key,
            why: "`number` is missing".to_owned(),
            fingerprint: Vec::new(),
        }));
        let error = hand(&store, false).await.unwrap_err().to_string();
        assert!(error.contains("`session/a`") && error.contains("`number` is missing"), "{error}");
    }
}
