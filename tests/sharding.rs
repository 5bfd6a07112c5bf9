//! Arrays that a group has together: saved by some processes, loaded by another number of them, or
//! split in another way.

use std::fs;
use std::path::Path;
use std::thread;

use checkpointed::group::{Alone, Group, GroupCheckpointer, ShardElement, Sharded, Shared, Threads};
use checkpointed::{Checkpointer, Error, Key, Protection, ReadBack, checkpointed};
use nalgebra::Complex;
use serde_json::Value;

use crate::common::age::{IDENTITY, RECIPIENT};
use crate::common::file_of;
use crate::common::python::reader;

const SHAPE: [u64; 2] = [60, 48];

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Warm { forces: Sharded<[f32; 3]> },
    Cold,
}

/// A state with blocks in all places, and nothing else.
#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Heat {
    step: Shared<u64>,
    field: Sharded<f64>,
    layers: Vec<Layer>,
    phase: Phase,
    mask: Option<Sharded<bool>>,
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Layer {
    name: Shared<String>,
    weights: Sharded<i64>,
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

impl Heat {
    /// The state before the first step.
    fn new(group: &impl Group, grid: [u64; 2]) -> Heat {
        let layer = |name: &str, rows: u64| Layer {
            name: Shared(name.to_owned()),
            weights: Sharded::rows([rows, 7], group).unwrap(),
        };
        Heat {
            step: Shared(0),
            field: Sharded::blocks(SHAPE, grid, group).unwrap(),
            layers: vec![layer("", 9), layer("", 2)],
            phase: Phase::Warm { forces: Sharded::rows([33], group).unwrap() },
            mask: Some(Sharded::blocks(SHAPE, grid, group).unwrap()),
        }
    }

    /// The state after so many steps.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_wrap, reason = "the numbers are small")]
    fn after(step: u64, group: &impl Group, grid: [u64; 2]) -> Heat {
        let Heat { field, layers, phase, mask, .. } = Heat::new(group, grid);
        let layers = layers.into_iter().zip(["first", "second"]).map(|(layer, name)| Layer {
            name: Shared(name.to_owned()),
            weights: fill(layer.weights, |number| number as i64 - 7 - step as i64),
        });
        let Phase::Warm { forces } = phase else { unreachable!() };
        let forces = fill(forces, |number| [number as f32, 0.5, -(step as f32)]);
        Heat {
            step: Shared(step),
            field: fill(field, |number| ((number + 1) * (step + 1)) as f64 / 7.0),
            layers: layers.collect(),
            phase: Phase::Warm { forces },
            mask: mask.map(|mask| fill(mask, |number| number % (step + 2) == 0)),
        }
    }
}

/// Lets each member of a group of this size do something, and returns what each returned, by rank.
fn on_all<R: Send>(size: usize, work: impl Fn(Threads) -> R + Sync) -> Vec<R> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> =
            Threads::new(size).into_iter().map(|group| scope.spawn(move || work(group))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn open<'g>(path: &Path, group: &'g Threads) -> GroupCheckpointer<Heat, &'g Threads> {
    Checkpointer::<Heat>::builder(path).read_back(ReadBack::Always).open_group(group).unwrap()
}

fn size(grid: [u64; 2]) -> usize {
    usize::try_from(grid[0] * grid[1]).unwrap()
}

#[test]
fn a_group_of_any_size_goes_on_with_the_same_bits() {
    let directory = tempfile::tempdir().unwrap();
    let path = &directory.path().join("heat.ckpt");
    let grids = [[4, 1], [1, 1], [4, 1], [3, 1], [6, 1], [2, 2], [3, 3], [1, 4], [4, 1], [1, 2], [2, 2]];
    for (step, grid) in (0..).zip(grids) {
        on_all(size(grid), |group| {
            let mut checkpoints = open(path, &group);
            let mut heat = Heat::new(&group, grid);
            let is_there = checkpoints.load_into(&mut heat).unwrap();
            assert_eq!(is_there, step > 0);
            if is_there {
                assert!(heat == Heat::after(step - 1, &group, grid), "{grid:?}, rank {}", group.rank());
            }
            let heat = Heat::after(step, &group, grid);
            if step % 2 == 0 {
                checkpoints.save(&heat).unwrap();
            } else {
                checkpoints.save_in_background(&heat).unwrap();
                drop(heat);
                checkpoints.wait().unwrap();
            }
        });
    }
}

