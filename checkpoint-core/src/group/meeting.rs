//! Processes that share a directory as a group, by small files.
//!
//! ```text
//! DIRECTORY/.lock                     held by rank 0: a second job is refused
//! DIRECTORY/000002.hello              rank 2 is there: a random name of this process
//! DIRECTORY/session                   rank 0 has seen these processes, and names the session
//! DIRECTORY/SESSION/000002.NAME       locked by this process of rank 2 while it lives
//! DIRECTORY/SESSION/17.000002         what rank 2 gave in round 17
//! DIRECTORY/SESSION/000002.left       rank 2 makes no more calls
//! ```
//!
//! Every file gets its name by a rename, so a reader finds all of it or nothing. A session is named
//! by chance, by a process that is alive, and it lists the processes that it has seen, which named
//! themselves by chance. So a file of an earlier attempt is never taken for one of this: a process
//! joins only a session that lists it, and all later files are in the folder of the session.
//!
//! Two processes may want one rank: one is started again before the first is gone. Rank 0 lists the
//! newest one until the one that it lists has joined. Then it says that the session is complete.
//! Only a process that a complete session lists is a member.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Group;
use crate::base::warnings::warn;
use crate::store;

const LOCK: &str = ".lock";
const SESSION: &str = "session";
const HELLO: &str = "hello";
const LEFT: &str = "left";
/// The begin of the name of a file while it is written.
const TEMPORARY: &str = ".tmp-";

/// The pause between two looks for a file: it grows while nothing comes.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// The longest time that rank 0 waits for members of the job before, which end a round.
const LAST_ROUND: Duration = Duration::from_secs(60);

/// The time between two looks if the missing members are alive.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A member of a group of processes that share a directory: for parallel programs without MPI.
///
/// All processes give the same path and size, each its own rank. They exchange small files there.
/// If the file system has locks, the others notice that a member has ended or was killed. Elsewhere
/// the timeout ends the wait. The error names the ranks that are missing.
///
/// ```
/// use checkpointed::group::{Group, Meeting};
/// use std::time::Duration;
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.meeting");
/// let worker = |rank: usize| {
///     let path = path.clone();
///     move || {
///         let group = Meeting::at(path, rank, 2, Duration::from_secs(60)).unwrap();
///         group.all_gather(&[rank as u8]).unwrap()
///     }
/// };
/// // Usually these are processes, on one machine or on many.
/// let threads = [0, 1].map(|rank| std::thread::spawn(worker(rank)));
/// for thread in threads {
///     assert_eq!(thread.join().unwrap(), [[0], [1]]);
/// }
/// ```
#[derive(Debug)]
pub struct Meeting {
    rank: usize,
    size: usize,
    timeout: Duration,
    folder: PathBuf,
    /// The names of the members, by rank.
    members: BTreeMap<usize, String>,
    round: Cell<u64>,
    /// The error after which the group is of no use.
    broken: RefCell<Option<String>>,
    /// The lock of this process's own file in the session, and with rank 0 that of the directory.
    alive: File,
    directory: Option<File>,
    path: PathBuf,
    /// The number of the process that came: one that is forked from it is no member.
    process: u32,
    put: Put,
    read: Read,
}

/// A way to write a file that others find whole or not at all; tests have other ways than [`put`].
type Put = fn(&Path, &str, &[u8]) -> io::Result<()>;

/// A way to read a file that may be there; tests have other ways than [`read`].
type Read = fn(&Path) -> io::Result<Option<Vec<u8>>>;

/// The processes that rank 0 has seen, and the name of their session.
#[derive(Debug, Serialize, Deserialize)]
struct Session {
    name: String,
    size: usize,
    /// By rank. Rank 0 has the name of the session.
    members: BTreeMap<usize, String>,
    /// True once all of them have joined: they are the group.
    is_complete: bool,
}

/// The first file of a process.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Hello {
    name: String,
    size: usize,
}

