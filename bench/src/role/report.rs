//! A processor that says every record.

use kcl_core::prelude::*;

use super::Said;
use crate::clock;

/// Says when it begins, and every record as it comes.
#[derive(Debug)]
pub(super) struct Report;

impl RecordProcessor for Report {
    async fn initialize(&mut self, shard: &ShardContext) -> Result<(), BoxError> {
        Said::Began { shard: shard.shard_id().to_string(), at: clock::now() }.say();
        Ok(())
    }

    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        let at = clock::now();
        for record in batch {
            let sequence = record.sequence_number.to_string();
            Said::Delivered { shard: shard.shard_id().to_string(), sequence, at }.say();
        }
        Ok(())
    }
}
