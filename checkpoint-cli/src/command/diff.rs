//! `ckpt diff`: shows the differences between two checkpoints.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use checkpointed_core::Protection;
use checkpointed_core::inspect::{Change, Comparison, Difference, File, Header, Limits, Node};
use serde::Serialize;

use super::group::whole;
use super::show::{at, newest, open, word};
use crate::failure::Failure;
use crate::generation::values;
use crate::output::{Answer, Output, Verdict};
use crate::place;
use crate::text::{self, BAD, BOLD, DIM, GOOD, WARNING};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A checkpoint, or a directory. A directory stands for its newest checkpoint that can be
    /// opened, or for generation 42 with @42. So does the URL of a place in an object store
    before: PathBuf,
    /// Another checkpoint; without it, the two newest checkpoints of the directory are compared
    after: Option<PathBuf>,
    /// Compare only this field, such as model/layers/2/weights
    #[arg(long, value_name = "FIELD")]
    path: Option<String>,
    /// The most differences that are shown
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    most: usize,
}

#[derive(Debug, Serialize)]
struct Differences {
    before: Header,
    after: Header,
    /// The metadata of the two checkpoints, where it differs.
    metadata: BTreeMap<String, [Option<checkpointed_core::MetadataValue>; 2]>,
    /// The settings of the two configurations, where they differ.
    configuration: BTreeMap<String, [Option<String>; 2]>,
    path_in_state: String,
    #[serde(flatten)]
    comparison: Comparison,
}

impl Answer for Differences {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        for (sign, style, header) in [('-', BAD, &self.before), ('+', GOOD, &self.after)] {
            let path = text::plain(&header.path.display().to_string());
            let (time, version) = (text::time(header.manifest.created()), header.manifest.version());
            writeln!(output, "{style}{sign} {path}{style:#}  {DIM}version {version}, saved {time}{DIM:#}")?;
        }
        writeln!(output)?;
        for (name, [before, after]) in &self.metadata {
            let value = |value: &Option<checkpointed_core::MetadataValue>| {
                value.as_ref().map_or_else(|| "nothing".to_owned(), |value| text::plain(&value.to_string()))
            };
            let (name, before, after) = (text::plain(name), value(before), value(after));
            writeln!(output, "{WARNING}~{WARNING:#} {DIM}metadata{DIM:#} {name}  {before} → {after}")?;
        }
        for (path, [before, after]) in &self.configuration {
            let value = |value: &Option<String>| {
                value.as_ref().map_or_else(|| "nothing".to_owned(), |value| text::plain(value))
            };
            let (path, before, after) = (text::plain(path), value(before), value(after));
            writeln!(output, "{WARNING}~{WARNING:#} {DIM}configuration{DIM:#} {path}  {before} → {after}")?;
        }
        for Difference { path, change, .. } in &self.comparison.differences {
            let path = if path.is_empty() { "the state".to_owned() } else { text::plain(path) };
            let (sign, style, what) = told(change);
            writeln!(output, "{style}{sign}{style:#} {BOLD}{path}{BOLD:#}  {what}")?;
        }
        let shown = self.comparison.differences.len() as u64;
        match self.comparison.total {
            0 => writeln!(output, "the states do not differ"),
            1 => writeln!(output, "\n1 difference"),
            total if total == shown => writeln!(output, "\n{total} differences"),
            total => writeln!(output, "\n{shown} of {total} differences are shown: --most shows more"),
        }
    }
}

/// A difference as a line, with its sign.
fn told(change: &Change) -> (char, anstyle::Style, String) {
    match change {
        Change::Added { after } => ('+', GOOD, format!("{}  {}", text::plain(&after.type_name), word(after))),
        Change::Removed { before } => {
            ('-', BAD, format!("{}  {}", text::plain(&before.type_name), word(before)))
        }
        Change::Value { before, after } if before.type_name == after.type_name => {
            ('~', WARNING, format!("{} → {}", word(before), word(after)))
        }
        Change::Value { before, after } => {
            let (old, new) = (text::plain(&before.type_name), text::plain(&after.type_name));
            ('~', WARNING, format!("{old}  {} → {new}  {}", word(before), word(after)))
        }
        Change::Type { before, after } => {
            ('~', WARNING, format!("{} → {}, the same value", text::plain(before), text::plain(after)))
        }
        Change::Elements(change) => {
            let mut what = format!("{} of {} elements differ", change.different, change.elements);
            if change.before != change.after {
                what = format!("{} → {}, {what}", change.before, change.after);
            }
            if let Some(most) = &change.largest {
                let index: Vec<String> = most.index.iter().map(ToString::to_string).collect();
                let (index, distance) = (index.join(", "), most.distance);
                let by = if distance.is_finite() { format!(", by {distance:.5e}") } else { String::new() };
                what += &format!(", most at [{index}]: {} → {}{by}", most.before, most.after);
            }
            ('~', WARNING, what)
        }
        Change::Unreadable { why } => ('!', BAD, text::plain(why)),
        _ => ('?', WARNING, "something that this version of ckpt does not know".to_owned()),
    }
}

/// The two checkpoints.
fn both(arguments: &Arguments, protection: &Protection) -> Result<(File, File), Failure> {
    let before = &arguments.before;
    if let Some(after) = &arguments.after {
        return Ok((open(before, protection)?, open(after, protection)?));
    }
    let is_place = match place::checkpoint(before)? {
        Some(found) => found.generation.is_none(),
        None => before.is_dir(),
    };
    if !is_place {
        return Err(Failure::OneCheckpoint(before.clone()));
    }
    let found = |file: Option<File>| file.ok_or_else(|| Failure::OneCheckpoint(before.clone()));
    Ok((found(newest(before, protection, 1)?)?, found(newest(before, protection, 0)?)?))
}

fn metadata_of(
    before: &File,
    after: &File,
) -> BTreeMap<String, [Option<checkpointed_core::MetadataValue>; 2]> {
    let (mut old, new) = (values(before.manifest().metadata()), values(after.manifest().metadata()));
    let mut differing = BTreeMap::new();
    for (name, value) in new {
        let pair = [old.remove(&name), Some(value)];
        if pair[0] != pair[1] {
            differing.insert(name, pair);
        }
    }
    differing.extend(old.into_iter().map(|(name, value)| (name, [Some(value), None])));
    differing
}

pub(crate) fn run(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    let (before, after) = both(arguments, protection)?;
    let (before, after) = (whole(before, protection)?, whole(after, protection)?);
    let path = arguments.path.clone().unwrap_or_default();
    let mut limits = Limits::default();
    limits.differences = arguments.most;
    let comparison = at(&before, &path, &mut |_, one: &Node<'_>| {
        at(&after, &path, &mut |_, other| Ok(one.compare(other, &limits)))
    })?;
    let metadata = metadata_of(&before, &after);
    let configuration = before.manifest().configuration_differences(after.manifest());
    let configuration =
        configuration.into_iter().map(|setting| (setting.path, [setting.before, setting.now])).collect();
    let is_same = comparison.total == 0;
    let (before, after) = (before.header(), after.header());
    output.answer(&Differences {
        before,
        after,
        metadata,
        configuration,
        path_in_state: path,
        comparison,
    })?;
    Ok(if is_same { Verdict::Well } else { Verdict::NotSo })
}