impl Meeting {
    /// Meets the other members in a directory, and creates it if it is absent. Returns when
    /// all of them have come.
    ///
    /// `timeout` is the longest time to wait for another member, here and in each later call: at
    /// least as long as their work may differ between two calls. The directory is for the members
    /// alone; it may be beside the checkpoint directory, not inside of it. Rank 0 removes what an
    /// earlier job has left there, and no file of another program.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`], with the ranks that did not come.
    /// [`io::ErrorKind::ResourceBusy`] if another job still meets there after `timeout`, or another
    /// process has the rank.
    /// [`io::ErrorKind::InvalidInput`] if the rank is not below the size, or the members give
    /// different sizes. [`io::ErrorKind::AlreadyExists`] if the directory has a file `session` of
    /// another program. The error of the file system.
    pub fn at(path: impl AsRef<Path>, rank: usize, size: usize, timeout: Duration) -> io::Result<Meeting> {
        if rank >= size {
            let why = format!("there is no rank {rank} in a group of {size}: ranks count from 0");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let path = std::path::absolute(path)?;
        fs::create_dir_all(&path)?;
        refuse_foreign(&path)?;
        match rank {
            0 => Meeting::convene(path, size, timeout),
            _ => Meeting::join(path, rank, size, timeout),
        }
    }

    /// Meets the others as rank 0, which names the session.
    fn convene(path: PathBuf, size: usize, timeout: Duration) -> io::Result<Meeting> {
        let mut wait = Wait::new(timeout);
        let directory = lock_directory(&path, &mut wait)?;
        if directory.is_some() {
            outwait_last(&path, &mut wait, LAST_ROUND)?;
        }
        let name = random_name()?;
        let members = BTreeMap::from([(0, name.clone())]);
        let mut session = Session { name, size, members, is_complete: false };
        remove_leftovers(&path);
        let folder = path.join(&session.name);
        fs::create_dir(&folder)?;
        let alive = live_in(&folder, 0, &session.name)?;
        let has_joined = |session: &Session, rank: usize| {
            session.members.get(&rank).is_some_and(|name| folder.join(of_rank(rank, name)).exists())
        };
        loop {
            let mut is_changed = false;
            for rank in 1..size {
                let hello = wait.look(read_json::<Hello>(&path.join(of_rank(rank, HELLO))))?;
                let Some(hello) = hello.flatten() else { continue };
                if hello.size != size {
                    let why =
                        format!("rank {rank} says that the group has {} members, not {size}", hello.size);
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
                }
                // The newest process of a rank takes the place of the one before it, if that one
                // has not joined.
                if !has_joined(&session, rank) && session.members.get(&rank) != Some(&hello.name) {
                    session.members.insert(rank, hello.name);
                    is_changed = true;
                }
            }
            if is_changed {
                put_json(&path, SESSION, &session)?;
            }
            let missing: Vec<usize> = (1..size).filter(|rank| !has_joined(&session, *rank)).collect();
            if missing.is_empty() {
                break;
            }
            wait.pause(|| missed(&missing, "the meeting", &path))?;
        }
        session.is_complete = true;
        put_json(&path, SESSION, &session)?;
        // All have joined: their first files are of no more use.
        for rank in 1..size {
            let _ = fs::remove_file(path.join(of_rank(rank, HELLO)));
        }
        Ok(Meeting::of(path, session, 0, timeout, alive, directory))
    }

    /// Meets the others as another rank, which waits for a session that lists it.
    fn join(path: PathBuf, rank: usize, size: usize, timeout: Duration) -> io::Result<Meeting> {
        let mut wait = Wait::new(timeout);
        let hello = Hello { name: random_name()?, size };
        let introduce = || match put_json(&path, &of_rank(rank, HELLO), &hello) {
            // Rank 0 starts at this moment, and took the file for a leftover before it had its
            // name. It is missing below, and written again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        };
        introduce()?;
        let busy = || {
            let why = format!("another process is rank {rank} of the group in {}", path.display());
            io::Error::new(io::ErrorKind::ResourceBusy, why)
        };
        // The session that this process has joined, and its file there.
        let mut joined: Option<(String, File)> = None;
        loop {
            let Some(session) = wait.look(read_json::<Session>(&path.join(SESSION)))? else {
                wait.pause(|| missed(&[0], "the meeting", &path))?;
                continue;
            };
            let is_listed =
                session.as_ref().is_some_and(|session| session.members.get(&rank) == Some(&hello.name));
            match (session, joined.take()) {
                (Some(session), Some((name, alive))) if is_listed && name == session.name => {
                    if session.is_complete {
                        return Ok(Meeting::of(path, session, rank, timeout, alive, None));
                    }
                    joined = Some((name, alive));
                }
                (Some(session), _) if is_listed => {
                    joined = match live_in(&path.join(&session.name), rank, &hello.name) {
                        Ok(alive) => Some((session.name, alive)),
                        // Another rank 0 starts at this moment, with another session.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                        Err(error) => return Err(error),
                    };
                }
                // Another process has taken the rank before this one had joined.
                (Some(session), Some((name, _))) if name == session.name => return Err(busy()),
                // Rank 0 may have started after this process, and removed its file as a leftover.
                _ => match wait.look(read_json::<Hello>(&path.join(of_rank(rank, HELLO))))? {
                    Some(None) => introduce()?,
                    Some(Some(found)) if found != hello => return Err(busy()),
                    Some(Some(_)) | None => {}
                },
            }
            wait.pause(|| missed(&[0], "the meeting", &path))?;
        }
    }

    fn of(
        path: PathBuf,
        session: Session,
        rank: usize,
        timeout: Duration,
        alive: File,
        directory: Option<File>,
    ) -> Meeting {
        Meeting {
            rank,
            size: session.size,
            timeout,
            folder: path.join(&session.name),
            members: session.members,
            round: Cell::new(0),
            broken: RefCell::new(None),
            alive,
            directory,
            path,
            process: std::process::id(),
            put,
            read,
        }
    }

    fn gather(&self, round: u64, mine: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        // All members ended the last round, so they have read the files of the one before it.
        if let Some(read) = round.checked_sub(2) {
            let _ = fs::remove_file(self.folder.join(of_round(read, self.rank)));
        }
        self.give(round, mine)?;
        let mut given: Vec<Option<Vec<u8>>> = vec![None; self.size];
        let mut wait = Wait::new(self.timeout);
        let mut look = Instant::now() + LOOK_EVERY;
        loop {
            for (rank, place) in given.iter_mut().enumerate().filter(|(_, place)| place.is_none()) {
                *place = match rank == self.rank {
                    true => Some(mine.to_vec()),
                    false => wait.look((self.read)(&self.folder.join(of_round(round, rank))))?.flatten(),
                };
            }
            let missing: Vec<usize> = (0..self.size).filter(|rank| given[*rank].is_none()).collect();
            if missing.is_empty() {
                return Ok(given.into_iter().flatten().collect());
            }
            if Instant::now() >= look {
                look = Instant::now() + LOOK_EVERY;
                self.check_lives(round, &missing)?;
            }
            wait.pause(|| missed(&missing, &format!("call {}", round + 1), &self.path))?;
        }
    }

    /// Gives this to a round. A disk that is full now may have room later: members of a group whose
    /// save failed for it tell each other so, and go on. A file server may answer again.
    fn give(&self, round: u64, mine: &[u8]) -> io::Result<()> {
        let mut wait = Wait::new(self.timeout);
        loop {
            match (self.put)(&self.folder, &of_round(round, self.rank), mine) {
                Err(full) if is_full(&full) => {
                    let (call, path) = (round + 1, self.path.display());
                    wait.pause(|| {
                        format!("call {call} cannot be made in {path} ({full}): free some space; none came")
                    })?;
                }
                Err(error) if may_pass(&error) => {
                    let (call, path) = (round + 1, self.path.display());
                    wait.pause(|| format!("call {call} could not be made in {path} ({error})"))?;
                }
                given => return given,
            }
        }
    }

    fn has_ended(&self, rank: usize) -> bool {
        self.members.get(&rank).is_some_and(|name| has_ended(&self.folder.join(of_rank(rank, name))))
    }

    /// Fails if one of these members has ended, and did not come to this round before.
    fn check_lives(&self, round: u64, missing: &[usize]) -> io::Result<()> {
        for rank in missing {
            let what = match () {
                () if is_absent(&self.folder) => "is lost: another job has taken the place of this one",
                () if self.folder.join(of_rank(*rank, LEFT)).exists() => "has left it",
                () if self.has_ended(*rank) => "has ended",
                () => continue,
            };
            // It may have come, and gone, after the last look.
            if !is_absent(&self.folder.join(of_round(round, *rank))) {
                continue;
            }
            let why = format!("rank {rank} of the group {what}, before its call {}", round + 1);
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
        }
        Ok(())
    }
}

impl Group for Meeting {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_gather(&self, mine: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        if self.process != std::process::id() {
            return Err(io::Error::other("this process was forked from a member, and is none itself"));
        }
        if let Some(why) = &*self.broken.borrow() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why.clone()));
        }
        let round = self.round.get();
        self.round.set(round + 1);
        self.gather(round, mine).inspect_err(|error| *self.broken.borrow_mut() = Some(error.to_string()))
    }

    /// The others learn of it when this process has ended.
    fn abort(&self) {
        if self.process == std::process::id() {
            let _ = put(&self.folder, &of_rank(self.rank, LEFT), b"");
        }
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return;
        }
        let _ = put(&self.folder, &of_rank(self.rank, LEFT), b"");
        // The last that leaves removes what is left. If two believe to be the last, both do.
        let has_left = |rank| self.folder.join(of_rank(rank, LEFT)).exists();
        if let Some(session) = self.members.get(&0).filter(|_| (0..self.size).all(has_left)) {
            let _ = remove_session(&self.folder, session);
        }
        // The locks last until the last copy of their files is closed, and a process that another
        // thread starts has copies from its fork to its exec.
        for locked in [Some(&self.alive), self.directory.as_ref()].into_iter().flatten() {
            let _ = locked.unlock();
        }
    }
}

