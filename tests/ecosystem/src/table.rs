//! The table of docs/types.md.

use std::fmt::Write as _;

use crate::row::{Outcome, Row, SHAPES};

/// The name of a type, from the text of its tokens, with the module of serde's attribute `with`.
pub fn type_name(tokens: &str, with: &[&str]) -> String {
    let ty = tokens.split_whitespace().collect::<Vec<_>>().join(" ");
    let with = with.iter().map(|module| format!(" with `{module}`"));
    format!("`{ty}`{}", with.collect::<String>())
}

/// The lines around the test's part of docs/types.md.
const MARKS: [&str; 2] = ["<!-- The rest is written by tests/ecosystem. -->\n", "<!-- Up to here. -->\n"];

/// The parts of the document before, between and after the marks.
///
/// # Panics
/// If a mark is missing.
pub fn split(document: &str) -> [&str; 3] {
    let parts = document.split_once(MARKS[0]).and_then(|(before, rest)| {
        let (between, after) = rest.split_once(MARKS[1])?;
        Some([before, between, after])
    });
    parts.unwrap_or_else(|| panic!("docs/types.md has not both marks, {MARKS:?}"))
}

/// The document with another part between the marks.
pub fn join([before, _, after]: [&str; 3], between: &str) -> String {
    [before, MARKS[0], between, MARKS[1], after].concat()
}

/// The test's part of the document: the table, and the words of each refusal.
pub fn markdown(rows: &[(&str, Row)], states: &[(&str, String)]) -> String {
    let mut text = format!("\n| crate | type | {} | arrays apart |\n|---|---|", SHAPES.join(" | "));
    text.push_str(&"---|".repeat(SHAPES.len() + 1));
    text.push('\n');
    let mut refusals: Vec<String> = Vec::new();
    for (package, row) in rows {
        write!(text, "| {} {} | {} |", package, version(package), row.ty).unwrap();
        for outcome in &row.outcomes {
            match outcome {
                Outcome::Works => text.push_str(" works |"),
                Outcome::Refused(words) => {
                    write!(text, " refused ({}) |", number(&mut refusals, words)).unwrap()
                }
                Outcome::Broken(words) => write!(text, " broken: {words} |").unwrap(),
            }
        }
        writeln!(text, " {} |", row.arrays.join(", ")).unwrap();
    }
    if !refusals.is_empty() {
        text.push_str("\nThe refusals, in the words of the error:\n\n");
        for (number, words) in refusals.iter().enumerate() {
            writeln!(text, "{}. {words}", number + 1).unwrap();
        }
    }
    text.push_str("\nAs the state itself, in `Plain<T>`, all of these work:\n");
    let states: Vec<String> = states.iter().map(|(package, ty)| format!("{ty} of {package}")).collect();
    writeln!(text, "{}.\n", states.join(", ")).unwrap();
    text
}

/// The place of these words in the list. New words are added.
fn number(refusals: &mut Vec<String>, words: &str) -> usize {
    let place = refusals.iter().position(|known| known == words).unwrap_or_else(|| {
        refusals.push(words.to_owned());
        refusals.len() - 1
    });
    place + 1
}

/// The version of a crate in the manifest of this package.
fn version(package: &str) -> &'static str {
    let manifest = include_str!("../Cargo.toml");
    let line = manifest.lines().find_map(|line| line.strip_prefix(package)?.strip_prefix(" = "));
    line.and_then(|line| line.split('"').nth(1)).unwrap_or_default()
}
