//! Tests numpy's view of the arrays in a checkpoint: the names, the types, the shapes, and every
//! bit of the values.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use crate::common::{file_of, python::numpy};
use checkpointed::{Checkpoint, Checkpointer, Plain, checkpointed};
use nalgebra::{DMatrix, DVector, Matrix2, Matrix3xX, Point3, RowDVector, SVector, Vector3};
use ndarray::{Array2, Array3, ArrayD, IxDyn, array};
use serde::{Deserialize, Serialize};

/// `holds` compares an entry with numpy's own array of the same values, which are written here
/// again in Python.
const PRELUDE: &str = r#"
import sys
import numpy as np

entries = np.load(sys.argv[1], allow_pickle=False)
held = {"state.bincode", "checkpoint.json"}

def holds(name, dtype, shape, values):
    array, expected = entries[name], np.array(values, dtype).reshape(shape)
    assert array.dtype == expected.dtype, (name, array.dtype)
    assert array.shape == expected.shape, (name, array.shape)
    assert array.tobytes() == expected.tobytes(), (name, array)
    held.add(name)
"#;

/// Saves the state, and asserts that numpy finds in its file the arrays of `program`, and no
/// others.
#[track_caller]
fn assert_numpy_finds<T: Checkpoint>(state: &T, program: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.ckpt");
    Checkpointer::<T>::open(&path).unwrap().save(state).unwrap();
    let all = "assert held == set(entries.files), sorted(held ^ set(entries.files))";
    let file = file_of(&path, 1);
    numpy(&format!("{PRELUDE}\n{program}\n{all}\nprint('all')"), &file)
        .inspect(|printed| assert_eq!(printed, "all\n"));
}

#[test]
fn every_type_of_number_has_its_dtype_and_its_extreme_values() {
    #[checkpointed]
    struct Numbers {
        u8: Vec<u8>,
        u16: Vec<u16>,
        u32: Vec<u32>,
        u64: Vec<u64>,
        usize: Vec<usize>,
        i8: Vec<i8>,
        i16: Vec<i16>,
        i32: Vec<i32>,
        i64: Vec<i64>,
        isize: Vec<isize>,
        f32: Vec<f32>,
        f64: Vec<f64>,
        bool: Vec<bool>,
    }
    let numbers = Numbers {
        u8: vec![0, 1, u8::MAX],
        u16: vec![0, 1, u16::MAX],
        u32: vec![0, 1, u32::MAX],
        u64: vec![0, 1, u64::MAX],
        usize: vec![0, 1, usize::MAX],
        i8: vec![0, i8::MIN, i8::MAX],
        i16: vec![0, i16::MIN, i16::MAX],
        i32: vec![0, i32::MIN, i32::MAX],
        i64: vec![0, i64::MIN, i64::MAX],
        isize: vec![0, isize::MIN, isize::MAX],
        f32: vec![0.1, f32::MIN_POSITIVE, f32::MAX, f32::NEG_INFINITY],
        f64: vec![0.1, f64::MIN_POSITIVE, f64::MAX, f64::NEG_INFINITY],
        bool: vec![true, false, true],
    };
    assert_numpy_finds(
        &numbers,
        r#"
for bits in 8, 16, 32, 64:
    holds(f"u{bits}", f"uint{bits}", (3,), [0, 1, 2**bits - 1])
    holds(f"i{bits}", f"int{bits}", (3,), [0, -2**(bits - 1), 2**(bits - 1) - 1])
holds("usize", "uint64", (3,), [0, 1, 2**64 - 1])
holds("isize", "int64", (3,), [0, -2**63, 2**63 - 1])
for bits in 32, 64:
    limits = np.finfo(f"f{bits // 8}")
    holds(f"f{bits}", f"float{bits}", (4,), [0.1, limits.tiny, limits.max, -np.inf])
holds("bool", "bool", (3,), [True, False, True])
"#,
    );
}

