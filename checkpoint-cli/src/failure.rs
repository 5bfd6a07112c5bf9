//! The reasons that a command failed.

use std::io;
use std::path::{Path, PathBuf};

/// A failure of a command. It ends the program with code 3, unless the reader of the output has
/// closed it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// An error of the library. Its messages say what happened, where, and what to do.
    #[error(transparent)]
    Checkpoint(#[from] checkpointed_core::Error),

    /// The directory has no checkpoint to show.
    #[error("{} has no checkpoint that can be opened", .0.display())]
    NoCheckpoint(PathBuf),

    /// The group has no process of that rank.
    #[error("{processes} processes saved it, and none of them has rank {rank}: ranks count from 0")]
    NoRank {
        /// The rank.
        rank: usize,
        /// The number of processes.
        processes: usize,
    },

    /// The checkpoint is of one process.
    #[error("{} was not saved by a group of processes: leave out --rank", .0.display())]
    NoGroup(PathBuf),

    /// There is no second checkpoint to compare with.
    #[error("{} is one checkpoint: give a second one, or a directory that has two", .0.display())]
    OneCheckpoint(PathBuf),

    /// The URL of an object store, and this program has no stores.
    #[error(
        "{url} is in an object store, and this `ckpt` was built without: install the one that has them, by `cargo install \
         --path checkpoint-object-store --features cli` in a clone (add `gcp` or `azure` for these)"
    )]
    NoStores {
        /// The URL.
        url: String,
    },

    /// The command needs the history of a directory, or files that users make there.
    #[error(
        "{url} is in an object store, and this command needs a directory: a store has no history, no steps, and no \
         requests to stop"
    )]
    NoHistory {
        /// The URL.
        url: String,
    },

    /// There is nothing to unpin.
    #[error("{} has no generation {generation}, and no pin of that number: `ckpt list` shows those that it has", path.display())]
    NotPinned {
        /// The place.
        path: PathBuf,
        /// The number.
        generation: u64,
    },

    /// The command needs a path of this machine.
    #[error(
        "{url} is in an object store, and this needs a path of this machine: `ckpt copy` brings a directory to a store, and \
         back"
    )]
    NotLocal {
        /// The URL.
        url: String,
    },

    /// The answer names this path, and JSON cannot hold it.
    #[error("{} is not UTF-8, and JSON has no other text: leave out --json, or rename it; nothing was done", .0.display())]
    NotUnicode(PathBuf),

    /// To remove objects from a store, the place must be taken over.
    #[error(
        "a store has no locks: to remove generations, this takes {} over, and a program that saves there now stops with an \
         error; confirm that with --take-over, or list the removals with --dry-run",
        .0.display()
    )]
    NotTakenOver(PathBuf),

    /// A removal was not confirmed.
    #[error("nothing was removed: confirm with --yes, or list the removals with --dry-run")]
    NotConfirmed,

    /// An import with a key.
    #[error(
        "an imported checkpoint has no tags and is not encrypted: leave out --key-file, --run-name and --identity; a program \
         with a key takes its values by a `CheckpointReader` without the key"
    )]
    KeysOfImport,

    /// A `.npy` file needs exactly one array.
    #[error("a .npy file has one array, but there are {0}: give the path of one, or choose --to npz")]
    NotOneArray(usize),

    /// The output is a terminal, and the format is not for one.
    #[error("this form is not for a terminal: give a file with --output")]
    Terminal,

    /// The requested file could not be written.
    #[error("cannot write {}: {source}{}", path.display(), if source.kind() == io::ErrorKind::AlreadyExists { "; --force replaces it" } else { "" })]
    NotWritten {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },

    /// A file that the user gave is not what it should be.
    #[error("cannot use {}: {why}", path.display())]
    NotRead {
        /// The path.
        path: PathBuf,
        /// The reason.
        why: String,
    },

    /// The answer could not be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),

    /// The answer could not be made into JSON.
    #[error("cannot write the answer as JSON: {0}")]
    Json(#[from] serde_json::Error),

    /// There is no such directory, or this user may not read it.
    #[error("cannot read the directory {}: {source}", path.display())]
    Directory { path: PathBuf, source: io::Error },

    /// The path does not exist, or it is a link that leads nowhere.
    #[error("cannot look at {}: {source}{}", path.display(), leads_nowhere(path))]
    NotThere {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },

    /// A page could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Page { path: PathBuf, source: io::Error },

    /// A page would replace another kind of file.
    #[error("{} exists and is no report: it is left unchanged, give another name", path.display())]
    NotAPage { path: PathBuf },
}

/// The target of a link, as an addition to a message.
fn leads_nowhere(path: &Path) -> String {
    let target = std::fs::read_link(path).ok();
    target.map(|target| format!("; it is a link to {}", target.display())).unwrap_or_default()
}
