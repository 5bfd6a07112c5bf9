//! Surveys the unknown parts of the graph: the distance to them from each slot, the slots beyond
//! reach, and those to give up.

use std::collections::HashSet;
use std::mem;
use std::rc::Rc;

use super::graph::{
    Container, Content, FAR, Form, Graph, ROOT, Shape, Slot, SlotId, VariantHunt, VariantState,
};

impl Graph {
    /// Finds out which slots cannot be given a value, and how far each is from something unknown.
    /// Both grow from what is certain, so they are right for cycles too.
    pub(super) fn survey(&mut self) -> u64 {
        let mut rounds = 1;
        for container in &mut self.containers {
            container.begin_hunt();
        }
        for slot in &mut self.slots {
            slot.distance = FAR;
        }
        for container in &mut self.containers {
            container.distance = FAR;
            container.variants.iter_mut().for_each(|variant| variant.distance = FAR);
        }
        while self.spread_death() {
            rounds += 1;
        }
        while self.spread_distance() {
            rounds += 1;
        }
        rounds * (self.slots.len() + self.containers.len()) as u64
    }

    fn spread_death(&mut self) -> bool {
        let mut changed = false;
        for id in 0..self.containers.len() {
            let container = &self.containers[id];
            let content = self.is_dead(&container.content);
            let variants: Vec<bool> = container
                .variants
                .iter()
                .map(|variant| variant.refused || variant.rejected || self.is_dead(&variant.content))
                .collect();
            let dead = content || (container.key.is_enum && variants.iter().all(|dead| *dead));
            let container = &mut self.containers[id];
            changed |= mem::replace(&mut container.dead, dead) != dead;
            for (variant, dead) in container.variants.iter_mut().zip(variants) {
                changed |= mem::replace(&mut variant.dead, dead) != dead;
            }
        }
        for id in 0..self.slots.len() {
            let slot = &self.slots[id];
            let dead = slot.refused
                || match &slot.shape {
                    Shape::Tuple(members, _) => members.iter().any(|member| self.slots[*member].dead),
                    Shape::Seq(element) => slot.is_one_array() && self.slots[*element].dead,
                    Shape::Container(container) => self.containers[*container].dead,
                    _ => false,
                };
            changed |= mem::replace(&mut self.slots[id].dead, dead) != dead;
        }
        changed
    }

    fn is_dead(&self, content: &Content) -> bool {
        content.form == Form::OnlyByName || content.slots.iter().any(|slot| self.slots[*slot].dead)
    }

    fn spread_distance(&mut self) -> bool {
        let mut changed = false;
        for id in 0..self.containers.len() {
            let container = &self.containers[id];
            let variants: Vec<u32> =
                container.variants.iter().map(|variant| self.variant_distance(variant)).collect();
            let nearest = variants.iter().copied().min().unwrap_or(FAR);
            let is_hunt_open = container.hunt.as_ref().is_some_and(VariantHunt::is_open);
            let nearest = if is_hunt_open { 0 } else { nearest };
            let distance = nearest.min(self.content_distance(&container.content));
            let container = &mut self.containers[id];
            changed |= mem::replace(&mut container.distance, distance) != distance;
            for (variant, distance) in container.variants.iter_mut().zip(variants) {
                variant.distance = distance;
            }
        }
        for id in 0..self.slots.len() {
            let distance = if self.target == Some(id) { 0 } else { self.slot_distance(&self.slots[id]) };
            changed |= mem::replace(&mut self.slots[id].distance, distance) != distance;
        }
        changed
    }

    fn variant_distance(&self, variant: &VariantState) -> u32 {
        match (variant.refused || variant.rejected, variant.explored) {
            (true, _) => FAR,
            (false, false) => 0,
            (false, true) => self.content_distance(&variant.content),
        }
    }

    fn content_distance(&self, content: &Content) -> u32 {
        match (&content.form, &content.names) {
            (Form::Mixed | Form::OnlyByName, _) => FAR,
            (_, Some(hunt)) if hunt.next < hunt.found.len() => 0,
            (Form::Named(_), _) if content.by_name => self.nearest(content.slots.iter()),
            _ => self.nearest(self.readable(&content.slots)),
        }
    }

