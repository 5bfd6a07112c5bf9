//! [`Compression`]: how the parts of a checkpoint are packed.

use std::io;

/// How the parts of a checkpoint are packed; not at all unless said otherwise.
///
/// Numbers of a computation have few bits in common: noisy `f64` lose 4 to 25 % of their length, and a processor packs
/// about 0.6 GB of them in a second, which is slower than most disks. It pays for states with long runs of the same, for integers that are small for
/// their type, and for slow or crowded disks.
///
/// Each part of 1 KiB and more is packed by itself, and only where samples of it become shorter by at least 5 %. Packed or not, a
/// checkpoint is loaded without being told, by any program that was built with the feature `zstd`.
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
    /// Every part is as it is in memory: the fastest, and what numpy can map into memory.
    #[default]
    None,
    /// Zstandard at a level from 1, the fastest, to 19, the shortest; 3 is its usual one. The higher the level, the more
    /// memory a save takes for it: 4 MiB at level 3, 15 MiB at level 9, 90 MiB at level 19.
    #[cfg(feature = "zstd")]
    Zstd(i32),
}

impl Compression {
    /// What is wrong with it, with its words.
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
