//! The protocol of a save as the disk sees it: the order of its operations, and the outcome when
//! one fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::local::blocks::{Known, Rewriting};
use super::local::disk::{Disk, Growing, Hold, Identity, Locking, NewFile, Opening, Output, Stamp};
use super::{Log, RealDisk};
use crate::container::Source;
use crate::{CheckpointReader, Checkpointer, Error, OnFailedSave, Schedule};

/// A disk that records its operations, and fails one of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyDisk {
    plan: Arc<Mutex<Plan>>,
    real: Arc<RealDisk>,
}

#[derive(Debug, Default)]
pub(crate) struct Plan {
    asked: Vec<String>,
    /// The operation that fails, counted from 0, and its fault.
    fault: Option<(usize, Fault)>,
    /// True to tear appended lines, as a full disk does. They are no part of a save, so they are
    /// not recorded.
    tears_log_lines: bool,
    /// True if another program opens each new file that grows before this one has locked it.
    takes_new_files: bool,
    /// The number of times that a directory was listed.
    listings: usize,
    /// The number of times that a file was opened for reading, by its name.
    openings: usize,
    /// The number of times left that opening a file for reading reports a stale handle.
    stale: usize,
    /// A file whose bytes the device does not give, and the number of times left.
    unread: Option<(OsString, usize)>,
    /// A file whose bytes the device never gives. Another one of its name is read.
    broken: Option<Identity>,
}

/// The fault of an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The operation fails with this error.
    Error(i32),
    /// The operation succeeds, and reports a failure, as where the answer of a file server is lost.
    AnswerLost(i32),
    /// A write takes only a part.
    Short,
    /// A write changes its last byte, without an error.
    Garbled,
    /// Another directory comes in the place of the checkpoint directory before the operation.
    Replaced,
    /// A copy comes in the place of the checkpoint directory before the operation.
    ReplacedByCopy,
    /// A user pins the generation before the operation on its file.
    Pinned,
    /// The operation panics.
    Panic,
}

impl FaultyDisk {
    fn new(way: Way) -> FaultyDisk {
        let real = if way == Way::Buffered { RealDisk::buffered() } else { RealDisk::default() };
        FaultyDisk { plan: Arc::default(), real: Arc::new(real) }
    }

    /// Records an operation, and does it as planned.
    fn ask<R>(&self, operation: &str, path: &Path, work: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        match self.planned(operation, path) {
            Some(Fault::Error(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(Fault::AnswerLost(errno)) => {
                drop(work()?);
                Err(io::Error::from_raw_os_error(errno))
            }
            Some(Fault::Panic) => panic!("planned"),
            Some(fault @ (Fault::Replaced | Fault::ReplacedByCopy)) => {
                let directory = if path.is_dir() { path } else { path.parent().unwrap() };
                let moved = directory.with_extension("moved");
                std::fs::rename(directory, &moved)?;
                std::fs::create_dir(directory)?;
                if fault == Fault::ReplacedByCopy {
                    for entry in std::fs::read_dir(moved)? {
                        let entry = entry?;
                        std::fs::copy(entry.path(), directory.join(entry.file_name()))?;
                    }
                }
                work()
            }
            Some(Fault::Pinned) => {
                std::fs::write(path.with_extension("pin"), "")?;
                work()
            }
            Some(Fault::Short | Fault::Garbled) | None => work(),
        }
    }

    fn planned(&self, operation: &str, path: &Path) -> Option<Fault> {
        let mut plan = self.plan.lock().unwrap();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = if super::name::is_temporary(name.as_ref()) { "TEMPORARY".to_owned() } else { name };
        plan.asked.push(format!("{operation} {name}").trim().to_owned());
        plan.fault.filter(|(place, _)| place + 1 == plan.asked.len()).map(|(_, fault)| fault)
    }

    /// Makes every operation wait until the result is dropped.
    pub(crate) fn hold(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap()
    }

    /// Clears the record, and plans a fault for later operations.
    pub(crate) fn plan(&self, fault: Option<(usize, Fault)>) {
        *self.plan.lock().unwrap() = Plan { fault, ..Plan::default() };
    }

    pub(crate) fn tear_log_lines(&self, tear: bool) {
        self.plan.lock().unwrap().tears_log_lines = tear;
    }

    pub(crate) fn take_new_files(&self, take: bool) {
        self.plan.lock().unwrap().takes_new_files = take;
    }

    pub(crate) fn be_stale(&self, times: usize) {
        self.plan.lock().unwrap().stale = times;
    }

    pub(crate) fn be_unread(&self, name: &str, times: usize) {
        self.plan.lock().unwrap().unread = Some((name.into(), times));
    }

    /// Never gives the bytes of the file that has this path now.
    pub(crate) fn break_file(&self, path: &Path) {
        self.plan.lock().unwrap().broken = self.real.identity(path).unwrap();
    }

    fn openings(&self) -> usize {
        self.plan.lock().unwrap().openings
    }

    fn listings(&self) -> usize {
        self.plan.lock().unwrap().listings
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.plan.lock().unwrap().asked.clone()
    }
}

impl Disk for FaultyDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.ask("create directory", path, || self.real.create_directory(path))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.ask("sync directory", path, || self.real.sync_directory(path))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.ask("sync file", path, || self.real.sync_file(path))
    }

