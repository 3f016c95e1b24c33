//! From acknowledgements to the one position that is safe to checkpoint.
