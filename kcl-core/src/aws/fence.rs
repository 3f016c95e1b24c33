//! Refusing the late write of a handler that lost its lease, in a DynamoDB table of the user's.

use crate::processor::ShardContext;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use std::collections::HashMap;

/// The attribute that holds the token.
const TOKEN: &str = "kclFencingToken";

/// One lease's fencing token, for writes to a table of the user's: who writes with an older one is refused.
///
/// A handler that is held up (a pause of the machine, a call that hangs) can outlive its lease, and write while the next
/// owner writes too. The table cannot know who is right, unless each write says under which [fencing
/// token](ShardContext::fencing_token) it is made and the table refuses those that are lower than one it has seen.
///
/// Tokens of different leases say nothing about each other. So an item belongs to one shard (a count a shard, a window of
/// it), and is written with [`Fence::guard`]; or the token is kept in an item of its own for each lease, and is checked in
/// one transaction with the write of any other item: [`Fence::check`].
///
/// ```no_run
/// # async fn example(shard: &kcl_core::ShardContext, dynamodb: aws_sdk_dynamodb::Client) -> Result<(), kcl_core::BoxError> {
/// use aws_sdk_dynamodb::types::AttributeValue;
/// use kcl_core::aws::Fence;
///
/// let update = dynamodb
///     .update_item()
///     .table_name("totals")
///     .key("shard", AttributeValue::S(shard.lease_key().to_owned()))
///     .update_expression("SET flights = flights + :n")
///     .expression_attribute_values(":n", AttributeValue::N("17".to_owned()));
/// // ConditionalCheckFailedException: another owner has written since.
/// Fence::of(shard).guard(update).send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence(u64);

impl Fence {
    /// Of the lease that the handler works for.
    #[must_use]
    pub fn of(shard: &ShardContext) -> Self {
        Fence(shard.fencing_token())
    }

    /// With this token.
    #[must_use]
    pub fn with_token(token: u64) -> Self {
        Fence(token)
    }

    fn condition() -> String {
        "(attribute_not_exists(#kclFencingToken) OR #kclFencingToken <= :kclFencingToken)".to_owned()
    }

    fn token(self) -> AttributeValue {
        AttributeValue::N(self.0.to_string())
    }

    /// Has the update refused if the item was written under a higher token, and the item remember this one. The update's
    /// condition stays, and its `SET` clause is added to; one that has none is given one.
    #[must_use]
    pub fn guard(self, update: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        let condition = match update.get_condition_expression() {
            Some(own) => format!("({own}) AND {}", Self::condition()),
            None => Self::condition(),
        };
        let set = "#kclFencingToken = :kclFencingToken";
        let expression = match update.get_update_expression() {
            Some(own) => with_set(own, set),
            None => format!("SET {set}"),
        };
        update
            .condition_expression(condition)
            .update_expression(expression)
            .expression_attribute_names("#kclFencingToken", TOKEN)
            .expression_attribute_values(":kclFencingToken", self.token())
    }

    /// Part of a transaction: the item with this key, one a lease, remembers the token, and the whole transaction is refused
    /// if it was written under a higher one.
    ///
    /// # Errors
    /// As the SDK's builder: never, for a table and a key that are given.
    pub fn check(
        self,
        table: impl Into<String>,
        key: HashMap<String, AttributeValue>,
    ) -> Result<TransactWriteItem, BuildError> {
        let update = Update::builder()
            .table_name(table)
            .set_key(Some(key))
            .update_expression("SET #kclFencingToken = :kclFencingToken")
            .condition_expression(Self::condition())
            .expression_attribute_names("#kclFencingToken", TOKEN)
            .expression_attribute_values(":kclFencingToken", self.token())
            .build()?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}

/// The update expression with one more assignment. Its clauses begin with their keywords, in any order and case.
fn with_set(own: &str, set: &str) -> String {
    let keyword = own
        .split_whitespace()
        .find(|word| word.eq_ignore_ascii_case("SET"))
        .and_then(|word| own.find(word).map(|at| at + word.len()));
    match keyword {
        Some(after) => {
            let (before, rest) = own.split_at(after);
            format!("{before} {set},{rest}")
        }
        None => format!("SET {set} {own}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_keeps_its_own_clauses() {
        let set = "#t = :t";
        assert_eq!(with_set("SET a = :a", set), "SET #t = :t, a = :a");
        assert_eq!(with_set("remove b set a = :a", set), "remove b set #t = :t, a = :a");
        assert_eq!(with_set("ADD n :one", set), "SET #t = :t ADD n :one");
    }
}