    fn slot_distance(&self, slot: &Slot) -> u32 {
        if slot.refused {
            return FAR;
        }
        match &slot.shape {
            Shape::Unknown => 0,
            Shape::Option(inner) | Shape::Seq(inner) => self.nearest(&[*inner]),
            Shape::Map(key, value) => self.nearest(self.readable(&[*key, *value])),
            Shape::Tuple(members, _) => self.nearest(self.readable(members)),
            Shape::Container(container) => further(self.containers[*container].distance),
            Shape::Mixed | Shape::Leaf(_) | Shape::Undecided(_) | Shape::SameAs(_) => FAR,
        }
    }

    /// The members that can be read: they are read in order, so none is reached after one that
    /// cannot be read.
    fn readable<'a>(&'a self, members: &'a [SlotId]) -> impl Iterator<Item = &'a SlotId> {
        let end = members.iter().position(|member| self.slots[*member].dead);
        members.iter().take(end.map_or(members.len(), |end| end + 1))
    }

    /// The distance from the nearest of these slots.
    pub(super) fn nearest<'a>(&self, slots: impl IntoIterator<Item = &'a SlotId>) -> u32 {
        slots.into_iter().map(|slot| further(self.slots[*slot].distance)).min().unwrap_or(FAR)
    }

    /// Gives up the nearest unknown thing, for which a pass was made in vain.
    pub(super) fn abandon(&mut self) {
        let mut here = ROOT;
        loop {
            if self.slots[here].distance == 0 {
                self.slots[here].refused = true;
                return;
            }
            let next = match &self.slots[here].shape {
                Shape::Option(inner) | Shape::Seq(inner) => self.closest(&[*inner]),
                Shape::Map(key, value) => self.closest(&[*key, *value]),
                Shape::Tuple(members, _) => self.closest(members),
                Shape::Container(container) => {
                    let container = &mut self.containers[*container];
                    if let Some(hunt) = &mut container.hunt
                        && hunt.is_open()
                    {
                        hunt.note(None);
                        return;
                    }
                    let nearest = container.variants.iter_mut().min_by_key(|variant| variant.distance);
                    let content = match nearest {
                        Some(variant) if variant.distance == 0 && !variant.explored => {
                            variant.refused = true;
                            return;
                        }
                        Some(variant) => &mut variant.content,
                        None => &mut container.content,
                    };
                    if let Some(hunt) = &mut content.names
                        && hunt.next < hunt.found.len()
                    {
                        hunt.next += 1;
                        return;
                    }
                    let slots = Rc::clone(&content.slots);
                    self.closest(&slots)
                }
                _ => None,
            };
            match next {
                Some(next) if self.slots[next].distance < self.slots[here].distance => here = next,
                _ => {
                    self.slots[here].refused = true;
                    return;
                }
            }
        }
    }

    fn closest(&self, slots: &[SlotId]) -> Option<SlotId> {
        slots.iter().copied().min_by_key(|slot| self.slots[*slot].distance)
    }
}

impl Container {
    /// Looks for the names of the variants once all of them are known, if there may be more names
    /// than variants.
    fn begin_hunt(&mut self) {
        let is_known = |variant: &VariantState| variant.explored || variant.rejected || variant.refused;
        if self.hunt.is_some() || !self.variants.iter().all(is_known) {
            return;
        }
        let has_aliases = self.variants.iter().any(|variant| variant.rejected);
        let marks = || self.variants.iter().filter_map(|variant| variant.mark);
        let kinds = marks().collect::<HashSet<_>>().len();
        // With `#[serde(other)]`, no number is rejected.
        if has_aliases || (kinds > 1 && kinds < marks().count()) {
            self.hunt = Some(VariantHunt::of(self.key.members.len()));
        }
    }
}

fn further(distance: u32) -> u32 {
    distance.saturating_add(1)
}
