//! The pages: what they name is there, and what is there is named.

use super::{folder, none, packages, root};
use std::collections::BTreeSet;
use std::path::Path;

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The names of a folder's Markdown files.
fn pages_in(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".md")).collect();
    names.sort();
    names
}

/// Where the links of a page lead, within the repository.
fn links(text: &str) -> Vec<&str> {
    let ends = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let local = ends.filter(|link| !link.contains("://") && !link.starts_with('#'));
    local.filter_map(|link| link.split('#').next()).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut problems = Vec::new();
    let mut count = 0;
    for folder in ["", "docs", "docs/decisions"] {
        for name in pages_in(folder) {
            let name = Path::new(folder).join(name);
            let text = page(name.to_str().unwrap());
            for link in links(&text) {
                count += 1;
                if !root().join(folder).join(link).exists() {
                    problems.push(format!("{} links to {link}, which is not there", name.display()));
                }
            }
        }
    }
    assert!(count > 50, "pages link: {count}");
    none(problems);
}

/// Each decision is a row of ARCHITECTURE's table, by its number and its own title.
#[test]
fn every_decision_is_in_the_table_under_its_title() {
    let architecture = page("ARCHITECTURE.md");
    let mut problems = Vec::new();
    for name in pages_in("docs/decisions") {
        let text = page(&format!("docs/decisions/{name}"));
        let title = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let title = title.unwrap_or_else(|| panic!("{name} has no title"));
        let row = format!("| [{}](docs/decisions/{name}) | {title} |", &name[..3]);
        if !architecture.lines().any(|line| line == row) {
            problems.push(format!("ARCHITECTURE.md has no row {row}"));
        }
    }
    none(problems);
}

/// The folders in the first column of ARCHITECTURE's map: `a/b` `c` stands for a/b and a/c.
fn mapped() -> BTreeSet<String> {
    let architecture = page("ARCHITECTURE.md");
    let (_, map) = architecture.split_once("| folder | what lives there |").unwrap();
    let rows = map
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix('|')?.split('|').next());
    let mut folders = BTreeSet::new();
    for row in rows {
        let mut above = String::new();
        for name in row.split('`').skip(1).step_by(2) {
            if let Some((plane, _)) = name.split_once('/') {
                above = format!("{plane}/");
                folders.insert(name.to_owned());
            } else {
                folders.insert(format!("{above}{name}"));
            }
        }
    }
    folders
}

#[test]
fn the_map_has_every_crate_and_nothing_else() {
    let mut there: BTreeSet<String> = packages().iter().map(folder).collect();
    // The root package is its sources and what it tests.
    assert!(there.remove(""), "{there:?}");
    there.extend(["src", "tests"].map(str::to_owned));
    assert_eq!(mapped(), there);
}
