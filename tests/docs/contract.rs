//! docs/PLUGIN-REFERENCE.md: what the WIT says, in sections and tables. `UPDATE_EXPECT=1` rewrites it.

use std::fmt::Write;
use std::path::Path;

use expect_test::expect_file;
use wit_parser::{Docs, Function, Interface, Resolve, Type, TypeDef, TypeDefKind, WorldItem};

const INTRO: &str = "[PLUGINS.md](PLUGINS.md) says how it is used, and what holds for all. In Rust a name like `time-ms` is \
    `time_ms`, and `where` is `where_`; [the SDK](../sdk/src) has examples.";

const SECTIONS: [(&str, &str); 5] = [
    ("Hooks", "A plugin exports those that it takes part in: it is asked before something is done."),
    ("Life", "A plugin exports those that it needs."),
    ("Observers", "A plugin exports those that it wants to be told of, afterwards."),
    ("Capabilities", "A plugin imports those that it uses; its manifest declares and the operator grants them."),
    ("Types", "What the others have in common."),
];

/// The server's world, and those that have what came later too.
const WORLDS: [&str; 2] = ["host", "host-and-target"];

#[test]
fn plugin_reference() {
    let mut resolve = Resolve::default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/wit/since_v0_1");
    let (package, _) = resolve.push_dir(&folder).unwrap();
    let package = &resolve.packages[package];
    let mut all: Vec<(&str, &Interface)> = Vec::new();
    for world in WORLDS {
        let world = &resolve.worlds[package.worlds[world]];
        let exports = interfaces(&resolve, world.exports.values()).into_iter().map(|it| (section(it, true), it));
        let imports = interfaces(&resolve, world.imports.values()).into_iter().map(|it| (section(it, false), it));
        for (section, interface) in exports.chain(imports) {
            if !all.iter().any(|(_, known)| known.name == interface.name) {
                all.push((section, interface));
            }
        }
    }
    assert_eq!(all.len(), package.interfaces.len(), "each interface is one of a server's world");

    let mut text =
        format!("# The contract\n\nMade from [sdk/wit/since_v0_1](../sdk/wit/since_v0_1): `{}`.\n\n", package.name);
    paragraph(&mut text, said(&package.docs));
    paragraph(&mut text, INTRO);
    for (title, what) in SECTIONS {
        write!(text, "## {title}\n\n{what}\n\n").unwrap();
        let here = all.iter().filter(|(section, _)| *section == title);
        here.for_each(|(_, interface)| tell_interface(&mut text, &resolve, interface));
    }
    expect_file!["../../docs/PLUGIN-REFERENCE.md"].assert_eq(&format!("{}\n", text.trim_end()));
}

/// Of hooks and what the server calls the first word of their comment says which they are.
fn section(interface: &Interface, is_export: bool) -> &'static str {
    match said(&interface.docs) {
        docs if is_export && docs.starts_with("Hook:") => "Hooks",
        docs if is_export && docs.starts_with("Life:") => "Life",
        _ if is_export => "Observers",
        _ if interface.functions.is_empty() => "Types",
        _ => "Capabilities",
    }
}

fn interfaces<'a>(resolve: &'a Resolve, items: impl Iterator<Item = &'a WorldItem>) -> Vec<&'a Interface> {
    let interface = |item: &WorldItem| match item {
        WorldItem::Interface { id, .. } => Some(&resolve.interfaces[*id]),
        _ => None,
    };
    items.filter_map(interface).collect()
}

fn said(docs: &Docs) -> &str {
    docs.contents.as_deref().unwrap_or_default().trim()
}

fn paragraph(text: &mut String, said: &str) {
    if !said.is_empty() {
        write!(text, "{said}\n\n").unwrap();
    }
}

/// In one line of a table.
fn cell(docs: &Docs) -> String {
    said(docs).replace('\n', " ").replace('|', "\\|")
}

fn tell_interface(text: &mut String, resolve: &Resolve, interface: &Interface) {
    write!(text, "### {}\n\n", interface.name.as_deref().unwrap()).unwrap();
    paragraph(text, said(&interface.docs));
    for function in interface.functions.values() {
        write!(text, "`{}`\n\n", signature(resolve, function)).unwrap();
        paragraph(text, said(&function.docs));
    }
    let types = interface.types.values().map(|id| &resolve.types[*id]);
    let mut own: Vec<&TypeDef> = types.filter(|it| !is_used_from_elsewhere(resolve, it)).collect();
    own.sort_by_key(|it| it.span.start());
    own.into_iter().for_each(|it| tell_type(text, resolve, it));
}