    fn create_temporary(&self, directory: &Path) -> io::Result<NewFile> {
        let create = || self.real.create_temporary(directory);
        let NewFile { path, output } = self.ask("create temporary in", directory, create)?;
        Ok(NewFile {
            output: Box::new(FaultyOutput { disk: self.clone(), path: path.clone(), output }),
            path,
        })
    }

    fn create_small(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.ask("create", path, || self.real.create_small(path, bytes))
    }

    fn open_growing(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn Growing>> {
        let opened = self.real.open_growing(path, opening)?;
        match opening == Opening::Create && self.plan.lock().unwrap().takes_new_files {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(opened),
        }
    }

    fn take_place(&self, from: &Path, of: &Path) -> io::Result<()> {
        self.ask("take the place of", of, || self.real.take_place(from, of))
    }

    fn hold(&self, path: &Path, shared: bool) -> io::Result<Box<dyn Hold>> {
        self.real.hold(path, shared)
    }

    fn identity(&self, path: &Path) -> io::Result<Option<Identity>> {
        self.real.identity(path)
    }

    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        self.real.stamp(path)
    }

    fn rename_to_temporary(&self, from: &Path, directory: &Path) -> io::Result<PathBuf> {
        self.ask("retire", from, || self.real.rename_to_temporary(from, directory))
    }

