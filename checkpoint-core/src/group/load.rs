//! A load of a group: all members take the same generation, the newest that is whole on all.
//!
//! ```text
//!         rank 0 reads the newest table
//! gather  the table
//!         each loads and verifies what it needs
//! gather  a verdict: all take it; or all go to the next older one, if a part is damaged for good
//!         each opens the outputs of its state, and cuts them
//! gather  if any member has outputs: all accept it, or the load is an error on all
//! ```

use std::io;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::Group;
use super::blocks::{self, Load};
use super::checkpointer::GroupCheckpointer;
use super::table::Table;
use crate::arrays::ArrayPool;
use crate::base::warnings::warn;
use crate::container::Manifest;
use crate::error::{Error, OutputFault, Skipped, once_more};
use crate::outcome::LoadReport;
use crate::outputs::Age;
use crate::run::checkpointer::Checkpointer;
use crate::run::reader::{Decoded, Reader, pin_unread};
use crate::state::Checkpoint;

/// A generation that all members are to try.
#[derive(Clone, Serialize, Deserialize)]
struct Candidate {
    generation: u64,
    /// True if it was asked for, and there are newer ones.
    is_behind: bool,
    /// True if no newer one was ever tried: none is damaged, and none is aside.
    is_newest: bool,
    /// A newer one that a member could not read: it may be whole.
    unread: Option<u64>,
    table: Table,
    manifest: Manifest,
}

/// The search of rank 0.
struct Search {
    /// The generations that were not tried, oldest first.
    left: Vec<u64>,
    newest: Option<u64>,
    /// The tables that are damaged, and those with damaged parts.
    skipped: Vec<Skipped>,
    /// Those of them that the system did not give, newest first: they may be whole.
    unread: Vec<u64>,
    /// True if only one generation is wanted.
    is_exact: bool,
    /// True if there are newer ones than that.
    has_newer: bool,
}

/// The verdict of a member.
#[derive(Serialize, Deserialize)]
enum Found {
    Whole {
        has_outputs: bool,
    },
    /// Its part is broken for good, or the system does not give it.
    Damaged {
        why: String,
        is_unread: bool,
    },
}

