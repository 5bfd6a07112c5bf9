//! The protocol of a save as a state machine: every order of the members' steps, with a kill of any
//! member and a power cut of any machine in each state.
//!
//! The members are machines with a directory each. A step creates a name, syncs it, enters or
//! leaves a gather, or removes names. A load must find at least the acknowledged generation, and
//! never a mixture. [`Mutant`]s are protocols with a fault: they test the model itself.

use std::collections::{BTreeSet, HashSet, VecDeque};

/// The number of newest generations that stay.
const KEEP: u8 = 1;

/// A fault of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    /// Rank 0 publishes the table before it knows of the parts of the others.
    TableBeforeGather,
    PartNotSynced,
    TableNotSynced,
    /// A restart does not sync the names that it finds.
    NotSyncedAtStart,
    RetiredBeforeTable,
    /// The old parts go when all new parts are there, and not when the table is.
    RetiredAfterParts,
    AcknowledgedBeforeTable,
    /// Each member counts its own numbers.
    OwnNumbers,
    /// Each member loads its own newest part.
    OwnNewest,
    /// Each member counts its own numbers, and parts do not name their attempt.
    NoAttempt,
    /// A member that failed says that it did not.
    ErrorSwallowed,
    /// After an unknown outcome of the table, its parts are removed.
    TakenBackThoughUnknown,
}

/// These break a promise, and are found.
const HARMFUL: [Mutant; 10] = [
    Mutant::PartNotSynced,
    Mutant::TableNotSynced,
    Mutant::NotSyncedAtStart,
    Mutant::RetiredBeforeTable,
    Mutant::RetiredAfterParts,
    Mutant::AcknowledgedBeforeTable,
    Mutant::OwnNumbers,
    Mutant::OwnNewest,
    Mutant::NoAttempt,
    Mutant::ErrorSwallowed,
];

/// These lose nothing that was acknowledged: a table without all of its parts is passed over as
/// damaged, and the one before it is there until the next is acknowledged. The real protocol does
/// neither: such a table is a warning for the user, and parts may be loaded if their table exists.
const HARMLESS: [Mutant; 2] = [Mutant::TableBeforeGather, Mutant::TakenBackThoughUnknown];

/// A file with its name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Named {
    generation: u8,
    attempt: u8,
    /// True if the name survives a power cut.
    is_durable: bool,
}

/// The place of a member in a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Idle,
    Write,
    Sync,
    EnterGather,
    LeaveGather,
    /// Rank 0 syncs the name of the table.
    SyncTable,
    AwaitVerdict,
    Retire,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Member {
    at: At,
    /// The number of its part.
    generation: u8,
    has_failed: bool,
    is_dead: bool,
}

impl Member {
    const IDLE: Member = Member { at: At::Idle, generation: 0, has_failed: false, is_dead: false };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Verdict {
    Accepted,
    Refused,
    /// The table may exist.
    Unknown,
}

/// A state of all machines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    members: Vec<Member>,
    parts: Vec<BTreeSet<Named>>,
    tables: BTreeSet<Named>,
    /// The present attempt, and its number.
    attempt: u8,
    number: u8,
    /// The word of each member in the gather.
    gathered: Vec<Option<bool>>,
    verdict: Option<Verdict>,
    acknowledged: u8,
    saves: u8,
    errors: u8,
}

/// The result of a load.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loaded {
    Nothing,
    Generation(u8),
    Mixture,
}

/// The size of an exploration.
#[derive(Clone, Copy)]
struct Size {
    members: usize,
    saves: u8,
    errors: u8,
}

struct Model {
    mutant: Option<Mutant>,
    size: Size,
}

fn synced(names: &BTreeSet<Named>) -> BTreeSet<Named> {
    names.iter().map(|name| Named { is_durable: true, ..name.clone() }).collect()
}

impl World {
    fn new(members: usize) -> World {
        World {
            members: vec![Member::IDLE; members],
            parts: vec![BTreeSet::new(); members],
            tables: BTreeSet::new(),
            attempt: 0,
            number: 0,
            gathered: vec![None; members],
            verdict: None,
            acknowledged: 0,
            saves: 0,
            errors: 0,
        }
    }

    fn highest(&self) -> u8 {
        let names = self.parts.iter().flatten().chain(&self.tables);
        names.map(|name| name.generation).max().unwrap_or(0).max(self.number)
    }

    /// The states that a power cut may leave: each name that is not durable is there or not.
    fn after_power_cut(&self) -> impl Iterator<Item = World> {
        let volatile: usize =
            self.parts.iter().chain([&self.tables]).flatten().filter(|name| !name.is_durable).count();
        (0_u32..1 << volatile).map(move |lost| {
            let mut place = 0;
            let mut stays = |name: &Named| {
                place += u32::from(!name.is_durable);
                name.is_durable || lost >> (place - 1) & 1 == 0
            };
            let mut world = self.clone();
            world.parts.iter_mut().for_each(|names| names.retain(&mut stays));
            world.tables.retain(&mut stays);
            world
        })
    }
}

