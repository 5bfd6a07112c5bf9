//! Tensors that are saved, loaded and put into variables, or refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::VarMap;
use checkpointed::{Checkpointer, Protection, checkpointed, inspect};
use checkpointed_candle::{Error, Problem, Tensors};

#[checkpointed]
struct State {
    weights: Tensors,
}

const DTYPES: [DType; 9] = [
    DType::U8,
    DType::U32,
    DType::I16,
    DType::I32,
    DType::I64,
    DType::BF16,
    DType::F16,
    DType::F32,
    DType::F64,
];

/// Values whose bits differ from each other.
fn values(count: usize, dtype: DType) -> Tensor {
    let values: Vec<f32> = (0..count).map(|place| place as f32 / 2.0).collect();
    Tensor::from_vec(values, count, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

fn map<S: Into<Shape>>(variables: impl IntoIterator<Item = (&'static str, S, DType)>) -> VarMap {
    let map = VarMap::new();
    for (name, shape, dtype) in variables {
        let shape = shape.into();
        let tensor = values(shape.elem_count(), dtype).reshape(shape).unwrap();
        map.data().lock().unwrap().insert(name.to_owned(), Var::from_tensor(&tensor).unwrap());
    }
    map
}

fn zeros_like(variables: &VarMap) -> VarMap {
    let map = VarMap::new();
    for (name, tensor) in Tensors::of(variables).iter() {
        let zeros = Var::zeros(tensor.shape(), tensor.dtype(), &Device::Cpu).unwrap();
        map.data().lock().unwrap().insert(name.to_owned(), zeros);
    }
    map
}

/// The dtype, the shape and the bits of all tensors. In this test, `f64` tells all values apart.
fn bits(tensors: &Tensors) -> Vec<(String, DType, Vec<usize>, Vec<u64>)> {
    let bits = |tensor: &Tensor| {
        let values = tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
        values.into_iter().map(f64::to_bits).collect()
    };
    tensors
        .iter()
        .map(|(name, tensor)| (name.to_owned(), tensor.dtype(), tensor.dims().to_vec(), bits(tensor)))
        .collect()
}

fn saved_and_loaded(directory: &Path, weights: Tensors) -> Tensors {
    let mut checkpoints = Checkpointer::<State>::open(directory.join("state.ckpt")).unwrap();
    checkpoints.save(&State { weights }).unwrap();
    checkpoints.load().unwrap().unwrap().weights
}

#[test]
fn every_dtype_comes_back_as_an_array_with_its_shape() {
    let directory = tempfile::tempdir().unwrap();
    let variables = map(DTYPES.map(|dtype| (dtype.as_str(), (2, 3, 5), dtype)));
    let mut loaded = saved_and_loaded(directory.path(), Tensors::of(&variables));
    assert_eq!(bits(&loaded), bits(&Tensors::of(&variables)));

    let other = zeros_like(&variables);
    loaded.put_into(&other).unwrap();
    assert_eq!(bits(&Tensors::of(&other)), bits(&Tensors::of(&variables)));

    let newest = inspect::newest(directory.path().join("state.ckpt"), &Protection::new(), 0);
    let file = newest.unwrap().unwrap();
    let arrays: Vec<_> = file.arrays().map(|array| array.unwrap()).collect();
    let arrays: Vec<_> = arrays.iter().map(|array| (array.part(), array.dtype(), array.shape())).collect();
    let expected = [
        ("weights/bf16.npy", "|V2"),
        ("weights/f16.npy", "<f2"),
        ("weights/f32.npy", "<f4"),
        ("weights/f64.npy", "<f8"),
        ("weights/i16.npy", "<i2"),
        ("weights/i32.npy", "<i4"),
        ("weights/i64.npy", "<i8"),
        ("weights/u32.npy", "<u4"),
        ("weights/u8.npy", "|u1"),
    ];
    assert_eq!(arrays, expected.map(|(part, dtype)| (part, dtype, &[2_u64, 3, 5][..])));
}

#[test]
fn shapes_without_dimensions_and_without_elements_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let shapes: [(&str, Vec<usize>); 4] = [
        ("scalar", vec![]),
        ("empty", vec![0]),
        ("no rows", vec![3, 0, 2]),
        ("one", vec![1, 1, 1, 1, 1, 1, 1]),
    ];
    let variables = map(shapes.map(|(name, shape)| (name, shape, DType::F32)));
    let loaded = saved_and_loaded(directory.path(), Tensors::of(&variables));
    assert_eq!(bits(&loaded), bits(&Tensors::of(&variables)));
}

#[test]
fn a_view_is_saved_as_its_elements() {
    let directory = tempfile::tempdir().unwrap();
    let whole = values(24, DType::F32).reshape((4, 6)).unwrap();
    let views = [("rows", whole.narrow(0, 1, 2)), ("columns", whole.narrow(1, 1, 2)), ("turned", whole.t())];
    let views: Tensors = views.into_iter().map(|(name, view)| (name.to_owned(), view.unwrap())).collect();
    assert_eq!(bits(&saved_and_loaded(directory.path(), views.clone())), bits(&views));
}

#[test]
fn a_save_has_what_the_variables_have_then() {
    let directory = tempfile::tempdir().unwrap();
    let variables = map([("w", 3, DType::F32)]);
    let mut weights = Tensors::of(&variables);
    variables.clone().set_one("w", Tensor::new(&[7_f32, 8.0, 9.0], &Device::Cpu).unwrap()).unwrap();
    assert_eq!(bits(&saved_and_loaded(directory.path(), weights.clone())), bits(&Tensors::of(&variables)));

    // Tensors that are put into variables become theirs.
    let other = zeros_like(&variables);
    weights.put_into(&other).unwrap();
    other.clone().set_one("w", Tensor::new(&[1_f32, 2.0, 3.0], &Device::Cpu).unwrap()).unwrap();
    assert_eq!(bits(&weights), bits(&Tensors::of(&other)));
    weights.put_into(&other).unwrap();
    assert_eq!(weights.get("w").unwrap().to_vec1::<f32>().unwrap(), [1.0, 2.0, 3.0]);
}

#[test]
fn a_view_of_a_variable_is_put_into_it() {
    let variables = map([("w", (2, 2), DType::F32)]);
    let turned = Tensors::of(&variables).get("w").unwrap().t().unwrap();
    Tensors::from_iter([("w".to_owned(), turned)]).put_into(&variables).unwrap();
    let values = Tensors::of(&variables).get("w").unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(values, [[0.0, 1.0], [0.5, 1.5]]);
}

#[test]
fn tensors_that_do_not_fit_are_named_and_none_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let saved = map([
        ("a", (2, 2), DType::F32),
        ("b", (2, 2), DType::F32),
        ("c", (2, 2), DType::F32),
        ("d", (2, 2), DType::F32),
    ]);
    let mut loaded = saved_and_loaded(directory.path(), Tensors::of(&saved));

    let model = zeros_like(&map([
        ("a", (2, 2), DType::F32),
        ("b", (4, 1), DType::F32),
        ("c", (2, 2), DType::BF16),
        ("e", (2, 2), DType::F32),
    ]));
    let before = bits(&Tensors::of(&model));
    let error = loaded.put_into(&model).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the tensors of the state do not fit the variables of the model: `b` has the shape [2, 2] in the state, \
         [4, 1] in the model; `c` is f32 in the state, bf16 in the model; `d` is in the state, and no variable; `e` is \
         a variable, and not in the state; nothing was changed; build the model as the program did that saved, or \
         take single tensors by `Tensors::get`"
    );
    let Error::DoNotFit { misfits, .. } = error else { unreachable!() };
    let names: Vec<&str> = misfits.iter().map(|misfit| misfit.name.as_str()).collect();
    assert_eq!(names, ["b", "c", "d", "e"]);
    assert_eq!(misfits[1].problem, Problem::DType { tensor: DType::F32, variable: DType::BF16 });
    assert_eq!(bits(&Tensors::of(&model)), before);
    assert_eq!(bits(&loaded), bits(&Tensors::of(&saved)));
}

#[test]
fn a_dtype_that_cannot_be_saved_is_refused_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.ckpt");
    let small = values(3, DType::F32).to_dtype(DType::F8E4M3).unwrap();
    let weights = Tensors::from_iter([("head".to_owned(), small)]);
    let mut checkpoints = Checkpointer::<State>::open(&path).unwrap();
    let error = checkpoints.save(&State { weights }).unwrap_err().to_string();
    assert!(error.contains("tensors of f8e4m3 cannot be saved"), "{error}");
    assert!(error.contains("head"), "{error}");
    assert!(checkpoints.load().unwrap().is_none());
}
