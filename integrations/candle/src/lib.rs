//! [`checkpointed`] for models of [candle](candle_core): their variables, and the moments of AdamW,
//! are fields of the state. A training that was killed goes on from the newest checkpoint that is
//! whole, and ends equal to the bit.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{Module, ParamsAdamW, VarBuilder, VarMap, linear, loss};
//! use checkpointed::{Checkpointer, checkpointed};
//! use checkpointed_candle::{AdamW, Tensors};
//!
//! #[checkpointed]
//! struct Training {
//!     step: u64,
//!     weights: Tensors,
//!     optimizer: AdamW,
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("train.ckpt");
//! let variables = VarMap::new();
//! let model = linear(2, 1, VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu))?;
//!
//! let mut checkpoints = Checkpointer::<Training>::open(&path)?;
//! let mut training = checkpoints.load_or_else(|| Training {
//!     step: 0,
//!     weights: Tensors::of(&variables),
//!     optimizer: AdamW::new(),
//! })?;
//! training.weights.put_into(&variables)?; // after a restart, the values of the checkpoint
//! training.optimizer.attach(&variables, ParamsAdamW::default())?;
//!
//! let x = Tensor::new(&[[0_f32, 1.0], [1.0, 0.0], [1.0, 1.0]], &Device::Cpu)?;
//! let y = Tensor::new(&[[1_f32], [2.0], [3.0]], &Device::Cpu)?;
//! while training.step < 100 {
//!     training.optimizer.backward_step(&loss::mse(&model.forward(&x)?, &y)?)?;
//!     training.step += 1;
//!     checkpoints.save_if_due(&training)?;
//! }
//! checkpoints.finish(&training)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Arrays
//!
//! [`Tensors`] holds the tensors themselves, which share their memory with the variables. A save
//! writes this memory as it is: nothing is copied on the processor. A tensor of a GPU is copied to
//! main memory while it is written, and its memory is free again before the next one. Each tensor
//! is an array of the checkpoint with its dtype and its shape: `ckpt show` lists it, and numpy
//! reads it as `weights/fc1.weight`. `BF16`, which numpy does not have, is there as two raw bytes.
//!
//! U8, U32, I16, I32, I64, BF16, F16, F32 and F64 are saved. A save of another dtype is an error
//! that names the tensor. [`Checkpointer::save_while`](checkpointed::Checkpointer::save_while)
//! promises that nothing changes the state meanwhile: evaluate during such a save, and do not
//! train.
//!
//! # Optimizers
//!
//! candle's own optimizers cannot be saved in full. `candle_nn::AdamW` keeps its moments and its
//! count of steps to itself; a run that begins them anew gets other weights. So this package has
//! its own [`AdamW`], with the same arithmetic to the bit. `candle_nn::SGD` has no state: make it
//! anew.
//!
//! Another optimizer keeps its tensors in a [`Tensors`], by the names of the variables, and its
//! numbers in other fields of the state. Go by names, never by places: the order of
//! [`VarMap::all_vars`](candle_nn::VarMap::all_vars) differs from one process to the next.
//!
//! # Random numbers
//!
//! candle's generator for the processor cannot be seeded or saved. Where a run is to end equal to
//! the bit, draw the order of the samples, the noise and the dropout by a generator that is a field
//! of the state. The initial values are saved with the first checkpoint; save once before the first
//! step, or set them by a generator of the program.

mod adamw;
mod element;
mod error;
mod tensors;

pub use adamw::AdamW;
pub use error::{Error, Misfit, Problem};
pub use tensors::Tensors;
