//! The blocks of sharded arrays that the members of a group saved. Each member finds those of its
//! shard before the commit; rank 0 joins them to the table of all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};

use super::plan::{self, Gap, Region};
pub(crate) use super::reshard::{Load, load};
use crate::base::limits::KEY_LENGTH;
use crate::base::text::listed;
use crate::container::Container;
use crate::error::Error;
use crate::tree::{self, Asked, File, ShardedValue, Survey};

/// The content of one member's shard that all members must agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contents {
    pub(crate) blocks: Vec<Block>,
    /// The path of each value that is the same on all members, and a number that equal values have
    /// in common.
    pub(crate) shared: Vec<(String, u64)>,
    /// A number that two states have in common if their blocks are in the same places.
    pub(crate) form: u64,
}

/// A block of a sharded array, without its elements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    /// The place in the state.
    pub(crate) path: String,
    /// The type of the numbers, as numpy writes it.
    pub(crate) descr: String,
    /// The lengths of the dimensions of one element; none of a number.
    #[serde(serialize_with = "list")]
    pub(crate) inner: Vec<u64>,
    /// The lengths of the dimensions of the whole array.
    #[serde(serialize_with = "list")]
    pub(crate) shape: Vec<u64>,
    #[serde(serialize_with = "list")]
    pub(crate) offset: Vec<u64>,
    #[serde(serialize_with = "list")]
    pub(crate) extent: Vec<u64>,
}

/// The sharded arrays of a checkpoint, as its table has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    pub(crate) arrays: Vec<TableArray>,
    /// True if the blocks of all members are in the same places of their states.
    pub(crate) is_same_form: bool,
}

/// A sharded array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableArray {
    /// The place in the state.
    pub(crate) path: String,
    /// The type of the numbers, as numpy writes it.
    pub(crate) descr: String,
    /// The lengths of the dimensions of one element; none of a number.
    #[serde(serialize_with = "list")]
    pub(crate) inner: Vec<u64>,
    #[serde(serialize_with = "list")]
    pub(crate) shape: Vec<u64>,
    /// By rank.
    pub(crate) blocks: Vec<TableBlock>,
}

/// One member's block of a sharded array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableBlock {
    pub(crate) rank: u64,
    #[serde(serialize_with = "list")]
    pub(crate) offset: Vec<u64>,
    #[serde(serialize_with = "list")]
    pub(crate) extent: Vec<u64>,
}

/// Writes a few numbers, which a checkpoint has in place, and not as an array of their own.
#[expect(clippy::ptr_arg, reason = "serde gives the field itself")]
fn list<S: Serializer>(numbers: &Vec<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(numbers.iter().copied())
}

impl TableBlock {
    pub(crate) fn region(&self) -> Region<'_> {
        Region { offset: &self.offset, extent: &self.extent }
    }
}

/// Finds the blocks in a shard. Reads no data of blocks, and nothing at all if the type of the
/// state has none. `path` is for messages.
///
/// # Errors
/// An error if the shard is damaged or cannot be understood.
pub(crate) fn of(path: &Path, container: Container) -> Result<Contents, Error> {
    if !tree::is_sharded(container.manifest().schema()) {
        return Ok(Contents::default());
    }
    let Survey { sharded, shared, form } = tree::survey(&File::of(path, container), Asked::All)?;
    check_paths(sharded.iter().map(|value| &value.path), path)?;
    check_paths(shared.iter().map(|(path, _)| path), path)?;
    let block = |value: ShardedValue| {
        let ShardedValue { path, number, inner, shape, offset, extent, .. } = value;
        Block { path, descr: number.descr().to_owned(), inner, shape, offset, extent }
    };
    Ok(Contents { blocks: sharded.into_iter().map(block).collect(), shared, form })
}

/// Refuses two values at one path: keys of a map can be the same as text. The members could not
/// tell the two apart.
fn check_paths<'p>(paths: impl Iterator<Item = &'p String>, file: &Path) -> Result<(), Error> {
    let mut known = BTreeSet::new();
    let twice: BTreeSet<&str> = paths.map(|path| &**path).filter(|path| !known.insert(*path)).collect();
    if twice.is_empty() {
        return Ok(());
    }
    let why = format!(
        "several `Sharded` or `Shared` values have the same path: {}; the keys of their map are the same as text, such as \
         (\"a, b\", \"c\") and (\"a\", \"b, c\"), or in their first {KEY_LENGTH} bytes: give it keys that differ as text",
        listed(&twice.into_iter().collect::<Vec<_>>())
    );
    Err(Error::Sharding { path: file.to_owned(), why })
}

