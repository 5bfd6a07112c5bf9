//! The mirror of a run, and the thread that copies its generations there.
//!
//! The run tells the thread of each save, and never waits for it. The thread tells the run by
//! [`Shared`] how far it is.

mod asking;
mod patient;
mod shared;
mod worker;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::patient::Patient;
pub(crate) use self::shared::Shared;
use self::shared::Start;
use self::worker::Worker;
use crate::base::warnings::{Warnings, warn};
use crate::error::{Error, Skipped};
use crate::run::mirror::{Mirror as Settings, Patience};
use crate::store::mirror::{Far, Near, Records, Standing, Timing, is_mirror_of, restore};
use crate::store::{Disk, Home, Process, Writer};

/// The mirror of a run.
#[derive(Debug)]
pub(crate) struct Mirroring {
    shared: Arc<Shared>,
    /// What the directory remembers of the mirror.
    records: Records,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
    wait_at_finish: Duration,
    patience: Patience,
    warnings: Warnings,
    process: Process,
}

/// The directory that a run branches from, and what that remembers of the mirror.
struct Origin {
    home: Arc<dyn Home>,
    records: Records,
}

impl Mirroring {
    /// Reaches the mirror of a directory that was just claimed, copies what it has more, and starts
    /// the thread.
    ///
    /// # Errors
    /// The two levels are of two runs, or the mirror is that of `origin`; the directory is empty,
    /// and the mirror cannot be asked; or the mirror has checkpoints, and none is usable; or the
    /// directory is empty, and the mirror cannot be written.
    pub(crate) fn open(
        settings: &Settings,
        far: Far,
        writer: &mut Writer,
        origin: Option<&Arc<dyn Home>>,
        disk: Arc<dyn Disk>,
        warnings: &Warnings,
    ) -> Result<Mirroring, Error> {
        let path = far.home.path().to_owned();
        let origin = origin.map(|origin| {
            let records = Records::new(Arc::clone(&disk), origin.path(), &path);
            Origin { home: Arc::clone(origin), records }
        });
        let records = Records::new(Arc::clone(&disk), writer.path(), &path);
        let guard = Some(Arc::downgrade(writer.guard()));
        let near = Near { home: Arc::clone(writer.home()), disk, guard };
        let shared = Shared::new();
        let worker = Worker::new(&shared, far, near, settings.retry);
        let (warnings, of_thread) = (warnings.clone(), warnings.clone());
        let thread = std::thread::Builder::new().name("checkpoint-mirror".to_owned());
        let thread = thread.spawn(move || worker.run(&of_thread));
        let thread = thread.map_err(|source| Error::io("start a thread for the mirror", &path, source))?;
        let Settings { wait_at_finish, patience, .. } = *settings;
        let process = Process::current();
        let thread = Some(thread);
        let mirroring =
            Mirroring { shared, records, thread, path, wait_at_finish, patience, warnings, process };
        mirroring.begin(writer, origin.as_ref())?;
        Ok(mirroring)
    }

    /// Waits for the first contact, and copies what the mirror has more.
    fn begin(&self, writer: &mut Writer, origin: Option<&Origin>) -> Result<(), Error> {
        let is_empty = writer.known().is_empty();
        // Without checkpoints, nothing can be done before the mirror is asked.
        let longest = if is_empty { self.patience.first_of_empty } else { self.patience.first };
        let until = Instant::now().checked_add(longest);
        let first = {
            let mut state = self.shared.state();
            while state.first.is_none() && !is_over(until) {
                state = self.shared.wait(state, until);
            }
            state.is_late = true;
            state.first.take()
        };
        let first = first.unwrap_or_else(|| {
            let source = io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {longest:?}"));
            Err(Error::io("open the mirror", &self.path, source))
        });
        match first {
            Ok(start) => {
                let begun = self.go_on(writer, start, origin);
                // A mirror that has more must be read: going on without it would give that up.
                begun.map_err(|error| match is_away_from(writer.path(), &error) {
                    true => self.unreachable(writer, error.to_string()),
                    false => error,
                })?;
            }
            Err(error) if is_away(&error) && is_empty => {
                return Err(self.unreachable(writer, error.to_string()));
            }
            Err(error) if !is_empty && !is_fatal(&error) => {
                let why = error.to_string();
                warn_of_failure(&self.path, &why);
                self.shared.state().failing = Some((0, why));
            }
            Err(error) if is_empty => return Err(self.refused(writer, error)),
            Err(error) => return Err(error),
        }
        self.shared.state().newest = writer.newest();
        self.shared.tell();
        Ok(())
    }

    /// Goes on from the newest of both levels, if they are of one run.
    fn go_on(&self, writer: &mut Writer, mut start: Start, origin: Option<&Origin>) -> Result<(), Error> {
        if let Standing::Ahead { .. } = start.standing {
            start.home = self.patient(start.home)?;
        }
        self.check_is_ours(writer, &start, origin)?;
        self.restart(writer, start)
    }

    /// The mirror for reading by the run, which it does not hold up for ever.
    fn patient(&self, home: Arc<dyn Home>) -> Result<Arc<dyn Home>, Error> {
        Ok(Arc::new(Patient::new(home, self.patience.restore, &self.warnings)?))
    }

