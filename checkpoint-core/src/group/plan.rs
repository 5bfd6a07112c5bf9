//! N → M: the elements of an old block that a new block takes, in C order, in any number of
//! dimensions.

use std::collections::HashSet;

/// A block of an array: its first index and its length in each dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region<'a> {
    pub(crate) offset: &'a [u64],
    pub(crate) extent: &'a [u64],
}

/// Elements that lie one after the other in both blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first element, counted in the old block.
    pub(crate) from: u64,
    /// The first element, counted in the new block.
    pub(crate) to: u64,
    /// The number of elements.
    pub(crate) length: u64,
}

/// The number of elements of such a block. `None` if it is beyond all numbers.
pub(crate) fn volume(extent: &[u64]) -> Option<u64> {
    if extent.contains(&0) {
        return Some(0);
    }
    extent.iter().try_fold(1_u64, |volume, length| volume.checked_mul(*length))
}

/// Part number `number` of `parts`, of a dimension of this length: its first index and its length.
/// Lengths of two parts differ by one at most.
pub(crate) fn part(length: u64, parts: u64, number: u64) -> (u64, u64) {
    let begin = |number: u64| {
        let place = u128::from(length) * u128::from(number) / u128::from(parts.max(1));
        u64::try_from(place).unwrap_or(length)
    };
    (begin(number), begin(number + 1) - begin(number))
}

impl Region<'_> {
    /// True if the block is inside an array of this shape, and the elements of both can be counted.
    pub(crate) fn is_within(&self, shape: &[u64]) -> bool {
        let is_inside = |((offset, extent), length): ((&u64, &u64), &u64)| {
            offset.checked_add(*extent).is_some_and(|end| end <= *length)
        };
        !shape.is_empty()
            && shape.len() == self.offset.len()
            && shape.len() == self.extent.len()
            && volume(shape).is_some()
            && volume(self.extent).is_some()
            && self.offset.iter().zip(self.extent).zip(shape).all(is_inside)
    }

    /// The offset and the extent of the elements that both blocks have. `None` if there are
    /// none.
    fn overlap(&self, other: &Region<'_>) -> Option<(Vec<u64>, Vec<u64>)> {
        let one = self.offset.iter().zip(self.extent);
        let both = one.zip(other.offset.iter().zip(other.extent));
        let common = both.map(|((offset, extent), (other_offset, other_extent))| {
            let from = (*offset).max(*other_offset);
            let to = (offset + extent).min(other_offset + other_extent);
            (from < to).then(|| (from, to - from))
        });
        common.collect()
    }

    /// True if there is an element that both blocks have.
    pub(crate) fn meets(&self, other: &Region<'_>) -> bool {
        let other = other.offset.iter().zip(other.extent);
        self.offset.iter().zip(self.extent).zip(other).all(|((offset, extent), (other, other_extent))| {
            (*offset).max(*other) < (offset + extent).min(other + other_extent)
        })
    }

    /// The number of the element at this place of the whole array, counted in this block.
    fn index(&self, place: &[u64]) -> u64 {
        let dimensions = place.iter().zip(self.offset.iter().zip(self.extent));
        dimensions.fold(0, |index, (place, (offset, extent))| index * extent + (place - offset))
    }

    /// The runs of this block that `new` takes. They go forward in both blocks. Both must be
    /// [within](Region::is_within) the same shape. The table says how many there are, so they are
    /// made one by one.
    pub(crate) fn runs<'r>(&'r self, new: &'r Region<'r>) -> Runs<'r> {
        let overlap = self.overlap(new).filter(|(offset, _)| !offset.is_empty());
        let (offset, extent) = overlap.unwrap_or_default();
        let place = (!offset.is_empty()).then(|| offset.clone());
        Runs { old: self, new, offset, extent, place, next: None }
    }
}

/// The runs of a block that another one takes.
pub(crate) struct Runs<'r> {
    old: &'r Region<'r>,
    new: &'r Region<'r>,
    /// The elements that both blocks have.
    offset: Vec<u64>,
    extent: Vec<u64>,
    /// The first element of the next row; `None` after the last row.
    place: Option<Vec<u64>>,
    /// The run that the next row may continue.
    next: Option<Run>,
}

