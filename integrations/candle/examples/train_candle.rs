//! A training to kill and start again: `cargo run --example train_candle [DIRECTORY]`.
//!
//! Its weights are the same to the bit, however often it was killed.

use std::error::Error;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Module, ParamsAdamW, Sequential, VarBuilder, VarMap, linear, loss, seq};
use checkpointed::{Checkpointer, Schedule, checkpointed};
use checkpointed_candle::{AdamW, Tensors};

const STEPS: u64 = 150;
const BATCH: usize = 32;

#[checkpointed]
struct Training {
    step: u64,
    /// The state of the random numbers that draw the batches.
    random: u64,
    weights: Tensors,
    optimizer: AdamW,
}

/// A number from -1 to 1.
fn uniform(random: &mut u64) -> f32 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    (*random >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
}

fn model(variables: &VarMap) -> candle_core::Result<Sequential> {
    let build = VarBuilder::from_varmap(variables, DType::F32, &Device::Cpu);
    let (first, last) = (linear(2, 16, build.pp("first"))?, linear(16, 1, build.pp("last"))?);
    Ok(seq().add(first).add_fn(|x| x.tanh()).add(last))
}

/// A new training. candle's random numbers for the processor have no seed, so that the weights
/// begin with numbers of our own.
fn begin(variables: &VarMap) -> candle_core::Result<Training> {
    let mut random = 88_172_645_463_325_252;
    let mut weights = Tensors::default();
    for (name, tensor) in Tensors::of(variables).iter() {
        let values: Vec<f32> = (0..tensor.elem_count()).map(|_| uniform(&mut random) / 2.0).collect();
        weights.insert(name, Tensor::from_vec(values, tensor.shape(), &Device::Cpu)?);
    }
    Ok(Training { step: 0, random, weights, optimizer: AdamW::new() })
}

/// Points and the values of a function there.
fn batch(random: &mut u64) -> candle_core::Result<(Tensor, Tensor)> {
    let points: Vec<f32> = (0..2 * BATCH).map(|_| uniform(random)).collect();
    let values: Vec<f32> = points.chunks(2).map(|x| (3.0 * x[0]).sin() * x[1]).collect();
    let tensor = |values, width| Tensor::from_vec(values, (BATCH, width), &Device::Cpu);
    Ok((tensor(points, 2)?, tensor(values, 1)?))
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "train.ckpt".to_owned());
    let variables = VarMap::new();
    let model = model(&variables)?;
    let start = begin(&variables)?;

    let builder = Checkpointer::<Training>::builder(path).schedule(Schedule::every_of("step", 10));
    let mut checkpoints = builder.stop_on_signals().stop_before_deadline().open()?;
    let mut training = checkpoints.load_or_else(|| start)?;
    training.weights.put_into(&variables)?;
    training.optimizer.attach(&variables, ParamsAdamW { lr: 0.02, ..ParamsAdamW::default() })?;
    while training.step < STEPS && checkpoints.should_stop().is_none() {
        let (x, y) = batch(&mut training.random)?;
        training.optimizer.backward_step(&loss::mse(&model.forward(&x)?, &y)?)?;
        training.step += 1;
        sleep(Duration::from_millis(5)); // a larger model, as it were
        checkpoints.count("step", training.step);
        checkpoints.save_if_due(&training)?;
    }

    let finished = checkpoints.finish(&training)?;
    if finished.stopped.is_none() {
        println!("{} steps", training.step);
        let moments = [training.optimizer.first_moments(), training.optimizer.second_moments()];
        for tensors in [&training.weights].into_iter().chain(moments) {
            for (name, tensor) in tensors.iter() {
                println!("{name} {:?}", tensor.flatten_all()?.to_vec1::<f32>()?);
            }
        }
    }
    Ok(finished.exit_code())
}
