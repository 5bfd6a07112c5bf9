//! Compares the names of types, where the name alone distinguishes them.
//!
//! bincode, and a reading by names, both mistake a type for any other of the same form. The names
//! of the fields of a struct, or of the variants of an enum, identify the type, so another name of
//! the type is only reported. Nothing identifies a tuple struct or a newtype. The fields of a type
//! of another crate are not the program's own choice: one random generator looks like the next.
//! There, another name is another type, unless the program gives it as a former name.

use super::form::Owner;
use super::{Comparison, Difference, DifferenceKind};
use crate::base::limits::TYPE_DEPTH;
use crate::base::text::shortened;
use crate::schema::{Body, Definition, Fields, Float16, Former, Schema, Type};

/// The older names that fields accept for the types in them, as sets of names. One set is in force
/// at each place.
#[derive(Default)]
pub(super) struct Accepted<'a> {
    /// Each set once. The empty set has number 0, and is not in the list.
    sets: Vec<Vec<&'a str>>,
    here: usize,
}

impl<'a> Accepted<'a> {
    /// The number of the set in force here.
    pub(super) fn here(&self) -> usize {
        self.here
    }

    /// Returns to the set of that number.
    pub(super) fn leave(&mut self, around: usize) {
        self.here = around;
    }

    fn names(&self) -> &[&'a str] {
        self.here.checked_sub(1).map_or(&[], |place| &self.sets[place])
    }

    /// Accepts these names, besides those already accepted.
    pub(super) fn enter(&mut self, names: impl Iterator<Item = &'a str>) {
        let mut set: Vec<&'a str> = names.collect();
        if set.is_empty() {
            return;
        }
        set.extend(self.names());
        set.sort_unstable();
        set.dedup();
        let known = self.sets.iter().position(|known| *known == set);
        self.here = 1 + known.unwrap_or_else(|| {
            self.sets.push(set);
            self.sets.len() - 1
        });
    }
}

/// The relation of two names.
enum Names {
    /// The same, or one of the two has none.
    Same,
    /// The program gives one as a former name of the other.
    Renamed,
    Different,
}

/// The places of the definitions that a type goes through: the wrappers, and the type inside them.
struct Chain {
    wrappers: Vec<usize>,
    last: Option<usize>,
}

impl Chain {
    fn of(schema: &Schema, ty: &Type, end: Option<&Type>) -> Chain {
        let mut chain = Chain { wrappers: Vec::new(), last: None };
        let mut ty = ty;
        for _ in 0..TYPE_DEPTH {
            if end.is_some_and(|end| std::ptr::eq(end, ty)) {
                break;
            }
            let Type::Named(place) = ty else { break };
            let Some(definition) = schema.types.get(*place) else { break };
            match &definition.body {
                Body::Struct(Fields::Newtype(inner)) if Float16::of(definition).is_none() => {
                    chain.wrappers.push(*place);
                    ty = inner;
                }
                _ => {
                    chain.last = Some(*place);
                    break;
                }
            }
        }
        chain
    }

    /// All of them, the outermost first.
    fn places(self) -> Vec<usize> {
        self.wrappers.into_iter().chain(self.last).collect()
    }
}

/// The name that distinguishes a definition from others; `None` if it has no name of its own.
fn label(definition: &Definition) -> Option<&str> {
    let is_own = Float16::of(definition).is_none();
    // An observed form has the name of the type that was observed.
    if definition.observed {
        return None;
    }
    // A recursive type without a name in serde has the name that the compiler gives it. It has no
    // name of a container in serde either, so it stands in the schema as a wrapper of its form.
    let is_wrapper = matches!(definition.body, Body::Struct(Fields::Newtype(_)));
    let is_given = !definition.foreign || !is_wrapper || !definition.name.contains(['<', '(', '[', '&']);
    (is_own && is_given).then_some(&definition.name)
}

/// True if the names of its members identify the type.
fn is_vouched_for(definition: &Definition) -> bool {
    !definition.foreign && matches!(definition.body, Body::Enum(_) | Body::Struct(Fields::Named(_)))
}

fn are_alike(checkpoint: &Definition, program: &Definition) -> bool {
    matches!(checkpoint.body, Body::Enum(_)) == matches!(program.body, Body::Enum(_))
}

