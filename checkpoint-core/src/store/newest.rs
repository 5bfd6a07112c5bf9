//! The newest generation of a place, by which a later look tells if it is still that one.

use super::Home;
use super::likeness::Likeness;
use crate::error::Error;

/// The newest generation of a place, with its file: two runs may have the same numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) generation: u64,
    file: Likeness,
}

impl Newest {
    /// Looks at a place; `None` where it has no generation.
    pub(crate) fn of(home: &dyn Home) -> Result<Option<Newest>, Error> {
        let Some(generation) = home.generations()?.pop() else { return Ok(None) };
        let file = home.open(generation).and_then(|source| Likeness::of(&*source));
        let file = file.map_err(|source| Error::io("open", &home.location(generation), source))?;
        Ok(Some(Newest { generation, file }))
    }
}
