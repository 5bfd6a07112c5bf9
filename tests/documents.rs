//! The documents name only existing things: a table of tests proves nothing if it names a missing
//! one.

use std::fs;
use std::path::PathBuf;

use crate::common::root;

/// The documents in these folders.
fn documents() -> Vec<PathBuf> {
    let folders = ["", "docs", "checkpoint-cli", "checkpoint-core", "checkpoint-derive", "fuzz", "python"];
    let paths = folders.into_iter().flat_map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let paths = paths.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "md")).collect()
}

/// True if text in backticks is the path of a file of this repository.
fn is_path(text: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./".contains(letter);
    text.contains('/')
        && text.chars().all(is_plain)
        && [".rs", ".sh", ".md"].iter().any(|end| text.ends_with(end))
}

#[test]
fn every_file_that_a_document_names_is_there() {
    let mut missing = Vec::new();
    let mut found = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let quoted = text.split('`').skip(1).step_by(2).filter(|quoted| is_path(quoted));
        // Files of the core are often named from its own folder, and those of a package from that
        // package's.
        let folder = document.parent().unwrap();
        let bases = [root().to_owned(), root().join("checkpoint-core/src"), folder.to_owned()];
        let quoted = quoted.map(|path| (path, bases.iter().any(|base| base.join(path).exists())));
        let linked = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let linked = linked.filter(|link| !link.is_empty() && !link.contains("://"));
        let linked = linked.map(|link| (link, folder.join(link).exists()));
        for (path, is_there) in quoted.chain(linked) {
            found += usize::from(is_there);
            if !is_there {
                missing.push(format!("{}: {path}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(found > 50, "the documents name many files, not {found}");
}

/// The targets of links and pictures: in brackets behind a text, or by reference.
fn targets(text: &str) -> Vec<&str> {
    let inline = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let named = text.lines().filter(|line| line.starts_with('['));
    inline.chain(named.filter_map(|line| line.split("]: ").nth(1))).collect()
}

#[test]
fn a_readme_links_nothing_that_a_registry_cannot_find() {
    let packages = ["", "checkpoint-core", "checkpoint-derive", "checkpoint-cli"];
    let files: Vec<PathBuf> = packages.map(|folder| root().join(folder).join("README.md")).to_vec();
    let files: Vec<&PathBuf> = files.iter().filter(|path| path.exists()).collect();
    assert!(files.len() >= 2, "{files:?}");
    for path in files {
        let text = fs::read_to_string(path).unwrap();
        let relative: Vec<&str> =
            targets(&text).into_iter().filter(|target| !target.starts_with("https://")).collect();
        // A registry resolves these by `repository`, which the manifests lack.
        assert!(relative.is_empty(), "{}: {relative:?}", path.display());
    }
}
