//! Tries every type in every shape, and compares the table of docs/types.md with the outcomes.
//!
//! `WRITE_TABLE=1 cargo test --manifest-path tests/ecosystem/Cargo.toml` writes the table anew.

use std::collections::BTreeSet;

use checkpointed_ecosystem::row::Outcome;
use checkpointed_ecosystem::{states, table, trials};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/types.md");

#[test]
fn what_is_saved_is_loaded_and_the_table_is_true() {
    let mut rows = Vec::new();
    for trial in trials() {
        rows.extend((trial.run)().into_iter().map(|row| (trial.package, row)));
    }
    let mut kept = Vec::new();
    let mut broken = Vec::new();
    for state in states() {
        match (state.run)() {
            Outcome::Works => kept.push((state.package, state.ty)),
            outcome => broken.push(format!("{} of {} as the state: {outcome}", state.ty, state.package)),
        }
    }

    for (package, row) in &rows {
        for outcome in &row.outcomes {
            if let Outcome::Broken(words) = outcome {
                broken.push(format!("{} of {package}: {words}", row.ty));
            }
        }
    }
    assert!(broken.is_empty(), "what was saved is not what was loaded:\n{}", broken.join("\n"));

    let packages: BTreeSet<&str> = rows.iter().map(|(package, _)| *package).collect();
    assert!(rows.len() >= 80 && packages.len() >= 45, "{} types of {} crates", rows.len(), packages.len());

    let found = table::markdown(&rows, &kept);
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let parts = table::split(&document);
    if std::env::var_os("WRITE_TABLE").is_some() {
        std::fs::write(DOCUMENT, table::join(parts, &found)).unwrap();
    } else {
        let differ = found.lines().zip(parts[1].lines()).find(|(found, written)| found != written);
        assert_eq!(differ, None, "the table is out of date: write it anew with WRITE_TABLE=1");
        assert_eq!(
            found.lines().count(),
            parts[1].lines().count(),
            "write the table anew with WRITE_TABLE=1"
        );
    }
}
