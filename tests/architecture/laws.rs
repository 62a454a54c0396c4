//! The laws (`docs/design.md`, `docs/log.md`, `docs/sql.md`) and the code that cites them: every number has its paragraph.

use super::{none, root, sources};
use std::collections::BTreeSet;

/// The pages, as code names them.
const PAGES: [&str; 3] = ["design.md", "log.md", "sql.md"];

/// The numbers of a page's paragraphs: `12. …`, and `## 3. …` for sections.
fn paragraphs(page: &str) -> BTreeSet<u32> {
    let text = std::fs::read_to_string(root().join("docs").join(page)).unwrap();
    let numbered = text.lines().filter_map(|line| {
        let line = line.strip_prefix("## ").unwrap_or(line);
        line.split_once(". ")?.0.parse().ok()
    });
    numbered.collect()
}

/// The numbers that follow a page's name in a text: `log.md 12, 14 and 20 to 22`, `design.md §3`.
fn cited(text: &str, page: &str) -> Vec<u32> {
    let mut numbers = Vec::new();
    for (at, _) in text.match_indices(page) {
        let mut rest = &text[at + page.len()..];
        // What stands between two numbers of one citation.
        while let Some(found) = ["", " ", ", ", " and ", " to ", "-", "–", " §", ", invariant "]
            .iter()
            .filter_map(|between| {
                let tail = rest.strip_prefix(between)?;
                let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
                Some((tail[..digits].parse::<u32>().ok()?, &tail[digits..]))
            })
            .next()
        {
            numbers.push(found.0);
            rest = found.1;
        }
    }
    numbers
}

#[test]
fn every_cited_rule_has_its_paragraph() {
    let mut problems = Vec::new();
    let mut citations = 0;
    for page in PAGES {
        let known = paragraphs(page);
        assert!(known.len() > 5, "{page} has paragraphs: {known:?}");
        for path in sources() {
            let text = std::fs::read_to_string(root().join(&path)).unwrap();
            for number in cited(&text, page) {
                citations += 1;
                if !known.contains(&number) {
                    problems.push(format!("{path} cites {page} {number}, which does not exist"));
                }
            }
        }
    }
    assert!(citations > 100, "code cites the laws: {citations}");
    none(problems);
}

/// A name that the page of words gives to something is one that the code has.
#[test]
fn every_name_in_the_words_is_in_the_code() {
    let words = |text: &str| -> BTreeSet<String> {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        words.map(str::to_owned).collect()
    };
    let page = std::fs::read_to_string(root().join("docs/words.md")).unwrap();
    let quoted: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let mut names = words(&quoted.join(" "));
    names.retain(|name| name.starts_with(|letter: char| letter.is_ascii_uppercase()));
    assert!(names.len() > 10, "the page names types: {names:?}");
    for path in sources() {
        let code = words(&std::fs::read_to_string(root().join(path)).unwrap());
        names.retain(|name| !code.contains(name));
    }
    let missing = names
        .iter()
        .map(|name| format!("docs/words.md names {name}, which is nowhere"));
    none(missing.collect());
}

/// `decision 043`, wherever a sentence begins: where a number in a comment comes from.
#[test]
fn every_cited_decision_is_there() {
    let files = std::fs::read_dir(root().join("docs/decisions")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let known: BTreeSet<u32> = names
        .filter_map(|name| name.split_once('-')?.0.parse().ok())
        .collect();
    let mut problems = Vec::new();
    let mut citations = 0;
    for path in sources() {
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        for number in ["decision", "Decision"]
            .iter()
            .flat_map(|word| cited(&text, word))
        {
            citations += 1;
            if !known.contains(&number) {
                problems.push(format!("{path} cites decision {number:03}, which does not exist"));
            }
        }
    }
    assert!(citations > 2, "code cites decisions: {citations}");
    none(problems);
}

#[test]
fn a_citation_is_read_as_it_is_written() {
    let table: [(&str, &[u32]); 5] = [
        ("(log.md 12)", &[12]),
        ("log.md 4, 5 and 7 to 9: then", &[4, 5, 7, 9]),
        ("log.md says 12", &[]),
        ("log.md 30, which is 3", &[30]),
        ("log.md 1, log.md 2", &[1, 2]),
    ];
    for (text, numbers) in table {
        assert_eq!(cited(text, "log.md"), numbers, "{text}");
    }
}
