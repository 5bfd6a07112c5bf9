//! [`Users`]: the processes that run a pipeline at the same time.
//!
//! Each has the lock of the pipeline, and that of a folder in it, together with the others. The
//! second lock tells the first process and the last one, because only these have it alone for a
//! moment. A request to stop is meant for all processes, so only the last one removes it, and only
//! if one of them was told: that one has left a mark in the folder, which says of which request. A
//! first process that finds a mark does the same: all that were there before have ended. The lock
//! of a process that is killed ends with it.
//!
//! Between looking if it is alone and sharing the lock, a process has no lock for a moment. So only
//! one process at a time joins or leaves: the one that has the turn, which is the lock of another
//! folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::builder::Workshop;
use crate::base::warnings::warn;
use crate::error::Error;
use crate::stop::RequestKind;
use crate::store::{Access, Claiming, Disk as _, Guard, RealDisk, WithinGuard, name};

/// The folder whose lock is the turn.
const TURN: &str = "turn";

/// The time to wait for one process that joins or leaves. A caller that waits longer for the
/// pipeline waits as long here.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest pause between two attempts to get the turn: many may want it at the same time.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Users {
    path: PathBuf,
    access: Access,
    /// With the time to wait for the turn.
    claiming: Claiming,
    guard: Arc<Guard>,
}

impl Users {
    /// Joins the processes that run a pipeline, and waits for others that do so, at least `wait`.
    /// The first one calls `begin`, while no other can join, and `meet` for each request that an
    /// earlier one was told of.
    pub(super) fn join(
        workshop: &Workshop,
        wait: Duration,
        begin: impl FnOnce(),
        meet: impl Fn(RequestKind),
    ) -> Result<Users, Error> {
        let path = workshop.path.join(name::USERS);
        // Not durable: after a power cut there is no other process, and the folder is made anew.
        let within = WithinGuard::clone(&workshop.within);
        let claiming = Claiming { within, wait, durable: false, ..workshop.options.claiming() };
        Users::join_at(path, workshop.options.access, claiming, begin, meet)
    }

    fn join_at(
        path: PathBuf,
        access: Access,
        claiming: Claiming,
        begin: impl FnOnce(),
        meet: impl Fn(RequestKind),
    ) -> Result<Users, Error> {
        let _turn = turn(&path, access, &claiming)?;
        if let Some(_alone) = alone(&path, access, &claiming)? {
            RequestKind::ALL.into_iter().filter(|kind| take_mark(&path, *kind)).for_each(meet);
            begin();
        }
        let guard = Guard::take_shared(access, &path, &at_once(&claiming))?;
        Ok(Users { path, access, claiming, guard })
    }

    /// Keeps the locks of the folder and of the pipeline from a purge of old files.
    pub(super) fn touch(&self) {
        self.guard.touch();
    }

    /// The lock of the folder.
    pub(super) fn guard(&self) -> WithinGuard {
        Arc::downgrade(&self.guard)
    }

    /// Leaves. `heard` is the request that this process was told of. The last process calls `meet`
    /// for each that one of them was told of, while no other can join.
    pub(super) fn leave(self, heard: Option<RequestKind>, meet: impl Fn(RequestKind)) {
        let Users { path, access, claiming, guard } = self;
        if let Some(kind) = heard
            && let Err(error) = guard.check().and_then(|()| mark(&path, kind))
        {
            let name = kind.name();
            warn(format!(
                "the {name} file of the pipeline stays, and stops its next run, unless another process removes it: {} \
                 cannot be marked: {error}",
                path.display()
            ));
        }
        let turn = turn(&path, access, &claiming);
        drop(guard);
        // Where a folder is out of reach, the requests stay.
        let Ok(_turn) = turn else { return };
        let Ok(Some(_alone)) = alone(&path, access, &claiming) else { return };
        RequestKind::ALL.into_iter().filter(|kind| take_mark(&path, *kind)).for_each(meet);
    }
}

