//! The derive macro of `kcl-core`, which re-exports and documents it. Do not depend on this crate
//! directly.

mod attribute;
mod errors;
mod expand;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `kcl_core::RecordProcessor`; see its documentation there.
#[proc_macro_derive(RecordProcessor, attributes(processor))]
pub fn record_processor(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::record_processor(&input).into()
}
