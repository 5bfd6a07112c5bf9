//! What the members find of a group's checkpoints where rank 0 has no tables.
//!
//! Then the group may have lost them, or its processes may have changed their machines. It does not
//! start afresh: its next save would remove the parts of all members.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::accepted::Accepted;
use crate::error::Error;
use crate::store::{Home, name};

/// The identity of a lock file. Members that find the same one share a directory. It is not opened:
/// some systems end a lock where its process closes another copy of the file.
pub(super) type LockFile = (u64, i64, i64);

/// The lock file of a directory, where the system can tell it from others. Otherwise the members
/// only look at more than they need.
pub(super) fn lock_file(home: &dyn Home) -> Option<LockFile> {
    home.files()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let found = std::fs::symlink_metadata(home.path().join(name::LOCK)).ok()?;
        Some((found.ino(), found.mtime(), found.mtime_nsec()))
    }
    #[cfg(not(unix))]
    None
}

/// The checkpoints that one member finds, each as its newest generation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Finding {
    /// The accepted parts of its own rank.
    own: Option<u64>,
    /// The accepted parts of other ranks in its directory.
    others: Vec<(usize, u64)>,
    /// The tables, in a directory that rank 0 does not have.
    tables: Option<u64>,
}

impl Finding {
    /// Looks at the parts of this rank, of which `newest` is the newest.
    pub(super) fn of_own(accepted: &Accepted, newest: Option<u64>) -> Result<Finding, Error> {
        let is_accepted = newest.is_some() && accepted.is_there()?;
        Ok(Finding { own: newest.filter(|_| is_accepted), ..Finding::default() })
    }

    /// Looks at the rest of the directory too, where rank 0 does not look at the same one. A store
    /// is one place for all: rank 0 has listed it, and `known` has what nobody else looks at.
    pub(super) fn and_others(
        mut self,
        home: &dyn Home,
        rank: usize,
        of_first: Option<LockFile>,
        known: &[(usize, u64)],
    ) -> Result<Finding, Error> {
        self.others = known.to_vec();
        if home.files().is_none() || (rank > 0 && of_first.is_some() && of_first == lock_file(home)) {
            return Ok(self);
        }
        for other in home.members()? {
            if other == rank || known.iter().any(|(known, _)| *known == other) {
                continue;
            }
            let place = home.member(other)?;
            if is_accepted(&*place)?
                && let Some(newest) = place.generations()?.last()
            {
                self.others.push((other, *newest));
            }
        }
        let (tables, rewound) = (home.generations()?, home.rewound()?);
        self.tables = tables.last().max(rewound.last()).copied();
        Ok(self)
    }
}

/// True if a group has accepted a part that was saved at the place of a member.
pub(super) fn is_accepted(place: &dyn Home) -> Result<bool, Error> {
    place.is_accepted().map_err(|source| Error::io("read", place.path(), source))
}

/// The error of a group that starts at `path` without tables, where its members find checkpoints.
/// `None` if they find none.
pub(super) fn tables_lost(path: PathBuf, findings: &[Finding]) -> Option<Error> {
    let (mut ranks, mut moved, mut newest) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    for (rank, finding) in findings.iter().enumerate() {
        ranks.extend(finding.own.map(|_| rank));
        newest.extend(finding.own.into_iter().chain(finding.tables));
        for (other, generation) in &finding.others {
            ranks.insert(*other);
            newest.insert(*generation);
        }
        // The parts of a rank that finds none are another rank's by now.
        let is_elsewhere =
            |(other, _): &(usize, u64)| findings.get(*other).is_some_and(|finding| finding.own.is_none());
        if finding.tables.is_some() || finding.others.iter().any(is_elsewhere) {
            moved.push(rank);
        }
    }
    let generation = newest.last().copied()?;
    Some(Error::TablesLost { path, ranks: ranks.into_iter().collect(), generation, moved })
}
