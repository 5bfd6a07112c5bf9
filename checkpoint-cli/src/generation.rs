//! A generation, in the form that the commands show: as JSON, as a row of a table, in the report.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use checkpointed_core::inspect::GenerationOverview;
use checkpointed_core::{Manifest, Metadata, MetadataValue};
use serde::Serialize;

use crate::text::{self, BAD, BOLD, Cell, WARNING};

/// The facts about a generation, from its manifest and from its directory.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Generation {
    pub(crate) generation: u64,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    #[serde(serialize_with = "text::rfc3339::optional")]
    pub(crate) created: Option<SystemTime>,
    pub(crate) host: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) version: Option<u32>,
    pub(crate) metadata: BTreeMap<String, MetadataValue>,
    /// In seconds.
    pub(crate) stall: Option<f64>,
    /// In seconds.
    pub(crate) total: Option<f64>,
    pub(crate) kept: Vec<String>,
    /// True if the rules of the last run are known, so that the next save removes what none keeps.
    #[serde(skip)]
    pub(crate) has_rules: bool,
    /// The reason that it cannot be used.
    pub(crate) problem: Option<String>,
}

impl Generation {
    pub(crate) fn of(overview: GenerationOverview, has_rules: bool) -> Generation {
        let GenerationOverview { generation, path, bytes, manifest, stall, total, kept, .. } = overview;
        let (manifest, problem) = match manifest {
            Ok(manifest) => (Some(manifest), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let manifest = manifest.as_ref();
        Generation {
            generation,
            path,
            bytes,
            created: manifest.map(Manifest::created),
            host: manifest.map(|manifest| manifest.host().to_owned()),
            name: manifest.map(|manifest| manifest.name().to_owned()),
            version: manifest.map(Manifest::version),
            metadata: manifest.map(|manifest| values(manifest.metadata())).unwrap_or_default(),
            stall: stall.map(|stall| stall.as_secs_f64()),
            total: total.map(|total| total.as_secs_f64()),
            kept: kept.iter().map(ToString::to_string).collect(),
            has_rules,
            problem,
        }
    }

    /// Its cells in the table of a directory.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let seconds = |seconds: Option<f64>| {
            let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            Cell::right(duration.map(text::duration).unwrap_or_default())
        };
        let state = match (&self.name, self.version) {
            (Some(name), Some(1) | None) => text::plain(name),
            (Some(name), Some(version)) => format!("{}, version {version}", text::plain(name)),
            (None, _) => String::new(),
        };
        let kept = match (&self.problem, &self.kept[..]) {
            (Some(problem), _) => Cell::left(text::plain(problem)).styled(BAD),
            (None, []) if !self.has_rules => Cell::left(""),
            (None, []) => Cell::left("removed by the next save").styled(WARNING),
            (None, reasons) => Cell::left(text::plain(&reasons.join(", "))),
        };
        vec![
            Cell::right(self.generation.to_string()).styled(BOLD),
            Cell::right(self.created.map(text::age_of).unwrap_or_default()),
            Cell::right(text::bytes(self.bytes)),
            Cell::left(state),
            seconds(self.stall),
            seconds(self.total),
            Cell::left(described(&self.metadata)),
            kept,
        ]
    }
}

pub(crate) fn values(metadata: &Metadata) -> BTreeMap<String, MetadataValue> {
    metadata.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

/// Metadata in one line, cut if it is long.
pub(crate) fn described(metadata: &BTreeMap<String, MetadataValue>) -> String {
    const LONGEST: usize = 40;
    let entries: Vec<String> = metadata.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let line = text::plain(&entries.join(", "));
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
