//! The arrays of a container, on their way back into the state.

use super::STATE;
use super::manifest::PartRecord;
use super::reader::Container;
use super::source::{Refusal, allocate, damaged, read_bytes};
use super::zip::Entry;
use crate::state::{ArrayPool, ArraySource, Kind, Reference};

/// The arrays of a container, each of which the state takes once, in the order in which it gave them.
pub(crate) struct Arrays<'a> {
    container: &'a Container,
    taken: u64,
    refusal: Option<Refusal>,
    /// The header of the next array, once it was checked.
    header: Option<Vec<u8>>,
    pool: ArrayPool,
}

impl<'a> Arrays<'a> {
    /// The arrays of `container`, written over those of the pool where one fits.
    pub(crate) fn new(container: &'a Container, pool: ArrayPool) -> Arrays<'a> {
        Arrays { container, taken: 0, refusal: None, header: None, pool }
    }

    /// Why an array could not be had, if that was why a decoding failed.
    pub(crate) fn take_refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// An array that the state did not take.
    pub(crate) fn left_over(&self) -> Option<Refusal> {
        let parts = &self.container.manifest.parts;
        let next = usize::try_from(self.taken).ok().and_then(|taken| parts.get(taken))?;
        (next.name != STATE).then(|| damaged(&next.name, "the state does not refer to it"))
    }

    fn refuse<R>(&mut self, outcome: Result<R, Refusal>) -> Result<R, String> {
        outcome.map_err(|refusal| {
            self.refusal = Some(refusal);
            "an array could not be read".to_owned()
        })
    }

    /// The array that is meant, which must be the next.
    fn next(&self, array: Reference) -> Result<(&'a PartRecord, &'a Entry), Refusal> {
        let Container { manifest, entries, .. } = self.container;
        let place = usize::try_from(array.number).ok().filter(|_| array.number == self.taken);
        let found = place.and_then(|place| Some((manifest.parts.get(place)?, entries.get(place)?)));
        found.filter(|(part, _)| part.name != STATE).ok_or_else(|| {
            let why = format!("it refers to array {} where array {} belongs", array.number, self.taken);
            damaged(STATE, why)
        })
    }

    /// The header of an array, which tells of as many rows as the state does.
    fn header(&self, array: Reference, kind: Option<Kind>) -> Result<(Kind, Vec<u8>), Refusal> {
        let (part, entry) = self.next(array)?;
        let source = &*self.container.source;
        let offset = entry.data_offset().ok_or_else(|| damaged(&part.name, "its place is impossible"))?;
        let start = read_bytes(source, offset, entry.length.min(10), &part.name)?;
        let length = match start[..] {
            [_, _, _, _, _, _, _, _, low, high] => 10 + u64::from(u16::from_le_bytes([low, high])),
            _ => return Err(damaged(&part.name, "it is too short for an array")),
        };
        let Some(bytes) = entry.length.checked_sub(length) else {
            return Err(damaged(&part.name, "its header is longer than itself"));
        };
        let header = read_bytes(source, offset, length, &part.name)?;
        let found = match kind {
            Some(kind) => Some(kind).filter(|kind| kind.rows(&header, bytes) == Some(array.rows)),
            None => Kind::of_rows(array.rows, &header, bytes),
        };
        match found {
            Some(kind) => Ok((kind, header)),
            None => Err(damaged(&part.name, "its type or its shape is not that of the field it belongs to")),
        }
    }

    fn take(&mut self, array: Reference, header: &[u8], buffer: &mut [u8]) -> Result<(), Refusal> {
        let (part, entry) = self.next(array)?;
        if header.len() as u64 + buffer.len() as u64 != entry.length {
            return Err(damaged(&part.name, "its length is not that of the field it belongs to"));
        }
        self.container.fill(part, entry, header, buffer)?;
        self.taken += 1;
        Ok(())
    }
}

impl ArraySource for Arrays<'_> {
    fn pool(&mut self) -> &mut ArrayPool {
        &mut self.pool
    }

    fn check(&mut self, array: Reference, kind: Kind) -> Result<(), String> {
        let header = self.header(array, Some(kind)).map(|(_, header)| header);
        self.header = Some(self.refuse(header)?);
        Ok(())
    }

    fn fill(&mut self, array: Reference, buffer: &mut [u8]) -> Result<(), String> {
        let header = match self.header.take() {
            Some(header) => Ok(header),
            None => self.header(array, None).map(|(_, header)| header),
        };
        let outcome = header.and_then(|header| self.take(array, &header, buffer));
        self.refuse(outcome)
    }

    fn bytes(&mut self, array: Reference) -> Result<(Kind, Vec<u8>), String> {
        let outcome = self.header(array, None).and_then(|(kind, header)| {
            let (part, entry) = self.next(array)?;
            let mut bytes = allocate(entry.length - header.len() as u64, &part.name)?;
            self.take(array, &header, &mut bytes)?;
            Ok((kind, bytes))
        });
        self.refuse(outcome)
    }
}
