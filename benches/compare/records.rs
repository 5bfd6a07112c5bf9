//! A million small records with text: their save is mostly encoding.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use checkpointed::{CheckpointReader, Plain};
use serde::{Deserialize, Serialize};

use crate::goals::Goals;
use crate::options::Options;
use crate::ours::{self, Advance};
use crate::raw::{cache, remove};
use crate::report::Report;
use crate::rounds::{Case, Outcome, interleave, timed};
use crate::states::Noise;

pub(crate) const BY_HAND: &str = "by hand: bincode into a Vec, new file, write, fsync";
pub(crate) const ENCODE: &str = "by hand: bincode::serialize_into warm memory";
pub(crate) const BY_HAND_LOAD: &str = "by hand: read, bincode::deserialize";

#[derive(Clone, Serialize, Deserialize)]
struct Record {
    id: u64,
    parent: Option<u32>,
    position: [f64; 3],
    weight: f32,
    name: String,
}

impl Advance for Plain<Vec<Record>> {
    fn advance(&mut self) {
        self.0.iter_mut().for_each(|record| record.weight += 1.0);
    }
}

pub(crate) fn measure(
    folder: &Path,
    options: &Options,
    report: &mut Report,
    goals: &mut Goals,
) -> Outcome<()> {
    let folder = folder.join("records");
    fs::create_dir_all(&folder)?;
    let mut noise = Noise(3);
    let records: Vec<Record> = (0..options.records as u64)
        .map(|id| Record {
            id,
            parent: id.is_multiple_of(3).then_some(7),
            position: [noise.number(), noise.number(), noise.number()],
            weight: 0.5,
            name: format!("record {id} of {:x}", noise.next() % 65_536),
        })
        .collect();
    let state = Plain(records);
    let bytes = usize::try_from(bincode::serialized_size(&state)?)?;

    let by_hand = folder.join("by-hand");
    let mut warm = Vec::new();
    let mut cases = vec![Case::new(BY_HAND, || {
        remove(&by_hand)?;
        let (duration, _) = timed(|| {
            let bytes = bincode::serialize(&state)?;
            let mut file = File::create(&by_hand)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            Ok(bytes)
        })?;
        Ok(duration)
    })];
    // A save in the background makes its program wait for this encoding, into memory that it keeps.
    cases.push(Case::new(ENCODE, || {
        warm.clear();
        Ok(timed(|| Ok(bincode::serialize_into(&mut warm, &state)?))?.0)
    }));
    cases.extend(ours::saves(&folder, &state)?);
    let saves = interleave(cases, options.rounds, &folder)?;
    report.table(&format!("Saves of {} records", options.records), bytes, &saves, BY_HAND);
    goals.records(&saves);

    let file = ours::checkpoint_file(&folder)?;
    let mut reader = CheckpointReader::<Plain<Vec<Record>>>::open(folder.join("first.ckpt"))?;
    let cases = vec![
        Case::new(BY_HAND_LOAD, || {
            cache(&by_hand)?;
            let (duration, _) = timed(|| {
                let bytes = fs::read(&by_hand)?;
                Ok((bincode::deserialize::<Vec<Record>>(&bytes)?, bytes))
            })?;
            Ok(duration)
        }),
        Case::new(ours::LOAD, || {
            cache(&file)?;
            Ok(timed(|| Ok(reader.load()?))?.0)
        }),
    ];
    let loads = interleave(cases, options.rounds, &folder)?;
    report.table(&format!("Loads of {} records", options.records), bytes, &loads, BY_HAND_LOAD);
    Ok(fs::remove_dir_all(&folder)?)
}
