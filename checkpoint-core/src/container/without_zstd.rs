//! Stands in for compression where the feature `zstd` is off: no part can be packed or unpacked.

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;

use super::manifest::{PartRecord, Unpacked};
use super::source::{Refusal, Source};
use super::tag::TagKey;

/// A type without values.
pub(super) enum Packer {}

impl Packer {
    pub(super) fn gains(&mut self, _: &[u8]) -> io::Result<bool> {
        match *self {}
    }

    pub(super) fn pack<'b>(
        &mut self,
        _: u64,
        _: impl Iterator<Item = &'b [u8]>,
        _: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        match *self {}
    }
}

/// A type without values.
pub(super) struct Unpacker<'a>(Infallible, PhantomData<&'a ()>);

impl<'a> Unpacker<'a> {
    pub(super) fn new(
        _: &'a dyn Source,
        part: &'a PartRecord,
        unpacked: &'a Unpacked,
        _: u64,
        _: Option<&'a TagKey>,
    ) -> Result<Unpacker<'a>, Refusal> {
        Err(Refusal::Packed { part: part.name.clone(), method: unpacked.method })
    }

    pub(super) fn fill(&mut self, _: &mut [u8]) -> Result<(), Refusal> {
        match self.0 {}
    }

    pub(super) fn finish(self) -> Result<(), Refusal> {
        match self.0 {}
    }
}
