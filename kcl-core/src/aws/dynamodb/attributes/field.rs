//! Encodes and decodes single attributes. Errors contain the attribute's name.

use super::{Item, name};
use crate::lease::row::{LARGEST_COUNTER, SeenValue};
use aws_sdk_dynamodb::types::AttributeValue;
use std::fmt::Display;
use std::str::FromStr;

/// Describes why an item cannot be decoded, with the attribute's name.
#[derive(Debug)]
pub(super) struct Damage(pub(super) String);

/// The attributes of an item, or of a map within one.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a Item);

impl<'a> Fields<'a> {
    /// The primary key; every item has one.
    pub(super) fn key(self) -> &'a str {
        match self.0.get(name::KEY) {
            Some(AttributeValue::S(key)) => key,
            Some(_) | None => "",
        }
    }

    /// Returns an attribute's value, of whatever type.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the SDK's enum is open")]
    pub(super) fn shows(self, name: &str) -> SeenValue {
        match self.0.get(name) {
            None => SeenValue::Nothing,
            Some(AttributeValue::S(text)) => SeenValue::Text(text.clone()),
            Some(AttributeValue::N(digits)) => SeenValue::Number(digits.clone()),
            Some(AttributeValue::Bool(_)) => SeenValue::Other("BOOL"),
            Some(AttributeValue::Null(_)) => SeenValue::Other("NULL"),
            Some(AttributeValue::B(_)) => SeenValue::Other("B"),
            Some(AttributeValue::Bs(_)) => SeenValue::Other("BS"),
            Some(AttributeValue::Ss(_)) => SeenValue::Other("SS"),
            Some(AttributeValue::Ns(_)) => SeenValue::Other("NS"),
            Some(AttributeValue::M(_)) => SeenValue::Other("M"),
            Some(_) => SeenValue::Other("L"),
        }
    }

    pub(super) fn text(self, name: &str) -> Result<Option<&'a str>, Damage> {
        match self.0.get(name) {
            None => Ok(None),
            Some(AttributeValue::S(text)) => Ok(Some(text)),
            Some(other) => Err(mistyped(name, "a string", other)),
        }
    }

    pub(super) fn number<N: FromStr>(self, name: &str) -> Result<Option<N>, Damage>
    where
        N::Err: Display,
    {
        match self.0.get(name) {
            None => Ok(None),
            Some(AttributeValue::N(digits)) => {
                digits.parse().map(Some).map_err(|why| Damage(format!("`{name}` is {digits}: {why}")))
            }
            Some(other) => Err(mistyped(name, "a number", other)),
        }
    }

    /// Decodes a counter. One that is too large to be incremented is damage: no counter reaches it.
    pub(super) fn counter(self, name: &str) -> Result<Option<u64>, Damage> {
        match self.number(name)? {
            Some(counter) if counter > LARGEST_COUNTER => {
                Err(Damage(format!("`{name}` is {counter}: no counter is above 2^62 ({LARGEST_COUNTER})")))
            }
            counter => Ok(counter),
        }
    }

    pub(super) fn flag(self, name: &str) -> Result<bool, Damage> {
        match self.0.get(name) {
            None => Ok(false),
            Some(AttributeValue::Bool(flag)) => Ok(*flag),
            Some(other) => Err(mistyped(name, "a boolean", other)),
        }
    }

    /// Decodes a set, sorted, because the service does not keep an order; empty if absent.
    pub(super) fn text_set(self, name: &str) -> Result<Vec<&'a str>, Damage> {
        match self.0.get(name) {
            None => Ok(Vec::new()),
            Some(AttributeValue::Ss(members)) => {
                let mut members: Vec<&str> = members.iter().map(String::as_str).collect();
                members.sort_unstable();
                Ok(members)
            }
            Some(other) => Err(mistyped(name, "a set of strings", other)),
        }
    }

    /// Decodes bytes; `None` if the attribute is absent or of another type.
    pub(super) fn bytes(self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name)?.as_b().ok().map(|bytes| bytes.as_ref().to_vec())
    }

    /// Decodes a list of strings.
    pub(super) fn texts(self, name: &str) -> Result<Vec<&'a str>, Damage> {
        match self.0.get(name) {
            None => Ok(Vec::new()),
            Some(AttributeValue::L(list)) => list
                .iter()
                .map(|entry| {
                    entry.as_s().map(String::as_str).map_err(|other| mistyped(name, "a list of strings", other))
                })
                .collect(),
            Some(other) => Err(mistyped(name, "a list of strings", other)),
        }
    }

    /// Decodes a list of maps.
    pub(super) fn maps(self, name: &str) -> Result<Vec<Fields<'a>>, Damage> {
        match self.0.get(name) {
            None => Ok(Vec::new()),
            Some(AttributeValue::L(list)) => list
                .iter()
                .map(|entry| entry.as_m().map(Fields).map_err(|other| mistyped(name, "a list of maps", other)))
                .collect(),
            Some(other) => Err(mistyped(name, "a list of maps", other)),
        }
    }
}

/// Returns an error for a missing attribute.
pub(super) fn required<T>(name: &str, value: Option<T>) -> Result<T, Damage> {
    value.ok_or_else(|| Damage(format!("`{name}` is missing")))
}

/// Describes an attribute of the wrong type. Contains only the type, because the value may be
/// confidential.
#[allow(clippy::wildcard_enum_match_arm, reason = "the SDK's enum is open")]
fn mistyped(name: &str, wanted: &str, found: &AttributeValue) -> Damage {
    let found = match found {
        AttributeValue::B(_) => "binary",
        AttributeValue::Bool(_) => "a boolean",
        AttributeValue::Bs(_) => "a set of binaries",
        AttributeValue::L(_) => "a list",
        AttributeValue::M(_) => "a map",
        AttributeValue::N(_) => "a number",
        AttributeValue::Ns(_) => "a set of numbers",
        AttributeValue::Null(_) => "null",
        AttributeValue::S(_) => "a string",
        AttributeValue::Ss(_) => "a set of strings",
        _ => "of an unknown type",
    };
    Damage(format!("`{name}` is {found}, not {wanted}"))
}

pub(in super::super) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(in super::super) fn number(number: impl Display) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(in super::super) fn flag(flag: bool) -> AttributeValue {
    AttributeValue::Bool(flag)
}

/// Encodes a set; `None` for an empty one, which DynamoDB rejects.
pub(in super::super) fn text_set<T: Display>(members: &[T]) -> Option<AttributeValue> {
    let mut members: Vec<String> = members.iter().map(T::to_string).collect();
    members.sort_unstable();
    members.dedup();
    (!members.is_empty()).then_some(AttributeValue::Ss(members))
}
