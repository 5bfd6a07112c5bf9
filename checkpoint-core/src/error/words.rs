//! The longer parts of messages.

use std::fmt;
use std::path::Path;

use super::Error;
use crate::base::text::listed;
use crate::container::ConfigDifference;
use crate::evolution::{Difference, is_of_migration};

/// The advice for a name that is taken.
pub(super) fn way_past(operation: &str) -> &'static str {
    match operation {
        "publish" => {
            "another program put it there, and it is left alone: make sure that only this one saves there; the next save takes \
             the next number"
        }
        _ => "choose a path where there is nothing, or move away what is there",
    }
}

/// The advice for a state of another schema, by the reason that it cannot be loaded.
pub(super) fn way_out_of(why: &str) -> &'static str {
    if is_of_migration(why) {
        return "change the migration so that it takes this";
    }
    "change the type so that it takes this (`#[serde(default)]` for a new field, `#[serde(alias = \"…\")]` for a new name)"
}

/// The advice for an output of a step that cannot be used.
pub(super) fn remake_help(step: &str, set_aside: Option<&Path>, source: &Error) -> String {
    match set_aside {
        Some(path) => {
            format!("it was moved to {}, and the next run of the program makes it again", path.display())
        }
        None if matches!(source, Error::NoSuchGeneration { .. }) => {
            "the next run of the program makes it again".to_owned()
        }
        None if matches!(source, Error::Io { .. }) => format!(
            "its file was left in place: run the program again once the file can be read; if it never can, move it \
             away, or run the program with CHECKPOINT_STEPS=force-only:{step}, to make the output again"
        ),
        None => format!("to make it again, run the program with CHECKPOINT_STEPS=force-only:{step}"),
    }
}

/// Where parts of a group without tables are, and the advice.
pub(super) fn other_places(ranks: &[usize], generation: u64, moved: &[usize]) -> String {
    let named = |ranks: &[usize]| ranks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if moved.is_empty() {
        return format!(
            ", but these ranks have parts of its checkpoints, up to generation {generation}: {}; put the files of that directory \
             on rank 0 back, or remove the folder `ranks` in it, on the machine of each of these ranks, to start afresh",
            named(ranks)
        );
    }
    format!(
        " on rank 0, but the directories of these ranks have what other ranks saved there, up to generation {generation}: {}; if the \
         processes have changed their machines, start each rank on the machine where it ran before; otherwise put the \
         files of that directory on rank 0 back, or remove it on all machines to start afresh",
        named(moved)
    )
}

/// The advice for a checkpoint of another version.
pub(super) fn version_help(found: u32, expected: u32) -> String {
    if found > expected {
        return "load it with the newer program that wrote it".to_owned();
    }
    format!(
        "add a migration, `#[checkpointed(version = {expected}, migrate(from = {found}, with = \
         function))]`, with a function that takes the type of version {found}, or load it with the \
         program that wrote it"
    )
}

/// Displays one item on each line, indented.
pub(super) struct List<'a, T>(pub(super) &'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|item| write!(formatter, "\n  {item}"))
    }
}

/// Displays differences, and whether there are more.
pub(super) struct Differences<'a> {
    pub(super) listed: &'a [Difference],
    pub(super) has_more: bool,
}

impl fmt::Display for Differences<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        List(self.listed).fmt(formatter)?;
        if self.has_more { formatter.write_str("\n  and more") } else { Ok(()) }
    }
}

/// Displays the range of the generations that a directory holds.
pub(super) struct Available<'a>(pub(super) &'a [u64]);

impl fmt::Display for Available<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => formatter.write_str("it holds none"),
            [only] => write!(formatter, "it holds only {only}"),
            [first, .., last] => write!(formatter, "it holds {} from {first} to {last}", self.0.len()),
        }
    }
}

/// The first of some generations.
pub(super) fn numbers(generations: &[u64]) -> String {
    let numbers: Vec<String> = generations.iter().map(u64::to_string).collect();
    listed(&numbers.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The first differences of a configuration.
pub(super) fn config_list(differences: &[ConfigDifference]) -> String {
    const MOST: usize = 8;
    let shown: Vec<String> = differences.iter().take(MOST).map(ToString::to_string).collect();
    let left = differences.len().saturating_sub(MOST);
    let more = if left > 0 { format!("; and {left} more") } else { String::new() };
    format!("{}{more}", shown.join("; "))
}
