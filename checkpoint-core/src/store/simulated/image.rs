//! One state of a disk: a tree of directories and files. Copies share their common parts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Component, Path};
use std::sync::Arc;

/// The number of a file or a directory.
pub(super) type Inode = usize;

/// The root directory of the tree.
pub(super) const ROOT: Inode = 0;

pub(super) type Names = BTreeMap<Arc<str>, Inode>;

/// The bytes of a file.
#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) bytes: Vec<u8>,
    pub(super) hash: u64,
}

impl Data {
    pub(super) fn new(bytes: Vec<u8>) -> Arc<Data> {
        let hash = hash_of(&bytes);
        Arc::new(Data { bytes, hash })
    }
}

pub(super) fn hash_of(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(Arc<Data>),
    Directory(Arc<Names>),
}

/// A state of a disk.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) nodes: Vec<Node>,
}

impl Image {
    /// An empty disk.
    pub(super) fn new() -> Image {
        Image { nodes: vec![Node::Directory(Arc::default())] }
    }

    pub(super) fn add(&mut self, node: Node) -> Inode {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub(super) fn file(&self, inode: Inode) -> io::Result<&Arc<Data>> {
        match &self.nodes[inode] {
            Node::File(data) => Ok(data),
            Node::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn names(&self, inode: Inode) -> io::Result<&Arc<Names>> {
        match &self.nodes[inode] {
            Node::Directory(names) => Ok(names),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn names_mut(&mut self, inode: Inode) -> io::Result<&mut Names> {
        match &mut self.nodes[inode] {
            Node::Directory(names) => Ok(Arc::make_mut(names)),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The file or directory at a path.
    pub(super) fn find(&self, path: &Path) -> io::Result<Inode> {
        let mut inode = ROOT;
        for component in path.components() {
            match component {
                Component::RootDir => {}
                Component::Normal(name) => {
                    let names = self.names(inode)?;
                    let name = name.to_str().ok_or(io::ErrorKind::NotFound)?;
                    inode = *names.get(name).ok_or(io::ErrorKind::NotFound)?;
                }
                other => return Err(io::Error::other(format!("{other:?} is not simulated"))),
            }
        }
        Ok(inode)
    }

    /// The parent directory of a path, and the name in it.
    pub(super) fn place(&self, path: &Path) -> io::Result<(Inode, Arc<str>)> {
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.find(parent)?, name.into()))
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        Ok(self.names(self.find(path)?)?.keys().map(|name| OsString::from(&**name)).collect())
    }

    /// The number of names of a file.
    pub(super) fn links(&self, inode: Inode) -> usize {
        let names = self.nodes.iter().filter_map(|node| match node {
            Node::Directory(names) => Some(names),
            Node::File(_) => None,
        });
        names.flat_map(|names| names.values()).filter(|found| **found == inode).count()
    }

    /// Equal for images whose reachable content is equal.
    pub(super) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash_into(ROOT, &mut hasher);
        hasher.finish()
    }

    fn hash_into(&self, inode: Inode, hasher: &mut DefaultHasher) {
        match &self.nodes[inode] {
            Node::File(data) => hasher.write_u64(data.hash),
            Node::Directory(names) => {
                hasher.write_usize(names.len());
                for (name, inode) in &**names {
                    hasher.write(name.as_bytes());
                    hasher.write_u8(0);
                    self.hash_into(*inode, hasher);
                }
            }
        }
    }
}
