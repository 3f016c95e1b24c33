//! Streams that are deleted, and made again.

use super::Ledger;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(15);

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_deleted_rests_and_the_others_go_on() {
    let ledger = Ledger::with(&[("orders", 2), ("payments", 2)]).await;
    let all = ["orders", "payments"];
    let (a, b) = (ledger.start("a", &all).await, ledger.start("b", &all).await);
    for name in all {
        ledger.put(name, 0..20).await;
        ledger.seen(name, 20, SOON).await;
    }
    ledger.delete("payments").await;
    tokio::time::sleep(Duration::from_secs(180)).await;
    let owners = ledger.owners().await;
    for (lease, owner) in &owners {
        assert_eq!(owner.is_some(), lease.starts_with("orders"), "{owners:?}");
    }
    ledger.put("orders", 20..40).await;
    ledger.seen("orders", 40, SOON).await;
    assert!(!a.task.is_finished() && !b.task.is_finished());
    a.stop().await.unwrap();
    b.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_is_made_again_is_another_stream_and_is_read_from_its_start() {
    let ledger = Ledger::with(&[("orders", 1), ("payments", 1)]).await;
    let worker = ledger.start("a", &["orders", "payments"]).await;
    ledger.put("payments", 0..20).await;
    ledger.seen("payments", 20, SOON).await;
    ledger.delete("payments").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    ledger.create("payments", 1).await;
    ledger.put("payments", 20..30).await;
    ledger.seen("payments", 30, Duration::from_secs(90)).await;
    worker.stop().await.unwrap();
    let rows = ledger.rows().await;
    let of_payments = rows.iter().filter(|row| crate::stage::text(row, "leaseKey").unwrap().contains(":payments:"));
    assert_eq!(of_payments.count(), 2, "the former stream's lease rests: {rows:?}");
}
