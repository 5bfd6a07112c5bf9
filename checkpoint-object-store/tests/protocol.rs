//! The protocol of claims as a state machine: every interleaving of up to three runs, each of which
//! may stop for ever at any point, and whose saves may land late. Each rule that is left out loses
//! an acknowledged save.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashSet, VecDeque};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Rule {
    /// All rules are kept.
    All,
    /// Look for a higher claim after each save.
    LookAfterSave,
    /// Claim before loading.
    ClaimBeforeLoad,
    /// The highest claim is never removed.
    KeepHighestClaim,
    /// A server refuses to create what exists.
    Condition,
    /// A name has the epoch of its run.
    EpochInName,
    /// A run claims again after a save with an unknown outcome, and writes its number down.
    ClaimAgain,
    /// A run that claimed again looks for a higher claim before it uses its new epoch.
    LookAfterClaim,
}

/// An object: its number, then its epoch.
type Key = (u8, u8);

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Run {
    step: Step,
    epoch: u8,
    seen: u8,
    lineage: u32,
    number: u8,
    /// The highest number that a later run knows of.
    known: u8,
    saves: u8,
    listing: Vec<Key>,
    loaded: Option<(u32, u8)>,
    /// An object on its way, whose outcome the run no longer waits for.
    late: Option<(Key, u32)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
enum Step {
    #[default]
    List,
    Claim,
    Load,
    Save,
    ClaimAgain,
    LookAgain,
    Look,
    Retire,
    Stopped,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    /// The numbers that the claims tell of.
    claims: BTreeMap<u8, u8>,
    objects: BTreeMap<Key, u32>,
    runs: Vec<Run>,
    acknowledged: u32,
    next_bit: u8,
}

impl World {
    fn newest(&self) -> (u32, u8) {
        self.objects.last_key_value().map_or((0, 0), |((number, _), lineage)| (*lineage, *number))
    }

    fn top(&self) -> u8 {
        self.claims.last_key_value().map_or(0, |(claim, _)| *claim)
    }

    /// The worlds after one more step of one run.
    fn next(&self, without: Rule, most: u8) -> Vec<World> {
        let mut next = Vec::new();
        for place in 0..self.runs.len() {
            let run = &self.runs[place];
            let mut world = self.clone();
            if let Some((key, lineage)) = run.late {
                let mut landed = self.clone();
                landed.runs[place].late = None;
                landed.objects.insert(key, lineage);
                next.push(landed);
            }
            if run.step != Step::List && run.step != Step::Stopped {
                let mut stopped = self.clone();
                stopped.runs[place].step = Step::Stopped;
                stopped.runs[place].listing.clear();
                next.push(stopped);
            }
            let top = self.top();
            let after = &mut world.runs[place];
            match run.step {
                Step::List => {
                    after.seen = top;
                    after.step = Step::Claim;
                    if without == Rule::ClaimBeforeLoad {
                        after.loaded = Some(self.newest());
                    }
                }
                Step::Claim => {
                    let epoch = run.seen + 1;
                    let told = self.claims.get(&run.seen).copied().unwrap_or(0).max(self.newest().1);
                    if self.claims.contains_key(&epoch) && without != Rule::Condition {
                        after.step = Step::List;
                    } else {
                        (after.epoch, after.known, after.step) = (epoch, told, Step::Load);
                        world.claims.insert(epoch, told);
                    }
                }
                Step::Load if top > run.epoch => after.step = Step::Stopped,
                Step::Load => {
                    let (lineage, number) = run.loaded.unwrap_or(self.newest());
                    after.lineage = lineage;
                    after.number = number.max(run.known);
                    after.known = after.number;
                    (after.loaded, after.step) = (None, Step::Save);
                }
                Step::Save if run.saves == most => continue,
                Step::Save => {
                    let number = run.number + 1;
                    if number > run.known + 1 && without != Rule::ClaimAgain {
                        // The save before had an unknown outcome.
                        after.step = if top > run.epoch { Step::Stopped } else { Step::ClaimAgain };
                        next.push(world);
                        continue;
                    }
                    let lineage = run.lineage | 1 << self.next_bit;
                    let epoch = if without == Rule::EpochInName { 0 } else { run.epoch };
                    let object = ((number, epoch), lineage);
                    world.next_bit += 1;
                    (after.saves, after.number, after.lineage) = (run.saves + 1, number, lineage);
                    if run.late.is_none() && without != Rule::EpochInName {
                        // The outcome is unknown: the run goes on, and the object lands later.
                        let mut unclear = world.clone();
                        unclear.runs[place].late = Some(object);
                        next.push(unclear);
                    }
                    world.runs[place].step = Step::Look;
                    world.objects.insert(object.0, object.1);
                }
                Step::ClaimAgain => {
                    // Others may have claimed, and removed claims, since the listing.
                    let epoch = run.epoch + 1;
                    if self.claims.contains_key(&epoch) {
                        after.step = Step::Stopped;
                    } else {
                        (after.epoch, after.known, after.step) = (epoch, run.number, Step::LookAgain);
                        world.claims.insert(epoch, run.number);
                    }
                }
                Step::LookAgain if top > run.epoch && without != Rule::LookAfterClaim => {
                    after.step = Step::Stopped;
                }
                Step::LookAgain => after.step = Step::Save,
                Step::Look if top > run.epoch && without != Rule::LookAfterSave => after.step = Step::Stopped,
                Step::Look => {
                    after.known = run.number;
                    after.listing = self.objects.keys().copied().collect();
                    after.step = Step::Retire;
                    world.acknowledged |= 1 << (31 - run.lineage.leading_zeros());
                }
                Step::Retire => {
                    let keep = run.listing.last().copied();
                    let old = run.listing.iter().filter(|key| Some(**key) != keep);
                    for key in old {
                        world.objects.remove(key);
                    }
                    let epoch = run.epoch;
                    let all = without == Rule::KeepHighestClaim;
                    world.claims.retain(|claim, _| if all { *claim > epoch } else { *claim >= epoch });
                    world.runs[place].listing.clear();
                    world.runs[place].step = Step::Save;
                }
                Step::Stopped => continue,
            }
            next.push(world);
        }
        next
    }
}

/// The number of worlds, and the first in which an acknowledged save is not in what a load gives.
fn explore(runs: usize, saves: u8, without: Rule) -> (usize, Option<World>) {
    let first = World {
        claims: BTreeMap::new(),
        objects: BTreeMap::new(),
        runs: vec![Run::default(); runs],
        acknowledged: 0,
        next_bit: 0,
    };
    let (mut seen, mut to_do) = (HashSet::from([first.clone()]), VecDeque::from([first]));
    while let Some(world) = to_do.pop_front() {
        if world.acknowledged & !world.newest().0 != 0 {
            return (seen.len(), Some(world));
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
fn no_acknowledged_save_is_lost_in_any_interleaving() {
    for (runs, saves, least) in [(2, 3, 1_000), (3, 1, 10_000)] {
        let (worlds, lost) = explore(runs, saves, Rule::All);
        assert!(lost.is_none(), "{lost:?}");
        assert!(worlds > least, "{worlds}");
    }
}

#[test]
fn each_rule_that_is_left_out_loses_a_save() {
    for rule in [
        Rule::LookAfterSave,
        Rule::ClaimBeforeLoad,
        Rule::KeepHighestClaim,
        Rule::Condition,
        Rule::EpochInName,
        Rule::ClaimAgain,
        Rule::LookAfterClaim,
    ] {
        let lost = explore(2, 3, rule).1.or_else(|| explore(3, 1, rule).1).or_else(|| explore(3, 2, rule).1);
        assert!(lost.is_some(), "{rule:?}");
    }
}
