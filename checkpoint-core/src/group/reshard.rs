//! Loads a member's state from the shards of all: by a group of another size, or split in another
//! way, too.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Group;
use super::assembled::{Assembled, Shards, Wanted};
use super::blocks::{Layout, TableArray};
use super::checkpointer::GroupCheckpointer;
use super::sharded::without_data;
use crate::arrays::ArrayPool;
use crate::base::text::listed;
use crate::codec::bytes::{put_list, put_reference};
use crate::container::{Container, STATE};
use crate::error::Error;
use crate::evolution::{Difference, DifferenceKind, Program};
use crate::outputs::Found;
use crate::run::embedded;
use crate::run::reader::{self, Decoded};
use crate::state::Checkpoint;
use crate::tree::{self, Asked, File, ShardedValue};

/// Opens the shard of a member of the group that saved, by its rank.
pub(crate) type OpenShard<'o> = dyn FnMut(usize) -> Result<(PathBuf, Container), Error> + 'o;

/// The function of a program for a state that a group of another size saved.
pub(crate) type OnResize<T> = dyn Fn(&Old<'_, T>, &mut T) -> Result<(), Error> + Send + Sync;

/// A load of one member's state.
pub(crate) struct Load<'l, T> {
    /// The directory of the group, for messages.
    pub(crate) path: &'l Path,
    /// The sharded arrays that there are.
    pub(crate) layout: &'l Layout,
    /// The size of the group that saved.
    pub(crate) from: usize,
    /// The size of the group that loads.
    pub(crate) to: usize,
    /// The rank of this member, in the group that loads.
    pub(crate) rank: usize,
    pub(crate) program: &'l Program,
    pub(crate) open: &'l mut OpenShard<'l>,
    pub(crate) on_resize: Option<&'l OnResize<T>>,
}

/// The states of the group that saved, for a group of another size.
///
/// The function of `on_resize` gets it.
pub struct Old<'a, T> {
    path: &'a Path,
    size: usize,
    program: &'a Program,
    open: RefCell<&'a mut OpenShard<'a>>,
    /// The outputs of the states that were loaded: those that the new state takes over are its own.
    outputs: RefCell<Found>,
    state: std::marker::PhantomData<fn() -> T>,
}

impl<T: Checkpoint> Old<'_, T> {
    /// The number of members that saved.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Loads the state that the member of this rank saved. Its [`Sharded`](super::Sharded) arrays
    /// are empty blocks, and nothing is read for them: the new state has their elements already. A
    /// migration gets these empty blocks too, so it must not count on their elements.
    ///
    /// An [`Appended`](crate::Appended) of it can go on in the new state of one member. It is
    /// opened when the function has returned, and cannot be written to before. Move it there: a
    /// clone of it stays closed.
    ///
    /// # Errors
    /// [`Error::Sharding`] if there was no such member. The error of its shard, if that is damaged
    /// or does not fit the program.
    pub fn load(&self, rank: usize) -> Result<T, Error> {
        if rank >= self.size {
            let why = format!("{} processes saved it, and there was no rank {rank}", self.size);
            return Err(Error::Sharding { path: self.path.to_owned(), why });
        }
        let mut open = self.open.try_borrow_mut().map_err(|_| {
            let why = "a shard is loaded while another is being loaded".to_owned();
            Error::Sharding { path: self.path.to_owned(), why }
        })?;
        let base = Base::open(&mut **open, rank)?;
        let empty = |value: &ShardedValue| {
            let nothing = vec![0; value.shape.len()];
            Some(Target { array: None, offset: nothing.clone(), extent: nothing })
        };
        let none = &mut |_| Err(base.contradiction("an empty block has no elements"));
        let decoded = base.decode::<T>(self.program, &empty, none, &mut ArrayPool::default)?;
        self.outputs.borrow_mut().extend(decoded.outputs);
        Ok(*decoded.state)
    }
}

