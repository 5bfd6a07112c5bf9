//! Checks the result of a load in a state that a power cut left.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Event, Kept, SimulatedDisk};
use super::image::{Image, Inode, Node, hash_of};
use crate::store::Directory;
use crate::{CheckpointReader, Error, Protection};

/// The promises that a program was given, up to some moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Promises {
    /// The states whose saves it began. They increase, so that the newer is the greater.
    began: BTreeSet<u64>,
    acknowledged: Option<u64>,
    generation_of: BTreeMap<u64, u64>,
    kept: Vec<Kept>,
}

impl Promises {
    /// Records facts that are known only later: the generation of each state.
    pub(super) fn learn(&mut self, events: &[Event]) {
        self.generation_of.extend(events.iter().filter_map(|event| match event {
            Event::Acknowledged { state, generation } => Some((*state, (*generation)?)),
            _ => None,
        }));
    }

    pub(super) fn advance(&mut self, event: &Event) {
        match event {
            Event::Began { state } => {
                self.began.insert(*state);
            }
            Event::Acknowledged { state, .. } => self.acknowledged = Some(*state),
            Event::Keeps(kept) => self.kept.clone_from(kept),
            Event::Rewinds { state, loadable } => {
                self.acknowledged = Some(*state);
                self.began = loadable.iter().copied().collect();
            }
            _ => {}
        }
    }

    /// The promises that still hold when the newest generation is damaged, and the file of that
    /// generation; `None` where no older one is kept.
    pub(super) fn without_newest(&self, image: &Image) -> Option<(Promises, Inode)> {
        let acknowledged = self.acknowledged?;
        let newest = self.kept.iter().find(|kept| kept.state == acknowledged)?.clone();
        let older =
            self.kept.iter().filter(|kept| kept.path == newest.path && kept.generation < newest.generation);
        let mut promises = self.clone();
        promises.acknowledged = Some(older.map(|kept| kept.state).max()?);
        promises.kept.retain(|kept| kept.state != acknowledged);
        let name = crate::store::name::of_generation(newest.generation);
        Some((promises, image.find(&newest.path.join(name)).ok()?))
    }

    /// True if a state has this generation, as far as that is known.
    fn fits(&self, state: u64, generation: u64) -> bool {
        self.generation_of.get(&state).is_none_or(|known| *known == generation)
    }
}

/// Loads from states by the reader that programs use, and counts them.
#[derive(Debug)]
pub(super) struct Examiner {
    disk: Arc<SimulatedDisk>,
    reader: CheckpointReader<u64>,
    readers: HashMap<PathBuf, CheckpointReader<u64>>,
    path: PathBuf,
    /// The result of loading a generation's file, by its name and content.
    known: HashMap<(PathBuf, u64, u64), Option<u64>>,
    pub(super) states: HashSet<u64>,
    /// The loads of states that a reader can tell apart: temporary files make no difference.
    pub(super) loads: HashMap<u64, Result<Option<u64>, String>>,
}

impl Examiner {
    /// Checks the checkpoint directory at `path`. `wrap` may put a fault between the reader and the
    /// disk.
    pub(super) fn new(
        path: &Path,
        wrap: impl Fn(Arc<SimulatedDisk>) -> Arc<dyn crate::store::Disk>,
    ) -> Examiner {
        let disk = SimulatedDisk::new(Image::new());
        let open = |path| {
            let directory = Directory::new(path, wrap(Arc::clone(&disk)));
            CheckpointReader::new(Arc::new(directory), Protection::new()).unwrap()
        };
        Examiner {
            reader: open(path),
            readers: HashMap::new(),
            disk: Arc::clone(&disk),
            path: path.to_owned(),
            known: HashMap::new(),
            states: HashSet::new(),
            loads: HashMap::new(),
        }
    }

