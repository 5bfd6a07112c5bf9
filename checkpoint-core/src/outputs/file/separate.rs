//! A file with a second name (a hard link), as in a backup, is never cut, and no run begins to
//! append to it: a copy takes its place.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::{OpenFile, Written};
use crate::base::warnings::warn;
use crate::error::{Error, OutputFault};
use crate::outputs::counts::{inode, with_end};
use crate::store::{Growing, Opening};

/// The end of the name of a copy, until it takes the place of the file.
const COPY: &str = ".checkpoint-copy";

impl OpenFile {
    /// If the file has a second name, puts a copy of its first bytes in its place, and goes on with
    /// the copy. Returns true if it did.
    ///
    /// Until the names of the directory are durable, a power cut may bring the former file back. It
    /// has all bytes that count, and the next save syncs the names before it counts on more.
    pub(super) fn separate(&self, state: &mut Written, length: u64) -> Result<bool, Error> {
        let file = self.content();
        let has_other_names = file.has_other_names();
        if !has_other_names.map_err(|source| Error::io("look at", &self.path, source))? {
            return Ok(false);
        }
        // The copy must not take the place of another file.
        self.check_name(length)?;
        let (copy, path) = self.begin_copy(length)?;
        let failed = |source| Error::writing("write", &path, source);
        // A power cut must not leave the name with fewer bytes than a checkpoint counts.
        let placed = self
            .pieces(0, length, |offset, bytes| copy.write_all_at(bytes, offset).map_err(failed))
            .and_then(|()| copy.sync().map_err(failed))
            .and_then(|()| {
                let taken = self.disk.take_place(&path, &self.real);
                taken.map_err(|source| Error::writing("replace", &self.path, source))
            });
        if let Err(error) = placed {
            let _ = self.disk.remove(&path);
            return Err(error);
        }
        self.inode.store(inode(&*copy), Ordering::Release);
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|run| run.mark(&*copy));
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Arc::from(copy);
        (state.length, state.reach) = (length, length);
        state.has_durable_name = false;
        state.cuts += 1;
        warn(format!(
            "{} had another name too (a hard link), as in a backup: a copy of its {length} bytes takes its place, and \
             the file of the other name stays as it is",
            self.path.display()
        ));
        Ok(true)
    }

    /// Creates a copy of some of its bytes, and locks it. One that a killed program left is
    /// removed: the lock on the file itself is ours, so no other program writes it now. An error
    /// names the bytes that count, `length`.
    pub(super) fn begin_copy(&self, length: u64) -> Result<(Box<dyn Growing>, PathBuf), Error> {
        let path = with_end(&self.real, COPY);
        let created = match self.disk.open_growing(&path, Opening::Create) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.remove(&path).and_then(|()| self.disk.open_growing(&path, Opening::Create))
            }
            created => created,
        };
        match created {
            Ok(copy) => Ok((copy, path)),
            Err(source) if source.kind() == io::ErrorKind::WouldBlock => {
                Err(self.fault(length, OutputFault::InUse))
            }
            Err(source) => Err(Error::writing("create", &path, source)),
        }
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use std::sync::Arc;

    use crate::store::faults::{ENOSPC, Fault, FaultyDisk};
    use crate::{Appended, Checkpointer, Error};

    fn open(directory: &Path) -> Checkpointer<Appended> {
        Checkpointer::builder(directory.join("run.ckpt")).warnings_to_stderr(false).open().unwrap()
    }

    fn load(run: &mut Checkpointer<Appended>, directory: &Path) -> Appended {
        run.load_or_else(|| Appended::at(directory.join("out.csv"))).unwrap()
    }

    /// Loads, appends a text, and saves.
    fn add(directory: &Path, text: &str) {
        let mut run = open(directory);
        let mut output = load(&mut run, directory);
        output.write_all(text.as_bytes()).unwrap();
        run.save(&output).unwrap();
    }

    fn content(directory: &Path) -> String {
        fs::read_to_string(directory.join("out.csv")).unwrap()
    }

    /// Copies a directory by hard links, as `cp -al`.
    fn link_all(from: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                link_all(&entry.path(), &to);
            } else {
                fs::hard_link(entry.path(), to).unwrap();
            }
        }
    }

    #[test]
    fn a_copy_by_hard_links_takes_no_line_of_the_original() {
        let parent = tempfile::tempdir().unwrap();
        let [original, copy] = ["original", "copy"].map(|name| parent.path().join(name));
        fs::create_dir(&original).unwrap();
        add(&original, "one\n");
        let path = original.join("out.csv");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        link_all(&original, &copy);
        add(&original, "two\n");
        assert_eq!((content(&original), content(&copy)), ("one\ntwo\n".to_owned(), "one\n".to_owned()));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o604);
        // Each is loaded, and goes on by itself.
        add(&copy, "other\n");
        add(&original, "three\n");
        assert_eq!(content(&original), "one\ntwo\nthree\n");
        assert_eq!(content(&copy), "one\nother\n");
        // A copy in the middle of a run has bytes that its checkpoint does not count.
        let again = parent.path().join("again");
        let mut run = open(&original);
        let mut output = load(&mut run, &original);
        output.write_all(b"four\n").unwrap();
        output.flush().unwrap();
        link_all(&original, &again);
        fs::remove_file(again.join("run.ckpt/.lock")).unwrap();
        run.save(&output).unwrap();
        drop((run, output));
        assert_eq!(load(&mut open(&again), &again).len(), 14);
        assert_eq!((content(&again).len(), content(&original).len()), (14, 19));
        assert_eq!(load(&mut open(&original), &original).len(), 19);
    }

    #[test]
    fn a_run_that_goes_back_leaves_a_second_name_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let (path, backup) = (directory.path().join("out.csv"), directory.path().join("backup"));
        let mut run = open(directory.path());
        let mut output = Appended::at(&path);
        output.write_all(b"one\n").unwrap();
        run.save(&output).unwrap();
        let former = output.clone();
        output.write_all(b"two\n").unwrap();
        run.save(&output).unwrap();
        fs::hard_link(&path, &backup).unwrap();
        drop(std::mem::replace(&mut output, former));
        run.save(&output).unwrap();
        output.write_all(b"other\n").unwrap();
        run.save(&output).unwrap();
        drop((run, output));
        assert_eq!(fs::read_to_string(&backup).unwrap(), "one\ntwo\n");
        add(directory.path(), "more\n");
        assert_eq!(content(directory.path()), "one\nother\nmore\n");
    }

    #[test]
    fn a_kill_after_a_file_was_replaced_leaves_a_state_that_loads() {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) =
            (directory.path().join("out.csv"), directory.path().join("out.csv.checkpoint-copy"));
        add(directory.path(), "one\n");
        fs::hard_link(&path, directory.path().join("backup")).unwrap();
        // Another program was killed while it copied.
        fs::write(&copy, "on").unwrap();
        let mut run = open(directory.path());
        let mut output = load(&mut run, directory.path());
        assert!(!copy.exists());
        output.write_all(b"two\n").unwrap();
        // As at a kill, no checkpoint has the number of the new file.
        drop((output, run));
        assert_eq!(content(directory.path()), "one\ntwo\n");
        add(directory.path(), "three\n");
        assert_eq!(content(directory.path()), "one\nthree\n");
        assert_eq!(fs::read_to_string(directory.path().join("backup")).unwrap(), "one\n");
        // It is another file than the checkpoint knows, so what was cut is kept.
        assert_eq!(fs::read_to_string(directory.path().join("out.csv.cut-at-4")).unwrap(), "two\n");
    }

    #[test]
    fn a_load_says_that_what_it_cuts_has_no_room() {
        let directory = tempfile::tempdir().unwrap();
        let (path, disk) = (directory.path().join("out.csv"), FaultyDisk::default());
        add(directory.path(), "one\n");
        let load = |place: Option<usize>| {
            fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"two\n").unwrap();
            let builder = Checkpointer::<Appended>::builder(directory.path().join("run.ckpt"));
            let builder = builder.warnings_to_stderr(false).keep_cut_outputs(true);
            let mut run = builder.disk(Arc::new(disk.clone())).open().unwrap();
            disk.plan(place.map(|place| (place, Fault::Error(ENOSPC))));
            run.load().map(drop)
        };
        load(None).unwrap();
        let place = disk.asked().iter().position(|asked| asked.contains(".cut-at-4")).unwrap();
        let error = load(Some(place)).unwrap_err();
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("keep the bytes that the load cuts off, in"), "{text}");
        assert!(!text.contains("save again"), "{text}");
        assert_eq!(content(directory.path()), "one\ntwo\n");
    }

    #[test]
    fn an_empty_file_with_a_second_name_is_not_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let other = directory.path().join("other");
        fs::write(&other, "").unwrap();
        fs::hard_link(&other, directory.path().join("out.csv")).unwrap();
        add(directory.path(), "one\n");
        assert_eq!((content(directory.path()), fs::read(&other).unwrap()), ("one\n".to_owned(), Vec::new()));
    }
}
