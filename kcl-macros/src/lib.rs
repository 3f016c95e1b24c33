//! Derive macros of kcl-core.
