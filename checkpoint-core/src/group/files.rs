//! The files of a group's checkpoint, opened without its program: for tools.

use std::collections::BTreeSet;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::assembled::{Shards, Wanted};
use super::parts::without_places;
use super::table::{Shard, Table};
use crate::arrays::{Array, ArrayPool, ArraySink as _, Cause, Kind};
use crate::base::text::listed;
use crate::codec::bytes::{put_count, put_list, put_reference};
use crate::container::{Container, ContainerWriter, Manifest, STATE};
use crate::error::Error;
use crate::run::reader;
use crate::seal::Protection;
use crate::store::{Directory, Disk as _, Home, RANKS, RealDisk, of_rank};
use crate::tree::{self, Asked, BlockData, File, ShardedValue};

/// The parts of a checkpoint that a group saved.
#[derive(Debug)]
pub struct GroupFile {
    /// The place of the group.
    home: Arc<dyn Home>,
    /// True for a directory of this machine, whose files are opened by their paths.
    is_directory: bool,
    /// The manifest of the table.
    manifest: Manifest,
    protection: Protection,
    table: Table,
    arrays: Vec<GroupArray>,
}

/// An array that the members of a group have together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GroupArray {
    /// The place in the state. The variants of enums are steps of their own.
    pub path: String,
    /// The name in numpy of the type of its numbers, such as `<f8`. A complex number is two
    /// numbers.
    pub dtype: String,
    /// The lengths of its dimensions, outermost first. Those of elements that are fixed arrays are
    /// the last.
    pub shape: Vec<u64>,
    /// The number of blocks that are not empty.
    pub blocks: usize,
}

/// The cost of the part of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupCost {
    /// The length of its file.
    pub bytes: u64,
    /// The time that the process waited for its part.
    pub stall: Duration,
    /// The time until its part was on the disk.
    pub total: Duration,
}

impl GroupFile {
    /// Returns the parts of a checkpoint, where `file` is its table. `None` if no group saved it.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the table is damaged.
    pub fn of(file: &File, protection: &Protection) -> Result<Option<GroupFile>, Error> {
        if !file.manifest().is_of_group() {
            return Ok(None);
        }
        let path = file.path();
        let program = reader::program_of::<Table>()?;
        let decoded = reader::decode::<Table>(path, &program, file.container(), &mut ArrayPool::default)?;
        let table = *decoded.state;
        let damaged = |why| Error::Damaged { path: path.to_owned(), part: "table".to_owned(), why };
        if table.shards.len() != table.size {
            return Err(damaged("it does not have one part for each process".to_owned()));
        }
        table.layout.check(table.size).map_err(damaged)?;
        let arrays = table.layout.arrays.iter().map(|array| GroupArray {
            path: array.path.clone(),
            dtype: array.descr.clone(),
            shape: [&array.shape[..], &array.inner].concat(),
            blocks: array.blocks.iter().filter(|block| !block.extent.contains(&0)).count(),
        });
        let home = file.home().cloned();
        let is_directory = home.is_none();
        let directory =
            || Arc::new(Directory::new(path.parent().unwrap_or(path), Arc::new(RealDisk::default())));
        Ok(Some(GroupFile {
            home: home.unwrap_or_else(|| directory()),
            is_directory,
            manifest: file.manifest().clone(),
            protection: protection.clone(),
            arrays: arrays.collect(),
            table,
        }))
    }

    /// The number of processes that saved it.
    #[must_use]
    pub fn size(&self) -> usize {
        self.table.size
    }

    /// The arrays that the processes have together, by their paths.
    #[must_use]
    pub fn arrays(&self) -> &[GroupArray] {
        &self.arrays
    }

    /// The costs of the parts, by rank.
    pub fn costs(&self) -> impl ExactSizeIterator<Item = GroupCost> {
        let cost =
            |shard: &Shard| GroupCost { bytes: shard.length, stall: shard.stall, total: shard.duration };
        self.table.shards.iter().map(cost)
    }

    /// The ranks whose directories are not here, as where processes save in directories of their
    /// own machines; none in a store, where a part that is not there is lost.
    ///
    /// # Errors
    /// If the ranks cannot be listed.
    pub fn elsewhere(&self) -> Result<Vec<usize>, Error> {
        without_places(&*self.home, self.table.size)
    }

