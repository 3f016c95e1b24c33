//! What consumers tell.
