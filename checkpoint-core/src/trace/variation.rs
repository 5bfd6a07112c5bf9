//! The combinations of choices that are tried while a type refuses its values.
//!
//! First all choices of one kind are changed at once: types that hold a date, or the parts of a
//! matrix, accept values that go together. Then each choice is changed by itself, and then the last
//! few in all combinations.

use super::graph::{Graph, SlotId};
use crate::base::limits::{TRACED_COMBINATIONS, TRACED_VALUES_COMBINED};

/// A choice that was made for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) slot: SlotId,
    /// The number of choices.
    pub(super) choices: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A value without parts.
    Leaf,
    /// The number of elements.
    Count {
        /// True if something in them is unknown.
        is_eager: bool,
    },
    /// The variant of an enum.
    Variant,
}

/// The choices of all leaves, all counts and all variants.
const TOGETHER: [(usize, usize, usize); 9] =
    [(1, 0, 0), (0, 1, 0), (1, 1, 0), (2, 0, 0), (0, 0, 1), (1, 0, 1), (2, 1, 0), (1, 1, 1), (0, 2, 0)];

/// The choices of all others while one is changed.
const BASES: [(usize, usize, usize); 3] = [(0, 0, 0), (1, 0, 0), (1, 1, 0)];

/// Keeps the types around from changing these choices.
pub(super) fn fix(graph: &mut Graph, given: &[Given]) {
    for choice in given {
        graph.slots[choice.slot].fixed = true;
    }
}

/// Sets the choices to the combination of this number, counted from 1. If there is none, it returns
/// `false` and sets them as at first.
pub(super) fn next(graph: &mut Graph, given: &[Given], number: u32) -> bool {
    let mut varied: Vec<Given> = Vec::new();
    for choice in given.iter().rev() {
        let is_known = |known: &Given| (known.slot, known.kind) == (choice.slot, choice.kind);
        if choice.choices > 1 && !graph.slots[choice.slot].fixed && !varied.iter().any(is_known) {
            varied.push(*choice);
        }
    }
    // Variants and counts decide what is read. If leaves came first, they would be other ones each
    // time.
    varied.sort_by_key(|choice| match choice.kind {
        Kind::Variant => 0,
        Kind::Count { .. } => 1,
        Kind::Leaf => 2,
    });
    // The first try was made before any choice was changed.
    let found =
        number <= TRACED_COMBINATIONS && !varied.is_empty() && set(graph, &varied, number as usize - 1);
    if !found {
        all(graph, &varied, (0, 0, 0));
    }
    found
}

fn set(graph: &mut Graph, varied: &[Given], mut number: usize) -> bool {
    if let Some(together) = TOGETHER.get(number) {
        all(graph, varied, *together);
        return true;
    }
    number -= TOGETHER.len();
    for base in BASES {
        for choice in varied {
            if number < choice.choices {
                all(graph, varied, base);
                put(graph, choice, number);
                return true;
            }
            number -= choice.choices;
        }
    }
    all(graph, varied, (0, 0, 0));
    for choice in varied.iter().filter(|choice| choice.kind == Kind::Leaf).take(TRACED_VALUES_COMBINED) {
        put(graph, choice, number % choice.choices);
        number /= choice.choices;
    }
    number == 0
}

fn all(graph: &mut Graph, varied: &[Given], (leaf, count, variant): (usize, usize, usize)) {
    for choice in varied {
        let wanted = match choice.kind {
            Kind::Leaf => leaf,
            Kind::Count { .. } => count,
            Kind::Variant => variant,
        };
        put(graph, choice, wanted.min(choice.choices - 1));
    }
}

fn put(graph: &mut Graph, choice: &Given, value: usize) {
    let slot = &mut graph.slots[choice.slot];
    match choice.kind {
        Kind::Count { is_eager: true } => slot.eager = value,
        _ => slot.sample = value,
    }
}