/// The right to join or to leave, which one process has at a time, for a moment. So nothing is told
/// of the wait.
fn turn(path: &Path, access: Access, claiming: &Claiming) -> Result<Arc<Guard>, Error> {
    let mut patience = Patience::of(claiming);
    let claiming = at_once(claiming);
    let (disk, path) = (RealDisk::with(access), path.join(TURN));
    let mut pause = Duration::from_millis(5);
    loop {
        match Guard::take(&disk, &path, &claiming) {
            Err(Error::InUse { holder, .. }) if patience.lasts(&holder, Instant::now()) => {}
            taken => return taken,
        }
        std::thread::sleep(pause);
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

/// How long a process waits for its turn. As long as others come and go there is no fault, however
/// many they are.
struct Patience {
    longest: Duration,
    /// The process that has the turn, and the time at which it was first seen.
    holder: Option<(String, Instant)>,
}

impl Patience {
    fn of(claiming: &Claiming) -> Patience {
        Patience { longest: PATIENCE.max(claiming.wait), holder: None }
    }

    /// True if the wait for this process may go on.
    fn lasts(&mut self, holder: &str, now: Instant) -> bool {
        match &self.holder {
            Some((known, since)) if known == holder => now.saturating_duration_since(*since) < self.longest,
            _ => {
                self.holder = Some((holder.to_owned(), now));
                true
            }
        }
    }
}

/// The same without a wait.
fn at_once(claiming: &Claiming) -> Claiming {
    Claiming { at_once: true, ..claiming.clone() }
}

/// The lock of the folder, if no process has it.
fn alone(path: &Path, access: Access, claiming: &Claiming) -> Result<Option<Arc<Guard>>, Error> {
    // The few attempts that it makes outlast a program that only looks at the lock.
    match Guard::take(&RealDisk::with(access), path, &at_once(claiming)) {
        Err(Error::InUse { .. }) => Ok(None),
        taken => taken.map(Some),
    }
}

/// Marks that a process was told of the request that is there.
fn mark(path: &Path, kind: RequestKind) -> Result<(), Error> {
    let Some(request) = request(path, kind) else { return Ok(()) };
    let mark = path.join(kind.name());
    // One of an earlier request.
    let _ = fs::remove_file(&mark);
    let written = File::create_new(&mark).and_then(|mut file| file.write_all(request.as_bytes()));
    match written {
        // Another process was told of it too.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        written => written.map_err(|source| Error::io("write", &mark, source)),
    }
}

/// Removes the mark of a request. The result is true if the request is there that it is for.
fn take_mark(path: &Path, kind: RequestKind) -> bool {
    let mark = path.join(kind.name());
    let is_file = fs::symlink_metadata(&mark).is_ok_and(|found| found.is_file());
    let is_marked = is_file && fs::read_to_string(&mark).ok() == request(path, kind);
    fs::remove_file(&mark).is_ok() && is_marked
}

/// Tells a request from a later one of the same name.
fn request(path: &Path, kind: RequestKind) -> Option<String> {
    let request = path.parent()?.join(kind.name());
    let (found, identity) =
        (fs::symlink_metadata(&request).ok()?, RealDisk::default().identity(&request).ok()?);
    let modified = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Some(format!("{identity:?} {} {modified:?}", found.len()))
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs::FileTimes;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::SystemTime;

    use crate::error::Error;
    use crate::pipeline::Pipeline;

    use super::*;

    #[test]
    fn of_those_that_come_at_one_moment_one_is_the_first() {
        const AT_ONCE: usize = 4;
        let directory = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let path = directory.path().join(round.to_string());
            let (ready, firsts) = (Barrier::new(AT_ONCE), AtomicUsize::new(0));
            let come = || {
                let begin = || {
                    firsts.fetch_add(1, Ordering::Relaxed);
                };
                ready.wait();
                Users::join_at(path.clone(), Access::default(), Claiming::default(), begin, |_| ()).unwrap()
            };
            thread::scope(|scope| {
                let users: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(come)).collect();
                // None leaves before all are there.
                let users: Vec<Users> = users.into_iter().map(|user| user.join().unwrap()).collect();
                users.into_iter().for_each(|user| user.leave(None, |_| ()));
            });
            assert_eq!(firsts.into_inner(), 1, "round {round}");
        }
    }

    #[test]
    fn one_waits_for_its_turn_while_others_come_and_go() {
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        let mut patience = Patience::of(&Claiming::default());
        for other in 0..1000 {
            assert!(patience.lasts(&format!("process {other}"), begun + other * second));
        }
        // The last one keeps it.
        assert!(patience.lasts("process 999", begun + (999 + 29) * second));
        assert!(!patience.lasts("process 999", begun + (999 + 30) * second));
    }

    #[test]
    fn one_that_waits_for_a_pipeline_waits_for_its_turn_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        let open = |wait| Pipeline::builder(&path).shared(true).wait_for(wait).open().unwrap();
        let wait = |pipeline: &Pipeline| Patience::of(&pipeline.users.as_ref().unwrap().claiming).longest;
        let (short, long) = (open(Duration::ZERO), open(Duration::from_secs(600)));
        assert_eq!((wait(&short), wait(&long)), (PATIENCE, Duration::from_secs(600)));
    }

    #[test]
    fn a_step_keeps_both_locks_from_a_purge_of_old_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        let pipeline = Pipeline::builder(&path).shared(true).open().unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let files = [".lock", "users/.lock"].map(|name| path.join(name));
        let is_old = |path: &PathBuf| path.metadata().unwrap().modified().unwrap() == long_ago;
        let make_old = || {
            for path in &files {
                let times = FileTimes::new().set_modified(long_ago);
                File::options().write(true).open(path).unwrap().set_times(times).unwrap();
            }
            pipeline.guard.touch_next_time();
            pipeline.users.as_ref().unwrap().guard.touch_next_time();
        };
        make_old();
        let step = pipeline.step("a").run(|context| {
            assert!(!files.iter().any(is_old), "the step begins");
            make_old();
            assert_eq!(context.should_stop(), None);
            assert!(!files.iter().any(is_old), "it asks");
            make_old();
            context.checkpointer::<u64>()?.save(&1)?;
            assert!(!files.iter().any(is_old), "it saves");
            Ok::<u64, Error>(1)
        });
        step.unwrap();
    }
}