impl<T> fmt::Debug for Old<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Old")
            .field("path", &self.path)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl<T: Checkpoint, G: Group> GroupCheckpointer<T, G> {
    /// Sets the function that adapts a state that a group of another size saved. Every member calls
    /// this, before it loads.
    ///
    /// [`Sharded`](super::Sharded) and [`Shared`](super::Shared) values need no function. They are
    /// loaded when the function gets the new state. All other fields are as rank 0 saved them, and
    /// the function makes them this member's own: the particles that it takes over, or its
    /// generator of random numbers. Without the function, a state with such fields is an error in a
    /// group of another size: [`Error::Resized`].
    ///
    /// ```
    /// use checkpointed::group::{Alone, Sharded};
    /// use checkpointed::{Checkpointer, checkpointed};
    ///
    /// #[checkpointed]
    /// #[derive(Default)]
    /// struct Gas {
    ///     field: Sharded<f64>,
    ///     particles: Vec<[f64; 3]>,
    /// }
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("gas.ckpt");
    /// let mut checkpoints = Checkpointer::<Gas>::builder(&path).open_group(Alone)?;
    /// checkpoints.on_resize(|old, gas| {
    ///     gas.particles.clear();
    ///     for rank in 0..old.size() {
    ///         gas.particles.extend(old.load(rank)?.particles); // those in this member's block
    ///     }
    ///     Ok(())
    /// });
    /// let gas = checkpoints.load_or_default()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_resize(
        &mut self,
        function: impl Fn(&Old<'_, T>, &mut T) -> Result<(), Error> + Send + Sync + 'static,
    ) {
        self.on_resize = Some(Arc::new(function));
    }
}

/// Loads this member's state. `into` says which blocks it wants, and its arrays are taken. Without
/// `into`, each member gets the blocks that it saved.
///
/// # Errors
/// [`Error::Resized`] if another number of members saved, and no function adapts some field.
/// [`Error::Sharding`] if `into` does not say which block it wants. The error of a shard that is
/// needed, if that is damaged or does not fit the program.
pub(crate) fn load<T: Checkpoint>(load: Load<'_, T>, into: Option<&mut T>) -> Result<Decoded<T>, Error> {
    let Load { path, layout, from, to, rank, program, open, on_resize } = load;
    let table = |why| Error::Damaged { path: path.to_owned(), part: "table".to_owned(), why };
    layout.check(from).map_err(table)?;
    let is_resized = from != to;
    let base = Base::open(open, if is_resized { 0 } else { rank })?;
    let blocks = match &into {
        Some(state) if !layout.arrays.is_empty() => blocks_of(path, program, &**state)?,
        _ => BTreeMap::new(),
    };
    let targets = if is_resized {
        let resized = |fields| Error::Resized { path: path.to_owned(), from, to, fields };
        let neither = tree::neither(base.file.manifest().schema());
        if on_resize.is_none() && !neither.is_empty() {
            return Err(resized(neither));
        }
        // Without any block only the keys, the lengths and the variants of the others are lost. A
        // function of the program can take these over.
        let has_arrays = !layout.arrays.is_empty();
        if !layout.is_same_form && (has_arrays || on_resize.is_none()) {
            let adapted = if has_arrays { "" } else { ", or say by `on_resize` what becomes of them" };
            let why = format!(
                "the maps, lists, options and variants around the sharded arrays and shared values were not the same on \
                 all processes, so another number of them cannot load it: load it with {from} processes{adapted}"
            );
            return Err(Error::Sharding { path: path.to_owned(), why });
        }
        let known = |array: &TableArray| blocks.contains_key(&array.path);
        let dropped = match layout.arrays.iter().all(known) {
            true => BTreeSet::new(),
            false => {
                dropped(&reader::check_state(base.file.path(), program, base.file.manifest())?.differences)
            }
        };
        targets_of_all(path, (layout, from), (&blocks, into.is_some()), &dropped)?
    } else {
        targets_of_changed(layout, rank, &blocks)
    };
    let mut into = into;
    let mut pool = || {
        let mut pool = ArrayPool::default();
        if let Some(state) = &mut into {
            state.lend_arrays(&mut pool);
        }
        pool
    };
    let mut decoded = if targets.is_empty() {
        base.decode_as_it_is(program, &mut pool)?
    } else {
        let used = RefCell::new(BTreeSet::new());
        let target = |value: &ShardedValue| {
            let target = targets.get(&*value.path).cloned();
            used.borrow_mut().extend(target.is_some().then(|| value.path.clone()));
            target
        };
        let decoded = base.decode(program, &target, open, &mut pool)?;
        // An array that only other members had, such as one under another key of a map, has no
        // place in the part that is decoded: it would be lost without a word.
        let used = used.into_inner();
        let lost: Vec<&str> = targets.keys().copied().filter(|path| !used.contains(*path)).collect();
        if !lost.is_empty() {
            let why = format!(
                "the part of rank {} has no place for these arrays, which other processes had, so this one cannot \
                 load them: {}; keep the maps, lists and options around sharded arrays the same on all processes",
                if is_resized { 0 } else { rank },
                listed(&lost)
            );
            return Err(Error::Sharding { path: path.to_owned(), why });
        }
        decoded
    };
    check_wanted((path, from), layout, (&blocks, &decoded.differences), || {
        blocks_of(path, program, &*decoded.state)
    })?;
    if let Some(on_resize) = on_resize.filter(|_| is_resized) {
        let (open, outputs, state) = (RefCell::new(open), RefCell::default(), std::marker::PhantomData);
        let old = Old { path, size: from, program, open, outputs, state };
        on_resize(&old, &mut decoded.state)?;
        decoded.outputs.extend(old.outputs.take());
    }
    Ok(decoded)
}

