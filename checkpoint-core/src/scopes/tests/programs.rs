//! Random programs of nested scopes: whenever they are killed or stopped, and wherever their files
//! are moved in between, their results are those of a run that nothing interrupted.

mod generator;
mod runner;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use self::generator::Program;
use self::runner::{ANY, End, Event, Places, Run};
use crate::error::Error;
use crate::scopes::Scopes;
use crate::store::simulated::Random;

/// A program that passes more points is left out.
const MOST_POINTS: u64 = 300;

impl Places {
    fn new(directory: &Path) -> Places {
        let [near, far] = ["near", "far"].map(|name| directory.join(name));
        [&near, &far].into_iter().for_each(|place| fs::create_dir(place).unwrap());
        Places { checkpoints: near.join("run.ckpt"), near, far }
    }

    /// Moves the checkpoint directory, or the one that holds it with its outputs.
    fn moved(&mut self, number: usize, random: &mut Random) {
        if random.below(2) == 0 {
            let near = self.near.with_file_name(format!("near-{number}"));
            fs::rename(&self.near, &near).unwrap();
            self.checkpoints = near.join(self.checkpoints.file_name().unwrap());
            self.near = near;
        } else if self.checkpoints.exists() {
            let checkpoints = self.near.join(format!("run-{number}.ckpt"));
            fs::rename(&self.checkpoints, &checkpoints).unwrap();
            self.checkpoints = checkpoints;
        }
    }

    fn logs(&self) -> BTreeMap<OsString, String> {
        let files = [&self.near, &self.far].into_iter().flat_map(|place| fs::read_dir(place).unwrap());
        let files = files.map(Result::unwrap);
        // With those that were put aside.
        let logs = files.filter(|file| file.file_name().to_string_lossy().contains(".log"));
        logs.map(|file| (file.file_name(), fs::read_to_string(file.path()).unwrap())).collect()
    }
}

/// Returns false if the program is left out.
fn check(seed: u64) -> bool {
    let mut random = Random(seed);
    let program = Program::new(&mut random);
    let builder = |places: &Places| program.settings.of(Scopes::builder(&places.checkpoints));
    let directory = tempfile::tempdir().unwrap();
    let places = Places::new(directory.path());
    let mut run = Run::new(&program, &places, BTreeMap::new());
    run.most_points = MOST_POINTS;
    let result = run.result(builder(&places));
    let (points, least) = (usize::try_from(run.point).unwrap(), run.units);
    if matches!(result, Err(End::TooLong)) || points == 0 {
        return false;
    }
    assert!(result.is_ok(), "seed {seed}: {result:?}: {program:#?}");
    let expected = result.unwrap();
    let files = places.logs();

    let directory = tempfile::tempdir().unwrap();
    let mut places = Places::new(directory.path());
    let (mut units, mut lost) = (0, 0);
    let mut story = Vec::new();
    for number in 0.. {
        let mut events = BTreeMap::new();
        if number < 4 {
            for _ in 0..1 + random.below(2) {
                let event = match random.below(6) {
                    0 | 1 => Event::Kill,
                    2 | 3 => Event::Stop,
                    4 => Event::Retry,
                    _ => Event::Fault(random.below(8)),
                };
                events.insert(1 + random.below(points) as u64, event);
            }
        }
        let mut run = Run::new(&program, &places, events.clone());
        let result = run.result(builder(&places));
        let is_at_end = matches!(result, Ok(Some(_)));
        let (more, more_lost) = (run.units, run.lost(is_at_end));
        story.push(format!("{events:?}: {result:?}, {more} units, {more_lost} lost"));
        let told = || format!("seed {seed}: {program:#?}\n{story:#?}");
        units += more;
        lost += more_lost;
        match result {
            Ok(Some(sum)) => {
                assert_eq!(Some(sum), expected, "{}", told());
                break;
            }
            Ok(None) | Err(End::Killed | End::Retried) => {}
            Err(End::Failed(Error::ScopeStopped { .. } | Error::StoppedUnsaved { .. })) => {
                assert!(events.values().any(|event| *event == Event::Stop), "{}", told());
            }
            Err(end) => {
                let may_fail = run.has_faults && matches!(end, End::Failed(_) | End::Unwritten(_));
                assert!(may_fail, "{}", told());
            }
        }
        if random.below(4) == 0 {
            places.moved(number, &mut random);
            story.push(format!("moved: {places:?}"));
        }
    }
    let told = format!("seed {seed}: {program:#?}\n{story:#?}");
    assert!(units <= least + lost, "{units} units, and {least} + {lost} would do: {told}");
    let found = places.logs();
    for (name, content) in files {
        if found.get(&name) == Some(&content) {
            continue;
        }
        // If a function that has ended is called again after an error, its log is put aside. If the
        // program is killed then, no scope has the log any more, and it stays there.
        let name = name.to_string_lossy().into_owned();
        let mut aside = found.iter().filter(|(other, _)| other.to_string_lossy().starts_with(&name));
        let has_begun_afresh = lost >= ANY && aside.any(|(_, other)| *other == content);
        assert!(has_begun_afresh, "{name}: {content:?}, and not {found:#?}: {told}");
    }
    true
}

/// `SCOPES_SEED` and `SCOPES_COUNT` choose other programs, and more.
#[test]
fn random_programs_end_as_if_nothing_had_stopped_them() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |number| number.parse().unwrap());
    let first = number("SCOPES_SEED", 0);
    let checked = (first..first + number("SCOPES_COUNT", 200)).filter(|seed| check(*seed)).count();
    assert!(checked > 0);
}
