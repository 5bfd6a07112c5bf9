//! [`Compression`]: the packing of the parts of a checkpoint.

use std::io;

/// The compression of the parts of a checkpoint; none by default.
///
/// The numbers of a computation have few bits in common. Noisy `f64` lose 4 to 25 % of their
/// length, and a processor packs about 0.6 GB of them in a second, slower than most disks.
/// Compression pays for states with long runs of equal bytes, for integers that are small for their
/// type, and for slow or crowded disks.
///
/// Each part of at least 1 KiB is packed by itself, and only where samples of it shrink by at least
/// 5 %. Loading needs no setting: any program that was built with the feature `zstd` reads both
/// kinds.
///
/// ```
/// # #[cfg(feature = "zstd")]
/// # fn main() -> Result<(), checkpointed::Error> {
/// use checkpointed::{Checkpointer, Compression};
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let builder = Checkpointer::<Vec<f64>>::builder(&path).compression(Compression::Zstd(3));
/// let mut checkpoints = builder.open()?;
/// let saved = checkpoints.save(&vec![0.0; 1_000_000])?;
/// assert!(saved.bytes < 100_000);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "zstd"))]
/// # fn main() {}
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// No compression: every part is stored as it is in memory. The fastest choice, and numpy can
    /// map the arrays into memory.
    #[default]
    None,
    /// Zstandard at a level from 1, the fastest, to 19, the shortest; its usual level is 3. A
    /// higher level takes more memory during a save: 4 MiB at level 3, 15 MiB at level 9, 90 MiB at
    /// level 19.
    #[cfg(feature = "zstd")]
    Zstd(i32),
}

impl Compression {
    /// Refuses an invalid level: the error has the setting in words, and the reason.
    pub(crate) fn check(self) -> Result<(), (String, &'static str)> {
        match self {
            #[cfg(feature = "zstd")]
            Compression::Zstd(level) if !(1..=19).contains(&level) => {
                Err((format!("compression(Zstd({level}))"), "the levels are 1 to 19"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn packer(self) -> io::Result<Option<super::pack::Packer>> {
        match self {
            Compression::None => Ok(None),
            #[cfg(feature = "zstd")]
            Compression::Zstd(level) => super::pack::Packer::new(level).map(Some),
        }
    }
}
