use super::*;
use crate::record::{Record, SequenceNumber, ShardId};
use crate::retrieval::ReadError;
use crate::shard::{ApiError, ApiErrorKind};

#[derive(Debug, thiserror::Error)]
#[error("no such airport")]
struct NoAirport;

#[derive(Debug, thiserror::Error)]
#[error("not stored")]
struct NotStored(#[source] NoAirport);

fn decide(policy: &OnError, cause: &Cause, records: usize, attempt: u32, age: u64) -> Decision {
    let shard = ShardId::from("shardId-000000000000");
    let record = Record::new(SequenceNumber::parse("1").unwrap(), "x");
    let records = vec![record; records];
    let (age, record_age) = (Duration::from_secs(age), Duration::from_secs(age + 60));
    policy.decide(&Failure { shard: &shard, cause, records: &records, attempt, age, record_age })
}

fn within(millis: u64) -> Decision {
    Decision::Retry { within: Duration::from_millis(millis) }
}

fn read(kind: ApiErrorKind) -> Cause {
    let source = ApiError { kind, message: "no".to_owned(), code: None, source: None };
    Cause::Read(ReadError { shard: ShardId::from("shardId-000000000000"), source })
}

fn down() -> Cause {
    Cause::Error("down".into())
}

#[test]
fn by_default_a_failing_handler_is_retried_forever_with_growing_pauses() {
    let panic = Cause::Panic("index out of bounds".to_owned());
    for cause in [panic, down(), Cause::TimedOut(Duration::from_secs(1)), Cause::Dropped] {
        let waits = [1, 2, 3, 8, 9, u32::MAX].map(|attempt| decide(&OnError::default(), &cause, 5, attempt, 1_000_000));
        assert_eq!(waits, [200, 400, 800, 25_600, 30_000, 30_000].map(within));
    }
}

const READS: [ApiErrorKind; 6] = [
    ApiErrorKind::NotFound,
    ApiErrorKind::Refused,
    ApiErrorKind::Unavailable,
    ApiErrorKind::IteratorExpired,
    ApiErrorKind::NotReady,
    ApiErrorKind::Throttled,
];

#[test]
fn a_failed_read_is_retried_forever_whatever_the_rules_for_handlers() {
    let policies = [
        OnError::retry(),
        OnError::retry().max_attempts(1).then(FinalAction::StopWorker),
        OnError::at_once(FinalAction::StopShard),
    ];
    for (policy, kind) in policies.iter().flat_map(|policy| READS.map(|kind| (policy, kind))) {
        assert_eq!(decide(policy, &read(kind), 0, 1, 0), within(200));
        assert_eq!(decide(policy, &read(kind), 0, u32::MAX, 1_000_000), within(30_000));
    }
}

#[test]
fn only_when_unreadable_stops_for_a_failed_read_and_only_after_its_time() {
    for (action, decision) in
        [(FinalAction::StopShard, Decision::StopShard), (FinalAction::StopWorker, Decision::StopWorker)]
    {
        let policy = OnError::retry().when_unreadable(Duration::from_secs(60), action);
        for kind in READS {
            assert_eq!(decide(&policy, &read(kind), 0, 40, 59), within(30_000));
            assert_eq!(decide(&policy, &read(kind), 0, 1, 60), decision);
        }
        assert_eq!(decide(&policy, &down(), 1, 1, 60), within(200), "handlers are not affected");
    }
}

#[test]
fn the_final_action_follows_the_limit_on_attempts_or_age() {
    let policy =
        OnError::retry().max_attempts(3).max_record_age(Duration::from_secs(100)).then(FinalAction::Quarantine);
    assert_eq!(decide(&policy, &down(), 1, 2, 0), within(400));
    assert_eq!(decide(&policy, &down(), 1, 3, 0), Decision::Quarantine);
    assert_eq!(decide(&policy, &down(), 1, 1, 39), within(200), "the record is 99 s old");
    assert_eq!(decide(&policy, &down(), 1, 1, 40), Decision::Quarantine);
    assert_eq!(decide(&policy, &down(), 0, 1, 40), within(200), "a failure without records has no record age");
}

#[test]
fn a_case_matches_an_error_by_its_type_or_by_the_type_of_its_source() {
    let policy = OnError::retry()
        .when::<NoAirport>(OnError::at_once(FinalAction::DeadLetter))
        .when_panicked(OnError::at_once(FinalAction::StopShard))
        .when_timed_out(OnError::at_once(FinalAction::StopWorker));
    for cause in [Cause::Error(NoAirport.into()), Cause::Error(NotStored(NoAirport).into())] {
        assert_eq!(decide(&policy, &cause, 1, 1, 0), Decision::DeadLetter);
    }
    assert_eq!(decide(&policy, &down(), 1, 1, 0), within(200));
    assert_eq!(decide(&policy, &Cause::Panic(String::new()), 1, 1, 0), Decision::StopShard);
    assert_eq!(decide(&policy, &Cause::TimedOut(Duration::ZERO), 1, 1, 0), Decision::StopWorker);
}

#[test]
fn a_terminal_error_is_not_retried() {
    let policy = OnError::retry().terminal_if(|error| error.is::<NoAirport>()).then(FinalAction::DeadLetter);
    assert_eq!(decide(&policy, &Cause::Error(NoAirport.into()), 1, 1, 0), Decision::DeadLetter);
    assert_eq!(decide(&policy, &down(), 1, 1_000, 0), within(30_000));
}

#[test]
fn a_batch_is_split_and_a_single_record_is_retried() {
    let policy = OnError::retry().split_after(2);
    assert_eq!(decide(&policy, &down(), 8, 1, 0), within(200));
    assert_eq!(decide(&policy, &down(), 8, 2, 0), Decision::Split);
    assert_eq!(decide(&policy, &down(), 1, 2, 0), within(400));
}

#[test]
fn contradictory_settings_are_refused_with_the_reason() {
    let second = Duration::from_secs(1);
    let wrong = [
        (OnError::retry().max_attempts(3), "without `then`"),
        (OnError::retry().max_record_age(second), "without `then`"),
        (OnError::retry().terminal_if(|_| true), "without `then`"),
        (OnError::retry().max_attempts(0).then(FinalAction::DeadLetter), "at least 1"),
        (OnError::retry().split_after(0), "at least 1"),
        (OnError::retry().backoff(Duration::ZERO, second), "busy loop"),
        (OnError::retry().backoff(second, second / 2), "shorter than the first"),
        (OnError::retry().when_panicked(OnError::retry().max_attempts(3)), "without `then`"),
        (OnError::retry().when_unreadable(second, FinalAction::DeadLetter), "has no record"),
        (OnError::retry().when_unreadable(second, FinalAction::Quarantine), "has no record"),
        (
            OnError::retry().when_panicked(OnError::retry().when_unreadable(second, FinalAction::StopShard)),
            "outermost policy",
        ),
    ];
    for (policy, why) in wrong {
        assert!(policy.check().unwrap_err().contains(why), "{policy:?}");
    }
    assert_eq!(OnError::retry().max_attempts(3).then(FinalAction::StopShard).check(), Ok(()));
    assert!(!OnError::retry().may_dead_letter());
    assert!(OnError::retry().when_panicked(OnError::at_once(FinalAction::DeadLetter)).may_dead_letter());
}
