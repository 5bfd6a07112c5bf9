//! A save of a group: the parts, then the table, then retention.
//!
//! ```text
//! gather  the highest number that each has seen; rank 0 names the attempt
//!         each writes its part, durably, and removes nothing
//! gather  the parts, or an error: then nothing is published
//!         rank 0 saves the table, which makes the generation
//! gather  its outcome, and the tables that are there or aside
//!         each marks its directory, the first time, and removes its parts of all other generations
//! ```

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::blocks::{self, Contents};
use super::checkpointer::GroupCheckpointer;
use super::table::{Shard, Table};
use super::{Group, random};
use crate::base::panics::message;
use crate::container::Metadata;
use crate::error::Error;
use crate::outcome::{Decision, Progress, SaveReason, SaveStarted, Saved};
use crate::outputs::{self, Counted};
use crate::run::checkpointer::Checkpointer;
use crate::run::checkpointer::grouped::Cost;
use crate::run::lifecycle::SaveOutcome;
use crate::state::Checkpoint;

/// One attempt of the group to save: its number, and a random name that no other attempt has.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) generation: u64,
    name: String,
}

/// A save while its parts are written in the background.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) attempt: Attempt,
    order: Order,
}

/// The cost, the reason and the metadata that rank 0 saves the table with.
#[derive(Clone, Debug)]
struct Order {
    begun: Instant,
    /// The longest time that a member waited for the copy; `None` if all waited for the disk.
    stall: Option<Duration>,
    reason: SaveReason,
    metadata: Metadata,
}

/// A save that failed on all members, and the decision if the program is to go on.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) tolerated: Option<Decision>,
}

impl From<Error> for Box<Failed> {
    fn from(error: Error) -> Box<Failed> {
        Box::new(Failed { error, tolerated: None })
    }
}

/// The message of a member before a save.
#[derive(Serialize, Deserialize)]
struct Seen {
    highest: u64,
    /// The name of the attempt, from rank 0.
    attempt: String,
}

/// The part that a member has written.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    shard: Shard,
    contents: Contents,
    /// The number of bytes that were written to its file.
    written: u64,
}

/// The message of rank 0 at the end.
#[derive(Serialize, Deserialize)]
enum Verdict {
    Accepted {
        saved: Saved,
        /// The generations whose tables are there or aside. `None` if that is not known just now:
        /// then nothing is removed.
        kept: Option<BTreeSet<u64>>,
    },
    Refused {
        why: String,
        may_pass: bool,
        /// True if the table may exist after all: then its parts must stay.
        may_exist: bool,
        /// The message and the number of failures in a row, if the program is to go on.
        tolerated: Option<(String, u32)>,
    },
}

impl Verdict {
    fn refused(error: &Error, outcome: SaveOutcome, may_exist: bool) -> Verdict {
        let tolerated = match outcome {
            SaveOutcome::Tolerated(Decision::Failed { message, times }) => Some((message, times)),
            _ => None,
        };
        Verdict::Refused { why: error.to_string(), may_pass: error.may_pass(), may_exist, tolerated }
    }
}

impl<T: Checkpoint, G: Group> GroupCheckpointer<T, G> {
    /// Saves within a call that has begun.
    pub(super) fn save_now(
        &mut self,
        reason: &SaveReason,
        state: &T,
        metadata: Metadata,
    ) -> Result<Saved, Box<Failed>> {
        let begun = Instant::now();
        self.complete()?;
        let attempt = self.agree()?;
        let marked = Table::mark(metadata.clone(), &attempt.name, self.calls.rank());
        let (saved, panic) = match self.part.write_part(reason, state, marked) {
            Ok((_, saved, panic)) => (saved, panic),
            Err(error) => (Err(error), None),
        };
        let mine = saved.and_then(|saved| self.facts(&saved));
        let facts = self.calls.gather(mine);
        let order = Order { begun, stall: None, reason: reason.clone(), metadata };
        let outcome = self.decide(&attempt, order, facts);
        // The others know of it.
        panic.map_or(outcome, |panic| resume_unwind(panic))
    }

