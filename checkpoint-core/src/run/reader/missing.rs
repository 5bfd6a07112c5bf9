//! Generations that are not there, or that the system does not give, although they were saved.

use super::{CheckpointReader, Reader};
use crate::base::warnings::warn;
use crate::history::History;
use crate::state::Checkpoint;
use crate::store::Home;

impl<T: Checkpoint> CheckpointReader<T> {
    /// Returns the newest generation that the history of the directory records, or that this
    /// program saved there, where a load, or the opening of a
    /// [`Checkpointer`](crate::Checkpointer), found only older ones, or none at all.
    ///
    /// It was lost: the directory was copied by a program that does not know of running saves (use
    /// [`inspect::copy`](crate::inspect::copy)), or files were removed. The log has a warning of
    /// it.
    #[must_use]
    pub fn missing_generation(&self) -> Option<u64> {
        self.reader.missing
    }
}

impl Reader {
    /// The newest generation that is missing.
    pub(crate) fn missing_generation(&self) -> Option<u64> {
        self.missing
    }

    /// Tells the newest generation that this program saved there, which an older copy of the
    /// directory, put in its place, does not know.
    pub(crate) fn has_saved(&mut self, generation: Option<u64>) {
        self.saved = generation;
    }

    /// Warns, once, if the history records a save after the newest existing generation, or this
    /// program made one.
    pub(crate) fn look_for_missing(&mut self, newest: Option<u64>) {
        let known = self.missing.take();
        // The history is long, and tells nothing new while generations come and none is missing.
        let is_settled =
            known.is_none() && self.seen.is_some_and(|seen| newest >= Some(seen)) && newest >= self.saved;
        self.seen = newest.or(self.seen);
        if is_settled {
            return;
        }
        let recorded = History::last_saved(&*self.home);
        let Some(generation) = recorded.max(self.saved).filter(|last| Some(*last) > newest) else { return };
        // A rewind set it aside.
        if self.home.set_aside().is_ok_and(|aside| aside.contains(&generation)) {
            return;
        }
        // A program may have saved it after the directory was listed.
        if self.home.generations().is_ok_and(|there| there.last() >= Some(&generation)) {
            return;
        }
        self.missing = Some(generation);
        if known.is_some() {
            return;
        }
        let (what, then) = match newest {
            Some(newest) => {
                (format!("no checkpoint newer than generation {newest}"), "goes on from an older one")
            }
            None => ("no checkpoints".to_owned(), "starts afresh"),
        };
        let why = if recorded == Some(generation) {
            format!(
                "its history says that there were some, up to generation {generation}: if it is a copy, make it again \
                 with `ckpt copy`"
            )
        } else {
            format!(
                "this program saved some, up to generation {generation}: an older copy may be in its place"
            )
        };
        warn(format!("{} has {what}, and {why}; the program {then}", self.path().display()));
    }
}

/// Pins generations that the system could not read: they may be whole, and the next saves would
/// remove them. Returns those that could not be pinned.
pub(crate) fn pin_unread(home: &dyn Home, generations: &[u64]) -> Vec<u64> {
    let mut unpinned = Vec::new();
    for generation in generations {
        let path = home.location(*generation);
        let path = path.display();
        match home.pin(*generation) {
            Ok(()) => warn(format!(
                "{path} could not be read and may be whole: it is pinned, so that no save removes it; see `ckpt \
                 verify`, and remove the pin with `ckpt unpin` if it is lost"
            )),
            Err(error) => {
                warn(format!(
                    "{path} could not be read and may be whole, and it could not be pinned: this run does not remove \
                     it, the next one may; see `ckpt verify`, and pin it with `ckpt pin`: {error}"
                ));
                unpinned.push(*generation);
            }
        }
    }
    unpinned
}
