//! The name of a test is its promise, short enough for a list of tests. A line of a comment is
//! short enough for two files beside each other.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::root;

/// The most characters of a name.
const LONGEST: usize = 60;
/// The most columns of a line of a comment.
const WIDEST: usize = 100;

/// The folders with code.
const FOLDERS: [&str; 11] = [
    "src",
    "tests",
    "examples",
    "benches",
    "fuzz",
    "integrations",
    "checkpoint-cli",
    "checkpoint-core",
    "checkpoint-derive",
    "checkpoint-mpi",
    "checkpoint-object-store",
];

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    FOLDERS.iter().for_each(|folder| collect(&root().join(folder), &mut files));
    files
}

/// The functions after `#[test]`, and after its other attributes.
fn tests(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[test]\n").skip(1).filter_map(|rest| {
        let mut lines = rest.lines().map(str::trim);
        let signature = lines.find(|line| !line.starts_with("#["))?;
        signature.strip_prefix("fn ")?.split('(').next()
    })
}

#[test]
fn the_name_of_a_test_is_at_most_sixty_characters_long() {
    let (mut found, mut long) = (0, Vec::new());
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        for name in tests(&text) {
            found += 1;
            if name.len() > LONGEST {
                long.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
    assert!(found > 1500, "only {found} tests were found");
}

#[test]
fn a_line_of_a_comment_has_at_most_a_hundred_columns() {
    let mut long = Vec::new();
    for file in files() {
        let text = fs::read_to_string(&file).unwrap();
        let mut is_example = false;
        for (number, line) in text.lines().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("//") else {
                is_example = false;
                continue;
            };
            let words = comment.trim_start_matches(['/', '!']).trim_start();
            is_example ^= words.starts_with("```");
            // Neither a row of a table is torn, nor a path or a command.
            let can_be_wrapped = !words.starts_with('|') && !words.contains('`') && words.contains(' ');
            if line.chars().count() > WIDEST && can_be_wrapped && !is_example {
                long.push(format!("{}:{}", file.display(), number + 1));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}
