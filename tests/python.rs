//! Tests the Python reader (python/), which is written from docs/format.md: it returns the saved
//! values.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::file_of;
use crate::common::python::{LOAD, reader};
use checkpointed::{Checkpoint, Checkpointer, Plain, checkpointed};
use serde_json::{Value, json};

/// Saves the state, and asserts that Python finds this value, in the form of `typed`.
#[track_caller]
fn assert_python_finds<T: Checkpoint>(state: &T, expected: &Value) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.ckpt");
    Checkpointer::<T>::open(&path).unwrap().save(state).unwrap();
    if let Some(printed) = reader(LOAD, &path) {
        assert_eq!(&serde_json::from_str::<Value>(&printed).unwrap(), expected);
    }
}

fn integer(value: &impl ToString) -> Value {
    json!(["int", value.to_string()])
}

/// Little-endian bytes, as in the file.
fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes.into_iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn bytes_come_wherever_they_are_kept() {
    /// Written as a sequence, which is an array; read as bytes.
    #[derive(serde::Serialize)]
    struct Apart(Vec<u8>);

    impl<'de> serde::Deserialize<'de> for Apart {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Apart, D::Error> {
            <&[u8]>::deserialize(deserializer).map(|bytes| Apart(bytes.to_vec()))
        }
    }

    let state = Plain((Apart(vec![1, 0xab]), Apart(vec![]), 7_u8));
    let expected = json!(["tuple", ["bytes", hex([1, 0xab])], ["bytes", ""], integer(&7)]);
    assert_python_finds(&state, &expected);
}

#[test]
fn every_scalar_comes_to_the_bit() {
    #[checkpointed]
    struct Scalars {
        integers: (u8, i8, u16, i16, u32, i32, u64, i64),
        sizes: (usize, isize),
        wide: (u128, i128),
        quiet: f64,
        signalling: f64,
        signalling32: f32,
        minus_zero: f64,
        truth: (bool, bool),
        characters: (char, char, char, char),
        text: String,
        nothing: (),
        raw: CString,
    }
    let state = Scalars {
        integers: (u8::MAX, i8::MIN, u16::MAX, i16::MIN, u32::MAX, i32::MIN, u64::MAX, i64::MIN),
        sizes: (usize::MAX, isize::MIN),
        wide: (u128::MAX, i128::MIN),
        quiet: f64::from_bits(0x7ff8_0000_0000_1234),
        signalling: f64::from_bits(0xfff0_0000_0000_0001),
        signalling32: f32::from_bits(0x7f80_0001),
        minus_zero: -0.0,
        truth: (true, false),
        characters: ('a', 'é', '€', '🦀'),
        text: "säve\0".into(),
        nothing: (),
        raw: CString::new([1, 0xff]).unwrap(),
    };
    let integers = [
        integer(&u8::MAX),
        integer(&i8::MIN),
        integer(&u16::MAX),
        integer(&i16::MIN),
        integer(&u32::MAX),
        integer(&i32::MIN),
        integer(&u64::MAX),
        integer(&i64::MIN),
    ];
    let mut tuple = vec![json!("tuple")];
    tuple.extend(integers);
    assert_python_finds(
        &state,
        &json!([
            "dict",
            ["integers", tuple],
            ["sizes", ["tuple", integer(&usize::MAX), integer(&isize::MIN)]],
            ["wide", ["tuple", integer(&u128::MAX), integer(&i128::MIN)]],
            ["quiet", ["f64", "7ff8000000001234"]],
            ["signalling", ["f64", "fff0000000000001"]],
            ["signalling32", ["f32", "7f800001"]],
            ["minus_zero", ["f64", "8000000000000000"]],
            ["truth", ["tuple", true, false]],
            ["characters", ["tuple", "a", "é", "€", "🦀"]],
            ["text", "säve\0"],
            ["nothing", null],
            ["raw", ["bytes", "01ff"]],
        ]),
    );
}

