//! The errors of the checkpoint stores.

/// The reason why a checkpoint was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A newer owner of the lease has begun; transactions of this owner are rejected from now on.
    /// Roll back.
    #[error(
        "lease `{lease}` of `{application}` is fenced in table `{table}`: a handler with fencing token {highest_token} has \
         begun, and this handler has {own_token}. Another worker owns the lease now. (If the lease table was restored from a \
         backup or created again, its tokens start from a lower number: set `fencing_token` of the row to 0.)"
    )]
    Fenced {
        /// The table.
        table: String,
        /// The application.
        application: String,
        /// The lease.
        lease: String,
        /// The fencing token of this handler.
        own_token: u64,
        /// The highest fencing token of the lease.
        highest_token: u64,
    },
    /// The table has no row of the lease: the worker was built without this store, or the row was
    /// deleted.
    #[error(
        "table `{table}` has no row for lease `{lease}` of `{application}`: build the worker with this store \
         (`checkpoint_store`), and do not delete rows while the application exists"
    )]
    UnknownLease {
        /// The table.
        table: String,
        /// The application.
        application: String,
        /// The lease.
        lease: String,
    },
    /// A row of the table has an invalid value.
    #[error("table `{table}`, lease `{lease}` of `{application}`: {reason}")]
    InvalidRow {
        /// The table.
        table: String,
        /// The application.
        application: String,
        /// The lease.
        lease: String,
        /// The invalid value.
        reason: String,
    },
    /// The table cannot store a number; nothing was written.
    ///
    /// A number that is too large is never rounded, because two owners of a lease must not have
    /// equal fencing tokens.
    #[error("table `{table}`, lease `{lease}` of `{application}`: {reason}; nothing was written")]
    Unstorable {
        /// The table.
        table: String,
        /// The application.
        application: String,
        /// The lease.
        lease: String,
        /// The number, and the reason.
        reason: String,
    },
    /// The name of the table is not allowed.
    #[error("invalid table name `{0}`: use at most 63 letters, digits and `_`, and do not begin with a digit")]
    TableName(String),
    /// The database refused a statement, or did not answer.
    #[error("table `{table}`: {source}")]
    Database {
        /// The table.
        table: String,
        /// The error of the database.
        #[source]
        source: sqlx::Error,
    },
}
