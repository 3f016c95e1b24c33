//! What the table and the stream clients tell.
