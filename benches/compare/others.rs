//! Other ways to save the state of a Rust program.
//!
//! Only the first two would survive a power cut as they are. To compare like with like, an fsync is
//! added to the others. They still overwrite only a file of their own, without a rename, and
//! without a checksum of the numbers.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use rkyv::util::AlignedVec;
use safetensors::SafeTensors;

use crate::raw::{cache, remove};
use crate::rounds::{Case, Outcome, timed};
use crate::states::State;

/// The files of all of them, in one order for saves and loads.
struct Files {
    bincode: PathBuf,
    savefile: PathBuf,
    rkyv: PathBuf,
    safetensors: PathBuf,
}

impl Files {
    fn new(folder: &Path) -> Files {
        Files {
            bincode: folder.join("state.bincode"),
            savefile: folder.join("state.savefile"),
            rkyv: folder.join("state.rkyv"),
            safetensors: folder.join("state.safetensors"),
        }
    }
}

/// Writes by hand as a careful author does: a temporary file, its sync, its rename, and the sync of
/// the directory.
pub(crate) fn publish(path: &Path, write: impl FnOnce(&mut File) -> Outcome<()>) -> Outcome<()> {
    let folder = path.parent().ok_or("a file is in a folder")?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    write(temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    Ok(File::open(folder)?.sync_all()?)
}

fn sync(path: &Path) -> Outcome<()> {
    Ok(File::open(path)?.sync_all()?)
}

pub(crate) fn saves<'a, S: State>(folder: &Path, state: &'a S) -> Vec<Case<'a>> {
    let Files { bincode, savefile, rkyv, safetensors } = Files::new(folder);
    vec![
        Case::new("by hand: bincode, tempfile, fsync, rename, fsync", move || {
            let (duration, ()) = timed(|| {
                publish(&bincode, |file| {
                    let mut output = BufWriter::with_capacity(1 << 20, file);
                    bincode::serialize_into(&mut output, state)?;
                    Ok(output.flush()?)
                })
            })?;
            Ok(duration)
        }),
        Case::new("savefile::save_file (+ fsync)", move || {
            remove(&savefile)?;
            let (duration, ()) = timed(|| {
                savefile::save_file(&savefile, 0, state)?;
                sync(&savefile)
            })?;
            Ok(duration)
        }),
        Case::new("rkyv::to_bytes, write (+ fsync)", move || {
            remove(&rkyv)?;
            let (duration, _) = timed(|| {
                let bytes = state.to_rkyv()?;
                let mut file = File::create(&rkyv)?;
                file.write_all(&bytes)?;
                file.sync_all()?;
                Ok(bytes)
            })?;
            Ok(duration)
        }),
        Case::new("safetensors::serialize_to_file (+ fsync)", move || {
            remove(&safetensors)?;
            let (duration, ()) = timed(|| {
                safetensors::serialize_to_file(state.tensors()?, None, &safetensors)?;
                sync(&safetensors)
            })?;
            Ok(duration)
        }),
    ]
}

pub(crate) fn loads<'a, S: State + 'a>(folder: &Path, _: &S) -> Vec<Case<'a>> {
    let Files { bincode, savefile, rkyv, safetensors } = Files::new(folder);
    vec![
        Case::new("by hand: bincode::deserialize_from", move || {
            cache(&bincode)?;
            let (duration, _) = timed(|| {
                let input = BufReader::with_capacity(1 << 20, File::open(&bincode)?);
                Ok(bincode::deserialize_from::<_, S>(input)?)
            })?;
            Ok(duration)
        }),
        Case::new("savefile::load_file", move || {
            cache(&savefile)?;
            let (duration, _) = timed(|| Ok(savefile::load_file::<S, _>(&savefile, 0)?))?;
            Ok(duration)
        }),
        Case::new("rkyv: read, from_bytes", move || {
            cache(&rkyv)?;
            let (duration, _) = timed(|| {
                let mut file = File::open(&rkyv)?;
                let mut bytes = AlignedVec::<16>::with_capacity(usize::try_from(file.metadata()?.len())?);
                bytes.extend_from_reader(&mut file)?;
                S::from_rkyv(&bytes)
            })?;
            Ok(duration)
        }),
        Case::new("safetensors: read, deserialize, copy", move || {
            cache(&safetensors)?;
            let (duration, _) = timed(|| {
                let bytes = fs::read(&safetensors)?;
                S::from_tensors(&SafeTensors::deserialize(&bytes)?)
            })?;
            Ok(duration)
        }),
    ]
}
