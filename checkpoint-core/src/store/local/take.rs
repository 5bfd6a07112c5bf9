//! The right to write to a directory: this process holds its lock, and no other can.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::disk::{Disk, Locking};
use super::real::{Access, RealDisk};
use crate::base::host;
use crate::base::warnings::warn;
use crate::error::Error;
use crate::store::{Claiming, Guard, Lock, Until, name};

/// The number of attempts to take a lock that another program has, and the pause between them: that
/// program may only be looking.
const ATTEMPTS: u32 = 4;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(5);

/// The number of attempts to create a directory that other programs remove.
const ATTEMPTS_TO_CREATE: u32 = 100;

/// The least time to wait for a tool, such as one that removes old generations.
const FOR_TOOLS: Duration = Duration::from_secs(30);

/// The time in which a program that took a lock has left its text in the lock file.
const FOR_A_TEXT: Duration = Duration::from_secs(2);

/// The longest pause between two attempts of a caller that waits.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

impl Guard {
    /// Creates a directory where it is absent, and takes its lock.
    pub(crate) fn take(disk: &dyn Disk, path: &Path, claiming: &Claiming) -> Result<Arc<Guard>, Error> {
        let us = Holder { is_tool: claiming.is_tool, ..Holder::current() };
        Guard::take_as(&us, disk, path, claiming)
    }

    /// The same, together with other programs that take the lock so. A file system without locks is
    /// refused.
    pub(crate) fn take_shared(access: Access, path: &Path, claiming: &Claiming) -> Result<Arc<Guard>, Error> {
        let us = Holder { shares: true, ..Holder::current() };
        let claiming = Claiming { without_lock: false, ..claiming.clone() };
        Guard::take_as(&us, &RealDisk::sharing(access), path, &claiming)
    }

    fn take_as(us: &Holder, disk: &dyn Disk, path: &Path, claiming: &Claiming) -> Result<Arc<Guard>, Error> {
        let Claiming { durable, within, .. } = claiming;
        if let Some(within) = within.upgrade() {
            within.check()?;
        }
        has_room_for_names(path)?;
        let mut attempt = 1;
        let lock = loop {
            create(disk, path, *durable)?;
            match lock(disk, path, us, claiming) {
                // A run that is done has removed the directory meanwhile.
                Err(Error::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS_TO_CREATE =>
                {
                    attempt += 1;
                }
                lock => break lock?,
            }
        };
        Ok(Guard::new(path, lock, within))
    }
}

/// Takes the lock of a directory. Waits for it as the claim says.
fn lock(disk: &dyn Disk, path: &Path, us: &Holder, claiming: &Claiming) -> Result<Box<dyn Lock>, Error> {
    let without_lock = claiming.without_lock;
    let us = us.text();
    let begun = Instant::now();
    let mut pause = BETWEEN_ATTEMPTS;
    // The time since which no text tells who has the lock: a program that took it leaves one next.
    let mut untold: Option<Instant> = None;
    for attempt in 1_u32.. {
        let holder = match disk.lock(path, &us) {
            Ok(Locking::Taken(lock)) => return Ok(lock),
            Ok(Locking::Held(holder)) => holder,
            Ok(Locking::Unsupported(_, lock)) if without_lock => {
                warn(format!(
                    "{} is not locked: its file system has no locks, and the program continues without; make \
                    sure that no other program saves there",
                    path.display()
                ));
                return Ok(lock);
            }
            Ok(Locking::Unsupported(source, _)) => {
                return Err(Error::NoLocks { path: path.to_owned(), source });
            }
            Err(source) => return Err(Error::writing("lock", &path.join(name::LOCK), source)),
        };
        if attempt >= ATTEMPTS {
            let waited = begun.elapsed();
            let wait = match claiming {
                Claiming { at_once: true, .. } => Duration::ZERO,
                // It ends soon, and the program must not fail because it ran at its start.
                Claiming { wait, .. } if is_tool(&holder) => FOR_TOOLS.max(*wait),
                Claiming { wait, .. } => *wait,
            };
            untold = (!is_told(&holder)).then(|| untold.unwrap_or_else(Instant::now));
            let is_telling = !claiming.at_once && untold.is_some_and(|since| since.elapsed() < FOR_A_TEXT);
            if waited >= wait && !is_telling {
                return Err(Error::InUse { path: path.to_owned(), holder: describe_holder(&holder, path) });
            }
            if let Some((reason, exit_code)) = claiming.until.as_ref().and_then(Until::stopped) {
                let (path, holder) = (path.to_owned(), describe_holder(&holder, path));
                return Err(Error::StoppedWaiting { path, holder, reason, exit_code });
            }
            if attempt == ATTEMPTS && waited < wait {
                let (holder, path) = (describe_holder(&holder, path), path.display());
                warn(format!("waiting, at most {wait:?}, for {holder}, which has {path} open"));
            }
            pause = (2 * pause).min(LONGEST_PAUSE).min(wait.saturating_sub(waited)).max(BETWEEN_ATTEMPTS);
        }
        std::thread::sleep(pause);
    }
    Err(Error::InUse { path: path.to_owned(), holder: String::new() })
}

/// The text that a program leaves in the lock file.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    process: u32,
    host: String,
    /// True if it shares the lock with other programs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shares: bool,
    /// True for a tool, which ends soon.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_tool: bool,
    /// A random number. Two containers may have the same process number and host.
    #[serde(default)]
    taken: u64,
}