#[test]
fn numbers_of_128_bits_are_there_as_their_16_bytes() {
    let state = (vec![1_u128, u128::MAX], vec![-2_i128, i128::MIN]);
    assert_numpy_finds(
        &state,
        r#"
for name, signed, values in ("0", False, [1, 2**128 - 1]), ("1", True, [-2, -2**127]):
    array = entries[name]
    assert (array.dtype, array.shape) == (np.dtype("V16"), (2,)), (array.dtype, array.shape)
    assert [int.from_bytes(value.tobytes(), "little", signed=signed) for value in array] == values
    held.add(name)
"#,
    );
}

#[test]
fn not_a_bit_of_a_nan_or_of_a_negative_zero_is_lost() {
    let double = [0x7ff8_0000_0000_0000, 0x7ff0_0000_0000_0001, 0xfff8_dead_beef_0001, 1 << 63, 1];
    let single = [0x7fc0_0000, 0x7f80_0001, 0xffc0_beef, 1 << 31, 1];
    let state = (double.map(f64::from_bits).to_vec(), single.map(f32::from_bits).to_vec());
    assert_numpy_finds(
        &state,
        r#"
double = np.array([0x7ff8000000000000, 0x7ff0000000000001, 0xfff8deadbeef0001, 1 << 63, 1], "<u8")
single = np.array([0x7fc00000, 0x7f800001, 0xffc0beef, 1 << 31, 1], "<u4")
holds("0", "<f8", (5,), double.view("<f8"))
holds("1", "<f4", (5,), single.view("<f4"))
assert np.signbit(entries["0"][3]) and entries["0"][3] == 0
"#,
    );
}

