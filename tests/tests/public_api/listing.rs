//! Lists what can be named from outside of a crate.

use crate::krate::{Krate, Names, attributes, is_public, name_of, names};
use crate::text::{fields, is_hidden, line, markers, rows};
use std::collections::{BTreeMap, BTreeSet};
use syn::{ImplItem, Item, TraitItem, Type};

/// The macro whose definition, not its invocation, has the list.
const LIST_OF_SETTINGS: &str = "with_settings";

/// Where an item is defined: its module and its name.
type Definition = (Names, String);

/// The list, one line for each item, field, variant and method.
pub(crate) fn of(krate: &Krate) -> String {
    let mut exports = Exports {
        krate,
        paths: BTreeMap::new(),
        foreign: BTreeSet::new(),
        seen: BTreeSet::new(),
        expanded: BTreeSet::new(),
    };
    exports.module(&Names::new(), &Names::new());
    let mut lines = BTreeSet::new();
    for (definition, paths) in &exports.paths {
        // The shortest path is the main one.
        let main = paths.iter().min_by_key(|path| (path.len(), (*path).clone())).unwrap().join("::");
        describe(krate, definition, &main, &mut lines);
        for path in paths.iter().map(|path| path.join("::")).filter(|path| *path != main) {
            lines.insert(format!("{path} = {main}"));
        }
    }
    lines.extend(exports.foreign);
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

/// The public paths of each definition.
struct Exports<'a> {
    krate: &'a Krate,
    paths: BTreeMap<Definition, BTreeSet<Names>>,
    foreign: BTreeSet<String>,
    seen: BTreeSet<(Names, Names)>,
    /// Items of macros whose rows are listed under another path.
    expanded: BTreeSet<String>,
}

impl Exports<'_> {
    /// Follows a public module under a public path.
    fn module(&mut self, names: &Names, path: &Names) {
        if !self.seen.insert((names.clone(), path.clone())) {
            return;
        }
        let krate = self.krate;
        let module = &krate.modules[names];
        let under = |name: &str| -> Names { path.iter().cloned().chain([name.to_owned()]).collect() };
        for item in module.items.iter().filter(|item| is_visible(item)) {
            let name = name_of(item).unwrap();
            self.paths.entry((names.clone(), name.clone())).or_default().insert(under(&name));
        }
        for inner in &module.public_modules {
            let child: Names = names.iter().cloned().chain([inner.clone()]).collect();
            self.foreign.insert(format!("mod {}", under(inner).join("::")));
            self.module(&child, &under(inner));
        }
        for import in module.uses.iter().filter(|import| import.is_public) {
            let target = if import.name == "*" { None } else { krate.resolve(names, &import.target) };
            match target {
                Some((module, name)) if name.is_empty() => self.module(&module, &under(&import.name)),
                Some(definition) => drop(self.paths.entry(definition).or_default().insert(under(&import.name))),
                None => self.unresolved(names, &import.target, &under(&import.name).join("::")),
            }
        }
    }

    /// A re-export of another crate's item, or of an item that a macro defines.
    fn unresolved(&mut self, module: &Names, target: &Names, path: &str) {
        self.foreign.insert(format!("{path} = {}", target.join("::")));
        let Some((name, parent)) = target.split_last() else { return };
        let Some((module, _)) = self.krate.resolve(module, parent).filter(|(_, name)| name.is_empty()) else { return };
        let is_listed = |item: &syn::ItemMacro| item.ident.as_ref().is_none_or(|ident| ident == LIST_OF_SETTINGS);
        let mut listed = Vec::new();
        for item in &self.krate.modules[&module].items {
            match item {
                Item::Macro(item) if is_listed(item) => listed.extend(rows(item.mac.tokens.clone())),
                _ => {}
            }
        }
        // Several items of one macro have a row each, which begins with the name.
        if listed.iter().any(|row| row.starts_with(name.as_str())) {
            listed.retain(|row| row.starts_with(name.as_str()));
        }
        let is_new = self.expanded.insert(name.clone());
        self.foreign.extend(listed.into_iter().filter(|_| is_new).map(|row| format!("{path}: {row}")));
    }
}

fn is_visible(item: &Item) -> bool {
    let visibility = match item {
        Item::Struct(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::Type(item) => &item.vis,
        Item::Const(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        _ => return false,
    };
    is_public(visibility) && !is_hidden(attributes(item))
}

fn describe(krate: &Krate, (module, name): &Definition, path: &str, lines: &mut BTreeSet<String>) {
    let items = &krate.modules[module].items;
    let item = items.iter().find(|item| name_of(item).as_deref() == Some(name)).expect("it was resolved");
    let markers = markers(attributes(item));
    match item {
        Item::Struct(item) => {
            lines.insert(format!("{path}: {markers}struct {}", line(&item.generics)));
            lines.extend(fields(&item.fields, false).into_iter().map(|field| format!("{path}.{field}")));
        }
        Item::Enum(item) => {
            lines.insert(format!("{path}: {markers}enum {}", line(&item.generics)));
            for variant in &item.variants {
                let fields = fields(&variant.fields, true).join(", ");
                lines.insert(format!("{path}::{} {{ {fields} }}", variant.ident));
            }
        }
        Item::Trait(item) => {
            let bounds = line(&item.supertraits);
            lines.insert(format!("{path}: {markers}trait {}: {bounds}", line(&item.generics)));
            for inner in &item.items {
                let TraitItem::Fn(method) = inner else { continue };
                if !is_hidden(&method.attrs) {
                    let kind = if method.default.is_some() { "provided" } else { "required" };
                    lines.insert(format!("{path}: {kind} {}", line(&method.sig)));
                }
            }
        }
        Item::Fn(item) => drop(lines.insert(format!("{path}: {markers}{}", line(&item.sig)))),
        Item::Type(item) => drop(lines.insert(format!("{path}: type {} = {}", line(&item.generics), line(&item.ty)))),
        Item::Const(item) => drop(lines.insert(format!("{path}: const {}", line(&item.ty)))),
        Item::Static(item) => drop(lines.insert(format!("{path}: static {}", line(&item.ty)))),
        _ => {}
    }
    implementations(krate, &(module.clone(), name.clone()), path, lines);
}

/// Methods and traits of a type, wherever in the crate they are.
fn implementations(krate: &Krate, definition: &Definition, path: &str, lines: &mut BTreeSet<String>) {
    for (names_of_module, module) in &krate.modules {
        for item in &module.items {
            let Item::Impl(block) = item else { continue };
            let Type::Path(of) = block.self_ty.as_ref() else { continue };
            if krate.resolve(names_of_module, &names(&of.path)).as_ref() != Some(definition) {
                continue;
            }
            let of = line(&block.self_ty);
            if let Some((implemented, _)) = &block.trait_ {
                lines.insert(format!("{path}: impl {} for {of}", line(implemented)));
                continue;
            }
            for inner in &block.items {
                match inner {
                    ImplItem::Fn(method) if is_public(&method.vis) => {
                        lines.insert(format!("{path}: {}{}", receiver(&of), line(&method.sig)));
                    }
                    ImplItem::Const(constant) if is_public(&constant.vis) => {
                        lines.insert(format!("{path}: const {}: {}", constant.ident, line(&constant.ty)));
                    }
                    ImplItem::Macro(call) => drop(lines.insert(format!("{path}: {}", line(&call.mac)))),
                    _ => {}
                }
            }
        }
    }
}

/// The type arguments of an implementation, where it has some.
fn receiver(of: &str) -> String {
    of.split_once('<').map_or_else(String::new, |(_, arguments)| format!("<{arguments} "))
}
