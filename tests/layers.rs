//! The core is a tower of layers: a layer may use those below it, and never one above.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// From the bottom to the top. Folders in one line do not use each other.
const TOWER: [&[&str]; 20] = [
    &["base"],
    &["schema"],
    &["arrays"],
    // It asks the table of arrays if a visitor reads one.
    &["trace"],
    &["codec"],
    &["evolution"],
    &["state"],
    &["container"],
    &["error"],
    &["environment"],
    &["seal", "schedule"],
    &["outcome"],
    &["store"],
    &["history", "stop", "outputs"],
    &["tree"],
    &["run"],
    &["group"],
    &["scopes", "pipeline", "inspect"],
    // Names for programs, and for the macros and homes in other packages; the crate itself.
    &["__private", "home", "reports", "traits", "futures"],
    &[""],
];

fn rank(module: &str) -> usize {
    let rank = TOWER.iter().position(|layer| layer.contains(&module));
    rank.unwrap_or_else(|| panic!("`{module}` has no place in the tower: give it one in {}", file!()))
}

/// A module of the crate that is compiled into programs.
struct Module {
    path: Vec<String>,
    text: String,
}

/// Follows the `mod` lines from `file` on. Code that is compiled only for tests may use anything.
fn collect(file: &Path, path: Vec<String>, modules: &mut Vec<Module>) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut kept = String::new();
    let (mut only_for_tests, mut skipping) = (false, false);
    let mut children = Vec::new();
    for line in text.lines() {
        let code = line.split("//").next().unwrap_or_default();
        if skipping {
            skipping = line != "}";
            continue;
        }
        if line.starts_with("#[") {
            only_for_tests |= line.contains("cfg(test)") || line.contains("cfg(all(test");
            continue;
        }
        let declared = code.trim_start_matches("pub(crate) ").trim_start_matches("pub ").strip_prefix("mod ");
        match declared {
            Some(rest) if only_for_tests && rest.ends_with('{') => skipping = true,
            Some(_) if only_for_tests => {}
            Some(rest) if rest.ends_with(';') => children.push(rest.trim_end_matches(';').to_owned()),
            _ => {
                kept.push_str(code);
                kept.push('\n');
            }
        }
        only_for_tests &= code.trim().is_empty();
    }
    let folder = match file.file_name().and_then(|name| name.to_str()) {
        Some("lib.rs" | "mod.rs") => file.parent().unwrap().to_owned(),
        _ => file.with_extension(""),
    };
    for child in children {
        let candidates = [folder.join(format!("{child}.rs")), folder.join(&child).join("mod.rs")];
        // A missing file has a `path` attribute: it is another form of a module that is read.
        if let Some(file) = candidates.iter().find(|file| file.is_file()) {
            let mut path = path.clone();
            path.push(child);
            collect(file, path, modules);
        }
    }
    modules.push(Module { path, text: kept });
}

/// The top folders that a module names, by `crate::` or by a chain of `super::`.
fn named(module: &Module) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    let identifier = |text: &str| {
        let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
        text[..end].to_owned()
    };
    for (place, _) in module.text.match_indices("crate::") {
        if module.text[..place].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_') {
            continue;
        }
        let rest = &module.text[place + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => named.extend(group[..group.find(';').unwrap()].split(',').map(|part| {
                let part = part.trim().trim_end_matches('}');
                assert!(!part.contains('{'), "{}: one `use` line for each module", module.path.join("::"));
                identifier(part)
            })),
            None => drop(named.insert(identifier(rest))),
        }
    }
    for (place, _) in module.text.match_indices("super::") {
        if module.text[..place].ends_with("super::") {
            continue;
        }
        let mut rest = &module.text[place..];
        let mut depth = module.path.len();
        while let Some(behind) = rest.strip_prefix("super::") {
            (rest, depth) = (behind, depth.saturating_sub(1));
        }
        if depth == 0 && !rest.starts_with('*') && !rest.starts_with('{') {
            named.insert(identifier(rest));
        }
    }
    named
}

#[test]
fn every_import_of_the_core_goes_down_the_tower() {
    let root = crate::common::root().join("checkpoint-core/src");
    let mut modules = Vec::new();
    collect(&root.join("lib.rs"), Vec::new(), &mut modules);
    assert!(modules.len() > 100, "only {} modules were found", modules.len());
    let mut upward = Vec::new();
    for module in modules.iter().filter(|module| !module.path.is_empty()) {
        let own = &module.path[0];
        for other in named(module) {
            if other != *own && rank(&other) >= rank(own) {
                upward.push(format!("{} uses {other}", module.path.join("::")));
            }
        }
    }
    assert!(upward.is_empty(), "these go up, or aside:\n  {}", upward.join("\n  "));
}

/// The names after the `pub use` lines of a crate's root, but for hidden ones and those of its
/// modules.
fn names_of_root(file: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let root = text.split("#[doc(hidden)]").next().unwrap_or_default();
    let uses = root.split("\npub use ").skip(1).filter_map(|rest| rest.split(';').next());
    let names = uses.flat_map(|path| {
        let path = path.rsplit("::").next().unwrap_or_default();
        path.trim_matches(['{', '}']).split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>()
    });
    names.filter(|name| !name.is_empty() && name != "*").collect()
}

#[test]
fn the_root_has_at_most_thirty_names() {
    let mut names = names_of_root("../checkpoint-core/src/lib.rs");
    names.extend(names_of_root("../src/lib.rs"));
    assert!(names.contains("Checkpointer") && names.contains("checkpointed"), "{names:?}");
    assert!(names.len() <= 30, "{}: {names:?}", names.len());
}
