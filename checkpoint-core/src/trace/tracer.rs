//! The passes: the way that each takes, and the part to blame when one fails.

use std::any::type_name;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Error, Expected, Unexpected, Visitor};

use super::access::{ByName, Members};
use super::deserializer::Tracing;
use super::graph::{ContainerId, FAR, Form, Graph, NameHunt, Place, ROOT, Shape, SlotId, VariantState};
use super::probe::{Probe, Probes};
use super::progress::Progress;
use super::variation::{self, Given, Kind};
use super::{Traced, sample};
use crate::base::limits::{TRACED_DEPTH, TRACED_DEPTH_IN_FULL, TRACED_RECURSION};
use crate::schema::Type;

/// The reason why a pass ended early.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A field was given twice; its true name.
    Duplicate(&'static str),
    /// A sequence was given to a type that accepts none.
    Sequence,
    Other,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("refused")
    }
}

impl std::error::Error for Refusal {}

impl Error for Refusal {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Refusal::Other
    }

    fn invalid_type(unexpected: Unexpected<'_>, _: &dyn Expected) -> Self {
        if unexpected == Unexpected::Seq { Refusal::Sequence } else { Refusal::Other }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Refusal::Duplicate(field)
    }
}

pub(super) type Result<T> = std::result::Result<T, Refusal>;

/// The part that failed: its value could not be made.
#[derive(Clone, Copy)]
pub(super) enum Culprit {
    Slot(SlotId),
    Variant(ContainerId, usize),
}

/// The graph, and the pass that is going on.
#[derive(Debug)]
pub(super) struct Tracer {
    pub(super) graph: Graph,
    pub(super) steps_left: u64,
    changes_before: u64,
    steps_before: u64,
    /// The choices made, in order.
    pub(super) given: Vec<Given>,
    /// The slots that are being read, outermost first, each with the length of `given` at its
    /// start.
    active: Vec<(SlotId, usize)>,
    /// The visitors of options, sequences, maps and tuples that are at work.
    pub(super) visitors: Vec<(&'static str, SlotId)>,
    /// The index of the first visitor within the innermost container.
    pub(super) visitors_within: usize,
    /// The number of values being read that are within another one of the same type.
    pub(super) recursion: usize,
    /// True if the failure of this pass has found its cause.
    settled: bool,
    /// The slot of a value that could not end.
    hopeless: Option<SlotId>,
    probes: Probes,
    /// The probe of this pass, if nothing else was left to be found out.
    probe: Option<Probe>,
    /// True if the probe's own slot has got its value.
    is_probed: bool,
    /// The depth of the value that holds the slot, and is not to be made.
    unmade: Option<usize>,
    progress: Arc<Progress>,
}

impl Tracer {
    pub(super) fn new(root: &'static str, steps: u64, progress: Arc<Progress>) -> Tracer {
        Tracer {
            graph: Graph::new(root),
            steps_left: steps,
            changes_before: 0,
            steps_before: steps,
            given: Vec::new(),
            active: Vec::new(),
            visitors: Vec::new(),
            visitors_within: 0,
            recursion: 0,
            hopeless: None,
            settled: false,
            probes: Probes::new(),
            probe: None,
            is_probed: false,
            unmade: None,
            progress,
        }
    }

    /// Begins a pass, if anything is left to learn and the work allowed is not spent.
    pub(super) fn begin_pass(&mut self) -> bool {
        self.steps_before = self.steps_left;
        self.probe = None;
        self.is_probed = false;
        self.unmade = None;
        self.graph.target = None;
        self.survey();
        if self.graph.slots[ROOT].distance == FAR {
            self.probe = self.probes.next(&self.graph);
            self.graph.target = self.probe.and_then(Probe::target);
            if self.graph.target.is_some() {
                self.survey();
            }
        }
        self.changes_before = self.graph.changes;
        self.given.clear();
        self.active.clear();
        self.visitors.clear();
        self.visitors_within = 0;
        self.recursion = 0;
        self.hopeless = None;
        self.settled = false;
        // A pass that panicked has left them as they were.
        for container in &mut self.graph.containers {
            container.entered = 0;
            container.searched = false;
            container.variants.iter_mut().for_each(|variant| variant.entered = 0);
        }
        self.steps_left > 0 && (self.probe.is_some() || self.graph.slots[ROOT].distance != FAR)
    }