impl Holder {
    /// This process.
    fn current() -> Holder {
        let taken = RandomState::new().build_hasher().finish();
        Holder { process: std::process::id(), host: host::name(), shares: false, is_tool: false, taken }
    }

    /// The text of the lock file.
    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// True for a process of this machine that has ended.
    fn has_ended(&self) -> bool {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, test_kill_process};
            if self.host != host::name() {
                return false;
            }
            let process = self.process.try_into().ok().and_then(Pid::from_raw);
            process.is_some_and(|process| test_kill_process(process) == Err(rustix::io::Errno::SRCH))
        }
        #[cfg(not(unix))]
        false
    }
}

/// True if the text in a lock file says that its program shares the lock.
pub(super) fn shares(holder: &str) -> bool {
    serde_json::from_str::<Holder>(holder).is_ok_and(|holder| holder.shares)
}

/// True if the text in a lock file is that of a tool that still runs.
fn is_tool(holder: &str) -> bool {
    serde_json::from_str::<Holder>(holder).is_ok_and(|holder| holder.is_tool && !holder.has_ended())
}

/// False if the text in a lock file tells of no program, or of one that has ended.
fn is_told(holder: &str) -> bool {
    let known = serde_json::from_str::<Holder>(holder);
    known.map_or(!holder.trim().is_empty(), |holder| !holder.has_ended())
}

/// True for the text that a program of this library leaves in a lock file.
pub(super) fn is_holder(text: &str) -> bool {
    serde_json::from_str::<Holder>(text).is_ok()
}

/// Describes to the user the program that has a lock, by the text in the lock file. Where that
/// program has ended, another one must have the lock now. Unknown text is returned as it is.
pub(super) fn describe_holder(holder: &str, directory: &Path) -> String {
    let Ok(holder) = serde_json::from_str::<Holder>(holder) else { return holder.trim().to_owned() };
    let what = if holder.is_tool { "the tool of process" } else { "process" };
    let name = format!("{what} {} on {}", holder.process, holder.host);
    match holder.has_ended() {
        true => format!(
            "{name}, which has ended: a process that it forked still runs and has the lock (`fuser {}` names it)",
            directory.join(name::LOCK).display()
        ),
        false => name,
    }
}

/// Refuses a path that is so long that the files in it would have paths that the system does not
/// take. Otherwise the first save would fail, or the first generation for a mirror.
fn has_room_for_names(path: &Path) -> Result<(), Error> {
    let longest = path.join("0".repeat(name::LONGEST));
    match std::fs::symlink_metadata(longest) {
        Err(source) if source.kind() == io::ErrorKind::InvalidFilename => {
            Err(Error::writing("create files in", path, source))
        }
        _ => Ok(()),
    }
}

