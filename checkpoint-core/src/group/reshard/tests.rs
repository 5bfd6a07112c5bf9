#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the numbers are small")]

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::*;
use crate::codec;
use crate::container::{Compression, ContainerWriter, Manifest, Metadata, Source};
use crate::group::blocks::{self, Contents};
use crate::group::{Group, ShardElement, Sharded, Shared};

/// A member of a group that does not talk.
#[derive(Clone, Copy)]
struct Member(usize, usize);

impl Group for Member {
    fn rank(&self) -> usize {
        self.0
    }

    fn size(&self) -> usize {
        self.1
    }

    fn all_gather(&self, _: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn members(size: usize) -> impl Iterator<Item = Member> {
    (0..size).map(move |rank| Member(rank, size))
}

/// A file in memory that counts what is read of it.
struct Counted {
    file: Arc<Vec<u8>>,
    bytes: Arc<AtomicU64>,
}

impl Source for Counted {
    fn length(&self) -> u64 {
        self.file.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.bytes.fetch_add(buffer.len() as u64, Relaxed);
        let from = offset as usize;
        buffer.copy_from_slice(&self.file[from..from + buffer.len()]);
        Ok(())
    }
}

/// The files of a group.
struct Job {
    files: Vec<Arc<Vec<u8>>>,
    layout: Layout,
    /// The bytes that loads read.
    read: Arc<AtomicU64>,
}

fn file_of<T: Checkpoint>(state: &T, compression: Option<Compression>) -> Vec<u8> {
    let program = Program::of::<T>();
    let (mut file, mut rest) = (Vec::new(), Vec::new());
    let mut writer = ContainerWriter::new(&mut file).compressed(compression.unwrap_or_default()).unwrap();
    let observed = codec::encode(state, program.forms(), &mut rest, &mut writer).unwrap();
    let mut manifest = Manifest::of(&program, 1, Metadata::new());
    manifest.complete(&observed);
    writer.finish(&rest, manifest).unwrap();
    file
}

impl Job {
    fn try_save<T: Checkpoint>(states: &[T], compression: Option<Compression>) -> Result<Job, Error> {
        let files: Vec<_> = states.iter().map(|state| Arc::new(file_of(state, compression))).collect();
        let read = Arc::new(AtomicU64::new(0));
        let mut job = Job { files, layout: Layout::default(), read };
        let contents: Vec<Contents> = (0..states.len())
            .map(|rank| blocks::of(Path::new("shard"), job.open(rank).unwrap().1))
            .collect::<Result<_, _>>()?;
        job.layout = blocks::join(Path::new("run.ckpt"), &contents)?;
        job.read.store(0, Relaxed);
        Ok(job)
    }

    fn save<T: Checkpoint>(states: &[T]) -> Job {
        Job::try_save(states, None).unwrap()
    }

    fn open(&self, rank: usize) -> Result<(PathBuf, Container), Error> {
        let path = PathBuf::from(format!("{rank:06}"));
        let source = Counted { file: Arc::clone(&self.files[rank]), bytes: Arc::clone(&self.read) };
        let container = Container::open(Box::new(source), &[]);
        Ok((path.clone(), container.map_err(|refusal| Error::refused(&path, refusal))?))
    }

    fn load_with<T: Checkpoint>(
        &self,
        member: Member,
        into: Option<&mut T>,
        on_resize: Option<&OnResize<T>>,
    ) -> Result<T, Error> {
        let program = Program::of::<T>();
        let load = Load {
            path: Path::new("run.ckpt"),
            layout: &self.layout,
            from: self.files.len(),
            to: member.1,
            rank: member.0,
            program: &program,
            open: &mut |rank| self.open(rank),
            on_resize,
        };
        super::load(load, into).map(|decoded| *decoded.state)
    }

    fn load<T: Checkpoint>(&self, member: Member, mut into: T) -> Result<T, Error> {
        self.load_with(member, Some(&mut into), None)
    }
}

/// Gives each element the value that `value` makes of its number in the whole array.
fn fill<T: ShardElement>(mut block: Sharded<T>, value: impl Fn(u64) -> T) -> Sharded<T> {
    let (shape, offset, extent) = (block.shape().to_vec(), block.offset().to_vec(), block.extent().to_vec());
    for (number, element) in block.data_mut().iter_mut().enumerate() {
        let (mut rest, mut whole, mut stride) = (number as u64, 0, 1);
        for dimension in (0..shape.len()).rev() {
            whole += (offset[dimension] + rest % extent[dimension]) * stride;
            rest /= extent[dimension];
            stride *= shape[dimension];
        }
        *element = value(whole);
    }
    block
}

fn number(number: u64) -> f64 {
    (number as f64).sqrt()
}

type State = (Shared<u64>, Sharded<f64>);

fn split(shape: &[u64], grid: &[u64]) -> Vec<Sharded<f64>> {
    let size = grid.iter().product::<u64>() as usize;
    members(size).map(|member| Sharded::blocks(shape, grid, &member).unwrap()).collect()
}

fn filled(shape: &[u64], grid: &[u64]) -> Vec<State> {
    split(shape, grid).into_iter().map(|block| (Shared(7), fill(block, number))).collect()
}

fn loads_as(job: &Job, shape: &[u64], grid: &[u64]) {
    let expected = filled(shape, grid);
    for (rank, (block, expected)) in split(shape, grid).into_iter().zip(&expected).enumerate() {
        let found = job.load(Member(rank, expected_size(grid)), (Shared(0), block)).unwrap();
        assert!(found == *expected, "{shape:?} as {grid:?}, rank {rank}");
    }
}

fn expected_size(grid: &[u64]) -> usize {
    grid.iter().product::<u64>() as usize
}

#[test]
fn any_split_loads_as_any_other_to_the_bit() {
    let grids: [&[u64]; 9] =
        [&[4, 1], &[1, 1], &[3, 1], &[6, 1], &[2, 2], &[3, 3], &[1, 4], &[1, 6], &[20, 1]];
    for (shape, grids) in [([17, 13], &grids[..]), ([400, 300], &grids[4..7])] {
        for from in grids {
            let job = Job::save(&filled(&shape, from));
            for to in grids {
                loads_as(&job, &shape, to);
            }
        }
    }
}

#[cfg(feature = "zstd")]
#[test]
fn compressed_shards_load_in_any_split() {
    let states: Vec<State> = split(&[900, 700], &[2, 2])
        .into_iter()
        .map(|block| (Shared(7), fill(block, |number| (number / 1000) as f64)))
        .collect();
    let job = Job::try_save(&states, Some(Compression::Zstd(3))).unwrap();
    for (rank, block) in split(&[900, 700], &[3, 3]).into_iter().enumerate() {
        let expected = fill(block.clone(), |number| (number / 1000) as f64);
        assert!(job.load(Member(rank, 9), (Shared(0), block)).unwrap().1 == expected, "rank {rank}");
    }
}

#[test]
fn a_load_reads_the_blocks_it_needs_and_two_chunks_each() {
    const CHUNK: u64 = 1 << 20;
    let shape = [6000, 1000];
    for (from, to) in [(4, 6), (4, 3), (4, 1), (1, 4), (3, 7), (4, 4)] {
        let job = Job::save(&filled(&shape, &[from, 1]));
        for (rank, block) in split(&shape, &[to, 1]).into_iter().enumerate() {
            let needed = block.data().len() as u64 * 8;
            let region = crate::group::plan::Region { offset: block.offset(), extent: block.extent() };
            let array = &job.layout.arrays[0];
            let blocks = array.blocks.iter().filter(|old| old.region().meets(&region)).count() as u64;
            job.read.store(0, Relaxed);
            job.load(Member(rank, to as usize), (Shared(0), block)).unwrap();
            let read = job.read.load(Relaxed);
            // Besides, each file has a manifest, a list of entries, and the rest of the state.
            let most = needed + 2 * CHUNK * blocks + (blocks + 1) * (32 << 10);
            assert!(read <= most, "{from} to {to}, rank {rank}: {read} bytes of {needed}, at most {most}");
        }
    }
}

/// The place in a file of the data of its first array.
fn data_in(job: &Job, rank: usize, length: usize) -> usize {
    let file = &job.files[rank];
    let header = file.windows(6).position(|six| six == b"\x93NUMPY").unwrap();
    let start = header + 10 + usize::from(u16::from_le_bytes([file[header + 8], file[header + 9]]));
    assert!(start + length <= file.len());
    start
}

#[test]
fn a_flipped_bit_in_what_is_read_is_refused() {
    let shape = [1000, 1000];
    let saved = Job::save(&filled(&shape, &[2, 1]));
    let start = data_in(&saved, 1, 4_000_000);
    // Rank 0 of 4 needs the first 2 MB of the first shard, and nothing of the second. Rank 2 needs
    // the first 2 MB of the second.
    for (flipped, place, damaged) in [
        (1, start, vec![2]),
        (1, start + 1_000_003, vec![2]),
        (1, start + 1_999_999, vec![2, 3]), // in a chunk of both
        (1, start + 3_900_000, vec![3]),
        (0, start + 17, vec![0]),
    ] {
        let mut job = Job { files: saved.files.clone(), layout: saved.layout.clone(), read: Arc::default() };
        let mut file = job.files[flipped].to_vec();
        file[place] ^= 4;
        job.files[flipped] = Arc::new(file);
        for (rank, block) in split(&shape, &[4, 1]).into_iter().enumerate() {
            match job.load(Member(rank, 4), (Shared(0), block.clone())) {
                Ok(found) => {
                    assert!(!damaged.contains(&rank), "byte {place} of {flipped} went unnoticed on {rank}");
                    assert!(found.1 == fill(block, number));
                }
                Err(Error::Damaged { path, .. }) => {
                    assert_eq!(path, Path::new(&format!("{flipped:06}")));
                    assert!(damaged.contains(&rank), "byte {place} of {flipped} is not read on {rank}");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn no_bit_of_an_array_header_leads_to_other_numbers() {
    let shape = [64, 48];
    let saved = Job::save(&filled(&shape, &[2, 1]));
    let header = saved.files[1].windows(6).position(|six| six == b"\x93NUMPY").unwrap();
    for bit in 0..8 * 128 {
        let mut job = Job { files: saved.files.clone(), layout: saved.layout.clone(), read: Arc::default() };
        let mut file = job.files[1].to_vec();
        file[header + bit / 8] ^= 1 << (bit % 8);
        job.files[1] = Arc::new(file);
        let wanted = split(&shape, &[1, 4]).remove(2);
        let error = job.load(Member(2, 4), (Shared(0), wanted)).unwrap_err();
        assert!(error.is_damage(), "bit {bit}: {error}");
    }
}

#[test]
fn a_header_in_a_chunk_that_is_not_read_is_compared() {
    let shape = [2, 400_000];
    let mut job = Job::save(&filled(&shape, &[2, 1]));
    let mut file = job.files[1].to_vec();
    let header = file.windows(6).position(|six| six == b"\x93NUMPY").unwrap();
    let descr = file[header..].windows(3).position(|three| three == b"<f8").unwrap();
    file[header + descr + 1] = b'i';
    job.files[1] = Arc::new(file);
    let wanted = split(&shape, &[1, 4]).remove(3);
    let error = job.load(Member(3, 4), (Shared(0), wanted)).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("is not as the state says"), "{error}");
}

#[test]
fn sharded_arrays_are_found_wherever_they_are() {
    type Nested = (
        Vec<Sharded<f64>>,
        Option<Sharded<i32>>,
        Result<Sharded<u8>, Shared<u64>>,
        BTreeMap<String, Sharded<[f32; 3]>>,
        Shared<Vec<f64>>,
        HashMap<u32, Sharded<bool>>,
    );
    fn state(member: Member, is_filled: bool) -> Nested {
        fn block<T: ShardElement>(
            member: Member,
            shape: &[u64],
            value: Option<impl Fn(u64) -> T>,
        ) -> Sharded<T> {
            let block = Sharded::rows(shape, &member).unwrap();
            match value {
                Some(value) => fill(block, value),
                None => block,
            }
        }
        macro_rules! value {
            ($value:expr) => {
                is_filled.then_some($value)
            };
        }
        (
            vec![
                block(member, &[10, 3], value!(number)),
                block(member, &[5], value!(|n: u64| -number(n))),
                block(member, &[7, 2, 2], value!(number)),
            ],
            Some(block(member, &[11], value!(|n: u64| n as i32 - 5))),
            Ok(block(member, &[1], value!(|n: u64| n as u8 + 1))),
            ["a/b", "", "x"]
                .map(|key| {
                    (
                        key.to_owned(),
                        block(member, &[9, 2], value!(|n: u64| [n as f32, -1.0, key.len() as f32])),
                    )
                })
                .into(),
            Shared(if is_filled { vec![0.5, 1.5] } else { Vec::new() }),
            [3, 1, 2]
                .map(|key| (key, block(member, &[6], value!(|n: u64| n.is_multiple_of(u64::from(key))))))
                .into(),
        )
    }
    for from in [1, 2, 5] {
        let states: Vec<Nested> = members(from).map(|member| state(member, true)).collect();
        let job = Job::save(&states);
        for to in [1, 3, 4] {
            for member in members(to) {
                let found = job.load(member, state(member, false)).unwrap();
                assert!(found == state(member, true), "{from} to {to}, rank {}", member.0);
            }
        }
    }
}

#[test]
fn fields_that_are_neither_are_named() {
    type Mixed = (Sharded<f64>, u64, Vec<(Sharded<f64>, String)>, Shared<u32>, ());
    let state = |member: Member| -> Mixed {
        let block = || Sharded::rows([4], &member).unwrap();
        (block(), 1, vec![(block(), "name".to_owned())], Shared(0), ())
    };
    let job = Job::save(&members(2).map(state).collect::<Vec<_>>());
    match job.load(Member(0, 3), state(Member(0, 3))).unwrap_err() {
        Error::Resized { from: 2, to: 3, fields, .. } => assert_eq!(fields, ["1", "2[].1"]),
        other => panic!("{other}"),
    }
    // The same number of processes needs nothing of it.
    assert_eq!(job.load(Member(1, 2), state(Member(1, 2))).unwrap(), state(Member(1, 2)));
}

#[test]
fn a_state_without_any_shards_names_itself() {
    let job = Job::save(&[1_u64, 2]);
    match job.load(Member(0, 1), 0_u64).unwrap_err() {
        Error::Resized { fields, .. } => assert_eq!(fields, ["the whole state"]),
        other => panic!("{other}"),
    }
    assert_eq!(job.load(Member(1, 2), 0_u64).unwrap(), 2);
}

#[test]
fn a_program_says_what_becomes_of_the_rest() {
    type Mixed = (Sharded<f64>, Vec<f64>, u64);
    let state = |member: Member| -> Mixed {
        let particles = (0..member.0 as u64 * 10_000).map(number).collect();
        (fill(Sharded::rows([100, 100], &member).unwrap(), number), particles, 9)
    };
    let job = Job::save(&members(3).map(state).collect::<Vec<_>>());
    let on_resize: &OnResize<Mixed> = &|old, state| {
        state.1.clear();
        for rank in 0..old.size() {
            let (block, particles, _) = old.load(rank)?;
            assert_eq!((block.shape(), block.data().len()), (&[100, 100][..], 0));
            state.1.extend(particles);
        }
        assert!(old.load(old.size()).is_err());
        Ok(())
    };
    let all: Vec<f64> = members(3).flat_map(|member| state(member).1).collect();
    for member in members(2) {
        let mut into = (Sharded::rows([100, 100], &member).unwrap(), Vec::new(), 0);
        let found = job.load_with(member, Some(&mut into), Some(on_resize)).unwrap();
        assert_eq!(found.0, fill(Sharded::rows([100, 100], &member).unwrap(), number));
        assert_eq!(found.1, all);
        assert_eq!(found.2, 9);
    }
}

#[test]
fn rows_become_columns_in_a_group_of_the_same_size() {
    // A field that is neither stays this member's own.
    let state = |member: Member, grid: [u64; 2]| {
        (fill(Sharded::blocks([30, 40], grid, &member).unwrap(), number), member.0 as u64)
    };
    let job = Job::save(&members(4).map(|member| state(member, [4, 1])).collect::<Vec<_>>());
    for member in members(4) {
        let into = (Sharded::blocks([30, 40], [1, 4], &member).unwrap(), 77);
        assert_eq!(job.load(member, into).unwrap(), state(member, [1, 4]));
        // Without a state to load into, or one that says nothing, each has what it saved.
        let found: (Sharded<f64>, u64) = job.load_with(member, None, None).unwrap();
        assert_eq!(found, state(member, [4, 1]));
        assert_eq!(job.load(member, (Sharded::default(), 0)).unwrap(), state(member, [4, 1]));
    }
}

#[test]
fn another_size_must_say_which_block_it_wants() {
    let job = Job::save(&filled(&[30, 40], &[4, 1]));
    let message = |into: Option<State>| {
        let mut into = into;
        job.load_with::<State>(Member(0, 2), into.as_mut(), None).unwrap_err().to_string()
    };
    assert!(message(None).contains("`1` of shape [30, 40] is not in the state"), "{}", message(None));
    let other = message(Some((Shared(0), Sharded::rows([31, 40], &Member(0, 2)).unwrap())));
    assert!(other.contains("has the shape [30, 40] in the checkpoint, and [31, 40] in the state"), "{other}");
}

#[test]
fn blocks_that_do_not_make_up_an_array_are_refused() {
    let block = |offset: u64, extent: u64| {
        Sharded::new(&[10], &[offset], &[extent], vec![1.0; extent as usize]).unwrap()
    };
    let message = |states: &[Sharded<f64>]| match Job::try_save(states, None) {
        Err(error @ Error::Sharding { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("accepted"),
    };
    assert!(message(&[block(0, 5), block(4, 6)]).contains("ranks 0 and 1 overlap"));
    assert!(message(&[block(0, 5), block(6, 4)]).contains("1 elements of"));
    let other = Sharded::new(&[9], &[5], &[4], vec![1.0; 4]).unwrap();
    assert!(message(&[block(0, 5), other]).contains("has the shape [9] on rank 1, and [10] on rank 0"));
    Job::save(&[block(0, 5), block(0, 0), block(5, 5)]);
}

#[test]
fn shared_values_that_differ_are_refused_and_named() {
    type Params = (Shared<u64>, Shared<Vec<f64>>, Shared<HashMap<String, u32>>, Shared<Vec<u32>>);
    let map = |order: &[u32]| -> HashMap<String, u32> {
        order.iter().map(|number| (number.to_string(), *number)).collect()
    };
    let good: Params = (Shared(1), Shared(vec![1.0; 20_000]), Shared(map(&[1, 2, 3])), Shared(vec![1, 2]));
    let mut same = good.clone();
    same.2 = Shared(map(&[3, 2, 1]));
    Job::save(&[good.clone(), same]);
    let message = |other: Params| match Job::try_save(&[good.clone(), good.clone(), other], None) {
        Err(error @ Error::Sharding { .. }) => error.to_string(),
        _ => panic!("accepted"),
    };
    let mut other = good.clone();
    other.0 = Shared(2);
    assert!(message(other).ends_with("differs between ranks 0 and 2: 0"));
    let mut other = good.clone();
    other.1[12_345] = -0.0;
    assert!(message(other).ends_with(": 1"));
    let mut other = good.clone();
    other.2.insert("1".to_owned(), 4);
    assert!(message(other).ends_with(": 2"));
    let mut other = good.clone();
    other.3 = Shared(vec![2, 1]);
    assert!(message(other).ends_with(": 3"));
}

#[test]
fn the_order_of_a_shared_list_counts() {
    let list = |words: [&str; 2]| Shared(words.map(str::to_owned).to_vec());
    Job::save(&[list(["a", "b"]), list(["a", "b"])]);
    assert!(Job::try_save(&[list(["a", "b"]), list(["b", "a"])], None).is_err());
}

#[test]
fn a_shared_array_is_the_same_apart_and_in_place() {
    // So many arrays before it that a short one stays in place.
    let state =
        |count: usize| (vec![vec![1_u8; 3]; count], Shared(vec![1.5_f64, -2.5]), Shared(vec![[1_i32, 2]]));
    Job::save(&[state(0), state(5000)]);
}

#[test]
fn lists_of_other_lengths_keep_other_sizes_out() {
    let state = |member: Member, more: usize| -> (Vec<Option<Sharded<f64>>>,) {
        let mut list = vec![Some(fill(Sharded::rows([8], &member).unwrap(), number))];
        list.extend(std::iter::repeat_n(None, more));
        (list,)
    };
    let job = Job::save(&[state(Member(0, 2), 0), state(Member(1, 2), 1)]);
    assert_eq!(job.load(Member(1, 2), state(Member(1, 2), 0)).unwrap(), state(Member(1, 2), 1));
    let error = job.load(Member(0, 1), state(Member(0, 1), 0)).unwrap_err();
    assert!(error.to_string().contains("were not the same on all processes"), "{error}");
}

#[test]
fn a_shard_of_another_attempt_is_not_mixed_in() {
    let shape = [100, 100];
    let mut job = Job::save(&filled(&shape, &[2, 1]));
    let columns = Job::save(&filled(&shape, &[1, 2]));
    job.files[1] = Arc::clone(&columns.files[1]);
    let into: State = (Shared(0), Sharded::rows(shape, &Member(0, 1)).unwrap());
    let error = job.load(Member(0, 1), into).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("is not the one of the table"), "{error}");
}

#[test]
fn a_forged_table_is_refused() {
    let shape = [100, 100];
    let forge = |change: &dyn Fn(&mut Layout)| {
        let mut job = Job::save(&filled(&shape, &[2, 1]));
        change(&mut job.layout);
        let into: State = (Shared(0), Sharded::rows(shape, &Member(0, 1)).unwrap());
        let error = job.load(Member(0, 1), into).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. } | Error::Sharding { .. }), "{error}");
    };
    forge(&|layout| layout.arrays[0].blocks[1].rank = 2);
    forge(&|layout| layout.arrays[0].blocks[1].offset[0] = u64::MAX);
    forge(&|layout| drop(layout.arrays[0].blocks.pop()));
    forge(&|layout| layout.arrays[0].descr = "<i8".to_owned());
    forge(&|layout| layout.arrays[0].shape = vec![u64::MAX; 2]);
    forge(&|layout| layout.arrays[0].path = "9".to_owned());
}

#[test]
fn memory_of_the_state_is_used_again() {
    let job = Job::save(&filled(&[1000, 100], &[4, 1]));
    let mut into = (Shared(0), Sharded::<f64>::rows([1000, 100], &Member(1, 3)).unwrap());
    let before = into.1.data().as_ptr();
    let found = job.load_with(Member(1, 3), Some(&mut into), None).unwrap();
    assert_eq!(found.1.data().as_ptr(), before);
}

#[test]
fn elements_of_another_type_become_the_same_numbers_or_an_error() {
    type Old = (Shared<u64>, Sharded<f32>);
    let exact: Vec<Old> = members(4)
        .map(|member| (Shared(7), fill(Sharded::rows([50, 6], &member).unwrap(), |n| n as f32)))
        .collect();
    let job = Job::save(&exact);
    for member in members(3) {
        let into: State = (Shared(0), Sharded::rows([50, 6], &member).unwrap());
        let expected = fill(into.1.clone(), |n| n as f64);
        assert_eq!(job.load(member, into).unwrap().1, expected);
    }
    let job = Job::save(&filled(&[50, 6], &[4, 1]));
    let into: Old = (Shared(0), Sharded::rows([50, 6], &Member(0, 3)).unwrap());
    let error = job.load(Member(0, 3), into).unwrap_err();
    assert!(matches!(error, Error::SchemaMismatch { .. }), "{error}");
}

#[cfg(all(feature = "num-complex", feature = "half", feature = "ndarray"))]
#[test]
fn complex_and_short_floats_are_elements_too() {
    use num_complex::Complex;
    type Odd = (
        Sharded<Complex<f64>>,
        Sharded<half::f16>,
        Sharded<[[i16; 3]; 2]>,
        Sharded<i128>,
        Sharded<[Complex<f32>; 2]>,
    );
    let empty = |member: Member| -> Odd {
        (
            Sharded::rows([9, 3], &member).unwrap(),
            Sharded::rows([8, 3], &member).unwrap(),
            Sharded::rows([7, 3], &member).unwrap(),
            Sharded::rows([6, 3], &member).unwrap(),
            Sharded::rows([5, 3], &member).unwrap(),
        )
    };
    let full = |member: Member| -> Odd {
        let (a, b, c, d, e) = empty(member);
        (
            fill(a, |n| Complex::new(n as f64, -1.0)),
            fill(b, |n| half::f16::from_f32(n as f32)),
            fill(c, |n| [[n as i16, 1, 2], [3, 4, 5]]),
            fill(d, |n| -i128::from(n)),
            fill(e, |n| [Complex::new(n as f32, 1.0), Complex::new(0.5, n as f32)]),
        )
    };
    let job = Job::save(&members(3).map(full).collect::<Vec<_>>());
    for member in members(5) {
        let found = job.load(member, empty(member)).unwrap();
        assert!(found == full(member));
        assert_eq!(found.0.view().shape().len(), 2);
    }
}

#[test]
fn a_block_in_a_file_is_an_array_of_its_extent() {
    let states = filled(&[10, 6], &[2, 3]);
    let job = Job::save(&states);
    let (path, container) = job.open(5).unwrap();
    let file = File::of(&path, container);
    let arrays: Vec<_> = file.arrays().map(Result::unwrap).collect();
    assert_eq!(arrays.len(), 1);
    assert_eq!((arrays[0].part(), arrays[0].shape()), ("1/data.npy", &[5, 2][..]));
    let json = serde_json::to_string(&states[5].1).unwrap();
    assert!(json.starts_with("{\"shape\":[10,6],\"offset\":[5,4],\"extent\":[5,2],\"data\":["), "{json}");
    assert_eq!(serde_json::from_str::<Sharded<f64>>(&json).unwrap(), states[5].1);
    let forged = json.replace("[5,4]", "[6,4]");
    assert!(serde_json::from_str::<Sharded<f64>>(&forged).unwrap_err().to_string().contains("not inside"));
}

#[test]
fn a_forged_schema_takes_no_time_to_look_through() {
    use crate::schema::{Body, Definition, Field, Fields, Schema, Type};
    use crate::tree::{SHARED, is_sharded, neither};
    let definition = |name: &str, body| Definition {
        name: name.to_owned(),
        version: 1,
        foreign: false,
        observed: false,
        body: Body::Struct(body),
    };
    let shared = definition(SHARED, Fields::Newtype(Type::U8));
    let field = |name: &str, place| Field { name: name.to_owned(), ty: Type::Named(place) };
    // Each refers twice to the next: 2^10000 paths, 10000 deep.
    let count = 10_000;
    let doubled = |place| definition("A", Fields::Named(vec![field("a", place + 1), field("b", place + 1)]));
    let mut types: Vec<Definition> = (0..count).map(doubled).collect();
    types.push(shared);
    let schema = Schema { root: Type::Named(0), types };
    assert!(is_sharded(&schema));
    assert!(neither(&schema).len() <= 50);
    let short = Schema { root: Type::Named(count - 60), types: schema.types };
    assert!(neither(&short).is_empty());
}

#[test]
fn arrays_under_keys_of_other_members_are_never_lost() {
    type Patches = BTreeMap<String, Sharded<f64>>;
    let whole = || fill(Sharded::new(&[4], &[0], &[4], vec![0.0; 4]).unwrap(), number);
    let patch = |key: &str| Patches::from([(key.to_owned(), whole())]);
    let job = Job::save(&[patch("a"), patch("b")]);
    let both = || Patches::from(["a", "b"].map(|key| (key.to_owned(), whole())));
    for member in members(1).chain(members(3)) {
        let error = job.load(member, both()).unwrap_err();
        assert!(
            matches!(error, Error::Sharding { .. }) && error.to_string().contains("were not the same"),
            "{error}"
        );
    }
    // The same members have the same keys: each loads its own.
    assert_eq!(job.load(Member(1, 2), patch("b")).unwrap()["b"].data(), whole().data());
    // One that wants the array of the other does not get nothing in its place.
    let error = job.load(Member(0, 2), both()).unwrap_err();
    assert!(error.to_string().contains("load them: b;"), "{error}");
}

#[test]
fn keys_of_other_members_are_never_lost() {
    type Patches = (Sharded<f64>, BTreeMap<String, Option<Sharded<f64>>>);
    let state = |member: Member, key: &str| -> Patches {
        let field = fill(Sharded::rows([8], &member).unwrap(), number);
        (field, BTreeMap::from([(key.to_owned(), None)]))
    };
    let job = Job::save(&[state(Member(0, 2), "a"), state(Member(1, 2), "b")]);
    let error = job.load(Member(0, 1), state(Member(0, 1), "a")).unwrap_err();
    assert!(error.to_string().contains("were not the same on all processes"), "{error}");
    let job = Job::save(&[state(Member(0, 2), "a"), state(Member(1, 2), "a")]);
    job.load(Member(0, 1), state(Member(0, 1), "a")).unwrap();
    // The same where no member has any block at this save.
    type Empty = BTreeMap<String, Option<Sharded<f64>>>;
    let empty = |key: &str| Empty::from([(key.to_owned(), None)]);
    let job = Job::save(&[empty("a"), empty("b")]);
    let error = job.load(Member(0, 1), empty("a")).unwrap_err();
    assert!(error.to_string().contains("were not the same on all processes"), "{error}");
    assert_eq!(job.load(Member(1, 2), empty("a")).unwrap(), empty("b"));
    // The program may say what becomes of them.
    let on_resize: &OnResize<Empty> = &|old, state| {
        for rank in 0..old.size() {
            state.extend(old.load(rank)?);
        }
        Ok(())
    };
    let found = job.load_with(Member(0, 1), Some(&mut empty("a")), Some(on_resize)).unwrap();
    assert_eq!(found, Empty::from(["a", "b"].map(|key| (key.to_owned(), None))));
}

#[test]
fn keys_that_are_the_same_as_text_are_not_taken_for_one() {
    type Key = (String, String);
    fn key(one: &str, other: &str) -> Key {
        (one.to_owned(), other.to_owned())
    }
    let (first, last) = (key("a", "b, c"), key("a, b", "c"));
    let state = |value| BTreeMap::from([(first.clone(), Shared(value)), (last.clone(), Shared(7))]);
    let error = Job::try_save(&[state(1), state(2)], None).err().unwrap();
    assert!(matches!(error, Error::Sharding { .. }), "{error}");
    assert!(error.to_string().contains("the same path: (a, b, c)"), "{error}");
    let long = |end: &str| key(&"x".repeat(300), end);
    let blocks = ["y", "z"].map(|end| (long(end), Sharded::new(&[1], &[0], &[1], vec![0.0]).unwrap()));
    let error = Job::try_save(&[BTreeMap::from(blocks)], None).err().unwrap();
    assert!(error.to_string().contains("give it keys that differ as text"), "{error}");
    // Nor are those of two members.
    let empty = |key: &Key| BTreeMap::from([(key.clone(), None::<Sharded<f64>>)]);
    let job = Job::save(&[empty(&first), empty(&last)]);
    let error = job.load(Member(0, 1), empty(&first)).unwrap_err();
    assert!(error.to_string().contains("were not the same on all processes"), "{error}");
}

#[test]
fn variants_of_other_members_are_never_lost() {
    #[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    enum Phase {
        Warm,
        Cool,
        Run(Shared<u64>),
    }

    impl Checkpoint for Phase {
        const NAME: &'static str = "Phase";

        fn schema(types: &mut crate::state::Types) -> crate::schema::Type {
            crate::state::derived::<Phase>(types)
        }
    }

    let state = |phase| (Shared(7_u64), phase);
    let job = Job::save(&[state(Phase::Warm), state(Phase::Cool)]);
    for member in members(1).chain(members(3)) {
        let error = job.load(member, state(Phase::Warm)).unwrap_err();
        assert!(matches!(error, Error::Sharding { .. }), "{error}");
        for part in ["were not the same on all processes", "2 processes", "on_resize"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
    assert_eq!(job.load(Member(1, 2), state(Phase::Warm)).unwrap(), state(Phase::Cool));
    for phase in [Phase::Cool, Phase::Run(Shared(3))] {
        let job = Job::save(&[state(phase); 2]);
        assert_eq!(job.load(Member(2, 3), state(Phase::Warm)).unwrap(), state(phase));
    }
}

#[test]
fn a_base_with_other_elements_than_the_table_is_refused() {
    let mut job = Job::save(&filled(&[100, 100], &[2, 1]));
    let whole_numbers: Vec<(Shared<u64>, Sharded<i64>)> = members(2)
        .map(|member| (Shared(7), fill(Sharded::rows([100, 100], &member).unwrap(), |number| number as i64)))
        .collect();
    let other = Job::save(&whole_numbers);
    // The base is of the one job, and the rows that are wanted and the table are of the other.
    (job.files[1], job.layout) = (Arc::clone(&other.files[1]), other.layout);
    let into: State = (Shared(0), Sharded::rows([100, 100], &Member(2, 3)).unwrap());
    let error = job.load(Member(2, 3), into).unwrap_err();
    assert!(error.is_damage() && error.to_string().contains("is not the one of the table"), "{error}");
}

#[cfg(feature = "encryption")]
#[test]
fn a_group_that_cannot_read_its_saves_has_no_sharded_state() {
    use crate::group::Alone;
    use crate::{Checkpointer, Protection};

    let directory = tempfile::tempdir().unwrap();
    let recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    let protection = Protection::new().encrypt_to(recipient).unwrap();
    let builder = Checkpointer::<Sharded<f64>>::builder(directory.path()).protection(protection.clone());
    let error = builder.open_group(Alone).unwrap_err();
    assert!(error.to_string().contains("give the identity too"), "{error}");
    // Without arrays that members have together there is nothing to look at.
    Checkpointer::<u64>::builder(directory.path().join("plain"))
        .protection(protection)
        .open_group(Alone)
        .unwrap();
}
