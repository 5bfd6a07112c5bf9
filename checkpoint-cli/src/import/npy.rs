//! Arrays of numpy: headers of all versions, both byte orders, and Fortran order.
//!
//! Source: numpy, `numpy.lib.format`.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::path::Path;

use checkpointed_core::inspect::{Element, Imported, ImportedArray};

/// The greatest length of a header: one of a plain array is far shorter.
const LONGEST: u64 = 1 << 16;

/// The header of an array.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) element: Element,
    pub(super) shape: Vec<u64>,
    is_big_endian: bool,
    is_fortran: bool,
    /// The number of bytes before the data.
    pub(super) length: u64,
}

pub(super) fn read(path: &Path) -> Result<Imported, String> {
    let open = || File::open(path).map_err(|error| error.to_string());
    let header = Header::read(&mut open()?)?;
    let (path, start) = (path.to_owned(), header.length);
    let read = move || {
        let mut file = File::open(&path).map_err(|error| error.to_string())?;
        file.seek(SeekFrom::Start(start)).map_err(|error| error.to_string())?;
        Ok(file)
    };
    Ok(Imported::Array(header.array(read)))
}

impl Header {
    /// Reads a header; the data come next.
    pub(super) fn read(input: &mut dyn Read) -> Result<Header, String> {
        let mut take = |length: usize| {
            let mut bytes = vec![0; length];
            input.read_exact(&mut bytes).map(|()| bytes).map_err(|_| "it ends in its header".to_owned())
        };
        let start = take(8)?;
        let major = match &start[..] {
            [0x93, b'N', b'U', b'M', b'P', b'Y', major @ 1..=3, _] => *major,
            [0x93, b'N', b'U', b'M', b'P', b'Y', major, _] => {
                return Err(format!("it has version {major} of the format, and those up to 3 are known"));
            }
            _ => return Err("it is no array of numpy: it does not begin as one".to_owned()),
        };
        let (length, before) = if major == 1 {
            (take(2)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)), 10)
        } else {
            (take(4)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)), 12)
        };
        let short = usize::try_from(length).ok().filter(|_| length <= LONGEST);
        let text = take(short.ok_or("its header is too long for one of numbers")?)?;
        let text = String::from_utf8_lossy(&text);
        Header::parse(&text, before + length)
    }

    fn parse(text: &str, length: u64) -> Result<Header, String> {
        let unclear = || format!("its header cannot be understood: {}", text.trim());
        let value = |key: &str| {
            let (_, rest) = text.split_once(&format!("'{key}'"))?;
            Some(rest.trim_start().strip_prefix(':')?.trim_start())
        };
        let descr = value("descr").ok_or_else(unclear)?;
        let Some(descr) = descr.strip_prefix('\'').and_then(|descr| descr.split_once('\'')) else {
            return Err("it has named fields: save each of them as an array of its own".to_owned());
        };
        let (element, is_big_endian) = element(descr.0)?;
        let order = value("fortran_order").ok_or_else(unclear)?;
        let is_fortran = match (order.starts_with("True"), order.starts_with("False")) {
            (true, _) => true,
            (_, true) => false,
            _ => return Err(unclear()),
        };
        let shape = value("shape").and_then(|shape| shape.strip_prefix('(')?.split_once(')'));
        let (shape, _) = shape.ok_or_else(unclear)?;
        let lengths = shape.split(',').map(str::trim).filter(|length| !length.is_empty());
        let shape: Option<Vec<u64>> =
            lengths.map(|length| length.trim_end_matches('L').parse().ok()).collect();
        let shape = shape.ok_or_else(unclear)?;
        Ok(Header { element, shape, is_big_endian, is_fortran, length })
    }

    /// The number of bytes of the data.
    pub(super) fn bytes(&self) -> Result<u64, String> {
        let count = self.shape.iter().try_fold(1_u64, |count, length| count.checked_mul(*length));
        let length = count.and_then(|count| count.checked_mul(self.element.size() as u64));
        length.ok_or_else(|| "its shape is greater than any file".to_owned())
    }

    /// The array with this header. `data` opens its data.
    pub(super) fn array<R: Read>(self, data: impl Fn() -> Result<R, String> + 'static) -> ImportedArray {
        let (element, shape) = (self.element, self.shape.clone());
        let read = move || {
            let length = self.bytes()?;
            let mut bytes = Vec::new();
            // One byte more shows that the data do not end there.
            let read = data()?.take(length.saturating_add(1)).read_to_end(&mut bytes);
            read.map_err(|error| error.to_string())?;
            if bytes.len() as u64 != length {
                let more = if bytes.len() as u64 > length { "more" } else { "fewer" };
                return Err(format!("it has {more} bytes than the {length} of its shape {:?}", self.shape));
            }
            Ok(self.in_order(bytes))
        };
        ImportedArray { element, shape, read: Box::new(read) }
    }

    /// The data in C order, little-endian.
    fn in_order(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let size = self.element.size();
        if self.is_big_endian {
            // A complex number is two floats.
            let number =
                if matches!(self.element, Element::Complex32 | Element::Complex64) { size / 2 } else { size };
            bytes.chunks_exact_mut(number).for_each(<[u8]>::reverse);
        }
        if !self.is_fortran || self.shape.len() < 2 {
            return bytes;
        }
        let lengths: Vec<usize> =
            self.shape.iter().map(|length| usize::try_from(*length).unwrap_or(usize::MAX)).collect();
        let mut ordered = Vec::with_capacity(bytes.len());
        let mut place = vec![0; lengths.len()];
        for _ in 0..bytes.len() / size {
            // In Fortran order the first index is the fastest.
            let from =
                place.iter().zip(&lengths).rev().fold(0, |from, (index, length)| from * length + index);
            ordered.extend_from_slice(&bytes[from * size..(from + 1) * size]);
            for (index, length) in place.iter_mut().zip(&lengths).rev() {
                *index += 1;
                if *index < *length {
                    break;
                }
                *index = 0;
            }
        }
        ordered
    }
}