/// The pauses of a wait that ends.
struct Wait {
    begun: Instant,
    timeout: Duration,
    pause: Duration,
    /// The failure of a look since the last pause.
    failed: Option<io::Error>,
}

impl Wait {
    fn new(timeout: Duration) -> Wait {
        Wait { begun: Instant::now(), timeout, pause: FIRST_PAUSE, failed: None }
    }

    /// What a look found; `None` where it failed in a way that may pass. If the time is over at the
    /// next pause, its error names the failure.
    fn look<R>(&mut self, looked: io::Result<R>) -> io::Result<Option<R>> {
        match looked {
            Err(error) if may_pass(&error) => {
                self.failed = Some(error);
                Ok(None)
            }
            looked => looked.map(Some),
        }
    }

    /// Sleeps for a while, or fails if the time is over.
    fn pause(&mut self, missed: impl FnOnce() -> String) -> io::Result<()> {
        if self.begun.elapsed() >= self.timeout {
            let mut why = format!("{} within {:?}", missed(), self.timeout);
            if let Some(failed) = &self.failed {
                why = format!("{why}; the last look at the files there failed: {failed}");
            }
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        self.failed = None;
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 5 / 4).min(LONGEST_PAUSE);
        Ok(())
    }
}

/// True where a disk, or the share of a user in it, is full.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// True if a call may succeed later: a file server was away for a moment, or this machine had no
/// descriptors left.
fn may_pass(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AlreadyExists, FileTooLarge, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        ReadOnlyFilesystem,
    };
    !matches!(
        error.kind(),
        AlreadyExists
            | FileTooLarge
            | InvalidInput
            | IsADirectory
            | NotADirectory
            | NotFound
            | PermissionDenied
            | ReadOnlyFilesystem
    )
}