#[test]
fn structs_enums_options_and_maps_keep_their_form() {
    #[checkpointed]
    struct Unit;
    #[checkpointed]
    struct Metres(f64);
    #[checkpointed]
    struct Pair(u8, String);
    #[checkpointed]
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    struct Cell {
        x: u8,
    }
    #[checkpointed]
    enum Phase {
        Idle,
        Wait(u32),
        Move(i8, i8),
        Run { step: u64 },
    }
    #[checkpointed]
    struct All {
        unit: Unit,
        metres: Metres,
        pair: Pair,
        phases: Vec<Phase>,
        none: Option<u8>,
        some: Option<Option<u8>>,
        map: BTreeMap<String, Option<Pair>>,
        by_number: BTreeMap<(u8, bool), u8>,
        by_cell: BTreeMap<Cell, u8>,
        words: [String; 2],
        empty: Vec<String>,
    }
    let state = All {
        unit: Unit,
        metres: Metres(1.0),
        pair: Pair(1, "one".into()),
        phases: vec![Phase::Idle, Phase::Wait(7), Phase::Move(-1, 1), Phase::Run { step: 9 }],
        none: None,
        some: Some(Some(3)),
        map: BTreeMap::from([("a".into(), None), ("b".into(), Some(Pair(2, "two".into())))]),
        by_number: BTreeMap::from([((1, true), 2)]),
        by_cell: BTreeMap::from([(Cell { x: 5 }, 6)]),
        words: ["x".into(), "y".into()],
        empty: Vec::new(),
    };
    assert_python_finds(
        &state,
        &json!([
            "dict",
            ["unit", null],
            ["metres", ["f64", "3ff0000000000000"]],
            ["pair", ["tuple", integer(&1), "one"]],
            [
                "phases",
                [
                    "list",
                    "Idle",
                    ["dict", ["Wait", integer(&7)]],
                    ["dict", ["Move", ["tuple", integer(&-1), integer(&1)]]],
                    ["dict", ["Run", ["dict", ["step", integer(&9)]]]],
                ]
            ],
            ["none", null],
            ["some", integer(&3)],
            ["map", ["dict", ["a", null], ["b", ["tuple", integer(&2), "two"]]]],
            ["by_number", ["dict", [["tuple", integer(&1), true], integer(&2)]]],
            ["by_cell", ["list", ["tuple", ["dict", ["x", integer(&5)]], integer(&6)]]],
            ["words", ["list", "x", "y"]],
            ["empty", ["list"]],
        ]),
    );
}