#[test]
fn fixed_arrays_are_further_dimensions() {
    #[checkpointed]
    struct Shapes {
        positions: Vec<[f32; 3]>,
        tensors: Vec<[[f64; 3]; 2]>,
        bytes: Vec<[u8; 32]>,
        one: Vec<[i64; 1]>,
    }
    let shapes = Shapes {
        positions: vec![[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
        tensors: vec![
            [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]],
            [[6.0, 7.0, 8.0], [9.0, 10.0, 11.0]],
            [[12.0, 13.0, 14.0], [15.0, 16.0, 17.0]],
        ],
        bytes: vec![[7; 32]; 4],
        one: vec![[5], [6]],
    };
    assert_numpy_finds(
        &shapes,
        r#"
holds("positions", "<f4", (2, 3), np.arange(6))
holds("tensors", "<f8", (3, 2, 3), np.arange(18))
assert entries["tensors"][2, 1, 0] == 15
holds("bytes", "u1", (4, 32), [7] * 128)
holds("one", "<i8", (2, 1), [5, 6])
"#,
    );
}

#[test]
fn an_ndarray_has_its_shape() {
    #[checkpointed]
    struct Grids {
        temperature: Array2<f64>,
        cells: Array3<u8>,
        dynamic: ArrayD<i32>,
        empty: Array2<f32>,
        #[serde(default)]
        later: Option<Array2<bool>>,
    }
    let grids = Grids {
        temperature: array![[0.0, 1.0, 2.0], [3.0, 4.0, -0.0]],
        cells: Array3::from_shape_fn((2, 3, 4), |(i, j, k)| u8::try_from(100 * i + 10 * j + k).unwrap()),
        dynamic: ArrayD::from_elem(IxDyn(&[2, 1, 2, 1]), -7),
        empty: Array2::zeros((0, 5)),
        later: Some(array![[true], [false]]),
    };
    assert_numpy_finds(
        &grids,
        r#"
holds("temperature", "<f8", (2, 3), [0, 1, 2, 3, 4, -0.0])
holds("cells", "u1", (2, 3, 4), [100 * i + 10 * j + k for i in range(2) for j in range(3) for k in range(4)])
holds("dynamic", "<i4", (2, 1, 2, 1), [-7] * 4)
holds("empty", "<f4", (0, 5), [])
holds("later", "bool", (2, 1), [True, False])
"#,
    );
}

#[test]
fn a_nalgebra_matrix_is_the_transpose_of_its_entry() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Matrices {
        weights: DMatrix<f64>,
        bias: DVector<f32>,
        row: RowDVector<i16>,
        cloud: Matrix3xX<f64>,
        positions: Vec<Point3<f64>>,
        velocities: Vec<SVector<f32, 3>>,
        tensors: Vec<Matrix2<f64>>,
        layers: BTreeMap<String, Option<DMatrix<bool>>>,
        center: Vector3<f64>,
    }
    let matrices = Matrices {
        weights: DMatrix::from_row_slice(2, 3, &[0.0, 1.0, 2.0, 3.0, 4.0, -0.0]),
        bias: DVector::from_vec(vec![0.5, 1.5]),
        row: RowDVector::from_vec(vec![-1, 1]),
        cloud: Matrix3xX::from_columns(&[Vector3::new(1.0, 2.0, 3.0), Vector3::new(4.0, 5.0, 6.0)]),
        positions: vec![Point3::new(1.0, 2.0, 3.0), Point3::new(4.0, 5.0, 6.0)],
        velocities: vec![Vector3::new(1.0, 2.0, 3.0); 2],
        tensors: vec![Matrix2::new(1.0, 2.0, 3.0, 4.0)],
        layers: [("first".to_owned(), Some(DMatrix::from_row_slice(1, 2, &[true, false])))].into(),
        center: Vector3::zeros(),
    };
    assert_numpy_finds(
        &matrices,
        r#"
holds("weights", "<f8", (3, 2), np.array([[0, 1, 2], [3, 4, -0.0]]).T)
assert entries["weights"].T[0, 2] == 2 and entries["weights"].T[1, 0] == 3
holds("bias", "<f4", (2,), [0.5, 1.5])
holds("row", "<i2", (2,), [-1, 1])
holds("cloud", "<f8", (2, 3), [1, 2, 3, 4, 5, 6])
holds("positions", "<f8", (2, 3), [1, 2, 3, 4, 5, 6])
holds("velocities", "<f4", (2, 3), [1, 2, 3, 1, 2, 3])
holds("tensors", "<f8", (1, 4), [1, 3, 2, 4])
holds("layers/first", "bool", (2, 1), [True, False])
"#,
    );
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Matrices>::open(directory.path()).unwrap();
    checkpoints.save(&matrices).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(matrices));
    // In other formats they have nalgebra's own form.
    let json = serde_json::to_string(&DMatrix::from_row_slice(2, 2, &[1, 2, 3, 4])).unwrap();
    assert_eq!(json, "[[1,3,2,4],2,2]");
}

#[test]
fn each_row_of_a_ragged_array_is_an_entry() {
    #[checkpointed]
    struct Ragged {
        rows: Vec<Vec<f64>>,
    }
    assert_numpy_finds(
        &Ragged { rows: vec![vec![1.0], vec![2.0, 3.0], vec![], vec![4.0, 5.0, 6.0]] },
        r#"
holds("rows/0", "<f8", (1,), [1])
holds("rows/1", "<f8", (2,), [2, 3])
holds("rows/2", "<f8", (0,), [])
holds("rows/3", "<f8", (3,), [4, 5, 6])
"#,
    );
}

#[test]
fn an_entry_has_the_path_of_its_field() {
    #[checkpointed]
    struct Training {
        model: Model,
        phase: Phase,
        pair: (u8, Vec<u8>),
        all: Wrapper<Vec<i16>>,
    }
    #[checkpointed]
    struct Model {
        layers: Vec<Layer>,
    }
    #[checkpointed]
    struct Layer {
        name: String,
        weights: Vec<[f32; 2]>,
        bias: Option<Vec<f32>>,
    }
    #[checkpointed]
    enum Phase {
        #[allow(dead_code, reason = "the other variant")]
        Warm,
        Cooling {
            rates: Vec<f64>,
        },
    }
    #[checkpointed]
    struct Wrapper<T>(T);
    let layer = |number: u8| Layer {
        name: format!("layer {number}"),
        weights: vec![[f32::from(number), 0.5]],
        bias: (number == 2).then(|| vec![1.5]),
    };
    assert_numpy_finds(
        &Training {
            model: Model { layers: (0..3).map(layer).collect() },
            phase: Phase::Cooling { rates: vec![0.25] },
            pair: (1, vec![2]),
            all: Wrapper(vec![3]),
        },
        r#"
for number in range(3):
    holds(f"model/layers/{number}/weights", "<f4", (1, 2), [number, 0.5])
holds("model/layers/2/bias", "<f4", (1,), [1.5])
holds("phase/rates", "<f8", (1,), [0.25])
holds("pair/1", "u1", (1,), [2])
holds("all", "<i2", (1,), [3])
"#,
    );
}

