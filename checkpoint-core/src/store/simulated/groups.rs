//! Power cuts of a group: each member is a machine with a disk of its own, and its power is cut by
//! itself.
//!
//! Each disk records what the real code does on it, with marks where the member enters and leaves a
//! gather. Two moments of two members fit together if no one has left a gather that the other has
//! not entered. So all orders of their steps follow from one run. In each pair of moments that fit,
//! each disk is in any state that a power cut can leave, or as it is after a kill; the group loads
//! from all of these.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::cut::{Cut, Limits, Random};
use super::disk::{Event, Fault, SimulatedDisk};
use super::image::{Image, hash_of};
use super::mutants::Mutant;
use super::scenarios::PATH;
use crate::group::{Group, GroupCheckpointer, Threads};
use crate::store::faults::EIO;
use crate::store::{ACCEPTED, generation_of};
use crate::{Checkpointer, Error};

const MEMBERS: usize = 2;

/// The size of a campaign.
#[derive(Clone, Copy)]
struct Effort {
    limits: Limits,
    /// The number of states after a power cut in which the job is started again.
    restarts: usize,
    /// The number of moments at which the members are killed, and the job is started again: right
    /// after a name was given.
    kills: usize,
}

const FULL: Effort = Effort {
    limits: Limits { contents: 16, singles: true, pairs: false, random: 8 },
    restarts: 60,
    kills: 60,
};

/// The number of distinct joint states that are counted; the check goes on for the others.
const COUNTED: usize = 4_000_000;

const BRIEF: Limits = Limits { contents: 2, singles: false, pairs: false, random: 0 };

/// Fewer restarts without optimisation.
const SHORT: Effort = Effort {
    limits: BRIEF,
    restarts: if cfg!(debug_assertions) { 1 } else { 20 },
    kills: if cfg!(debug_assertions) { 3 } else { 20 },
};

/// A moment of a member that another one knows of, or that a user does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mark {
    Enters,
    Leaves,
    Began(u64),
    Acknowledged(u64),
}

/// What a member did, in the order of time.
#[derive(Clone, Debug)]
enum Item {
    Event(Event),
    Mark(Mark),
}

type Marks = Arc<Mutex<Vec<(usize, Mark)>>>;

/// A member whose gathers are in the record of its disk.
pub(super) struct Recorded {
    member: Threads,
    disk: Arc<SimulatedDisk>,
    marks: Marks,
}

impl Recorded {
    fn mark(&self, mark: Mark) {
        self.marks.lock().unwrap().push((self.disk.moment(), mark));
    }
}

impl Group for &Recorded {
    fn rank(&self) -> usize {
        self.member.rank()
    }

    fn size(&self) -> usize {
        self.member.size()
    }

    fn all_gather(&self, mine: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        self.mark(Mark::Enters);
        let given = self.member.all_gather(mine);
        self.mark(Mark::Leaves);
        given
    }
}

/// The record of one member.
struct Record {
    base: Image,
    items: Vec<Item>,
    /// The number of events before the job began: those of a job that was killed.
    before: usize,
}

/// A program of a group.
type Work = fn(&Recorded, &mut GroupCheckpointer<u64, &Recorded>, u64);

/// The job saves three steps after the one that it loads; one of them fails.
fn work(member: &Recorded, group: &mut GroupCheckpointer<u64, &Recorded>, job: u64) {
    if let Some(state) = group.load().unwrap() {
        // A program may publish what it has loaded.
        member.mark(Mark::Acknowledged(state));
    }
    for step in 1..=4 {
        let state = job * 100 + step;
        // The disk of the second member fails, or the sync of the table of the first.
        let (rank, place) = if job % 2 == 1 { (1, 1) } else { (0, 6) };
        let fails = step == 2 && member.member.rank() == rank;
        member.disk.plan(fails.then_some((place, Fault::Errno(EIO))));
        member.mark(Mark::Began(state));
        let saved = group.save(&state);
        member.disk.plan(None);
        match saved {
            Ok(_) => member.mark(Mark::Acknowledged(state)),
            Err(error) => assert_eq!(step, 2, "{error}"),
        }
    }
}

