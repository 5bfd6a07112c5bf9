//! Training that may be stopped or killed at any moment: logistic regression by mini-batches, with
//! momentum.
//!
//! ```text
//! cargo run --release -p checkpointed-examples --example train -- --help
//! ```
//!
//! At the end it prints the validation loss and the weights' fingerprint. A run that was stopped or
//! killed, and restarted any number of times, prints exactly the same: the order of the samples and
//! the state of the random number generator are part of the checkpoint.
//!
//! It saves when that pays ([`save_if_due`](Checkpointer::save_if_due)), and after each epoch with
//! the validation loss; the last two checkpoints and the best one are kept. It saves and ends with
//! exit code 75 on SIGTERM, SIGINT, SIGUSR1 and SIGUSR2, and ahead of the job's time limit;
//! `examples/slurm.sh` then requeues the job. It saves and ends with 76 when a user puts a file
//! named `halt` into the directory.
//!
//! # Method
//!
//! p(y = 1 | x) = 1 / (1 + exp(-w·x)); the loss is the mean cross entropy plus λ/2 |w|². Stochastic
//! gradient descent with momentum: v ← μ v - η ∇loss(batch), w ← w + v (B. T. Polyak, USSR Comput.
//! Math. Math. Phys. 4 (1964) 1-17).

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use checkpointed::{Checkpointer, Metadata, Metric, checkpointed};
use clap::Parser;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

#[derive(Parser)]
struct Options {
    /// The checkpoint directory.
    #[arg(long, default_value = "train.ckpt")]
    dir: PathBuf,
    /// Ends after this many passes over the data.
    #[arg(long, value_name = "N", default_value_t = 20)]
    epochs: u64,
    /// Milliseconds to sleep after each batch.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pause: u64,
}

const SAMPLES: usize = 4000;
const VALIDATION: usize = 1000;
const FEATURES: usize = 32;
const BATCH: usize = 50;
const LEARNING_RATE: f64 = 0.05;
const MOMENTUM: f64 = 0.9;
const DECAY: f64 = 1e-3;

/// Everything that the result depends on, except for the data, which is generated again.
#[checkpointed]
struct Training {
    weights: Vec<f64>,
    velocity: Vec<f64>,
    epoch: u64,
    /// The number of batches of this epoch so far.
    batch: usize,
    /// The samples in the order of this epoch.
    order: Vec<u32>,
    /// A type of another crate, with serde's traits and without checkpoints.
    random: Pcg64,
}

impl Training {
    fn begin() -> Training {
        Training {
            weights: vec![0.0; FEATURES],
            velocity: vec![0.0; FEATURES],
            epoch: 0,
            batch: 0,
            order: (0..).take(SAMPLES).collect(),
            random: Pcg64::seed_from_u64(2),
        }
    }

    /// Learns from one batch. Returns true after the last one of the epoch.
    fn learn(&mut self, data: &Data) -> bool {
        if self.batch == 0 {
            self.order.shuffle(&mut self.random);
        }
        let samples = &self.order[self.batch * BATCH..(self.batch + 1) * BATCH];
        let mut gradient: Vec<f64> = self.weights.iter().map(|weight| DECAY * weight).collect();
        for sample in samples {
            let (features, label) = data.sample(*sample as usize);
            // A little noise in each feature replaces more data.
            let noisy = features.map(|feature| feature + self.random.random_range(-0.05..0.05));
            let error = probability(&self.weights, &noisy) - label;
            for (slope, feature) in gradient.iter_mut().zip(noisy) {
                *slope += error * feature / BATCH as f64;
            }
        }
        for ((weight, velocity), slope) in self.weights.iter_mut().zip(&mut self.velocity).zip(gradient) {
            *velocity = MOMENTUM * *velocity - LEARNING_RATE * slope;
            *weight += *velocity;
        }
        self.batch += 1;
        let ends_epoch = self.batch == SAMPLES / BATCH;
        if ends_epoch {
            self.batch = 0;
            self.epoch += 1;
        }
        ends_epoch
    }

    /// The mean cross entropy of the samples that are not used for training.
    fn validation_loss(&self, data: &Data) -> f64 {
        let loss = |sample| {
            let (features, label) = data.sample(sample);
            let probability = probability(&self.weights, &features).clamp(1e-12, 1.0 - 1e-12);
            -(label * probability.ln() + (1.0 - label) * (1.0 - probability).ln())
        };
        (SAMPLES..SAMPLES + VALIDATION).map(loss).sum::<f64>() / VALIDATION as f64
    }

    /// A number that changes with every bit of the weights: FNV-1a.
    fn fingerprint(&self) -> u64 {
        let bytes = self.weights.iter().flat_map(|weight| weight.to_bits().to_le_bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }
}

fn probability(weights: &[f64], features: &[f64; FEATURES]) -> f64 {
    let sum: f64 = weights.iter().zip(features).map(|(weight, feature)| weight * feature).sum();
    1.0 / (1.0 + (-sum).exp())
}

/// Samples with features between -1 and 1, and a label that depends on them, with some exceptions.
struct Data {
    features: Vec<[f64; FEATURES]>,
    labels: Vec<f64>,
}

impl Data {
    fn generate() -> Data {
        let mut random = Pcg64::seed_from_u64(1);
        let truth: Vec<f64> = (0..FEATURES).map(|_| random.random_range(-2.0..2.0)).collect();
        let features: Vec<[f64; FEATURES]> = (0..SAMPLES + VALIDATION)
            .map(|_| std::array::from_fn(|_| random.random_range(-1.0..1.0)))
            .collect();
        let labels = features
            .iter()
            .map(|features| if random.random_bool(probability(&truth, features)) { 1.0 } else { 0.0 })
            .collect();
        Data { features, labels }
    }

    fn sample(&self, number: usize) -> ([f64; FEATURES], f64) {
        (self.features[number], self.labels[number])
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("train: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let mut checkpoints = Checkpointer::<Training>::builder(&options.dir)
        .keep_last(2)
        .keep_best(Metric::lowest("loss"), 1)
        .stop_on_signals()
        .stop_before_deadline()
        .open()?;
    let mut training = checkpoints.load_or_else(Training::begin)?;
    if let Some(load) = checkpoints.last_load() {
        eprintln!("train: going on from {}, epoch {}", load.generation(), training.epoch);
    }
    let data = Data::generate();
    while training.epoch < options.epochs && checkpoints.should_stop().is_none() {
        if training.learn(&data) {
            let loss = training.validation_loss(&data);
            let metadata = Metadata::new().with("epoch", training.epoch).with("loss", loss);
            checkpoints.save_with(&training, metadata)?;
        } else {
            checkpoints.save_if_due(&training)?;
        }
        thread::sleep(Duration::from_millis(options.pause));
    }
    let finished = checkpoints.finish(&training)?;
    if let Some(reason) = &finished.stopped {
        let (epoch, batch) = (training.epoch, training.batch);
        eprintln!("train: {reason}: saved at epoch {epoch}, batch {batch}; start it again to go on");
        return Ok(finished.exit_code());
    }
    let (loss, fingerprint) = (training.validation_loss(&data), training.fingerprint());
    writeln!(io::stdout(), "loss={loss:.6} weights={fingerprint:016x}")?;
    Ok(finished.exit_code())
}
