//! The arrays of a state, some of them blocks that are put together from the shards of others.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;

use super::blocks::{TableArray, TableBlock};
use super::plan::{self, Region, Runs};
use super::reshard::OpenShard;
use crate::arrays::{ArrayPool, ArraySource, Cause, Kind, Reference, npy_header};
use crate::container::{Arrays, Container, Piece, STATE};
use crate::error::Error;
use crate::tree::{self, Asked, BlockData, File, ShardedValue};

/// The most shards that are open at a time.
const OPEN: usize = 16;

/// A block that is to be put together.
pub(super) struct Wanted<'t> {
    /// The array in the table. `None` for a block without elements.
    array: Option<&'t TableArray>,
    offset: Vec<u64>,
    extent: Vec<u64>,
    /// The bytes of one element.
    row: u64,
    /// The number of elements.
    rows: u64,
    /// The header of an array of these elements.
    header: Vec<u8>,
    /// True if the block that it replaces is an array of the base.
    is_of_base: bool,
}

impl<'t> Wanted<'t> {
    /// The block at `offset`, of the array that `value` is a block of. `None` if its lengths are
    /// impossible, or the array has other elements than `value`.
    pub(super) fn new(
        array: Option<&'t TableArray>,
        value: &ShardedValue,
        offset: Vec<u64>,
        extent: Vec<u64>,
        is_of_base: bool,
    ) -> Option<Wanted<'t>> {
        let is_of_array =
            |array: &TableArray| array.descr == value.number.descr() && array.inner == value.inner;
        if !array.is_none_or(is_of_array) {
            return None;
        }
        let rows = plan::volume(&extent)?;
        let bytes = rows.checked_mul(value.row)?;
        let shape = [&[rows], &value.inner[..]].concat();
        let header = npy_header(value.number, &shape, bytes);
        Some(Wanted { array, offset, extent, row: value.row, rows, header, is_of_base })
    }

    /// The reference to it in the state.
    pub(super) fn reference(&self, number: u64) -> Reference {
        Reference { number, rows: self.rows }
    }

    /// Its kind, as the state takes it.
    fn kind(&self, array: Reference, kind: Option<Kind>) -> Result<Kind, Cause> {
        let found = Kind::found(array.rows, &self.header, self.bytes(), kind);
        found.filter(|_| array.rows == self.rows).ok_or_else(|| {
            let what = kind.map_or_else(|| "an array".to_owned(), |kind| kind.describe());
            format!("the elements of a sharded array are not those of {what}").into()
        })
    }

    /// The number of its bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.rows * self.row
    }

    /// Fills `buffer` with its elements.
    pub(super) fn assemble(&self, shards: &mut Shards<'_>, buffer: &mut [u8]) -> Result<(), Error> {
        let Some(array) = self.array else { return Ok(()) };
        let region = Region { offset: &self.offset, extent: &self.extent };
        for block in &array.blocks {
            if block.region().meets(&region) {
                shards.get(block.rank)?.fill(array, block, &region, self.row, buffer)?;
            }
        }
        Ok(())
    }
}

/// The shards of all members. The last ones used stay open.
pub(super) struct Shards<'o> {
    open: &'o mut OpenShard<'o>,
    /// The one used last is the last.
    shards: VecDeque<(u64, Shard)>,
}

impl<'o> Shards<'o> {
    pub(super) fn new(open: &'o mut OpenShard<'o>) -> Shards<'o> {
        Shards { open, shards: VecDeque::new() }
    }

    fn get(&mut self, rank: u64) -> Result<&Shard, Error> {
        let found = self.shards.iter().position(|(known, _)| *known == rank);
        let shard = match found.and_then(|place| self.shards.remove(place)) {
            Some(shard) => shard,
            None => {
                if self.shards.len() >= OPEN {
                    self.shards.pop_front();
                }
                let (path, container) = (self.open)(usize::try_from(rank).unwrap_or(usize::MAX))?;
                (rank, Shard::new(&path, container)?)
            }
        };
        self.shards.push_back(shard);
        let last = self.shards.len() - 1;
        Ok(&self.shards[last].1)
    }
}

/// An open shard, and the blocks in it by their paths.
struct Shard {
    file: File,
    blocks: BTreeMap<String, ShardedValue>,
}

impl Shard {
    fn new(path: &Path, container: Container) -> Result<Shard, Error> {
        let file = File::of(path, container);
        let found = tree::survey(&file, Asked::Blocks)?.sharded;
        let blocks = found.into_iter().map(|value| (value.path.clone(), value)).collect();
        Ok(Shard { file, blocks })
    }

