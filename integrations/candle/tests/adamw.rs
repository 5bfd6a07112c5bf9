//! The optimizer, beside that of candle.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Optimizer, ParamsAdamW, VarMap};
use checkpointed::{Checkpointer, checkpointed};
use checkpointed_candle::{AdamW, Error};

#[checkpointed]
struct State {
    optimizer: AdamW,
}

fn variables(names: &[&str], dtype: DType) -> VarMap {
    let map = VarMap::new();
    for name in names {
        let start = Tensor::new(&[[0.1_f64, -0.7, 3.0], [0.9, 0.0, -2.5]], &Device::Cpu).unwrap();
        let start = Var::from_tensor(&start.to_dtype(dtype).unwrap()).unwrap();
        map.data().lock().unwrap().insert((*name).to_owned(), start);
    }
    map
}

fn variable(map: &VarMap, name: &str) -> Var {
    map.data().lock().unwrap()[name].clone()
}

/// A loss of which each variable has a gradient that changes.
fn loss(map: &VarMap, names: &[&str]) -> Tensor {
    let losses = names.iter().map(|name| (variable(map, name).as_tensor() - 0.3).unwrap().sqr().unwrap());
    let losses: Vec<Tensor> = losses.map(|loss| (loss.sqr().unwrap() + loss).unwrap()).collect();
    Tensor::stack(&losses, 0).unwrap().sum_all().unwrap()
}

fn values(map: &VarMap, name: &str) -> Vec<f64> {
    let tensor = variable(map, name).flatten_all().unwrap().to_dtype(DType::F64).unwrap();
    tensor.to_vec1().unwrap()
}

fn params() -> ParamsAdamW {
    ParamsAdamW { lr: 0.01, weight_decay: 0.02, ..ParamsAdamW::default() }
}

#[test]
fn it_is_candles_to_the_bit_also_across_a_restart() {
    for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
        let (names, directory) = (["a", "b"], tempfile::tempdir().unwrap());
        let (ours, theirs) = (variables(&names, dtype), variables(&names, dtype));
        // It has no gradient, and stays.
        let frozen = Var::from_tensor(&variable(&ours, "a")).unwrap();
        ours.data()
            .lock()
            .unwrap()
            .insert("c".to_owned(), frozen.copy().map(|t| Var::from_tensor(&t)).unwrap().unwrap());
        let mut their_optimizer = candle_nn::AdamW::new(theirs.all_vars(), params()).unwrap();

        let mut checkpoints = Checkpointer::<State>::open(directory.path().join("state.ckpt")).unwrap();
        for _ in 0..3 {
            let mut state = checkpoints.load_or_else(|| State { optimizer: AdamW::new() }).unwrap();
            state.optimizer.attach(&ours, params()).unwrap();
            for _ in 0..5 {
                state.optimizer.backward_step(&loss(&ours, &names)).unwrap();
                their_optimizer.backward_step(&loss(&theirs, &names)).unwrap();
                for name in names {
                    assert_eq!(values(&ours, name), values(&theirs, name), "{dtype:?}");
                }
            }
            checkpoints.save(&state).unwrap();
        }
        assert_eq!(checkpoints.load().unwrap().unwrap().optimizer.steps(), 15);
        assert_ne!(values(&ours, "a"), values(&ours, "c"));
        assert_eq!(values(&ours, "c"), values(&variables(&names, dtype), "a"));
    }
}

#[test]
fn moments_of_other_variables_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<State>::open(directory.path().join("state.ckpt")).unwrap();
    let map = variables(&["a", "b"], DType::F32);
    let mut state = State { optimizer: AdamW::new() };
    state.optimizer.attach(&map, params()).unwrap();
    state.optimizer.backward_step(&loss(&map, &["a", "b"])).unwrap();
    checkpoints.save(&state).unwrap();

    let mut loaded = checkpoints.load().unwrap().unwrap().optimizer;
    let error = loaded.attach(&variables(&["a", "c"], DType::F32), params()).unwrap_err().to_string();
    assert!(
        error.starts_with("the first moments of the state do not fit the variables of the model: `b` is"),
        "{error}"
    );
    let error = loaded.attach(&variables(&["a", "b"], DType::F64), params()).unwrap_err().to_string();
    assert!(error.contains("`a` is f32 in the state, f64 in the model"), "{error}");
    loaded.attach(&map, params()).unwrap();
    assert_eq!(loaded.steps(), 1);
}

#[test]
fn a_step_before_attach_is_an_error_and_changes_nothing() {
    let map = variables(&["a"], DType::F32);
    let mut optimizer = AdamW::new();
    let error = optimizer.backward_step(&loss(&map, &["a"])).unwrap_err();
    assert!(error.to_string().contains("call `attach` once"), "{error}");
    assert!(error.to_string().contains(&Error::NotAttached.to_string()));
    assert_eq!((optimizer.steps(), values(&map, "a")), (0, values(&variables(&["a"], DType::F32), "a")));
    optimizer.attach(&map, params()).unwrap();
    optimizer.params_mut().unwrap().lr = 0.0;
    optimizer.backward_step(&loss(&map, &["a"])).unwrap();
    assert_eq!(values(&map, "a"), values(&variables(&["a"], DType::F32), "a"));
}
