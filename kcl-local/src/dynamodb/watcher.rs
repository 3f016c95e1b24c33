//! Calls back for every item of a table that a write changed.

use std::collections::HashMap;
use std::fmt;

use dynoxide::Database;
use serde_json::{Value, json};

use super::dispatch;

/// An item that a write has just changed, in DynamoDB's own JSON (`{"S": "..."}`).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ItemChange<'a> {
    /// The client's name from [`LocalAws::sdk_config_for`](crate::LocalAws::sdk_config_for), if it
    /// has one.
    pub caller: Option<&'a str>,
    /// The item before; `None` if there was none.
    pub before: Option<&'a Value>,
    /// The item after; `None` if it was deleted.
    pub after: Option<&'a Value>,
}

/// Watches one table whose hash key is a string.
pub(crate) struct Watcher {
    table: String,
    key: String,
    on_change: Box<dyn FnMut(ItemChange<'_>) + Send>,
    known: HashMap<String, Value>,
}

impl Watcher {
    pub(crate) fn new(table: &str, key: &str, on_change: Box<dyn FnMut(ItemChange<'_>) + Send>) -> Self {
        Self { table: table.to_owned(), key: key.to_owned(), on_change, known: HashMap::new() }
    }

    /// Reports the change of a finished write, if it concerns the table.
    pub(super) fn notify(&mut self, database: &Database, operation: &str, body: &[u8], caller: Option<&str>) {
        let member = match operation {
            "PutItem" => "Item",
            "UpdateItem" | "DeleteItem" => "Key",
            _ => return,
        };
        let Ok(input) = serde_json::from_slice::<Value>(body) else { return };
        let Some(key) = input[member][&self.key]["S"].as_str().filter(|_| input["TableName"] == self.table.as_str())
        else {
            return;
        };
        let get_item = json!({"TableName": self.table, "Key": {&self.key: {"S": key}}, "ConsistentRead": true});
        let Ok(answer) = dispatch::run(database, "GetItem", get_item.to_string().as_bytes()) else { return };
        let after =
            serde_json::from_slice::<Value>(&answer).ok().and_then(|mut answer| Some(answer.get_mut("Item")?.take()));
        let before = match &after {
            Some(item) => self.known.insert(key.to_owned(), item.clone()),
            None => self.known.remove(key),
        };
        if before != after {
            (self.on_change)(ItemChange { caller, before: before.as_ref(), after: after.as_ref() });
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("table", &self.table).finish_non_exhaustive()
    }
}
