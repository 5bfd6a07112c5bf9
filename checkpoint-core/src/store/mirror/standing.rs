//! Which of two levels has more of a run, or whether they have two runs.
//!
//! The newest generation of a level is known to the other one if that has the same file, or has a
//! record of it. If the newest of the mirror is known, the mirror is at most as far; if that of the
//! near level is, the near level is at most as far. If neither is, each has what the other never
//! had: two programs went on from one checkpoint, or they are two runs. No rule can choose then.
//!
//! A mirror may lose its newest ones. It is still at most as far if the near level has one that
//! arrived there, and that is newer than all that the mirror has left. When that one arrived, the
//! mirror had nothing of another run, and a program that went on from it used higher numbers. So
//! what is given up then can only be of a program that used lower numbers since: on an older copy
//! of the mirror that was put back, or after it had discarded the newer ones. Where that shows, by
//! another file for the number of the newest that is left, the levels are apart.

use crate::error::Error;

/// The relation of two levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The mirror has nothing that the near level lacks.
    Behind,
    /// The mirror went on, from this generation of the near level or from none.
    Ahead { near: Option<u64> },
    /// Each has what the other never had: the newest of the near level, and of the mirror.
    Apart { near: u64, far: u64 },
}

/// The levels, as far as it takes to compare them.
pub(super) trait Levels {
    type Likeness: PartialEq;

    /// The file of a generation of the near level; `None` where there is none to compare.
    ///
    /// # Errors
    /// Of this and of the others: the file is not given just now, and may be whole.
    fn near(&self, generation: u64) -> Result<Option<Self::Likeness>, Error>;

    /// The file of a generation of the mirror.
    fn far(&self, generation: u64) -> Result<Option<Self::Likeness>, Error>;

    /// True if the generation was sent to the mirror with this file; with `has_arrived`, if the
    /// mirror acknowledged it.
    fn is_recorded(&self, generation: u64, file: &Self::Likeness, has_arrived: bool) -> bool;

    /// True if a generation of that number was sent to the mirror, whatever its file.
    fn was_sent(&self, generation: u64) -> bool;

    /// True if the file of the near level is damaged. Reads all of it.
    fn is_damaged_near(&mut self, generation: u64) -> Result<bool, Error>;

    /// True if the file of the mirror is damaged. Reads all of it.
    fn is_damaged_far(&mut self, generation: u64) -> Result<bool, Error>;
}

/// Compares the generations of two levels, each oldest first.
pub(super) fn standing<L: Levels>(levels: &mut L, near: &[u64], far: &[u64]) -> Result<Standing, Error> {
    let (mut near, mut far) = (near.to_vec(), far.to_vec());
    loop {
        let (newest_near, newest_far) = match (near.last().copied(), far.last().copied()) {
            (_, None) => return Ok(Standing::Behind),
            (None, Some(_)) => return Ok(Standing::Ahead { near: None }),
            (Some(near), Some(far)) => (near, far),
        };
        let there = levels.far(newest_far)?;
        let at_far = levels.near(newest_far)?;
        let is_recorded = there.as_ref().is_some_and(|file| levels.is_recorded(newest_far, file, false));
        if there.is_some() && at_far == there {
            return Ok(Standing::Behind);
        }
        if is_recorded && newest_near < newest_far {
            // It was sent, and the near level lost it: it was damaged, and is not replaced yet.
            match levels.near(newest_near)? {
                // It may have used a number again for what is in no other place.
                Some(file) if has_another(levels, newest_near, &file)? => {}
                _ => return Ok(Standing::Ahead { near: Some(newest_near) }),
            }
            if levels.is_damaged_near(newest_near)? {
                near.pop();
                continue;
            }
            return Ok(Standing::Apart { near: newest_near, far: newest_far });
        }
        // A number that both have for two whole files is of two runs, whatever was sent before.
        if is_recorded && (at_far.is_none() || levels.is_damaged_near(newest_far)?) {
            return Ok(Standing::Behind);
        }
        if newest_near < newest_far && is_known(levels, newest_near)? {
            return Ok(Standing::Ahead { near: Some(newest_near) });
        }
        if has_arrived_after(levels, &near, newest_far)? {
            // The newest that the mirror has left is not recorded with its file: then no other may
            // be.
            let is_other =
                levels.was_sent(newest_far) || at_far.is_some() && !levels.is_damaged_near(newest_far)?;
            if !is_other {
                return Ok(Standing::Behind);
            }
        }
        if levels.is_damaged_far(newest_far)? || there.is_none() {
            if levels.was_sent(newest_far) && newest_near > newest_far {
                // It was the newest that this level sent: what is older is of this run too.
                return Ok(Standing::Behind);
            }
            far.pop();
        } else if levels.near(newest_near)?.is_none() || levels.is_damaged_near(newest_near)? {
            if newest_near == newest_far {
                return Ok(Standing::Behind);
            }
            near.pop();
        } else {
            return Ok(Standing::Apart { near: newest_near, far: newest_far });
        }
    }
}

