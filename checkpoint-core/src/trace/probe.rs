//! Probes: passes with other data, made when nothing else is left to be found out.
//!
//! A type may read a number after one tag and a text after another. The passes so far have given it
//! one of the two. A probe gives one slot another value, for every choice that there is. If the
//! type then asks for something else, that part has no single form, and becomes opaque. A refusal
//! teaches nothing here: the type accepted the values before.
//!
//! The type decides while it reads. So such a probe ends before the value that holds the slot is
//! made: a constructor never sees the odd value, and cannot loop or panic on it. A tag of several
//! parts is only seen whole. For these come probes that do not end early, without zeros and only
//! where a panic is caught: again one slot after the other, and then a few that give all slots
//! random values.

use super::graph::{Graph, Shape, SlotId};
use super::sample;
use crate::base::limits::{PROBE_STEPS, PROBES_AT_RANDOM, PROBES_PER_VARIANT};
use crate::schema::Type;

/// Slots with more choices than this are probed by themselves only by probes that end early.
const FEW: usize = 9;

/// The plan of the next probe, and the work that may still be done.
#[derive(Debug)]
pub(super) struct Probes {
    /// True if the probes of one slot end early.
    is_early: bool,
    /// The choice that slots are given by themselves, and the slot that is next.
    choice: usize,
    slot: SlotId,
    random: u32,
    steps_left: u64,
}

/// A pass that gives other data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// Gives one slot one of its choices. An early one ends before the value that holds the slot is
    /// made.
    Slot { slot: SlotId, choice: usize, is_early: bool },
    /// Gives each slot any of its choices; each number gives others.
    Random(u32),
}

impl Probes {
    pub(super) fn new() -> Probes {
        Probes { is_early: true, choice: 0, slot: 0, random: 0, steps_left: PROBE_STEPS }
    }

    pub(super) fn spend(&mut self, steps: u64) {
        self.steps_left = self.steps_left.saturating_sub(steps);
    }

    /// The next probe, if there is one.
    pub(super) fn next(&mut self, graph: &Graph) -> Option<Probe> {
        if self.steps_left == 0 {
            return None;
        }
        if let Some(probe) = self.next_of_one(graph) {
            return Some(probe);
        }
        if cfg!(not(panic = "unwind")) {
            return None;
        }
        if self.is_early {
            (self.is_early, self.choice) = (false, 0);
            return self.next(graph);
        }
        let variants: usize = graph.containers.iter().map(|container| container.variants.len()).sum();
        let variants = u32::try_from(variants).unwrap_or(u32::MAX);
        let random = PROBES_AT_RANDOM.saturating_add(variants.saturating_mul(PROBES_PER_VARIANT));
        (self.random < random).then(|| {
            self.random += 1;
            Probe::Random(self.random)
        })
    }

    fn next_of_one(&mut self, graph: &Graph) -> Option<Probe> {
        let most = if self.is_early { sample::TEXTS.max(sample::BYTES) } else { FEW };
        while self.choice < most {
            while let Some(state) = graph.slots.get(self.slot) {
                let (slot, choice, is_early) = (self.slot, self.choice, self.is_early);
                self.slot += 1;
                let choices = if state.is_one_array() { 0 } else { choices(&state.shape) };
                let is_due = is_early || (choices <= FEW && !is_zero(&state.shape, choice));
                if choice < choices && is_due && !state.dead {
                    return Some(Probe::Slot { slot, choice, is_early });
                }
            }
            self.slot = 0;
            self.choice += 1;
        }
        None
    }
}

impl Probe {
    /// The choice for a slot with so many choices, if this probe decides it.
    pub(super) fn choice(self, slot: SlotId, shape: &Shape, choices: usize) -> Option<usize> {
        match self {
            Probe::Slot { slot: probed, choice, .. } => (probed == slot).then(|| choice.min(choices - 1)),
            Probe::Random(number) => {
                // The finalizer of SplitMix64, so that neighbouring numbers give unrelated choices.
                let seed = ((slot as u64) << 32) | u64::from(number);
                let mut mixed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                let choice = usize::try_from((mixed >> 33) % choices as u64).unwrap_or_default();
                Some(if is_zero(shape, choice) { 0 } else { choice })
            }
        }
    }

    /// The slot that this probe heads for.
    pub(super) fn target(self) -> Option<SlotId> {
        match self {
            Probe::Slot { slot, .. } => Some(slot),
            Probe::Random(_) => None,
        }
    }

    /// True if the pass ends before the value that holds the slot is made.
    pub(super) fn is_early(self) -> bool {
        matches!(self, Probe::Slot { is_early: true, .. })
    }
}

/// True if a choice is a number with which a loop may never end.
fn is_zero(shape: &Shape, choice: usize) -> bool {
    match shape {
        Shape::Leaf(Type::F32 | Type::F64) => sample::FLOATS.get(choice) == Some(&0.0),
        Shape::Leaf(Type::Bool | Type::Char | Type::String | Type::Bytes | Type::Unit) => false,
        Shape::Leaf(_) => sample::INTEGERS.get(choice) == Some(&0),
        _ => false,
    }
}

/// The number of choices of a slot of this shape.
fn choices(shape: &Shape) -> usize {
    match shape {
        Shape::Leaf(ty) => match ty {
            Type::Bool => sample::BOOLS.len(),
            Type::F32 | Type::F64 => sample::FLOATS.len(),
            Type::Char => sample::CHARS.len(),
            Type::String => sample::TEXTS,
            Type::Bytes => sample::BYTES,
            Type::Unit => 0,
            _ => sample::INTEGERS.len(),
        },
        Shape::Option(_) => 2,
        Shape::Seq(_) | Shape::Map(..) => sample::COUNTS,
        _ => 0,
    }
}
