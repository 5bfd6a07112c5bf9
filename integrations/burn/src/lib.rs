//! [`checkpointed`] for models of [burn](burn_core): records of modules and of optimizers are
//! fields of the state. A training that was killed goes on from the newest checkpoint that is
//! whole, and ends equal to the bit.
//!
//! ```
//! use burn_core as burn; // a program has `burn` itself
//! use burn_core::tensor::{Device, Tensor};
//! use burn_nn::{Linear, LinearConfig};
//! use burn_optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
//! use checkpointed::{Checkpointer, checkpointed};
//! use checkpointed_burn::Record;
//!
//! #[checkpointed]
//! struct Saved {
//!     step: u64,
//!     model: Record,
//!     optimizer: Record,
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("train.ckpt");
//! let device = Device::default().autodiff();
//! let mut step = 0;
//! let mut model: Linear = LinearConfig::new(2, 1).init(&device);
//! let mut optimizer: ModuleOptimizer = AdamWConfig::new().init();
//!
//! let mut checkpoints = Checkpointer::<Saved>::open(&path)?;
//! if let Some(saved) = checkpoints.load()? {
//!     step = saved.step;
//!     model = saved.model.load_module(model)?;
//!     optimizer = saved.optimizer.load_optimizer(optimizer, &model)?;
//! }
//! let saved = |step, model: &Linear, optimizer: &ModuleOptimizer| Saved {
//!     step,
//!     model: Record::of_module(model),
//!     optimizer: Record::of_optimizer(optimizer),
//! };
//! let x = Tensor::<2>::from_data([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], &device);
//! let y = Tensor::<2>::from_data([[1.0], [2.0], [3.0]], &device);
//! while step < 20 {
//!     let loss = (model.forward(x.clone()) - y.clone()).square().mean();
//!     let gradients = GradientsParams::from_grads(loss.backward(), &model);
//!     model = optimizer.step(0.01, model, gradients);
//!     step += 1;
//!     checkpoints.save_if_due_from(|| saved(step, &model, &optimizer))?;
//! }
//! checkpoints.finish(&saved(step, &model, &optimizer))?;
//! # Ok(())
//! # }
//! ```
//!
//! # Arrays
//!
//! Each tensor of a record is an array of the checkpoint with its dtype and its shape: `ckpt show`
//! lists it, and numpy reads it as `model/tensors/fc1.weight`. Those of an optimizer have the
//! number of their parameter in their names. `BF16`, which numpy does not have, is there as two raw
//! bytes, and `Bool` as the integers that it is stored in.
//!
//! burn gives its tensors away as copies. A record has one, and burn needs a second one while it
//! makes or takes the record. So make it only for a save, by
//! [`Checkpointer::save_if_due_from`](checkpointed::Checkpointer::save_if_due_from), as above.
//!
//! A save of quantized tensors is an error that names the tensor: train with floats, and quantize
//! the result.
//!
//! # Restarts
//!
//! burn knows the parameters of an optimizer by numbers, which a module gets at random, and which
//! its record gives back. So load the module first, and the optimizer then.
//!
//! Where a run is to end equal to the bit, draw the order of the samples, the noise and the dropout
//! by a generator that is a field of the state: burn's own cannot be saved.

mod array;
mod error;
mod record;

pub use error::{Error, Misfit, Problem};
pub use record::Record;
