//! From acknowledgements to the one position that is safe to checkpoint.

mod watermark;

pub(crate) use watermark::{Ticket, Watermark};
