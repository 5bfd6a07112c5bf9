//! Archives of numpy, compressed or not.

use std::fs::File;
use std::io::{BufReader, Cursor, Read as _};
use std::path::Path;

use checkpointed_core::inspect::Imported;
use zip::ZipArchive;

use super::npy::Header;

/// The arrays with their names, in the order of the archive.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Imported)>, String> {
    let mut archive = open(path)?;
    let mut values = Vec::new();
    for place in 0..archive.len() {
        let mut entry = archive.by_index(place).map_err(|error| error.to_string())?;
        let name = entry.name().map_err(|error| error.to_string())?.into_owned();
        let Some(array) = name.strip_suffix(".npy") else {
            return Err(format!(
                "{name:?} in it is no array: an archive of numpy has names that end in .npy"
            ));
        };
        let header = Header::read(&mut entry).map_err(|why| format!("{name}: {why}"))?;
        let (path, start) = (path.to_owned(), header.length);
        let most = header.bytes().map_err(|why| format!("{name}: {why}"))?.saturating_add(1);
        let data = move || {
            let mut archive = open(&path)?;
            let mut entry = archive.by_index(place).map_err(|error| error.to_string())?;
            let mut header = vec![0; usize::try_from(start).map_err(|error| error.to_string())?];
            entry.read_exact(&mut header).map_err(|error| error.to_string())?;
            // A few bytes can unpack to any number of them.
            let mut data = Vec::new();
            entry.take(most).read_to_end(&mut data).map_err(|error| error.to_string())?;
            Ok(Cursor::new(data))
        };
        values.push((array.to_owned(), Imported::Array(header.array(data))));
    }
    Ok(values)
}

fn open(path: &Path) -> Result<ZipArchive<BufReader<File>>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    ZipArchive::new(BufReader::new(file)).map_err(|error| error.to_string())
}