/// Joins the contents of the shards of all members, by rank. `path` is for messages.
///
/// # Errors
/// [`Error::Sharding`] if a shared value differs, or if the blocks of an array are of
/// different types, overlap, or leave something out.
pub(crate) fn join(path: &Path, members: &[Contents]) -> Result<Layout, Error> {
    let failed = |why: String| Error::Sharding { path: path.to_owned(), why };
    compare_shared(members).map_err(failed)?;
    let mut arrays: BTreeMap<&str, TableArray> = BTreeMap::new();
    for (rank, contents) in (0_u64..).zip(members) {
        for block in &contents.blocks {
            let Block { path, descr, inner, shape, offset, extent } = block.clone();
            let array = arrays.entry(&block.path).or_insert_with(|| TableArray {
                path,
                descr: descr.clone(),
                inner: inner.clone(),
                shape: shape.clone(),
                blocks: Vec::new(),
            });
            if (&array.descr, &array.inner) != (&descr, &inner) {
                return Err(failed(format!("`{}` has elements of another type on rank {rank}", block.path)));
            }
            if array.shape != shape {
                return Err(failed(format!(
                    "`{}` has the shape {shape:?} on rank {rank}, and {:?} on rank {}",
                    block.path,
                    array.shape,
                    array.blocks.first().map_or(0, |block| block.rank)
                )));
            }
            array.blocks.push(TableBlock { rank, offset, extent });
        }
    }
    let arrays: Vec<TableArray> = arrays.into_values().collect();
    arrays.iter().try_for_each(TableArray::check).map_err(failed)?;
    let is_same_form = members.windows(2).all(|two| matches!(two, [one, other] if one.form == other.form));
    Ok(Layout { arrays, is_same_form })
}

fn compare_shared(members: &[Contents]) -> Result<(), String> {
    let Some(first) = members.first() else { return Ok(()) };
    let first: BTreeMap<&str, u64> = first.shared.iter().map(|(path, value)| (&**path, *value)).collect();
    for (rank, contents) in members.iter().enumerate().skip(1) {
        let mut other: BTreeMap<&str, u64> =
            contents.shared.iter().map(|(path, value)| (&**path, *value)).collect();
        let mut differ: Vec<&str> = Vec::new();
        for (path, value) in &first {
            if other.remove(path) != Some(*value) {
                differ.push(path);
            }
        }
        differ.extend(other.keys());
        if !differ.is_empty() {
            return Err(format!(
                "what is `Shared` must be the same on all processes, and differs between ranks 0 and {rank}: {}",
                listed(&differ)
            ));
        }
    }
    Ok(())
}

impl TableArray {
    /// Checks that the blocks are disjoint, and cover the array.
    fn check(&self) -> Result<(), String> {
        let TableArray { path, shape, blocks, .. } = self;
        let regions: Vec<Region<'_>> = blocks.iter().map(TableBlock::region).collect();
        let rank = |number: usize| blocks.get(number).map_or(0, |block| block.rank);
        plan::cover(shape, &regions).map_err(|gap| match gap {
            Gap::Outside(number) => {
                format!("the block of `{path}` on rank {} is not inside its shape {shape:?}", rank(number))
            }
            Gap::Overlap(one, other) => {
                format!("the blocks of `{path}` on ranks {} and {} overlap", rank(one), rank(other))
            }
            Gap::Missing(elements) => {
                format!("{elements} elements of `{path}`, of shape {shape:?}, are in no block")
            }
        })
    }
}

impl Layout {
    /// Checks a table that was read, of so many members: it must be one that [`join`] makes.
    pub(crate) fn check(&self, members: usize) -> Result<(), String> {
        for array in &self.arrays {
            let ranks = array.blocks.iter().map(|block| block.rank);
            if !ranks.clone().is_sorted() || ranks.clone().any(|rank| rank >= members as u64) {
                return Err(format!("the blocks of `{}` are of ranks that there are not", array.path));
            }
            array.check()?;
        }
        Ok(())
    }
}
