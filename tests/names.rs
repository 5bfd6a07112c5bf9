//! The name of a test is its promise, short enough for a list of tests.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::root;

/// The most characters.
const LONGEST: usize = 60;

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
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
    let mut files = Vec::new();
    for folder in ["tests", "checkpoint-cli/tests"] {
        collect(&root().join(folder), &mut files);
    }
    let (mut found, mut long) = (0, Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for name in tests(&text) {
            found += 1;
            if name.len() > LONGEST {
                long.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
    assert!(found > 500, "only {found} tests were found");
}