impl<T: Checkpoint, G: Group> GroupCheckpointer<T, G> {
    /// Loads the newest generation, or exactly one. `None` if there is none.
    pub(super) fn loaded(
        &mut self,
        name: impl Into<String>,
        mut into: Option<&mut T>,
        exact: Option<u64>,
    ) -> Result<Option<Box<T>>, Error> {
        let warnings = self.warnings.clone();
        let _warnings = warnings.enter();
        let begun = Instant::now();
        self.begin(name)?;
        self.complete().map_err(|failed| failed.error)?;
        let mut search = self.root.as_ref().map(|root| Search::begin(root, exact)).transpose();
        let mut tried: Vec<Skipped> = Vec::new();
        loop {
            let candidate = match (&mut self.root, &mut search) {
                (Some(root), Ok(Some(search))) => search.next(root),
                (_, Ok(_)) => Ok(None),
                (_, failed @ Err(_)) => std::mem::replace(failed, Ok(None)).map(|_| None),
            };
            let candidates = self.calls.gather(candidate)?;
            let Some(candidate) = candidates.into_iter().next().flatten() else { return Ok(None) };
            let generation = candidate.generation;
            let mut bytes = 0;
            // Rank 0 compares, for all: the table has its configuration.
            let (changes, now) = (self.part.config_changes(), self.part.reader().configuration());
            let config_differences = match self.root {
                Some(_) => changes.between(&candidate.manifest, now),
                None => Vec::new(),
            };
            let changed = changes.react(&self.path, &config_differences);
            let loaded = once_more(|| {
                bytes = 0;
                self.load_part(&candidate, into.as_deref_mut(), &mut bytes)
            });
            // A member whose outputs are gone is an error of all, before any of them is cut.
            let loaded = loaded.and_then(|decoded| {
                let age = match candidate.is_behind {
                    true => Age::Behind,
                    false if candidate.is_newest => Age::Newest,
                    // One that is damaged or aside may count on what is cut, and may come back.
                    false => Age::Older,
                };
                self.part.outputs().check(&decoded.outputs, generation, age, candidate.unread)?;
                Ok(decoded)
            });
            let loaded = loaded.and_then(|decoded| changed.map(|()| decoded));
            let (mine, own) = match loaded {
                Ok(decoded) => {
                    let found = Found::Whole { has_outputs: !decoded.outputs.is_empty() };
                    (Ok((Some(decoded), found)), None)
                }
                Err(error) if error.is_damage() => match self.left_elsewhere(&error, &candidate) {
                    Some(elsewhere) => (Err(elsewhere), None),
                    None => {
                        let found = Found::Damaged { why: error.to_string(), is_unread: error.is_unread() };
                        (Ok((None, found)), Some(error))
                    }
                },
                Err(error) => (Err(error), None),
            };
            let ((decoded, _), found) = self.calls.gather_about(mine, |(_, found)| match found {
                Found::Whole { has_outputs } => Found::Whole { has_outputs: *has_outputs },
                Found::Damaged { why, is_unread } => {
                    Found::Damaged { why: why.clone(), is_unread: *is_unread }
                }
            })?;
            let is_unread = found.iter().any(|found| matches!(found, Found::Damaged { is_unread: true, .. }));
            let has_outputs = found.iter().any(|found| matches!(found, Found::Whole { has_outputs: true }));
            let damage = found.into_iter().enumerate().find_map(|(rank, found)| match found {
                Found::Whole { .. } => None,
                Found::Damaged { why, .. } => Some((rank, why)),
            });
            let Some((rank, why)) = damage else {
                let Some(Decoded { state, differences, outputs }) = decoded else {
                    return Err(self.calls.lost("nothing was decoded"));
                };
                // All members know if one has outputs: where none has, there is nothing to agree
                // on.
                if has_outputs {
                    let is_resized = candidate.table.size != self.calls.size();
                    let opened = self.part.outputs().open(&outputs).map_err(|error| match error {
                        Error::Output { path, counted, fault: OutputFault::InUse } if is_resized => {
                            Error::Output { path, counted, fault: OutputFault::InUseByMember }
                        }
                        error => error,
                    });
                    self.calls.gather(opened)?;
                }
                let report = LoadReport {
                    path: self.path.clone(),
                    manifest: candidate.manifest,
                    bytes,
                    duration: begun.elapsed(),
                    skipped: tried,
                    missing: None,
                    differences,
                    config_differences,
                };
                self.accept(report, search.unwrap_or(None), generation, candidate.table.attempt);
                return Ok(Some(state));
            };
            // The own error has its cause; that of another member is only text.
            let error = own.unwrap_or(Error::Member { rank, why: why.clone(), may_pass: false });
            if exact.is_some() {
                return Err(error);
            }
            if let Ok(Some(search)) = &mut search {
                search.skip(generation, Error::Member { rank, why, may_pass: false }, is_unread);
            }
            tried.push(Skipped { generation, error });
        }
    }

    /// The error of a part that is not on this machine, and may be on the one where its rank ran
    /// last. An older generation is no way out, since the saves after it would remove the tables of
    /// the newer ones.
    ///
    /// `None` if the part counts as damaged: its place has others, and the table is here too, as
    /// where all members share a directory.
    fn left_elsewhere(&self, error: &Error, candidate: &Candidate) -> Option<Error> {
        let &Error::Io { operation, ref path, ref source } = error else { return None };
        // With `durable(false)`, a power cut may have taken the part alone.
        let is_missing = source.kind() == io::ErrorKind::NotFound && self.builder.options().durable;
        if !is_missing || self.home.files().is_none() {
            return None;
        }
        let Candidate { generation, table, .. } = candidate;
        let mut places = (0..table.size).filter_map(|rank| Some((rank, self.home.member(rank).ok()?)));
        let (rank, place) = places.find(|(_, place)| path.parent() == Some(place.path()))?;
        let here = match place.generations() {
            Ok(parts) if parts.is_empty() => {
                format!("no part of rank {rank} is here: its directory is on another machine, or was removed")
            }
            Ok(_) if self.home.has(*generation) => return None,
            Ok(_) => format!("rank {rank} has older parts here, in a directory of its own"),
            Err(error) => return Some(error),
        };
        let why = format!(
            "{source}; {here}: start {} ranks, each on the machine that has its part of generation {generation}, or go \
             back to an older one by `ckpt rewind` in the directory of rank 0",
            table.size
        );
        Some(Error::io(operation, path, io::Error::new(source.kind(), why)))
    }

