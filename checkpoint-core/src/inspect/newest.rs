//! Opens the newest checkpoint of a place that can be used, as a restart would take it.

use std::path::Path;
use std::sync::Arc;

use super::copying::MOST_LISTINGS;
use super::subject::Subject;
use crate::base::warnings::warn;
use crate::error::{Error, Skipped, once_more};
use crate::seal::Protection;
use crate::store::{Home, absolute};
use crate::tree::File;

/// Opens the newest checkpoint of a directory or, with `older`, the one that is so many generations
/// before it. `None` where there is none.
///
/// A damaged one is passed over, with a warning, as by a load. One that the device does not give is
/// read once more, and is an error then. The data of the parts are not verified.
///
/// ```
/// use checkpointed::{Checkpointer, Protection, inspect};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let mut checkpoints = Checkpointer::<u64>::open(&path)?;
/// checkpoints.save(&1)?;
/// checkpoints.save(&2)?;
///
/// let newest = inspect::newest(&path, &Protection::new(), 0)?;
/// assert_eq!(newest.map(|file| file.manifest().generation()), Some(2));
/// let before = inspect::newest(&path, &Protection::new(), 1)?;
/// assert_eq!(before.map(|file| file.manifest().generation()), Some(1));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The error of a checkpoint that may be whole, and cannot be read now: an older one is not given
/// in its place. [`Error::NoneUsable`] where all are damaged. An error if the directory cannot be
/// listed.
pub fn newest(path: impl AsRef<Path>, protection: &Protection, older: usize) -> Result<Option<File>, Error> {
    newest_of(&Subject::of_directory(&absolute(path)?, protection), older)
}

/// Like [`newest`], of another place than a directory, such as an `ObjectHome` of the package
/// `checkpointed-object-store`.
///
/// # Errors
/// As [`newest`].
pub fn newest_in(home: &Arc<dyn Home>, protection: &Protection, older: usize) -> Result<Option<File>, Error> {
    newest_of(&Subject::of_home(home, protection), older)
}

fn newest_of(subject: &Subject<'_>, older: usize) -> Result<Option<File>, Error> {
    let mut generations = subject.home.generations()?;
    let mut listings = 1;
    let (mut usable, mut tried) = (0, Vec::new());
    while let Some(generation) = generations.pop() {
        match once_more(|| subject.open(generation)) {
            Ok(file) if usable == older => return Ok(Some(file)),
            Ok(_) => usable += 1,
            Err(error) if listings < MOST_LISTINGS && subject.was_removed(generation, &error)? => {
                // Retention removed it, so there is a newer one.
                listings += 1;
                generations = subject.home.generations()?;
                (usable, tried) = (0, Vec::new());
            }
            // One that the device does not give may be whole.
            Err(error) if error.is_lasting_damage() => {
                warn(format!("generation {generation} cannot be used, and is passed over: {error}"));
                tried.push(Skipped { generation, error });
            }
            Err(error) => {
                if let Some(before) = generations.last().filter(|_| error.is_unread()) {
                    warn(format!(
                        "the device does not give generation {generation}, which may be whole, so no older one is given \
                         in its place: ask for generation {before} by its number to have that"
                    ));
                }
                return Err(error);
            }
        }
    }
    if usable == 0 && !tried.is_empty() {
        return Err(Error::NoneUsable { path: subject.home.path().to_owned(), tried });
    }
    Ok(None)
}
