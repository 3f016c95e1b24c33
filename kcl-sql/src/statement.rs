//! Builds the SQL statements of the checkpoint table. SQLite and PostgreSQL accept the same
//! statements.

use crate::Error;

/// The longest name of a table, in bytes: PostgreSQL truncates longer identifiers.
const MAX_NAME_BYTES: usize = 63;

/// The name of the table, checked so that a statement can contain it without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table(String);

impl Default for Table {
    fn default() -> Self {
        Table("kcl_checkpoint".to_owned())
    }
}

impl Table {
    pub(crate) fn named(name: &str) -> Result<Self, Error> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let starts_well = name.chars().next().is_some_and(|first| !first.is_ascii_digit());
        if starts_well && name.len() <= MAX_NAME_BYTES && name.chars().all(is_allowed) {
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

    /// Stores a fencing token and returns the position. Returns no row if the table has a higher
    /// token.
    pub(crate) fn begin(&self) -> String {
        let table = &self.0;
        format!(
            "INSERT INTO {table} (application, lease, fencing_token) VALUES ($1, $2, $3) \
             ON CONFLICT (application, lease) DO UPDATE SET fencing_token = excluded.fencing_token \
             WHERE {table}.fencing_token <= excluded.fencing_token \
             RETURNING sequence_number, sub_sequence_number"
        )
    }

    /// Locks the row until the transaction ends and returns the position. Returns no row if the
    /// token is another one.
    ///
    /// An UPDATE that changes nothing, because it takes the lock that the later write of the
    /// position needs: between the two no other owner can begin.
    pub(crate) fn lock_row(&self) -> String {
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

    pub(crate) fn fencing_token(&self) -> String {
        format!("SELECT fencing_token FROM {} WHERE application = $1 AND lease = $2", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_needs_no_quotes_reaches_a_statement() {
        for bad in ["", "1st", "a b", "a;DROP TABLE b", "a\"b", "schema.table", &"a".repeat(64)] {
            assert!(matches!(Table::named(bad), Err(Error::TableName(_))), "{bad}");
        }
        assert_eq!(Table::named("_checkpoints_2").unwrap().as_str(), "_checkpoints_2");
    }
}
