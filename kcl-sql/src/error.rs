//! What can go wrong, for whoever has to mend it.

/// Why a checkpoint was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another owner has the lease: this one's transactions are refused from now on. Roll back.
    #[error(
        "lease `{lease}` of `{application}` is fenced in table `{table}`: fencing token {seen} has been there, and this \
         handler works under {own}; another worker has the lease now (or the lease table was restored from a backup or \
         created again, and counts from a lower number: then set `fencing_token` of the row to 0)"
    )]
    Fenced {
        /// The table.
        table: String,
        /// The application.
        application: String,
        /// The lease.
        lease: String,
        /// The token that the handler works under.
        own: u64,
        /// The highest that the table has seen.
        seen: u64,
    },
    /// The lease was never begun: the worker was not built with this store.
    #[error(
        "table `{table}` does not know lease `{lease}` of `{application}`: give the worker this store \
         (`checkpoint_store`), and do not delete rows of a living application"
    )]
    Unknown {
        /// The table.
        table: String,
        /// The application.
        application: String,
        /// The lease.
        lease: String,
    },
    /// A row cannot be read.
    #[error("table `{table}`, lease `{lease}` of `{application}`: {why}")]
    Damaged {
        /// The table.
        table: String,
        /// The application.
        application: String,
        /// The lease.
        lease: String,
        /// What is wrong.
        why: String,
    },
    /// A number cannot be kept in the table, so nothing was written. Two owners of a lease must never have equal tokens.
    #[error("table `{table}`, lease `{lease}` of `{application}`: {why}; nothing was written")]
    Unstorable {
        /// The table.
        table: String,
        /// The application.
        application: String,
        /// The lease.
        lease: String,
        /// Which number.
        why: String,
    },
    /// The table's name is none.
    #[error("`{0}` is no name for a table here: letters, digits and `_`, at most 63, and no digit first")]
    TableName(String),
    /// The database refused, or did not answer.
    #[error("table `{table}`: {source}")]
    Database {
        /// The table.
        table: String,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
}
