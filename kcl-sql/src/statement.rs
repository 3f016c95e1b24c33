//! The statements, over a table whose name was checked. Every database here takes them as they are.

use crate::Error;

/// The longest name that PostgreSQL keeps.
const LONGEST: usize = 63;

/// A table's name that can stand in a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table(String);

impl Default for Table {
    fn default() -> Self {
        Table("kcl_checkpoint".to_owned())
    }
}

impl Table {
    pub(crate) fn named(name: &str) -> Result<Self, Error> {
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let begins = name.chars().next().is_some_and(|first| !first.is_ascii_digit());
        if begins && name.len() <= LONGEST && name.chars().all(fine) {
            return Ok(Table(name.to_owned()));
        }
        Err(Error::TableName(name.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn create(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (application TEXT NOT NULL, lease TEXT NOT NULL, fencing_token BIGINT NOT NULL, \
             sequence_number TEXT, sub_sequence_number BIGINT, PRIMARY KEY (application, lease))",
            self.0
        )
    }

    /// Remembers a token, unless a higher one is known: then no row is returned.
    pub(crate) fn begin(&self) -> String {
        let table = &self.0;
        format!(
            "INSERT INTO {table} (application, lease, fencing_token) VALUES ($1, $2, $3) \
             ON CONFLICT (application, lease) DO UPDATE SET fencing_token = excluded.fencing_token \
             WHERE {table}.fencing_token <= excluded.fencing_token \
             RETURNING sequence_number, sub_sequence_number"
        )
    }

    /// Holds the row until the transaction ends, if its token is this one: else no row is returned. (It changes nothing, but
    /// is a write: so whoever reads the position also has the right to move it.)
    pub(crate) fn hold(&self) -> String {
        format!(
            "UPDATE {} SET fencing_token = fencing_token WHERE application = $1 AND lease = $2 AND fencing_token = $3 \
             RETURNING sequence_number, sub_sequence_number",
            self.0
        )
    }

    pub(crate) fn advance(&self) -> String {
        format!(
            "UPDATE {} SET sequence_number = $3, sub_sequence_number = $4 WHERE application = $1 AND lease = $2",
            self.0
        )
    }

    pub(crate) fn token(&self) -> String {
        format!("SELECT fencing_token FROM {} WHERE application = $1 AND lease = $2", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_name_reaches_a_statement() {
        for bad in ["", "1st", "a b", "a;DROP TABLE b", "a\"b", "schema.table", &"a".repeat(64)] {
            assert!(matches!(Table::named(bad), Err(Error::TableName(_))), "{bad}");
        }
        assert_eq!(Table::named("_checkpoints_2").unwrap().as_str(), "_checkpoints_2");
    }
}
