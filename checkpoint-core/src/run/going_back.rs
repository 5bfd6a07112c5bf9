//! The reader beside the writer of the same place: what the start of a run looks up for it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::text;
use crate::base::warnings::warn;
use crate::container::Container;
use crate::error::Error;
use crate::outcome::Rewound;
use crate::outputs::{self, Lengths, OfRun};
use crate::run::reader::{self, Reader};
use crate::store::{Metrics, Writer, name};

impl Reader {
    /// Checks that a generation may be the newest from now on: it is there or aside, whole, of a
    /// type that the program loads, and not older than the program allows.
    fn check_whole(&self, generation: u64) -> Result<(PathBuf, Container), Error> {
        self.check_age(Some(generation))?;
        let (path, container) = self.whole(generation)?;
        let manifest = container.manifest();
        if manifest.is_of_group() && !reader::is_of_kind(manifest, &self.program()) {
            return Err(Error::OtherKind { path, of_group: true });
        }
        reader::check_state(&path, &self.program(), manifest)?;
        Ok((path, container))
    }

    /// Checks that a rewind to a generation is possible, and lasts: also that the files which its
    /// state counts on have what it counts. Returns the counts; `None` where the state has no such
    /// files, as far as is known.
    pub(crate) fn check_rewind(
        &self,
        generation: u64,
        has_mirror: bool,
        of_run: &Arc<OfRun>,
    ) -> Result<Option<Lengths>, Error> {
        refuse_mirrored(self.path(), has_mirror)?;
        self.check_outputs(generation, of_run)
    }

    /// Checks that a generation is whole, and that the files have what its outputs count on.
    /// Returns the counts, if it has any.
    pub(crate) fn check_outputs(
        &self,
        generation: u64,
        of_run: &Arc<OfRun>,
    ) -> Result<Option<Lengths>, Error> {
        let (path, container) = self.check_whole(generation)?;
        let has_outputs = container.manifest().schema.types.iter().any(|ty| ty.name == outputs::NAME);
        if !has_outputs && !of_run.has_any() {
            return Ok(None);
        }
        self.lengths_in(&path, &container, of_run).map(Some)
    }

    /// Rewinds to a generation, unless an earlier start did and no other rewind of the program came
    /// since.
    pub(crate) fn rewind_once(
        &self,
        writer: &mut Writer,
        generation: u64,
        has_mirror: bool,
        of_run: &Arc<OfRun>,
    ) -> Result<Option<Rewound>, Error> {
        if self.home().has_rewound_to(generation) {
            return Ok(None);
        }
        let lengths = self.check_rewind(generation, has_mirror, of_run)?;
        let rewound = writer.rewind(generation, true)?;
        of_run.went_back(generation, lengths);
        if let Some(newest) = rewound.set_aside.last() {
            let numbers: Vec<String> = rewound.set_aside.iter().map(ToString::to_string).collect();
            warn(format!(
                "{} goes back to generation {generation}, as the program asks: those after it are set aside, and \
                 `ckpt rewind` to {newest} brings them back: {}",
                self.path().display(),
                text::listed(&numbers.iter().map(String::as_str).collect::<Vec<_>>())
            ));
        }
        Ok(Some(rewound))
    }

    /// Reads the metrics of the generations that earlier runs left, for retention.
    pub(crate) fn note_metrics(&self, writer: &mut Writer) -> Result<(), Error> {
        if !writer.retention().uses_manifests() {
            return Ok(());
        }
        for generation in self.generations()? {
            let metrics = match self.manifest_as_listed(generation) {
                Ok(manifest) => writer.retention().metrics(&manifest),
                Err(error) if error.is_lasting_damage() => continue,
                Err(_) => Metrics::Unread,
            };
            writer.note_metrics(generation, metrics);
        }
        Ok(())
    }
}

/// Refuses to discard what a mirror has that is not this one: a restart with it would bring that
/// back.
pub(crate) fn refuse_mirrored_after(
    path: &Path,
    generation: u64,
    mirror: Option<&Path>,
) -> Result<(), Error> {
    let here = mirror.map(name::mirror_key);
    let is_of_another = |name: &OsString| {
        let is_of = |key: &String| name::mirrored(name, key).is_some();
        name::of_mirror(name).is_some_and(|sent| sent > generation) && !here.as_ref().is_some_and(is_of)
    };
    let Some(record) = names(path)?.into_iter().find(is_of_another) else { return Ok(()) };
    Err(match mirror {
        None => Error::InvalidSetting {
            setting: format!("discarding in {} without its mirror", path.display()),
            why: "generations that are to be discarded were sent there, and a restart would bring them back: open it \
                  with the mirror; or, if that is no mirror of this directory any more, remove the files here with \
                  `.sent-` and `.mirrored-` in their names, and never open it with that again",
        },
        Some(_) => Error::InvalidSetting {
            setting: format!(
                "discarding in {}, whose {} is of another mirror",
                path.display(),
                record.display()
            ),
            why: "generations that are to be discarded were sent there, and a restart with it would bring them back: \
                  if that is no mirror of this directory any more, remove the files of such names, `.sent-` and \
                  `.mirrored-` with the same 16 digits, and never open it with that again",
        },
    })
}

/// Refuses to go back in a directory with a mirror: the next start would take the newer generations
/// from there.
pub(crate) fn refuse_mirrored(path: &Path, has_mirror: bool) -> Result<(), Error> {
    let why = if has_mirror {
        "its mirror has the newer generations, and the next start would take them from there: make a branch, with \
         `branch_from` or `ckpt branch`, and go on in that"
    } else if names(path)?.iter().any(|name| name::is_of_mirror(name)) {
        "a mirror has the newer generations, and a start with it would take them from there: make a branch, with \
         `branch_from` or `ckpt branch`, and go on in that; or, if that is no mirror of this directory any more, as \
         where `ckpt mirror` made one copy by hand, remove the files here with `.sent-` and `.mirrored-` in their \
         names, and never open it with that again"
    } else {
        return Ok(());
    };
    Err(Error::InvalidSetting { setting: format!("going back in {}", path.display()), why })
}

/// The names in a directory; none in another place, which has no mirror.
fn names(path: &Path) -> Result<Vec<OsString>, Error> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        entries => {
            entries.and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect())
        }
    };
    entries.map_err(|source| Error::io("list", path, source))
}
