//! Shows disks to the kernel as files of a FUSE file system, for loop devices.
//!
//! The kernel's cache is written through, so a write has arrived here when the block layer is told
//! that it is done. A flush of the block device is a sync of the file.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, LockOwner,
    MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyWrite, Request, WriteFlags,
};

use crate::device::{Device, Event};

/// The disks, by the numbers in their names.
#[derive(Clone, Default)]
pub struct Disks(Arc<Mutex<HashMap<u64, Arc<Device>>>>);

impl Disks {
    pub fn mount(&self, folder: &Path) -> std::io::Result<BackgroundSession> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("disks".to_owned())];
        fuser::spawn_mount(Files(self.clone()), folder, &config)
    }

    pub fn insert(&self, number: u64, device: Arc<Device>) {
        self.0.lock().expect("no thread panics with it").insert(number, device);
    }

    pub fn remove(&self, number: u64) {
        self.0.lock().expect("no thread panics with it").remove(&number);
    }

    fn get(&self, inode: INodeNo) -> Option<Arc<Device>> {
        let number = u64::from(inode).checked_sub(FIRST)?;
        self.0.lock().expect("no thread panics with it").get(&number).cloned()
    }
}

/// The inode of disk 0.
const FIRST: u64 = 2;

struct Files(Disks);

fn attributes(inode: INodeNo, kind: FileType, size: u64) -> FileAttr {
    FileAttr {
        ino: inode,
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm: 0o700,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        flags: 0,
        blksize: 4096,
    }
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
        let inode = INodeNo(number.unwrap_or(u64::MAX - FIRST) + FIRST);
        match self.0.get(inode) {
            Some(device) => {
                reply.entry(&Duration::ZERO, &attributes(inode, FileType::RegularFile, device.length()), Generation(0));
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        if inode == INodeNo::ROOT {
            return reply.attr(&Duration::ZERO, &attributes(inode, FileType::Directory, 0));
        }
        match self.0.get(inode) {
            Some(device) => reply.attr(&Duration::ZERO, &attributes(inode, FileType::RegularFile, device.length())),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(device) = self.0.get(inode) else { return reply.error(Errno::EIO) };
        let length = device.length().saturating_sub(offset).min(size.into());
        let mut buffer = vec![0; length as usize];
        device.read(offset, &mut buffer);
        reply.data(&buffer);
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let Some(device) = self.0.get(inode) else { return reply.error(Errno::EIO) };
        device.write(offset, bytes);
        reply.written(bytes.len() as u32);
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let Some(device) = self.0.get(inode) else { return reply.error(Errno::EIO) };
        device.note(Event::Flush);
        reply.ok();
    }
}
