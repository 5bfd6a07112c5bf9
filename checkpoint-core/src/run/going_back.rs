//! The reader beside the writer of the same place: what the start of a run looks up for it.

use crate::container::GROUP;
use crate::error::Error;
use crate::outcome::Rewound;
use crate::run::reader::CheckpointReader;
use crate::state::Checkpoint;
use crate::store::{Metrics, Writer};

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

    /// Rewinds to a generation, unless an earlier start did and no other rewind of the program came
    /// since.
    pub(crate) fn rewind_once(&self, writer: &mut Writer, generation: u64) -> Result<Option<Rewound>, Error> {
        if self.home().has_rewound_to(generation) {
            return Ok(None);
        }
        self.check_stays(generation)?;
        writer.rewind(generation, true).map(Some)
    }

    /// Reads the metrics of the generations that earlier runs left, for retention.
    pub(crate) fn note_metrics(&self, writer: &mut Writer) -> Result<(), Error> {
        if !writer.retention().uses_manifests() {
            return Ok(());
        }
        for generation in self.generations()? {
            let metrics = match self.manifest(generation) {
                Ok(manifest) => writer.retention().metrics(&manifest),
                Err(error) if error.is_damage() => continue,
                Err(_) => Metrics::Unread,
            };
            writer.note_metrics(generation, metrics);
        }
        Ok(())
    }
}