impl Runs<'_> {
    /// The next row of the elements that both blocks have.
    fn row(&mut self) -> Option<Run> {
        let place = self.place.as_mut()?;
        let (length, outer) = self.extent.split_last()?;
        let row = Run { from: self.old.index(place), to: self.new.index(place), length: *length };
        // The last dimension that has one more index moves on, and those behind it begin anew.
        let dimensions = place.iter_mut().zip(self.offset.iter().zip(outer)).rev();
        let mut has_moved = false;
        for (index, (offset, extent)) in dimensions {
            *index += 1;
            has_moved = *index < offset + extent;
            if has_moved {
                break;
            }
            *index = *offset;
        }
        if !has_moved {
            self.place = None;
        }
        Some(row)
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let mut run = match self.next.take() {
            Some(run) => run,
            None => self.row()?,
        };
        while let Some(row) = self.row() {
            if run.from + run.length != row.from || run.to + run.length != row.to {
                self.next = Some(row);
                break;
            }
            run.length += row.length;
        }
        Some(run)
    }
}

/// The reason that blocks do not make up an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// The block of this number is not one of such an array.
    Outside(usize),
    /// Two blocks have an element in common.
    Overlap(usize, usize),
    /// So many elements are in no block.
    Missing(u64),
}

/// Checks that blocks are disjoint, and cover an array of this shape. Empty blocks are ignored.
pub(crate) fn cover(shape: &[u64], blocks: &[Region<'_>]) -> Result<(), Gap> {
    if let Some(outside) = blocks.iter().position(|block| !block.is_within(shape)) {
        return Err(Gap::Outside(outside));
    }
    let mut sorted: Vec<(usize, &Region<'_>)> =
        blocks.iter().enumerate().filter(|(_, block)| volume(block.extent) != Some(0)).collect();
    // A block meets only those that begin before it ends in any one dimension: in the one that is
    // split most, these are the fewest.
    let begins = |dimension: usize| {
        let offsets = sorted.iter().filter_map(move |(_, block)| block.offset.get(dimension));
        offsets.collect::<HashSet<_>>().len()
    };
    let dimension = (0..shape.len()).max_by_key(|dimension| begins(*dimension)).unwrap_or_default();
    let of = |lengths: &[u64]| lengths.get(dimension).copied().unwrap_or_default();
    sorted.sort_by_key(|(_, block)| of(block.offset));
    for (place, (number, block)) in sorted.iter().enumerate() {
        let end = of(block.offset) + of(block.extent);
        let near = sorted.iter().skip(place + 1).take_while(|(_, other)| of(other.offset) < end);
        for (other_number, other) in near {
            if block.meets(other) {
                return Err(Gap::Overlap(*number.min(other_number), *number.max(other_number)));
            }
        }
    }
    let all = volume(shape).unwrap_or_default();
    // Disjoint blocks of one array have at most its elements.
    let covered: u64 = sorted.iter().filter_map(|(_, block)| volume(block.extent)).sum();
    if covered == all { Ok(()) } else { Err(Gap::Missing(all - covered)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#[allow(clippy::cast_possible_truncation, reason = "the numbers are small")]
mod tests {
    use super::*;

    #[derive(Clone, Debug)]
    struct Owned {
        offset: Vec<u64>,
        extent: Vec<u64>,
    }

    impl Owned {
        fn region(&self) -> Region<'_> {
            Region { offset: &self.offset, extent: &self.extent }
        }
    }

    /// Numbers that look random, and are the same in every run.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % limit
        }
    }

    /// Disjoint blocks that cover the shape: cuts at random places, some of them empty.
    fn split(shape: &[u64], numbers: &mut Numbers) -> Vec<Owned> {
        let mut blocks = vec![Owned { offset: vec![0; shape.len()], extent: shape.to_vec() }];
        for _ in 0..numbers.below(6) {
            let number = numbers.below(blocks.len() as u64) as usize;
            let dimension = numbers.below(shape.len() as u64) as usize;
            let mut first = blocks.swap_remove(number);
            let at = numbers.below(first.extent[dimension] + 1);
            let mut second = first.clone();
            second.offset[dimension] += at;
            second.extent[dimension] -= at;
            first.extent[dimension] = at;
            blocks.extend([first, second]);
        }
        blocks
    }

    /// The numbers of the elements of a block, in the order of the block.
    fn elements(shape: &[u64], block: &Owned) -> Vec<u64> {
        let all = volume(shape).unwrap();
        let place = |mut number: u64| {
            let mut place = vec![0; shape.len()];
            for dimension in (0..shape.len()).rev() {
                place[dimension] = number % shape[dimension];
                number /= shape[dimension];
            }
            place
        };
        let is_inside = |place: &[u64]| {
            (0..shape.len()).all(|dimension| {
                let from = block.offset[dimension];
                (from..from + block.extent[dimension]).contains(&place[dimension])
            })
        };
        (0..all).filter(|number| is_inside(&place(*number))).collect()
    }

    #[test]
    fn every_split_becomes_every_other_split() {
        let mut numbers = Numbers(7);
        for case in 0..3000 {
            let shape: Vec<u64> = (0..1 + numbers.below(4)).map(|_| 1 + numbers.below(6)).collect();
            let (old, new) = (split(&shape, &mut numbers), split(&shape, &mut numbers));
            let regions: Vec<_> = old.iter().map(Owned::region).collect();
            assert_eq!(cover(&shape, &regions), Ok(()), "{shape:?} {old:?}");
            for wanted in &new {
                let mut got = vec![u64::MAX; volume(&wanted.extent).unwrap() as usize];
                for block in &old {
                    let stored = elements(&shape, block);
                    let runs: Vec<Run> = block.region().runs(&wanted.region()).collect();
                    let forward = |two: &[Run]| {
                        two[0].from + two[0].length <= two[1].from && two[0].to + two[0].length <= two[1].to
                    };
                    assert!(runs.windows(2).all(forward), "{runs:?}");
                    for run in runs {
                        for step in 0..run.length {
                            got[(run.to + step) as usize] = stored[(run.from + step) as usize];
                        }
                    }
                }
                assert_eq!(got, elements(&shape, wanted), "case {case}: {shape:?} {old:?} {wanted:?}");
            }
        }
    }

    #[test]
    fn whole_rows_are_one_run() {
        let (old, new) = ([2, 0], [3, 0]);
        let (old_extent, new_extent) = ([4, 5], [9, 5]);
        let old = Region { offset: &old, extent: &old_extent };
        let new = Region { offset: &new, extent: &new_extent };
        assert_eq!(old.runs(&new).collect::<Vec<_>>(), [Run { from: 5, to: 0, length: 15 }]);
    }

    #[test]
    fn a_split_into_any_number_of_runs_needs_no_memory() {
        // Columns of an array with more rows than any machine has room to list.
        let extent = [1 << 50, 1];
        let old = Region { offset: &[0, 3], extent: &[1 << 50, 2] };
        let new = Region { offset: &[0, 4], extent: &extent };
        let mut runs = old.runs(&new);
        assert_eq!(runs.next(), Some(Run { from: 1, to: 0, length: 1 }));
        assert_eq!(runs.next(), Some(Run { from: 3, to: 1, length: 1 }));
    }

    #[test]
    fn a_missing_or_a_doubled_element_is_found() {
        let mut numbers = Numbers(11);
        for _ in 0..2000 {
            let shape: Vec<u64> = (0..1 + numbers.below(3)).map(|_| 1 + numbers.below(5)).collect();
            let mut blocks = split(&shape, &mut numbers);
            let number = numbers.below(blocks.len() as u64) as usize;
            let dimension = numbers.below(shape.len() as u64) as usize;
            let block = &mut blocks[number];
            if block.extent.contains(&0) {
                continue;
            }
            if block.offset[dimension] > 0 && numbers.below(2) == 0 {
                block.offset[dimension] -= 1;
                block.extent[dimension] += 1;
            } else {
                block.extent[dimension] -= 1;
            }
            let regions: Vec<_> = blocks.iter().map(Owned::region).collect();
            let mut times = vec![0; volume(&shape).unwrap() as usize];
            blocks.iter().flat_map(|block| elements(&shape, block)).for_each(|n| times[n as usize] += 1);
            match cover(&shape, &regions) {
                Err(Gap::Overlap(..)) => assert!(times.iter().any(|times| *times > 1)),
                Err(Gap::Missing(missing)) => {
                    assert_eq!(missing, times.iter().filter(|times| **times == 0).count() as u64);
                }
                other => panic!("{other:?} of {shape:?}: {blocks:?}"),
            }
        }
    }

    #[test]
    fn forged_numbers_are_refused_and_not_added() {
        let large = [u64::MAX, u64::MAX];
        assert_eq!(volume(&large), None);
        assert_eq!(volume(&[u64::MAX, 0]), Some(0));
        let region = Region { offset: &[1, 0], extent: &large };
        assert!(!region.is_within(&large));
        assert!(!Region { offset: &[1], extent: &[u64::MAX] }.is_within(&[u64::MAX]));
        assert!(!Region { offset: &[0], extent: &[1] }.is_within(&[1, 1]));
        assert!(!Region { offset: &[], extent: &[] }.is_within(&[]));
    }

    #[test]
    fn parts_of_a_dimension_are_even_and_meet() {
        for (length, parts) in [(10, 4), (3, 5), (0, 3), (u64::MAX, 7), (1, 1)] {
            let mut end = 0;
            for number in 0..parts {
                let (from, count) = part(length, parts, number);
                assert_eq!(from, end);
                assert!(count == length / parts || count == length / parts + 1);
                end = from + count;
            }
            assert_eq!(end, length);
        }
    }
}