/// The block that a member wants of an array.
#[derive(Clone, Debug)]
struct Target<'t> {
    /// The array in the table. `None` for a block without elements.
    array: Option<&'t TableArray>,
    offset: Vec<u64>,
    extent: Vec<u64>,
}

/// The blocks that a state has, by their paths.
fn blocks_of<T: Checkpoint>(
    path: &Path,
    program: &Program,
    state: &T,
) -> Result<BTreeMap<String, ShardedValue>, Error> {
    if !tree::is_sharded(program.schema()) {
        return Ok(BTreeMap::new());
    }
    let container = without_data(|| embedded::without_arrays(path, state, program))?;
    let survey = tree::survey(&File::of(path, container), Asked::BlocksWithoutData)?;
    Ok(survey.sharded.into_iter().map(|value| (value.path.clone(), value)).collect())
}

/// The fields of a checkpoint that the program does not have, as paths in the table. None where a
/// migration may make something else of them: only a part of their elements would be there.
fn dropped(differences: &[Difference]) -> BTreeSet<String> {
    if differences.iter().any(|difference| difference.kind == DifferenceKind::Migrated) {
        return BTreeSet::new();
    }
    let extra = differences.iter().filter(|difference| difference.kind == DifferenceKind::Extra);
    extra.map(in_table).collect()
}

/// The path of a difference, as the table has it.
fn in_table(difference: &Difference) -> String {
    difference.path.replace('.', "/")
}

