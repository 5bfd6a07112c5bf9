//! An array of a checkpoint, which is read when it is asked for, in pieces.

use super::element::{Element, Number};
use super::file::File;
use super::outline::Limits;
use super::sameness::of_data;
use super::statistics::{ArraySummary, Gatherer};
use crate::arrays::{ArrayHeader, npy_header};
use crate::container::{PartFacts, PartStream};
use crate::error::Error;
use crate::schema::Type;

/// An array of a checkpoint. Its shape is known; its elements stay in the file until they are asked for, are read in
/// pieces, and verified as they are read.
#[derive(Clone, Debug)]
pub struct Array<'a> {
    pub(super) file: &'a File,
    number: usize,
    facts: PartFacts<'a>,
    element: Element,
    header: ArrayHeader,
}

impl<'a> Array<'a> {
    /// The array of that number. The type of its elements, where it is known, tells what the header does not.
    pub(super) fn new(file: &'a File, number: usize, ty: Option<&Type>) -> Result<Array<'a>, Error> {
        let header = file.container.array_header(number).map_err(|refusal| file.refused(refusal))?;
        let (Some(facts), Some(element)) = (file.container.part(number), Element::of(header.dtype.descr, ty))
        else {
            return Err(file.damaged(format!("it refers to array {number}, which is not there")));
        };
        Ok(Array { file, number, facts, element, header })
    }

    /// The name of its part: the path of its field, and `.npy`.
    #[must_use]
    pub fn part(&self) -> &'a str {
        self.facts.name
    }

    /// The name of its part, as numpy has it.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.facts.name.strip_suffix(".npy").unwrap_or(self.facts.name)
    }

    /// What its elements are.
    #[must_use]
    pub fn element(&self) -> Element {
        self.element
    }

    /// What numpy calls them, such as `<f8`.
    #[must_use]
    pub fn dtype(&self) -> &'static str {
        self.header.dtype.descr
    }

    /// The lengths of its dimensions, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.header.shape
    }

    /// How many elements it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        // It fits: the header was compared with the length of the data.
        self.header.shape.iter().product()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes its elements have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.header.data
    }

    /// How many bytes it takes in the file, with its header.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.facts.stored
    }

    /// Whether it is compressed in the file.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.facts.is_compressed
    }

    /// Reads the elements, little-endian and in the order of C, in pieces of whole elements.
    ///
    /// # Errors
    /// Where it is damaged or cannot be read, and those of `take`, after which it stops.
    pub fn read(&self, mut take: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let mut pieces = self.pieces(false)?;
        while let Some(piece) = pieces.next()? {
            take(piece)?;
        }
        Ok(())
    }

    /// The first elements, at most so many.
    ///
    /// # Errors
    /// Where they are damaged or cannot be read.
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

    /// Reads all of it once, and says what is in it.
    ///
    /// # Errors
    /// Where it is damaged or cannot be read.
    pub fn summary(&self, limits: &Limits) -> Result<ArraySummary, Error> {
        let cells = [limits.profile_rows, limits.profile_columns];
        let mut gatherer = Gatherer::new(self.element, self.shape(), limits.elements, cells);
        self.read(|piece| {
            gatherer.take(piece);
            Ok(())
        })?;
        Ok(gatherer.finish())
    }

    /// The pieces of its elements; short ones where only the first are wanted.
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
        let ArrayHeader { dtype, shape, data, .. } = &self.header;
        let mut header = crc32fast::Hasher::new();
        header.update(&npy_header(*dtype, shape, *data));
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
        // Shorter than a piece.
        let header = usize::try_from(std::mem::take(&mut self.header)).unwrap_or_default();
        Ok(Some(self.buffer.get(header..).unwrap_or_default()))
    }
}
