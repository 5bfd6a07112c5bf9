//! The core of [`checkpointed`](https://docs.rs/checkpointed): use that package, which adds the macros.
//!
//! How a state becomes a durable checkpoint, and which folder each arrow is:
//!
//! ```text
//! state ──▶ parts ──▶ one file ──▶ durable generation
//!      state/    container/    store/
//! ```
//!
//! - [`Checkpointer`] is what a program holds. It asks `state` for the bytes of a value and for its [`Schema`], has
//!   `container` write them as one zip archive with a [`Manifest`], and has `store` publish that file under the next
//!   number of the checkpoint directory.
//! - [`CheckpointReader`] goes the same road backwards: the newest generation whose checksums are right, decoded;
//!   where its schema is not that of the program, by the names in it.
//! - [`inspect`] is for tools that know nothing of the program.
//! - [`Error`] says what went wrong, where, and what to do.

mod base;
mod container;
mod environment;
mod error;
pub mod history;
pub mod inspect;
mod notice;
mod outcome;
mod pipeline;
mod run;
mod schedule;
mod scopes;
mod seal;
mod state;
mod stop;
mod store;

pub use container::{Compression, Manifest, Metadata, Value};
pub use error::{Error, Skipped};
pub use notice::warnings::Warning;
pub use outcome::{
    Decision, EXIT_HALTED, EXIT_REQUEUE, Finished, LoadReport, Progress, SaveReason, SaveStarted, Saved,
    Signal, StopReason,
};
pub use pipeline::{
    Outcome, Output, Parallel, Pipeline, PipelineBuilder, Reason, Step, StepContext, StepEvent, StepReport,
    Task,
};
pub use run::builder::{Builder, WhenBusy};
pub use run::checkpointer::Checkpointer;
pub use run::failures::OnFailedSave;
pub use run::read_back::ReadBack;
pub use run::reader::CheckpointReader;
pub use schedule::{Due, Schedule, interval};
pub use scopes::{Scope, Scopes, Stack};
pub use seal::{Key, Protection};
pub use state::{
    Body, Checkpoint, Definition, Difference, DifferenceKind, Field, Fields, Migrated, OpaquePart, Plain,
    Schema, Type, Types, Variant, fixed, json, self_describing,
};
pub use stop::{request_halt, request_requeue};
pub use store::{Access, Metric};

/// What the macros' code refers to. Not part of the interface: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::state::{
        ArrayPool, Body, Field, Fields, PartSchema, Parts, Probe, ShortArray, Type, Types, Variant,
        ViaCheckpoint, ViaParts, ViaSerde, adapter as fixed, told, traced,
    };
    pub use serde;

    pub use crate::run::in_memory::{InMemory, Numbers, forged};
}
