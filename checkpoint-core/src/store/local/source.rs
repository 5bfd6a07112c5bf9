//! A file that is read.

use std::fs::File;
use std::io;
use std::sync::OnceLock;

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::uncached::Uncached;
use crate::container::Source;

/// The greatest length of a file that is read by one call, at the first read of it.
const SHORT: u64 = 64 << 10;

pub(super) struct FileSource {
    file: File,
    length: u64,
    /// The whole content of a short file, once it was read.
    whole: OnceLock<Vec<u8>>,
    #[cfg(not(unix))]
    position: std::sync::Mutex<()>,
}

impl FileSource {
    pub(super) fn new(file: File, length: u64) -> FileSource {
        FileSource {
            file,
            length,
            whole: OnceLock::new(),
            #[cfg(not(unix))]
            position: std::sync::Mutex::new(()),
        }
    }

    /// The whole content of a short file; `None` where it is not short.
    fn whole(&self) -> io::Result<Option<&[u8]>> {
        if let Some(whole) = self.whole.get() {
            return Ok(Some(whole));
        }
        let Some(length) = usize::try_from(self.length).ok().filter(|_| self.length <= SHORT) else {
            return Ok(None);
        };
        let mut bytes = vec![0; length];
        self.read_at(&mut bytes, 0)?;
        Ok(Some(self.whole.get_or_init(|| bytes)))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        #[cfg(unix)]
        {
            std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
        }
        #[cfg(not(unix))]
        {
            use std::io::{Read, Seek, SeekFrom};
            // All readers share one position.
            let _alone = self.position.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let mut file = &self.file;
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(buffer)
        }
    }
}

impl Source for FileSource {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let Some(whole) = self.whole()? else { return self.read_at(buffer, offset) };
        let wanted = usize::try_from(offset).ok().and_then(|from| whole.get(from..)?.get(..buffer.len()));
        buffer.copy_from_slice(wanted.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn past_cache(&self, offset: u64, length: u64) -> Option<Box<dyn Source + '_>> {
        Some(Box::new(Uncached::of(&self.file, offset, length)?))
    }

    fn will_read(&self, offset: u64, length: u64) {
        if self.length <= SHORT {
            return;
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use rustix::fs::{Advice, fadvise};
            // This is only advice: a system that cannot take it is merely slower.
            let _ = fadvise(&self.file, offset, std::num::NonZeroU64::new(length), Advice::WillNeed);
        }
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = (offset, length);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::local::disk::Disk;
    use crate::store::local::real::RealDisk;

    #[test]
    fn a_short_file_is_read_by_one_call() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for length in [1, SHORT, SHORT + 1] {
            let length = usize::try_from(length).unwrap();
            fs::write(&path, vec![1; length]).unwrap();
            let source = RealDisk::default().open(&path).unwrap();
            source.read_exact_at(&mut [0], 0).unwrap();
            fs::write(&path, vec![2; length]).unwrap();
            let mut last = [0];
            source.read_exact_at(&mut last, length as u64 - 1).unwrap();
            assert_eq!(last[0] == 1, length as u64 <= SHORT, "{length}");
            let error = source.read_exact_at(&mut [0; 2], length as u64 - 1).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
