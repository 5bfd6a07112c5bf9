//! The parts of a group's checkpoint, found and verified for tools.

use std::path::Path;

use super::table::Table;
use crate::arrays::ArrayPool;
use crate::container::Container;
use crate::error::Error;
use crate::run::reader::{self, Reader};
use crate::seal::Protection;
use crate::store::Home;

/// Verifies all parts of a checkpoint: that each is there, whole, and the one that the table
/// describes. Returns the ranks whose directories are not here, as where members have machines of
/// their own.
///
/// # Errors
/// The error of a part, or that of listing the ranks.
pub(crate) fn check_parts(
    root: &dyn Home,
    (file, container): (&Path, &Container),
    protection: &Protection,
) -> Result<Vec<usize>, Error> {
    let table = table(file, container)?;
    let generation = container.manifest().generation();
    let elsewhere = without_places(root, table.size)?;
    for rank in (0..table.size).filter(|rank| !elsewhere.contains(rank)) {
        let home = root.member(rank)?;
        let part = home.location(generation);
        let reader = Reader::of::<()>(home, protection.clone().at_least(0))?;
        let container = reader.container(generation)?;
        table.check(&part, rank, &container)?;
        container.verify().map_err(|refusal| Error::refused(&part, refusal))?;
    }
    Ok(elsewhere)
}

/// The ranks without parts in a directory, of a group of this size: these may be on other machines.
/// In a store there are no others, so what is not there is lost.
///
/// # Errors
/// If the ranks cannot be listed.
pub(super) fn without_places(root: &dyn Home, size: usize) -> Result<Vec<usize>, Error> {
    if root.files().is_none() {
        return Ok(Vec::new());
    }
    let ranks = root.members()?;
    // The table is on the machine of rank 0.
    without_parts(root, &ranks, 1..size)
}

/// Those of these ranks that have no place, or an empty one: a member makes it before it saves.
fn without_parts(
    root: &dyn Home,
    places: &[usize],
    ranks: impl Iterator<Item = usize>,
) -> Result<Vec<usize>, Error> {
    let mut without = Vec::new();
    for rank in ranks {
        if !places.contains(&rank) || root.member(rank)?.generations()?.is_empty() {
            without.push(rank);
        }
    }
    Ok(without)
}

/// The ranks whose directories are not here, of those that saved this generation; none where a
/// single process saved it. Only the table is read.
///
/// # Errors
/// That of the table, or that of listing the ranks.
pub(crate) fn ranks_elsewhere(root: &dyn Home, generation: u64) -> Result<Vec<usize>, Error> {
    let file = root.location(generation);
    let source = root.open(generation).map_err(|source| Error::io("open", &file, source))?;
    let protection = Protection::new();
    let opened = protection.open(source).and_then(|source| Container::open(source, &protection.tag_keys()));
    let container = opened.map_err(|refusal| Error::refused(&file, refusal))?;
    if !container.manifest().is_of_group() {
        return Ok(Vec::new());
    }
    let (size, ranks) = (table(&file, &container)?.size, root.members()?);
    without_parts(root, &ranks, 0..size)
}

fn table(file: &Path, container: &Container) -> Result<Box<Table>, Error> {
    let program = reader::program_of::<Table>()?;
    let table = reader::decode::<Table>(file, &program, container, &mut ArrayPool::default)?.state;
    if table.shards.len() != table.size {
        let (path, part) = (file.to_owned(), "table".to_owned());
        let why = "it does not have one part for each process".to_owned();
        return Err(Error::Damaged { path, part, why });
    }
    Ok(table)
}