    /// Checks that a state keeps the promises; the error is the broken one.
    pub(super) fn examine(&mut self, image: &Image, promises: &Promises) -> Result<(), String> {
        self.states.insert(image.hash());
        let visible = self.visible(image, &self.path);
        let key = hash_of(&visible);
        if !self.loads.contains_key(&key) {
            self.disk.show(image.clone());
            let loaded = self.reader.load().map_err(|error| error.to_string());
            self.loads.insert(key, loaded);
        }
        let loaded = self.loads[&key].clone();
        self.is_allowed(&loaded, promises)?;
        for (generation, content) in &visible {
            if let Some(state) = self.load(image, &self.path.clone(), *generation, *content)?
                && !(promises.began.contains(&state) && promises.fits(state, *generation))
            {
                return Err(format!("generation {generation} is {state}, which was not saved as that"));
            }
        }
        for kept in &promises.kept {
            let mut found = None;
            let mut newer = 0;
            for (generation, content) in self.visible(image, &kept.path) {
                let state = self.load(image, &kept.path, generation, content)?;
                newer += usize::from(generation > kept.generation && state.is_some());
                found = if generation == kept.generation { state } else { found };
            }
            if found != Some(kept.state) && kept.until.is_none_or(|until| newer < until) {
                return Err(format!(
                    "generation {}, to be kept with {}, is {found:?}",
                    kept.generation, kept.state
                ));
            }
        }
        Ok(())
    }

    fn is_allowed(&self, loaded: &Result<Option<u64>, String>, promises: &Promises) -> Result<(), String> {
        match (loaded, promises.acknowledged) {
            (Err(error), _) => Err(format!("the load failed: {error}")),
            (Ok(None), None) => Ok(()),
            (Ok(None), Some(acknowledged)) => {
                Err(format!("nothing is there, {acknowledged} was acknowledged"))
            }
            (Ok(Some(state)), _) if !promises.began.contains(state) => {
                Err(format!("{state} was never saved"))
            }
            (Ok(Some(state)), Some(acknowledged)) if *state < acknowledged => {
                Err(format!("the load gave {state}, {acknowledged} was acknowledged"))
            }
            (Ok(Some(_)), _) => Ok(()),
        }
    }

    /// The generations of a directory, each with the hash of its file.
    fn visible(&self, image: &Image, path: &Path) -> Vec<(u64, u64)> {
        let Ok(names) = image.find(path).and_then(|directory| image.names(directory).cloned()) else {
            return Vec::new();
        };
        let generations = names.iter().filter_map(|(name, inode)| {
            let generation = crate::store::name::generation((**name).as_ref())?;
            let Node::File(data) = &image.nodes[*inode] else { return None };
            Some((generation, data.hash))
        });
        generations.collect()
    }

    /// The result of loading one generation; `None` where it is damaged.
    fn load(
        &mut self,
        image: &Image,
        path: &Path,
        generation: u64,
        content: u64,
    ) -> Result<Option<u64>, String> {
        let key = (path.to_owned(), generation, content);
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        self.disk.show(image.clone());
        let reader = if path == self.path {
            &mut self.reader
        } else {
            let disk: Arc<dyn crate::store::Disk> = Arc::new(Arc::clone(&self.disk));
            let new =
                || CheckpointReader::new(Arc::new(Directory::new(path, disk)), Protection::new()).unwrap();
            self.readers.entry(path.to_owned()).or_insert_with(new)
        };
        let loaded = match reader.load_generation(generation) {
            Ok(state) => Some(state),
            Err(Error::Damaged { .. } | Error::NotACheckpoint { .. }) => None,
            Err(other) => return Err(format!("generation {generation}: {other}")),
        };
        self.known.insert(key, loaded);
        Ok(loaded)
    }

    /// Describes the checkpoint directory for a message.
    pub(super) fn describe(&self, image: &Image) -> String {
        let Ok(names) = image.find(&self.path).and_then(|directory| image.names(directory).cloned()) else {
            return "no directory".to_owned();
        };
        let files = names.iter().map(|(name, inode)| {
            let length = image.file(*inode).map_or(0, |data| data.bytes.len());
            format!("{name} (file {inode}, {length} bytes)")
        });
        files.collect::<Vec<_>>().join(", ")
    }
}
