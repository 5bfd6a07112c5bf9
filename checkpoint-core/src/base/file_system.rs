//! The kinds of file systems, by what a program may expect of them.

use std::fs::File;

/// The file systems in which each change of a file shows in its facts, with their numbers in Linux:
/// they keep a time of the last change of the file, and a store through a memory map changes it. Of
/// files on a server that is the server's.
///
/// A file system that is not here costs only time: its files are always hashed. Not here are those
///
/// - in memory: a store through a memory map changes no time;
/// - with another one or a program behind them, of any kind: overlays, FUSE, 9p;
/// - of images that are made elsewhere, such as squashfs: two images, mounted one after the other,
///   may have the same inodes and times;
/// - without such a time: FAT.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ON_DISKS: [(&str, u64); 11] = [
    ("ext2, ext3, ext4", 0xef53),
    ("XFS", 0x5846_5342),
    ("Btrfs", 0x9123_683e),
    ("F2FS", 0xf2f5_2010),
    ("ZFS", 0x2fc1_2fc1),
    ("bcachefs", 0xca45_1a4e),
    ("JFS", 0x3153_464a),
    ("NILFS", 0x3434),
    ("ReiserFS", 0x5265_4973),
    ("GFS2", 0x0116_1970),
    ("OCFS2", 0x7461_636f),
];

/// Those of them that are on servers.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ON_SERVERS: [(&str, u64); 10] = [
    ("NFS", 0x6969),
    ("SMB", 0x517b),
    ("CIFS", 0xff53_4d42),
    ("SMB2", 0xfe53_4d42),
    ("Ceph", 0x00c3_6400),
    ("Lustre", 0x0bd0_0bd0),
    ("GPFS", 0x4750_4653),
    ("BeeGFS", 0x1983_0326),
    ("PanFS", 0xaad7_aaea),
    ("OrangeFS", 0x2003_0528),
];

/// The number of tmpfs.
#[cfg(any(target_os = "linux", target_os = "android"))]
const IN_MEMORY: u64 = 0x0102_1994;

/// True if any change of the file, also a store through a memory map, shows in its facts.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn has_times_of_stores(file: &File) -> bool {
    kind(file).is_some_and(is_showing)
}

/// The number of the kind of file system.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn kind(file: &File) -> Option<u64> {
    // The type of this field has another sign and width on each machine.
    rustix::fs::fstatfs(file).ok().and_then(|system| u64::try_from(system.f_type & 0xffff_ffff).ok())
}

/// True if a lock of the directory keeps out the programs of all machines that have it: no other
/// machine has it, or its file system asks the others. NFS locks a directory on one machine only,
/// and so do others on servers. False where that is not known.
pub(crate) fn locks_directories(directory: &File) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        kind(directory)
            .is_some_and(|kind| kind == IN_MEMORY || ON_DISKS.iter().any(|(_, on_disk)| *on_disk == kind))
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = directory;
        false
    }
}

/// True if the file is on a server, which sets its times, and goes on where this machine ends.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_on_server(file: &File) -> bool {
    kind(file).is_some_and(|kind| ON_SERVERS.iter().any(|(_, server)| *server == kind))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn is_on_server(_: &File) -> bool {
    false
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn is_showing(kind: u64) -> bool {
    ON_DISKS.iter().chain(&ON_SERVERS).any(|(_, showing)| *showing == kind)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn has_times_of_stores(_: &File) -> bool {
    true
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn facts_count_only_in_file_systems_that_are_known() {
        let others = [
            ("FUSE", 0x6573_5546),
            ("squashfs", 0x7371_7368),
            ("ISO 9660", 0x9660),
            ("FAT", 0x4d44),
            ("exFAT", 0x2011_bab0),
            ("9p", 0x0102_1997),
            ("overlay", 0x794c_7630),
            ("tmpfs", 0x0102_1994),
            ("ramfs", 0x8584_58f6),
            ("hugetlbfs", 0x9584_58f6),
            ("a failed conversion", 0),
        ];
        for (name, kind) in others {
            assert!(!is_showing(kind), "{name}");
        }
        for (name, kind) in ON_DISKS.into_iter().chain(ON_SERVERS) {
            assert!(is_showing(kind), "{name}");
        }
        // A file of the kernel is in none of them.
        assert!(!has_times_of_stores(&File::open("/proc/self/status").unwrap()));
    }
}