fn is_used_from_elsewhere(resolve: &Resolve, it: &TypeDef) -> bool {
    matches!(it.kind, TypeDefKind::Type(Type::Id(of)) if resolve.types[of].owner != it.owner)
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let params: Vec<String> =
        function.params.iter().map(|it| format!("{}: {}", it.name, type_name(resolve, &it.ty))).collect();
    let result = function.result.as_ref().map_or(String::new(), |ty| format!(" -> {}", type_name(resolve, ty)));
    format!("{}: func({}){result}", function.name, params.join(", "))
}

fn tell_type(text: &mut String, resolve: &Resolve, it: &TypeDef) {
    let name = it.name.as_deref().unwrap();
    // Each with its type, where it has one.
    let (kind, item, of, rows): (_, _, _, Vec<(&str, String, &Docs)>) = match &it.kind {
        TypeDefKind::Record(record) => {
            let rows =
                record.fields.iter().map(|it| (it.name.as_str(), type_name(resolve, &it.ty), &it.docs)).collect();
            ("record", "field", "type", rows)
        }
        TypeDefKind::Variant(variant) => {
            let with = |ty: &Option<Type>| ty.as_ref().map_or(String::new(), |ty| type_name(resolve, ty));
            let rows = variant.cases.iter().map(|it| (it.name.as_str(), with(&it.ty), &it.docs)).collect();
            ("variant", "case", "with", rows)
        }
        TypeDefKind::Enum(words) => {
            let rows = words.cases.iter().map(|it| (it.name.as_str(), String::new(), &it.docs)).collect();
            ("enum", "case", "", rows)
        }
        TypeDefKind::Flags(flags) => {
            let rows = flags.flags.iter().map(|it| (it.name.as_str(), String::new(), &it.docs)).collect();
            ("flags", "flag", "", rows)
        }
        other => {
            write!(text, "**type `{name}`**: `{}`\n\n", shape(resolve, other)).unwrap();
            return paragraph(text, said(&it.docs));
        }
    };
    write!(text, "**{kind} `{name}`**\n\n").unwrap();
    paragraph(text, said(&it.docs));
    if of.is_empty() && rows.iter().all(|(_, _, docs)| docs.contents.is_none()) {
        let names: Vec<String> = rows.iter().map(|(name, ..)| format!("`{name}`")).collect();
        return paragraph(text, &names.join(", "));
    }
    let mut columns = vec![item, of, "what it says"];
    columns.retain(|it| !it.is_empty());
    writeln!(text, "| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len())).unwrap();
    for (name, ty, docs) in rows {
        let ty = if ty.is_empty() { ty } else { format!("`{ty}`") };
        let ty = if of.is_empty() { String::new() } else { format!(" {ty} |") };
        writeln!(text, "| `{name}` |{ty} {} |", cell(docs)).unwrap();
    }
    text.push('\n');
}

/// As it is written: by its name, where it has one.
fn type_name(resolve: &Resolve, ty: &Type) -> String {
    match ty {
        Type::Id(id) => {
            let it = &resolve.types[*id];
            it.name.clone().unwrap_or_else(|| shape(resolve, &it.kind))
        }
        plain => format!("{plain:?}").to_lowercase(),
    }
}

fn shape(resolve: &Resolve, kind: &TypeDefKind) -> String {
    let name = |ty: &Type| type_name(resolve, ty);
    let or_none = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), name);
    match kind {
        TypeDefKind::Tuple(it) => format!("tuple<{}>", it.types.iter().map(name).collect::<Vec<_>>().join(", ")),
        TypeDefKind::Option(ty) => format!("option<{}>", name(ty)),
        TypeDefKind::List(ty) => format!("list<{}>", name(ty)),
        TypeDefKind::Result(it) => format!("result<{}, {}>", or_none(&it.ok), or_none(&it.err)),
        TypeDefKind::Type(ty) => name(ty),
        other => other.as_str().to_owned(),
    }
}
