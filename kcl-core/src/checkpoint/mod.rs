//! From acknowledgements to the one position that is safe to checkpoint, and what is done beyond it.

mod done;
mod watermark;

pub(crate) use done::Done;
pub(crate) use watermark::{Positions, Watermark};