impl<'a> Comparison<'a> {
    pub(super) fn former(&self, place: usize) -> Option<&'a Former> {
        self.migrations.and_then(|program| program.former(place))
    }

    /// Accepts the older names that the program gives to the types in a member.
    pub(super) fn accept_in(&mut self, owner: Option<Owner<'a>>, member: &str) {
        let Some(owner) = owner else { return };
        let Some(former) = self.former(owner.place) else { return };
        let names = former.types_in(owner.variant, member);
        self.accepted.enter(names.iter().map(String::as_str));
    }

    /// Compares the names of two types, and of the wrappers around them. The older names that the
    /// wrappers accept are in force from here on.
    pub(super) fn type_names(&mut self, checkpoint: &'a Type, program: &'a Type) {
        let before = Chain::of(self.checkpoint, checkpoint, None);
        let after = Chain::of(self.program, program, None);
        self.wrappers(&before.wrappers, &after.wrappers);
        let (Some(old), Some(new)) = (before.last, after.last) else { return };
        let (old_type, new_type) = (&self.checkpoint.types[old], &self.program.types[new]);
        if !are_alike(old_type, new_type) {
            return;
        }
        match self.names(old, new) {
            Names::Same => {}
            Names::Different if !is_vouched_for(old_type) || !is_vouched_for(new_type) => {
                self.report_names(DifferenceKind::OtherType, &[old], &[new]);
            }
            Names::Different | Names::Renamed => {
                self.report_names(DifferenceKind::TypeRenamed, &[old], &[new]);
            }
        }
    }

    /// Compares the names of the wrappers alone, down to the types of `inner`.
    pub(super) fn names_of_wrappers(&mut self, whole: (&Type, &Type), inner: (&Type, &Type)) {
        let before = Chain::of(self.checkpoint, whole.0, Some(inner.0));
        let after = Chain::of(self.program, whole.1, Some(inner.1));
        self.wrappers(&before.wrappers, &after.wrappers);
    }

    /// Compares wrappers. One may be added or removed, but not become another.
    fn wrappers(&mut self, before: &[usize], after: &[usize]) {
        for place in after {
            if let Some(former) = self.former(*place) {
                self.accepted.enter(former.types_inside());
            }
        }
        let before: Vec<usize> =
            before.iter().copied().filter(|place| label(&self.checkpoint.types[*place]).is_some()).collect();
        let after: Vec<usize> =
            after.iter().copied().filter(|place| label(&self.program.types[*place]).is_some()).collect();
        let is_added = before.len() <= after.len();
        let (fewer, more) = if is_added { (&before, &after) } else { (&after, &before) };
        let mut rest = more.iter();
        let mut renamed = Vec::new();
        for one in fewer {
            let pair = |other: usize| if is_added { (*one, other) } else { (other, *one) };
            let found =
                rest.by_ref().map(|other| pair(*other)).find_map(|(old, new)| match self.names(old, new) {
                    Names::Same => Some(None),
                    Names::Renamed => Some(Some((old, new))),
                    Names::Different => None,
                });
            match found {
                Some(pair) => renamed.extend(pair),
                None => return self.report_names(DifferenceKind::OtherType, &before, &after),
            }
        }
        for (old, new) in renamed {
            self.report_names(DifferenceKind::TypeRenamed, &[old], &[new]);
        }
    }

    /// Compares the versions of the definitions that have the same name on both sides, in their
    /// order. A version of one definition is none of another, wherever a chain of wrappers has it.
    pub(super) fn versions_by_name(&mut self, checkpoint: &'a Type, program: &'a Type) {
        let mut before = Chain::of(self.checkpoint, checkpoint, None).places();
        let mut after = Chain::of(self.program, program, None).places();
        let all = after.clone();
        after.retain(|new| before.iter().any(|old| self.is_same_name(*old, *new)));
        before.retain(|old| all.iter().any(|new| self.is_same_name(*old, *new)));
        // Of a wrapper of the same name as the type in it, one may have gone: which one is not
        // known.
        if before.len() != after.len() {
            return;
        }
        for (old, new) in before.into_iter().zip(after) {
            let (before, after) = (&self.checkpoint.types[old], &self.program.types[new]);
            if before.version != after.version && self.is_same_name(old, new) {
                let [old, new] = [before, after].map(|definition| {
                    format!("version {} of {}", definition.version, shortened(&definition.name))
                });
                return self.report(DifferenceKind::Version, old, new);
            }
        }
    }

    /// True if both types have names, and the two are [the same](Comparison::is_same_name).
    pub(super) fn has_name_of(&self, checkpoint: &Type, program: &Type) -> bool {
        let places = [(checkpoint, self.checkpoint), (program, self.program)].map(|(ty, schema)| match ty {
            Type::Named(place) if *place < schema.types.len() => Some(*place),
            _ => None,
        });
        matches!(places, [Some(old), Some(new)] if self.is_same_name(old, new))
    }

    /// True if both definitions have names, and that of the checkpoint is that of the program, or a
    /// former one that the type itself tells. What a field accepts is not for all types around each
    /// other there.
    fn is_same_name(&self, old: usize, new: usize) -> bool {
        let names = (label(&self.checkpoint.types[old]), label(&self.program.types[new]));
        let (Some(before), Some(after)) = names else { return false };
        let mut former = self.former(new).map_or(&[][..], Former::types).iter();
        before == after || former.any(|name| name == before)
    }

    fn names(&self, old: usize, new: usize) -> Names {
        let labels = (label(&self.checkpoint.types[old]), label(&self.program.types[new]));
        let (Some(before), Some(after)) = labels else { return Names::Same };
        let mut former = self.former(new).map_or(&[][..], Former::types).iter();
        if before == after {
            Names::Same
        } else if self.accepted.names().contains(&before) || former.any(|name| name == before) {
            Names::Renamed
        } else {
            Names::Different
        }
    }

    fn report_names(&mut self, kind: DifferenceKind, old: &[usize], new: &[usize]) {
        let names = |schema: &Schema, places: &[usize]| {
            let names: Vec<_> = places.iter().map(|place| shortened(&schema.types[*place].name)).collect();
            format!("type {}", names.join(" around "))
        };
        let (old, new) = (names(self.checkpoint, old), names(self.program, new));
        // A type may be in many places, but has one name: it is reported once.
        let is_known =
            |known: &Difference| known.kind == kind && known.checkpoint == old && known.program == new;
        if kind != DifferenceKind::TypeRenamed || !self.found.iter().any(is_known) {
            self.report(kind, old, new);
        }
    }
}