    /// Begins to save within a call that has begun.
    pub(super) fn begin_in_background(
        &mut self,
        reason: &SaveReason,
        state: &T,
        metadata: Metadata,
    ) -> Result<SaveStarted, Box<Failed>> {
        let begun = Instant::now();
        self.complete()?;
        let attempt = self.agree()?;
        let marked = Table::mark(metadata.clone(), &attempt.name, self.calls.rank());
        let part = &mut self.part;
        let begin = AssertUnwindSafe(|| part.begin_part(reason, state, marked));
        let (mine, panic) = match catch_unwind(begin) {
            Ok(began) => (began, None),
            Err(panic) => {
                let (name, message) = (self.part.reader().name(), message(&*panic));
                (Err(Error::Panicked { name, message }), Some(panic))
            }
        };
        let mut order = Order { begun, stall: None, reason: reason.clone(), metadata };
        let gathered = self.calls.gather_about(mine, |stall| *stall);
        self.part.halves().1.release();
        match gathered {
            Ok((stall, all)) => {
                order.stall = all.into_iter().max();
                let generation = attempt.generation;
                self.pending = Some(Pending { attempt, order });
                Ok(SaveStarted { generation, stall })
            }
            Err(error) => {
                // Another member did not begin: this part is written, and then taken back.
                let _ = self.part.wait();
                let outcome = self
                    .decide(&attempt, order, Err(error))
                    .map(|_| SaveStarted { generation: attempt.generation, stall: Duration::ZERO });
                panic.map_or(outcome, |panic| resume_unwind(panic))
            }
        }
    }

    /// Waits for the save in the background, and accepts it, within a call that has begun. `None`
    /// where there is none.
    pub(super) fn complete(&mut self) -> Result<Option<Saved>, Box<Failed>> {
        let Some(Pending { attempt, order }) = self.pending.take() else { return Ok(None) };
        let saved =
            self.part.wait().and_then(|saved| saved.ok_or_else(|| self.calls.lost("no part was written")));
        let mine = saved.and_then(|saved| self.facts(&saved));
        let facts = self.calls.gather(mine);
        self.decide(&attempt, order, facts).map(Some)
    }

    /// Agrees on the next number, which no member has seen, and on the name of the attempt.
    fn agree(&mut self) -> Result<Attempt, Error> {
        let seen = self.seen();
        let all = self.calls.gather(seen)?;
        let highest = all.iter().map(|seen| seen.highest).max().unwrap_or(0);
        let next = highest.checked_add(1);
        let generation = next.ok_or_else(|| Error::NoMoreGenerations { path: self.path.clone() })?;
        let name = all.into_iter().next().map(|first| first.attempt).unwrap_or_default();
        if let Some(writer) = self.part.halves().1.settled_writer() {
            writer.skip_to(generation);
        }
        Ok(Attempt { generation, name })
    }

    fn seen(&mut self) -> Result<Seen, Error> {
        let mut highest = self.part.halves().1.writer()?.last();
        let mut attempt = String::new();
        if let Some(root) = &mut self.root {
            let root = root.halves().1.writer()?.last();
            highest = highest.max(root).max(self.leftovers.highest);
            let mut bytes = [0; 16];
            let drawn = random(&mut bytes);
            drawn.map_err(|source| Error::io("draw a random name for a save in", &self.path, source))?;
            attempt = format!("{:032x}", u128::from_ne_bytes(bytes));
        }
        Ok(Seen { highest, attempt })
    }

    /// Looks at the part that was just written, as a load will find it.
    fn facts(&self, saved: &Saved) -> Result<Facts, Error> {
        let Saved { generation, bytes: length, written, stall, duration } = *saved;
        let mut shard = Shard { length, manifest_crc32: None, stall, duration };
        let mut contents = Contents::default();
        if self.builder.options().protection.can_open() {
            let reader = self.part.reader();
            let container = reader.container_in_few_reads(generation)?;
            shard.manifest_crc32 = Some(container.manifest_crc32());
            contents = blocks::of(&reader.home().location(generation), container)?;
        }
        Ok(Facts { shard, contents, written })
    }