/// True if a path of the table is that of one of these fields, or leads inside of it.
fn is_in(fields: &BTreeSet<String>, path: &str) -> bool {
    let inside = |field: &String| {
        path.strip_prefix(&**field).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    fields.iter().any(inside)
}

/// The blocks that a group of another size wants of all arrays, without those that are dropped.
/// `given` has the blocks of the state to load into, and whether there is one.
fn targets_of_all<'t>(
    path: &Path,
    (layout, from): (&'t Layout, usize),
    (blocks, is_given): (&BTreeMap<String, ShardedValue>, bool),
    dropped: &BTreeSet<String>,
) -> Result<BTreeMap<&'t str, Target<'t>>, Error> {
    let (mut absent, mut unknown) = (Vec::new(), Vec::new());
    let mut targets = BTreeMap::new();
    for array in &layout.arrays {
        match blocks.get(&array.path) {
            Some(block) if block.shape == array.shape => {
                let (offset, extent) = (block.offset.clone(), block.extent.clone());
                targets.insert(&*array.path, Target { array: Some(array), offset, extent });
            }
            Some(block) => unknown.push(format!(
                "`{}` has the shape {:?} in the checkpoint, and {:?} in the state",
                array.path, array.shape, block.shape
            )),
            None if is_in(dropped, &array.path) => {}
            None => absent.push(format!("`{}` of shape {:?}", array.path, array.shape)),
        }
    }
    let named = |arrays: &[String]| listed(&arrays.iter().map(String::as_str).collect::<Vec<_>>());
    let why = if !absent.is_empty() && is_given {
        format!(
            "another number of processes saved it, and the state to load into has no arrays of these names, so nothing \
             says which blocks this process wants: {}; if they have another name or place in the type by now, or a \
             migration takes them, load it once with {from} processes and save; otherwise give the state such arrays, \
             made for this group",
            named(&absent)
        )
    } else if !absent.is_empty() || !unknown.is_empty() {
        absent.iter_mut().for_each(|array| array.push_str(" is not in the state"));
        format!(
            "another number of processes saved it, and the state to load into must say which blocks this one wants: load \
             with `load_into`, into a state whose sharded arrays are made for this group: {}",
            named(&[absent, unknown].concat())
        )
    } else {
        return Ok(targets);
    };
    Err(Error::Sharding { path: path.to_owned(), why })
}

/// The blocks that differ from those that the same member saved. An array of another shape is
/// loaded as it was saved, like any other value.
fn targets_of_changed<'t>(
    layout: &'t Layout,
    rank: usize,
    blocks: &BTreeMap<String, ShardedValue>,
) -> BTreeMap<&'t str, Target<'t>> {
    let mut targets = BTreeMap::new();
    for array in &layout.arrays {
        let Some(wanted) = blocks.get(&array.path).filter(|wanted| wanted.shape == array.shape) else {
            continue;
        };
        let saved = array.blocks.iter().find(|block| block.rank == rank as u64);
        let is_same = |saved: &super::blocks::TableBlock| {
            (&saved.offset, &saved.extent) == (&wanted.offset, &wanted.extent)
        };
        if !saved.is_some_and(is_same) {
            let (offset, extent) = (wanted.offset.clone(), wanted.extent.clone());
            targets.insert(&*array.path, Target { array: Some(array), offset, extent });
        }
    }
    targets
}

/// Checks that each wanted block is the one that was loaded: where the type of the state has
/// changed, the program may have read an array under another name, with the blocks of that.
fn check_wanted(
    (path, from): (&Path, usize),
    layout: &Layout,
    (wanted, differences): (&BTreeMap<String, ShardedValue>, &[Difference]),
    loaded: impl FnOnce() -> Result<BTreeMap<String, ShardedValue>, Error>,
) -> Result<(), Error> {
    let known: BTreeSet<&str> = layout.arrays.iter().map(|array| &*array.path).collect();
    let has_changed = differences.iter().any(|difference| !difference.is_name_alone());
    if !has_changed && wanted.keys().all(|path| known.contains(&**path)) {
        return Ok(());
    }
    let loaded = loaded()?;
    let is_other = |wanted: &&ShardedValue| {
        loaded.get(&wanted.path).is_some_and(|loaded| {
            let is_same = (&loaded.offset, &loaded.extent) == (&wanted.offset, &wanted.extent);
            loaded.shape == wanted.shape && !is_same
        })
    };
    let missing = differences.iter().filter(|difference| difference.kind == DifferenceKind::Missing);
    let missing: BTreeSet<String> = missing.map(in_table).collect();
    let other = wanted.values().filter(is_other).map(|wanted| &*wanted.path);
    let (new, renamed): (Vec<&str>, Vec<&str>) = other.partition(|path| is_in(&missing, path));
    let why = match (&new[..], &renamed[..]) {
        ([], []) => return Ok(()),
        (new, []) => format!(
            "the checkpoint does not have these arrays, and their defaults are other blocks than those that this process \
             wants: {}; let the default be an array without elements, and set them after the load",
            listed(new)
        ),
        (_, renamed) => format!(
            "the checkpoint has these arrays under other names, and then each process can only load the block that it \
             saved: {}; load them with {from} processes into the blocks of the checkpoint and save, before they are \
             split otherwise",
            listed(renamed)
        ),
    };
    Err(Error::Sharding { path: path.to_owned(), why })
}

