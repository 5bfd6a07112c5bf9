//! Requests to stop, by files in the checkpoint directory. After `halt` the program stays stopped,
//! after `requeue` it is started again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::base::text::is_command;
use crate::base::warnings::warn;
use crate::error::Error;
use crate::store::{self, name};

/// The most bytes of the file that are read.
const READ: u64 = 1024;
/// The most characters of the file in a message.
const MESSAGE: usize = 200;
/// The most attempts to write the file, and the pause before each further one.
const ATTEMPTS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(1);

/// Asks the program that saves to `directory`, or runs the pipeline there, to save and stop, by a
/// file named `halt`; see [`StopReason::Halt`](crate::stop::StopReason::Halt). The program gets the
/// first line of `message`, which may be empty.
///
/// The program sees it within a second of its next step, and removes the file when it ends because
/// of it. A program that is not running stops at its next start. An earlier request is replaced.
/// Creating the file by other means, such as `touch`, does the same.
///
/// ```
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path();
/// checkpointed::stop::request_halt(path, "the machine is needed")?;
/// assert!(path.join("halt").exists());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Fails if the file cannot be written, for example because the directory does not exist.
pub fn request_halt(directory: impl AsRef<Path>, message: &str) -> Result<(), Error> {
    request(RequestKind::Halt, &store::absolute(directory)?, message)
}

/// Asks the program that saves to `directory` to save, stop, and be started again, by a file named
/// `requeue`: for a machine that will go away, such as a spot instance. The program gets the first
/// line of `message`, which may be empty.
///
/// The program sees it within a second of its next step, and ends with the exit code that asks for
/// a new start ([`EXIT_REQUEUE`](crate::stop::EXIT_REQUEUE)). The file is removed when the program
/// ends, and when one starts: that start fulfils the request. A request to halt goes before it.
///
/// ```
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path();
/// checkpointed::stop::request_requeue(path, "the instance is reclaimed")?;
/// assert!(path.join("requeue").exists());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`request_halt`].
pub fn request_requeue(directory: impl AsRef<Path>, message: &str) -> Result<(), Error> {
    request(RequestKind::Requeue, &store::absolute(directory)?, message)
}

/// Removes a request to halt that was met: the next run is to start.
pub(crate) fn withdraw_halt(directory: &Path) {
    Request::new(RequestKind::Halt, directory).consume();
}

fn request(kind: RequestKind, directory: &Path, message: &str) -> Result<(), Error> {
    let path = directory.join(kind.name());
    let mut outcome = write(directory, &path, message);
    for _ in 1..ATTEMPTS {
        match &outcome {
            // A program that starts at this moment removes stale files, and may take this file for
            // one of a killed program.
            Err(error) if error.kind() == io::ErrorKind::NotFound && directory.is_dir() => {
                thread::sleep(PAUSE);
                outcome = write(directory, &path, message);
            }
            _ => break,
        }
    }
    outcome.map_err(|error| Error::writing("write", &path, error))
}

fn write(directory: &Path, path: &Path, message: &str) -> io::Result<()> {
    // The file is renamed into place: the program never reads half of it, and a symbolic link is
    // replaced, not followed.
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = store::temporary_name();
    // The program may run as another user.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(directory)?;
    // A program that starts removes no file that is locked. Without locks, the caller tries again.
    let _ = file.as_file().try_lock();
    let line = first_line(message) + "\n";
    store::check_file_size(line.len() as u64)?;
    file.write_all(line.as_bytes())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The kind of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RequestKind {
    Halt,
    Requeue,
}

impl RequestKind {
    pub(crate) const ALL: [RequestKind; 2] = [RequestKind::Halt, RequestKind::Requeue];

    /// The name of its file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            RequestKind::Halt => name::HALT,
            RequestKind::Requeue => name::REQUEUE,
        }
    }
}

/// The file of a request.
#[derive(Debug)]
pub(super) struct Request {
    kind: RequestKind,
    path: PathBuf,
    warned: bool,
}

