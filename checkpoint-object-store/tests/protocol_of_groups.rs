//! The protocol of groups as a state machine: every interleaving of jobs of two members, each of
//! which may stop for ever at any point, and whose parts and tables may land late. Each rule that
//! is left out loses an acknowledged save, or mixes two.
//!
//! The numbers and claims of the root are those of `protocol.rs`.

#![allow(missing_docs, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

const MEMBERS: usize = 2;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Rule {
    /// All rules are kept.
    All,
    /// Look at the root for a higher claim after the table is written.
    LookAfterTable,
    /// Claim the root before loading.
    ClaimBeforeLoad,
    /// Claim the places of members with the number of the job, and not with numbers of their own.
    NumberOfJob,
    /// A table names the attempt of its parts.
    Attempt,
    /// A run removes no part of a later one.
    OwnEpochs,
}

/// An object: its number, then its epoch.
type Key = (u8, u8);

/// The attempt of a save, and the saves that its state has in it, as bits.
type Saved = (u8, u16);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Object {
    Table(Key, Saved),
    Part(usize, Key, u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Step {
    #[default]
    ListRoot,
    ClaimRoot,
    LookAtRoot,
    ClaimMember(usize),
    Load,
    Begin,
    ClaimAgain,
    LookAgain,
    WritePart(usize),
    WriteTable,
    Look,
    RetireTables,
    ListParts(usize),
    RetireParts(usize),
    Stopped,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Job {
    step: Step,
    seen: u8,
    epoch: u8,
    /// The epochs of its parts.
    of_members: [u8; MEMBERS],
    /// The highest number that a later job knows of.
    known: u8,
    number: u8,
    lineage: u16,
    attempt: u8,
    saves: u8,
    loaded: Option<u16>,
    kept: u8,
    going: BTreeSet<Key>,
    /// An object on its way, whose outcome the job no longer waits for.
    late: Option<Object>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    claims: BTreeMap<u8, u8>,
    of_members: [BTreeSet<u8>; MEMBERS],
    tables: BTreeMap<Key, Saved>,
    parts: [BTreeMap<Key, u8>; MEMBERS],
    jobs: Vec<Job>,
    acknowledged: u16,
    attempts: u8,
}

/// The result of a load.
#[derive(PartialEq, Debug)]
enum Loaded {
    Saved(u16),
    Mixture,
}

fn of_number<V: Copy>(objects: &BTreeMap<Key, V>, number: u8) -> Option<V> {
    objects.range((number, 0)..=(number, u8::MAX)).next_back().map(|(_, value)| *value)
}

impl World {
    /// The newest table whose parts are all there and its own.
    fn load(&self, without: Rule) -> Loaded {
        let numbers: BTreeSet<u8> = self.tables.keys().map(|(number, _)| *number).collect();
        for number in numbers.into_iter().rev() {
            let Some((attempt, lineage)) = of_number(&self.tables, number) else { continue };
            let parts: Vec<_> = self.parts.iter().map(|parts| of_number(parts, number)).collect();
            if parts.iter().all(|part| *part == Some(attempt)) {
                return Loaded::Saved(lineage);
            }
            if without == Rule::Attempt && parts.iter().all(Option::is_some) {
                return Loaded::Mixture;
            }
        }
        Loaded::Saved(0)
    }

    fn top(&self) -> u8 {
        self.claims.last_key_value().map_or(0, |(claim, _)| *claim)
    }

    fn last_table(&self) -> u8 {
        self.tables.last_key_value().map_or(0, |((number, _), _)| *number)
    }

    fn land(&mut self, object: Object) {
        match object {
            Object::Table(key, saved) => drop(self.tables.insert(key, saved)),
            Object::Part(member, key, attempt) => drop(self.parts[member].insert(key, attempt)),
        }
    }

    /// The worlds after one more step of one job.
    fn next(&self, without: Rule, most: u8) -> Vec<World> {
        let mut next = Vec::new();
        for place in 0..self.jobs.len() {
            let job = &self.jobs[place];
            if let Some(object) = job.late {
                let mut landed = self.clone();
                landed.jobs[place].late = None;
                landed.land(object);
                next.push(landed);
            }
            if !matches!(job.step, Step::ListRoot | Step::Stopped) {
                let mut stopped = self.clone();
                stopped.jobs[place] = Job { late: job.late, step: Step::Stopped, ..Job::default() };
                next.push(stopped);
            }
            self.step(place, without, most, &mut next);
        }
        next
    }

    fn step(&self, place: usize, without: Rule, most: u8, next: &mut Vec<World>) {
        let job = &self.jobs[place];
        let mut world = self.clone();
        let after = &mut world.jobs[place];
        let top = self.top();
        let loads = |world: &World| match world.load(without) {
            Loaded::Saved(lineage) => lineage,
            Loaded::Mixture => 0,
        };
        match job.step {
            Step::ListRoot => {
                (after.seen, after.step) = (top, Step::ClaimRoot);
                if without == Rule::ClaimBeforeLoad {
                    after.loaded = Some(loads(self));
                }
            }
            Step::ClaimRoot => {
                let epoch = job.seen + 1;
                if self.claims.contains_key(&epoch) {
                    after.step = Step::ListRoot;
                } else {
                    let told = self.claims.get(&job.seen).copied().unwrap_or(0).max(self.last_table());
                    (after.epoch, after.known, after.step) = (epoch, told, Step::LookAtRoot);
                    world.claims.insert(epoch, told);
                }
            }
            Step::LookAtRoot if top > job.epoch => after.step = Step::Stopped,
            Step::LookAtRoot => {
                after.known = job.known.max(self.last_table());
                (after.number, after.step) = (after.known, Step::ClaimMember(0));
            }
            Step::ClaimMember(member) => {
                let highest = self.of_members[member].last().copied().unwrap_or(0);
                let number = if without == Rule::NumberOfJob { highest + 1 } else { job.epoch };
                if highest >= number {
                    after.step = Step::Stopped;
                } else {
                    after.of_members[member] = number;
                    // It lists them after its claim.
                    let last = self.parts[member].last_key_value().map_or(0, |((number, _), _)| *number);
                    after.number = job.number.max(last);
                    let is_last = member + 1 == MEMBERS;
                    after.step = if is_last { Step::Load } else { Step::ClaimMember(member + 1) };
                    world.of_members[member].insert(number);
                }
            }
            Step::Load => {
                after.lineage = job.loaded.unwrap_or_else(|| loads(self));
                (after.loaded, after.step) = (None, Step::Begin);
            }
            Step::Begin if job.saves == most => return,
            Step::Begin => {
                (after.saves, after.number) = (job.saves + 1, job.number + 1);
                after.lineage |= 1 << self.attempts;
                after.attempt = self.attempts;
                // A number that the root does not know of goes into a claim first.
                let is_known = after.number <= job.known + 1;
                after.step = if is_known { Step::WritePart(0) } else { Step::ClaimAgain };
                world.attempts += 1;
            }
            Step::ClaimAgain => {
                let epoch = top + 1;
                if top > job.epoch {
                    after.step = Step::Stopped;
                } else {
                    (after.epoch, after.known, after.step) = (epoch, job.number - 1, Step::LookAgain);
                    world.claims.insert(epoch, job.number - 1);
                }
            }
            Step::LookAgain if top > job.epoch => after.step = Step::Stopped,
            Step::LookAgain => after.step = Step::WritePart(0),
            Step::WritePart(member) => {
                let object = Object::Part(member, (job.number, job.of_members[member]), job.attempt);
                let is_last = member + 1 == MEMBERS;
                after.step = if is_last { Step::WriteTable } else { Step::WritePart(member + 1) };
                self.lose(place, object, next);
                world.land(object);
            }
            Step::WriteTable => {
                let object = Object::Table((job.number, job.epoch), (job.attempt, job.lineage));
                after.step = Step::Look;
                self.lose(place, object, next);
                world.land(object);
            }
            Step::Look if top > job.epoch && without != Rule::LookAfterTable => after.step = Step::Stopped,
            Step::Look => {
                (after.known, after.kept, after.step) = (job.number, job.number, Step::RetireTables);
                after.going =
                    self.tables.keys().copied().filter(|(number, _)| *number != job.number).collect();
                world.acknowledged |= 1 << job.attempt;
            }
            Step::RetireTables => {
                world.tables.retain(|key, _| !job.going.contains(key));
                let after = &mut world.jobs[place];
                (after.going, after.step) = (BTreeSet::new(), Step::ListParts(0));
            }
            Step::ListParts(member) => {
                // One that was taken over removes nothing.
                let is_taken = self.of_members[member].last() > Some(&job.of_members[member]);
                let goes = |(number, epoch): &Key| {
                    *number != job.kept && *epoch <= job.of_members[member] && !is_taken
                };
                after.going = self.parts[member].keys().copied().filter(goes).collect();
                after.step = Step::RetireParts(member);
            }
            Step::RetireParts(member) => {
                let any = without == Rule::OwnEpochs;
                world.parts[member].retain(|key, _| match any {
                    true => key.0 == job.kept,
                    false => !job.going.contains(key),
                });
                let after = &mut world.jobs[place];
                after.going = BTreeSet::new();
                let is_last = member + 1 == MEMBERS;
                after.step = if is_last { Step::Begin } else { Step::ListParts(member + 1) };
            }
            Step::Stopped => return,
        }
        next.push(world);
    }

    /// The outcome of a write is unknown: the save fails on all members, and the job goes on. The
    /// object lands later, or never.
    fn lose(&self, place: usize, object: Object, next: &mut Vec<World>) {
        if self.jobs[place].late.is_some() {
            return;
        }
        let mut unclear = self.clone();
        let job = &mut unclear.jobs[place];
        (job.late, job.step) = (Some(object), Step::Begin);
        // The parts of a table that may exist stay.
        if matches!(object, Object::Part(..)) {
            for (parts, epoch) in unclear.parts.iter_mut().zip(job.of_members) {
                parts.remove(&(job.number, epoch));
            }
        }
        next.push(unclear);
    }
}

/// The number of worlds, and the first in which a load gives a mixture, or not all that was
/// acknowledged.
fn explore(jobs: usize, saves: u8, without: Rule) -> (usize, Option<World>) {
    let first = World {
        claims: BTreeMap::new(),
        of_members: Default::default(),
        tables: BTreeMap::new(),
        parts: Default::default(),
        jobs: vec![Job::default(); jobs],
        acknowledged: 0,
        attempts: 0,
    };
    let (mut seen, mut to_do) = (HashSet::from([first.clone()]), VecDeque::from([first]));
    while let Some(world) = to_do.pop_front() {
        match world.load(without) {
            Loaded::Saved(lineage) if world.acknowledged & !lineage == 0 => {}
            _ => return (seen.len(), Some(world)),
        }
        for world in world.next(without, saves) {
            if seen.insert(world.clone()) {
                to_do.push_back(world);
            }
        }
    }
    (seen.len(), None)
}

#[test]
fn no_acknowledged_save_of_a_group_is_lost_or_mixed() {
    for (jobs, saves, least) in [(2, 1, 1_000), (2, 2, 10_000)] {
        let (worlds, lost) = explore(jobs, saves, Rule::All);
        assert!(lost.is_none(), "{lost:#?}");
        assert!(worlds > least, "{worlds}");
    }
}

#[test]
fn each_rule_of_a_group_that_is_left_out_loses_or_mixes() {
    for rule in
        [Rule::LookAfterTable, Rule::ClaimBeforeLoad, Rule::NumberOfJob, Rule::Attempt, Rule::OwnEpochs]
    {
        let lost = explore(2, 1, rule).1.or_else(|| explore(2, 2, rule).1);
        assert!(lost.is_some(), "{rule:?}");
    }
}