    fn survey(&mut self) {
        let cost = self.graph.survey();
        self.steps_left = self.steps_left.saturating_sub(cost);
    }

    pub(super) fn read_root<'de, S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        self.read(ROOT, seed, false)
    }

    pub(super) fn end_pass(&mut self, panicked: bool) {
        if self.probe.is_some() {
            self.probes.spend(self.steps_before - self.steps_left);
            return;
        }
        if panicked && let Some((slot, mark)) = self.active.last().copied() {
            self.blame(Culprit::Slot(slot), mark, self.graph.changes);
        }
        if self.graph.changes == self.changes_before {
            match self.hopeless {
                Some(slot) if !self.graph.slots[slot].refused => self.graph.slots[slot].refused = true,
                _ => self.graph.abandon(),
            }
        }
    }

    pub(super) fn into_schema(self) -> Traced {
        self.graph.into_schema()
    }

    pub(super) fn read<'de, S: DeserializeSeed<'de>>(
        &mut self,
        slot: SlotId,
        seed: S,
        hurry: bool,
    ) -> Result<S::Value> {
        let known = &mut self.graph.slots[slot];
        if known.type_name.is_empty() {
            known.type_name = type_name::<S::Value>();
        }
        self.nest(slot, hurry, |tracing| seed.deserialize(tracing))
    }

