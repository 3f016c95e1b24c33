//! Computes the position that is safe to checkpoint, and the completed ranges beyond it, from
//! acknowledgements.

mod completed_ranges;
mod watermark;

pub(crate) use completed_ranges::CompletedRanges;
pub(crate) use watermark::{Positions, Watermark};