/// True if nothing is at a path. False where that is not known.
fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn missed(missing: &[usize], what: &str, path: &Path) -> String {
    format!("{} of the group did not come to {what} in {}", ranks_of(missing), path.display())
}

fn ranks_of(ranks: &[usize]) -> String {
    let ranks: Vec<String> = ranks.iter().map(ToString::to_string).collect();
    match &ranks[..] {
        [rank] => format!("rank {rank}"),
        ranks => format!("ranks {}", ranks.join(", ")),
    }
}

fn of_rank(rank: usize, what: &str) -> String {
    format!("{rank:06}.{what}")
}

fn of_round(round: u64, rank: usize) -> String {
    format!("{round}.{rank:06}")
}

/// A name that no other process makes.
fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    super::random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Keeps a second job out of the directory, if the file system has locks. A member of the last
/// job may need a moment to end.
fn lock_directory(path: &Path, wait: &mut Wait) -> io::Result<Option<File>> {
    let lock = path.join(LOCK);
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    store::no_wait(&mut options);
    let file = options.open(&lock).and_then(|file| store::must_be_regular(&file).map(|_| file));
    let file = file.map_err(|error| {
        io::Error::new(error.kind(), format!("{} cannot be opened for a lock: {error}", lock.display()))
    })?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => {
                let busy = || {
                    format!(
                        "rank 0 of another job meets in {}, and did not end; if its machine is gone, remove that \
                         directory",
                        path.display()
                    )
                };
                wait.pause(busy).map_err(|error| io::Error::new(io::ErrorKind::ResourceBusy, error))?;
            }
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}

