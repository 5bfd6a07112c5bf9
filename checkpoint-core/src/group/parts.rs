//! The parts of a group's checkpoint, found and verified for tools.

use std::path::Path;
use std::sync::Arc;

use super::table::Table;
use crate::arrays::ArrayPool;
use crate::container::Container;
use crate::error::Error;
use crate::run::reader::{self, CheckpointReader};
use crate::seal::Protection;
use crate::store::{Directory, Disk, Home as _, RANKS, of_rank};

/// Verifies all parts of a checkpoint: that each is there, whole, and the one that the table
/// describes. Returns the ranks whose directories are not here, as where members have machines of
/// their own.
///
/// # Errors
/// The error of a part, or that of listing the ranks.
pub(crate) fn check_parts(
    path: &Path,
    (file, container): (&Path, &Container),
    disk: &Arc<dyn Disk>,
    protection: &Protection,
) -> Result<Vec<usize>, Error> {
    let program = reader::program_of::<Table>()?;
    let table = reader::decode::<Table>(file, &program, container, &mut ArrayPool::default)?.state;
    if table.shards.len() != table.size {
        let (path, part) = (file.to_owned(), "table".to_owned());
        let why = "it does not have one part for each process".to_owned();
        return Err(Error::Damaged { path, part, why });
    }
    let generation = container.manifest().generation();
    let ranks = path.join(RANKS);
    let names = disk.list(&ranks).map_err(|source| Error::io("list", &ranks, source))?;
    let mut elsewhere = Vec::new();
    for rank in 0..table.size {
        let name = of_rank(rank);
        // The table is on the machine of rank 0.
        if rank > 0 && !names.iter().any(|found| *found == *name) {
            elsewhere.push(rank);
            continue;
        }
        let home = Arc::new(Directory::new(&ranks.join(name), Arc::clone(disk)));
        let part = home.location(generation);
        let reader = CheckpointReader::<()>::new(home, protection.clone().at_least(0))?;
        let container = reader.container(generation)?;
        table.check(&part, rank, &container)?;
        container.verify().map_err(|refusal| Error::refused(&part, refusal))?;
    }
    Ok(elsewhere)
}
