//! The core of [`checkpointed`](https://docs.rs/checkpointed): depend on that package, which adds
//! the macros.
//!
//! A state becomes a durable checkpoint in these folders:
//!
//! ```text
//! state ──▶ parts ──▶ one file ──▶ durable generation
//!      state/    container/    store/
//! ```
//!
//! - [`Checkpointer`] is the value that a program holds. It asks `state` for the bytes of a value
//!   and for its [`Schema`](schema::Schema), has `container` write them as one zip archive with a
//!   [`Manifest`], and has `store` publish that file under the next number of the checkpoint
//!   directory.
//! - [`CheckpointReader`] takes the way back: it decodes the newest generation whose checksums are
//!   right. Where the schema of the file differs from that of the program, names decide.
//! - [`inspect`] is for tools that know nothing of the program.
//! - [`Error`] describes every failure: the event, its place, and the remedy.

#![cfg_attr(docsrs, feature(doc_cfg))]
// Items that only the optional modules use are dead without them. A build with all of them finds
// unused items.
#![cfg_attr(
    not(all(feature = "pipeline", feature = "scopes", feature = "group", feature = "inspect")),
    allow(dead_code, unused_imports, unreachable_pub, reason = "the optional modules use it")
)]

mod arrays;
mod base;
mod codec;
mod container;
mod environment;
mod error;
pub mod evolution;
#[cfg(feature = "group")]
pub mod group;
pub mod history;
#[cfg(feature = "inspect")]
pub mod inspect;
mod outcome;
mod outputs;
#[cfg(feature = "pipeline")]
pub mod pipeline;
mod run;
pub mod schedule;
pub mod schema;
#[cfg(feature = "scopes")]
pub mod scopes;
mod seal;
mod state;
pub mod stop;
mod store;
mod trace;
mod tree;

pub use container::{Compression, Manifest, Metadata, MetadataValue};
pub use error::Error;
pub use outputs::Appended;
#[cfg(feature = "pipeline")]
pub use pipeline::Pipeline;
pub use run::builder::Builder;
pub use run::checkpointer::Checkpointer;
pub use run::checkpointer::autosaver::Autosaver;
pub use run::configuration::ConfigChanges;
pub use run::failures::OnFailedSave;
pub use run::finished::Finished;
pub use run::mirror::Mirror;
pub use run::read_back::ReadBack;
pub use run::reader::{CheckpointReader, ReaderBuilder};
pub use schedule::Schedule;
#[cfg(feature = "scopes")]
pub use scopes::Scopes;
pub use seal::{Key, Protection};
pub use state::{Checkpoint, ExpectedSchema, Plain, fixed, json, self_describing};
pub use store::{Access, Metric};

/// The outcomes of saves and loads, and the events of a run.
pub mod reports {
    pub use crate::base::warnings::Warning;
    pub use crate::container::ConfigDifference;
    pub use crate::error::{OutputFault, Skipped};
    pub use crate::outcome::{
        Decision, KeptField, LoadReport, Matching, Progress, Rewound, SaveReason, SaveStarted, Saved,
    };
}

/// The traits that methods ask for, and what an implementation of [`Checkpoint`] by hand needs.
pub mod traits {
    pub use crate::container::IntoMetadata;
    pub use crate::run::checkpointer::autosaver::Locked;
    pub use crate::state::{Borrowed, Types};
}

/// The futures of a [`Checkpointer`]. They need no certain runtime.
pub mod futures {
    pub use crate::run::checkpointer::futures::{Finishing, Saving, Stopped};
}

#[doc(hidden)]
pub mod home {
    pub use crate::container::{Memory, Source};
    pub use crate::store::name::{
        ACCEPTED, RANKS, generation_and_epoch, of_generation_in, of_pin, of_rank, pinned, rank as rank_of,
    };
    pub use crate::store::place::is_url;
    pub use crate::store::{Claim, Claiming, Draft, Files, Guard, Home, Lock, Log, Published, Sealed, Until};

    use std::path::Path;

    use crate::error::Error;

    /// The error of an operation that failed, and was to change something.
    #[must_use]
    pub fn not_written(operation: &'static str, path: &Path, source: std::io::Error) -> Error {
        Error::writing(operation, path, source)
    }

    /// The error of an operation that failed, and was to change nothing.
    #[must_use]
    pub fn not_read(operation: &'static str, path: &Path, source: std::io::Error) -> Error {
        Error::io(operation, path, source)
    }

    /// Warns as the library does: to the callback of the checkpointer that works in this thread, to
    /// `tracing`, or to standard error.
    pub fn warn(message: impl Into<String>) {
        crate::base::warnings::warn(message);
    }

    /// [`Error::TakenOver`].
    #[must_use]
    pub fn taken_over(path: &Path, by: String) -> Error {
        Error::TakenOver { path: path.to_owned(), by }
    }

    /// [`Error::InvalidSetting`].
    #[must_use]
    pub fn invalid_setting(setting: String, why: &'static str) -> Error {
        Error::InvalidSetting { setting, why }
    }

    /// [`Error::NoSuchGeneration`].
    #[must_use]
    pub fn no_such_generation(path: &Path, generation: u64, available: Vec<u64>) -> Error {
        Error::NoSuchGeneration { path: path.to_owned(), generation, available }
    }
}

/// The items that the code of the macros uses. Not part of the interface: they change without
/// notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::arrays::ArrayPool;
    pub use crate::schema::{Body, Field, Fields, Grid, Type, Variant};
    pub use crate::state::{
        PartSchema, Parts, Probe, ShortArray, Types, ViaCheckpoint, ViaParts, ViaSerde, adapter as fixed,
        told, traced,
    };
    pub use serde;

    pub use crate::run::in_memory::{InMemory, Numbers, forged};
    pub use crate::schema::element::SCALARS;
}