/// Waits for the members of the last group in the directory. Its rank 0 may be the first to end,
/// and the others still read what it gave them.
///
/// A session that is not complete has no members: its processes wait for another rank 0.
///
/// Over NFS, the lock of a machine that is gone stays. So this waits for `longest` only: the rest
/// of a round takes moments.
fn outwait_last(path: &Path, wait: &mut Wait, longest: Duration) -> io::Result<()> {
    let last = loop {
        if let Some(last) = wait.look(read_json::<Session>(&path.join(SESSION)))? {
            break last;
        }
        wait.pause(|| format!("the last session in {} could not be read", path.display()))?;
    };
    let Some(last) = last else { return Ok(()) };
    if !last.is_complete || !is_random_name(&last.name) {
        return Ok(());
    }
    let folder = path.join(&last.name);
    let lives = |(rank, name): (&usize, &String)| {
        let is_left = folder.join(of_rank(*rank, LEFT)).exists();
        (!is_left && is_random_name(name) && is_alive(&folder.join(of_rank(*rank, name)))).then_some(*rank)
    };
    let begun = Instant::now();
    loop {
        let alive: Vec<usize> = last.members.iter().filter_map(lives).collect();
        if alive.is_empty() {
            return Ok(());
        }
        if begun.elapsed() >= longest {
            warn(format!(
                "{} of the last job in {} did not end, or the machine is gone: this job takes the place",
                ranks_of(&alive),
                path.display()
            ));
            return Ok(());
        }
        let busy = || {
            format!(
                "{} of another job in {} did not end; if the machine is gone, give a timeout of more than {} s",
                ranks_of(&alive),
                path.display(),
                longest.as_secs()
            )
        };
        wait.pause(busy).map_err(|error| io::Error::new(io::ErrorKind::ResourceBusy, error))?;
    }
}

/// Refuses a directory whose file `session` is of another program: this one would replace it. A
/// power cut leaves one that is empty, or has only zeros.
fn refuse_foreign(path: &Path) -> io::Result<()> {
    let session = path.join(SESSION);
    let is_ours = match read(&session) {
        Ok(Some(bytes)) => {
            bytes.iter().all(|byte| *byte == 0) || serde_json::from_slice::<Session>(&bytes).is_ok()
        }
        Ok(None) => true,
        // It is no file.
        Err(error) if matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::InvalidInput) => {
            false
        }
        Err(error) => return Err(error),
    };
    if is_ours {
        return Ok(());
    }
    let why = format!(
        "{} is not of a group: another program uses this directory, so give the group one of its own",
        session.display()
    );
    Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
}