    /// The path of the part of a process.
    #[must_use]
    pub fn path_of(&self, rank: usize) -> PathBuf {
        let place = self.home.member(rank).map(|member| member.location(self.manifest.generation()));
        place.unwrap_or_else(|_| self.home.path().join(RANKS).join(of_rank(rank)))
    }

    /// Opens the part of a process, which must be the one that the table describes.
    ///
    /// # Errors
    /// As [`File::open`], and [`Error::Damaged`] if the part is of another save.
    pub fn part(&self, rank: usize) -> Result<File, Error> {
        let file = match self.is_directory {
            true => File::open(self.path_of(rank), &self.protection)?,
            false => self.part_in_home(rank)?,
        };
        self.table.check(file.path(), rank, file.container())?;
        Ok(file)
    }

    /// Opens the part of a process in any place. One that is not there is damage, as in a
    /// directory.
    fn part_in_home(&self, rank: usize) -> Result<File, Error> {
        let (home, generation) = (self.home.member(rank)?, self.manifest.generation());
        match File::open_in(&home, generation, &self.protection) {
            Err(Error::NoSuchGeneration { .. }) => {
                Err(Error::io("open", &home.location(generation), io::ErrorKind::NotFound.into()))
            }
            opened => opened,
        }
    }

    /// The fields that are neither blocks of an array nor the same on all processes: each process
    /// has its own.
    ///
    /// # Errors
    /// As [`part`](GroupFile::part).
    pub fn fields_of_each(&self) -> Result<Vec<String>, Error> {
        Ok(tree::neither(self.part(0)?.manifest().schema()))
    }

    /// Puts the parts together to one checkpoint, as a process that is alone would have saved it:
    /// with whole arrays. All other fields are as rank 0 saved them.
    ///
    /// The result is in a temporary file without a name, which takes as much space as the parts. It
    /// needs memory for one whole array at a time.
    ///
    /// # Errors
    /// [`Error::Sharding`] if rank 0 has no place for an array, such as one under a key of a map
    /// that only other processes have. The error of a part that is damaged, or of the temporary
    /// file if it cannot be written.
    pub fn assemble(&self) -> Result<File, Error> {
        let base = self.part(0)?;
        let target = std::env::temp_dir();
        let failed = |source| Error::writing("write", &target, source);
        let temporary = tempfile::NamedTempFile::new_in(&target).map_err(failed)?;
        let writer = ContainerWriter::new(BufWriter::with_capacity(1 << 16, temporary.as_file()));
        let mut open = |rank: usize| {
            let path = self.path_of(rank);
            self.part(rank).map(|file| (path, file.into_container()))
        };
        let mut assembly = Assembly { base: &base, shards: Shards::new(&mut open), writer, target: &target };
        let bytes = assembly.write(self)?;
        let own = base.manifest();
        let manifest = Manifest {
            name: own.name.clone(),
            version: own.version,
            schema: own.schema.clone(),
            codec: own.codec.clone(),
            parts: Vec::new(),
            authentication: None,
            ..self.manifest.clone()
        };
        assembly.writer.finish(&bytes, manifest).map_err(failed)?;
        let source = RealDisk::default().open(temporary.path()).map_err(failed)?;
        let path = self.home.path().join(format!("generation {}", self.manifest.generation()));
        let container = Container::open(source, &[]).map_err(|refusal| Error::refused(&path, refusal))?;
        Ok(File::of(&path, container))
    }
}

impl GroupFile {
    /// Checks that the blocks of rank 0 are of all arrays in the table: the others would be left
    /// out without a word.
    fn check_places(&self, values: &[ShardedValue]) -> Result<(), Error> {
        let known: BTreeSet<&str> = values.iter().map(|value| &*value.path).collect();
        let paths = self.table.layout.arrays.iter().map(|array| &*array.path);
        let lost: Vec<&str> = paths.filter(|path| !known.contains(path)).collect();
        if lost.is_empty() {
            return Ok(());
        }
        let why = format!(
            "the part of rank 0 has no place for these arrays, which other processes have, so the whole would be without \
             them: {}; look at the part of each process alone, which is a checkpoint too, such as {}",
            listed(&lost),
            self.path_of(0).display()
        );
        Err(Error::Sharding { path: self.home.path().to_owned(), why })
    }
}

/// A checkpoint that is being put together.
struct Assembly<'a, 'o, W> {
    base: &'a File,
    shards: Shards<'o>,
    writer: ContainerWriter<W>,
    /// The folder of its file, for messages.
    target: &'a Path,
}