impl Model {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn load(&self, world: &World) -> Loaded {
        if self.is(Mutant::OwnNewest) {
            let newest: Vec<_> = world
                .parts
                .iter()
                .map(|parts| parts.iter().map(|part| (part.generation, part.attempt)).max())
                .collect();
            return match newest[0] {
                _ if newest.windows(2).any(|two| two[0] != two[1]) => Loaded::Mixture,
                Some((generation, _)) => Loaded::Generation(generation),
                None => Loaded::Nothing,
            };
        }
        let has = |parts: &BTreeSet<Named>, table: &Named, by_attempt: bool| {
            parts.iter().any(|part| {
                part.generation == table.generation && (!by_attempt || part.attempt == table.attempt)
            })
        };
        let by_attempt = !self.is(Mutant::NoAttempt);
        let is_whole = |table: &&Named| world.parts.iter().all(|parts| has(parts, table, by_attempt));
        match world.tables.iter().rfind(is_whole) {
            None => Loaded::Nothing,
            Some(table) if world.parts.iter().all(|parts| has(parts, table, true)) => {
                Loaded::Generation(table.generation)
            }
            Some(_) => Loaded::Mixture,
        }
    }

    /// Checks what a load finds after a kill, and after each power cut.
    fn check(&self, world: &World) -> Result<(), String> {
        for left in world.after_power_cut() {
            match self.load(&left) {
                Loaded::Generation(generation) if generation >= world.acknowledged => {}
                Loaded::Nothing if world.acknowledged == 0 => {}
                loaded => {
                    let acknowledged = world.acknowledged;
                    return Err(format!("{loaded:?}, though {acknowledged} was acknowledged: {left:?}"));
                }
            }
        }
        Ok(())
    }

    /// The states after one step of one member.
    fn next(&self, world: &World) -> Vec<World> {
        let mut next = Vec::new();
        if world.saves < self.size.saves {
            if world.members.iter().all(|member| member.at == At::Idle && !member.is_dead) {
                next.push(self.begun(world));
            }
            if world.members.iter().any(|member| member.is_dead) {
                next.extend([false, true].map(|is_cut| self.restarted(world, is_cut)));
            }
        }
        for (rank, member) in world.members.iter().enumerate().filter(|(_, member)| !member.is_dead) {
            if member.at != At::Idle {
                let mut killed = world.clone();
                killed.members[rank].is_dead = true;
                next.push(killed);
            }
            self.step(world, rank, &mut next);
        }
        next
    }

    /// A save begins: the number and the attempt are agreed.
    fn begun(&self, world: &World) -> World {
        let mut next = World { saves: world.saves + 1, attempt: world.attempt + 1, ..world.clone() };
        next.number = world.highest() + 1;
        (next.gathered, next.verdict) = (vec![None; self.size.members], None);
        let has_own_numbers = self.is(Mutant::OwnNumbers) || self.is(Mutant::NoAttempt);
        for (member, parts) in next.members.iter_mut().zip(&world.parts) {
            let own = parts.iter().map(|part| part.generation).max().unwrap_or(0) + 1;
            let generation = if has_own_numbers { own } else { next.number };
            *member = Member { at: At::Write, generation, ..Member::IDLE };
        }
        if has_own_numbers {
            next.number = next.members[0].generation;
        }
        next
    }

    /// All members start again, after a kill or a power cut. What they load counts from then on: a
    /// program may have published its results.
    fn restarted(&self, world: &World, is_cut: bool) -> World {
        let mut next = World { number: 0, verdict: None, ..world.clone() };
        (next.gathered, next.members) =
            (vec![None; self.size.members], vec![Member::IDLE; self.size.members]);
        for names in next.parts.iter_mut().chain([&mut next.tables]) {
            names.retain(|name| !is_cut || name.is_durable);
            if !self.is(Mutant::NotSyncedAtStart) {
                *names = synced(names);
            }
        }
        if let Loaded::Generation(generation) = self.load(&next) {
            next.acknowledged = generation;
        }
        next
    }

