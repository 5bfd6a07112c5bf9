//! The group of one process.

use std::io;

use super::Group;

/// A group with one member: a program that is not parallel, or one that is tried without its
/// other processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Group for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_gather(&self, mine: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        Ok(vec![mine.to_vec()])
    }

    /// There is no other member: the panic goes on.
    fn abort(&self) {}
}
