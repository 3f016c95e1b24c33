//! Runs one DynamoDB operation, from JSON to JSON.

use dynoxide::{Database, DynoxideError};

use super::decode::decode;

macro_rules! operations {
    ($($name:literal => $method:ident),+ $(,)?) => {
        /// Whether the operation is supported.
        pub(super) fn is_known(operation: &str) -> bool {
            [$($name),+].contains(&operation)
        }

        /// Runs `operation` on `database` with a JSON `body`; the result is JSON too.
        pub(super) fn run(database: &Database, operation: &str, body: &[u8]) -> Result<Vec<u8>, DynoxideError> {
            match operation {
                $($name => encode(&database.$method(decode(operation, body)?)?),)+
                other => Err(DynoxideError::UnsupportedCapability(other.to_owned())),
            }
        }
    };
}

operations! {
    "BatchExecuteStatement" => batch_execute_statement,
    "BatchGetItem" => batch_get_item,
    "BatchWriteItem" => batch_write_item,
    "CreateTable" => create_table,
    "DeleteItem" => delete_item,
    "DeleteTable" => delete_table,
    "DescribeStream" => describe_stream,
    "DescribeTable" => describe_table,
    "DescribeTimeToLive" => describe_time_to_live,
    "ExecuteStatement" => execute_statement,
    "ExecuteTransaction" => execute_transaction,
    "GetItem" => get_item,
    "GetRecords" => get_records,
    "GetShardIterator" => get_shard_iterator,
    "ListStreams" => list_streams,
    "ListTables" => list_tables,
    "ListTagsOfResource" => list_tags_of_resource,
    "PutItem" => put_item,
    "Query" => query,
    "Scan" => scan,
    "SearchVectors" => search_vectors,
    "TagResource" => tag_resource,
    "TransactGetItems" => transact_get_items,
    "TransactWriteItems" => transact_write_items,
    "UntagResource" => untag_resource,
    "UpdateItem" => update_item,
    "UpdateTable" => update_table,
    "UpdateTimeToLive" => update_time_to_live,
}

fn encode(output: &impl serde::Serialize) -> Result<Vec<u8>, DynoxideError> {
    serde_json::to_vec(output).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}