/// Creates a directory and its parents.
///
/// Before a name is created in a directory, that directory's own name is made durable, whatever the
/// claim: a later one that is durable counts on it. So an interruption leaves at most the name of
/// the deepest directory unsynced. The next durable start syncs it, even where there is nothing to
/// create.
fn create(disk: &dyn Disk, path: &Path, durable: bool) -> Result<(), Error> {
    let mut missing = Vec::new();
    let mut deepest = path;
    while !deepest.as_os_str().is_empty() && disk.is_directory(deepest).is_none() {
        if let Some(error) = dangling(deepest) {
            return Err(error);
        }
        missing.push(deepest);
        match deepest.parent() {
            Some(parent) => deepest = parent,
            None => break,
        }
    }
    if !deepest.as_os_str().is_empty() && disk.is_directory(deepest) != Some(true) {
        return Err(Error::NotADirectory { path: deepest.to_owned() });
    }
    let mut unsynced = deepest;
    let mut is_new = false;
    for directory in missing.into_iter().rev() {
        sync_name_of(disk, unsynced, is_new)?;
        disk.create_directory(directory).map_err(|source| Error::writing("create", directory, source))?;
        (unsynced, is_new) = (directory, true);
    }
    if durable { sync_name_of(disk, unsynced, is_new) } else { Ok(()) }
}

/// The error of a symbolic link that leads to nothing.
pub(super) fn dangling(path: &Path) -> Option<Error> {
    let target = std::fs::read_link(path).ok()?;
    std::fs::metadata(path).is_err().then(|| Error::DanglingLink { path: path.to_owned(), target })
}

