//! Reads all of a mirror, and replaces what is damaged there.

use std::sync::Arc;

use super::Mirror;
use super::compare::likeness;
use super::pace::Timing;
use super::transfer::{Condition, examine_at};
use super::update::{Step, Updated};
use crate::base::warnings::warn;
use crate::error::Error;

impl Mirror {
    /// Reads all generations of the mirror. Replaces a damaged one by that of the near level, if
    /// that is whole. Returns those that are damaged and were not replaced.
    pub(crate) fn heal(
        &mut self,
        timing: &Arc<dyn Timing>,
        updated: &mut Updated,
    ) -> Result<Vec<u64>, Error> {
        let mut lost = Vec::new();
        let there = self.home().generations()?;
        self.there = there.iter().copied().collect();
        for generation in there {
            if timing.is_to_end() {
                updated.is_unfinished = true;
                break;
            }
            // The device may give later what it does not give now.
            let (error, is_unread) = match examine_at(&**self.home(), generation, &self.far.protection) {
                Ok(Condition::Damaged(error)) => (error, false),
                Err(error) if error.is_unread() => (error, true),
                examined => {
                    examined?;
                    continue;
                }
            };
            if !self.can_replace(generation, is_unread)? {
                self.damaged_far.extend((!is_unread).then_some(generation));
                warn(format!("generation {generation} of the mirror cannot be used: {error}"));
                lost.push(generation);
                continue;
            }
            warn(format!(
                "generation {generation} of the mirror cannot be used, and is replaced by that of {}: {error}",
                self.near.home.path().display()
            ));
            // It does not count meanwhile, so that it is moved out of the way.
            self.damaged_far.insert(generation);
            let step = self.send(generation, timing, updated);
            if is_unread {
                self.damaged_far.remove(&generation);
            }
            match step? {
                Step::Done => updated.healed.push(generation),
                // The near level removed it meanwhile, for example.
                Step::Left | Step::Unread(_) => lost.push(generation),
                Step::Ended => {
                    lost.push(generation);
                    break;
                }
            }
        }
        Ok(lost)
    }

    /// True if the near level has a generation whole. One that the mirror does not give must be the
    /// same file, too: it may be whole.
    fn can_replace(&self, generation: u64, is_unread: bool) -> Result<bool, Error> {
        if !self.near.home.has(generation) {
            return Ok(false);
        }
        let is_whole = match examine_at(&*self.near.home, generation, &self.far.protection) {
            Err(error) if error.is_unread() => false,
            examined => matches!(examined?, Condition::Whole(_) | Condition::Sealed),
        };
        if !is_whole || !is_unread {
            return Ok(is_whole);
        }
        let [here, there] = [&self.near.home, self.home()].map(|level| likeness(&**level, generation));
        Ok(matches!((here, there), (Ok(Some(here)), Ok(Some(there))) if here == there))
    }
}
