//! Generates the `impl RecordProcessor`.

use crate::attribute::{self, Processor};
use crate::errors::Errors;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, GenericParam, Path, parse_quote};

/// Generates the code for `#[derive(RecordProcessor)]`. Errors are accompanied by a stub
/// implementation, so that the compiler does not report a missing implementation as well.
pub(crate) fn record_processor(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    check_shape(input, &mut errors);
    let processor = attribute::read(&input.attrs, input.ident.span(), &mut errors);
    let krate = processor.krate.clone().unwrap_or_else(|| parse_quote!(::kcl_core));
    match (errors.into_tokens(), &processor.handler) {
        (None, Some(handler)) => {
            let methods = [process_records(&krate, handler), callbacks(&krate, &processor)];
            implementation(input, &krate, &quote!(#(#methods)*))
        }
        // For a struct that borrows, a stub would cause more errors than it avoids.
        (Some(errors), _) if input.generics.lifetimes().next().is_some() => errors,
        (errors, _) => {
            let stub = quote! {
                async fn process_records(
                    &mut self,
                    _: &#krate::Batch,
                    _: &#krate::ShardContext,
                ) -> ::core::result::Result<(), #krate::BoxError> {
                    ::core::unreachable!()
                }
            };
            let implementation = implementation(input, &krate, &stub);
            quote!(#errors #implementation)
        }
    }
}

fn check_shape(input: &DeriveInput, errors: &mut Errors) {
    const STRUCTS: &str = "a record processor must be a struct: put this type into a field of a struct";
    match &input.data {
        Data::Struct(_) => {}
        Data::Enum(data) => errors.at(data.enum_token.span, STRUCTS),
        Data::Union(data) => errors.at(data.union_token.span, STRUCTS),
    }
    for lifetime in input.generics.lifetimes() {
        errors.at(
            lifetime.lifetime.span(),
            "a record processor outlives the function that makes it, so it cannot borrow: own the value, or share it in an `Arc`",
        );
    }
}

fn implementation(input: &DeriveInput, krate: &Path, methods: &TokenStream) -> TokenStream {
    let mut generics = input.generics.clone();
    for parameter in &mut generics.params {
        if let GenericParam::Type(parameter) = parameter {
            parameter.bounds.push(parse_quote!(::core::marker::Send));
            parameter.bounds.push(parse_quote!('static));
        }
    }
    let (parameters, _, conditions) = generics.split_for_impl();
    let (_, arguments, _) = input.generics.split_for_impl();
    let name = &input.ident;
    quote! {
        #[automatically_derived]
        impl #parameters #krate::RecordProcessor for #name #arguments #conditions {
            #methods
        }
    }
}

/// Generates `process_records`. The call has the span of the handler's name, so that compiler
/// errors about the call point there. The type to decode is inferred from the handler's parameter.
fn process_records(krate: &Path, handler: &Ident) -> TokenStream {
    let (batch, shard) = (Ident::new("batch", Span::mixed_site()), Ident::new("shard", Span::mixed_site()));
    let at = handler.span().resolved_at(Span::mixed_site());
    let decode = at_span(quote!(#krate::__private::decode), at);
    let unescaped = at_span(quote!(#krate::__private::Unescaped), at);
    let failed = at_span(quote!(#krate::__private::failed), at);
    // `self` has to resolve to the generated `fn` below, even if a macro wrote the handler's name.
    let receiver = Ident::new("self", handler.span().resolved_at(Span::call_site()));
    let handler = Ident::new(&handler.to_string(), at);
    let call = quote_spanned!(at=> #receiver.#handler(value, meta).await);
    let handled = quote_spanned! {at=>
        let unescaped = #unescaped::default();
        let mut records = #decode(#batch, #shard, &unescaped);
        while let ::core::option::Option::Some(record) = records.next() {
            let (value, meta) = record?;
            let handled: ::core::result::Result<(), _> = #call;
            if let ::core::result::Result::Err(error) = handled {
                return ::core::result::Result::Err(#failed(meta, error));
            }
        }
        ::core::result::Result::Ok(())
    };
    quote! {
        async fn process_records(
            &mut self,
            #batch: &#krate::Batch,
            #shard: &#krate::ShardContext,
        ) -> ::core::result::Result<(), #krate::BoxError> {
            #handled
        }
    }
}

fn callbacks(krate: &Path, processor: &Processor) -> TokenStream {
    let Processor { krate: _, handler: _, initialize, lease_lost, shard_ended, shutdown_requested } = processor;
    let fallible =
        [("initialize", initialize), ("shard_ended", shard_ended), ("shutdown_requested", shutdown_requested)];
    let fallible = fallible.into_iter().filter_map(|(callback, method)| {
        let method = method.as_ref()?;
        let (callback, call) = (Ident::new(callback, Span::call_site()), call(method));
        Some(quote! {
            async fn #callback(&mut self, shard: &#krate::ShardContext) -> ::core::result::Result<(), #krate::BoxError> {
                let done: ::core::result::Result<(), _> = #call;
                done?;
                ::core::result::Result::Ok(())
            }
        })
    });
    let lease_lost = lease_lost.iter().map(|method| {
        let call = call(method);
        quote! {
            async fn lease_lost(&mut self, shard: &#krate::ShardContext) {
                let () = #call;
            }
        }
    });
    quote!(#(#fallible)* #(#lease_lost)*)
}

fn call(method: &Ident) -> TokenStream {
    let at = method.span().resolved_at(Span::call_site());
    let method = Ident::new(&method.to_string(), at);
    quote_spanned!(at=> self.#method(shard).await)
}

/// The same tokens, with the location of `span`.
fn at_span(tokens: TokenStream, span: Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|mut token| {
            token.set_span(token.span().located_at(span));
            token
        })
        .collect()
}
