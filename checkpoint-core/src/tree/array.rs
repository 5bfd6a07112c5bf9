//! An array of a checkpoint. It is read on request, in pieces.

use super::element::Number;
use super::file::File;
use super::outline::Limits;
use super::sameness::of_data;
use super::statistics::{ArraySummary, Gatherer};
use crate::arrays::{ArrayHeader, npy_header};
use crate::container::{PartFacts, PartStream};
use crate::error::Error;
use crate::schema::{Element, Type};

/// An array of a checkpoint. Its shape is known. Its elements stay in the file until they are asked
/// for; they are read in pieces, and verified as they are read.
#[derive(Clone, Debug)]
pub struct Array<'a> {
    pub(super) file: &'a File,
    number: usize,
    facts: PartFacts<'a>,
    element: Element,
    header: ArrayHeader,
}

impl<'a> Array<'a> {
    /// The array with this number. The type of its elements, if known, adds to the header.
    pub(super) fn new(file: &'a File, number: usize, ty: Option<&Type>) -> Result<Array<'a>, Error> {
        let header = file.container.array_header(number).map_err(|refusal| file.refused(refusal))?;
        let Some(facts) = file.container.part(number) else {
            return Err(file.damaged(format!("it refers to array {number}, which is not there")));
        };
        let element = header.element.in_schema(ty);
        Ok(Array { file, number, facts, element, header })
    }

    /// The name of its part: the path of its field, and `.npy`.
    #[must_use]
    pub fn part(&self) -> &'a str {
        self.facts.name
    }

    /// The name of its part as numpy has it, without the ending `.npy`.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.facts.name.strip_suffix(".npy").unwrap_or(self.facts.name)
    }

    /// The type of its elements.
    #[must_use]
    pub fn element(&self) -> Element {
        self.element
    }

    /// The name of that type in numpy, such as `<f8`.
    #[must_use]
    pub fn dtype(&self) -> &'static str {
        self.header.element.descr()
    }

    /// The lengths of its dimensions, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.header.shape
    }

    /// The number of its elements.
    #[must_use]
    pub fn len(&self) -> u64 {
        // The product fits: the header was compared with the length of the data.
        self.header.shape.iter().product()
    }

    /// True if it has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The length of its elements, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.header.data
    }

    /// The length of its part in the file with the header, in bytes.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.facts.stored
    }

    /// True if it is compressed in the file.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.facts.is_compressed
    }

    /// Reads the elements, little-endian and in C order, in pieces of whole elements.
    ///
    /// # Errors
    /// An error if the array is damaged or cannot be read, and any error of `take`, which is not
    /// called again after one.
    pub fn read(&self, mut take: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let mut pieces = self.pieces(false)?;
        while let Some(piece) = pieces.next()? {
            take(piece)?;
        }
        Ok(())
    }

    /// The first elements, at most `count`.
    ///
    /// # Errors
    /// An error if they are damaged or cannot be read.
    pub fn first(&self, count: usize) -> Result<Vec<Number>, Error> {
        let mut pieces = self.pieces(true)?;
        let mut numbers = Vec::new();
        while numbers.len() < count
            && let Some(piece) = pieces.next()?
        {
            let elements = piece.chunks_exact(self.element.size()).take(count - numbers.len());
            numbers.extend(elements.map(|element| self.element.read(element)));
        }
        Ok(numbers)
    }

    /// Reads all of it once, and summarises it.
    ///
    /// # Errors
    /// An error if it is damaged or cannot be read.
    pub fn summary(&self, limits: &Limits) -> Result<ArraySummary, Error> {
        let cells = [limits.profile_rows, limits.profile_columns];
        let mut gatherer = Gatherer::new(self.element, self.shape(), limits.elements, cells);
        self.read(|piece| {
            gatherer.take(piece);
            Ok(())
        })?;
        Ok(gatherer.finish())
    }

    /// The pieces of its elements. `short` ones are for a caller that wants only the first
    /// elements.
    pub(super) fn pieces(&self, short: bool) -> Result<Pieces<'a>, Error> {
        let stream = self.file.container.stream(self.number).map_err(|refusal| self.file.refused(refusal))?;
        let stream = if short { stream.short() } else { stream };
        Ok(Pieces { file: self.file, stream, header: self.header.header, buffer: Vec::new() })
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// A number that arrays with the same data have in common. Takes no reading.
    pub(super) fn checksum(&self) -> u64 {
        let whole = self.file.container.sums().nth(self.number).flatten();
        let (_, whole) = whole.unwrap_or_default();
        // The checksum of two pieces is that of the first, moved on by the length of the second,
        // and added to that of the second.
        let ArrayHeader { element, shape, data, .. } = &self.header;
        let mut header = crc32fast::Hasher::new();
        header.update(&npy_header(*element, shape, *data));
        header.combine(&crc32fast::Hasher::new_with_initial_len(0, *data));
        of_data(*data, whole ^ header.finalize())
    }
}

/// An array in pieces of whole elements: each begins at a multiple of 64 bytes, as the data does.
pub(super) struct Pieces<'a> {
    file: &'a File,
    stream: PartStream<'a>,
    header: u64,
    buffer: Vec<u8>,
}

impl Pieces<'_> {
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        if !self.stream.next(&mut self.buffer).map_err(|refusal| self.file.refused(refusal))? {
            return Ok(None);
        }
        // The header is shorter than a piece.
        let header = usize::try_from(std::mem::take(&mut self.header)).unwrap_or_default();
        Ok(Some(self.buffer.get(header..).unwrap_or_default()))
    }
}
