use super::*;
use std::collections::BTreeSet;
use std::fmt::Write as _;

const STEPS: [Step; 4] = [Step::Start, Step::Table, Step::Read, Step::List];

const INTRODUCTION: &str = "\
# Errors of AWS, and what a worker does

This page is written from `kcl-core/src/aws/error_table.rs`, by which the code decides; a test compares the two.

A worker that **starts** ends with an error that a person must mend, before it holds anything: its operator is watching. A worker \
that **runs** does not end because AWS says no. It repeats the call with growing pauses of at most a few seconds, for as long as it \
acquires, stays a member of the fleet as far as the table lets it, and goes on within 5 s of the end of the outage. What ends a running \
worker is a shutdown, an error policy that says so, or a fault of its own.

An error is classified by its code; one without a known code by its HTTP status: 429 is a throttle, 5xx is no answer. AWS names \
every error that it answers with, so an answer without a code is none of AWS's, whatever its status.

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
    for Class { cause, title, codes, remedy } in CLASSES {
        let codes: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
        let [start, table, read, list] = STEPS.map(|step| shown(reaction(step, *cause)));
        let start = if start == "retry" { "retry for seconds, then refuse" } else { start };
        let codes = codes.join(", ");
        writeln!(page, "| {title} | {codes} | {start} | {table} | {read} | {list} | {remedy} |").unwrap();
    }
    page
}

#[test]
fn the_page_of_errors_is_what_the_code_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/aws-errors.md");
    if std::env::var_os("BLESS_DOCS").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(written, page(), "write it anew: BLESS_DOCS=1 cargo test -p kcl-core the_page_of_errors");
}

#[test]
fn every_cause_is_one_class_and_every_code_is_in_one() {
    let causes: BTreeSet<String> = CLASSES.iter().map(|class| format!("{:?}", class.cause)).collect();
    assert_eq!(causes.len(), CLASSES.len());
    let codes: Vec<&str> = CLASSES.iter().flat_map(|class| class.codes).copied().collect();
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
}

#[test]
fn no_error_ends_a_worker_that_runs() {
    for class in CLASSES {
        for step in [Step::Table, Step::Read, Step::List] {
            assert_ne!(reaction(step, class.cause), Reaction::RefuseStart, "{step:?}: {}", class.title);
        }
    }
}

#[test]
fn the_kinds_that_a_running_worker_decides_by_say_what_the_page_says() {
    for Class { cause, title, .. } in CLASSES {
        let retried = table_kind(*cause) == StoreErrorKind::Throttled;
        assert_eq!(reaction(Step::Table, *cause) == Reaction::Retry, retried, "{title}");
        let retried = match stream_kind(*cause) {
            ApiErrorKind::Throttled | ApiErrorKind::IteratorExpired | ApiErrorKind::NotReady => true,
            ApiErrorKind::NotFound
            | ApiErrorKind::Denied
            | ApiErrorKind::Refused
            | ApiErrorKind::PositionRefused
            | ApiErrorKind::Unavailable => false,
        };
        assert_eq!(reaction(Step::Read, *cause) == Reaction::Retry, retried, "{title}");
    }
}
