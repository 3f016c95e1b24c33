//! From acknowledgements to the one position that is safe to checkpoint, and what is done beyond it.

mod completed_ranges;
mod watermark;

pub(crate) use completed_ranges::CompletedRanges;
pub(crate) use watermark::{Positions, Watermark};
