//! The mark of a run at a file that grows with it: an extended attribute of the file.
//!
//! A checkpoint knows the path of its directory. That of a copy does not tell if the original was
//! renamed since, or if another directory has its path, as in a container. The mark has the number
//! of the directory too, and the time of its creation: one of another file system may have the same
//! number, as the roots of two volumes have. Where the system tells no such time, the number alone
//! counts. A file system without such attributes keeps no mark: then the path alone tells.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::counts::inode;
use crate::store::{Disk, Growing};

/// The run that a file last grew with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Marked {
    /// The file has no mark, or that of the file that it is a copy of.
    Not,
    Ours,
    /// That of another directory, which is there.
    Other(PathBuf),
    /// That of another directory, which is not where it was.
    Gone(PathBuf),
}

/// A directory as a mark names it, apart from its path.
#[derive(Debug, Clone, Copy)]
struct Directory {
    /// Its number on its device.
    number: u64,
    /// The time of its creation in nanoseconds since 1970. 0 where it is not known.
    created: u128,
}

impl Directory {
    fn at(disk: &dyn Disk, path: &Path) -> Option<Self> {
        let number = disk.identity(path).ok().flatten()?.1;
        let created = disk.created(path).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Some(Self { number, created: created.map_or(0, |age| age.as_nanos()) })
    }

    fn is(self, other: Self) -> bool {
        let unknown = self.created == 0 || other.created == 0;
        self.number == other.number && (unknown || self.created == other.created)
    }
}

/// Marks a file for the run of a directory. The mark is a help, so a failure is none of the run.
pub(super) fn set(disk: &dyn Disk, directory: &Path, file: &dyn Growing) {
    if let (Some(ours), Some(path)) = (Directory::at(disk, directory), directory.to_str()) {
        let Directory { number, created } = ours;
        let _ = file.set_mark(format!("{number} {created} {} {path}", inode(file)).as_bytes());
    }
}

/// The run whose mark a file has, for a program without a run.
pub(super) fn of_any(disk: &dyn Disk, file: &dyn Growing) -> Marked {
    // No directory has an empty path.
    of(disk, Path::new(""), file)
}

/// The run whose mark a file has, for the run of a directory.
pub(super) fn of(disk: &dyn Disk, directory: &Path, file: &dyn Growing) -> Marked {
    let mark = file.mark().and_then(|bytes| String::from_utf8(bytes).ok());
    let parsed = mark.as_deref().and_then(|mark| {
        let mut parts = mark.splitn(4, ' ');
        let (number, created) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let of_file: u64 = parts.next()?.parse().ok()?;
        Some((Directory { number, created }, of_file, Path::new(parts.next()?)))
    });
    match parsed {
        Some((marked, of_file, path)) if of_file == inode(file) => {
            let is_at = |path| Directory::at(disk, path).is_some_and(|there| there.is(marked));
            if is_at(directory) {
                Marked::Ours
            } else if is_at(path) {
                Marked::Other(path.to_owned())
            } else {
                Marked::Gone(path.to_owned())
            }
        }
        _ => Marked::Not,
    }
}