    /// Refuses to go on from what a mirror has more, where that is what this directory left: it
    /// went back, or it is empty, and the mirror is that of the run from which it branches.
    fn check_is_ours(&self, writer: &Writer, start: &Start, origin: Option<&Origin>) -> Result<(), Error> {
        let Standing::Ahead { near } = start.standing else { return Ok(()) };
        let Some(near) = near else {
            return match origin {
                Some(Origin { home, records }) if is_mirror_of(&**home, records, &*start.home)? => {
                    Err(Error::InvalidSetting {
                        setting: format!("the mirror {}", self.path.display()),
                        why: "it has the checkpoints of the run from which this one branches: give the branch a mirror \
                              of its own",
                    })
                }
                _ => Ok(()),
            };
        };
        let there = start.home.generations()?;
        let more = there.iter().filter(|generation| **generation > near);
        let aside: BTreeSet<u64> = writer.home().rewound()?.into_iter().collect();
        if more.into_iter().any(|generation| aside.contains(generation)) {
            let (path, mirror) = (writer.path().to_owned(), self.path.clone());
            let newest_there = there.last().copied().unwrap_or(near);
            return Err(Error::MirrorApart { path, mirror, newest: near, newest_there });
        }
        Ok(())
    }

    /// Copies what the mirror has more.
    fn restart(&self, writer: &mut Writer, start: Start) -> Result<(), Error> {
        let Start { home, standing, used } = start;
        match standing {
            Standing::Behind | Standing::Apart { .. } => {}
            Standing::Ahead { near } => {
                let (restored, tried) = restore(&*home, (&mut *writer, &self.records), near, &self.timing())?;
                self.note_damaged(&tried);
                let (path, mirror) = (writer.path().display(), self.path.display());
                match (restored, near) {
                    (Some(generation), Some(near)) => warn(format!(
                        "the mirror {mirror} is newer than {path}, whose newest checkpoint is generation {near}: \
                         generation {generation} was copied here, and the program goes on from it"
                    )),
                    (Some(generation), None) => warn(format!(
                        "{path} has no usable checkpoint: generation {generation} was copied here from its mirror {mirror}"
                    )),
                    (None, Some(near)) => warn(format!(
                        "the mirror {mirror} has checkpoints after generation {near} of {path}, and none of them can \
                         be used: the program goes on from generation {near}"
                    )),
                    (None, None) => return Err(Error::NoneUsable { path: self.path.clone(), tried }),
                }
            }
        }
        // The number of a generation of the mirror is not used for another one.
        if let Some(used) = used {
            writer.skip_to(used.saturating_add(1));
        }
        Ok(())
    }

    fn timing(&self) -> Arc<dyn Timing> {
        Arc::<Shared>::clone(&self.shared)
    }

    /// The path of the mirror.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the thread must be told of.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Tells the thread of generations that are damaged at the mirror.
    fn note_damaged(&self, tried: &[Skipped]) {
        self.shared.state().damaged.extend(tried.iter().map(|skipped| skipped.generation));
    }

    /// The error of a mirror that cannot be written, for a program whose directory is empty. It
    /// names the mirror, and what to do: the usual advice is for the directory of a program.
    fn refused(&self, writer: &Writer, error: Error) -> Error {
        let (near, far) = (writer.path(), &self.path);
        let of_far = |path: &Path| !path.starts_with(near);
        let (text, source) = match &error {
            Error::NotWritable { operation, path, source } | Error::Io { operation, path, source }
                if of_far(path) =>
            {
                let advice = format!(
                    "make the mirror writable; or, if it has checkpoints, copy them by `ckpt copy {} {}`; then start again",
                    far.display(),
                    near.display()
                );
                (format!("could not {operation} {}: {source}; {advice}", path.display()), source)
            }
            Error::NoSpace { operation, path, source } if of_far(path) => {
                let advice = "free some space there, or give the mirror another place; then start again";
                (format!("no space left to {operation} {}: {source}; {advice}", path.display()), source)
            }
            _ => return error,
        };
        Error::io("use the mirror", far, io::Error::new(source.kind(), text))
    }

    fn unreachable(&self, writer: &Writer, why: String) -> Error {
        Error::MirrorUnreachable { path: writer.path().to_owned(), mirror: self.path.clone(), why }
    }
}

/// True if a time is over; one without an end never is.
fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}

fn warn_of_failure(mirror: &Path, why: &str) {
    warn(format!(
        "the mirror {} gets no copies for now, it is tried again, and saves go on in the directory of the program: {why}",
        mirror.display()
    ));
}

/// True for the failure of a first contact that stops a program whose directory has checkpoints.
fn is_fatal(error: &Error) -> bool {
    matches!(
        error,
        Error::InUse { .. }
            | Error::StoppedWaiting { .. }
            | Error::MirrorApart { .. }
            | Error::TakenOver { .. }
            | Error::OtherProcess { .. }
            | Error::InvalidSetting { .. }
            | Error::NoneUsable { .. }
            | Error::Panicked { .. }
    )
}

/// True for an error after which this run copies nothing more to its mirror.
fn is_final(error: &Error) -> bool {
    matches!(error, Error::MirrorApart { .. } | Error::TakenOver { .. } | Error::OtherProcess { .. })
}

/// True if a mirror may come back by itself.
fn is_away(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() != io::ErrorKind::PermissionDenied)
}

/// The same, if it is the mirror that failed, and not the directory of the run.
fn is_away_from(near: &Path, error: &Error) -> bool {
    is_away(error) && !matches!(error, Error::Io { path, .. } if path.starts_with(near))
}

impl Drop for Mirroring {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if !self.process.is_current() {
            // A forked process does not have the thread; its parent's may hold the mutex.
            std::mem::forget(thread);
            return;
        }
        let mut state = self.shared.state();
        state.is_to_end = true;
        self.shared.tell();
        let until = Instant::now().checked_add(self.patience.end);
        while !state.has_ended && !is_over(until) {
            state = self.shared.wait(state, until);
        }
        let has_ended = state.has_ended;
        drop(state);
        if has_ended {
            let _ = thread.join();
        } else {
            let _warnings = self.warnings.enter();
            warn(format!("the mirror {} does not answer, and is left behind", self.path.display()));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
