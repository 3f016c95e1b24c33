//! Reads the modules of a crate, as they are compiled with given features.

use crate::text::is_hidden;
use quote::ToTokens;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ImplItem, Item, Lit, Meta, Token, UseTree, Visibility};

/// A path of names within the crate; empty for its root.
pub(crate) type Names = Vec<String>;

pub(crate) struct Krate {
    pub(crate) modules: BTreeMap<Names, Module>,
    features: BTreeSet<String>,
}

#[derive(Default)]
pub(crate) struct Module {
    /// Structs, enums, traits, functions, constants, types.
    pub(crate) items: Vec<Item>,
    pub(crate) uses: Vec<Use>,
    pub(crate) public_modules: Vec<String>,
}

/// One imported or re-exported name.
pub(crate) struct Use {
    pub(crate) name: String,
    pub(crate) target: Names,
    pub(crate) is_public: bool,
}

impl Krate {
    pub(crate) fn read(root: &Path, features: &[&str]) -> Self {
        let features = features.iter().map(ToString::to_string).collect();
        let mut krate = Krate { modules: BTreeMap::new(), features };
        krate.read_file(root, root.parent().unwrap(), Names::new());
        krate
    }

    fn read_file(&mut self, file: &Path, folder: &Path, names: Names) {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.read_items(parsed.items, folder, names);
    }

    fn read_items(&mut self, items: Vec<Item>, folder: &Path, names: Names) {
        let mut module = Module::default();
        for item in items {
            match item {
                Item::Mod(inner) if self.is_compiled(&inner.attrs) => {
                    let name = inner.ident.to_string();
                    if is_public(&inner.vis) && !is_hidden(&inner.attrs) {
                        module.public_modules.push(name.clone());
                    }
                    let path: Names = names.iter().cloned().chain([name.clone()]).collect();
                    match inner.content {
                        Some((_, items)) => self.read_items(items, &folder.join(&name), path),
                        None => {
                            let file = module_file(folder, &name);
                            self.read_file(&file, &folder.join(&name), path);
                        }
                    }
                }
                Item::Use(import) if self.is_compiled(&import.attrs) => {
                    let is_public = is_public(&import.vis) && !is_hidden(&import.attrs);
                    flatten(&import.tree, Names::new(), is_public, &mut module.uses);
                }
                Item::Impl(mut block) if self.is_compiled(&block.attrs) => {
                    block.items.retain(|item| self.is_compiled(attributes_of(item)) && !is_hidden(attributes_of(item)));
                    module.items.push(Item::Impl(block));
                }
                item if self.is_compiled(attributes(&item)) => module.items.push(item),
                _ => {}
            }
        }
        self.modules.insert(names, module);
    }

    /// Evaluates the `cfg` attributes of an item for a Linux build without tests.
    pub(crate) fn is_compiled(&self, attributes: &[Attribute]) -> bool {
        attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).all(|attribute| {
            let condition: Meta = attribute.parse_args().expect("a condition");
            self.holds(&condition)
        })
    }

    /// Evaluates one condition.
    pub(crate) fn holds(&self, condition: &Meta) -> bool {
        match condition {
            Meta::Path(path) => path.is_ident("unix"),
            Meta::NameValue(pair) => {
                let Expr::Lit(value) = &pair.value else { return false };
                let Lit::Str(value) = &value.lit else { return false };
                let value = value.value();
                if pair.path.is_ident("feature") { self.features.contains(&value) } else { value == "linux" }
            }
            Meta::List(list) => {
                let inner = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).expect("conditions");
                let mut inner = inner.iter().map(|condition| self.holds(condition));
                if list.path.is_ident("not") {
                    !inner.all(|holds| holds)
                } else if list.path.is_ident("any") {
                    inner.any(|holds| holds)
                } else {
                    inner.all(|holds| holds)
                }
            }
        }
    }

    /// Follows imports from a path as it is written in a module to the module and the name of the definition.
    pub(crate) fn resolve(&self, module: &[String], path: &[String]) -> Option<(Names, String)> {
        self.resolve_within(module, path, 0)
    }

    fn resolve_within(&self, module: &[String], path: &[String], depth: usize) -> Option<(Names, String)> {
        if depth > 12 {
            return None;
        }
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => return self.resolve_within(&[], rest, depth + 1),
            "self" => return self.resolve_within(module, rest, depth + 1),
            "super" => return self.resolve_within(&module[..module.len().checked_sub(1)?], rest, depth + 1),
            _ => {}
        }
        let here = self.modules.get(module)?;
        let child: Names = module.iter().cloned().chain([first.clone()]).collect();
        if rest.is_empty() && here.items.iter().any(|item| name_of(item).as_deref() == Some(first)) {
            return Some((module.to_vec(), first.clone()));
        }
        let import = here.uses.iter().find(|import| import.name == *first).and_then(|import| {
            let target: Names = import.target.iter().cloned().chain(rest.iter().cloned()).collect();
            self.resolve_within(module, &target, depth + 1)
        });
        if rest.is_empty() {
            // A function may have the name of a private module.
            let module = || self.modules.contains_key(&child).then(|| (child.clone(), String::new()));
            if let Some(found) = import.or_else(module) {
                return Some(found);
            }
        } else if self.modules.contains_key(&child) {
            return self.resolve_within(&child, rest, depth + 1);
        } else if import.is_some() {
            return import;
        }
        let glob = |import: &&Use| import.name == "*";
        here.uses.iter().filter(glob).find_map(|import| {
            let target: Names = import.target.iter().cloned().chain(path.iter().cloned()).collect();
            self.resolve_within(module, &target, depth + 1)
        })
    }
}

fn module_file(folder: &Path, name: &str) -> PathBuf {
    let (file, nested) = (folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs"));
    if file.exists() { file } else { nested }
}

fn flatten(tree: &UseTree, mut prefix: Names, is_public: bool, uses: &mut Vec<Use>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, is_public, uses);
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, prefix.clone(), is_public, uses)),
        UseTree::Glob(_) => uses.push(Use { name: "*".to_owned(), target: prefix, is_public }),
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            if name != "self" {
                prefix.push(name.clone());
            }
            uses.push(Use { name: prefix.last().cloned().unwrap_or(name), target: prefix, is_public });
        }
        UseTree::Rename(rename) => {
            prefix.push(rename.ident.to_string());
            uses.push(Use { name: rename.rename.to_string(), target: prefix, is_public });
        }
    }
}

pub(crate) fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// The name that an item defines; none for implementations and macros.
pub(crate) fn name_of(item: &Item) -> Option<String> {
    Some(match item {
        Item::Struct(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        Item::Const(item) => item.ident.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        _ => return None,
    })
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Struct(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Const(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        _ => &[],
    }
}

fn attributes_of(item: &ImplItem) -> &[Attribute] {
    match item {
        ImplItem::Fn(item) => &item.attrs,
        ImplItem::Const(item) => &item.attrs,
        ImplItem::Type(item) => &item.attrs,
        ImplItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}

/// The names of a path, without generic arguments.
pub(crate) fn names(path: &syn::Path) -> Names {
    path.segments.iter().map(|segment| segment.ident.to_token_stream().to_string()).collect()
}
