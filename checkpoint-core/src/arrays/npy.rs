//! The header of a `.npy` entry, as numpy and many other programs read it.
//!
//! ```text
//! magic 6   \x93NUMPY
//! version 2   1, 0
//! length 2   of the rest of the header, little-endian
//! text       {'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }   spaces   \n
//! ```
//!
//! Spaces make the whole header a multiple of 64 bytes, or of 4096 where the data has 1 MiB or
//! more, so that the data is aligned if the entry is. Source: numpy, `numpy.lib.format`, version
//! 1.0.

use crate::schema::Element;

/// Makes the header of an array of this shape, with `bytes` bytes of data.
pub(crate) fn header(element: Element, shape: &[u64], bytes: u64) -> Vec<u8> {
    let mut list = shape.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    // Python writes a tuple of one element with a comma.
    if shape.len() == 1 {
        list.push(',');
    }
    let text = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({list}), }}", element.descr());
    let alignment = if bytes >= 1 << 20 { 4096 } else { 64 };
    let total = (10 + text.len() + 1).next_multiple_of(alignment);
    let mut header = Vec::with_capacity(total);
    header.extend_from_slice(b"\x93NUMPY\x01\x00");
    // A shape has a few numbers of at most 20 digits: far fewer than 65536 bytes.
    header.extend_from_slice(&u16::try_from(total - 10).unwrap_or(u16::MAX).to_le_bytes());
    header.extend_from_slice(text.as_bytes());
    header.resize(total - 1, b' ');
    header.push(b'\n');
    header
}

/// The content of the header of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArrayHeader {
    /// Integers of 128 bits are unsigned here: the header does not tell their sign.
    pub(crate) element: Element,
    pub(crate) shape: Vec<u64>,
    /// The number of bytes of the header, and then of the data.
    pub(crate) header: u64,
    pub(crate) data: u64,
}

impl ArrayHeader {
    /// Reads a header that is followed by this number of bytes of data. `None` if no array has
    /// both.
    pub(crate) fn read(bytes: &[u8], data: u64) -> Option<ArrayHeader> {
        let element = Element::of_descr(descr(bytes)?)?;
        let shape = shape(bytes)?;
        let elements = shape.iter().try_fold(1_u64, |count, length| count.checked_mul(*length))?;
        let is_this = elements.checked_mul(element.size() as u64) == Some(data)
            && header(element, &shape, data) == bytes;
        is_this.then_some(ArrayHeader { element, shape, header: bytes.len() as u64, data })
    }

    /// The type of the numbers and the shape, with complex numbers as the pairs that they are.
    #[cfg(feature = "group")]
    pub(crate) fn in_floats(&self) -> (&'static str, Vec<u64>) {
        super::in_floats(self.element, self.shape.clone())
    }
}

/// The type of the elements in a header. As with [`shape`], the rest of the header is not checked.
pub(super) fn descr(header: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(header.get(10..)?).ok()?;
    Some(text.strip_prefix("{'descr': '")?.split_once('\'')?.0)
}

/// The shape in a header. The rest of the header is not checked: the caller makes the header of
/// that shape, and compares.
pub(super) fn shape(header: &[u8]) -> Option<Vec<u64>> {
    let text = std::str::from_utf8(header.get(10..)?).ok()?;
    let (_, rest) = text.split_once("'shape': (")?;
    let (list, _) = rest.split_once(')')?;
    let lengths = list.split(',').map(str::trim).filter(|length| !length.is_empty());
    lengths.map(|length| length.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_as_numpy_writes_it() {
        let text =
            |shape: &[u64]| String::from_utf8_lossy(&header(Element::F64, shape, 0)[10..]).into_owned();
        assert!(text(&[3]).starts_with("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), } "));
        assert!(
            text(&[0, 2, 4]).starts_with("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 2, 4), } ")
        );
        assert!(text(&[3]).ends_with(" \n"));
    }

    #[test]
    fn data_behind_the_header_is_aligned() {
        for (bytes, alignment) in [(0, 64), ((1 << 20) - 1, 64), (1 << 20, 4096), (1 << 40, 4096)] {
            let header = header(Element::F64, &[u64::MAX; 3], bytes);
            assert_eq!(header.len() % alignment, 0);
            assert_eq!(usize::from(u16::from_le_bytes([header[8], header[9]])), header.len() - 10);
        }
    }

    #[test]
    fn the_shape_is_read_back() {
        for expected in [&[][..], &[7], &[0, 2], &[u64::MAX, 1, 2]] {
            assert_eq!(shape(&header(Element::F64, expected, 0)).as_deref(), Some(expected));
        }
        assert_eq!(shape(b"\x93NUMPY\x01\x00\x00\x00'shape': (-1,)"), None);
        assert_eq!(shape(b""), None);
    }
}