    /// Publishes the table, if all parts are there, or refuses the save on all members.
    fn decide(
        &mut self,
        attempt: &Attempt,
        order: Order,
        facts: Result<Vec<Facts>, Error>,
    ) -> Result<Saved, Box<Failed>> {
        // A part that is refused lets no file go back.
        let counted = self.part.outputs().take_unaccepted();
        let leave_open = |counted: &Option<(u64, Vec<Counted>)>| {
            counted.iter().for_each(|(_, counted)| outputs::leave_open(counted));
        };
        if self.calls.is_broken() {
            // Rank 0 may have got all answers: the part stays.
            leave_open(&counted);
            let lost = facts.map_or_else(|error| error, |_| self.calls.lost("a member is lost"));
            return Err(lost.into());
        }
        let (generation, begun) = (attempt.generation, order.begun);
        let (facts, mut error) = match facts {
            Ok(facts) => (Some(facts), None),
            Err(error) => (None, Some(error)),
        };
        let size = self.calls.size();
        let verdict = match (&mut self.root, facts, &error) {
            (None, _, _) => None,
            (Some(root), None, failed) => {
                let lost = self.calls.lost("a member failed");
                let failed = failed.as_ref().unwrap_or(&lost);
                let outcome = root.halves().1.run.saved(order.begun, generation, &order.reason, Err(failed));
                Some(Verdict::refused(failed, outcome, false))
            }
            (Some(root), Some(facts), _) => {
                let (verdict, failed) = commit(root, attempt, size, order, facts);
                error = failed;
                Some(verdict)
            }
        };
        let verdicts = self.calls.gather(Ok(verdict)).inspect_err(|_| leave_open(&counted))?;
        let Some(verdict) = verdicts.into_iter().next().flatten() else {
            leave_open(&counted);
            return Err(self.calls.lost("rank 0 gave no verdict").into());
        };
        let watcher = self.part.halves().1.run.watcher.clone();
        match verdict {
            Verdict::Accepted { saved, kept } => {
                self.newest = Some((generation, attempt.name.clone()));
                self.accepted.make();
                if let Some((generation, counted)) = &counted {
                    outputs::accept(counted, *generation);
                }
                if let Some(kept) = kept {
                    if let Some(writer) = self.part.halves().1.settled_writer() {
                        writer.retire_all_but(&kept);
                    }
                    self.leftovers.retire_all_but(&kept);
                }
                self.part.halves().1.run.paid(begun, &saved);
                watcher.tell(|| Progress::Saved(saved.clone()));
                Ok(saved)
            }
            Verdict::Refused { why, may_pass, may_exist, tolerated } => {
                match &counted {
                    counted if may_exist => leave_open(counted),
                    Some((_, counted)) => outputs::abandon(counted),
                    None => {}
                }
                if !may_exist && let Some(writer) = self.part.halves().1.settled_writer() {
                    writer.take_back(generation);
                }
                let error = error.unwrap_or(Error::Member { rank: 0, why, may_pass });
                watcher.tell(|| Progress::Failed { generation, message: error.to_string() });
                let tolerated = tolerated.map(|(message, times)| Decision::Failed { message, times });
                Err(Box::new(Failed { error, tolerated }))
            }
        }
    }
}

/// Saves the table. Returns the verdict for all members and, if that failed, the error.
fn commit(
    root: &mut Checkpointer<Table>,
    attempt: &Attempt,
    size: usize,
    order: Order,
    facts: Vec<Facts>,
) -> (Verdict, Option<Error>) {
    let Order { begun, stall, reason, metadata } = order;
    let generation = attempt.generation;
    let written = facts.iter().map(|facts| facts.written).fold(0, u64::saturating_add);
    let (shards, contents): (Vec<Shard>, Vec<Contents>) =
        facts.into_iter().map(|Facts { shard, contents, .. }| (shard, contents)).unzip();
    let path = root.path().to_owned();
    let bytes = shards.iter().map(|shard| shard.length).fold(0, u64::saturating_add);
    let table = blocks::join(&path, &contents).and_then(|layout| {
        root.halves().1.writer()?.skip_to(generation);
        Ok(Table { attempt: attempt.name.clone(), size, shards, layout })
    });
    let cost = Cost { begun, stall, bytes, written };
    let not_begun = match table {
        Ok(table) => match root.save_table(cost, &reason, &table, metadata) {
            Ok((Ok(saved), _)) => {
                return (Verdict::Accepted { saved, kept: kept(root) }, None);
            }
            Ok((Err(error), outcome)) => {
                // The number is used up as soon as the table may have its name.
                let writer = root.halves().1.settled_writer();
                let may_exist = writer.is_none_or(|writer| writer.last() >= generation);
                let verdict = Verdict::refused(&error, outcome, may_exist);
                return (verdict, Some(error));
            }
            Err(error) => error,
        },
        Err(error) => error,
    };
    let outcome = root.halves().1.run.saved(begun, generation, &reason, Err(&not_begun));
    let verdict = Verdict::refused(&not_begun, outcome, false);
    (verdict, Some(not_begun))
}

/// The generations that must keep their parts: those whose tables are in the directory, those whose
/// tables rewinds set aside, and those that this program knows of.
///
/// So a rewind moves tables alone, and a part that a table needs is in its place wherever the table
/// is: also one that retention has given up, and that the place has not removed yet.
fn kept(root: &mut Checkpointer<Table>) -> Option<BTreeSet<u64>> {
    let rewound = root.halves().0.home().rewound().ok()?;
    let writer = root.halves().1.settled_writer()?;
    let there = writer.settle().ok()?;
    let mut kept = writer.known().clone();
    kept.extend(there.into_iter().chain(rewound));
    Some(kept)
}
