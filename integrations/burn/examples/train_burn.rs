//! A training to kill and start again: `cargo run --example train_burn [DIRECTORY]`.
//!
//! Its weights are the same to the bit, however often it was killed.

use std::error::Error;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use burn_core as burn;
use burn_core::module::{Module, ModuleMapper, Param};
use burn_core::tensor::{Device, Tensor, TensorData};
use burn_nn::{Linear, LinearConfig};
use burn_optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use checkpointed::{Checkpointer, Schedule, checkpointed};
use checkpointed_burn::Record;

const STEPS: u64 = 150;
const BATCH: usize = 32;

#[derive(Module, Debug)]
struct Network {
    first: Linear,
    last: Linear,
}

impl Network {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.last.forward(self.first.forward(x).tanh())
    }
}

/// What is saved of a [`Training`].
#[checkpointed]
struct Saved {
    step: u64,
    random: u64,
    model: Record,
    optimizer: Record,
}

struct Training {
    step: u64,
    /// The state of the random numbers that draw the batches.
    random: u64,
    model: Network,
    optimizer: ModuleOptimizer,
}

/// Numbers from -1 to 1.
struct Uniform<'a>(&'a mut u64);

impl Uniform<'_> {
    fn next(&mut self) -> f32 {
        *self.0 ^= *self.0 << 13;
        *self.0 ^= *self.0 >> 7;
        *self.0 ^= *self.0 << 17;
        (*self.0 >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }
}

/// Begins the parameters with our own random numbers: burn's would differ in each run.
impl ModuleMapper for Uniform<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| {
            let values: Vec<f32> = (0..tensor.shape().num_elements()).map(|_| self.next() / 2.0).collect();
            let data = TensorData::new(values, tensor.shape());
            Tensor::from_data(data, &tensor.device()).require_grad()
        })
    }
}

impl Training {
    fn begin(device: &Device) -> Training {
        let mut random = 88_172_645_463_325_252;
        let network = Network {
            first: LinearConfig::new(2, 16).init(device),
            last: LinearConfig::new(16, 1).init(device),
        };
        let model = network.map(&mut Uniform(&mut random));
        Training { step: 0, random, model, optimizer: AdamWConfig::new().init() }
    }

    fn go_on(self, saved: Saved) -> Result<Training, checkpointed_burn::Error> {
        let model = saved.model.load_module(self.model)?;
        let optimizer = saved.optimizer.load_optimizer(self.optimizer, &model)?;
        Ok(Training { step: saved.step, random: saved.random, model, optimizer })
    }

    fn saved(&self) -> Saved {
        Saved {
            step: self.step,
            random: self.random,
            model: Record::of_module(&self.model),
            optimizer: Record::of_optimizer(&self.optimizer),
        }
    }

    fn learn(self, device: &Device) -> Training {
        let Training { step, mut random, model, mut optimizer } = self;
        let mut uniform = Uniform(&mut random);
        let points: Vec<f32> = (0..2 * BATCH).map(|_| uniform.next()).collect();
        let values: Vec<f32> = points.chunks(2).map(|x| (3.0 * x[0]).sin() * x[1]).collect();
        let x = Tensor::<2>::from_data(TensorData::new(points, [BATCH, 2]), device);
        let y = Tensor::<2>::from_data(TensorData::new(values, [BATCH, 1]), device);
        let loss = (model.forward(x) - y).square().mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let model = optimizer.step(0.02, model, gradients);
        Training { step: step + 1, random, model, optimizer }
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "train.ckpt".to_owned());
    let device = Device::default().autodiff();
    let builder = Checkpointer::<Saved>::builder(path).schedule(Schedule::every_of("step", 10));
    let mut checkpoints = builder.stop_on_signals().stop_before_deadline().open()?;
    let mut training = Training::begin(&device);
    if let Some(saved) = checkpoints.load()? {
        training = training.go_on(saved)?;
    }
    while training.step < STEPS && checkpoints.should_stop().is_none() {
        training = training.learn(&device);
        sleep(Duration::from_millis(5)); // a larger model, as it were
        checkpoints.count("step", training.step);
        checkpoints.save_if_due_from(|| training.saved())?;
    }

    let finished = checkpoints.finish(&training.saved())?;
    if finished.stopped.is_none() {
        println!("{} steps", training.step);
        for layer in [&training.model.first, &training.model.last] {
            let bias = layer.bias.as_ref().map(|bias| bias.val().try_into_vec_as::<f32>());
            println!("{:?} {bias:?}", layer.weight.val().try_into_vec_as::<f32>());
        }
    }
    Ok(finished.exit_code())
}
