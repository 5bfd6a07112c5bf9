//! Opens a checkpoint directory for a group.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::accepted::Accepted;
use super::calls::Calls;
use super::checkpointer::{GroupCheckpointer, Opened};
use super::leftovers::Leftovers;
use super::lost::{self, Finding, LockFile};
use super::table::Table;
use super::{Group, random};
use crate::error::Error;
use crate::outcome::ExitCodes;
use crate::run::builder::Builder;
use crate::run::checkpointer::Checkpointer;
use crate::run::reader::program_of;
use crate::state::Checkpoint;
use crate::store::{Claiming, Home};
use crate::tree;

/// The message of a member when the group opens a directory. That of rank 0 counts for all.
#[derive(Serialize, Deserialize)]
struct Word {
    /// The state of the program, and a hash of its form.
    state: String,
    background: bool,
    exit_codes: (u8, u8),
    /// True if there are tables, whole or not, or if rewinds set some aside.
    has_tables: bool,
    /// The lock file of the directory, from rank 0.
    lock: Option<LockFile>,
    /// The number of this job, from rank 0, where the place has no locks.
    job: Option<u64>,
    /// The highest number of a job that has claimed the place of this member.
    last_job: u64,
}

/// The table's part of an open directory.
struct Table0<T> {
    builder: Builder<T>,
    /// The place of the group, and that of this member in it.
    home: Arc<dyn Home>,
    of_rank: Arc<dyn Home>,
    root: Option<Checkpointer<Table>>,
    leftovers: Leftovers,
}

impl<T: Checkpoint> Builder<T> {
    /// Opens the directory as one member of a group, and creates it if it is absent. Every
    /// member calls this.
    ///
    /// The path leads to the same directory on all members, or to one for each on its own machine:
    /// then only that of rank 0 has the table, the history and the halt file.
    ///
    /// The schedule, the retention, the saves in the background, `on_failed_save`, the exit codes
    /// and the configuration are those of rank 0. Every other setting is each member's own: give
    /// all the same. Each member listens to its own signals and limits: if one has a reason to
    /// stop, all stop.
    ///
    /// In another place than a directory, such as an `ObjectHome` of the package
    /// `checkpointed-object-store`, all members give the same one to
    /// [`builder_in`](Checkpointer::builder_in). The last job that opens it has it: the next save
    /// of an earlier one is [`Error::TakenOver`] on rank 0, and [`Error::Member`] on the others.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    /// use checkpointed::group::Alone;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// // `Alone` tries a parallel program with one process.
    /// let mut checkpoints = Checkpointer::<Vec<f64>>::builder(&path).keep_last(3).open_group(Alone)?;
    /// let field = checkpoints.load_or_else(|| vec![0.0; 1000])?;
    /// checkpoints.save(&field)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`open`](Builder::open), of this member; [`Error::Member`], if another one could not open
    /// it; [`Error::CallsDiffer`], if the members have different states; [`Error::TablesLost`], if
    /// the directory of rank 0 has lost its checkpoints, and ranks have parts of them; and
    /// [`Error::GroupLost`].
    pub fn open_group<G: Group>(self, group: G) -> Result<GroupCheckpointer<T, G>, Error> {
        let begun = Instant::now();
        let mut calls = Calls::new(group);
        calls.begin("open_group");
        let warnings = self.options().warnings.clone();
        let _warnings = warnings.enter();
        // The table comes first: a second job is refused before any of its members writes.
        let table = self.open_table(&calls, begun);
        let word = table.and_then(|mut table| {
            let word = table.word()?;
            Ok((table, word))
        });
        let (opened, words) = calls.gather_about(word, |(_, word)| Word {
            state: word.state.clone(),
            background: word.background,
            exit_codes: word.exit_codes,
            has_tables: word.has_tables,
            lock: word.lock,
            job: word.job,
            last_job: word.last_job,
        })?;
        let (Table0 { builder, home, of_rank, mut root, leftovers }, _) = opened;
        if let Some(other_rank) = words.iter().position(|word| word.state != words[0].state) {
            let call = |rank: usize| format!("`open_group` for {}", words[rank].state);
            return Err(Error::CallsDiffer {
                rank: 0,
                call: call(0),
                other_rank,
                other_call: call(other_rank),
            });
        }
        let path = home.path().to_owned();
        let rank = calls.rank();
        let [first, ..] = &words[..] else { return Err(calls.lost("it has no members")) };
        let has_tables = first.has_tables;
        let highest = words.iter().map(|word| word.last_job).max().unwrap_or(0);
        let job = raised(&mut calls, &mut root, first.job, highest)?;
        let part = builder.clone().for_part(Arc::clone(&of_rank), !calls.is_first(), job).open_at(begun);
        let durable = builder.options().claiming().durable;
        let mut accepted = Accepted::of(Arc::clone(&of_rank), durable);
        let part = part.and_then(|part| {
            let newest = part.generations()?.last().copied();
            let found = match has_tables {
                true => Finding::default(),
                false => Finding::of_own(&accepted, newest)?.and_others(
                    &*home,
                    rank,
                    first.lock,
                    &leftovers.accepted,
                )?,
            };
            Ok((part, newest, found))
        });
        let ((part, newest, _), findings) = calls.gather_about(part, |(_, _, found)| found.clone())?;
        if let Some(lost) = lost::tables_lost(path.clone(), &findings) {
            return Err(lost);
        }
        match newest {
            _ if has_tables => accepted.make(),
            None => accepted.clear(),
            Some(_) => {}
        }
        let exit_codes = ExitCodes { requeue: first.exit_codes.0, halted: first.exit_codes.1 };
        let background = first.background;
        Ok(GroupCheckpointer::new(
            calls,
            Opened { path, builder, home, root, leftovers, part, accepted, background, exit_codes },
        ))
    }