/// True if the mirror has, or acknowledged, the file of a generation of the near level.
fn is_known<L: Levels>(levels: &L, generation: u64) -> Result<bool, Error> {
    let Some(near) = levels.near(generation)? else { return Ok(false) };
    Ok(levels.far(generation)?.as_ref() == Some(&near) || levels.is_recorded(generation, &near, true))
}

/// True if the mirror has, or was sent, another file for a generation of the near level, and never
/// that of the near level. A damaged one of the mirror shows nothing.
fn has_another<L: Levels>(levels: &mut L, generation: u64, near: &L::Likeness) -> Result<bool, Error> {
    let far = levels.far(generation)?;
    if far.as_ref() == Some(near) || levels.is_recorded(generation, near, false) {
        return Ok(false);
    }
    Ok(levels.was_sent(generation) || far.is_some() && !levels.is_damaged_far(generation)?)
}

/// True if the near level has a generation after this one that the mirror acknowledged.
fn has_arrived_after<L: Levels>(levels: &L, near: &[u64], generation: u64) -> Result<bool, Error> {
    for newer in near.iter().copied().rev().take_while(|newer| *newer > generation) {
        // Only files that are recorded are opened: there may be thousands.
        if levels.was_sent(newer)
            && levels.near(newer)?.is_some_and(|file| levels.is_recorded(newer, &file, true))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// A generation, and its file.
    type Of<L> = (u64, L);

    /// Files are letters; a damaged one is `!`.
    #[derive(Default)]
    struct Two {
        near: Vec<Of<char>>,
        far: Vec<Of<char>>,
        sent: Vec<(u64, char, bool)>,
    }

    fn find(level: &[Of<char>], generation: u64) -> Option<char> {
        level.iter().find(|(number, _)| *number == generation).map(|(_, file)| *file)
    }

    impl Levels for Two {
        type Likeness = char;

        fn near(&self, generation: u64) -> Result<Option<char>, Error> {
            Ok(find(&self.near, generation))
        }

        fn far(&self, generation: u64) -> Result<Option<char>, Error> {
            Ok(find(&self.far, generation))
        }

        fn is_recorded(&self, generation: u64, file: &char, has_arrived: bool) -> bool {
            self.sent.iter().any(|(number, letter, arrived)| {
                (number, letter) == (&generation, file) && (*arrived || !has_arrived)
            })
        }

        fn was_sent(&self, generation: u64) -> bool {
            self.sent.iter().any(|(number, ..)| *number == generation)
        }

        fn is_damaged_near(&mut self, generation: u64) -> Result<bool, Error> {
            Ok(find(&self.near, generation) == Some('!'))
        }

        fn is_damaged_far(&mut self, generation: u64) -> Result<bool, Error> {
            Ok(find(&self.far, generation) == Some('!'))
        }
    }

    fn compared(near: &[Of<char>], far: &[Of<char>], sent: &[(u64, char, bool)]) -> Standing {
        let mut two = Two { near: near.to_vec(), far: far.to_vec(), sent: sent.to_vec() };
        let numbers = |level: &[Of<char>]| level.iter().map(|(number, _)| *number).collect::<Vec<_>>();
        standing(&mut two, &numbers(near), &numbers(far)).unwrap()
    }

    #[test]
    fn the_level_with_more_of_the_run_is_found() {
        let (behind, apart) = (Standing::Behind, |near, far| Standing::Apart { near, far });
        let ahead = |near| Standing::Ahead { near };
        for (near, far, sent, expected) in [
            (&[][..], &[][..], &[][..], behind.clone()),
            (&[(1, 'a')], &[], &[], behind.clone()),
            (&[], &[(1, 'a')], &[], ahead(None)),
            // The usual case: the mirror has one of the last.
            (&[(4, 'd'), (5, 'e')], &[(3, 'c'), (4, 'd')], &[], behind.clone()),
            (&[(4, 'd'), (5, 'e')], &[(4, 'd'), (5, 'e')], &[], behind.clone()),
            // The mirror was away for long, and a record tells what it had.
            (&[(9, 'i')], &[(3, 'c')], &[(3, 'c', true)], behind.clone()),
            // The program was killed before it learned that the generation had arrived.
            (&[(9, 'i')], &[(3, 'c')], &[(3, 'c', false)], behind.clone()),
            // Another machine went on from the mirror.
            (&[(4, 'd')], &[(4, 'd'), (7, 'g')], &[], ahead(Some(4))),
            (&[(4, 'd')], &[(7, 'g')], &[(4, 'd', true)], ahead(Some(4))),
            // It did so before the last one arrived.
            (&[(4, 'd')], &[(7, 'g')], &[(4, 'd', false)], apart(4, 7)),
            (&[(4, 'd'), (5, 'e')], &[(4, 'd'), (5, 'E')], &[], apart(5, 5)),
            (&[(4, 'd'), (5, 'e')], &[(4, 'd'), (7, 'g')], &[(4, 'd', true)], apart(5, 7)),
            // Two runs.
            (&[(4, 'd')], &[(1, 'A')], &[], apart(4, 1)),
            (&[(4, 'd')], &[(9, 'A')], &[], apart(4, 9)),
            // The near level lost what it had sent, and does not take an older one for the newest.
            (&[(2, 'b')], &[(2, 'b'), (3, 'c')], &[(3, 'c', true)], ahead(Some(2))),
            (&[(2, 'b')], &[(3, 'c')], &[(3, 'c', false)], ahead(Some(2))),
            // It has another file of a number that it had sent.
            (&[(2, 'b'), (3, 'C')], &[(2, 'b'), (3, 'c')], &[(3, 'c', true)], apart(3, 3)),
            (&[(2, 'b'), (3, '!')], &[(2, 'b'), (3, 'c')], &[(3, 'c', true)], behind.clone()),
            // A number was used again while the mirror was away.
            (
                &[(8, 'h'), (9, 'J')],
                &[(8, 'h'), (9, 'i'), (10, 'k')],
                &[(9, 'i', true), (10, 'k', true)],
                apart(9, 10),
            ),
            (&[(8, 'h'), (9, 'J')], &[(10, 'k')], &[(9, 'i', true), (10, 'k', true)], apart(9, 10)),
            (&[(8, 'h'), (9, 'J')], &[(9, 'i'), (10, 'k')], &[(10, 'k', true)], apart(9, 10)),
            // It was not: one of the two files is damaged.
            (&[(8, 'h'), (9, '!')], &[(8, 'h'), (9, 'i'), (10, 'k')], &[(10, 'k', true)], ahead(Some(8))),
            (&[(8, 'h'), (9, 'i')], &[(9, '!'), (10, 'k')], &[(10, 'k', true)], ahead(Some(9))),
            (&[(8, 'h'), (9, 'i')], &[(10, 'k')], &[(9, 'i', false), (10, 'k', true)], ahead(Some(9))),
            // Damage is no other run.
            (&[(4, 'd'), (5, 'e')], &[(4, 'd'), (5, '!')], &[], behind.clone()),
            (&[(4, 'd'), (5, '!')], &[(4, 'd'), (5, 'e')], &[], behind.clone()),
            (&[(4, 'd'), (5, '!')], &[(4, 'd'), (7, 'g')], &[], ahead(Some(4))),
            (&[(4, 'd')], &[(9, '!')], &[], behind.clone()),
            // The mirror alone has an old one, which was pinned: it was restored from the newest.
            (&[(7, 'g')], &[(1, 'a'), (5, '!')], &[(5, 'e', true)], behind.clone()),
            (&[(7, 'g')], &[(1, 'a'), (5, '!')], &[(4, 'd', true)], apart(7, 1)),
            (&[(4, '!')], &[(9, 'i')], &[], ahead(None)),
            // The mirror lost its newest one.
            (&[(7, 'g'), (8, 'h')], &[(5, 'e')], &[(8, 'h', true)], behind.clone()),
            // It did so before a newer one arrived.
            (&[(8, 'h'), (9, 'i')], &[(5, 'e')], &[(8, 'h', true)], behind.clone()),
            (&[(8, 'h'), (9, '!')], &[(5, 'e')], &[(8, 'h', true)], behind.clone()),
            (&[(8, 'h'), (9, 'i')], &[(5, 'e')], &[(8, 'h', false)], apart(9, 5)),
            (&[(8, 'H'), (9, 'i')], &[(5, 'e')], &[(8, 'h', true)], apart(9, 5)),
            // Its newest is of another program, which had the number after an older copy was put
            // back.
            (&[(8, 'h')], &[(5, 'E')], &[(5, 'e', true), (8, 'h', true)], apart(8, 5)),
            (&[(8, 'h'), (9, 'i')], &[(5, 'E')], &[(5, 'e', true), (8, 'h', true)], apart(9, 5)),
            (&[(5, 'e'), (8, 'h')], &[(5, 'E')], &[(8, 'h', true)], apart(8, 5)),
            (&[(5, 'e'), (8, 'h')], &[(5, '!')], &[(8, 'h', true)], behind.clone()),
            (&[(5, '!'), (8, 'h')], &[(5, 'e')], &[(8, 'h', true)], behind.clone()),
            // It did so after a restore, which recorded the older ones with the newest.
            (&[(8, 'h')], &[(4, 'd')], &[(4, 'd', true), (5, 'e', true)], behind.clone()),
            (&[(8, 'h')], &[(4, 'D')], &[(4, 'd', true), (5, 'e', true)], apart(8, 4)),
        ] {
            assert_eq!(compared(near, far, sent), expected, "{near:?} {far:?} {sent:?}");
        }
    }
}
