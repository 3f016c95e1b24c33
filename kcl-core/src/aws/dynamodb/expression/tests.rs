//! Tests the text of requests, and DynamoDB's rules for all requests.

use super::*;
use crate::aws::dynamodb::attributes::{number, text};
use crate::lease::conformance::random_write;
use crate::lease::{CheckpointExtras, LeaseKey, Owner, PreviousOwner, RowKey, WorkerId};
use crate::record::{Checkpoint, StreamIdentity};
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::{BTreeMap, BTreeSet};

fn me() -> (WorkerId, u64) {
    (WorkerId::from_row("me"), 9)
}

fn values(request: &Request) -> BTreeMap<&str, &AttributeValue> {
    request.values.iter().flatten().map(|(name, value)| (name.as_str(), value)).collect()
}

fn update(request: &Request) -> &str {
    match &request.action {
        Action::Update { update, .. } => update,
        Action::Put(_) | Action::Delete { .. } => panic!("no update: {request:?}"),
    }
}

#[test]
fn a_claim_names_the_previous_owner_and_ends_javas_handoff() {
    let from = PreviousOwner::Owned(Owner { worker: WorkerId::from_row("java"), session: None });
    let stream = StreamIdentity { arn: "arn".into(), created_at: 3 };
    let claim =
        request(&Write::Claim { lease: LeaseKey::new("s"), counter: 7, from, me: me(), stream, start_ms: Some(5) });
    assert_eq!(
        claim.condition,
        "#leaseCounter = :is_leaseCounter AND #checkpoint <> :is_checkpoint AND #leaseOwner = :is_leaseOwner AND \
         attribute_not_exists(#kclSession)"
    );
    assert_eq!(
        update(&claim),
        "SET #leaseCounter = :leaseCounter, #kclCounter = :kclCounter, #leaseOwner = :leaseOwner, \
         #kclSession = :kclSession, #kclStream = if_not_exists(#kclStream, :kclStream), #kclStart = :kclStart ADD #ownerSwitchesSinceCheckpoint :one \
         REMOVE #checkpointOwner"
    );
    let values = values(&claim);
    assert_eq!(values[":is_leaseCounter"], &number(7));
    assert_eq!(values[":leaseCounter"], &number(8));
    assert_eq!(values[":kclCounter"], &number(8));
    assert_eq!(values[":is_checkpoint"], &text("SHARD_END"));
    assert_eq!(values[":is_leaseOwner"], &text("java"));
    assert_eq!(values[":leaseOwner"], &text("me"));
    assert_eq!(values[":kclStream"], &text("arn@3"));
}

#[test]
fn a_checkpoint_removes_javas_pending_checkpoint() {
    let write = Write::Checkpoint {
        lease: LeaseKey::new("s"),
        me: me(),
        counter: 7,
        checkpoint: Checkpoint::TrimHorizon,
        extras: CheckpointExtras::default(),
    };
    let checkpoint = request(&write);
    assert_eq!(
        checkpoint.condition,
        "#leaseCounter = :is_leaseCounter AND #checkpoint <> :is_checkpoint AND #leaseOwner = :is_leaseOwner AND \
         #kclSession = :is_kclSession"
    );
    assert!(update(&checkpoint).ends_with(
        "REMOVE #pendingCheckpoint, #pendingCheckpointSubSequenceNumber, #pendingCheckpointState, #kclCompleted, #kclQuarantined, \
         #kclUnreadableBy"
    ));
}

#[test]
fn a_release_is_a_checkpoint_that_removes_the_owner() {
    let write = Write::Release {
        lease: LeaseKey::new("s"),
        me: me(),
        counter: 7,
        checkpoint: Checkpoint::TrimHorizon,
        extras: CheckpointExtras::default(),
    };
    assert!(update(&request(&write)).ends_with("#kclQuarantined, #kclUnreadableBy, #leaseOwner, #kclSession"));
}

/// DynamoDB rejects a request with an undefined or unused placeholder.
#[test]
fn every_placeholder_is_used_and_defined() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut model = BTreeMap::new();
    for _ in 0..2_000 {
        let write = random_write(&mut rng, &model);
        match write.apply(model.get(&write.key())) {
            crate::lease::Written::Applied(Some(row)) => drop::<Option<Row>>(model.insert(write.key(), row)),
            crate::lease::Written::Applied(None) => drop(model.remove(&write.key())),
            crate::lease::Written::Refused(_) => {}
        }
        let request = request(&write);
        let update = match &request.action {
            Action::Update { update, .. } => update.as_str(),
            Action::Put(_) | Action::Delete { .. } => "",
        };
        let defined: BTreeSet<&str> = request
            .names
            .keys()
            .chain(request.values.iter().flat_map(|values| values.keys()))
            .map(String::as_str)
            .collect();
        let used: BTreeSet<&str> = [update, &request.condition]
            .into_iter()
            .flat_map(|text| text.split([' ', ',', '(', ')']))
            .filter(|word| word.starts_with(['#', ':']))
            .collect();
        assert_eq!(used, defined, "{write:?}");
    }
}

#[test]
fn every_write_of_a_lease_increments_its_counter() {
    let mut rng = fastrand::Rng::with_seed(4);
    let model = BTreeMap::from([(
        RowKey::Lease(LeaseKey::new("shardId-000000000000")),
        Row::Lease(crate::lease::Lease::unowned(
            crate::record::ShardId::new("shardId-000000000000"),
            Checkpoint::TrimHorizon,
        )),
    )]);
    for write in (0..500).map(|_| random_write(&mut rng, &model)) {
        if let (RowKey::Lease(_), Action::Update { update, .. }) = (write.key(), &request(&write).action) {
            assert!(update.contains("#leaseCounter = :leaseCounter, #kclCounter = :kclCounter"), "{write:?}");
        }
    }
}
