//! The reader beside the writer of the same place: what the start of a run looks up for it.

use std::path::Path;

use crate::container::GROUP;
use crate::error::Error;
use crate::outcome::Rewound;
use crate::run::reader::CheckpointReader;
use crate::state::Checkpoint;
use crate::store::{Metrics, Writer, name};

impl<T: Checkpoint> CheckpointReader<T> {
    /// Checks that a generation may be the newest from now on: it is there or aside, whole, of the
    /// right kind, and not older than the program allows.
    pub(crate) fn check_stays(&self, generation: u64) -> Result<(), Error> {
        self.check_age(Some(generation))?;
        let manifest = self.check_whole(generation)?;
        if manifest.name() == GROUP && T::NAME != GROUP {
            let path = self.home().location(generation);
            return Err(Error::OtherKind { path, of_group: true });
        }
        Ok(())
    }

    /// Checks that a rewind to a generation is possible, and lasts.
    pub(crate) fn check_rewind(&self, generation: u64, has_mirror: bool) -> Result<(), Error> {
        refuse_mirrored(self.path(), has_mirror)?;
        self.check_stays(generation)
    }

    /// Rewinds to a generation, unless an earlier start did and no other rewind of the program came
    /// since.
    pub(crate) fn rewind_once(
        &self,
        writer: &mut Writer,
        generation: u64,
        has_mirror: bool,
    ) -> Result<Option<Rewound>, Error> {
        if self.home().has_rewound_to(generation) {
            return Ok(None);
        }
        self.check_rewind(generation, has_mirror)?;
        writer.rewind(generation, true).map(Some)
    }

    /// Reads the metrics of the generations that earlier runs left, for retention.
    pub(crate) fn note_metrics(&self, writer: &mut Writer) -> Result<(), Error> {
        if !writer.retention().uses_manifests() {
            return Ok(());
        }
        for generation in self.generations()? {
            let metrics = match self.manifest_as_listed(generation) {
                Ok(manifest) => writer.retention().metrics(&manifest),
                Err(error) if error.is_damage() => continue,
                Err(_) => Metrics::Unread,
            };
            writer.note_metrics(generation, metrics);
        }
        Ok(())
    }
}

/// Refuses to discard without the mirror what it has: a restart with it would bring that back.
pub(crate) fn refuse_mirrored_after(path: &Path, generation: u64) -> Result<(), Error> {
    let names = std::fs::read_dir(path).into_iter().flatten().flatten();
    if names.filter_map(|entry| name::of_mirror(&entry.file_name())).any(|sent| sent > generation) {
        return Err(Error::InvalidSetting {
            setting: format!("discarding in {} without its mirror", path.display()),
            why: "generations that are to be discarded were sent there, and a restart would bring them back: open it \
                  with the mirror",
        });
    }
    Ok(())
}

/// Refuses to go back in a directory with a mirror: the next start would take the newer generations
/// from there.
pub(crate) fn refuse_mirrored(path: &Path, has_mirror: bool) -> Result<(), Error> {
    let names = std::fs::read_dir(path).into_iter().flatten().flatten();
    if has_mirror || names.map(|entry| entry.file_name()).any(|name| name::is_of_mirror(&name)) {
        return Err(Error::InvalidSetting {
            setting: format!("going back in {}", path.display()),
            why: "its mirror has the newer generations, and the next start would take them from there: make a branch, \
                  with `branch_from` or `ckpt branch`, and go on in that",
        });
    }
    Ok(())
}
