//! Parses the attribute `#[processor(...)]`: its keys and their values.

use crate::errors::Errors;
use proc_macro2::Span;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Ident, Lit, LitStr, Meta, Path, Token};

/// The content of the attribute.
#[derive(Default)]
pub(crate) struct Processor {
    /// The path of kcl-core, if it is not `::kcl_core`.
    pub(crate) krate: Option<Path>,
    /// The method that is called with each record. `None` only if an error was reported.
    pub(crate) handler: Option<Ident>,
    /// The methods for the other callbacks.
    pub(crate) initialize: Option<Ident>,
    pub(crate) lease_lost: Option<Ident>,
    pub(crate) shard_ended: Option<Ident>,
    pub(crate) shutdown_requested: Option<Ident>,
}

/// A key of the attribute.
#[derive(Clone, Copy, PartialEq)]
enum Key {
    Json,
    Handler,
    Crate,
    Initialize,
    LeaseLost,
    ShardEnded,
    ShutdownRequested,
}

impl Key {
    const ALL: [Key; 7] =
        [Key::Json, Key::Handler, Key::Crate, Key::Initialize, Key::LeaseLost, Key::ShardEnded, Key::ShutdownRequested];

    fn name(self) -> &'static str {
        match self {
            Key::Json => "json",
            Key::Handler => "handler",
            Key::Crate => "crate",
            Key::Initialize => "initialize",
            Key::LeaseLost => "lease_lost",
            Key::ShardEnded => "shard_ended",
            Key::ShutdownRequested => "shutdown_requested",
        }
    }

    fn parse(path: &Path) -> Option<Key> {
        Key::ALL.into_iter().find(|key| path.is_ident(key.name()))
    }

    /// The key that is closest to an unknown one, if it is close enough for a suggestion.
    fn nearest(written: &str) -> Option<Key> {
        let similarity = |key: &Key| strsim::jaro_winkler(key.name(), written);
        let best = Key::ALL.into_iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
        // Below this threshold, unrelated words that share some letters would be suggested.
        (similarity(&best) > 0.8).then_some(best)
    }
}

/// Reports an unknown key. Returns the closest known key, so that it is not reported as missing as
/// well.
fn report_unknown(path: &Path, errors: &mut Errors) -> Option<Key> {
    let written = path.segments.iter().map(|part| part.ident.to_string()).collect::<Vec<_>>().join("::");
    let meant = Key::nearest(&written);
    let advice = match meant {
        Some(key) => format!("did you mean `{}`?", key.name()),
        None => format!("expected {}", Key::ALL.map(|key| format!("`{}`", key.name())).join(", ")),
    };
    errors.at(path.span(), format!("unknown attribute `{written}`: {advice}"));
    meant
}

/// Parses all `#[processor(...)]` attributes of a struct. Errors about missing keys point at `name`
/// if there is no attribute.
pub(crate) fn read(attributes: &[Attribute], name: Span, errors: &mut Errors) -> Processor {
    let mut processor = Processor::default();
    let mut seen: Vec<Key> = Vec::new();
    let ours: Vec<_> = attributes.iter().filter(|attribute| attribute.path().is_ident("processor")).collect();
    // An attribute that does not parse may contain the keys that would be reported as missing.
    let mut unreadable = false;
    for attribute in &ours {
        match attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) {
            Ok(entries) => {
                for entry in entries {
                    let Some(key) = Key::parse(entry.path()) else {
                        seen.extend(report_unknown(entry.path(), errors));
                        continue;
                    };
                    if seen.contains(&key) {
                        errors.at(entry.path().span(), format!("`{}` is given twice", key.name()));
                        continue;
                    }
                    seen.push(key);
                    processor.take(key, &entry, errors);
                }
            }
            Err(error) => {
                unreadable = true;
                errors.add(error);
            }
        }
    }
    if !unreadable {
        let at = ours.first().map_or(name, |attribute| attribute.path().span());
        if !seen.contains(&Key::Json) {
            errors.at(at, "the records' format is missing: add `json`, as in `#[processor(json, handler = \"...\")]`");
        }
        if !seen.contains(&Key::Handler) {
            errors.at(
                at,
                "the handler is missing: add `handler = \"...\"` with the name of an \
                 `async fn(&mut self, T, &RecordMeta) -> Result<(), BoxError>` of this type",
            );
        }
    }
    processor
}

impl Processor {
    fn take(&mut self, key: Key, entry: &Meta, errors: &mut Errors) {
        match key {
            Key::Json => {
                if !matches!(entry, Meta::Path(_)) {
                    errors.at(entry.span(), "`json` takes no value: `#[processor(json, handler = \"...\")]`");
                }
            }
            Key::Crate => self.krate = text(key, "a path", entry, errors),
            Key::Handler => self.handler = method(key, entry, errors),
            Key::Initialize => self.initialize = method(key, entry, errors),
            Key::LeaseLost => self.lease_lost = method(key, entry, errors),
            Key::ShardEnded => self.shard_ended = method(key, entry, errors),
            Key::ShutdownRequested => self.shutdown_requested = method(key, entry, errors),
        }
    }
}

fn method(key: Key, entry: &Meta, errors: &mut Errors) -> Option<Ident> {
    text(key, "the name of a method of this type", entry, errors)
}

/// The value of `key = "..."`, parsed as a `T`. Its tokens have spans within the string.
fn text<T: syn::parse::Parse>(key: Key, what: &str, entry: &Meta, errors: &mut Errors) -> Option<T> {
    let Some(text) = string(entry) else {
        let name = key.name();
        let advice = match bare_word(entry) {
            Some(word) => format!("write it as a string: `{name} = \"{word}\"`"),
            None => format!("expected `{name} = \"...\"`"),
        };
        errors.at(entry.span(), format!("`{name}` is {what}: {advice}"));
        return None;
    };
    let parsed = text.parse();
    if parsed.is_err() {
        errors.at(text.span(), format!("`{}` is {what}, which {:?} is not", key.name(), text.value()));
    }
    parsed.ok()
}

fn string(entry: &Meta) -> Option<&LitStr> {
    if let Meta::NameValue(pair) = entry
        && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = ungrouped(&pair.value)
    {
        return Some(text);
    }
    None
}

/// A value that passed through a `macro_rules!` macro is inside an invisible group.
fn ungrouped(value: &Expr) -> &Expr {
    if let Expr::Group(group) = value { ungrouped(&group.expr) } else { value }
}

/// The value if only its quotes were left out: `handler = departed`, `handler(departed)`.
fn bare_word(entry: &Meta) -> Option<String> {
    match entry {
        Meta::NameValue(pair) => {
            let Expr::Path(path) = ungrouped(&pair.value) else { return None };
            path.path.get_ident().map(Ident::to_string)
        }
        Meta::List(list) => syn::parse2::<Ident>(list.tokens.clone()).ok().map(|word| word.to_string()),
        Meta::Path(_) => None,
    }
}
