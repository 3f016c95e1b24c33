use super::*;
use std::collections::BTreeSet;
use std::fmt::Write as _;

const PHASES: [Phase; 4] = [Phase::Start, Phase::Table, Phase::Read, Phase::List];

const INTRODUCTION: &str = "\
# AWS errors, and how a worker reacts

This page is generated from `kcl-core/src/aws/error_table/mod.rs`, which the code uses; a test compares the two.

A worker that is **starting** ends with an error that an operator must fix, before it owns any lease: its operator is watching. A \
**running** worker does not end because AWS refuses a call. It retries with growing pauses of at most a few seconds until the call \
succeeds, remains a member of the fleet as far as the table allows, and resumes within 5 s of the end of the outage. Only a shutdown, an \
error policy that stops the worker, or a bug in the worker ends a running worker.

An error is classified by its code, and one with an unknown code by its HTTP status: 429 is a throttle, 5xx is no response. AWS returns \
a code with every error, so a response without a code does not come from AWS, whatever its status.

";

fn shown(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Retry => "retry",
        Reaction::PauseShard => "retry; this shard pauses",
        Reaction::PauseWorker => "retry; the worker pauses once its heartbeats are overdue",
        Reaction::RefuseStart => "refuse",
    }
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str(
        "| error | codes | start | lease table | GetRecords, GetShardIterator, SubscribeToShard | ListShards, consumers | what to do |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for ErrorClass { cause, title, codes, remedy } in CLASSES {
        let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
        let [start, table, read, list] = PHASES.map(|phase| shown(reaction(phase, *cause)));
        let start = if start == "retry" { "retry for seconds, then refuse" } else { start };
        let codes = codes.join(", ");
        writeln!(page, "| {title} | {codes} | {start} | {table} | {read} | {list} | {remedy} |").unwrap();
    }
    page
}

#[test]
fn the_error_page_matches_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/aws-errors.md");
    if std::env::var_os("BLESS_DOCS").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(written, page(), "regenerate it: BLESS_DOCS=1 cargo test -p kcl-core the_error_page");
}

#[test]
fn every_cause_has_one_class_and_every_code_is_in_one() {
    let causes: BTreeSet<String> = CLASSES.iter().map(|class| format!("{:?}", class.cause)).collect();
    assert_eq!(causes.len(), CLASSES.len());
    let codes: Vec<&str> = CLASSES.iter().flat_map(|class| class.codes).copied().collect();
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
}

#[test]
fn no_error_ends_a_running_worker() {
    for class in CLASSES {
        for phase in [Phase::Table, Phase::Read, Phase::List] {
            assert_ne!(reaction(phase, class.cause), Reaction::RefuseStart, "{phase:?}: {}", class.title);
        }
    }
}

#[test]
fn the_error_kinds_of_a_running_worker_match_the_page() {
    for ErrorClass { cause, title, .. } in CLASSES {
        let retried = table_kind(*cause) == StoreErrorKind::Throttled;
        assert_eq!(reaction(Phase::Table, *cause) == Reaction::Retry, retried, "{title}");
        let retried = match stream_kind(*cause) {
            ApiErrorKind::Throttled | ApiErrorKind::IteratorExpired | ApiErrorKind::NotReady => true,
            ApiErrorKind::NotFound
            | ApiErrorKind::Denied
            | ApiErrorKind::Refused
            | ApiErrorKind::PositionRefused
            | ApiErrorKind::StartAhead
            | ApiErrorKind::Unavailable => false,
        };
        assert_eq!(reaction(Phase::Read, *cause) == Reaction::Retry, retried, "{title}");
    }
}
