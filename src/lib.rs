//! Checkpoint and restart: put [`#[checkpointed]`](macro@checkpointed) on the state of a program,
//! and a crash, a kill or a power cut costs the work since the last save, never the run.
//!
//! ```
//! use checkpointed::{Checkpointer, checkpointed};
//!
//! #[checkpointed]
//! #[derive(Default)]
//! struct Simulation {
//!     step: u64,
//!     energy: Vec<f64>,
//! }
//!
//! # let parent = std::env::temp_dir().join(format!("checkpointed-front-page-{}", std::process::id()));
//! # std::fs::create_dir(&parent)?;
//! # let path = parent.join("run.ckpt");
//! let mut checkpoints = Checkpointer::<Simulation>::open(&path)?;
//! let mut simulation = checkpoints.load_or_default()?;
//! while simulation.step < 100 {
//!     simulation.step += 1; // the work
//!     checkpoints.save_if_due(&simulation)?;
//! }
//! checkpoints.finish(&simulation)?;
//! # std::fs::remove_dir_all(&parent)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A checkpoint directory holds one file for each generation that is kept, by default the last two.
//! [`save`] returns once its generation is durable: from then on a restart loads it or a newer one.
//! [`load`] takes the newest generation with correct checksums, and reports each newer one that it
//! skipped. If the type of a state has changed since the save, the state is loaded by the names of
//! its fields, or refused with the path of the field that does not fit.
//!
//! # Overview
//!
//! | to | see |
//! |---|---|
//! | save and load | [`Checkpointer`], [`CheckpointReader`] |
//! | set the options | [`Builder`]; [`open`](Builder::open) lists the environment variables |
//! | choose when to save | [`Schedule`], [`schedule`] |
//! | stop in time, by a signal or a deadline | [`Builder::stop_on_signals`], [`stop`] |
//! | choose the generations to keep | [`Builder::keep_last`], [`Metric`], [`Metadata`] |
//! | continue a log, a table or a trajectory at a restart | [`Appended`] |
//! | compare the configuration of a run at a restart | [`Builder::config`], [`ConfigChanges`] |
//! | use types of other crates | [`Plain`], [`self_describing`], [`json`], [`fixed`] |
//! | change the type of a state | [`macro@checkpointed`], [`evolution`], [`schema`] |
//! | see the outcome of a save or a load | [`reports`]: [`Saved`](reports::Saved), [`LoadReport`](reports::LoadReport) |
//! | see the events in a directory | [`history`], [`Manifest`] |
//! | wait in async code | [`futures`] |
//! | implement [`Checkpoint`] by hand | [`traits`], [`schema`] |
//! | authenticate or encrypt | [`Protection`], [`Key`] |
//! | understand a failure | [`Error`], [`Warning`](reports::Warning) |
//!
//! # Features
//!
//! | feature | effect |
//! |---|---|
//! | `derive` (on by default) | the macros |
//! | `pipeline` | `pipeline`: a program in steps, each with its own checkpoints |
//! | `scopes` | `scopes`: functions that each keep a part of one checkpoint |
//! | `group` | `group`: many processes that save together, and restart together |
//! | `inspect` | `inspect`: inspects checkpoints without the program that wrote them |
//! | `ndarray`, `nalgebra`, `num-complex`, `half` | arrays of these crates, stored as arrays |
//! | `zstd` | compressed checkpoints |
//! | `encryption` | encrypted checkpoints |
//!
//! [`save`]: Checkpointer::save
//! [`load`]: Checkpointer::load
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub use checkpointed_core::*;

#[cfg(feature = "derive")]
pub use checkpointed_derive::{Checkpoint, checkpointed};

/// Pipelines: programs in steps, each checkpointed by itself, and run again only if it has to be.
///
/// Put `#[step]` on a function, or declare a step by [`Pipeline::step`].
#[cfg(feature = "pipeline")]
#[cfg_attr(docsrs, doc(cfg(feature = "pipeline")))]
pub mod pipeline {
    pub use checkpointed_core::pipeline::*;
    #[cfg(feature = "derive")]
    pub use checkpointed_derive::step;
}

#[doc(hidden)]
pub use checkpointed_core::__private;

// The examples of the documents run as tests, if the features that they use are on.
#[cfg(all(doctest, feature = "derive", feature = "pipeline", feature = "group"))]
#[doc = include_str!("../README.md")]
struct Readme;
#[cfg(all(doctest, feature = "derive"))]
#[doc = include_str!("../docs/evolution.md")]
struct Evolution;
#[cfg(all(doctest, feature = "derive", feature = "group"))]
#[doc = include_str!("../docs/sharding.md")]
struct Sharding;
#[cfg(all(doctest, feature = "derive"))]
#[doc = include_str!("../docs/recipes.md")]
struct Recipes;
