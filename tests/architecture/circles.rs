//! No circle between the files of a crate: who reads one finds what it stands on below, never above.
//!
//! A file is a module. It uses another one when a `use` or a path names it from `crate`, `super` or `self`; what a module
//! only hands on (`pub use`) counts as the file that it comes from. A module and those in its folder are one room: that it
//! composes them is no circle, nor that they use what it defines.

use super::{none, packages, root, rust_files};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// `["recover", "walk"]` for `src/recover/walk.rs`; empty for the crate's root.
type Module = Vec<String>;

/// The text of each module, without comments and tests.
struct Crate {
    modules: BTreeMap<Module, String>,
    /// What a module calls by a name that another one defines.
    names: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
}

impl Crate {
    fn new(modules: BTreeMap<Module, String>) -> Crate {
        let names = modules
            .iter()
            .map(|(module, text)| {
                let paths = uses(text).into_iter().flat_map(|tree| leaves(&tree));
                let named = paths.filter_map(|path| Some((path.last()?.clone(), path)));
                (module.clone(), named.collect())
            })
            .collect();
        Crate { modules, names }
    }

    fn read(source: &Path) -> Crate {
        let mut modules = BTreeMap::new();
        for path in rust_files([source.to_owned()]) {
            let name = path.strip_prefix(source).unwrap().with_extension("");
            let mut module: Module = name.iter().map(|it| it.to_str().unwrap().to_owned()).collect();
            if module == ["lib"] || module == ["main"] {
                module.clear();
            }
            if !module.iter().any(|it| it == "tests") {
                modules.insert(module, code(&std::fs::read_to_string(&path).unwrap()));
            }
        }
        Crate::new(modules)
    }

    /// The module that a path means, seen from another one; none for what is outside of the crate.
    fn resolve(&self, from: &Module, path: &[String], hops: u8) -> Option<Module> {
        let mut rest = path;
        let mut at = match rest.first()?.as_str() {
            "crate" => {
                rest = &rest[1..];
                Module::new()
            }
            "super" | "self" => from.clone(),
            first => {
                let mut child = from.clone();
                child.push(first.to_owned());
                self.modules.get(&child)?;
                from.clone()
            }
        };
        while let Some(step) = rest.first().filter(|it| ["super", "self"].contains(&it.as_str())) {
            if step == "super" {
                at.pop()?;
            }
            rest = &rest[1..];
        }
        while let Some(next) = rest.first() {
            at.push(next.clone());
            if !self.modules.contains_key(&at) {
                at.pop();
                break;
            }
            rest = &rest[1..];
        }
        let handed_on = rest.first().and_then(|name| self.names.get(&at)?.get(name));
        match handed_on {
            Some(origin) if hops > 0 && origin.as_slice() != path => {
                Some(self.resolve(&at, origin, hops - 1).unwrap_or(at))
            }
            _ => Some(at),
        }
    }

    /// Which modules each one uses, without itself and those in its own folder.
    fn edges(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let edges = self.modules.iter().map(|(module, text)| {
            let used = uses(text).into_iter().flat_map(|tree| leaves(&tree));
            let named = used.chain(paths(text));
            let targets = named.filter_map(|path| self.resolve(module, &path, 6));
            (
                module.clone(),
                targets.filter(|it| !it.starts_with(module)).collect(),
            )
        });
        edges.collect()
    }

    /// Modules that use one another, each group as a sentence.
    fn circles(&self) -> Vec<String> {
        let edges = self.edges();
        let reach = |from: &Module| {
            let mut seen = BTreeSet::new();
            let mut open: Vec<&Module> = edges[from].iter().collect();
            while let Some(next) = open.pop() {
                if seen.insert(next.clone()) {
                    open.extend(&edges[next]);
                }
            }
            seen
        };
        let reached: BTreeMap<&Module, BTreeSet<Module>> = edges.keys().map(|it| (it, reach(it))).collect();
        let mut told = BTreeSet::new();
        let mut circles = Vec::new();
        for module in edges.keys().filter(|it| reached[it].contains(*it)) {
            let members: Vec<&Module> = reached[module]
                .iter()
                .filter(|other| reached[other].contains(module))
                .collect();
            if told.insert(members.clone()) {
                let names: Vec<String> = members.iter().map(|it| it.join("/")).collect();
                circles.push(names.join(" ↔ "));
            }
        }
        circles
    }
}

