//! Copies arrays of a container to a `.npz` file: the same entries, as numpy reads them, without
//! the rest.

use std::io::Write;

use super::reader::Container;
use super::source::Refusal;
use super::zip::{self, Entry};

/// The reason that arrays could not be copied.
pub(crate) enum CopyFailure {
    Read(Refusal),
    Write(std::io::Error),
}

impl From<Refusal> for CopyFailure {
    fn from(refusal: Refusal) -> CopyFailure {
        CopyFailure::Read(refusal)
    }
}

impl From<std::io::Error> for CopyFailure {
    fn from(error: std::io::Error) -> CopyFailure {
        CopyFailure::Write(error)
    }
}

impl Container {
    /// Writes a whole part, verified and unpacked.
    pub(crate) fn copy(&self, number: usize, output: &mut dyn Write) -> Result<(), CopyFailure> {
        let mut stream = self.stream(number)?;
        let mut buffer = Vec::new();
        while stream.next(&mut buffer)? {
            output.write_all(&buffer)?;
        }
        Ok(())
    }

    /// Writes these arrays as an uncompressed zip archive.
    pub(crate) fn copy_as_npz(
        &self,
        numbers: impl Iterator<Item = usize>,
        output: &mut dyn Write,
    ) -> Result<(), CopyFailure> {
        let too_large =
            || std::io::Error::new(std::io::ErrorKind::FileTooLarge, "it does not fit a zip archive");
        let mut offset = 0;
        let mut entries = Vec::new();
        for number in numbers {
            let Some(found) = self.entries.get(number) else { continue };
            let entry = Entry { length: found.size(), unpacked: None, offset, ..found.clone() };
            output.write_all(&entry.local_header().ok_or_else(too_large)?)?;
            self.copy(number, output)?;
            output.write_all(&entry.descriptor())?;
            offset = entry.end().ok_or_else(too_large)?;
            entries.push(entry);
        }
        output.write_all(&zip::tail(&entries).ok_or_else(too_large)?)?;
        Ok(())
    }
}
