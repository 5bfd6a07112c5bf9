//! The halves of a save, of a load and of a turn, which a group joins.

use std::time::{Duration, Instant};

use crate::codec::encoder;
use crate::container::Metadata;
use crate::error::Error;
use crate::outcome::{LoadReport, SaveReason, Saved};
use crate::run::checkpointer::background::Waits;
use crate::run::checkpointer::{Checkpointer, Written};
use crate::run::lifecycle::SaveOutcome;
use crate::run::reader::Reader;
use crate::run::saver::Saver;
use crate::run::standing::{self, Question};
use crate::state::Checkpoint;

/// The cost of a save of a whole group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) begun: Instant,
    /// The longest time that a member waited; by default, the whole time of the save.
    pub(crate) stall: Option<Duration>,
    /// The length of all parts in bytes, besides the table.
    pub(crate) bytes: u64,
    /// The number of bytes that were written to them.
    pub(crate) written: u64,
}

impl<T: Checkpoint> Checkpointer<T> {
    /// The reader and the saver.
    pub(crate) fn halves(&mut self) -> (&mut Reader, &mut Saver) {
        (&mut self.inner.reader, &mut self.inner.saver)
    }

    /// The reader.
    pub(crate) fn reader(&self) -> &Reader {
        &self.inner.reader
    }

    /// Writes the part of a member, and tells nothing to the run.
    ///
    /// # Errors
    /// The reason that no save was started.
    pub(crate) fn write_part(
        &mut self,
        reason: &SaveReason,
        state: &T,
        metadata: Metadata,
    ) -> Result<Written, Error> {
        self.inner.written_now(Instant::now(), reason, &mut encoder(state), metadata)
    }

    /// Copies the part of a member, to write it in the background once it is
    /// [released](Saver::release). A panic of the state's own code goes on from here.
    ///
    /// # Errors
    /// The reason that the save was not started.
    pub(crate) fn begin_part(
        &mut self,
        reason: &SaveReason,
        state: &T,
        metadata: Metadata,
    ) -> Result<Duration, Error> {
        let begun = self.inner.begin_save(reason, Waits::ForAllMembers, &mut encoder(state), metadata);
        begun.map(|started| started.stall).map_err(|not_begun| not_begun.error)
    }

    /// Saves the table of a group: its run has the cost of the whole save.
    ///
    /// # Errors
    /// The reason that no save was started.
    pub(crate) fn save_table(
        &mut self,
        cost: Cost,
        reason: &SaveReason,
        table: &T,
        metadata: Metadata,
    ) -> Result<(Result<Saved, Error>, SaveOutcome), Error> {
        self.inner.warn_of_unloaded();
        let (generation, saved, _) =
            self.inner.written_now(cost.begun, reason, &mut encoder(table), metadata)?;
        let saved = saved.map(|saved| Saved {
            bytes: saved.bytes.saturating_add(cost.bytes),
            written: saved.written.saturating_add(cost.written),
            stall: cost.stall.unwrap_or(saved.stall),
            ..saved
        });
        let outcome = self.inner.saver.run.saved(cost.begun, generation, reason, saved.as_ref());
        Ok((saved, outcome))
    }

    /// Records a load of the group in the history.
    pub(crate) fn restarted(&mut self, report: &LoadReport) {
        self.inner.unloaded = None;
        self.inner.saver.run.restarted(report);
    }

    /// True if the newest generation is this one, has this state and metadata, and is durable.
    pub(crate) fn stands_as(&mut self, generation: u64, state: &T, metadata: &Metadata) -> bool {
        let Some(writer) = self.inner.saver.settled_writer() else { return false };
        let (protection, saved) = (writer.protection(), writer.saved());
        let (key, is_encrypted) = (protection.tag_key(), protection.encrypts());
        let is_ours = saved == Some(generation);
        let question = Question { metadata, key: key.as_ref(), is_encrypted, is_ours };
        let lasts = |newest| newest == generation && writer.keep_for_good(newest);
        let of_run = (&self.inner.reader, &self.inner.outputs);
        standing::generation(of_run, &mut encoder(state), &question, lasts).is_some()
    }
}
