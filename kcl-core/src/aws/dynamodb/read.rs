//! Reads one row, a batch of rows, or a page of the whole table.

use super::DynamoDbStore;
use super::attributes::{self, Item, decode, decode_as, name};
use crate::aws::failure::{Cause, EMPTY, Failure};
use crate::lease::{Consistency, Page, PageToken, Row, RowKey};
use aws_sdk_dynamodb::config::{Config, timeout::TimeoutConfig};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// A page has up to 1 MB and takes longer than a read of one row. The caller's own timeout may be
/// shorter.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// The most keys of one BatchGetItem call (AWS: BatchGetItem).
const BATCH: usize = 100;

/// Pauses before unprocessed keys are requested again; after the last one the call counts as
/// throttled. Short, because the caller must send heartbeats in time and backs off itself.
const LEFT_OUT_PAUSES: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(60), Duration::from_millis(180)];

impl DynamoDbStore {
    pub(super) async fn get(&self, key: &RowKey, consistency: Consistency) -> Result<Option<Row>, Failure> {
        let got = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(attributes::key(key)))
            .consistent_read(consistency == Consistency::Strong)
            .send()
            .await
            .map_err(|error| Failure::of("GetItem", error))?;
        Ok(got.item.map(|item| decode_as(key, &item)))
    }

    pub(super) async fn get_batch(
        &self,
        keys: &[RowKey],
        consistency: Consistency,
    ) -> Result<Vec<Option<Row>>, Failure> {
        let mut rows = BTreeMap::new();
        // The service rejects a batch with duplicate keys.
        let distinct: Vec<&RowKey> = keys.iter().collect::<BTreeSet<_>>().into_iter().collect();
        for batch in distinct.chunks(BATCH) {
            for item in self.get_items(batch.iter().map(|key| attributes::key(key)).collect(), consistency).await? {
                if let Some(AttributeValue::S(key)) = item.get(name::KEY) {
                    rows.insert(key.clone(), item);
                }
            }
        }
        Ok(keys.iter().map(|key| rows.get(&key.to_string()).map(|item| decode_as(key, item))).collect())
    }

    async fn get_items(&self, keys: Vec<Item>, consistency: Consistency) -> Result<Vec<Item>, Failure> {
        const OPERATION: &str = "BatchGetItem";
        let strong = consistency == Consistency::Strong;
        let mut items = Vec::with_capacity(keys.len());
        let mut left = keys;
        let mut pauses = LEFT_OUT_PAUSES.into_iter();
        loop {
            let request = KeysAndAttributes::builder()
                .set_keys(Some(left))
                .consistent_read(strong)
                .build()
                .map_err(|error| Failure::new(Cause::Request, OPERATION, error.to_string()))?;
            let mut got = self
                .client
                .batch_get_item()
                .request_items(&self.table, request)
                .send()
                .await
                .map_err(|error| Failure::of(OPERATION, error))?;
            if got.responses.is_none() {
                return Err(Failure::new(Cause::Unanswered, OPERATION, EMPTY));
            }
            items.extend(got.responses.iter_mut().flat_map(HashMap::drain).flat_map(|(_, items)| items));
            left = got.unprocessed_keys.into_iter().flatten().flat_map(|(_, keys)| keys.keys).collect();
            if left.is_empty() {
                return Ok(items);
            }
            match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => {
                    let message =
                        format!("{} keys were unprocessed after {} calls", left.len(), LEFT_OUT_PAUSES.len() + 1);
                    return Err(Failure::new(Cause::Throttled, OPERATION, message));
                }
            }
        }
    }

    pub(super) async fn get_page(&self, after: Option<&PageToken>, rows: u32) -> Result<Page, Failure> {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(PAGE_TIMEOUT).build();
        let got = self
            .client
            .scan()
            .table_name(&self.table)
            .consistent_read(true)
            .limit(i32::try_from(rows).unwrap_or(i32::MAX).max(1))
            .set_exclusive_start_key(after.map(|after| attributes::key_of_text(after.as_str().to_owned())))
            .customize()
            .config_override(Config::builder().timeout_config(timeouts))
            .send()
            .await
            .map_err(|error| Failure::of("Scan", error))?;
        if got.items.is_none() {
            return Err(Failure::new(Cause::Unanswered, "Scan", EMPTY));
        }
        let mut page = Page::default();
        for row in got.items().iter().filter_map(decode) {
            page.rows.add(row);
        }
        // An empty page may be followed by another, and the last page may be full: only
        // `LastEvaluatedKey` shows the end (AWS: Scan).
        page.next = match got.last_evaluated_key.filter(|key| !key.is_empty()) {
            None => None,
            Some(last) => match last.get(name::KEY) {
                Some(AttributeValue::S(key)) => Some(PageToken::new(key)),
                Some(_) | None => {
                    let message = format!("a page ended at a row without a text `{}`", name::KEY);
                    return Err(Failure::new(Cause::Request, "Scan", message));
                }
            },
        };
        Ok(page)
    }
}
