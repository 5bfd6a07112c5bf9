//! Runs a scenario, cuts the power at each moment, and loads; then starts again in such a state,
//! and cuts once more.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::check::{Examiner, Promises};
use super::cut::{Cut, Limits, Random};
use super::disk::{Event, SimulatedDisk};
use super::image::{Data, Image, Node, hash_of};
use super::mutants::Mutant;
use super::scenarios::{Bench, Scenario};

/// The first number of the states that a restarted program makes: greater than those of any
/// scenario.
const RESTARTED: u64 = 1000;

/// The size of a campaign.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// For the scenario itself.
    pub(super) first: Limits,
    /// For the restart of a program.
    pub(super) nested: Limits,
    /// The number of states after a power cut in which the program is started again. They are
    /// chosen to be as different as possible.
    pub(super) restarts: usize,
    /// True to kill the program at each step, and start it again.
    pub(super) kills: bool,
}

/// A state that breaks a promise.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) scenario: &'static str,
    /// The last operation of the disk.
    pub(super) after: String,
    pub(super) state: String,
    pub(super) why: String,
}

/// A state to start again in.
pub(super) struct Start {
    image: Image,
    promises: Promises,
}

/// One scenario, with the real protocol or with a fault in it.
pub(super) struct Campaign<'a> {
    scenario: &'a Scenario,
    mutant: Option<Mutant>,
    effort: Effort,
    pub(super) examiner: Examiner,
    random: Random,
    pub(super) examined: u64,
    pub(super) restarts: u64,
}

impl Campaign<'_> {
    pub(super) fn new(scenario: &Scenario, mutant: Option<Mutant>, effort: Effort) -> Campaign<'_> {
        let examiner = Examiner::new(Path::new(scenario.path), |disk| Mutant::wrap(mutant, disk));
        Campaign { scenario, mutant, effort, examiner, random: Random(7), examined: 0, restarts: 0 }
    }

    /// Runs everything; the first broken promise ends it.
    pub(super) fn run(&mut self) -> Result<(), Broken> {
        let disk = SimulatedDisk::new(Image::new());
        let bench = self.bench(&disk, 1);
        (self.scenario.run)(&bench).map_err(|error| self.failed("run", &error))?;
        let (base, events) = disk.record();
        let mut starts = Vec::new();
        self.cut(&base, &events, 0, Promises::default(), self.effort.first, Some(&mut starts))?;
        self.damage(&base, &events)?;

        let mut promises = Promises::default();
        let kills = if self.effort.kills { &events[..] } else { &[] };
        for (place, event) in kills.iter().enumerate() {
            promises.advance(event);
            if matches!(
                event,
                Event::Write { .. } | Event::Began { .. } | Event::Keeps(_) | Event::Rewinds { .. }
            ) {
                // A program that starts again finds no difference after these.
                continue;
            }
            // The process is killed here; the system continues, and still has the bytes that it has
            // not written yet.
            self.restart(
                &SimulatedDisk::after(base.clone(), events[..=place].to_vec()),
                place + 1,
                promises.clone(),
            )?;
        }
        for start in starts {
            self.restart(&SimulatedDisk::new(start.image), 0, start.promises)?;
        }
        Ok(())
    }

    fn bench(&self, disk: &Arc<SimulatedDisk>, next: u64) -> Bench {
        Bench::new(Arc::clone(disk), Mutant::wrap(self.mutant, Arc::clone(disk)), self.scenario, next)
    }

    fn failed(&self, what: &str, error: &crate::Error) -> Broken {
        let why = format!("the program could not {what}: {error}");
        Broken { scenario: self.scenario.name, after: String::new(), state: String::new(), why }
    }

    fn restart(&mut self, disk: &Arc<SimulatedDisk>, from: usize, promises: Promises) -> Result<(), Broken> {
        self.restarts += 1;
        (self.scenario.recover)(&self.bench(disk, RESTARTED))
            .map_err(|error| self.failed("start again", &error))?;
        let (base, events) = disk.record();
        self.cut(&base, &events, from, promises, self.effort.nested, None)
    }

    /// Checks every state that a power cut can leave after each of the events from `from` on.
    pub(super) fn cut(
        &mut self,
        base: &Image,
        events: &[Event],
        from: usize,
        mut promises: Promises,
        limits: Limits,
        mut starts: Option<&mut Vec<Start>>,
    ) -> Result<(), Broken> {
        promises.learn(events);
        let mut cut = Cut::new(base);
        for event in &events[..from] {
            cut.advance(event);
        }
        let mut shapes = BTreeSet::new();
        for event in &events[from..] {
            promises.advance(event);
            let is_promise =
                matches!(event, Event::Acknowledged { .. } | Event::Keeps(_) | Event::Rewinds { .. });
            if !cut.advance(event) && !is_promise {
                continue;
            }
            let Campaign { examiner, random, examined, scenario, .. } = self;
            let mut broken = None;
            cut.states(limits, random, |image| {
                if broken.is_some() {
                    return;
                }
                *examined += 1;
                if let Some(starts) = &mut starts
                    && starts.len() < self.effort.restarts
                    && shapes.insert(shape(&image))
                {
                    starts.push(Start { image: image.clone(), promises: promises.clone() });
                }
                if let Err(why) = examiner.examine(&image, &promises) {
                    let state = examiner.describe(&image);
                    broken = Some(Broken { scenario: scenario.name, after: event.to_string(), state, why });
                }
            });
            if let Some(broken) = broken {
                return Err(broken);
            }
        }
        Ok(())
    }

    /// Checks that, where two generations are kept, a load survives any damage of the newer one.
    fn damage(&mut self, base: &Image, events: &[Event]) -> Result<(), Broken> {
        let mut promises = Promises::default();
        promises.learn(events);
        events.iter().for_each(|event| promises.advance(event));
        let live = {
            let disk = SimulatedDisk::after(base.clone(), events.to_vec());
            disk.live()
        };
        let Some((older, inode)) = promises.without_newest(&live) else { return Ok(()) };
        let whole = Arc::clone(live.file(inode).unwrap());
        let mut damaged: Vec<Vec<u8>> =
            (0..whole.bytes.len()).map(|length| whole.bytes[..length].to_vec()).collect();
        damaged.extend((0..whole.bytes.len()).map(|place| {
            let mut bytes = whole.bytes.clone();
            bytes[place] ^= 1 << (place % 8);
            bytes
        }));
        for bytes in damaged {
            let mut image = live.clone();
            image.nodes[inode] = Node::File(Data::new(bytes));
            self.examined += 1;
            self.examiner.examine(&image, &older).map_err(|why| Broken {
                scenario: self.scenario.name,
                after: "a damage of the newest generation".to_owned(),
                state: self.examiner.describe(&image),
                why,
            })?;
        }
        Ok(())
    }
}

/// Equal for states that differ only in the content of files, apart from which of them are empty.
fn shape(image: &Image) -> u64 {
    let nodes: Vec<_> = image
        .nodes
        .iter()
        .map(|node| match node {
            Node::File(data) => (data.bytes.is_empty(), None),
            Node::Directory(names) => (false, Some(names)),
        })
        .collect();
    hash_of(&nodes)
}
