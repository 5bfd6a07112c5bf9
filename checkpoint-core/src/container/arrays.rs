//! The arrays of a container, on their way back into the state.

use super::STATE;
use super::manifest::PartRecord;
use super::part::PartReader;
use super::reader::Container;
use super::source::{Refusal, allocate, damaged};
use super::zip::Entry;
use crate::state::{ArrayHeader, ArrayPool, ArraySource, Kind, Reference};

/// The arrays of a container, each of which the state takes once, in the order in which it gave them.
pub(crate) struct Arrays<'a> {
    container: &'a Container,
    taken: u64,
    refusal: Option<Refusal>,
    /// The next array, once it was checked.
    opened: Option<Opened<'a>>,
    pool: ArrayPool,
}

/// An array of which the header was read, and fits the state.
struct Opened<'a> {
    kind: Kind,
    /// How many bytes come after the header.
    bytes: u64,
    reader: PartReader<'a>,
}

impl<'a> Arrays<'a> {
    /// The arrays of `container`, written over those of the pool where one fits.
    pub(crate) fn new(container: &'a Container, pool: ArrayPool) -> Arrays<'a> {
        Arrays { container, taken: 0, refusal: None, opened: None, pool }
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

    /// An array whose header tells of as many rows as the state does.
    fn open(&self, array: Reference, kind: Option<Kind>) -> Result<Opened<'a>, Refusal> {
        let (part, entry) = self.next(array)?;
        let (mut reader, length, bytes) = begun(self.container, part, entry)?;
        let header = reader.start(length)?;
        if let Some(kind) = kind.filter(|kind| kind.rows(header, bytes) == Some(array.rows)) {
            return Ok(Opened { kind, bytes, reader });
        }
        match (Kind::of_rows(array.rows, header, bytes), kind) {
            (Some(found), None) => Ok(Opened { kind: found, bytes, reader }),
            // Numbers of one schema may still be two types: what serde writes of a complex number are two floats.
            (Some(found), Some(kind)) if found.has_the_bytes_of(&kind) => Ok(Opened { kind, bytes, reader }),
            _ => Err(damaged(&part.name, "its type or its shape is not that of the field it belongs to")),
        }
    }
}

/// An array of which nothing but the length of its header is known, and how many bytes come after that.
fn begun<'a>(
    container: &'a Container,
    part: &'a PartRecord,
    entry: &Entry,
) -> Result<(PartReader<'a>, u64, u64), Refusal> {
    let mut reader = PartReader::new(&*container.source, part, entry, container.key.as_ref())?;
    let length = match *reader.start(10)? {
        [_, _, _, _, _, _, _, _, low, high] => 10 + u64::from(u16::from_le_bytes([low, high])),
        _ => return Err(damaged(&part.name, "it is too short for an array")),
    };
    match reader.size().checked_sub(length) {
        Some(bytes) => Ok((reader, length, bytes)),
        None => Err(damaged(&part.name, "its header is longer than itself")),
    }
}

impl Container {
    /// Makes sure that each array has a header that belongs to so many bytes of data. The data is not read.
    pub(crate) fn check_arrays(&self) -> Result<(), Refusal> {
        let parts = self.manifest.parts.iter().zip(&self.entries);
        for (part, entry) in parts.filter(|(part, _)| part.name != STATE) {
            let (mut reader, length, bytes) = begun(self, part, entry)?;
            if ArrayHeader::read(reader.start(length)?, bytes).is_none() {
                return Err(damaged(&part.name, "its header is not that of an array of its length"));
            }
        }
        Ok(())
    }
}

impl ArraySource for Arrays<'_> {
    fn pool(&mut self) -> &mut ArrayPool {
        &mut self.pool
    }

    fn check(&mut self, array: Reference, kind: Kind) -> Result<(), String> {
        let opened = self.open(array, Some(kind));
        self.opened = Some(self.refuse(opened)?);
        Ok(())
    }

    fn fill(&mut self, array: Reference, buffer: &mut [u8]) -> Result<(), String> {
        let opened = match self.opened.take() {
            // What was checked must be what is asked for.
            Some(opened) => self.next(array).map(|_| opened),
            None => self.open(array, None),
        };
        let outcome = opened.and_then(|opened| opened.reader.fill(buffer));
        self.taken += 1;
        self.refuse(outcome)
    }

    fn bytes(&mut self, array: Reference) -> Result<(Kind, Vec<u8>), String> {
        let outcome = self.open(array, None).and_then(|Opened { kind, bytes, reader }| {
            let (part, _) = self.next(array)?;
            let mut memory = allocate(bytes, &part.name)?;
            reader.fill(&mut memory)?;
            Ok((kind, memory))
        });
        self.taken += 1;
        self.refuse(outcome)
    }

    fn skip(&mut self, array: Reference) -> Result<(), String> {
        let outcome = self.next(array).map(drop);
        self.taken += 1;
        self.refuse(outcome)
    }
}
