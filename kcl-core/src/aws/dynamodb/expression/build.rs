//! Builds a condition and an update clause by clause.

use super::{Item, attributes};
use crate::lease::{Row, RowKey};
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;

/// One conditional request.
#[derive(Debug, PartialEq)]
pub(in super::super) struct Request {
    /// The action.
    pub(in super::super) action: Action,
    /// The condition.
    pub(in super::super) condition: String,
    /// The attribute names of the `#name` placeholders.
    pub(in super::super) names: HashMap<String, String>,
    /// The values of the `:name` placeholders; `None` if there are none, because the service
    /// rejects an empty map.
    pub(in super::super) values: Option<HashMap<String, AttributeValue>>,
}

/// The action of a request.
#[derive(Debug, PartialEq)]
pub(in super::super) enum Action {
    /// Puts a whole item.
    Put(Item),
    /// Changes attributes of an item.
    Update { key: Item, update: String },
    /// Deletes an item.
    Delete { key: Item },
}

impl Action {
    /// The operation's name.
    pub(in super::super) fn operation(&self) -> &'static str {
        match self {
            Action::Put(_) => "PutItem",
            Action::Update { .. } => "UpdateItem",
            Action::Delete { .. } => "DeleteItem",
        }
    }
}

/// The clauses of a request. Attributes are written as `#` and their name, because many are
/// reserved words. A value to set is `:` and the attribute's name, a value to compare with is
/// `:is_` and the name.
#[derive(Default)]
pub(super) struct Expression {
    set: Vec<String>,
    add: Vec<String>,
    remove: Vec<String>,
    condition: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Expression {
    pub(super) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        let clause = format!("{} = {}", self.name(name), self.value(format!(":{name}"), value));
        self.set.push(clause);
        self
    }

    /// Sets an attribute that does not exist yet.
    pub(super) fn set_if_absent(mut self, name: &str, value: AttributeValue) -> Self {
        let attribute = self.name(name);
        let clause = format!("{attribute} = if_not_exists({attribute}, {})", self.value(format!(":{name}"), value));
        self.set.push(clause);
        self
    }

    pub(super) fn add_one(mut self, name: &str) -> Self {
        let clause = format!("{} {}", self.name(name), self.value(":one".to_owned(), attributes::number(1)));
        self.add.push(clause);
        self
    }

    pub(super) fn remove(mut self, name: &str) -> Self {
        let clause = self.name(name);
        self.remove.push(clause);
        self
    }

    /// Sets a value, or removes the attribute for `None`.
    pub(super) fn set_or_remove(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    pub(super) fn equals(self, name: &str, value: AttributeValue) -> Self {
        self.compare(name, "=", value)
    }

    pub(super) fn differs(self, name: &str, value: AttributeValue) -> Self {
        self.compare(name, "<>", value)
    }

    pub(super) fn absent(mut self, name: &str) -> Self {
        let clause = format!("attribute_not_exists({})", self.name(name));
        self.condition.push(clause);
        self
    }

    /// The attribute exists and has this type, given by DynamoDB's type letters.
    pub(super) fn of_type(mut self, name: &str, of_type: &str) -> Self {
        let attribute = self.name(name);
        let of_type = self.value(format!(":type_{}", of_type.to_lowercase()), attributes::text(of_type));
        self.condition.push(format!("attribute_type({attribute}, {of_type})"));
        self
    }

    /// Equal to the value, or absent for `None`.
    pub(super) fn equals_or_absent(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.equals(name, value),
            None => self.absent(name),
        }
    }

    /// Equal to one of these values.
    pub(super) fn one_of<const N: usize>(mut self, name: &str, values: [AttributeValue; N]) -> Self {
        let placeholders: Vec<String> =
            values.into_iter().enumerate().map(|(i, value)| self.value(format!(":is_{name}_{i}"), value)).collect();
        let clause = format!("{} IN ({})", self.name(name), placeholders.join(", "));
        self.condition.push(clause);
        self
    }

    /// A condition in DynamoDB's syntax, over these names and values.
    pub(super) fn holds<const N: usize>(
        mut self,
        condition: &str,
        names: [&str; N],
        values: impl IntoIterator<Item = (&'static str, AttributeValue)>,
    ) -> Self {
        for name in names {
            self.name(name);
        }
        for (placeholder, value) in values {
            self.value(placeholder.to_owned(), value);
        }
        self.condition.push(condition.to_owned());
        self
    }

    pub(super) fn put(self, row: &Row) -> Request {
        self.request(Action::Put(attributes::encode(row)))
    }

    pub(super) fn update(self, row: &RowKey) -> Request {
        let clauses = [("SET", &self.set), ("ADD", &self.add), ("REMOVE", &self.remove)];
        let update: Vec<String> = clauses
            .into_iter()
            .filter(|(_, clauses)| !clauses.is_empty())
            .map(|(keyword, clauses)| format!("{keyword} {}", clauses.join(", ")))
            .collect();
        let update = update.join(" ");
        self.request(Action::Update { key: attributes::key(row), update })
    }

    pub(super) fn delete(self, row: &RowKey) -> Request {
        self.request(Action::Delete { key: attributes::key(row) })
    }

    fn request(self, action: Action) -> Request {
        Request {
            action,
            condition: self.condition.join(" AND "),
            names: self.names,
            values: (!self.values.is_empty()).then_some(self.values),
        }
    }

    fn compare(mut self, name: &str, operator: &str, value: AttributeValue) -> Self {
        let clause = format!("{} {operator} {}", self.name(name), self.value(format!(":is_{name}"), value));
        self.condition.push(clause);
        self
    }

    fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#{name}");
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    fn value(&mut self, placeholder: String, value: AttributeValue) -> String {
        self.values.insert(placeholder.clone(), value);
        placeholder
    }
}