#[test]
fn a_damaged_shard_sends_another_size_to_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = &directory.path().join("heat.ckpt");
    on_all(4, |group| {
        let mut checkpoints = open(path, &group);
        for step in [1, 2] {
            checkpoints.save(&Heat::after(step, &group, [4, 1])).unwrap();
        }
    });
    let shard = file_of(&path.join("ranks/000003"), 2);
    let mut bytes = fs::read(&shard).unwrap();
    let field = bytes.windows(14).position(|bytes| bytes == b"field/data.npy").unwrap();
    bytes[field + 400] ^= 1;
    fs::write(&shard, bytes).unwrap();
    let skipped = on_all(3, |group| {
        let mut checkpoints = open(path, &group);
        let mut heat = Heat::new(&group, [3, 1]);
        assert!(checkpoints.load_into(&mut heat).unwrap());
        assert!(heat == Heat::after(1, &group, [3, 1]));
        checkpoints.last_load().unwrap().skipped.len()
    });
    assert_eq!(skipped, [1, 1, 1]);
}

/// A state that another number of processes needs more words for.
#[checkpointed]
#[derive(Clone, Debug, Default, PartialEq)]
struct Gas {
    step: Shared<u64>,
    field: Sharded<f64>,
    particles: Vec<[f64; 3]>,
    seed: u64,
}

impl Gas {
    fn new(group: &impl Group) -> Gas {
        Gas { field: Sharded::rows([12, 5], group).unwrap(), ..Gas::default() }
    }
}

#[test]
fn another_size_is_refused_until_the_program_says_how() {
    let directory = tempfile::tempdir().unwrap();
    let path = &directory.path().join("gas.ckpt");
    on_all(2, |group| {
        let mut gas = Gas::new(&group);
        gas.step = Shared(5);
        gas.seed = 100 + group.rank() as u64;
        gas.particles = vec![[f64::from(u32::try_from(group.rank()).unwrap()); 3]; 1 + group.rank()];
        let mut checkpoints = Checkpointer::<Gas>::builder(path).open_group(&group).unwrap();
        checkpoints.save(&gas).unwrap();
    });
    on_all(3, |group| {
        let mut checkpoints = Checkpointer::<Gas>::builder(path).open_group(&group).unwrap();
        let refused = checkpoints.load_into(&mut Gas::new(&group)).unwrap_err();
        match refused {
            Error::Resized { from: 2, to: 3, fields, .. } => assert_eq!(fields, ["particles", "seed"]),
            other => panic!("{other}"),
        }
        let rank = group.rank();
        checkpoints.on_resize(move |old, gas| {
            gas.seed = 200 + rank as u64;
            gas.particles.clear();
            for rank in 0..old.size() {
                gas.particles.extend(old.load(rank)?.particles);
            }
            Ok(())
        });
        let mut gas = Gas::new(&group);
        assert!(checkpoints.load_into(&mut gas).unwrap());
        assert_eq!((*gas.step, gas.seed), (5, 200 + rank as u64));
        assert_eq!(gas.particles, [[0.0; 3], [1.0; 3], [1.0; 3]]);
    });
}

#[test]
fn a_save_whose_members_disagree_is_refused_on_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = &directory.path().join("gas.ckpt");
    let messages = on_all(3, |group| {
        let mut checkpoints = Checkpointer::<Gas>::builder(path).open_group(&group).unwrap();
        let mut gas = Gas::new(&group);
        gas.step = Shared(group.rank() as u64 / 2);
        let refused = checkpoints.save(&gas).unwrap_err().to_string();
        gas.step = Shared(1);
        checkpoints.save(&gas).unwrap();
        refused
    });
    for message in messages {
        assert!(message.contains("differs between ranks 0 and 2: step"), "{message}");
    }
}

#[test]
fn authenticated_shards_load_in_any_split() {
    let directory = tempfile::tempdir().unwrap();
    let path = &directory.path().join("heat.ckpt");
    let loads = |protection: &Protection| {
        let builder = || Checkpointer::<Heat>::builder(path).protection(protection.clone());
        on_all(4, |group| {
            let mut checkpoints = builder().open_group(&group).unwrap();
            checkpoints.save(&Heat::after(1, &group, [2, 2])).unwrap();
        });
        on_all(3, |group| {
            let mut checkpoints = builder().open_group(&group).unwrap();
            let mut heat = Heat::new(&group, [1, 3]);
            assert!(checkpoints.load_into(&mut heat).unwrap());
            assert!(heat == Heat::after(1, &group, [1, 3]));
        });
    };
    loads(&Protection::new().authenticate(Key::from_bytes([7; 32])));
    fs::remove_dir_all(path).unwrap();
    let protection = Protection::new().encrypt_to(RECIPIENT).unwrap();
    loads(&protection.decrypt_with(IDENTITY).unwrap());
}