    /// Applies the environment, and opens the root as rank 0.
    fn open_table<G: Group>(self, calls: &Calls<G>, begun: Instant) -> Result<Table0<T>, Error> {
        if calls.rank() >= calls.size() {
            let setting = format!("rank {} of {}", calls.rank(), calls.size());
            return Err(Error::InvalidSetting { setting, why: "ranks count from 0 up to the size" });
        }
        let builder = self.with_environment()?;
        builder.not_for_groups()?;
        let home = builder.home()?;
        let of_rank = home.member(calls.rank())?;
        // A source of chance that fails is found here, and not at the first save.
        random(&mut [0]).map_err(|source| Error::io("draw a random name for", home.path(), source))?;
        if !calls.is_first() {
            return Ok(Table0 { builder, home, of_rank, root: None, leftovers: Leftovers::default() });
        }
        let root = builder.clone().of::<Table, Checkpointer<Table>>().for_table();
        let mut root = root.open_at(begun)?;
        let places = Leftovers::places(&*home, calls.size())?;
        let mut job = root.halves().1.writer()?.job();
        for (_, place) in &places {
            let last_job = place.last_job()?;
            job = raise(&mut root, job, last_job)?;
        }
        // The leftovers of a larger group are no reason to wait.
        let claiming = Claiming { at_once: true, job, ..builder.options().claiming() };
        let leftovers = Leftovers::find(places, &claiming)?;
        Ok(Table0 { builder, home, of_rank, root: Some(root), leftovers })
    }
}

/// Gives the job a number above all that the places of the members know, and tells all members.
///
/// Only a job that has lost the claims of its root has a lower one, or one that another has taken
/// over by now: then this is an error.
fn raised<G: Group>(
    calls: &mut Calls<G>,
    root: &mut Option<Checkpointer<Table>>,
    job: Option<u64>,
    highest: u64,
) -> Result<Option<u64>, Error> {
    if job.is_none_or(|job| job > highest) {
        return Ok(job);
    }
    let raised = root.as_mut().map(|root| raise(root, job, highest)).transpose();
    let all = calls.gather(raised.map(Option::flatten))?;
    Ok(all.into_iter().next().flatten())
}

/// Gives the claim on the root a number above this one, where it has numbers.
fn raise(root: &mut Checkpointer<Table>, job: Option<u64>, above: u64) -> Result<Option<u64>, Error> {
    let writer = root.halves().1.writer()?;
    if job.is_some_and(|job| job <= above) {
        writer.raise_job(above.saturating_add(1))?;
    }
    Ok(writer.job())
}

impl<T: Checkpoint> Table0<T> {
    fn word(&mut self) -> Result<Word, Error> {
        let program = program_of::<T>()?;
        if !self.builder.options().protection.can_open() && tree::is_sharded(program.schema()) {
            return Err(Error::InvalidSetting {
                setting: "`Protection::encrypt_to` without an identity, for a state with `Sharded` or `Shared` values"
                    .to_owned(),
                why: "a save of a group looks at the blocks of all its members: give the identity too",
            });
        }
        let schema = serde_json::to_vec(program.schema()).unwrap_or_default();
        let form = blake3::hash(&schema).to_hex();
        let state = format!("`{}` (form {})", program.shown_name(), &form[..8]);
        let ExitCodes { requeue, halted } = self.builder.exit_codes_in_environment()?;
        let (mut has_tables, mut job) = (false, None);
        if let Some(root) = &mut self.root {
            job = root.halves().1.writer()?.job();
            has_tables = !root.generations()?.is_empty() || !root.reader().home().rewound()?.is_empty();
        }
        Ok(Word {
            state,
            background: self.builder.is_background(),
            exit_codes: (requeue, halted),
            has_tables,
            lock: self.root.as_ref().and_then(|_| lost::lock_file(&*self.home)),
            job,
            last_job: self.of_rank.last_job()?,
        })
    }
}