#[test]
fn arrays_are_arrays_wherever_they_are_kept() {
    #[checkpointed]
    struct Arrays {
        small: Vec<f64>,
        empty: Vec<u16>,
        points: Vec<[f32; 3]>,
        fixed: [u16; 3],
        truth: Vec<bool>,
        wide: Vec<i128>,
        large: Vec<u32>,
        nested: Vec<Vec<u8>>,
    }
    // More than 256 arrays, so that the last short ones are inline, and one of more than a MiB.
    let state = Arrays {
        small: vec![f64::from_bits(0x7ff0_0000_0000_0001)],
        empty: Vec::new(),
        points: vec![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
        fixed: [1, 2, 3],
        truth: vec![true, false],
        wide: vec![i128::MIN, -1, i128::MAX],
        large: (0..300_000).collect(),
        nested: (0..300_u16).map(|n| vec![n.to_le_bytes()[0]; 2]).collect(),
    };
    let array = |dtype: &str, shape: &[usize], bytes: Vec<u8>| json!(["array", dtype, shape, hex(bytes)]);
    let mut nested = vec![json!("list")];
    nested.extend(state.nested.iter().map(|inner| array("|u1", &[2], inner.clone())));
    let points = state.points.as_flattened().iter().flat_map(|x| x.to_le_bytes()).collect();
    let wide: Vec<String> = state.wide.iter().map(ToString::to_string).collect();
    assert_python_finds(
        &state,
        &json!([
            "dict",
            ["small", array("<f8", &[1], state.small[0].to_le_bytes().to_vec())],
            ["empty", array("<u2", &[0], Vec::new())],
            ["points", array("<f4", &[2, 3], points)],
            ["fixed", array("<u2", &[3], vec![1, 0, 2, 0, 3, 0])],
            ["truth", array("|b1", &[2], vec![1, 0])],
            ["wide", ["array", "object", [3], wide]],
            ["large", array("<u4", &[300_000], state.large.iter().flat_map(|x| x.to_le_bytes()).collect())],
            ["nested", nested],
        ]),
    );
}

#[test]
fn an_array_of_no_dimension_is_one_number() {
    let state = (ndarray::arr0(1.5_f64), vec![ndarray::arr0(7_u8); 2], 3_u8);
    let one = |dtype: &str, data: String| json!(["array", dtype, [], data]);
    let halves = |dtype: &str, data: &str| {
        json!(["dict", ["v", integer(&1)], ["dim", ["tuple"]], ["data", one(dtype, data.to_owned())]])
    };
    let expected = json!([
        "tuple",
        halves("<f8", &hex(1.5_f64.to_le_bytes())),
        ["list", halves("|u1", "07"), halves("|u1", "07")],
        integer(&3)
    ]);
    assert_python_finds(&state, &expected);
}

#[test]
fn fixed_arrays_have_their_shape_wherever_they_are_kept() {
    #[checkpointed]
    struct Grids {
        grids: Vec<Grid>,
        rows: Vec<Rows>,
        empty: [[u8; 0]; 40],
        words: [[String; 2]; 33],
    }
    #[checkpointed]
    #[derive(Clone)]
    struct Grid([[u8; 2]; 40]);
    #[checkpointed]
    #[derive(Clone)]
    struct Rows(Vec<[[u16; 33]; 2]>);
    // Those behind the first 256 arrays are inline.
    let state = Grids {
        grids: vec![Grid([[1, 2]; 40]); 300],
        rows: vec![Rows(vec![[[3; 33]; 2]; 3]), Rows(Vec::new())],
        empty: [[]; 40],
        words: std::array::from_fn(|_| ["a".to_owned(), "b".to_owned()]),
    };
    let array = |dtype: &str, shape: &[usize], bytes: Vec<u8>| json!(["array", dtype, shape, hex(bytes)]);
    let mut grids = vec![json!("list")];
    grids.extend((0..300).map(|_| array("|u1", &[40, 2], [1, 2].repeat(40))));
    let mut words = vec![json!("list")];
    words.extend((0..33).map(|_| json!(["list", "a", "b"])));
    let rows = [array("<u2", &[3, 2, 33], [3, 0].repeat(198)), array("<u2", &[0, 2, 33], Vec::new())];
    assert_python_finds(
        &state,
        &json!([
            "dict",
            ["grids", grids],
            ["rows", ["list", rows[0], rows[1]]],
            ["empty", array("|u1", &[40, 0], Vec::new())],
            ["words", words],
        ]),
    );
}

#[test]
fn rows_of_complex_numbers_are_arrays() {
    use nalgebra::Complex;

    let state = Plain((vec![[Complex::new(1.0_f64, -1.0); 2]; 3], vec![Complex::new(0.5_f32, 0.0)]));
    let row = [1.0_f64, -1.0].map(f64::to_le_bytes).as_flattened().repeat(6);
    let single = [0.5_f32, 0.0].map(f32::to_le_bytes).as_flattened().to_vec();
    assert_python_finds(
        &state,
        &json!(["tuple", ["array", "<c16", [3, 2], hex(row)], ["array", "<c8", [1], hex(single)]]),
    );
}

/// serde sees the `half` crate's types like this one.
#[test]
fn floats_of_16_bits_are_floats() {
    #[allow(non_camel_case_types, reason = "so it is called")]
    #[checkpointed]
    #[derive(Clone)]
    struct f16(u16);
    #[allow(non_camel_case_types, reason = "so it is called")]
    #[checkpointed]
    struct bf16(u16);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.ckpt");
    let state = (f16(0x3e00), bf16(0x3fc0), VecDeque::from(vec![f16(0xc000); 2]));
    Checkpointer::open(&path).unwrap().save(&state).unwrap();
    let program = "half, brain, halves = checkpointed.load(sys.argv[1])\n\
                   print(half, half.dtype, brain, halves.dtype, halves.tolist())";
    if let Some(printed) = reader(program, &path) {
        assert_eq!(printed.trim(), "1.5 float16 1.5 float16 [-2.0, -2.0]");
    }
}

#[test]
fn entries_are_found_behind_any_padding() {
    let state: BTreeMap<String, Vec<u8>> = (1..=200).map(|n| ("x".repeat(n), vec![7; n])).collect();
    let mut expected = vec![json!("dict")];
    expected.extend(
        state.iter().map(|(key, bytes)| json!([key, ["array", "|u1", [key.len()], hex(bytes.clone())]])),
    );
    assert_python_finds(&state, &json!(expected));
}

#[test]
fn a_root_that_is_no_struct_is_the_plain_value() {
    assert_python_finds(&7_u64, &integer(&7));
    assert_python_finds(&vec![1_u8, 2], &json!(["array", "|u1", [2], "0102"]));
    assert_python_finds(&Some(String::from("x")), &json!("x"));
}

#[test]
fn a_list_as_deep_as_can_be_saved_is_read() {
    #[checkpointed]
    #[derive(Default)]
    struct Link {
        next: Option<Box<Link>>,
    }
    // A struct and an option for each of 2048 values inside each other.
    let mut list = Link::default();
    for _ in 0..1000 {
        list = Link { next: Some(Box::new(list)) };
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.ckpt");
    Checkpointer::<Link>::open(&path).unwrap().save(&list).unwrap();
    let count = "
link, links = checkpointed.load(sys.argv[1]), 0
while link['next'] is not None: link, links = link['next'], links + 1
print(links)";
    reader(count, &path).inspect(|printed| assert_eq!(printed, "1000\n"));
}

#[test]
fn every_flipped_byte_and_every_cut_is_noticed() {
    #[checkpointed]
    struct Small {
        step: u64,
        positions: Vec<f64>,
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.ckpt");
    let state = Small { step: 1, positions: vec![1.0; 8] };
    Checkpointer::<Small>::open(&path).unwrap().save(&state).unwrap();
    let program = "
import os
path = sys.argv[1]
whole = open(path, 'rb').read()
checkpointed.load(path)
def refused(data):
    with open(path, 'wb') as file: file.write(data)
    try: checkpointed.load(path)
    except checkpointed.CheckpointError as error: assert error.path == path
    else: raise SystemExit(f'{len(data)} bytes were believed')
for index in range(len(whole)): refused(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1:])
for length in range(len(whole)): refused(whole[:length])
refused(whole + b'x')
refused(b'x' + whole)
print('all')";
    reader(program, &file_of(&path, 1)).inspect(|printed| assert_eq!(printed, "all\n"));
}

#[test]
fn a_damaged_newest_generation_is_skipped_with_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.ckpt");
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.save(&2).unwrap();
    let newest = fs::read(file_of(&path, 2)).unwrap();
    fs::write(file_of(&path, 2), &newest[..newest.len() - 1]).unwrap();
    let program = "
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always')
    print(checkpointed.load(sys.argv[1]), len(caught))
    print([entry.generation for entry in checkpointed.list(sys.argv[1])], len(caught))
try: checkpointed.load(sys.argv[1], generation=2)
except checkpointed.NotACheckpointError: print('refused')";
    reader(program, &path).inspect(|printed| assert_eq!(printed, "1 1\n[1] 2\nrefused\n"));
    fs::write(file_of(&path, 1), b"").unwrap();
    let program = "
try: checkpointed.load(sys.argv[1])
except checkpointed.NoneUsableError as error: print(len(error.tried))";
    reader(program, &path).inspect(|printed| assert_eq!(printed, "2\n"));
}

#[test]
fn what_was_loaded_stays_as_it_is_while_saves_go_on_over_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.ckpt");
    let mut checkpoints = Checkpointer::<Vec<u64>>::open(&path).unwrap();
    checkpoints.save(&vec![0; 200_000]).unwrap();
    let done = AtomicBool::new(false);
    let program = "
kept, seen = [], 0
for _ in range(40):
    array = checkpointed.load(sys.argv[1])
    assert (array == array[0]).all() and array[0] >= seen, array
    seen = int(array[0])
    kept.append((seen, array))
assert all((array == value).all() for value, array in kept)
print('all')";
    std::thread::scope(|threads| {
        let reading = threads.spawn(|| {
            let printed = reader(program, &path);
            done.store(true, Ordering::Relaxed);
            printed
        });
        for number in 1.. {
            checkpoints.save(&vec![number; 200_000]).unwrap();
            if done.load(Ordering::Relaxed) || reading.is_finished() {
                break;
            }
        }
        reading.join().unwrap().inspect(|printed| assert_eq!(printed, "all\n"));
    });
}

#[test]
fn the_readers_own_tests_pass() {
    let tests = crate::common::root().join("python");
    let program = "
import io, os, unittest
os.chdir(sys.argv[1])
suite = unittest.defaultTestLoader.discover('tests')
result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
assert result.testsRun and result.wasSuccessful(), result.errors + result.failures
for why in sorted({why for _, why in result.skipped}):
    print('skipped:', why)
print('all')";
    let Some(printed) = reader(program, &tests) else { return };
    assert_eq!(printed.lines().last(), Some("all"));
    printed.lines().filter_map(|line| line.strip_prefix("skipped: ")).for_each(crate::common::skipping);
}