/// Prints the whole arrays, and what each process has by itself.
const WHOLE: &str = r#"
import warnings
warnings.simplefilter("error")
state = checkpointed.load(sys.argv[1])
assert isinstance(state["seed"], checkpointed.EachRank), state
apart = checkpointed.arrays(sys.argv[1])
assert list(apart) == ["field"] and (apart["field"] == state["field"]).all()
part = checkpointed.load(sys.argv[1] + "/ranks/000001")
print(json.dumps([
    state["step"], list(state["field"].shape), state["field"].ravel().tolist(), list(state["seed"]),
    [len(particles) for particles in state["particles"]], list(part["field"]["data"].shape),
]))
"#;

#[test]
fn python_puts_the_blocks_together() {
    let directory = tempfile::tempdir().unwrap();
    let path = &directory.path().join("gas.ckpt");
    on_all(3, |group| {
        let rank = group.rank();
        let mut gas = Gas::new(&group);
        gas.field = fill(Sharded::blocks([12, 5], [1, 3], &group).unwrap(), |number| number as f64);
        gas.step = Shared(5);
        gas.seed = 100 + rank as u64;
        gas.particles = vec![[0.5; 3]; rank];
        Checkpointer::<Gas>::builder(path).open_group(&group).unwrap().save(&gas).map(drop).unwrap();
    });
    let Some(printed) = reader(WHOLE, path) else { return };
    let numbers: Vec<f64> = (0..60).map(f64::from).collect();
    let expected = serde_json::json!([5, [12, 5], numbers, [100, 101, 102], [0, 1, 2], [12, 2]]);
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), expected);

    let shard = file_of(&path.join("ranks/000002"), 1);
    fs::remove_file(shard).unwrap();
    let refused =
        "try: checkpointed.load(sys.argv[1])\nexcept checkpointed.NoneUsableError as error: print(error)";
    let printed = reader(refused, path).unwrap();
    assert!(printed.contains("the part of rank 2 is missing"), "{printed}");
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "the numbers are small")]
#[test]
fn python_puts_blocks_behind_many_arrays_together() {
    /// The blocks come behind so many arrays that they have no entries of their own.
    #[checkpointed]
    struct Many {
        before: Vec<Vec<f64>>,
        waves: Sharded<Complex<f64>>,
        spinors: Sharded<[Complex<f32>; 2]>,
        columns: Sharded<[f32; 1]>,
        single: Sharded<[u8; 1]>,
    }
    const PRINT: &str = r#"
import numpy
state = checkpointed.load(sys.argv[1])
found = [state[name] for name in ("waves", "spinors", "columns", "single")]
# Of complex numbers, the parts.
parts = [one.view(one.real.dtype).ravel().tolist() for one in found]
print(json.dumps([[one.dtype.str, list(one.shape), part] for one, part in zip(found, parts)]))
"#;
    let print = |many: [usize; 3]| {
        let directory = tempfile::tempdir().unwrap();
        let path = &directory.path().join("many.ckpt");
        on_all(3, |group| {
            let wave = |number: u64| Complex::new(number as f64, 0.5);
            let spinor = |number: u64| [Complex::new(number as f32, 1.5); 2];
            let many = Many {
                before: vec![vec![0.5; 2]; many[group.rank()]],
                waves: fill(Sharded::blocks([6, 4], [3, 1], &group).unwrap(), wave),
                spinors: fill(Sharded::rows([6], &group).unwrap(), spinor),
                columns: fill(Sharded::rows([6, 1], &group).unwrap(), |number| [number as f32]),
                single: fill(Sharded::rows([6, 1, 1], &group).unwrap(), |number| [number as u8]),
            };
            Checkpointer::<Many>::builder(path).open_group(&group).unwrap().save(&many).map(drop).unwrap();
        });
        let printed = serde_json::from_str::<Vec<(String, Vec<u64>, Value)>>(&reader(PRINT, path)?);
        Some(printed.unwrap())
    };
    let Some(apart) = print([0; 3]) else { return };
    let kinds = |found: &[(String, Vec<u64>, Value)]| -> Vec<(String, Vec<u64>)> {
        found.iter().map(|(dtype, shape, _)| (dtype.clone(), shape.clone())).collect()
    };
    let expected = |waves: (&str, &[u64]), spinors: (&str, &[u64])| {
        let kinds = [waves, spinors, ("<f4", &[6, 1, 1]), ("|u1", &[6, 1, 1, 1])];
        kinds.map(|(dtype, shape)| (dtype.to_owned(), shape.to_vec())).to_vec()
    };
    assert_eq!(kinds(&apart), expected(("<c16", &[6, 4]), ("<c8", &[6, 2])));
    // In some parts the blocks have entries of their own, and in others not.
    assert_eq!(print([0, 300, 300]).unwrap(), apart);
    let inline = print([300; 3]).unwrap();
    assert_eq!(kinds(&inline), expected(("<f8", &[6, 4, 2]), ("<f4", &[6, 2, 2])), "they are pairs");
    let values = |found: Vec<(String, Vec<u64>, Value)>| found.into_iter().map(|(_, _, values)| values);
    assert!(values(inline).eq(values(apart)));
}