impl Request {
    pub(super) fn new(kind: RequestKind, directory: &Path) -> Request {
        Request { kind, path: directory.join(kind.name()), warned: false }
    }

    /// The first line of the file, if it exists.
    pub(super) fn found(&mut self) -> Option<String> {
        match read(&self.path) {
            Ok(message) => Some(message),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound && !self.warned {
                    self.warned = true;
                    let (path, request) = (self.path.display(), self.kind.name());
                    warn(format!("{path} does not count as a request to {request}: {error}"));
                }
                None
            }
        }
    }

    /// Removes the file, if it counts as a request: anything else of that name is not ours.
    pub(super) fn consume(&self) {
        if !fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.is_file()) {
            return;
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = self.path.display();
                warn(format!("{path} cannot be removed, so the next run may stop immediately: {error}"));
            }
            _ => {}
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    // A file that is not regular is not even opened: opening a device or a pipe can have effects.
    must_be_regular(&fs::symlink_metadata(path)?)?;
    let file = open(path)?;
    must_be_regular(&file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(READ).read_to_end(&mut bytes)?;
    Ok(first_line(&String::from_utf8_lossy(&bytes)))
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    // The file may have been replaced since it was checked.
    store::no_follow_no_wait(&mut options);
    options.open(path)
}

fn must_be_regular(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is not a regular file, and symbolic links are not followed",
    ))
}

/// The first line, without characters that a terminal obeys, or that change the direction of text.
fn first_line(text: &str) -> String {
    let line = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default().trim();
    line.chars().filter(|character| !is_command(*character)).take(MESSAGE).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn with(content: &[u8]) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("halt"), content).unwrap();
        Request::new(RequestKind::Halt, directory.path()).found()
    }

    #[test]
    fn any_file_of_that_name_halts_the_program() {
        assert_eq!(with(b""), Some(String::new()));
        assert_eq!(with(b"\n"), Some(String::new()));
        assert_eq!(with(b"maintenance at noon\nby Anna\n"), Some("maintenance at noon".to_owned()));
        assert_eq!(with(&[0xff; 3]), Some("\u{fffd}".repeat(3)));
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Request::new(RequestKind::Halt, directory.path()).found(), None);
    }

    #[test]
    fn its_message_is_cut_and_harmless() {
        assert_eq!(with(b"\x1b[31mred\x07\r\n"), Some("[31mred".to_owned()));
        assert_eq!(with(&b"x".repeat(10_000)).unwrap().len(), MESSAGE);
        assert_eq!(with("a\u{202e}b".as_bytes()), Some("ab".to_owned()));
    }

    #[test]
    fn a_request_is_consumed_and_a_second_replaces_the_first() {
        let directory = tempfile::tempdir().unwrap();
        request_halt(directory.path(), "one").unwrap();
        request_halt(directory.path(), "two\nlines").unwrap();
        let mut halt = Request::new(RequestKind::Halt, directory.path());
        assert_eq!(halt.found(), Some("two".to_owned()));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        halt.consume();
        assert_eq!(halt.found(), None);
        halt.consume();
    }

    #[test]
    fn a_request_for_no_directory_is_an_error_that_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let error = request_halt(directory.path().join("absent"), "").unwrap_err();
        assert!(error.to_string().contains("absent/halt"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn only_a_regular_file_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("requeue");
        std::os::unix::fs::symlink("target", &path).unwrap();
        Request::new(RequestKind::Requeue, directory.path()).consume();
        assert!(path.symlink_metadata().is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn an_irregular_halt_file_neither_halts_nor_blocks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("halt");
        let victim = directory.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        let mut halt = Request::new(RequestKind::Halt, directory.path());
        assert_eq!(halt.found(), None);
        // A request replaces the link, and does not follow it.
        request_halt(directory.path(), "stop").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert_eq!(halt.found(), Some("stop".to_owned()));
        halt.consume();

        fs::create_dir(&path).unwrap();
        assert_eq!(halt.found(), None);
        fs::remove_dir(&path).unwrap();
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(halt.found(), None);
    }
}
