//! Rejects the late writes of a handler that lost its lease, in a DynamoDB table of the user's.

use crate::processor::ShardContext;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use std::collections::HashMap;

/// The attribute that holds the token.
const TOKEN: &str = "kclFencingToken";

/// A lease's fencing token, for writes to a table of the user's: a write with an older token is
/// rejected.
///
/// A paused handler (the machine was suspended, a call hangs) can outlive its lease and write while
/// the next owner writes too. The table can only reject the older one if each write carries the
/// [fencing token](ShardContext::fencing_token) of its lease and the table rejects tokens lower
/// than the highest it has seen.
///
/// Tokens of different leases cannot be compared. So either an item belongs to one shard (a count
/// per shard, a window of it) and is written with [`Fence::guard`], or the token is stored in a
/// separate item per lease and checked in one transaction with the write of any other item:
/// [`Fence::check`].
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
/// // ConditionalCheckFailedException: a later owner has written.
/// Fence::of(shard).guard(update).send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence(u64);

impl Fence {
    /// Returns the fence of the lease that the handler works for.
    #[must_use]
    pub fn of(shard: &ShardContext) -> Self {
        Fence(shard.fencing_token())
    }

    /// Creates a fence with this token.
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

    /// Makes the update fail if the item was written with a higher token, and store this token.
    /// Keeps the update's condition and adds to its `SET` clause, which is created if missing.
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

    /// Returns a part of a transaction: it stores the token in the item with this key, one per
    /// lease, and fails the whole transaction if the item has a higher one.
    ///
    /// # Errors
    /// Those of the SDK's builder; none if table and key are given.
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

/// Returns the update expression with one more assignment in its `SET` clause, or in a new one.
fn with_set(own: &str, set: &str) -> String {
    match end_of_set_keyword(own) {
        Some(after) => {
            let (before, rest) = own.split_at(after);
            format!("{before} {set},{rest}")
        }
        None => format!("SET {set} {own}"),
    }
}

/// Returns the byte offset after the keyword `SET`, in any case.
///
/// Compares whole words only, because attributes may be named `OFFSET` or `dataset`. A word after
/// `#` or `:` is a placeholder, and one after `.` is part of a path. Any other `SET` is the
/// keyword, because DynamoDB reserves it and rejects it as an attribute name.
fn end_of_set_keyword(expression: &str) -> Option<usize> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    let bytes = expression.as_bytes();
    let mut start = 0;
    while let Some(rest) = bytes.get(start..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().take_while(|byte| is_word(byte)).count();
        let end = start + length;
        let before = start.checked_sub(1).and_then(|before| bytes.get(before));
        let is_valid_shard_id = matches!(before, Some(b'#' | b':' | b'.'));
        let word = bytes.get(start..end).unwrap_or_default();
        if !is_valid_shard_id && word.eq_ignore_ascii_case(b"SET") {
            return Some(end);
        }
        // The byte after a word is not part of a word, so the next word begins after it at the
        // earliest.
        start = end + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_update_keeps_its_own_clauses() {
        let set = "#t = :t";
        assert_eq!(with_set("SET a = :a", set), "SET #t = :t, a = :a");
        assert_eq!(with_set("remove b set a = :a", set), "remove b set #t = :t, a = :a");
        assert_eq!(with_set("ADD n :one", set), "SET #t = :t ADD n :one");
        assert_eq!(with_set("ADD n :one\nSet\n#a=:a", set), "ADD n :one\nSet #t = :t,\n#a=:a");
    }

    #[test]
    fn names_that_contain_the_keyword_are_not_the_keyword() {
        let set = "#t = :t";
        for (own, guarded) in [
            ("ADD ASSETS :n SET a = :a", "ADD ASSETS :n SET #t = :t, a = :a"),
            ("REMOVE OFFSET SET a = :a", "REMOVE OFFSET SET #t = :t, a = :a"),
            ("DELETE DATASET :d, SETS :s SET a = :a", "DELETE DATASET :d, SETS :s SET #t = :t, a = :a"),
            ("ADD OFFSET :n", "SET #t = :t ADD OFFSET :n"),
            ("ADD #SET :SET SET a = :a", "ADD #SET :SET SET #t = :t, a = :a"),
            ("ADD #set :set", "SET #t = :t ADD #set :set"),
            ("REMOVE a.set, b[0].SET_1", "SET #t = :t REMOVE a.set, b[0].SET_1"),
            ("REMOVE äSET SET a=:a", "REMOVE äSET SET #t = :t, a=:a"),
        ] {
            assert_eq!(with_set(own, set), guarded);
        }
    }

    fn keyword(word: &'static str) -> impl Strategy<Value = String> {
        proptest::collection::vec(any::<bool>(), word.len()).prop_map(move |lower| {
            let case = |(letter, lower): (char, bool)| if lower { letter.to_ascii_lowercase() } else { letter };
            word.chars().zip(lower).map(case).collect()
        })
    }

    fn space() -> impl Strategy<Value = String> {
        "[ \t\n]{1,3}"
    }

    /// A path of an attribute, often with the keyword inside one of its names.
    fn path() -> impl Strategy<Value = String> {
        let name = prop_oneof![
            "[A-Za-z_]{1,4}(set|SET)[A-Za-z0-9_]{0,3}",
            "(set|SET)[A-Za-z0-9_]{1,3}",
            "#(set|SET|[a-z]{1,5})",
            "[xyz][0-9]{0,3}",
        ];
        let rest = prop_oneof![Just(String::new()), Just("[0]".to_owned()), "\\.(OFF)?SET[0-9]?", "\\.#set"];
        (name, rest).prop_map(|(name, rest)| name + &rest)
    }

    fn clause(word: &'static str, value: &'static str) -> impl Strategy<Value = String> {
        let action = (path(), space(), "(set|SET|[a-z])[a-z0-9]{0,3}").prop_map(move |(path, space, name)| {
            if value.is_empty() { path } else { format!("{path}{space}{value}:{name}") }
        });
        (keyword(word), space(), proptest::collection::vec(action, 1..4))
            .prop_map(|(keyword, space, actions)| format!("{keyword}{space}{}", actions.join(", ")))
    }

    proptest! {
        #[test]
        fn exactly_the_keyword_is_found_in_any_expression(
            before in proptest::collection::vec(prop_oneof![clause("REMOVE", ""), clause("ADD", ""), clause("DELETE", "")], 0..3),
            spaces in proptest::collection::vec(space(), 4),
            own in clause("SET", "="),
            after in proptest::collection::vec(prop_oneof![clause("REMOVE", ""), clause("ADD", "")], 0..2),
        ) {
            let joined = |clauses: &[String]| clauses.iter().zip(&spaces).map(|(c, s)| format!("{c}{s}")).collect::<String>();
            let (before, after) = (joined(&before), joined(&after));
            let rest = &own["SET".len()..];
            let expression = format!("{before}{own} {after}");
            let expected = format!("{before}{} #t = :t,{rest} {after}", &own[.."SET".len()]);
            prop_assert_eq!(with_set(&expression, "#t = :t"), expected);
            let without = format!("{before}{after}");
            prop_assert_eq!(with_set(&without, "#t = :t"), format!("SET #t = :t {without}"));
        }
    }
}
