//! An array of more than 4 GiB that is written and read in little memory: it is all zeros, and only
//! other bytes are kept. The test with real numbers is in tests/file_systems.rs, and takes long.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::arrays::{ArrayPool, ArraySink, ArraySource, Reference, view};
use crate::container::forge::manifest_of;
use crate::container::{Arrays, Container, ContainerWriter, Source};

static ZEROS: [u8; 128 << 10] = [0; 128 << 10];

/// A file that keeps its bytes by place, without the zeros.
#[derive(Default)]
struct Sparse {
    length: u64,
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if ZEROS.get(..bytes.len()) != Some(bytes) {
            self.pieces.insert(self.length, bytes.to_vec());
        }
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Sparse {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        buffer.fill(0);
        for (start, piece) in self.pieces.range(..offset + buffer.len() as u64) {
            for (place, byte) in (*start..).zip(piece) {
                let place = place.checked_sub(offset).and_then(|place| usize::try_from(place).ok());
                if let Some(into) = place.and_then(|place| buffer.get_mut(place)) {
                    *into = *byte;
                }
            }
        }
        Ok(())
    }
}

#[test]
fn arrays_beyond_four_gigabytes_are_found_again() {
    const LENGTH: usize = (4 << 30) + (3 << 20) + 5;
    let long: Vec<u8> = bytemuck::allocation::zeroed_vec(LENGTH);
    let short = vec![1_u64, 2, 3];
    let mut file = Sparse::default();
    let mut container = ContainerWriter::new(&mut file);
    let (long, short) = (&long, &short);
    let (long, short) = (view(&long).unwrap(), view(&short).unwrap());
    let kinds = [short.kind, long.kind];
    container.put("short.npy".to_owned(), short).unwrap();
    container.put("long.npy".to_owned(), long).unwrap();
    container.finish(b"the state", manifest_of::<u64>(Vec::new())).unwrap();
    let kept: usize = file.pieces.values().map(Vec::len).sum();
    assert!(file.length > 4 << 30 && kept < 1 << 20, "{kept}");

    let container = Container::open(Box::new(file), &[]).unwrap();
    assert_eq!(container.state().unwrap(), b"the state");
    let mut arrays = Arrays::new(&container, ArrayPool::default());
    let mut bytes = [0; 24];
    arrays.check(Reference { number: 0, rows: 3 }, kinds[0]).unwrap();
    arrays.fill(Reference { number: 0, rows: 3 }, &mut bytes).unwrap();
    assert_eq!(bytes, bytemuck::cast::<[u64; 3], [u8; 24]>([1, 2, 3]));
    let rows = LENGTH as u64;
    arrays.check(Reference { number: 1, rows: rows - (4 << 30) }, kinds[1]).unwrap_err();
    arrays.check(Reference { number: 1, rows }, kinds[1]).unwrap();
}
