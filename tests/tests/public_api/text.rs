//! Writes declarations as text.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Fields, Meta};

/// Tokens as one line, with the spaces of rustfmt as far as that is simple.
pub(crate) fn line(tokens: impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" ::", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" >", ">"),
        ("( ", "("),
        (" )", ")"),
        (" ,", ","),
        (" ;", ";"),
        (" :", ":"),
        ("& ", "&"),
        (" (", "("),
        ("[ ", "["),
        (" ]", "]"),
        (" ?", "?"),
        (" !", "!"),
        ("' ", "'"),
        (",)", ")"),
        (",>", ">"),
        ("= >", "=>"),
        ("->", " -> "),
        ("  ", " "),
    ] {
        text = text.replace(from, to);
    }
    text
}

/// Whether an item is excluded from the documentation, and so from the interface.
pub(crate) fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = line(&attribute.meta);
        // `cfg_attr` hides what the feature `unstable-store`, which no listed build has, makes public.
        text == "doc(hidden)" || text.starts_with("cfg_attr(not(feature = \"unstable-store\"), doc(hidden)")
    })
}

/// Markers before a declaration: whether it may grow, and what it derives.
pub(crate) fn markers(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes {
        match &attribute.meta {
            Meta::Path(path) if path.is_ident("non_exhaustive") => text += "#[non_exhaustive] ",
            Meta::List(list) if list.path.is_ident("derive") || list.path.is_ident("proc_macro_derive") => {
                text += &format!("#[{}] ", line(list));
            }
            _ => {}
        }
    }
    text
}

/// The public fields of a struct, or all fields of a variant.
pub(crate) fn fields(fields: &Fields, all: bool) -> Vec<String> {
    let is_shown = |field: &&syn::Field| all || crate::krate::is_public(&field.vis);
    let name = |(index, field): (usize, &syn::Field)| {
        let name = field.ident.as_ref().map_or_else(|| index.to_string(), ToString::to_string);
        format!("{name}: {}", line(&field.ty))
    };
    fields.iter().enumerate().filter(|(_, field)| is_shown(field)).map(name).collect()
}

/// The rows of a macro's input: the parts of its largest list that `;` ends, without their documentation.
pub(crate) fn rows(tokens: TokenStream) -> Vec<String> {
    let mut rows = vec![TokenStream::new()];
    let mut inner: Vec<Vec<String>> = Vec::new();
    let mut skips_group = false;
    for token in tokens {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ';' => rows.push(TokenStream::new()),
            // A doc comment is `#[doc = ...]`.
            TokenTree::Punct(punct) if punct.as_char() == '#' => skips_group = true,
            TokenTree::Group(group) if skips_group && group.delimiter() == Delimiter::Bracket => skips_group = false,
            TokenTree::Group(group) => {
                inner.push(crate::text::rows(group.stream()));
                rows.last_mut().unwrap().extend([token.clone()]);
            }
            TokenTree::Punct(_) | TokenTree::Ident(_) | TokenTree::Literal(_) => {
                rows.last_mut().unwrap().extend([token.clone()]);
            }
        }
    }
    let own: Vec<String> = rows.into_iter().map(line).filter(|row| !row.is_empty()).collect();
    inner.into_iter().chain([own]).max_by_key(Vec::len).unwrap_or_default()
}
