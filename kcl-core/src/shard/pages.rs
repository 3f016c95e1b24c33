//! Lists a stream's shards page by page. Each page has its own deadline, and earlier pages are kept
//! while a later one is retried, so a long list makes progress on a slow connection.

use super::{ApiError, ApiErrorKind, ListWhich, Listing, StreamApi};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The deadline of one page.
const PAGE_DEADLINE: Duration = Duration::from_secs(10);
/// The pause before a page is retried; each later pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Consecutive failures of one page that fail the list.
const MOST_ATTEMPTS: u32 = 6;

/// Returns all shards, from all pages. Calls `on_page` after each page.
///
/// # Errors
/// If the first page fails, if a later page fails repeatedly, or if it is refused.
pub(crate) async fn list(
    api: &dyn StreamApi,
    which: ListWhich,
    mut on_page: impl FnMut(),
) -> Result<Listing, ApiError> {
    let first = page(api, which, None).await?;
    on_page();
    let (mut shards, answered_at_ms, mut token) = (first.shards, first.answered_at_ms, first.next_token);
    let mut failures = 0;
    while let Some(next) = token.take() {
        match page(api, which, Some(&next)).await {
            Ok(page) => {
                on_page();
                failures = 0;
                shards.extend(page.shards);
                token = page.next_token;
            }
            Err(error) => {
                failures += 1;
                if failures >= MOST_ATTEMPTS || !is_transient(error.kind) {
                    return Err(error);
                }
                sleep(FIRST_PAUSE.saturating_mul(1 << (failures - 1)).min(LONGEST_PAUSE)).await;
                token = Some(next);
            }
        }
    }
    shards.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Listing { shards, answered_at_ms })
}

/// Returns the service's time, from the `Date` header of a response.
pub(crate) async fn service_time(api: &dyn StreamApi) -> Result<Option<i64>, ApiError> {
    page(api, ListWhich::AtLatest, None).await.map(|page| page.answered_at_ms)
}

async fn page(api: &dyn StreamApi, which: ListWhich, token: Option<&str>) -> Result<super::ShardPage, ApiError> {
    timeout(PAGE_DEADLINE, api.shard_page(which, token)).await.unwrap_or_else(|_| {
        let message = format!("ListShards: a page was not answered within {PAGE_DEADLINE:?}");
        Err(ApiError { kind: ApiErrorKind::Unavailable, message, code: None, source: None })
    })
}

fn is_transient(kind: ApiErrorKind) -> bool {
    match kind {
        ApiErrorKind::Throttled | ApiErrorKind::NotReady | ApiErrorKind::Unavailable => true,
        ApiErrorKind::IteratorExpired
        | ApiErrorKind::NotFound
        | ApiErrorKind::Denied
        | ApiErrorKind::Refused
        | ApiErrorKind::PositionRefused
        | ApiErrorKind::StartAhead => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ShardId, StartingPosition};
    use crate::shard::{Fetched, Shard, ShardPage, StreamDescription};
    use async_trait::async_trait;
    use std::sync::Mutex;
    use tokio::time::Instant;

    /// A stream with one shard per page. Each page takes a while, and some calls fail.
    #[derive(Debug)]
    struct Pages {
        count: usize,
        delay: Duration,
        /// Every n-th call fails.
        fails_every: usize,
        kind: ApiErrorKind,
        calls: Mutex<usize>,
    }

    impl Pages {
        fn new(count: usize, delay: Duration, fails_every: usize, kind: ApiErrorKind) -> Self {
            Pages { count, delay, fails_every, kind, calls: Mutex::new(0) }
        }
    }

    #[async_trait]
    impl StreamApi for Pages {
        async fn describe(&self) -> Result<StreamDescription, ApiError> {
            unreachable!()
        }

        async fn list_shards(&self, _: ListWhich) -> Result<Listing, ApiError> {
            unreachable!()
        }

        async fn shard_page(&self, _: ListWhich, token: Option<&str>) -> Result<ShardPage, ApiError> {
            sleep(self.delay).await;
            let call = {
                let mut calls = self.calls.lock().unwrap();
                *calls += 1;
                *calls
            };
            if call.is_multiple_of(self.fails_every) {
                return Err(ApiError { kind: self.kind, message: String::new(), code: None, source: None });
            }
            let n: usize = token.map_or(0, |token| token.parse().unwrap());
            let id = ShardId::new(format!("shardId-{n:012}"));
            let (parents, hash_range, starting_sequence_number, closed) = (vec![], None, None, false);
            let shards = vec![Shard { id, parents, hash_range, starting_sequence_number, closed }];
            let next_token = (n + 1 < self.count).then(|| (n + 1).to_string());
            Ok(ShardPage { shards, next_token, answered_at_ms: Some(7) })
        }

        async fn shard_iterator(&self, _: &ShardId, _: &StartingPosition) -> Result<String, ApiError> {
            unreachable!()
        }

        async fn get_records(&self, _: &str, _: u32) -> Result<Fetched, ApiError> {
            unreachable!()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_list_completes_and_only_failed_pages_are_retried() {
        let pages = Pages::new(20, Duration::from_secs(8), 3, ApiErrorKind::Throttled);
        let (begun, mut came) = (Instant::now(), 0);
        let listing = list(&pages, ListWhich::All, || came += 1).await.unwrap();
        assert_eq!((listing.shards.len(), listing.answered_at_ms, came), (20, Some(7), 20));
        assert!(begun.elapsed() > Duration::from_secs(160));
        assert!(*pages.calls.lock().unwrap() <= 30, "no page was listed twice");
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_keeps_failing_or_is_refused_fails_the_list() {
        let silent = Pages::new(2, Duration::from_secs(11), usize::MAX, ApiErrorKind::Throttled);
        assert_eq!(list(&silent, ListWhich::All, || ()).await.unwrap_err().kind, ApiErrorKind::Unavailable);
        let refused = Pages::new(5, Duration::ZERO, 2, ApiErrorKind::Refused);
        assert_eq!(list(&refused, ListWhich::All, || ()).await.unwrap_err().kind, ApiErrorKind::Refused);
        assert_eq!(*refused.calls.lock().unwrap(), 2);
    }
}
