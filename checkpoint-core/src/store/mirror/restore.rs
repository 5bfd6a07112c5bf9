//! Copies a generation of a mirror back to the directory.

use std::io;
use std::sync::Arc;

use super::pace::{Pace, Timing};
use super::records::Records;
use super::transfer::{Condition, Conduct, Copied, Ready, Verify, copy, examine_at};
use crate::base::warnings::warn;
use crate::error::{Error, Skipped};
use crate::store::home::Home;
use crate::store::writer::Writer;

/// Copies the newest usable generation of the mirror that is newer than `better_than` into the
/// directory of the writer. A damaged one of its number is moved out of the way; a whole one stays.
/// Records it, with the older ones there: retention may remove it before the mirror gets a newer
/// one, and the mirror may lose it. Returns its number, and the errors of those that could not be
/// used.
///
/// # Errors
/// Of one that the mirror does not give just now, too: it may be whole, and is newer than the next.
pub(crate) fn restore(
    far: &dyn Home,
    (writer, records): (&mut Writer, &Records),
    better_than: Option<u64>,
    timing: &Arc<dyn Timing>,
) -> Result<(Option<u64>, Vec<Skipped>), Error> {
    let protection = writer.protection().clone();
    let near = Arc::clone(writer.home());
    let mut skipped = Vec::new();
    let there = far.generations()?;
    let all = there.iter().copied().collect();
    for generation in there.into_iter().rev().take_while(|there| better_than.is_none_or(|than| *there > than))
    {
        // Nothing of the mirror is better than a whole one.
        if near.has(generation) && is_whole(examine_at(&*near, generation, &protection))? {
            return Ok((None, skipped));
        }
        let mut skip = |error: Error| {
            warn(format!(
                "generation {generation} of the mirror {} cannot be used: {error}",
                far.path().display()
            ));
            skipped.push(Skipped { generation, error });
        };
        let conduct = Conduct { pace: &mut Pace::new(None), timing };
        match copy(far, generation, &protection, (Verify::Copy, || writer.begin(generation)), conduct)? {
            Copied::Ready(Ready { sealed, manifest, likeness }) => {
                writer.restore(sealed, generation, manifest.as_deref())?;
                records.note_with_older(generation, &likeness, far, &all)?;
                return Ok((Some(generation), skipped));
            }
            Copied::Ended => {}
            Copied::Unread(error) => return Err(error),
            Copied::Gone => {
                // This program has the mirror, and did not remove it.
                let why = io::Error::new(io::ErrorKind::NotFound, "it was listed a moment ago, and is gone");
                skip(Error::io("open", &far.location(generation), why));
            }
            Copied::Damaged(error) => skip(error),
        }
    }
    Ok((None, skipped))
}

/// False for a generation of the directory that is damaged, or that its disk does not give: the
/// mirror has another copy of it.
fn is_whole(condition: Result<Condition, Error>) -> Result<bool, Error> {
    match condition {
        Ok(Condition::Damaged(_)) => Ok(false),
        Err(error) if error.is_unread() => Ok(false),
        condition => condition.map(|_| true),
    }
}