    /// Fills places of `buffer`, which holds the elements of `region`, with those of a block, each
    /// of `row` bytes.
    fn fill(
        &self,
        array: &TableArray,
        block: &TableBlock,
        region: &Region<'_>,
        row: u64,
        buffer: &mut [u8],
    ) -> Result<(), Error> {
        let damaged = |part: &str, why: &str| Error::Damaged {
            path: self.file.path().to_owned(),
            part: part.to_owned(),
            why: why.to_owned(),
        };
        let other = || damaged(STATE, &format!("its block of `{}` is not the one of the table", array.path));
        let value = self.blocks.get(&array.path).ok_or_else(other)?;
        let is_this = value.number.descr() == array.descr
            && value.inner == array.inner
            && value.row == row
            && value.shape == array.shape
            && (&value.offset, &value.extent) == (&block.offset, &block.extent);
        if !is_this {
            return Err(other());
        }
        let saved = block.region();
        let mut runs = saved.runs(region);
        let (data, number) = match &value.data {
            BlockData::Here(range) => {
                let data = self.file.state()?.get(range.clone()).ok_or_else(other)?;
                return copy(&mut runs, row, data, buffer).ok_or_else(other);
            }
            BlockData::Apart(number) => (self.file.container().array_header(*number), *number),
        };
        let refused = |refusal| Error::refused(self.file.path(), refusal);
        let header = data.map_err(refused)?;
        // The header may lie in a chunk that is not read, and so not verified: it must be the one
        // that the state, which is, gives it.
        let shape = [&value.extent[..], &value.inner].concat();
        if header.in_floats() != (value.number.descr(), shape) {
            return Err(damaged(STATE, &format!("the array of `{}` is not as the state says", array.path)));
        }
        let pieces = runs.map(|run| Piece {
            from: run.from.saturating_mul(row),
            to: bytes(run.to, row),
            length: bytes(run.length, row),
        });
        self.file.container().fill_pieces(number, header.header, pieces, buffer).map_err(refused)
    }
}

/// The number of bytes of so many elements. One that does not fit leads out of any buffer.
fn bytes(elements: u64, row: u64) -> usize {
    elements.checked_mul(row).and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX)
}

/// Copies runs of elements. `None` if one is not inside of both.
fn copy(runs: &mut Runs<'_>, row: u64, data: &[u8], buffer: &mut [u8]) -> Option<()> {
    runs.try_for_each(|run| {
        let length = bytes(run.length, row);
        let from = data.get(bytes(run.from, row)..)?.get(..length)?;
        buffer.get_mut(bytes(run.to, row)..)?.get_mut(..length)?.copy_from_slice(from);
        Some(())
    })
}

/// The arrays of a base, with other blocks in the places of some.
pub(super) struct Assembled<'a, 't, 'o> {
    base: Arrays<'a>,
    /// By the numbers under which the state refers to them.
    wanted: HashMap<u64, Wanted<'t>>,
    shards: Shards<'o>,
    /// The reason that a block could not be put together.
    failure: Option<Error>,
}

impl<'a, 't, 'o> Assembled<'a, 't, 'o> {
    pub(super) fn new(
        base: &'a Container,
        wanted: Vec<(u64, Wanted<'t>)>,
        shards: Shards<'o>,
        pool: ArrayPool,
    ) -> Assembled<'a, 't, 'o> {
        Assembled {
            base: Arrays::new(base, pool),
            wanted: wanted.into_iter().collect(),
            shards,
            failure: None,
        }
    }

    /// Returns `decoded` if the decoding took all of these arrays. `path` is that of the base.
    pub(super) fn end<R>(self, path: &Path, decoded: Result<R, Error>) -> Result<R, Error> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let decoded = decoded?;
        match self.base.left_over() {
            Some(refusal) => Err(Error::refused(path, refusal)),
            None if !self.wanted.is_empty() => {
                let why = "the state does not refer to one of its blocks".to_owned();
                Err(Error::Damaged { path: path.to_owned(), part: STATE.to_owned(), why })
            }
            None => Ok(decoded),
        }
    }

    /// Takes a block out of those that are still wanted.
    fn take(&mut self, array: Reference) -> Result<Option<Wanted<'t>>, Cause> {
        let Some(wanted) = self.wanted.remove(&array.number) else { return Ok(None) };
        if wanted.is_of_base {
            self.base.skip(array)?;
        }
        Ok(Some(wanted))
    }

    fn assemble(&mut self, wanted: &Wanted<'t>, buffer: &mut [u8]) -> Result<(), Cause> {
        if buffer.len() as u64 != wanted.bytes() {
            return Err("a block is of another length than the field it belongs to".into());
        }
        wanted.assemble(&mut self.shards, buffer).map_err(|error| {
            let sentence = error.to_string();
            self.failure.get_or_insert(error);
            sentence.into()
        })
    }
}

impl ArraySource for Assembled<'_, '_, '_> {
    fn pool(&mut self) -> &mut ArrayPool {
        self.base.pool()
    }

    fn check(&mut self, array: Reference, kind: Kind) -> Result<(), Cause> {
        match self.wanted.get(&array.number) {
            Some(wanted) => wanted.kind(array, Some(kind)).map(drop),
            None => self.base.check(array, kind),
        }
    }

    fn fill(&mut self, array: Reference, buffer: &mut [u8]) -> Result<(), Cause> {
        match self.take(array)? {
            Some(wanted) => self.assemble(&wanted, buffer),
            None => self.base.fill(array, buffer),
        }
    }

    fn bytes(&mut self, array: Reference) -> Result<(Kind, Vec<u8>), Cause> {
        let Some(wanted) = self.take(array)? else { return self.base.bytes(array) };
        let kind = wanted.kind(array, None)?;
        let no_memory = || format!("there is no memory for a block of {} elements", wanted.rows);
        let length = usize::try_from(wanted.bytes()).map_err(|_| no_memory())?;
        let mut buffer = bytemuck::allocation::try_zeroed_vec(length).map_err(|()| no_memory())?;
        self.assemble(&wanted, &mut buffer)?;
        Ok((kind, buffer))
    }

    fn skip(&mut self, array: Reference) -> Result<(), Cause> {
        match self.take(array)? {
            Some(_) => Ok(()),
            None => self.base.skip(array),
        }
    }
}
