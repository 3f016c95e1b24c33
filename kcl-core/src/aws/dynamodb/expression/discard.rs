//! Making away with a row that cannot be read, as long as it shows what it showed.

use super::attributes::text;
use super::{Expression, Request, name};
use crate::lease::row::{Damaged, Shows};
use aws_sdk_dynamodb::types::AttributeValue;

pub(super) fn discard(damaged: &Damaged) -> Request {
    let there = Expression::default().holds("attribute_exists(#leaseKey)", [name::KEY], []);
    if !damaged.is_ours() {
        // Never to be done: no row is there and is not.
        return there.absent(name::KEY).delete(&damaged.key);
    }
    let shows = |expression: Expression, mark: &crate::lease::row::Mark| match &mark.shows {
        Shows::Nothing => expression.absent(mark.attribute),
        Shows::Text(shown) => expression.equals(mark.attribute, text(shown.as_str())),
        Shows::Number(digits) => expression.equals(mark.attribute, AttributeValue::N(digits.clone())),
        Shows::Other(of_type) => expression.of_type(mark.attribute, of_type),
    };
    damaged.marks.iter().fold(there, shows).delete(&damaged.key)
}