    fn step(&self, world: &World, rank: usize, states: &mut Vec<World>) {
        let generation = world.members[rank].generation;
        let has_failed = world.members[rank].has_failed;
        let mut next = world.clone();
        let is_old = |name: &Named, newest: u8| name.generation + KEEP <= newest;
        match world.members[rank].at {
            At::Idle => return,
            At::Write => {
                if world.errors < self.size.errors {
                    let mut failed = World { errors: world.errors + 1, ..world.clone() };
                    (failed.members[rank].has_failed, failed.members[rank].at) = (true, At::EnterGather);
                    states.push(failed);
                }
                let is_taken = world.parts[rank].iter().any(|part| part.generation == generation);
                (next.members[rank].has_failed, next.members[rank].at) =
                    if is_taken { (true, At::EnterGather) } else { (false, At::Sync) };
                if !is_taken {
                    let attempt = world.attempt;
                    next.parts[rank].insert(Named { generation, attempt, is_durable: false });
                }
                if self.is(Mutant::RetiredBeforeTable) {
                    next.parts[rank].retain(|part| !is_old(part, generation));
                }
                if self.is(Mutant::TableBeforeGather) && rank == 0 {
                    let (generation, attempt) = (world.number, world.attempt);
                    next.tables.insert(Named { generation, attempt, is_durable: true });
                }
            }
            At::Sync => {
                if !self.is(Mutant::PartNotSynced) {
                    next.parts[rank] = synced(&next.parts[rank]);
                }
                next.members[rank].at = At::EnterGather;
            }
            At::EnterGather => {
                next.gathered[rank] = Some(!has_failed || self.is(Mutant::ErrorSwallowed));
                next.members[rank].at = At::LeaveGather;
            }
            At::LeaveGather => {
                if world.gathered.iter().any(Option::is_none) {
                    return;
                }
                let all_wrote = world.gathered.iter().all(|wrote| *wrote == Some(true));
                if self.is(Mutant::RetiredAfterParts) && all_wrote {
                    next.parts[rank].retain(|part| !is_old(part, generation));
                }
                next.members[rank].at = At::AwaitVerdict;
                match (rank, all_wrote) {
                    (0, false) => next.verdict = Some(Verdict::Refused),
                    (0, true) => {
                        if world.errors < self.size.errors {
                            let mut failed = World { errors: world.errors + 1, ..next.clone() };
                            failed.verdict = Some(Verdict::Refused);
                            states.push(failed);
                        }
                        let (generation, attempt) = (world.number, world.attempt);
                        next.tables.insert(Named { generation, attempt, is_durable: false });
                        next.members[rank].at = At::SyncTable;
                    }
                    (_, true) if self.is(Mutant::AcknowledgedBeforeTable) => {
                        next.acknowledged = next.acknowledged.max(world.number);
                        next.members[rank].at = At::Retire;
                    }
                    _ => {}
                }
            }
            At::SyncTable => {
                next.members[rank].at = At::AwaitVerdict;
                if world.errors < self.size.errors {
                    let mut failed = World { errors: world.errors + 1, ..next.clone() };
                    failed.verdict = Some(Verdict::Unknown);
                    states.push(failed);
                }
                if !self.is(Mutant::TableNotSynced) {
                    next.tables = synced(&next.tables);
                }
                next.verdict = Some(Verdict::Accepted);
            }
            At::AwaitVerdict => {
                let Some(verdict) = world.verdict else { return };
                next.members[rank].at = if verdict == Verdict::Accepted { At::Retire } else { At::Idle };
                match verdict {
                    Verdict::Accepted => next.acknowledged = next.acknowledged.max(world.number),
                    Verdict::Unknown if !self.is(Mutant::TakenBackThoughUnknown) => {}
                    _ => {
                        let attempt = world.attempt;
                        next.parts[rank]
                            .retain(|part| part.generation != generation || part.attempt != attempt);
                    }
                }
            }
            At::Retire => {
                if rank == 0 {
                    next.tables.retain(|table| !is_old(table, world.number));
                }
                next.parts[rank].retain(|part| !is_old(part, world.number));
                next.members[rank].at = At::Idle;
            }
        }
        states.push(next);
    }

    /// Tries all orders. Returns the number of states, and the first promise that is broken.
    fn explore(&self) -> (usize, Option<String>) {
        let first = World::new(self.size.members);
        let (mut seen, mut to_do) = (HashSet::from([first.clone()]), VecDeque::from([first]));
        while let Some(world) = to_do.pop_front() {
            if let Err(why) = self.check(&world) {
                return (seen.len(), Some(why));
            }
            for next in self.next(&world) {
                if seen.insert(next.clone()) {
                    to_do.push_back(next);
                }
            }
        }
        (seen.len(), None)
    }
}

/// Fewer without optimisation.
const SAVES: u8 = if cfg!(debug_assertions) { 2 } else { 3 };

#[test]
fn no_order_of_the_members_loses_an_acknowledged_save() {
    for size in [Size { members: 2, saves: 3, errors: 1 }, Size { members: 3, saves: SAVES, errors: 1 }] {
        let (states, broken) = Model { mutant: None, size }.explore();
        println!("{} members, {} saves: {states} states", size.members, size.saves);
        assert_eq!(broken, None);
        assert!(states > 10_000, "{states}");
    }
}

#[test]
fn every_fault_of_the_group_protocol_is_found() {
    let size = Size { members: 2, saves: 3, errors: 1 };
    let found = |mutant| Model { mutant: Some(mutant), size }.explore().1;
    for mutant in HARMFUL {
        let broken = found(mutant);
        println!("{mutant:?}: {broken:?}");
        assert!(broken.is_some(), "{mutant:?} is not found");
    }
    for mutant in HARMLESS {
        assert_eq!(found(mutant), None, "{mutant:?} does harm");
    }
}
