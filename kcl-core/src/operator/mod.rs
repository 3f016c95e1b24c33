//! Inspects and changes the lease table of an application from outside its workers.
//!
//! The command `kcl` offers the same: `kcl quarantine` and `kcl handback`.
//!
#![cfg_attr(feature = "aws", doc = "```no_run")]
#![cfg_attr(not(feature = "aws"), doc = "```ignore")]
//! use kcl_core::aws::{Clients, DynamoDbStore};
//! use kcl_core::operator::{explain, quarantine};
//!
//! # async fn example() -> Result<(), kcl_core::Error> {
//! let table = DynamoDbStore::new(Clients::from_environment().await?.dynamodb, "delays");
//! for lease in explain(&table, &kcl_core::Settings::default()).await? {
//!     println!("{}: {}", lease.lease, lease.reason);
//! }
//! // The bug is fixed: handle the records of all quarantined keys again.
//! quarantine::resume(&table, &quarantine::KeySelector::All).await?;
//! # Ok(())
//! # }
//! ```

pub mod quarantine;

use crate::config::Settings;
pub use crate::coordination::{Handback, HandbackOptions, HandbackProgress, handback};
use crate::error::Error;
use crate::lease::LeaseStore;

/// A lease, and why it has its present owner or none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseExplanation {
    /// The lease's key in the table.
    pub lease: String,
    /// The reason, as a sentence.
    pub reason: String,
}

/// Explains for each lease of a table why it has its present owner or none, in the order of the
/// lease keys.
///
/// `settings` are those of the application's workers; the reasons depend on them. The rows alone do
/// not show which worker has just died: its leases count as its own until the fleet has ended its
/// session. The leader knows more, and logs the reason of a lease at the level `debug` under the
/// target `kcl::explain` when it changes.
///
/// # Errors
/// When the table does not answer.
pub async fn explain(store: &dyn LeaseStore, settings: &Settings) -> Result<Vec<LeaseExplanation>, Error> {
    let table = crate::coordination::read_table(store).await?;
    let explained = crate::coordination::explain(&table, settings).into_iter();
    let text = |explanation: crate::coordination::Explanation| LeaseExplanation {
        lease: explanation.lease.to_string(),
        reason: explanation.reason.to_string(),
    };
    Ok(explained.map(text).collect())
}