#[test]
fn a_renamed_array_is_not_loaded_into_other_blocks() {
    #[checkpointed(name = "Heat")]
    struct Old {
        field: Sharded<f64>,
    }
    #[checkpointed(name = "Heat")]
    struct Renamed {
        #[serde(alias = "field")]
        grid: Sharded<f64>,
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let load = |group: &Threads, grid: [u64; 2]| {
        let mut checkpoints = Checkpointer::<Renamed>::builder(&path).open_group(group).unwrap();
        checkpoints.load_or_else(|| Renamed { grid: Sharded::blocks([4, 4], grid, group).unwrap() })
    };
    thread::scope(|scope| {
        for group in Threads::new(2) {
            let (path, load) = (&path, &load);
            scope.spawn(move || {
                let mut checkpoints = Checkpointer::<Old>::builder(path).open_group(&group).unwrap();
                let mut field = Sharded::rows([4, 4], &group).unwrap();
                field.data_mut().fill(group.rank() as f64);
                checkpoints.save(&Old { field }).unwrap();
                drop(checkpoints);
                let same = load(&group, [2, 1]).unwrap();
                assert_eq!(same.grid.data(), [group.rank() as f64; 8]);
                let error = load(&group, [1, 2]).map(drop).unwrap_err();
                assert!(error.to_string().contains("under other names"), "{error}");
            });
        }
    });
}

#[test]
fn a_new_array_with_another_block_by_default_is_told() {
    #[checkpointed(name = "Heat")]
    struct Old {
        field: Sharded<f64>,
    }
    #[checkpointed(name = "Heat")]
    struct Grown {
        field: Sharded<f64>,
        #[serde(default = "whole")]
        mask: Sharded<f64>,
    }
    fn whole() -> Sharded<f64> {
        Sharded::rows([4, 4], &Alone).unwrap()
    }
    let parent = tempfile::tempdir().unwrap();
    let path = &parent.path().join("run.ckpt");
    on_all(2, |group| {
        let mut checkpoints = Checkpointer::<Old>::builder(path).open_group(&group).unwrap();
        checkpoints.save(&Old { field: Sharded::rows([4, 4], &group).unwrap() }).unwrap();
    });
    for size in [2, 3] {
        on_all(size, |group| {
            let mut checkpoints = Checkpointer::<Grown>::builder(path).open_group(&group).unwrap();
            let rows = || Sharded::rows([4, 4], &group).unwrap();
            let error = checkpoints.load_or_else(|| Grown { field: rows(), mask: rows() }).map(drop);
            let error = error.unwrap_err().to_string();
            assert!(error.contains("let the default be an array without elements"), "{size}: {error}");
            assert!(error.contains("mask") && !error.contains("field"), "{size}: {error}");
        });
    }
}

/// Two arrays, which the processes split in two ways, or the same in another version.
macro_rules! two_arrays {
    ($(#[$of_type:meta])* $name:ident, $(#[$of_a:meta])* a, $(#[$of_b:meta])* b) => {
        $(#[$of_type])*
        struct $name {
            $(#[$of_a])*
            a: Sharded<f64>,
            $(#[$of_b])*
            b: Sharded<f64>,
        }

        impl $name {
            fn new(group: &Threads) -> $name {
                let columns = [1, group.size() as u64];
                let a = fill(Sharded::rows([4, 6], group).unwrap(), |number| number as f64);
                let b = fill(Sharded::blocks([4, 6], columns, group).unwrap(), |number| -(number as f64));
                $name { a, b }
            }
        }
    };
}

fn as_it_is(block: Sharded<f64>) -> Sharded<f64> {
    block
}

#[test]
fn arrays_exchanged_by_a_migration_keep_their_blocks() {
    two_arrays!(
        #[checkpointed(name = "Two")]
        Old,
        a,
        b
    );
    two_arrays!(
        #[checkpointed(name = "Two", version = 2)]
        Exchanged,
        #[checkpointed(was("b", with = as_it_is))]
        a,
        #[checkpointed(was("a", with = as_it_is))]
        b
    );
    let parent = tempfile::tempdir().unwrap();
    let path = &parent.path().join("run.ckpt");
    on_all(3, |group| {
        let mut checkpoints = Checkpointer::<Old>::builder(path).open_group(&group).unwrap();
        checkpoints.save(&Old::new(&group)).unwrap();
    });
    for size in [3, 2] {
        on_all(size, |group| {
            let mut checkpoints = Checkpointer::<Exchanged>::builder(path).open_group(&group).unwrap();
            let error = checkpoints.load_or_else(|| Exchanged::new(&group)).map(drop).unwrap_err();
            assert!(error.to_string().contains("under other names"), "{size}: {error}");
            assert!(error.to_string().contains("with 3 processes"), "{size}: {error}");
        });
    }
    // One process has the whole of both.
    on_all(1, |group| {
        let mut checkpoints = Checkpointer::<Exchanged>::builder(path).open_group(&group).unwrap();
        let found = checkpoints.load_or_else(|| Exchanged::new(&group)).unwrap();
        assert_eq!((found.a.data()[5], found.b.data()[5]), (-5.0, 5.0));
    });
}

#[test]
fn another_size_loads_a_state_without_a_removed_array() {
    two_arrays!(
        #[checkpointed(name = "Two")]
        Old,
        a,
        b
    );
    #[checkpointed(name = "Two")]
    struct New {
        a: Sharded<f64>,
    }
    let parent = tempfile::tempdir().unwrap();
    let path = &parent.path().join("run.ckpt");
    on_all(3, |group| {
        let mut checkpoints = Checkpointer::<Old>::builder(path).open_group(&group).unwrap();
        checkpoints.save(&Old::new(&group)).unwrap();
    });
    on_all(2, |group| {
        let mut checkpoints = Checkpointer::<New>::builder(path).open_group(&group).unwrap();
        let made = || New { a: Sharded::rows([4, 6], &group).unwrap() };
        let found = checkpoints.load_or_else(made).unwrap();
        assert!(found.a == Old::new(&group).a);
    });
}

#[test]
fn another_size_is_told_what_to_do_with_a_renamed_array() {
    two_arrays!(
        #[checkpointed(name = "Two")]
        Old,
        a,
        b
    );
    #[checkpointed(name = "Two")]
    struct Renamed {
        a: Sharded<f64>,
        #[serde(alias = "b")]
        c: Sharded<f64>,
    }
    #[checkpointed(name = "Two", version = 2)]
    struct Moved {
        a: Sharded<f64>,
        #[checkpointed(was("b", with = sum))]
        sum: Shared<f64>,
    }
    #[allow(clippy::needless_pass_by_value, reason = "a migration takes the older value")]
    fn sum(block: Sharded<f64>) -> Shared<f64> {
        Shared(block.data().iter().sum())
    }
    let parent = tempfile::tempdir().unwrap();
    let path = &parent.path().join("run.ckpt");
    on_all(3, |group| {
        let mut checkpoints = Checkpointer::<Old>::builder(path).open_group(&group).unwrap();
        checkpoints.save(&Old::new(&group)).unwrap();
    });
    let check = |error: Error| {
        let error = error.to_string();
        assert!(error.contains("`b` of shape [4, 6]") && error.contains("once with 3 processes"), "{error}");
        assert!(!error.contains("load_into"), "{error}");
    };
    on_all(2, |group| {
        let Old { a, b: c } = Old::new(&group);
        let mut checkpoints = Checkpointer::<Renamed>::builder(path).open_group(&group).unwrap();
        check(checkpoints.load_or_else(|| Renamed { a, c }).map(drop).unwrap_err());
        drop(checkpoints);
        let Old { a, .. } = Old::new(&group);
        let mut checkpoints = Checkpointer::<Moved>::builder(path).open_group(&group).unwrap();
        check(checkpoints.load_or_else(|| Moved { a, sum: Shared(0.0) }).map(drop).unwrap_err());
    });
}
