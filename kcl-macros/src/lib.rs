//! Derive macros of kcl-core, documented where it re-exports them.

mod attribute;
mod errors;
mod expand;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `kcl_core::RecordProcessor`; see there.
#[proc_macro_derive(RecordProcessor, attributes(processor))]
pub fn record_processor(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::record_processor(&input).into()
}
