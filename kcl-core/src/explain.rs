//! Why each lease is where it is: for whoever looks at a table and wonders.
//!
//! ```
//! # async fn look(store: &dyn kcl_core::lease::LeaseStore) -> Result<(), Box<dyn std::error::Error>> {
//! let table = store.scan().await?;
//! for explanation in kcl_core::explain::explain(&table, &kcl_core::Settings::default()) {
//!     println!("{explanation}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The leader itself knows more than rows tell (who was silent, who did not take what it was told to take), and says it
//! at the level `debug` under the target `kcl::explain`, whenever the reason of a lease becomes another.

pub use crate::coordination::{Ended, Explanation, Reason, Stays, explain};
