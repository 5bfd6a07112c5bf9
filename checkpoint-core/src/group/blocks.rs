//! The arrays whose blocks several members hold.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::arrays::ArrayPool;
use crate::container::Container;
use crate::error::Error;
use crate::evolution::Program;
use crate::run::reader::{self, Decoded};
use crate::state::Checkpoint;

/// What one part says of its blocks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Contents {}

/// The blocks of all parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Layout {}

/// Reads what a part says of its blocks.
pub(crate) fn of(_path: &Path, _container: Container) -> Result<Contents, Error> {
    Ok(Contents {})
}

/// Joins the blocks of all parts, by rank.
pub(crate) fn join(_path: &Path, _parts: &[Contents]) -> Result<Layout, Error> {
    Ok(Layout {})
}

/// A part to load.
pub(crate) struct Load<'a> {
    pub(crate) path: &'a Path,
    pub(crate) layout: &'a Layout,
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) rank: usize,
    pub(crate) program: &'a Program,
    pub(crate) open: &'a mut dyn FnMut(usize) -> Result<(PathBuf, Container), Error>,
}

/// Loads what this member needs.
pub(crate) fn load<T: Checkpoint>(load: Load<'_>, into: Option<&mut T>) -> Result<Decoded<T>, Error> {
    let Load { path, from, to, rank, program, open, .. } = load;
    if from != to {
        let why = format!("{from} processes saved it, and these are {to}");
        return Err(Error::Decode { path: path.to_owned(), name: reader::name_of::<T>(program.schema()), why });
    }
    let (path, container) = open(rank)?;
    let mut pool = ArrayPool::default();
    if let Some(state) = into {
        state.lend_arrays(&mut pool);
    }
    let mut pool = Some(pool);
    reader::decode(&path, program, &container, &mut || pool.take().unwrap_or_default())
}