/// The shard that gives everything but the wanted blocks.
struct Base {
    file: File,
}

impl Base {
    fn open(open: &mut OpenShard<'_>, rank: usize) -> Result<Base, Error> {
        let (path, container) = open(rank)?;
        Ok(Base { file: File::of(&path, container) })
    }

    fn contradiction(&self, why: &str) -> Error {
        let (path, part) = (self.file.path().to_owned(), STATE.to_owned());
        Error::Damaged { path, part, why: why.to_owned() }
    }

    fn decode_as_it_is<T: Checkpoint>(
        &self,
        program: &Program,
        pool: &mut dyn FnMut() -> ArrayPool,
    ) -> Result<Decoded<T>, Error> {
        reader::decode(self.file.path(), program, self.file.container(), pool)
    }

    /// Decodes the state with the blocks that `target` names in the places of its own.
    ///
    /// In the bytes of the state each such block gets its new lengths, and refers to an array that
    /// is assembled when it is asked for. So the ordinary decoding of a state reads it, even if the
    /// type of the state has changed since.
    fn decode<'t, T: Checkpoint>(
        &self,
        program: &Program,
        target: &dyn Fn(&ShardedValue) -> Option<Target<'t>>,
        open: &mut OpenShard<'_>,
        pool: &mut dyn FnMut() -> ArrayPool,
    ) -> Result<Decoded<T>, Error> {
        let compared = reader::check_state(self.file.path(), program, self.file.manifest())?;
        let state = self.file.state()?;
        let container = self.file.container();
        let mut bytes = Vec::with_capacity(state.len());
        let mut wanted = Vec::new();
        let mut end = 0;
        let mut unused = container.part_count() as u64;
        for value in tree::survey(&self.file, Asked::Blocks)?.sharded {
            let Some(Target { array, offset, extent }) = target(&value) else { continue };
            let before = state.get(end..value.bytes.start);
            bytes.extend_from_slice(before.ok_or_else(|| self.contradiction("its blocks overlap"))?);
            end = value.bytes.end;
            put_list(&mut bytes, &value.shape);
            put_list(&mut bytes, &offset);
            put_list(&mut bytes, &extent);
            let number = match &value.data {
                tree::BlockData::Apart(number) => Some(*number as u64),
                tree::BlockData::Here(_) => None,
            };
            let reference = number.unwrap_or_else(|| {
                unused += 1;
                unused
            });
            let found = Wanted::new(array, &value, offset, extent, number.is_some());
            let found = found.ok_or_else(|| self.contradiction("its block is not the one of the table"))?;
            put_reference(&mut bytes, found.reference(reference));
            wanted.push((reference, found));
        }
        bytes.extend_from_slice(state.get(end..).unwrap_or_default());
        let mut arrays = Assembled::new(container, wanted, Shards::new(open), pool());
        let path = self.file.path();
        let decoded =
            reader::decode_parts(path, program, self.file.manifest(), compared, &bytes, &mut arrays);
        arrays.end(path, decoded)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
