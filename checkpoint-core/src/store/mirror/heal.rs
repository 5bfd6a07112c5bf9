//! Reads all of a mirror, and replaces what is damaged there.

use std::sync::Arc;

use super::Mirror;
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
            let Condition::Damaged(error) = examine_at(&**self.home(), generation, &self.far.protection)?
            else {
                continue;
            };
            self.damaged_far.insert(generation);
            let is_whole_here = self.near.home.has(generation)
                && matches!(
                    examine_at(&*self.near.home, generation, &self.far.protection)?,
                    Condition::Whole(_) | Condition::Sealed
                );
            if !is_whole_here {
                warn(format!("generation {generation} of the mirror cannot be used: {error}"));
                lost.push(generation);
                continue;
            }
            warn(format!(
                "generation {generation} of the mirror cannot be used, and is replaced by that of {}: {error}",
                self.near.home.path().display()
            ));
            match self.send(generation, timing, updated)? {
                Step::Done => updated.healed.push(generation),
                // The near level removed it meanwhile, for example.
                Step::Left => lost.push(generation),
                Step::Ended => {
                    lost.push(generation);
                    break;
                }
            }
        }
        Ok(lost)
    }
}
