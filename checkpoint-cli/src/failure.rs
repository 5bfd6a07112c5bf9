//! Why a command could not do what it was asked for.

use std::io;
use std::path::{Path, PathBuf};

/// It ends the program with code 3, but for a reader that went away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// From the library, whose messages say what happened, where, and what to do.
    #[error(transparent)]
    Checkpoint(#[from] checkpointed_core::Error),

    /// There is nothing to look at.
    #[error("{} has no checkpoint that can be opened", .0.display())]
    NoCheckpoint(PathBuf),

    /// It has no part of that process.
    #[error("{processes} processes saved it, and none of them has rank {rank}: ranks count from 0")]
    NoRank {
        /// The rank.
        rank: usize,
        /// The number of processes.
        processes: usize,
    },

    /// It has no parts.
    #[error("{} was not saved by a group of processes: leave out --rank", .0.display())]
    NoGroup(PathBuf),

    /// There is nothing to compare it with.
    #[error("{} is one checkpoint: give a second one, or a directory that has two", .0.display())]
    OneCheckpoint(PathBuf),

    /// Something would be removed, and nobody said yes.
    #[error("nothing was removed: say --yes, or --dry-run to see what would go")]
    NotConfirmed,

    /// One array was to be written.
    #[error("a .npy file has one array, there are {0}: give the path of one, or choose --to npz")]
    NotOneArray(usize),

    /// A terminal is no place for that.
    #[error("this form is not for a terminal: give a file with --output")]
    Terminal,

    /// The file that was to be written.
    #[error("cannot write {}: {source}{}", path.display(), if source.kind() == io::ErrorKind::AlreadyExists { "; --force replaces it" } else { "" })]
    NotWritten {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// The answer could not be written.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),

    /// The answer could not be made into JSON.
    #[error("cannot write the answer as JSON: {0}")]
    Json(#[from] serde_json::Error),

    /// There is no such directory, or it may not be read.
    #[error("cannot read the directory {}: {source}", path.display())]
    Directory { path: PathBuf, source: io::Error },

    /// What is to be looked at is not there, or a link leads nowhere.
    #[error("cannot look at {}: {source}{}", path.display(), leads_nowhere(path))]
    NotThere {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// A page could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Page { path: PathBuf, source: io::Error },

    /// A page would take the place of something else.
    #[error("{} is there and is no report: it is left alone, give another name", path.display())]
    NotAPage { path: PathBuf },
}

/// Says of a link what it leads to.
fn leads_nowhere(path: &Path) -> String {
    let target = std::fs::read_link(path).ok();
    target.map(|target| format!("; it is a link to {}", target.display())).unwrap_or_default()
}
