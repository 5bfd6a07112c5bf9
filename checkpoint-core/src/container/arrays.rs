//! Gives the arrays of a container back to the state.

use std::ops::Range;

use super::STATE;
use super::manifest::PartRecord;
use super::part::PartReader;
use super::reader::Container;
use super::source::{Refusal, allocate, damaged};
use super::zip::Entry;
use crate::arrays::{ArrayHeader, ArrayPool, ArraySource, Cause, Kind, Reference};

/// The arrays of a container. The state takes each once, in the order of the save.
pub(crate) struct Arrays<'a> {
    container: &'a Container,
    /// The number of the next array.
    taken: u64,
    /// The number of the first array that is not given.
    end: u64,
    /// The next array, already checked.
    opened: Option<Opened<'a>>,
    pool: ArrayPool,
}

/// An array with a header that was read, and fits the state.
struct Opened<'a> {
    kind: Kind,
    /// The number of bytes after the header.
    bytes: u64,
    reader: PartReader<'a>,
}

impl<'a> Arrays<'a> {
    /// Takes the arrays of `container`. An array of the pool that fits is overwritten and used
    /// again.
    pub(crate) fn new(container: &'a Container, pool: ArrayPool) -> Arrays<'a> {
        Arrays { container, taken: 0, end: container.state_number() as u64, opened: None, pool }
    }

    /// Takes the arrays of one value of the state.
    pub(crate) fn of_value(container: &'a Container, arrays: &Range<usize>) -> Arrays<'a> {
        let (taken, end) = (arrays.start as u64, arrays.end as u64);
        Arrays { container, taken, end, opened: None, pool: ArrayPool::default() }
    }

    /// Refuses an array that the state did not take.
    pub(crate) fn left_over(&self) -> Option<Refusal> {
        let next = usize::try_from(self.taken).ok().filter(|_| self.taken < self.end)?;
        let next = self.container.manifest.parts.get(next)?;
        Some(damaged(&next.name, "the state does not refer to it"))
    }

    /// The array that a reference means. It must be the next.
    fn next(&self, array: Reference) -> Result<Part<'a>, Refusal> {
        let is_next = array.number == self.taken && self.taken < self.end;
        let place = usize::try_from(array.number).ok().filter(|_| is_next);
        place.and_then(|place| self.container.array(place)).ok_or_else(|| {
            let why = format!("it refers to array {} where array {} belongs", array.number, self.taken);
            damaged(STATE, why)
        })
    }

    /// Opens an array. Its header must have as many rows as the state says.
    fn open(&self, array: Reference, kind: Option<Kind>) -> Result<Opened<'a>, Refusal> {
        let found = self.next(array)?;
        let (mut reader, length, bytes) = found.begin(self.container)?;
        let header = reader.start(length)?;
        match Kind::found(array.rows, header, bytes, kind) {
            Some(kind) => Ok(Opened { kind, bytes, reader }),
            None => Err(damaged(
                &found.record.name,
                "its type or its shape is not that of the field it belongs to",
            )),
        }
    }
}

/// An array of a container.
pub(super) struct Part<'a> {
    record: &'a PartRecord,
    entry: &'a Entry,
    /// Its first bytes, as far as opening the container read them.
    start: &'a [u8],
}

impl<'a> Part<'a> {
    /// Starts reading the array: returns its reader, with only the length of its header known, and
    /// the number of bytes after that header.
    fn begin(&self, container: &'a Container) -> Result<(PartReader<'a>, u64, u64), Refusal> {
        let Part { record, entry, start } = *self;
        let reader = PartReader::new(&*container.source, record, entry, container.key.as_ref())?;
        let mut reader = reader.knowing(start);
        let length = match *reader.start(10)? {
            [_, _, _, _, _, _, _, _, low, high] => 10 + u64::from(u16::from_le_bytes([low, high])),
            _ => return Err(damaged(&record.name, "it is too short for an array")),
        };
        match reader.size().checked_sub(length) {
            Some(bytes) => Ok((reader, length, bytes)),
            None => Err(damaged(&record.name, "its header is longer than itself")),
        }
    }

    /// The header of the array. It must belong to an array of this length.
    pub(super) fn header(&self, container: &'a Container) -> Result<ArrayHeader, Refusal> {
        let (mut reader, length, bytes) = self.begin(container)?;
        let header = ArrayHeader::read(reader.start(length)?, bytes);
        let why = "its header is not that of an array of its length";
        header.ok_or_else(|| damaged(&self.record.name, why))
    }
}

impl Container {
    /// The array with this index among the parts.
    pub(super) fn array(&self, place: usize) -> Option<Part<'_>> {
        let (record, entry) = (self.manifest.parts.get(place)?, self.entries.get(place)?);
        (record.name != STATE).then(|| Part { record, entry, start: self.start_of(place) })
    }

    /// The first bytes of a part, as far as they were read with its header.
    fn start_of(&self, place: usize) -> &[u8] {
        self.starts.get().map_or(&[], |starts| starts.get(place))
    }

    /// Checks that the header of each array belongs to its number of bytes. Does not read the data.
    pub(crate) fn check_arrays(&self) -> Result<(), Refusal> {
        let mut arrays = (0..self.entries.len()).map_while(|place| self.array(place));
        arrays.try_for_each(|array| array.header(self).map(drop))
    }
}

impl ArraySource for Arrays<'_> {
    fn pool(&mut self) -> &mut ArrayPool {
        &mut self.pool
    }

    fn check(&mut self, array: Reference, kind: Kind) -> Result<(), Cause> {
        self.opened = Some(self.open(array, Some(kind))?);
        Ok(())
    }

    fn fill(&mut self, array: Reference, buffer: &mut [u8]) -> Result<(), Cause> {
        let opened = match self.opened.take() {
            // The array that was checked must be the one that is asked for.
            Some(opened) => self.next(array).map(|_| opened),
            None => self.open(array, None),
        };
        let outcome = opened.and_then(|opened| opened.reader.fill(buffer));
        self.taken += 1;
        Ok(outcome?)
    }

    fn bytes(&mut self, array: Reference) -> Result<(Kind, Vec<u8>), Cause> {
        let outcome = self.open(array, None).and_then(|Opened { kind, bytes, reader }| {
            let mut memory = allocate(bytes, &self.next(array)?.record.name)?;
            reader.fill(&mut memory)?;
            Ok((kind, memory))
        });
        self.taken += 1;
        Ok(outcome?)
    }

    fn skip(&mut self, array: Reference) -> Result<(), Cause> {
        let outcome = self.next(array).map(drop);
        self.taken += 1;
        Ok(outcome?)
    }
}