#[test]
fn a_state_that_is_an_array_is_called_state() {
    assert_numpy_finds(&vec![1.0_f64, 2.0], r#"holds("state", "<f8", (2,), [1, 2])"#);
    assert_numpy_finds(&Plain(array![[1_u16, 2]]), r#"holds("state", "<u2", (1, 2), [1, 2])"#);
}

#[test]
fn the_keys_of_maps_in_names_lead_nowhere_outside() {
    #[checkpointed]
    struct Tables {
        named: BTreeMap<String, Vec<u8>>,
        numbered: HashMap<i32, Vec<u8>>,
        nested: BTreeMap<String, BTreeMap<u64, Vec<u8>>>,
    }
    let keys = [
        "plain", "a/b", "..", "../../x", ".hidden", "", "über", "温度", "C:\\x", "nul\0", "a.npy", "%",
        "a%2Fb",
    ];
    let named = keys.iter().zip(0..).map(|(key, number)| ((*key).to_owned(), vec![number])).collect();
    assert_numpy_finds(
        &Tables {
            named,
            numbered: HashMap::from([(-7, vec![70]), (i32::MAX, vec![71])]),
            nested: BTreeMap::from([("x y".to_owned(), BTreeMap::from([(u64::MAX, vec![72])]))]),
        },
        r#"
import pathlib, tempfile, zipfile
from urllib.parse import unquote

# Written as in addresses, with one name more: a lone % for the empty key.
keys = ["plain", "a/b", "..", "../../x", ".hidden", "", "über", "温度", "C:\\x", "nul\0", "a.npy", "%", "a%2Fb"]
names = [name for name in entries.files if name.startswith("named/")]
found = {"" if name == "named/%" else unquote(name.removeprefix("named/")): name for name in names}
assert found.keys() == set(keys) and len(names) == len(keys), names
for number, key in enumerate(keys):
    holds(found[key], "u1", (1,), [number])
    assert found[key].isascii() and found[key].count("/") == 1 and "/." not in found[key], found[key]
assert found["a/b"] == "named/a%2Fb" and found[".."] == "named/%2E."
holds("numbered/-7", "u1", (1,), [70])
holds("numbered/2147483647", "u1", (1,), [71])
holds("nested/x%20y/18446744073709551615", "u1", (1,), [72])

with tempfile.TemporaryDirectory() as parent, zipfile.ZipFile(sys.argv[1]) as archive:
    inside = pathlib.Path(parent, "inside")
    archive.extractall(inside)
    assert [path.name for path in pathlib.Path(parent).iterdir()] == ["inside"]
    unpacked = {str(path.relative_to(inside)) for path in inside.rglob("*") if path.is_file()}
    assert unpacked == set(archive.namelist()), unpacked
"#,
    );
}

#[test]
fn an_empty_array_keeps_its_type_and_its_shape() {
    #[checkpointed]
    struct Empty {
        flat: Vec<f64>,
        rows: Vec<[f32; 3]>,
        boxed: Box<[u8]>,
        none: Option<Vec<f64>>,
    }
    assert_numpy_finds(
        &Empty { flat: vec![], rows: vec![], boxed: Box::new([]), none: None },
        r#"
holds("flat", "<f8", (0,), [])
holds("rows", "<f4", (0, 3), [])
holds("boxed", "u1", (0,), [])
"#,
    );
}

#[test]
fn arrays_in_boxes_options_locks_and_generics_are_entries() {
    #[checkpointed]
    struct Held<T> {
        boxed: Box<[T]>,
        option: Option<Vec<T>>,
        double: Box<Option<Box<[[T; 2]]>>>,
        lock: Mutex<Vec<T>>,
    }
    let held = Held {
        boxed: Box::new([1_i32, 2]),
        option: Some(vec![3]),
        double: Box::new(Some(Box::new([[4, 5], [6, 7]]))),
        lock: Mutex::new(vec![8, 9]),
    };
    assert_numpy_finds(
        &held,
        r#"
holds("boxed", "<i4", (2,), [1, 2])
holds("option", "<i4", (1,), [3])
holds("double", "<i4", (2, 2), [4, 5, 6, 7])
holds("lock", "<i4", (2,), [8, 9])
"#,
    );
}

#[test]
fn arrays_of_types_that_know_nothing_of_checkpoints_are_entries() {
    #[derive(Serialize, Deserialize)]
    struct Foreign {
        samples: Vec<f32>,
        inner: (Vec<u64>, String),
    }
    #[checkpointed]
    struct State {
        foreign: Foreign,
        list: Vec<Foreign>,
    }
    let foreign =
        |value: f32| Foreign { samples: vec![value; 2], inner: (vec![u64::MAX], "text".to_owned()) };
    assert_numpy_finds(
        &State { foreign: foreign(0.5), list: vec![foreign(1.5)] },
        r#"
for path, value in ("foreign", 0.5), ("list/0", 1.5):
    holds(f"{path}/samples", "<f4", (2,), [value] * 2)
    holds(f"{path}/inner/0", "<u8", (1,), [2**64 - 1])
"#,
    );
}

#[test]
fn a_large_array_starts_at_a_page_and_can_be_mapped() {
    #[checkpointed]
    struct Large {
        short: Vec<u8>,
        field: Vec<f64>,
        rows: Vec<[f32; 3]>,
        grid: Array2<u16>,
    }
    assert_numpy_finds(
        &Large {
            short: vec![1, 2, 3],
            field: (0..150_000).map(|place| f64::from(place) * 0.1).collect(),
            rows: (0..50_000_u16).map(|place| [f32::from(place); 3]).chain(vec![[0.5; 3]; 50_000]).collect(),
            grid: Array2::from_shape_fn((1000, 700), |(row, column)| u16::try_from(row + column).unwrap()),
        },
        r#"
import zipfile

def mapped(name):
    """The entry, not read but mapped into memory, and where its data starts in the file."""
    with zipfile.ZipFile(sys.argv[1]) as archive, open(sys.argv[1], "rb") as file:
        info = archive.getinfo(name + ".npy")
        assert info.compress_type == zipfile.ZIP_STORED
        file.seek(info.header_offset)
        local = file.read(30)
        file.seek(int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little"), 1)
        assert np.lib.format.read_magic(file) == (1, 0)
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
        assert not fortran_order
        return np.memmap(sys.argv[1], dtype, "r", file.tell(), shape), file.tell()

rows = np.concatenate([np.repeat(np.arange(50_000), 3), np.full(150_000, 0.5)])
holds("short", "u1", (3,), [1, 2, 3])
holds("field", "<f8", (150_000,), np.arange(150_000) * 0.1)
holds("rows", "<f4", (100_000, 3), rows)
holds("grid", "<u2", (1000, 700), np.add.outer(np.arange(1000), np.arange(700)))
for name in "short", "field", "rows", "grid":
    array, offset = mapped(name)
    assert offset % (64 if name == "short" else 4096) == 0, (name, offset)
    assert array.flags.aligned and array.tobytes() == entries[name].tobytes()
"#,
    );
}

#[test]
fn a_fixed_array_of_any_length_has_all_its_dimensions() {
    const FEATURES: usize = 784;
    const AXES: usize = 3;
    #[checkpointed]
    #[derive(Debug, Clone, PartialEq)]
    struct Fixed<const N: usize> {
        line: [f64; 1000],
        grid: [[f32; 64]; 3],
        boxed: Box<[u16; 4096]>,
        slice: Box<[[i8; 100]]>,
        rows: Vec<[f64; 100]>,
        none: Vec<[f64; 33]>,
        option: Option<[bool; 40]>,
        absent: Option<[bool; 40]>,
        weights: Vec<[f32; FEATURES]>,
        positions: Vec<[f64; AXES]>,
        axes: [f64; AXES],
        small: [f64; 3],
        sizes: [usize; N],
        names: [String; 33],
    }
    let nan = f64::from_bits(0xfff8_dead_beef_0001);
    let mut line = [-0.0; 1000];
    line[1] = nan;
    let fixed = Fixed::<50> {
        line,
        grid: std::array::from_fn(|row| {
            std::array::from_fn(|column| f32::from(u8::try_from(row * 64 + column).unwrap()))
        }),
        boxed: Box::new([7; 4096]),
        slice: vec![[-1; 100], [-2; 100]].into(),
        rows: vec![[0.5; 100]; 2],
        none: vec![],
        option: Some([true; 40]),
        absent: None,
        weights: vec![[1.5; FEATURES]; 2],
        positions: vec![[1.0, 2.0, 3.0]; 2],
        axes: [4.0; AXES],
        small: [5.0; 3],
        sizes: [usize::MAX; 50],
        names: std::array::from_fn(|place| place.to_string()),
    };
    assert_numpy_finds(
        &fixed,
        r#"
line = np.full(1000, -0.0)
line.view("<u8")[1] = 0xfff8deadbeef0001
holds("line", "<f8", (1000,), line)
holds("grid", "<f4", (3, 64), np.arange(192))
holds("boxed", "<u2", (4096,), [7] * 4096)
holds("slice", "i1", (2, 100), [-1] * 100 + [-2] * 100)
holds("rows", "<f8", (2, 100), [0.5] * 200)
holds("none", "<f8", (0, 33), [])
holds("option", "bool", (40,), [True] * 40)
holds("weights", "<f4", (2, 784), [1.5] * 2 * 784)
holds("positions", "<f8", (2, 3), [1, 2, 3] * 2)
holds("sizes", "<u8", (50,), [2**64 - 1] * 50)
"#,
    );
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Fixed<50>>::open(directory.path()).unwrap();
    checkpoints.save(&fixed).unwrap();
    let mut loaded = checkpoints.load().unwrap().unwrap();
    assert_eq!(loaded.line.map(f64::to_bits), line.map(f64::to_bits));
    loaded.line = [0.0; 1000];
    assert_eq!(loaded, Fixed { line: [0.0; 1000], ..fixed.clone() });
    drop(checkpoints);
    // Another length makes another type.
    let mut other = Checkpointer::<Fixed<51>>::open(directory.path()).unwrap();
    let error = other.load().unwrap_err().to_string();
    assert!(error.contains("; 50]") && error.contains("; 51]"), "{error}");
    let json = serde_json::to_value(&fixed).unwrap();
    assert_eq!((&json["grid"][2][63], &json["rows"][1][99]), (&191.0.into(), &0.5.into()));
    assert_eq!(json["absent"], serde_json::Value::Null);
}

#[test]
fn a_key_too_long_for_a_file_can_be_unpacked() {
    let state: BTreeMap<String, Vec<u8>> =
        [("x".repeat(300), vec![1]), ("x".repeat(301), vec![2]), ("é".repeat(500), vec![3])].into();
    assert_numpy_finds(
        &state,
        r#"
import tempfile, zipfile
held |= {name for name in entries.files}
assert sorted(entries[name][0] for name in entries.files if "~" in name) == [1, 2, 3]
with tempfile.TemporaryDirectory() as parent, zipfile.ZipFile(sys.argv[1]) as archive:
    archive.extractall(parent)
"#,
    );
}
