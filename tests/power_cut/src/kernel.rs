//! File systems of the real kernel, on the disks of this program.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::device::Image;

/// A file system, the command to make it, and the size of its disk.
pub struct Kind {
    pub name: &'static str,
    make: &'static [&'static str],
    megabytes: u64,
    /// The number of bytes that the file system expects to be written as a whole.
    pub sector: usize,
}

pub const ALL: [Kind; 3] = [
    Kind { name: "ext4", make: &["mkfs.ext4", "-q", "-F"], megabytes: 96, sector: 512 },
    Kind { name: "xfs", make: &["mkfs.xfs", "-q", "-f"], megabytes: 320, sector: 512 },
    // Its superblock has 4096 bytes, and no journal protects it.
    Kind { name: "btrfs", make: &["mkfs.btrfs", "-q", "-f"], megabytes: 160, sector: 4096 },
];

impl Kind {
    /// A disk with an empty file system.
    pub fn make(&self) -> Image {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let length = self.megabytes << 20;
        file.as_file().set_len(length).expect("a sparse file");
        let [program, options @ ..] = self.make else { unreachable!("each has a program") };
        run(Command::new(program).args(options).arg(file.path())).expect("the file system is made");
        let mut image = Image::new(length);
        let bytes = std::fs::read(file.path()).expect("it is read back");
        for (place, block) in bytes.chunks(4096).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                image.write(place as u64 * 4096, block);
            }
        }
        image
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// A mounted disk.
pub struct Mounted {
    device: String,
    pub folder: PathBuf,
}

impl Mounted {
    pub fn new(disk: &Path, folder: &Path) -> Result<Mounted, String> {
        let device = run(Command::new("losetup").args(["--find", "--show"]).arg(disk))?;
        let mounted = run(Command::new("mount").arg(&device).arg(folder));
        if let Err(why) = mounted {
            let _ = run(Command::new("losetup").args(["--detach", &device]));
            return Err(why);
        }
        Ok(Mounted { device, folder: folder.to_owned() })
    }

    pub fn unmount(self) -> Result<(), String> {
        run(Command::new("umount").arg(&self.folder))?;
        run(Command::new("losetup").args(["--detach", &self.device])).map(drop)
    }
}