/// The type of the numbers, and true if their bytes are in the other order.
fn element(descr: &str) -> Result<(Element, bool), String> {
    let (order, name) = descr.split_at_checked(1).unwrap_or((descr, ""));
    let element = match name {
        "b1" => Element::Bool,
        "u1" => Element::U8,
        "u2" => Element::U16,
        "u4" => Element::U32,
        "u8" => Element::U64,
        "i1" => Element::I8,
        "i2" => Element::I16,
        "i4" => Element::I32,
        "i8" => Element::I64,
        "f2" => Element::F16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        "c8" => Element::Complex32,
        "c16" => Element::Complex64,
        _ => {
            return Err(format!(
                "its elements are of the type {descr:?}, and only numbers and truth values can be imported"
            ));
        }
    };
    match order {
        "<" | "|" => Ok((element, false)),
        ">" => Ok((element, true)),
        "=" => Ok((element, cfg!(target_endian = "big"))),
        _ => Err(format!("the order of its bytes is unknown: {descr:?}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn file(version: u8, text: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        let length = u32::try_from(text.len()).unwrap_or_default().to_le_bytes();
        bytes.extend(if version == 1 { &length[..2] } else { &length[..] });
        bytes.extend(text.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<(Vec<u64>, Vec<u8>), String> {
        let header = Header::read(&mut &*bytes)?;
        let start = usize::try_from(header.length).unwrap_or_default();
        let data = bytes[start..].to_vec();
        let array = header.array(move || Ok(std::io::Cursor::new(data.clone())));
        Ok((array.shape.clone(), (array.read)()?))
    }

    #[test]
    fn all_orders_and_versions_give_the_same_array() {
        let c: Vec<u8> = (1..=6_u16).flat_map(u16::to_le_bytes).collect();
        let expected = Ok((vec![2, 3], c.clone()));
        let text = |descr, fortran| {
            format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': (2, 3), }}\n")
        };
        for version in 1..=3 {
            assert_eq!(read(&file(version, &text("<u2", "False"), &c)), expected);
        }
        let big: Vec<u8> = (1..=6_u16).flat_map(u16::to_be_bytes).collect();
        assert_eq!(read(&file(1, &text(">u2", "False"), &big)), expected);
        let fortran: Vec<u8> =
            [1_u16, 4, 2, 5, 3, 6].iter().flat_map(|number| number.to_le_bytes()).collect();
        assert_eq!(read(&file(1, &text("<u2", "True"), &fortran)), expected);
        let odd = "{'shape':(6L,),'fortran_order':False,'descr':'<u2'}";
        assert_eq!(read(&file(1, odd, &c)), Ok((vec![6], c.clone())));
        let single = "{'descr': '<u2', 'fortran_order': False, 'shape': (), }";
        assert_eq!(read(&file(1, single, &[7, 0])), Ok((Vec::new(), vec![7, 0])));
    }

    #[test]
    fn wrong_files_are_refused_and_nothing_large_is_allocated() {
        let good = "{'descr': '<u2', 'fortran_order': False, 'shape': (2,), }";
        for (bytes, why) in [
            (b"PK\x03\x04 not an array".to_vec(), "does not begin as one"),
            (b"\x93NUMPY".to_vec(), "ends in its header"),
            (file(9, good, &[]), "version 9"),
            (file(1, good, &[1, 2, 3]), "fewer bytes"),
            (file(1, good, &[1, 2, 3, 4, 5]), "more bytes"),
            (file(1, "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", &[]), "only numbers"),
            (
                file(1, "{'descr': [('x', '<f8')], 'fortran_order': False, 'shape': (2,), }", &[]),
                "named fields",
            ),
            (file(1, "{'descr': '<u2', 'shape': (2,), }", &[]), "cannot be understood"),
            (
                file(1, "{'descr': '<u2', 'fortran_order': False, 'shape': (-2,), }", &[]),
                "cannot be understood",
            ),
            (
                file(1, "{'descr': '<u2', 'fortran_order': False, 'shape': (9223372036854775807, 9), }", &[]),
                "greater than any file",
            ),
            (
                file(1, "{'descr': '<u2', 'fortran_order': True, 'shape': (1152921504606846976, 1), }", &[1]),
                "fewer bytes",
            ),
            ([b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), vec![b' '; 100]].concat(), "too long"),
        ] {
            let refused = read(&bytes).unwrap_err();
            assert!(refused.contains(why), "{refused} is not {why}");
        }
    }
}