/// Makes the name of a directory durable, by syncing its parent.
fn sync_name_of(disk: &dyn Disk, directory: &Path, is_new: bool) -> Result<(), Error> {
    let Some(parent) = directory.parent() else { return Ok(()) };
    match disk.sync_directory(parent) {
        // The program may create names in a directory that it may not open.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            if is_new {
                warn(format!(
                    "the name of the new directory {} cannot be made durable, a power cut may take it with all its \
                     checkpoints: this user may create names in {} but not read it; give the right to read it \
                     (`chmod u+r`), or create the directory beforehand",
                    directory.display(),
                    parent.display()
                ));
            }
            Ok(())
        }
        result => result.map_err(|source| Error::writing("sync", parent, source)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn no_two_holders_have_the_same_text() {
        assert_ne!(Holder::current().text(), Holder::current().text());
    }

    #[test]
    fn a_program_waits_for_a_tool_that_has_its_directory() {
        use std::sync::mpsc;

        use crate::{Checkpointer, inspect};

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.ckpt");
        let of_tool = Claiming { is_tool: true, ..Claiming::default() };
        let tool = Guard::take(&RealDisk::default(), &path, &of_tool).unwrap();
        let holder = inspect::overview(&path, &crate::Protection::new()).unwrap().holder.unwrap();
        assert!(holder.starts_with("the tool of process"), "{holder}");
        std::thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let program = scope.spawn(|| {
                let builder = Checkpointer::<u64>::builder(&path);
                builder.on_warning(move |warning| drop(tell.send(warning.to_string()))).open()
            });
            // Without a wait, no warning comes.
            let warning = told.recv();
            drop(tool);
            program.join().unwrap().unwrap().save(&7).unwrap();
            assert!(warning.unwrap().contains("waiting, at most 30s, for the tool of process"));
        });
        let program = Guard::take(&RealDisk::default(), &path, &Claiming::default()).unwrap();
        assert!(matches!(Checkpointer::<u64>::open(&path), Err(Error::InUse { .. })));
        drop(program);
    }

    /// Between the two, the text is empty, or that of the program before.
    #[test]
    fn a_tool_that_takes_the_lock_may_leave_its_text_next() {
        let ended = "{\"process\":4194303,\"host\":\"HOST\",\"is_tool\":true,\"taken\":5}";
        let ended = ended.replace("HOST", &host::name());
        for text in ["", &ended] {
            let directory = tempfile::tempdir().unwrap();
            let lock = directory.path().join(name::LOCK);
            std::fs::write(&lock, text).unwrap();
            let file = std::fs::File::open(&lock).unwrap();
            file.lock().unwrap();
            let file = std::sync::Mutex::new(Some(file));
            // It is asked only by a start that goes on waiting.
            let until = Until::new(move || {
                drop(file.lock().unwrap().take());
                None
            });
            let claiming = Claiming { until: Some(until), ..Claiming::default() };
            drop(Guard::take(&RealDisk::default(), directory.path(), &claiming).unwrap());
        }
    }

    #[test]
    fn one_that_is_to_wait_for_none_waits_for_no_tool() {
        let directory = tempfile::tempdir().unwrap();
        let of_tool = Claiming { is_tool: true, ..Claiming::default() };
        let _tool = Guard::take(&RealDisk::default(), directory.path(), &of_tool).unwrap();
        let at_once = Claiming { at_once: true, ..Claiming::default() };
        let heard = crate::base::heard::warnings(|| {
            let taken = Guard::take(&RealDisk::default(), directory.path(), &at_once);
            assert!(matches!(taken, Err(Error::InUse { .. })));
        });
        assert!(heard.is_empty(), "{heard:?}");
    }

    #[test]
    fn a_holder_that_has_ended_is_recognised() {
        let described = |holder: &str| describe_holder(holder, Path::new("/run.ckpt"));
        let here = |process: u32| Holder { process, ..Holder::current() }.text();
        let this = std::process::id();
        assert_eq!(described(&here(this)), format!("process {this} on {}", host::name()));
        // No process has the greatest possible number.
        let gone = described(&here(u32::MAX / 2));
        assert_eq!(gone.contains("has ended"), cfg!(unix), "{gone}");
        let elsewhere =
            Holder { process: u32::MAX / 2, host: "another machine".to_owned(), ..Holder::current() };
        assert_eq!(described(&elsewhere.text()), format!("process {} on another machine", u32::MAX / 2));
        for other in ["", "process 1", "{\"process\":-1}", "a program that has locked the directory itself"] {
            assert_eq!(described(other), other);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_system_without_locks_is_used_only_on_request() {
        use crate::Checkpointer;
        use crate::store::RealDisk;

        let directory = tempfile::tempdir().unwrap();
        let builder =
            || Checkpointer::<u64>::builder(directory.path()).disk(Arc::new(RealDisk::without_locks()));
        let error = builder().open().unwrap_err();
        assert!(matches!(error, Error::NoLocks { .. }), "{error:?}");
        assert!(error.to_string().contains("require_lock(false)"), "{error}");
        let mut checkpoints = builder().require_lock(false).open().unwrap();
        checkpoints.save(&7).unwrap();
        checkpoints.pin(1).unwrap();
        for state in 8..=10 {
            checkpoints.save(&state).unwrap();
        }
        assert_eq!(checkpoints.generations().unwrap(), [1, 3, 4]);
        assert_eq!(checkpoints.load().unwrap(), Some(10));
    }

    #[test]
    fn without_memory_for_a_buffer_a_save_fails_and_later_succeeds() {
        use crate::Checkpointer;
        use crate::store::RealDisk;

        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::with_buffers(0));
        let mut checkpoints = Checkpointer::<u64>::builder(directory.path()).disk(disk).open().unwrap();
        let error = checkpoints.save(&7).unwrap_err();
        assert!(matches!(error, Error::NoMemory { .. }), "{error:?}");
        drop(checkpoints);
        Checkpointer::<u64>::open(directory.path()).unwrap().save(&7).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_sign_of_life_gives_the_lock_file_the_present_time() {
        use std::fs::{File, FileTimes};
        use std::time::SystemTime;

        use crate::store::RealDisk;

        let directory = tempfile::tempdir().unwrap();
        let outer = Guard::take(&RealDisk::default(), directory.path(), &Claiming::default()).unwrap();
        let claiming = Claiming { within: Arc::downgrade(&outer), ..Claiming::default() };
        let inner = Guard::take(&RealDisk::default(), &directory.path().join("inner"), &claiming).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let files = [".lock", "inner/.lock"].map(|name| directory.path().join(name));
        for path in &files {
            let times = FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
            File::options().write(true).open(path).unwrap().set_times(times).unwrap();
        }
        let modified = || files.clone().map(|path| path.metadata().unwrap().modified().unwrap());
        inner.touch();
        assert_eq!(modified(), [long_ago; 2], "it is not so often that it costs anything");
        for guard in [&outer, &inner] {
            guard.touch_next_time();
        }
        inner.touch();
        assert!(modified().iter().all(|time| *time > long_ago), "{:?}", modified());
    }
}