impl<W: io::Write> Assembly<'_, '_, W> {
    /// Writes all arrays. Returns the rest of the state.
    fn write(&mut self, group: &GroupFile) -> Result<Vec<u8>, Error> {
        let state = self.base.state()?;
        let mut bytes = Vec::with_capacity(state.len());
        let (mut end, mut array) = (0, 0);
        let values = tree::survey(self.base, Asked::Blocks)?.sharded;
        group.check_places(&values)?;
        for value in values {
            let contradiction = || Error::Damaged {
                path: self.base.path().to_owned(),
                part: STATE.to_owned(),
                why: format!("its block of `{}` is not the one of the table", value.path),
            };
            let in_table = group.table.layout.arrays.iter().find(|array| array.path == value.path);
            let in_table = in_table.ok_or_else(contradiction)?;
            bytes.extend_from_slice(state.get(end..value.bytes.start).ok_or_else(contradiction)?);
            end = value.bytes.end;
            let shape = in_table.shape.clone();
            put_list(&mut bytes, &shape);
            put_list(&mut bytes, &vec![0; shape.len()]);
            put_list(&mut bytes, &shape);
            let whole = Wanted::new(Some(in_table), &value, vec![0; shape.len()], shape, true);
            let whole = whole.ok_or_else(contradiction)?;
            let mut data = allocate(self.target, &value.path, whole.bytes())?;
            whole.assemble(&mut self.shards, &mut data)?;
            match value.data {
                BlockData::Apart(number) => {
                    (array..number).try_for_each(|number| self.copy(number))?;
                    array = number + 1;
                    self.put(number, &value, &in_table.shape, &data)?;
                    put_reference(&mut bytes, whole.reference(number as u64));
                }
                BlockData::Here(_) => {
                    put_count(&mut bytes, whole.reference(0).rows);
                    bytes.extend_from_slice(&data);
                }
            }
        }
        bytes.extend_from_slice(state.get(end..).unwrap_or_default());
        let parts = self.base.container().part_count();
        (array..parts.saturating_sub(1)).try_for_each(|number| self.copy(number))?;
        Ok(bytes)
    }

    /// Writes an array of the base as it is.
    fn copy(&mut self, number: usize) -> Result<(), Error> {
        let refused = |refusal| Error::refused(self.base.path(), refusal);
        let container = self.base.container();
        let header = container.array_header(number).map_err(refused)?;
        let mut data = Vec::new();
        let mut stream = container.stream(number).map_err(refused)?;
        let mut piece = Vec::new();
        while stream.next(&mut piece).map_err(refused)? {
            data.extend_from_slice(&piece);
        }
        let data = usize::try_from(header.header).ok().and_then(|header| data.get(header..));
        let kind = Kind { element: header.element, inner: &[] };
        self.put_array(number, kind, header.shape, data.unwrap_or_default())
    }

    fn put(&mut self, number: usize, value: &ShardedValue, shape: &[u64], data: &[u8]) -> Result<(), Error> {
        let header = self.base.container().array_header(number);
        let header = header.map_err(|refusal| Error::refused(self.base.path(), refusal))?;
        // A complex number is one again, as it was in the block.
        let is_complex = header.element.descr() != value.number.descr();
        let inner = if is_complex {
            value.inner.split_last().map_or(&[][..], |(_, inner)| inner)
        } else {
            &value.inner
        };
        self.put_array(number, Kind { element: header.element, inner: &[] }, [shape, inner].concat(), data)
    }

    fn put_array(&mut self, number: usize, kind: Kind, shape: Vec<u64>, bytes: &[u8]) -> Result<(), Error> {
        let name = self.base.container().part(number).map_or(STATE, |part| part.name).to_owned();
        let put = self.writer.put(name, Array { kind, outer: Some(shape), bytes });
        put.map(drop).map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: Cause) -> Error {
        let source = match cause.downcast::<io::Error>() {
            Ok(source) => *source,
            Err(cause) => io::Error::other(cause.to_string()),
        };
        Error::writing("write", self.target, source)
    }
}

/// Memory for a whole array.
fn allocate(path: &Path, array: &str, bytes: u64) -> Result<Vec<u8>, Error> {
    let length = usize::try_from(bytes).ok();
    let memory = length.and_then(|length| bytemuck::allocation::try_zeroed_vec(length).ok());
    memory.ok_or_else(|| Error::NoMemory { path: path.to_owned(), part: array.to_owned(), bytes })
}