/// The same in the background.
fn work_in_background(member: &Recorded, group: &mut GroupCheckpointer<u64, &Recorded>, job: u64) {
    if let Some(state) = group.load().unwrap() {
        member.mark(Mark::Acknowledged(state));
    }
    for step in 1..=3 {
        let state = job * 100 + step;
        member.mark(Mark::Began(state));
        group.save_in_background(&state).unwrap();
        group.wait().unwrap();
        member.mark(Mark::Acknowledged(state));
    }
}

/// Runs the work of each member in a thread of its own, on a disk of its own.
pub(super) fn on_disks<R: Send>(
    disks: &[Arc<SimulatedDisk>],
    mutant: Option<(usize, Mutant)>,
    keep: usize,
    work: impl Fn(&Recorded, Result<GroupCheckpointer<u64, &Recorded>, Error>) -> R + Sync,
) -> Vec<(R, Vec<(usize, Mark)>)> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads = Threads::new(disks.len()).into_iter().zip(disks).enumerate();
        let threads: Vec<_> = threads
            .map(|(rank, (member, disk))| {
                scope.spawn(move || {
                    let marks = Marks::default();
                    let recorded = Recorded { member, disk: Arc::clone(disk), marks: Arc::clone(&marks) };
                    let mutant = mutant.filter(|(of, _)| *of == rank).map(|(_, mutant)| mutant);
                    let seam = Mutant::wrap(mutant, Arc::clone(disk));
                    let builder =
                        Checkpointer::<u64>::builder(PATH).disk(seam).history(false).keep_last(keep);
                    let group = builder.warnings_to_stderr(false).open_group(&recorded);
                    let result = work(&recorded, group);
                    let marks = marks.lock().unwrap().clone();
                    (result, marks)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Runs a job, and returns the records of its members.
fn recorded(
    disks: &[Arc<SimulatedDisk>],
    mutant: Option<(usize, Mutant)>,
    job: u64,
    work: Work,
) -> Vec<Record> {
    let before: Vec<usize> = disks.iter().map(|disk| disk.moment()).collect();
    let run = on_disks(disks, mutant, 1, |member, group| {
        let mut group = group.unwrap();
        work(member, &mut group, job);
    });
    disks
        .iter()
        .zip(run)
        .zip(before)
        .map(|((disk, ((), marks)), before)| {
            let (base, events) = disk.record();
            let mut items = Vec::new();
            let mut marks = marks.into_iter().peekable();
            for (place, event) in events.into_iter().enumerate() {
                while let Some((_, mark)) = marks.next_if(|(moment, _)| *moment <= place) {
                    items.push(Item::Mark(mark));
                }
                items.push(Item::Event(event));
            }
            items.extend(marks.map(|(_, mark)| Item::Mark(mark)));
            Record { base, items, before }
        })
        .collect()
}

/// What is known of a member at one moment.
#[derive(Clone)]
struct Moment {
    entered: u64,
    left: u64,
    began: BTreeSet<u64>,
    acknowledged: u64,
    /// The number of items of the record until then.
    place: usize,
    /// True if the last of them gave a name to a file.
    has_named: bool,
    disk: Arc<States>,
}

/// Places in the records of two members, what was acknowledged until then, and what was begun.
type End = ([usize; MEMBERS], u64, BTreeSet<u64>);

/// Chooses this many, far apart.
fn spread<V>(all: Vec<V>, count: usize) -> impl Iterator<Item = V> {
    let every = all.len().div_ceil(count.max(1)).max(1);
    all.into_iter().step_by(every).take(count)
}

/// The states that the disk of a member can be in at one moment.
struct States {
    /// The hashes of all.
    all: Vec<u64>,
    /// The views that a load has of them.
    views: Vec<u64>,
    /// The hash of the views.
    hash: u64,
}

/// The first promise that is broken.
#[derive(Debug)]
struct Broken(#[allow(dead_code, reason = "it is shown where a test fails")] String);

#[derive(Default)]
struct Campaign {
    mutant: Option<(usize, Mutant)>,
    /// An image of each view, by its hash.
    views: HashMap<u64, Image>,
    /// The result of loading from two views.
    loads: HashMap<(u64, u64), Result<Option<u64>, String>>,
    /// What was checked: the views of two members at two moments, and the promises.
    checked: HashSet<(u64, u64, u64, usize)>,
    /// Distinct joint states; counted where asked for.
    states: HashSet<(u64, u64)>,
    counts: bool,
    /// The joint states to start again in, with what was acknowledged.
    starts: HashMap<(u64, u64), u64>,
}

impl Campaign {
    fn run(&mut self, effort: Effort, work: Work) -> Result<(), Broken> {
        let Effort { limits, restarts, kills } = effort;
        let empty = || SimulatedDisk::new(Image::new());
        let none = (0, BTreeSet::new());
        let (records, ends) = self.job(&[empty(), empty()], 1, &none, limits, work)?;
        let mut job = 1;
        // The members are killed, and their machines go on.
        for (places, acknowledged, began) in spread(ends, kills) {
            job += 1;
            let after = |(record, place): (&Record, usize)| {
                let events = record.items[..place].iter().filter_map(|item| match item {
                    Item::Event(event) => Some(event.clone()),
                    Item::Mark(_) => None,
                });
                SimulatedDisk::after(record.base.clone(), events.collect())
            };
            let disks: Vec<_> = records.iter().zip(places).map(after).collect();
            self.job(&disks, job, &(acknowledged, began), BRIEF, work)?;
        }
        let mut starts: Vec<_> = std::mem::take(&mut self.starts).into_iter().collect();
        starts.sort_unstable();
        for (views, acknowledged) in spread(starts, restarts) {
            job += 1;
            let disks = [views.0, views.1].map(|view| SimulatedDisk::new(self.views[&view].clone()));
            // A load of another state than these would be a mixture.
            let began = BTreeSet::from_iter(self.loads[&views].clone().unwrap_or_default());
            self.job(&disks, job, &(acknowledged, began), BRIEF, work)?;
        }
        Ok(())
    }

    /// Runs one job, and loads from every joint state that it can leave. Returns the records, and
    /// moments that fit together where a member has just given a name.
    fn job(
        &mut self,
        disks: &[Arc<SimulatedDisk>],
        job: u64,
        before: &(u64, BTreeSet<u64>),
        limits: Limits,
        work: Work,
    ) -> Result<(Vec<Record>, Vec<End>), Broken> {
        let records = recorded(disks, self.mutant, job, work);
        // The promises of another job are others.
        self.checked.clear();
        let mut timelines = Vec::new();
        for (rank, record) in records.iter().enumerate() {
            timelines.push(self.timeline(rank, record, before, limits));
        }
        let [first, second] = &timelines[..] else { panic!("two members") };
        let mut ends = HashMap::new();
        for one in first {
            for two in second {
                if one.left <= two.entered && two.left <= one.entered {
                    self.check(one, two)?;
                    let began = one.began.union(&two.began).copied().collect();
                    let end = ([one.place, two.place], one.acknowledged.max(two.acknowledged), began);
                    // Of each such moment of one member, the latest of the other.
                    for (rank, moment) in [one, two].into_iter().enumerate() {
                        if moment.has_named {
                            ends.insert((rank, moment.place), end.clone());
                        }
                    }
                }
            }
        }
        let mut ends: Vec<_> = ends.into_iter().collect();
        ends.sort_unstable();
        Ok((records, ends.into_iter().map(|(_, end)| end).collect()))
    }

    fn timeline(
        &mut self,
        rank: usize,
        record: &Record,
        before: &(u64, BTreeSet<u64>),
        limits: Limits,
    ) -> Vec<Moment> {
        let mut cut = Cut::new(&record.base);
        let mut random = Random(7);
        let disk = self.states_of(rank, &cut, limits, &mut random);
        let (acknowledged, began) = before.clone();
        let (entered, left, place, has_named) = (0, 0, 0, false);
        let mut moment = Moment { entered, left, began, acknowledged, place, has_named, disk };
        let mut moments = Vec::new();
        let mut items = record.items.iter().peekable();
        let mut events = 0;
        while let Some(item) = items.next() {
            moment.place += 1;
            moment.has_named = matches!(item, Item::Event(Event::Rename { .. }));
            match item {
                Item::Mark(Mark::Enters) => moment.entered += 1,
                Item::Mark(Mark::Leaves) => moment.left += 1,
                Item::Mark(Mark::Began(state)) => drop(moment.began.insert(*state)),
                Item::Mark(Mark::Acknowledged(state)) => {
                    moment.acknowledged = moment.acknowledged.max(*state)
                }
                Item::Event(event) => {
                    let is_changed = cut.advance(event);
                    events += 1;
                    if events < record.before {
                        continue;
                    }
                    // Between two pieces of a file that has no name yet, a load sees no difference.
                    let goes_on = matches!(event, Event::Write { .. })
                        && matches!(items.peek(), Some(Item::Event(Event::Write { .. })));
                    if is_changed && (self.counts || !goes_on) {
                        moment.disk = self.states_of(rank, &cut, limits, &mut random);
                    }
                }
            }
            moments.push(moment.clone());
        }
        moments
    }

    fn states_of(&mut self, rank: usize, cut: &Cut, limits: Limits, random: &mut Random) -> Arc<States> {
        let (mut all, mut views) = (BTreeSet::new(), BTreeSet::new());
        cut.states(limits, random, |image| {
            if all.insert(image.hash()) {
                let view = view_of(rank, &image);
                views.insert(view);
                self.views.entry(view).or_insert(image);
            }
        });
        let hash = hash_of(&views);
        Arc::new(States { all: all.into_iter().collect(), views: views.into_iter().collect(), hash })
    }

    fn check(&mut self, one: &Moment, two: &Moment) -> Result<(), Broken> {
        let acknowledged = one.acknowledged.max(two.acknowledged);
        if self.counts && self.states.len() < COUNTED {
            for state in &one.disk.all {
                self.states.extend(two.disk.all.iter().map(|other| (*state, *other)));
            }
        }
        let began = one.began.len().max(two.began.len());
        if !self.checked.insert((one.disk.hash, two.disk.hash, acknowledged, began)) {
            return Ok(());
        }
        let (first, second) = (&one.disk.views, &two.disk.views);
        for pair in first.iter().flat_map(|view| second.iter().map(move |other| (*view, *other))) {
            let loaded = match self.loads.get(&pair) {
                Some(loaded) => loaded.clone(),
                None => {
                    let loaded = load([pair.0, pair.1].map(|view| self.views[&view].clone()), self.mutant);
                    self.loads.insert(pair, loaded.clone());
                    loaded
                }
            };
            let state = match &loaded {
                Ok(state) => state.unwrap_or(0),
                Err(why) => return Err(Broken(format!("{why}; {acknowledged} was acknowledged"))),
            };
            if state < acknowledged {
                return Err(Broken(format!("{state} is loaded, though {acknowledged} was acknowledged")));
            }
            if state > 0 && !one.began.contains(&state) && !two.began.contains(&state) {
                return Err(Broken(format!("{state} is loaded, and was never saved")));
            }
            let start = self.starts.entry(pair).or_default();
            *start = (*start).max(acknowledged);
        }
        Ok(())
    }
}

/// The hash of what a load can see: the generations, their content, and their directories.
fn view_of(rank: usize, image: &Image) -> u64 {
    let directories = [PATH.to_owned(), format!("{PATH}/ranks/{rank:06}")];
    let seen = directories.map(|directory| {
        let Ok(names) = image.find(Path::new(&directory)).and_then(|inode| image.names(inode).cloned())
        else {
            return Vec::new();
        };
        names
            .iter()
            .filter_map(|(name, inode)| {
                // A load looks only if the mark is there.
                if AsRef::<str>::as_ref(name) == ACCEPTED {
                    return Some((None, 0));
                }
                let generation = generation_of(name.as_ref().as_ref())?;
                Some((Some(generation), image.file(*inode).ok()?.hash))
            })
            .collect::<Vec<_>>()
    });
    // Equal disks of two members are two views.
    hash_of(&(rank, seen))
}

/// Loads by the real code. All members must find the same.
fn load(images: [Image; MEMBERS], mutant: Option<(usize, Mutant)>) -> Result<Option<u64>, String> {
    let disks = images.map(SimulatedDisk::new);
    let loaded = on_disks(&disks, mutant, 1, |_, group| {
        group.and_then(|mut group| group.load()).map_err(|error| error.to_string())
    });
    let mut loaded = loaded.into_iter().map(|(loaded, _)| loaded);
    let (first, second) = (loaded.next().unwrap()?, loaded.next().unwrap()?);
    if first != second {
        return Err(format!("the members load {first:?} and {second:?}"));
    }
    Ok(first)
}

#[test]
fn a_power_cut_of_any_member_loses_no_group_save() {
    for work in [work as Work, work_in_background] {
        let mut campaign = Campaign::default();
        campaign.run(SHORT, work).unwrap();
        println!("{} views, {} loads", campaign.views.len(), campaign.loads.len());
        assert!(campaign.loads.len() > 20, "{}", campaign.loads.len());
    }
}

#[test]
#[ignore = "takes minutes without optimisation: cargo test --release -p checkpointed-core --all-features --lib groups -- --ignored --nocapture"]
fn no_group_save_is_lost_in_a_million_joint_states() {
    let (mut states, mut loads) = (0, 0);
    for work in [work as Work, work_in_background] {
        let mut campaign = Campaign { counts: true, ..Campaign::default() };
        campaign.run(FULL, work).unwrap();
        // Each attempt has a name of its own, so no two campaigns share a state.
        states += campaign.states.len();
        loads += campaign.loads.len();
    }
    println!("at least {states} distinct joint states, {loads} of them differ in what a load can see");
    assert!(states >= 1_000_000, "{states}");
}

/// The part of a member counts only once its table is there, and the table comes when all parts are
/// durable. So it does no harm if a part has its name a moment before its data is durable.
const HARMLESS: [(usize, Mutant); 1] = [(1, Mutant::FileSyncedAfterPublishing)];

#[test]
fn a_fault_on_any_member_is_found_by_the_simulation() {
    let mutants = [
        Mutant::FileNotSynced,
        Mutant::DirectoryNotSynced,
        Mutant::DirectoriesAboveNotSynced,
        Mutant::DirectoryNotSyncedAtStart,
        Mutant::FileSyncedAfterPublishing,
        Mutant::DirectorySyncedBeforePublishing,
        Mutant::RemovedBeforePublishing,
    ];
    let mut missed: Vec<(usize, Mutant)> = Vec::new();
    for mutant in mutants {
        for rank in (0..MEMBERS).filter(|rank| !HARMLESS.contains(&(*rank, mutant))) {
            let hunt = |kills| {
                let mut campaign = Campaign { mutant: Some((rank, mutant)), ..Campaign::default() };
                campaign.run(Effort { limits: BRIEF, restarts: 0, kills }, work_in_background)
            };
            match hunt(0).and_then(|()| hunt(40)) {
                Err(broken) => println!("{mutant:?} on rank {rank}: {broken:?}"),
                Ok(()) => missed.push((rank, mutant)),
            }
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