    fn recycle(&self, path: &Path, rewriting: Rewriting) -> io::Result<Box<dyn Output>> {
        let output = self.ask("recycle", path, || self.real.recycle(path, rewriting))?;
        Ok(Box::new(FaultyOutput { disk: self.clone(), path: path.to_owned(), output }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask("rename to", to, || self.real.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.ask("remove", path, || self.real.remove(path))
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.ask("remove directory", path, || self.real.remove_directory(path))
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        self.real.lock(path, holder)
    }

    fn open_log(&self, path: &Path) -> io::Result<Box<dyn Log>> {
        Ok(Box::new(FaultyLog { disk: self.clone(), log: self.real.open_log(path)? }))
    }

    fn is_directory(&self, path: &Path) -> Option<bool> {
        self.real.is_directory(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.real.exists(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        self.plan.lock().unwrap().listings += 1;
        self.real.list(directory)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Source>> {
        let mut plan = self.plan.lock().unwrap();
        plan.openings += 1;
        if plan.stale > 0 {
            plan.stale -= 1;
            return Err(io::Error::from_raw_os_error(ESTALE));
        }
        if let Some((name, times)) = &mut plan.unread
            && path.file_name() == Some(name)
            && *times > 0
        {
            *times -= 1;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        if plan.broken.is_some() && plan.broken == self.real.identity(path)? {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.real.open(path)
    }

    fn open_unpublished(&self, path: &Path, identity: Option<Identity>) -> io::Result<Box<dyn Source>> {
        self.ask("open", path, || self.real.open_unpublished(path, identity))
    }
}

#[derive(Debug)]
struct FaultyLog {
    disk: FaultyDisk,
    log: Box<dyn Log>,
}

impl Log for FaultyLog {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.disk.plan.lock().unwrap().tears_log_lines {
            self.log.append(&bytes[..bytes.len() / 2])?;
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        self.log.append(bytes)
    }

    fn length(&self) -> io::Result<u64> {
        self.log.length()
    }
}

#[derive(Debug)]
struct FaultyOutput {
    disk: FaultyDisk,
    path: PathBuf,
    output: Box<dyn Output>,
}

impl Write for FaultyOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.disk.planned("write", &self.path) {
            Some(Fault::Error(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(Fault::AnswerLost(errno)) => {
                self.output.write_all(bytes)?;
                Err(io::Error::from_raw_os_error(errno))
            }
            Some(Fault::Garbled) => {
                let (last, rest) = bytes.split_last().unwrap();
                self.output.write_all(&[rest, &[!last]].concat()).map(|()| bytes.len())
            }
            Some(Fault::Short) => self.output.write(&bytes[..bytes.len().div_ceil(2)]),
            Some(Fault::Panic) => panic!("planned"),
            Some(Fault::Replaced | Fault::ReplacedByCopy | Fault::Pinned) | None => self.output.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl Output for FaultyOutput {
    fn finish(&mut self) -> io::Result<()> {
        self.disk.clone().ask("finish", &self.path.clone(), || self.output.finish())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.clone().ask("sync", &self.path.clone(), || self.output.sync())
    }

    fn identity(&self) -> Option<Identity> {
        self.output.identity()
    }

    fn written(&self) -> u64 {
        self.output.written()
    }

    fn known(&mut self) -> Option<Known> {
        self.output.known()
    }
}

pub(crate) const EIO: i32 = 5;
const EINTR: i32 = 4;
const EMFILE: i32 = 24;
const ESTALE: i32 = 116;
pub(crate) const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;
const EROFS: i32 = 30;

/// The source of the file of the next save.
#[derive(Clone, Copy, Debug, PartialEq)]
enum File {
    New,
    Recycled,
}

/// The way of the bytes of a save to the disk.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// A state so short that it is written by one call.
    AtOnce,
    /// A second thread, past the cache.
    Direct,
    /// A second thread, through the cache.
    Buffered,
}

const WAYS: [Way; 3] = [Way::AtOnce, Way::Direct, Way::Buffered];

/// A state that goes to the disk in this way. Its first number identifies it.
fn state(number: u64, way: Way) -> Vec<u64> {
    vec![number; if way == Way::AtOnce { 1 } else { 300_000 }]
}

/// A directory with the last saved state 3, and its disk, which can be made to fail.
fn saved(next: File, way: Way) -> (tempfile::TempDir, PathBuf, FaultyDisk, Checkpointer<Vec<u64>>) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let disk = FaultyDisk::new(way);
    let open = || Checkpointer::builder(&path).disk(Arc::new(disk.clone())).open().unwrap();
    let mut checkpoints = open();
    for number in 1..=3 {
        checkpoints.save(&state(number, way)).unwrap();
    }
    if next == File::New {
        // A program that closes the directory leaves no spare file in it.
        drop(checkpoints);
        checkpoints = open();
    }
    disk.plan(None);
    (parent, path, disk, checkpoints)
}

/// The operations of a save, in this order.
fn operations(file: File) -> [&'static str; 8] {
    [
        if file == File::New { "create temporary in run.ckpt" } else { "recycle TEMPORARY" },
        "write TEMPORARY",
        "finish TEMPORARY",
        "sync TEMPORARY",
        "open TEMPORARY",
        "rename to 00000000000000000004.ckpt",
        "sync directory run.ckpt",
        "retire 00000000000000000002.ckpt",
    ]
}

#[test]
fn data_then_name_are_synced_before_an_older_generation_goes() {
    for way in WAYS {
        for file in [File::New, File::Recycled] {
            let (_parent, _path, disk, mut checkpoints) = saved(file, way);
            checkpoints.save(&state(4, way)).unwrap();
            let mut asked = disk.asked();
            let writes = asked.iter().filter(|operation| operation.starts_with("write")).count();
            assert_eq!(writes > 1, way != Way::AtOnce, "{way:?}");
            asked.dedup();
            assert_eq!(asked, operations(file), "{way:?}");
        }
    }
}

#[test]
fn a_save_that_need_not_be_durable_asks_for_no_sync() {
    let parent = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let path = parent.path().join("run.ckpt");
    std::fs::create_dir(&path).unwrap();
    let mut checkpoints =
        Checkpointer::<u64>::builder(path).disk(Arc::new(disk.clone())).durable(false).open().unwrap();
    checkpoints.save(&1).unwrap();
    assert!(disk.asked().iter().all(|operation| !operation.contains("sync")), "{:?}", disk.asked());
}

#[test]
fn a_durable_run_counts_on_the_directories_of_one_that_was_not() {
    let parent = tempfile::tempdir().unwrap();
    let top = parent.path().file_name().unwrap().to_str().unwrap().to_owned();
    let path = parent.path().join("a/b/run.ckpt");
    let opened = |durable: bool| {
        let disk = FaultyDisk::default();
        Checkpointer::<u64>::builder(&path).disk(Arc::new(disk.clone())).durable(durable).open().unwrap();
        disk.asked().into_iter().filter(|operation| operation.starts_with("sync")).collect::<Vec<_>>()
    };
    let not_durable = opened(false);
    assert_eq!(not_durable[1..], [format!("sync directory {top}"), "sync directory a".to_owned()]);
    assert_eq!(opened(true), ["sync directory b", "sync directory run.ckpt"]);
}

#[test]
fn a_directory_is_durable_before_anything_is_created_in_it() {
    let parent = tempfile::tempdir().unwrap();
    let top = parent.path().file_name().unwrap().to_str().unwrap().to_owned();
    let above = parent.path().parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let disk = FaultyDisk::default();
    let path = parent.path().join("a/b/run.ckpt");
    Checkpointer::<u64>::builder(path).disk(Arc::new(disk.clone())).open().unwrap();
    let expected = [
        format!("sync directory {above}"),
        "create directory a".to_owned(),
        format!("sync directory {top}"),
        "create directory b".to_owned(),
        "sync directory a".to_owned(),
        "create directory run.ckpt".to_owned(),
        "sync directory b".to_owned(),
        "sync directory run.ckpt".to_owned(),
    ];
    assert_eq!(disk.asked(), expected);
}

/// The operations of a save, in order, each with its place in the record: of many writes the first,
/// one in between and the last.
fn places(file: File, way: Way) -> Vec<(usize, String)> {
    let (_parent, _path, disk, mut checkpoints) = saved(file, way);
    checkpoints.save(&state(4, way)).unwrap();
    let asked: Vec<_> = disk.asked().into_iter().enumerate().collect();
    let is_write = |operation: &str| operation.starts_with("write");
    let writes: Vec<_> =
        asked.iter().filter(|(_, operation)| is_write(operation)).map(|(place, _)| *place).collect();
    let some = [writes.first(), writes.get(writes.len() / 2), writes.last()];
    asked
        .into_iter()
        .filter(|(place, operation)| !is_write(operation) || some.contains(&Some(place)))
        .collect()
}

#[test]
fn whatever_fails_the_last_save_loads_and_the_next_one_works() {
    for way in WAYS {
        // A long file fails in the same way for each error.
        let errors = if way == Way::AtOnce {
            &[EIO, ENOSPC, EDQUOT, EROFS, EMFILE, EINTR][..]
        } else {
            &[ENOSPC, EINTR]
        };
        for file in [File::New, File::Recycled] {
            for (place, operation) in places(file, way) {
                for errno in errors {
                    refuses(&operation, place, Fault::Error(*errno), file, way);
                }
                refuses(&operation, place, Fault::AnswerLost(EIO), file, way);
                if operation.starts_with("write") {
                    refuses(&operation, place, Fault::Short, file, way);
                }
            }
        }
    }
}

#[test]
fn a_save_into_a_directory_that_was_moved_is_not_acknowledged() {
    for file in [File::New, File::Recycled] {
        for (place, operation) in places(file, Way::AtOnce) {
            if operation.starts_with("retire") || operation.starts_with("write") {
                continue;
            }
            let (_parent, path, disk, mut checkpoints) = saved(file, Way::AtOnce);
            disk.plan(Some((place, Fault::Replaced)));
            assert!(checkpoints.save(&state(4, Way::AtOnce)).is_err(), "{file:?} {operation}");
            assert!(!path.join("00000000000000000004.ckpt").exists(), "{file:?} {operation}");
            let mut moved = CheckpointReader::<Vec<u64>>::open(path.with_extension("moved")).unwrap();
            let found = moved.load().unwrap().unwrap();
            assert!([3, 4].contains(&found[0]), "{file:?} {operation}: {found:?}");
        }
    }
}

#[test]
fn a_discard_in_a_directory_that_was_moved_is_an_error() {
    let discards = |place: Option<usize>| {
        let (_parent, path, disk, mut checkpoints) = saved(File::New, Way::AtOnce);
        checkpoints.pin(3).unwrap();
        for number in 4..=5 {
            checkpoints.save(&state(number, Way::AtOnce)).unwrap();
        }
        disk.plan(place.map(|place| (place, Fault::Replaced)));
        let outcome = checkpoints.discard_newer(3);
        let moved = CheckpointReader::<Vec<u64>>::open(path.with_extension("moved"));
        (disk.asked(), outcome, moved.and_then(|moved| moved.generations()))
    };
    let (asked, outcome, _) = discards(None);
    outcome.unwrap();
    let retires: Vec<usize> = (0..asked.len()).filter(|place| asked[*place].starts_with("retire")).collect();
    assert_eq!(retires.len(), 2, "{asked:?}");
    for (place, left) in retires.into_iter().zip([&[3, 4, 5][..], &[3, 5]]) {
        let (asked, outcome, moved) = discards(Some(place));
        assert!(matches!(outcome, Err(Error::DirectoryReplaced { .. })), "{asked:?}");
        assert_eq!(moved.unwrap(), left);
    }
}

/// Saves while the disk fails one operation, and afterwards.
fn refuses(operation: &str, place: usize, fault: Fault, file: File, way: Way) {
    let number = |loaded: Option<Vec<u64>>| loaded.map(|state| state[0]);
    let (_parent, path, disk, mut checkpoints) = saved(file, way);
    disk.plan(Some((place, fault)));
    let outcome = checkpoints.save(&state(4, way));
    let loaded = number(CheckpointReader::<Vec<u64>>::open(&path).unwrap().load().unwrap());
    let is = |start: &str| operation.starts_with(start);
    let is_no_failure = match fault {
        // As always: the writer continues with the rest.
        Fault::Error(EINTR) | Fault::Short if is("write") => true,
        // The new name exists, and the old one does not.
        Fault::AnswerLost(_) if is("rename to") => true,
        _ => is("retire") || is("recycle"),
    };
    let operation = format!("{operation}, {fault:?}, {file:?}, {way:?}");
    if is_no_failure {
        assert_eq!(outcome.unwrap().generation, 4, "{operation}: no failure of the save");
        assert_eq!(loaded, Some(4), "{operation}");
    } else {
        let error = outcome.unwrap_err();
        match fault {
            _ if is("open") => assert!(matches!(error, Error::Io { .. }), "{operation}: {error}"),
            Fault::Error(ENOSPC | EDQUOT) => {
                assert!(matches!(error, Error::NoSpace { .. }), "{operation}: {error}");
            }
            Fault::Error(EROFS) => {
                assert!(matches!(error, Error::NotWritable { .. }), "{operation}: {error}")
            }
            _ => assert!(matches!(error, Error::Io { .. }), "{operation}: {error}"),
        }
        // Where only the sync of the name failed, the new generation may exist, and is then whole.
        let expected = if operation.starts_with("sync directory") { 4 } else { 3 };
        assert_eq!(loaded, Some(expected), "{operation}");
        // A file whose creation seemed to fail has an unknown name. The next start removes it.
        let unknown =
            usize::from(operation.starts_with("create temporary") && matches!(fault, Fault::AnswerLost(_)));
        assert_eq!(temporaries(&path), unknown, "{operation}: a failed save leaves no file behind");
    }

    disk.plan(None);
    checkpoints.save(&state(5, way)).unwrap();
    assert_eq!(number(checkpoints.load().unwrap()), Some(5), "{operation}");
    drop(checkpoints);
    drop(Checkpointer::<Vec<u64>>::open(&path).unwrap());
    assert_eq!(temporaries(&path), 0, "{operation}: a closed directory has no file but generations");
}

/// The open files of this process, and its threads.
#[cfg(target_os = "linux")]
fn held() -> (Vec<PathBuf>, usize) {
    let entries = |path: &str| std::fs::read_dir(path).unwrap().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries("/proc/self/fd").filter_map(|file| std::fs::read_link(file).ok()).collect();
    files.retain(|file| !file.starts_with("/proc"));
    files.sort();
    (files, entries("/proc/self/task").count())
}

/// Runs in a process of its own, where no other test opens files or starts threads.
#[cfg(target_os = "linux")]
#[test]
fn whatever_the_disk_refuses_no_descriptor_or_thread_leaks() {
    const ALONE: &str = "CHECKPOINTED_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let name = "store::faults::whatever_the_disk_refuses_no_descriptor_or_thread_leaks";
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let try_all = || {
        for (file, way) in
            [(File::New, Way::AtOnce), (File::Recycled, Way::Direct), (File::New, Way::Buffered)]
        {
            for (place, _) in places(file, way) {
                for fault in [Fault::Error(EIO), Fault::AnswerLost(EIO), Fault::Short] {
                    let (_parent, _path, disk, mut checkpoints) = saved(file, way);
                    disk.plan(Some((place, fault)));
                    let _ = checkpoints.save(&state(4, way));
                    disk.plan(Some((place, fault)));
                    let _ = checkpoints.save_in_background(&state(5, way));
                    let _ = checkpoints.wait();
                    disk.plan(None);
                    checkpoints.save_in_background(&state(6, way)).unwrap();
                }
            }
        }
    };
    // This opens the files that stay open for the whole process.
    try_all();
    let before = held();
    try_all();
    assert_eq!(held(), before);
}

fn temporaries(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).unwrap().flatten();
    entries.filter(|entry| super::name::is_temporary(&entry.file_name())).count()
}

#[test]
fn a_sync_that_failed_is_not_tried_again_on_the_same_file() {
    for way in WAYS {
        let sync =
            places(File::Recycled, way).into_iter().find(|(_, operation)| operation == "sync TEMPORARY");
        let (_parent, _path, disk, mut checkpoints) = saved(File::Recycled, way);
        disk.plan(Some((sync.unwrap().0, Fault::Error(EIO))));
        checkpoints.save(&state(4, way)).unwrap_err();
        checkpoints.save(&state(4, way)).unwrap();
        let mut asked = disk.asked();
        asked.dedup();
        let given_up = [
            "recycle TEMPORARY",
            "write TEMPORARY",
            "finish TEMPORARY",
            "sync TEMPORARY",
            "remove TEMPORARY",
        ];
        assert_eq!(asked, [&given_up[..], &operations(File::New)[..]].concat(), "{way:?}");
    }
}

/// Saves of which a little changes, over files whose blocks are known.
#[test]
fn whatever_fails_no_block_is_left_out_that_the_file_lacks() {
    for way in [Way::Direct, Way::Buffered] {
        let parent = tempfile::tempdir().unwrap();
        let (path, disk) = (parent.path().join("run.ckpt"), FaultyDisk::new(way));
        let builder = Checkpointer::<Vec<u64>>::builder(&path).disk(Arc::new(disk.clone())).keep_last(1);
        let mut checkpoints = builder.warnings_to_stderr(false).open().unwrap();
        let mut state = state(1, way);
        let mut save = |checkpoints: &mut Checkpointer<Vec<u64>>| {
            // A number of two of the blocks, always another.
            let place = usize::try_from(state[0]).unwrap() * 7919 % state.len();
            state[0] += 1;
            state[place] += 1;
            (checkpoints.save(&state), state.clone())
        };
        for fault in [Fault::Error(EIO), Fault::AnswerLost(EIO), Fault::Short] {
            for place in (0..).step_by(2) {
                let mut left_out = 0;
                for _ in 0..6 {
                    let (saved, state) = save(&mut checkpoints);
                    let saved = saved.unwrap();
                    left_out += usize::from(saved.written < saved.bytes);
                    let loaded = CheckpointReader::<Vec<u64>>::open(&path).unwrap().load().unwrap();
                    assert!(loaded == Some(state), "before operation {place}, {fault:?}, {way:?}");
                }
                assert!(left_out >= 2, "{left_out}");
                disk.plan(Some((place, fault)));
                let _ = save(&mut checkpoints);
                let is_last = disk.asked().len() <= place;
                disk.plan(None);
                if is_last {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_generation_that_has_another_name_is_not_written_over() {
    for way in WAYS {
        let (_parent, path, disk, mut checkpoints) = saved(File::New, way);
        let mine = path.join("mine");
        std::fs::hard_link(path.join("00000000000000000002.ckpt"), &mine).unwrap();
        let before = std::fs::read(&mine).unwrap();
        checkpoints.save(&state(4, way)).unwrap();
        disk.plan(None);
        checkpoints.save(&state(5, way)).unwrap();
        let recycled = ["recycle TEMPORARY", "remove TEMPORARY", "create temporary in run.ckpt"];
        assert_eq!(disk.asked()[..3], recycled, "{way:?}");
        assert!(std::fs::read(&mine).unwrap() == before, "{way:?}");
    }
}

#[test]
fn a_generation_that_is_read_stays_until_it_is_read_no_more() {
    for way in WAYS {
        let (_parent, path, disk, mut checkpoints) = saved(File::New, way);
        let oldest = path.join("00000000000000000002.ckpt");
        let before = std::fs::read(&oldest).unwrap();
        let reader = std::fs::File::open(&oldest).unwrap();
        reader.lock_shared().unwrap();
        checkpoints.save(&state(4, way)).unwrap();
        checkpoints.save(&state(5, way)).unwrap();
        assert!(std::fs::read(&oldest).unwrap() == before, "{way:?}");
        drop(reader);
        disk.plan(None);
        checkpoints.save(&state(6, way)).unwrap();
        assert_eq!(checkpoints.generations().unwrap(), [5, 6], "{way:?}");
        assert!(disk.asked().contains(&"retire 00000000000000000002.ckpt".to_owned()), "{way:?}");
    }
}

#[test]
fn a_spare_that_is_read_is_neither_written_over_nor_removed() {
    let (_parent, path, disk, mut checkpoints) = saved(File::Recycled, Way::AtOnce);
    let spare = |path: &Path| {
        let entries = std::fs::read_dir(path).unwrap().flatten();
        entries.map(|entry| entry.path()).find(|path| super::name::is_temporary(path.file_name().unwrap()))
    };
    let spare_path = spare(&path).unwrap();
    let before = std::fs::read(&spare_path).unwrap();
    let reader = std::fs::File::open(&spare_path).unwrap();
    reader.lock_shared().unwrap();
    checkpoints.save(&state(4, Way::AtOnce)).unwrap();
    checkpoints.save(&state(5, Way::AtOnce)).unwrap();
    assert!(!disk.asked().contains(&"remove TEMPORARY".to_owned()), "{:?}", disk.asked());
    drop(checkpoints);
    assert!(std::fs::read(&spare_path).unwrap() == before);
    // A start leaves it too while it is read, and removes it afterwards.
    drop(Checkpointer::<u64>::open(&path).unwrap());
    assert!(std::fs::read(&spare_path).unwrap() == before);
    drop(reader);
    drop(Checkpointer::<u64>::open(&path).unwrap());
    assert_eq!(spare(&path), None);
}

#[test]
fn saves_do_not_list_the_directory_each_time() {
    let (_parent, path, disk, mut checkpoints) = saved(File::Recycled, Way::AtOnce);
    for number in 4..=53 {
        checkpoints.save(&state(number, Way::AtOnce)).unwrap();
    }
    assert_eq!(disk.listings(), 0);
    // Now and then the directory is listed, for files that other programs put there.
    std::fs::copy(path.join("00000000000000000053.ckpt"), path.join("00000000000000000007.ckpt")).unwrap();
    for number in 54..=253 {
        checkpoints.save(&state(number, Way::AtOnce)).unwrap();
    }
    assert_eq!(disk.listings(), 2);
    assert_eq!(checkpoints.generations().unwrap(), [252, 253]);
}

#[test]
fn a_pin_costs_a_save_one_look_at_its_name() {
    let openings = |pins: u64| {
        let (_parent, _, disk, mut checkpoints) = saved(File::New, Way::AtOnce);
        for number in 4..=pins + 4 {
            let saved = checkpoints.save(&state(number, Way::AtOnce)).unwrap();
            checkpoints.pin(saved.generation).unwrap();
        }
        // The one after which retention finds the last pin.
        for number in 1..=2 {
            checkpoints.save(&state(pins + 4 + number, Way::AtOnce)).unwrap();
        }
        let before = disk.openings();
        checkpoints.save(&state(pins + 7, Way::AtOnce)).unwrap();
        let openings = disk.openings() - before;
        // A pin that is taken away is noticed all the same.
        let pinned = checkpoints.generations().unwrap()[1];
        checkpoints.unpin(pinned).unwrap();
        checkpoints.save(&state(pins + 8, Way::AtOnce)).unwrap();
        assert!(!checkpoints.generations().unwrap().contains(&pinned));
        openings
    };
    assert_eq!(openings(40), openings(4));
}

#[test]
fn a_name_that_another_program_took_is_an_error_with_a_way_out() {
    let (_parent, path, _, mut checkpoints) = saved(File::New, Way::AtOnce);
    let next = checkpoints.generations().unwrap().pop().unwrap() + 1;
    let taken = path.join(format!("{next:020}.ckpt"));
    std::fs::write(&taken, "another's").unwrap();
    let error = checkpoints.save(&state(4, Way::AtOnce)).unwrap_err();
    assert!(matches!(error, Error::NameTaken { .. }), "{error:?}");
    assert!(error.to_string().contains("the next save takes the next number"), "{error}");
    assert_eq!(std::fs::read(&taken).unwrap(), b"another's");
    assert_eq!(checkpoints.save(&state(4, Way::AtOnce)).unwrap().generation, next + 1);
}

#[test]
fn a_generation_that_the_user_removed_does_not_count_as_kept() {
    let (_parent, path, _disk, mut checkpoints) = saved(File::Recycled, Way::AtOnce);
    std::fs::remove_file(path.join("00000000000000000003.ckpt")).unwrap();
    checkpoints.save(&state(4, Way::AtOnce)).unwrap();
    assert_eq!(checkpoints.generations().unwrap(), [2, 4]);
}

#[test]
fn a_recycled_file_has_nothing_left_of_what_it_held() {
    for way in [Way::Direct, Way::Buffered] {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run.ckpt");
        let builder = Checkpointer::<String>::builder(&path).disk(Arc::new(FaultyDisk::new(way)));
        let mut checkpoints = builder.open().unwrap();
        for length in [9_000_000, 10, 3_000_000, 5_000_000, 0, 70_000, 4_194_304, 1] {
            checkpoints.save(&"x".repeat(length)).unwrap();
            assert_eq!(checkpoints.load().unwrap().unwrap().len(), length);
        }
    }
}

#[test]
fn a_generation_whose_outcome_is_unknown_is_never_written_over() {
    let (_parent, _path, disk, mut checkpoints) = saved(File::Recycled, Way::AtOnce);
    let (place, _) = places(File::Recycled, Way::AtOnce)
        .into_iter()
        .find(|(_, operation)| operation.starts_with("sync directory"))
        .unwrap();
    disk.plan(Some((place, Fault::Error(EIO))));
    checkpoints.save(&vec![4]).unwrap_err();
    disk.plan(None);
    assert_eq!(checkpoints.save(&vec![40]).unwrap().generation, 5);
    assert_eq!(checkpoints.load_generation(4).unwrap(), [4]);
}

#[test]
fn finish_saves_anew_a_state_whose_name_was_not_synced() {
    for background in [false, true] {
        let parent = tempfile::tempdir().unwrap();
        let (path, disk) = (parent.path().join("run.ckpt"), FaultyDisk::default());
        let builder = Checkpointer::<u64>::builder(path).disk(Arc::new(disk.clone())).background(background);
        let builder = builder.schedule(Schedule::every_steps(1)).on_failed_save(OnFailedSave::go_on());
        let mut checkpoints = builder.open().unwrap();
        checkpoints.save(&1).unwrap();
        disk.plan(Some((6, Fault::Error(EIO))));
        checkpoints.save_if_due(&2).unwrap();
        while checkpoints.is_saving() {
            std::thread::yield_now();
        }
        assert_eq!(disk.asked().last().unwrap(), "sync directory run.ckpt");
        assert_eq!(checkpoints.generations().unwrap(), [1, 2]);
        disk.plan(None);
        let saved = checkpoints.finish(&2).unwrap().saved;
        assert_eq!(saved.map(|saved| saved.generation), Some(3), "{background}");
    }
}

#[test]
fn finish_syncs_the_file_and_name_of_an_earlier_run() {
    let (_parent, _path, disk, checkpoints) = saved(File::New, Way::AtOnce);
    assert!(checkpoints.finish(&state(3, Way::AtOnce)).unwrap().saved.is_none());
    assert_eq!(disk.asked(), ["sync file 00000000000000000003.ckpt", "sync directory run.ckpt"]);
}

#[test]
fn room_is_made_only_beside_an_acknowledged_generation() {
    for last in [1, 2] {
        let parent = tempfile::tempdir().unwrap();
        let (path, disk) = (parent.path().join("run.ckpt"), FaultyDisk::default());
        let builder = Checkpointer::<u64>::builder(path).disk(Arc::new(disk.clone())).keep_last(last);
        let mut checkpoints = builder.on_failed_save(OnFailedSave::go_on().make_room()).open().unwrap();
        checkpoints.save(&1).unwrap();
        disk.plan(Some((6, Fault::Error(EIO))));
        checkpoints.save(&2).unwrap_err();
        disk.plan(Some((1, Fault::Error(ENOSPC))));
        let outcome = checkpoints.save(&3);
        let asked = disk.asked();
        let retired: Vec<_> = asked.iter().filter(|operation| operation.starts_with("retire")).collect();
        if last == 2 {
            assert!(matches!(outcome, Err(Error::NoSpace { .. })), "{outcome:?}");
            assert_eq!(retired, [""; 0]);
        } else {
            // The one whose save failed makes room; the acknowledged one goes after the new one
            // came.
            assert_eq!(outcome.unwrap().generation, 3);
            let expected = ["retire 00000000000000000002.ckpt", "retire 00000000000000000001.ckpt"];
            assert_eq!(retired, expected);
        }
    }
}

#[test]
fn a_save_that_meets_a_full_disk_is_not_in_its_own_way() {
    const PLACES: usize = 40;
    let mut failed = 0;
    for place in 0..PLACES {
        let parent = tempfile::tempdir().unwrap();
        let (path, disk) = (parent.path().join("run.ckpt"), FaultyDisk::default());
        let builder = Checkpointer::<u64>::builder(&path).disk(Arc::new(disk.clone())).keep_last(2);
        let mut checkpoints = builder.on_failed_save(OnFailedSave::go_on().make_room()).open().unwrap();
        checkpoints.save(&1).unwrap();
        checkpoints.save(&2).unwrap();
        disk.plan(Some((place, Fault::Error(ENOSPC))));
        let outcome = checkpoints.save(&3);
        assert!(!matches!(outcome, Err(Error::NameTaken { .. })), "{place}: {outcome:?}");
        failed += usize::from(outcome.is_err());
        disk.plan(None);
        let saved = checkpoints.save(&4).unwrap();
        assert_eq!(CheckpointReader::<u64>::open(&path).unwrap().load().unwrap(), Some(4), "{saved:?}");
    }
    assert!(failed > 1);
}

#[test]
fn a_pinned_generation_whose_name_was_taken_gets_it_back() {
    let (_parent, path, disk, checkpoints) = saved(File::New, Way::AtOnce);
    checkpoints.pin(2).unwrap();
    drop(checkpoints);
    // Retention took its name at the moment of the pin, and could not give it back.
    let taken = path.join(".checkpoint-0123456789abcdef.tmp");
    std::fs::rename(path.join("00000000000000000002.ckpt"), &taken).unwrap();
    std::fs::write(path.join(".checkpoint-0123456789abcdeg.tmp"), "a leftover").unwrap();
    let open = || Checkpointer::<Vec<u64>>::builder(&path).disk(Arc::new(disk.clone())).open().unwrap();
    assert_eq!(open().load_generation(2).unwrap(), state(2, Way::AtOnce));
    assert_eq!(temporaries(&path), 0);
}

#[test]
fn a_pin_that_is_refused_keeps_nothing() {
    let (_parent, path, disk, checkpoints) = saved(File::New, Way::AtOnce);
    disk.plan(Some((2, Fault::Error(EIO))));
    checkpoints.pin(3).unwrap_err();
    assert_eq!(disk.asked()[2], "sync directory run.ckpt");
    assert!(!path.join("00000000000000000003.pin").exists());
    disk.plan(None);
    checkpoints.pin(3).unwrap();
    assert!(disk.asked()[1].starts_with("create "), "a sync is never tried again");
}

#[test]
fn a_new_name_that_cannot_be_synced_is_warned_of() {
    const EACCES: i32 = 13;
    // The sync of the name of the parent, which was there before, and of the new name.
    for (place, warned) in [(0, false), (2, true)] {
        let parent = tempfile::tempdir().unwrap();
        let (disk, warnings) = (FaultyDisk::default(), Arc::new(Mutex::new(Vec::new())));
        let taker = Arc::clone(&warnings);
        disk.plan(Some((place, Fault::Error(EACCES))));
        Checkpointer::<u64>::builder(parent.path().join("run.ckpt"))
            .disk(Arc::new(disk.clone()))
            .on_warning(move |warning| taker.lock().unwrap().push(warning.to_string()))
            .open()
            .unwrap();
        assert!(disk.asked()[place].starts_with("sync directory"), "{:?}", disk.asked());
        let of_name = |warning: &String| warning.contains("cannot be made durable");
        assert_eq!(warnings.lock().unwrap().iter().any(of_name), warned, "{:?}", warnings.lock().unwrap());
    }
}

#[test]
fn a_file_that_cannot_be_opened_never_becomes_a_generation() {
    for way in WAYS {
        for file in [File::New, File::Recycled] {
            let (_parent, path, disk, mut checkpoints) = saved(file, way);
            let mut writes =
                places(file, way).into_iter().filter(|(_, operation)| operation.starts_with("write"));
            // The last write has the end of the list of entries, which every reader needs.
            let (last, _) = writes.next_back().unwrap();
            disk.plan(Some((last, Fault::Garbled)));
            let error = checkpoints.save(&state(4, way)).unwrap_err();
            assert!(matches!(error, Error::NotOpened { generation: 4, .. }), "{file:?}, {way:?}: {error}");
            assert!(!disk.asked().iter().any(|operation| operation.starts_with("retire")));
            assert_eq!(temporaries(&path), 0, "{file:?}, {way:?}");
            assert_eq!(checkpoints.generations().unwrap(), [2, 3], "{file:?}, {way:?}");
            disk.plan(None);
            assert_eq!(checkpoints.save(&state(4, way)).unwrap().generation, 4, "{file:?}, {way:?}");
        }
    }
}

#[test]
fn a_disk_full_at_the_start_keeps_no_program_from_loading() {
    let (_parent, path, disk, checkpoints) = saved(File::Recycled, Way::AtOnce);
    drop(checkpoints);
    let mut checkpoints =
        Checkpointer::<Vec<u64>>::builder(&path).disk(Arc::new(disk.clone())).open().unwrap();
    disk.plan(Some((0, Fault::Error(ENOSPC))));
    assert!(matches!(checkpoints.save(&vec![4]), Err(Error::NoSpace { .. })));
    assert_eq!(checkpoints.load().unwrap(), Some(vec![3]));
}

#[test]
fn a_directory_that_cannot_be_synced_is_refused_at_the_start() {
    let (_parent, path, disk, checkpoints) = saved(File::Recycled, Way::AtOnce);
    drop(checkpoints);
    disk.plan(Some((0, Fault::Error(EIO))));
    let outcome = Checkpointer::<Vec<u64>>::builder(&path).disk(Arc::new(disk)).open();
    assert!(matches!(outcome, Err(Error::Io { operation: "sync", .. })), "{outcome:?}");
}

#[test]
fn a_stale_handle_is_opened_again_and_nothing_older_is_loaded() {
    let (_parent, _path, disk, mut checkpoints) = saved(File::New, Way::AtOnce);
    disk.be_stale(5);
    assert_eq!(checkpoints.load().unwrap(), Some(vec![3]));
    assert!(checkpoints.last_load().unwrap().skipped.is_empty());
    // A server that never gives another answer is an error in the end.
    disk.be_stale(usize::MAX);
    assert!(matches!(checkpoints.load(), Err(Error::Io { .. })));
    disk.be_stale(0);
    assert_eq!(checkpoints.load().unwrap(), Some(vec![3]));
}