    /// Reads the value of `slot`, and finds the part to blame if that fails.
    pub(super) fn nest<R>(
        &mut self,
        slot: SlotId,
        hurry: bool,
        read: impl FnOnce(Tracing<'_>) -> Result<R>,
    ) -> Result<R> {
        if self.steps_left == 0 {
            return Err(self.stop());
        }
        if self.active.len() >= TRACED_DEPTH {
            return Err(self.give_up());
        }
        self.steps_left -= 1;
        let hurry = hurry || self.active.len() >= TRACED_DEPTH_IN_FULL;
        let (mark, known) = (self.given.len(), self.graph.changes);
        self.active.push((slot, mark));
        self.progress.note(self.graph.slots[slot].type_name);
        let result = read(Tracing { tracer: self, slot, hurry, grid: None });
        self.active.pop();
        // The type around it makes something of the value next.
        self.progress.note(self.active.last().map_or("", |(outer, _)| self.graph.slots[*outer].type_name));
        match result {
            Ok(_) => {
                if self.graph.slots[slot].shape == Shape::Unknown {
                    // It asked for nothing, so it takes no space.
                    self.graph.leaf(slot, Shape::Leaf(Type::Unit));
                }
                if self.graph.slots[slot].tries > 0 && self.probe.is_none() {
                    variation::fix(&mut self.graph, &self.given[mark.min(self.given.len())..]);
                }
            }
            Err(_) => self.blame(Culprit::Slot(slot), mark, known),
        }
        result
    }

    /// Ends the pass for a reason that is no part's fault.
    pub(super) fn stop(&mut self) -> Refusal {
        self.settled = true;
        Refusal::Other
    }

    /// Ends the pass because the value that is being read cannot be completed.
    pub(super) fn give_up(&mut self) -> Refusal {
        self.hopeless = self.active.last().map(|(slot, _)| *slot);
        self.stop()
    }

    /// Blames the innermost thing that failed and was not known to fail: it tries the next
    /// combination of the choices that were made for it, or is refused if that was the last one.
    ///
    /// It is not blamed if the pass has learned something in it: it was given values that teach,
    /// not values that it would accept.
    pub(super) fn blame(&mut self, culprit: Culprit, mark: usize, known: u64) {
        let graph = &mut self.graph;
        let (dead, tries) = match culprit {
            Culprit::Slot(slot) => {
                let slot = &mut graph.slots[slot];
                (slot.dead, &mut slot.tries)
            }
            Culprit::Variant(container, variant) => {
                let variant = &mut graph.containers[container].variants[variant];
                (variant.dead, &mut variant.tries)
            }
        };
        // A refused probe is no part's fault: the type accepted its values before.
        if self.settled || dead || self.probe.is_some() {
            return;
        }
        self.settled = true;
        if graph.changes != known {
            return;
        }
        *tries += 1;
        let tries = *tries;
        graph.changes += 1;
        if variation::next(graph, &self.given[mark.min(self.given.len())..], tries) {
            return;
        }
        match culprit {
            Culprit::Slot(slot) => graph.slots[slot].refused = true,
            Culprit::Variant(container, variant) => {
                graph.containers[container].variants[variant].refused = true;
            }
        }
    }

    /// The present choice of `slot`, less than `choices`.
    pub(super) fn choice(&mut self, slot: SlotId, choices: usize) -> usize {
        if let Some(choice) = self.probed(slot, choices) {
            return choice;
        }
        self.given.push(Given { slot, choices, kind: Kind::Leaf });
        self.graph.slots[slot].sample.min(choices - 1)
    }

    /// The number of elements that a sequence, a map or an option is given, at most `most`. It gets
    /// some while something in them is unknown, or if the type refuses to do without.
    pub(super) fn count(&mut self, slot: SlotId, parts: &[SlotId], most: usize, hurry: bool) -> usize {
        if self.recursion > TRACED_RECURSION || self.active.len() >= TRACED_DEPTH_IN_FULL {
            let slot = &self.graph.slots[slot];
            return if slot.fixed { sample::count(slot.sample).min(most) } else { 0 };
        }
        let is_eager = !hurry && self.graph.nearest(parts) != FAR;
        let choices = sample::COUNTS.min(most + 1);
        if !hurry && let Some(choice) = self.probed(slot, choices) {
            return choice;
        }
        self.given.push(Given { slot, choices, kind: Kind::Count { is_eager } });
        let slot = &self.graph.slots[slot];
        let count = if !is_eager {
            sample::count(slot.sample)
        } else if most == 1 {
            // One, and then none.
            1 - slot.eager.min(1)
        } else {
            sample::eager_count(slot.eager)
        };
        count.min(most)
    }

    /// The choice that a probe says for a slot. A choice that satisfies a type that refused others
    /// stays as it is when all slots are given random ones.
    fn probed(&mut self, slot: SlotId, choices: usize) -> Option<usize> {
        let probe = self.probe?;
        let state = &self.graph.slots[slot];
        if probe.target().is_none() && state.fixed {
            return None;
        }
        let choice = probe.choice(slot, &state.shape, choices);
        self.is_probed |= choice.is_some() && probe.is_early();
        choice
    }

    /// True if a value is not to be made and ends here, because it holds the slot that a probe gave
    /// another value. `is_last` says that no more of its parts are known.
    pub(super) fn is_unmade(&mut self, is_last: bool) -> bool {
        if !self.is_probed {
            return false;
        }
        let depth = self.active.len();
        *self.unmade.get_or_insert(depth) == depth && is_last
    }

    /// The variant to read in a slot: on the way to something unknown, or else the shortest
    /// accepted one.
    pub(super) fn choose(&mut self, slot: SlotId, container: ContainerId, hurry: bool) -> Option<usize> {
        let state = &self.graph.containers[container];
        let variants = || state.variants.iter().enumerate();
        if let Some(Probe::Random(_)) = self.probe
            && !hurry
            && state.entered <= 1
        {
            let alive = variants().filter(|(_, variant)| !variant.dead && variant.cost.is_some());
            let least = alive.min_by_key(|(_, variant)| variant.probed).map(|(index, _)| index);
            if let Some(index) = least {
                self.graph.containers[container].variants[index].probed += 1;
                return Some(index);
            }
        }
        let curious = variants()
            .filter(|(_, variant)| !hurry && variant.distance != FAR)
            .min_by_key(|(_, variant)| variant.distance);
        if let Some((index, _)) = curious {
            return Some(index);
        }
        let is_complete = |variant: &VariantState| !variant.dead && variant.cost.is_some();
        let shortest =
            variants().filter(|(_, variant)| is_complete(variant)).min_by_key(|(_, variant)| variant.cost);
        let Some((shortest, _)) = shortest else {
            let other = variants().find(|(_, variant)| !variant.dead && variant.entered == 0);
            return other.map(|(index, _)| index);
        };
        if state.entered > 1 {
            // A longer variant within itself might never end.
            return Some(shortest);
        }
        // The shortest, and then each by its number: the shortest one changes with what is learned.
        let sample = self.graph.slots[slot].sample;
        let chosen =
            sample.checked_sub(1).filter(|index| state.variants.get(*index).is_some_and(is_complete));
        self.given.push(Given { slot, choices: state.variants.len() + 1, kind: Kind::Variant });
        Some(chosen.unwrap_or(shortest))
    }

    /// Reads the content of a struct or a variant.
    pub(super) fn read_content<'de, V: Visitor<'de>>(
        &mut self,
        place: Place,
        form: Form,
        visitor: V,
        hurry: bool,
    ) -> Result<V::Value> {
        let Some(slots) = self.graph.form(place, form) else {
            return Err(self.give_up());
        };
        if let Form::Named(names) = form
            && !hurry
        {
            if let Some(hunt) = &self.graph.content(place).names
                && hunt.next < hunt.found.len()
            {
                let (field, scratch) = (hunt.next, hunt.scratch);
                return self.hunt_name(place, names, field, scratch, visitor);
            }
            let wanted: Vec<usize> = (0..slots.len())
                .rev()
                .filter(|field| self.graph.slots[slots[*field]].distance != FAR)
                .collect();
            let dead = slots.iter().any(|slot| self.graph.slots[*slot].dead);
            if dead && !wanted.is_empty() && self.graph.content(place).by_name {
                return self.read_by_name(place, names, &slots, wanted, visitor);
            }
        }
        let length = match form {
            Form::Tuple(length) => length,
            // The type may ask for more members with other data than with these.
            Form::Named(names) => names.len(),
            _ => slots.len(),
        };
        let known = self.graph.content(place).read.unwrap_or(length);
        let mut read = 0;
        let result = visitor.visit_seq(Members {
            tracer: self,
            slots: Rc::clone(&slots),
            length,
            known,
            read: &mut read,
            hurry,
        });
        match &result {
            Ok(_) => self.note_read(place, form, &slots, read),
            Err(Refusal::Sequence) if read == 0 => {
                self.graph.content(place).form = Form::OnlyByName;
                self.graph.changes += 1;
                self.stop();
            }
            _ => {}
        }
        result
    }

    /// Notes the number of members that satisfied the type. The names that it did not ask for are
    /// aliases, and such members are never read.
    fn note_read(&mut self, place: Place, form: Form, slots: &Rc<[SlotId]>, read: usize) {
        let is_first = self.graph.content(place).read.is_none();
        self.graph.read(place, read);
        let is_of_few = !matches!(form, Form::Tuple(length) if length != slots.len());
        if !is_first || read >= slots.len() || !is_of_few {
            return;
        }
        let scratch = self.graph.new_slot("");
        let content = self.graph.content(place);
        content.slots = slots.iter().copied().take(read).collect();
        if let Form::Named(names) = form {
            content.names = Some(NameHunt { next: 0, found: vec![None; names.len()], scratch });
        }
        self.graph.changes += 1;
    }

    /// Reads only the fields with something unknown, because others cannot be read.
    fn read_by_name<'de, V: Visitor<'de>>(
        &mut self,
        place: Place,
        names: &'static [&'static str],
        slots: &[SlotId],
        wanted: Vec<usize>,
        visitor: V,
    ) -> Result<V::Value> {
        let queue = wanted.into_iter().map(|field| (names[field], slots[field])).collect();
        let mut asked = true;
        let result = visitor.visit_map(ByName { tracer: self, queue, value: ROOT, asked: &mut asked });
        if !asked || (result.is_err() && self.graph.changes == self.changes_before && !self.settled) {
            self.graph.content(place).by_name = false;
            self.graph.changes += 1;
        }
        if result.is_err() {
            self.stop();
        }
        result
    }

    /// Gives one field twice, to hear its true name.
    fn hunt_name<'de, V: Visitor<'de>>(
        &mut self,
        place: Place,
        names: &'static [&'static str],
        field: usize,
        scratch: SlotId,
        visitor: V,
    ) -> Result<V::Value> {
        let mut asked = true;
        let queue = vec![(names[field], scratch); 2];
        let result = visitor.visit_map(ByName { tracer: self, queue, value: scratch, asked: &mut asked });
        let found = match &result {
            Err(Refusal::Duplicate(name)) => Some(*name),
            // The scratch slot is about to get another sample value.
            Err(_) if self.settled && !self.graph.slots[scratch].refused => return result,
            _ => None,
        };
        let next = self.graph.new_slot("");
        if let Some(hunt) = &mut self.graph.content(place).names {
            hunt.found[field] = found;
            hunt.next = field + 1;
            hunt.scratch = next;
        }
        self.graph.changes += 1;
        self.stop();
        result
    }
}
