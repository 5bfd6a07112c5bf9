//! [`Users`]: the processes that run a pipeline at the same time.
//!
//! Each has the lock of the pipeline, and that of a folder in it, together with the others. The second
//! lock tells the first process and the last one, because only these have it alone for a moment. A
//! request to stop is meant for all processes, so only the last one removes it. The lock of a process
//! that is killed ends with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::builder::Workshop;
use crate::error::Error;
use crate::store::{Claiming, Guard, RealDisk, WithinGuard, name};

/// The time to wait for a process that looks if it is alone.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Users {
    path: PathBuf,
    claiming: Claiming,
    /// `None` once this process has left.
    guard: Option<Arc<Guard>>,
}

impl Users {
    /// Joins the processes that run a pipeline. The result is also true if this is the first one.
    pub(super) fn join(workshop: &Workshop, within: &WithinGuard) -> Result<(Users, bool), Error> {
        let path = workshop.path.join(name::USERS);
        let claiming = Claiming { within: WithinGuard::clone(within), ..workshop.options.claiming() };
        let mut users = Users { path, claiming, guard: None };
        let is_first = users.is_empty(workshop)?;
        let claiming = Claiming { wait: PATIENCE, ..users.claiming.clone() };
        users.guard = Some(Guard::take_shared(workshop.options.access, &users.path, &claiming)?);
        Ok((users, is_first))
    }

    /// Leaves, and returns true if no other process runs the pipeline.
    pub(super) fn leave(&mut self, workshop: &Workshop) -> bool {
        self.guard = None;
        self.is_empty(workshop).unwrap_or(false)
    }

    /// True if no process has the lock.
    fn is_empty(&self, workshop: &Workshop) -> Result<bool, Error> {
        let disk = RealDisk::with(workshop.options.access);
        match Guard::take(&disk, &self.path, &self.claiming) {
            Ok(_) => Ok(true),
            Err(Error::InUse { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
