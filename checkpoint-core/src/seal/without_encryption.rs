//! Stands in for encryption where the feature `encryption` is off: nothing is encrypted, and no
//! encrypted file can be read.

use std::convert::Infallible;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::path::PathBuf;

use crate::container::{Refusal, Source};

/// A type without values.
#[derive(Clone, Debug)]
pub(super) struct Encryption(Infallible);

impl Encryption {
    pub(super) fn files(&self) -> &[PathBuf] {
        match self.0 {}
    }

    pub(super) fn can_open(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn can_save(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn open(&self, _: Box<dyn Source>) -> Result<Box<dyn Source>, Refusal> {
        match self.0 {}
    }

    pub(super) fn seal<W: Write>(&self, _: W) -> io::Result<Stream<W>> {
        match self.0 {}
    }
}

/// A type without values.
pub(crate) struct Stream<W>(Infallible, PhantomData<W>);

impl<W> Stream<W> {
    pub(super) fn finish(self) -> io::Result<W> {
        match self.0 {}
    }
}

impl<W> Write for Stream<W> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}