/// Removes the files of earlier jobs. The folder of a session has the file of its rank 0, or the
/// last session names it; any other folder stays.
fn remove_leftovers(path: &Path) {
    let last = read_json::<Session>(&path.join(SESSION)).ok().flatten();
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        let (name, found) = (entry.file_name(), entry.path());
        let (Some(name), Ok(kind)) = (name.to_str(), entry.file_type()) else { continue };
        if kind.is_dir() {
            let is_last = last.as_ref().is_some_and(|last| last.name == name);
            if is_random_name(name) && (is_last || found.join(of_rank(0, name)).is_file()) {
                let _ = remove_session(&found, name);
            }
        } else if kind.is_file()
            && (is_temporary(name) || is_of_rank(name, |what| what == HELLO))
            && is_of_meeting(&found, is_temporary(name))
        {
            let _ = fs::remove_file(found);
        }
    }
    if last.is_some() {
        let _ = fs::remove_file(path.join(SESSION));
    }
}

/// True for the first file of a process, and where it did not get its name, also for a session.
/// Other programs give their files such names too.
fn is_of_meeting(path: &Path, may_be_session: bool) -> bool {
    matches!(read_json::<Hello>(path), Ok(Some(_)))
        || may_be_session && matches!(read_json::<Session>(path), Ok(Some(_)))
}

/// Removes the folder of a session, unless a file of another program is in it. The file of rank 0,
/// which tells whose folder it is, goes last.
fn remove_session(folder: &Path, session: &str) -> io::Result<()> {
    let of_first = of_rank(0, session);
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_ours = is_temporary(name)
            || is_of_rank(name, |what| what == LEFT || is_random_name(what))
            || name.split_once('.').is_some_and(|(round, rank)| is_number(round) && is_rank(rank));
        if is_ours && name != of_first {
            fs::remove_file(folder.join(name))?;
        }
    }
    match fs::remove_file(folder.join(of_first)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::remove_dir(folder)
}

/// True for the name of a file that did not get its name yet: see [`put`].
fn is_temporary(name: &str) -> bool {
    let random = name.strip_prefix(TEMPORARY);
    random.is_some_and(|random| random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// True for a name that [`of_rank`] makes, with such an end.
fn is_of_rank(name: &str, is_end: impl FnOnce(&str) -> bool) -> bool {
    name.split_once('.').is_some_and(|(rank, what)| is_rank(rank) && is_end(what))
}

fn is_rank(text: &str) -> bool {
    text.len() >= 6 && is_number(text)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_random_name(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Makes the file that is locked while a process lives that wants this rank.
fn live_in(folder: &Path, rank: usize, name: &str) -> io::Result<File> {
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?;
    if file.as_file().try_lock().is_ok() {
        write(&mut file, b"locked")?;
    }
    file.persist(folder.join(of_rank(rank, name))).map_err(|error| error.error)
}

/// True if the process that locked a file has ended. False if that cannot be known.
fn has_ended(alive: &Path) -> bool {
    lives(alive) == Some(false)
}

/// True if a process has a file locked. False if that cannot be known.
fn is_alive(alive: &Path) -> bool {
    lives(alive) == Some(true)
}

/// True if the process that locked a file lives. `None` if that cannot be known.
fn lives(alive: &Path) -> Option<bool> {
    let (file, metadata) = store::open_regular(alive).ok()?;
    match file.try_lock_shared() {
        // Its file system had no locks.
        _ if metadata.len() == 0 => None,
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}

/// Writes a file that others find whole or not at all.
fn put(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?;
    write(&mut file, bytes)?;
    file.persist(folder.join(name)).map_err(|error| error.error)?;
    Ok(())
}

fn write(file: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    store::check_file_size(bytes.len() as u64)?;
    file.write_all(bytes)
}

fn put_json(folder: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    put(folder, name, &serde_json::to_vec(value)?)
}

/// The content of a file; `None` if it is not there yet.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // A pipe in its place is not waited for.
    let content = store::open_regular(path).and_then(|(mut file, _)| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map(|_| bytes)
    });
    match content {
        Ok(bytes) => Ok(Some(bytes)),
        // A file server may report that the file was replaced at this moment.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::StaleNetworkFileHandle) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The content of a file of JSON. A file of another program counts as absent.
fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> io::Result<Option<T>> {
    Ok(read(path)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