    /// Records a load that all members accepted.
    fn accept(&mut self, mut report: LoadReport, search: Option<Search>, generation: u64, attempt: String) {
        if let (Some(root), Some(search)) = (&mut self.root, search) {
            let newest = search.newest;
            if !search.is_exact {
                let (reader, saver) = root.halves();
                let unpinned = pin_unread(reader.home(), &search.unread);
                reader.look_for_missing(newest);
                report.missing = reader.missing_generation();
                if let Some(writer) = saver.settled_writer() {
                    writer.keep_unread(unpinned);
                    writer.mark_damaged(search.skipped.iter().map(|skipped| skipped.generation));
                }
            }
            root.restarted(&report);
        }
        self.newest = Some((generation, attempt));
        self.report = Some(report);
    }

    /// Loads what this member needs of a generation.
    fn load_part(
        &self,
        candidate: &Candidate,
        into: Option<&mut T>,
        bytes: &mut u64,
    ) -> Result<Decoded<T>, Error> {
        let Candidate { generation, table, .. } = candidate;
        let own = self.calls.rank();
        let is_whole = table.size == self.calls.size();
        let mut open = |rank: usize| {
            let other;
            let reader = if rank == own {
                self.part.reader()
            } else {
                let home = self.home.member(rank)?;
                let protection = self.builder.options().protection.clone().at_least(0);
                other = Reader::of::<T>(home, protection)?;
                &other
            };
            let container = match is_whole && rank == own {
                true => reader.container(*generation)?,
                // Only pieces of it are read, and each is verified with what is around it.
                false => reader.container_in_few_reads(*generation)?,
            };
            let path = reader.home().location(*generation);
            table.check(&path, rank, &container)?;
            *bytes += container.length();
            Ok((path, container))
        };
        let program = self.part.reader().program();
        let load = Load {
            path: &self.path,
            layout: &table.layout,
            from: table.size,
            to: self.calls.size(),
            rank: own,
            program: &program,
            open: &mut open,
            on_resize: self.on_resize.as_deref(),
        };
        blocks::load(load, into)
    }
}

impl Search {
    fn begin(root: &Checkpointer<Table>, exact: Option<u64>) -> Result<Search, Error> {
        let mut left = root.generations()?;
        let newest = left.last().copied();
        if let Some(generation) = exact {
            if !left.contains(&generation) {
                let path = root.path().to_owned();
                return Err(Error::NoSuchGeneration { path, generation, available: left });
            }
            left = vec![generation];
        }
        let has_newer = exact.is_some() && exact < newest;
        let (skipped, unread) = (Vec::new(), Vec::new());
        Ok(Search { left, newest, skipped, unread, is_exact: exact.is_some(), has_newer })
    }

    /// Returns the next table that is whole; `None` if there is no generation at all.
    fn next(&mut self, root: &mut Checkpointer<Table>) -> Result<Option<Candidate>, Error> {
        let (reader, saver) = root.halves();
        while let Some(generation) = self.left.pop() {
            match once_more(|| reader.read::<Table>(generation, &mut ArrayPool::default)) {
                Ok((decoded, _)) if decoded.state.shards.len() != decoded.state.size => {
                    let (path, part) = (reader.home().location(generation), "table".to_owned());
                    let why = "it does not have one part for each process".to_owned();
                    let error = Error::Damaged { path, part, why };
                    match self.is_exact {
                        true => return Err(error),
                        false => self.skip(generation, error, false),
                    }
                }
                Ok((decoded, container)) => {
                    if !self.is_exact {
                        reader.check_age(Some(generation))?;
                    }
                    let (table, manifest) = (*decoded.state, container.manifest().clone());
                    let is_behind = self.is_exact && self.has_newer;
                    let is_newest = saver.settled_writer().is_none_or(|writer| writer.last() <= generation);
                    let unread = self.unread.first().copied();
                    return Ok(Some(Candidate { generation, is_behind, is_newest, unread, table, manifest }));
                }
                Err(error) if error.is_damage() && !self.is_exact => {
                    let is_unread = error.is_unread();
                    self.skip(generation, error, is_unread);
                }
                Err(error) => return Err(error),
            }
        }
        if self.skipped.is_empty() {
            reader.check_rewound()?;
            reader.look_for_missing(None);
            return reader.check_age(None).map(|()| None);
        }
        let tried = std::mem::take(&mut self.skipped);
        Err(Error::NoneUsable { path: reader.path().to_owned(), tried })
    }

    /// Passes over a generation, with a warning.
    fn skip(&mut self, generation: u64, error: Error, is_unread: bool) {
        let next = if self.left.is_empty() {
            "and there is none before it"
        } else {
            "and the one before it is tried"
        };
        warn(format!("generation {generation} of the group cannot be used, {next}: {error}"));
        self.skipped.push(Skipped { generation, error });
        self.unread.extend(is_unread.then_some(generation));
    }
}