#[cfg(all(test, target_os = "linux", feature = "inspect"))]
#[allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test may panic, and says more")]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;

    use crate::error::OutputFault;
    use crate::store::{Disk as _, Opening, RealDisk};
    use crate::{Appended, Checkpointer, Error, inspect};

    /// Loads and adds a line, if the file is that of the run. Returns the fault otherwise.
    fn add(path: &Path) -> Option<OutputFault> {
        let mut run = Checkpointer::<Appended>::builder(path).warnings_to_stderr(false).open().unwrap();
        let mut output = run.load_or_else(|| Appended::at(path.with_file_name("out.csv"))).unwrap();
        match output.write_all(b"line\n") {
            Ok(()) => run.save(&output).map(|_| None).unwrap(),
            Err(error) => match *error.into_inner().unwrap().downcast::<Error>().unwrap() {
                Error::Output { fault, .. } => Some(fault),
                other => panic!("{other}"),
            },
        }
    }

    #[test]
    fn a_run_that_was_renamed_keeps_its_file() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let length = || fs::metadata(at("out.csv")).unwrap().len();
        let kept = || fs::read(at("out.csv.cut-at-10")).ok();
        assert_eq!(add(&at("run.ckpt")), None);
        let file = RealDisk::default().open_growing(&at("out.csv"), Opening::Look).unwrap();
        if file.mark().is_none() {
            eprintln!("SKIPPED: the file system has no extended attributes");
            return;
        }
        assert_eq!(add(&at("run.ckpt")), None);
        inspect::copy(at("run.ckpt"), at("backup.ckpt")).unwrap();
        fs::rename(at("run.ckpt"), at("main.ckpt")).unwrap();
        // As after a kill, the file has more than the checkpoint counts. The run itself cuts it.
        fs::OpenOptions::new().append(true).open(at("out.csv")).unwrap().write_all(b"rest").unwrap();
        assert_eq!((add(&at("main.ckpt")), length(), kept()), (None, 15, None));
        assert_eq!((add(&at("backup.ckpt")), length()), (Some(OutputFault::OtherRun), 15));
        assert_eq!((add(&at("main.ckpt")), length()), (None, 20));
        // A copy in the place of a run that is gone goes on, and keeps what it cuts.
        fs::rename(at("main.ckpt"), at("away.ckpt")).unwrap();
        fs::rename(at("backup.ckpt"), at("main.ckpt")).unwrap();
        assert_eq!((add(&at("main.ckpt")), length()), (None, 15));
        assert_eq!(kept().unwrap(), b"line\nline\n");
        // The file is that of the copy from now on.
        assert_eq!((add(&at("away.ckpt")), length()), (Some(OutputFault::OtherRun), 15));
    }

    #[test]
    fn two_branches_do_not_share_a_file() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        assert_eq!(add(&at("run.ckpt")), None);
        let file = RealDisk::default().open_growing(&at("out.csv"), Opening::Look).unwrap();
        if file.mark().is_none() {
            eprintln!("SKIPPED: the file system has no extended attributes");
            return;
        }
        for branch in ["one.ckpt", "two.ckpt"] {
            inspect::branch(at("run.ckpt"), &crate::Protection::new(), 1, at(branch)).unwrap();
        }
        let go_on = |branch: &str| -> Result<(), Error> {
            let mut run = Checkpointer::<Appended>::builder(at(branch)).warnings_to_stderr(false).open()?;
            let mut output = run.load()?.unwrap();
            output.continue_in(at("variant.csv"))?;
            output.write_all(b"more\n").unwrap();
            run.save(&output).map(drop)
        };
        let content = || fs::read(at("variant.csv")).unwrap();
        go_on("one.ckpt").unwrap();
        let error = go_on("two.ckpt").unwrap_err();
        assert!(matches!(error, Error::Output { fault: OutputFault::OtherRun, .. }), "{error}");
        assert_eq!(content(), b"line\nmore\n");
        go_on("one.ckpt").unwrap();
        assert_eq!(content(), b"line\nmore\nmore\n");
    }

    #[test]
    fn the_same_number_on_another_volume_is_not_the_run() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        assert_eq!(add(&at("run.ckpt")), None);
        let disk = RealDisk::default();
        let file = disk.open_growing(&at("out.csv"), Opening::Look).unwrap();
        let (Some(mark), Some(_)) = (file.mark(), disk.created(&at("run.ckpt"))) else {
            eprintln!("SKIPPED: the file system has no extended attributes, or no times of creation");
            return;
        };
        let mark = String::from_utf8(mark).unwrap();
        let [number, created, of_file, _] = mark.splitn(4, ' ').collect::<Vec<_>>()[..] else {
            panic!("{mark}")
        };
        assert_eq!(super::of(&disk, &at("run.ckpt"), &*file), super::Marked::Ours);
        // The run of another volume: a directory with the same number, created at another time.
        let other = created.parse::<u128>().unwrap() - 1;
        let path = at("run.ckpt");
        file.set_mark(format!("{number} {other} {of_file} {}", path.display()).as_bytes()).unwrap();
        assert_eq!(super::of(&disk, &path, &*file), super::Marked::Gone(path.clone()));
        // Where the time was not known, the number alone counts.
        file.set_mark(format!("{number} 0 {of_file} {}", path.display()).as_bytes()).unwrap();
        assert_eq!(super::of(&disk, &path, &*file), super::Marked::Ours);
    }

    #[test]
    fn a_copy_of_the_file_is_not_marked() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        fs::create_dir(at("home")).unwrap();
        assert_eq!(add(&at("home/run.ckpt")), None);
        // `cp -a` copies the mark, too.
        let status = std::process::Command::new("cp").arg("-a").arg(at("home")).arg(at("copy")).status();
        assert!(status.unwrap().success());
        assert_eq!(add(&at("copy/run.ckpt")), None);
        assert_eq!(add(&at("home/run.ckpt")), None);
        for project in ["home", "copy"] {
            assert_eq!(fs::read(at(project).join("out.csv")).unwrap(), b"line\nline\n");
        }
    }
}
