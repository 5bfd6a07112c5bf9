//! Copies the arrays of a value in memory, while a migration converts it from one type to another.

use super::{Array, ArrayPool, ArraySink, ArraySource, Cause, Kind, Reference};

/// Shorter arrays, in bytes, stay inside the encoded value.
const SHORTEST: usize = 64 << 10;

/// Arrays in memory. Each is taken once.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    arrays: Vec<Option<(Kind, Vec<u8>)>>,
    pool: ArrayPool,
}

impl Copied {
    fn get(&self, array: Reference) -> Result<&(Kind, Vec<u8>), Cause> {
        let place = usize::try_from(array.number).ok();
        let found = place.and_then(|place| self.arrays.get(place)?.as_ref());
        found.ok_or_else(|| format!("array {} is not there", array.number).into())
    }

    fn take(&mut self, array: Reference) -> Result<(Kind, Vec<u8>), Cause> {
        let place = usize::try_from(array.number).ok();
        let found = place.and_then(|place| self.arrays.get_mut(place)?.take());
        found.ok_or_else(|| format!("array {} is not there", array.number).into())
    }
}

impl ArraySink for Copied {
    fn takes(&self, bytes: usize) -> bool {
        bytes >= SHORTEST
    }

    fn put(&mut self, _: String, array: Array<'_>) -> Result<u64, Cause> {
        self.arrays.push(Some((array.kind, array.bytes.to_vec())));
        Ok(self.arrays.len() as u64 - 1)
    }
}

impl ArraySource for Copied {
    fn pool(&mut self) -> &mut ArrayPool {
        &mut self.pool
    }

    fn check(&mut self, array: Reference, kind: Kind) -> Result<(), Cause> {
        let (found, bytes) = self.get(array)?;
        let is_this =
            found.has_the_bytes_of(&kind) && array.rows.checked_mul(kind.row()) == Some(bytes.len() as u64);
        is_this.then_some(()).ok_or_else(|| format!("array {} is of another type", array.number).into())
    }

    fn fill(&mut self, array: Reference, buffer: &mut [u8]) -> Result<(), Cause> {
        let (_, bytes) = self.take(array)?;
        if bytes.len() != buffer.len() {
            return Err(format!("array {} is of another length", array.number).into());
        }
        buffer.copy_from_slice(&bytes);
        Ok(())
    }

    fn bytes(&mut self, array: Reference) -> Result<(Kind, Vec<u8>), Cause> {
        self.take(array)
    }

    fn skip(&mut self, array: Reference) -> Result<(), Cause> {
        self.take(array).map(drop)
    }
}