/// A file without its comments, texts in quotes and tests.
pub fn code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            // A module of tests comes last, in every file of ours; else it is the next line that is for tests.
            match lines.next() {
                Some(tested) if tested.starts_with("mod ") && tested.ends_with('{') => break,
                _ => continue,
            }
        }
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

/// What stands between `use` and `;`.
fn uses(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let begins = at == 0 || rest[..at].ends_with(['\n', ' ']);
        rest = &rest[at + 4..];
        if begins && let Some(end) = rest.find(';') {
            found.push(rest[..end].split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    found
}

/// The paths of a use tree: `a::{b, c as d}` is `a::b` and `a::c`.
fn leaves(tree: &str) -> Vec<Vec<String>> {
    let steps = |text: &str| -> Vec<String> {
        let text = text.split(" as ").next().unwrap_or_default();
        let steps = text.split("::").map(str::trim).filter(|it| !it.is_empty());
        steps.map(str::to_owned).collect()
    };
    let Some((head, inner)) = tree.split_once('{') else {
        return vec![steps(tree)];
    };
    let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
    let (mut depth, mut begin) = (0, 0);
    let mut parts = Vec::new();
    for (at, letter) in inner.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[begin..]);
    let parts = parts.into_iter().filter(|it| !it.trim().is_empty());
    parts
        .flat_map(leaves)
        .map(|leaf| [steps(head), leaf].concat())
        .collect()
}

/// Paths in the midst of code: `crate::a::B`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(root) {
            let is_whole =
                !code[..at].ends_with(|it: char| it.is_alphanumeric() || it == '_' || it == ':' || it == '$');
            let end = code[at..].find(|it: char| !(it.is_alphanumeric() || it == '_' || it == ':'));
            if is_whole {
                let path = &code[at..end.map_or(code.len(), |end| at + end)];
                found.push(
                    path.split("::")
                        .filter(|it| !it.is_empty())
                        .map(str::to_owned)
                        .collect(),
                );
            }
        }
    }
    found
}

#[test]
fn no_circle_between_the_files_of_a_crate() {
    let mut problems = Vec::new();
    for package in packages() {
        let folder = super::folder(&package);
        let circles = Crate::read(&root().join(&folder).join("src")).circles();
        problems.extend(circles.into_iter().map(|circle| format!("{folder}: {circle}")));
    }
    none(problems);
}

#[test]
fn a_planted_circle_is_found() {
    let of = |files: &[(&str, &str)]| {
        let modules = files.iter().map(|(name, text)| {
            let module = name.split('/').filter(|it| !it.is_empty()).map(str::to_owned);
            (module.collect(), code(text))
        });
        let root = std::iter::once((Module::new(), String::new()));
        Crate::new(root.chain(modules).collect()).circles()
    };
    assert_eq!(
        of(&[("a", "use crate::b::B;"), ("b", "use super::a::{self, A};")]),
        ["a ↔ b"]
    );
    assert_eq!(
        of(&[
            ("", "mod a;\nmod b;\npub use b::{B, C};"),
            ("a", "fn f() -> crate::B {}"),
            ("b", "use crate::a;")
        ]),
        ["a ↔ b"],
        "also through what the root hands on"
    );
    assert_eq!(
        of(&[
            ("a", "use crate::b::{c::C, D};"),
            ("b", ""),
            ("b/c", "use crate::e;"),
            ("e", "use crate::{a::A};")
        ]),
        ["a ↔ b/c ↔ e"]
    );
    let none: [&str; 0] = [];
    assert_eq!(
        of(&[("a", "mod b;\nuse b::B;"), ("a/b", "use super::A;")]),
        none,
        "one room"
    );
    assert_eq!(
        of(&[
            ("a", "use crate::b;"),
            ("b", "// use crate::a;\n#[cfg(test)]\nuse crate::a;")
        ]),
        none
    );
}
