//! Matches fields, members and variants of the two sides.

use std::collections::{HashMap, HashSet};

use super::form::{Form, Owner};
use super::{Comparison, DifferenceKind, dotted, step_into};
use crate::base::limits::DIFFERENCES;
use crate::base::text::listed;
use crate::schema::{Field, Fields, Schema, Type, Variant, hidden};

/// The most types inside of another one that are compared with one type.
const MOST_INSIDE: usize = 10_000;

/// The number of dimensions of an array; 0 for all else.
fn depth_of(form: &Form<'_>) -> usize {
    match form {
        Form::Grid(grid) => grid.depth(),
        _ => 0,
    }
}

/// The types that are so many levels inside of a form, with their paths. `None` if there are too
/// many.
fn elements<'a>(schema: &'a Schema, form: &Form<'a>, depth: usize) -> Option<Vec<(String, &'a Type)>> {
    let parts = |form: &Form<'a>| -> Vec<(String, &'a Type, usize)> {
        let step = || "[]".to_owned();
        match form {
            Form::Seq(element) | Form::Repeated(element, _) => vec![(step(), *element, 1)],
            Form::Grid(grid) => vec![("[]".repeat(grid.depth()), &*grid.element, grid.depth())],
            Form::Members(members) => members.iter().map(|member| (step(), *member, 1)).collect(),
            Form::Fields(fields) => fields.iter().map(|field| (dotted(&field.name), &field.ty, 1)).collect(),
            _ => Vec::new(),
        }
    };
    let (mut found, mut looked) = (Vec::new(), 0);
    let mut open = vec![(String::new(), parts(form), depth)];
    while let Some((path, parts_here, left)) = open.pop() {
        for (step, ty, levels) in parts_here {
            looked += 1;
            if looked > MOST_INSIDE {
                return None;
            }
            let path = format!("{path}{step}");
            match left.checked_sub(levels) {
                Some(0) => found.push((path, ty)),
                Some(left) => open.push((path, parts(&Form::of(schema, ty).form), left)),
                None => {}
            }
        }
    }
    Some(found)
}

/// The program's names for the fields, or the variants, of the checkpoint.
struct Matched<'a> {
    /// In the order of the checkpoint: the program's name if the checkpoint has it under an alias,
    /// otherwise the checkpoint's own name.
    names: Vec<&'a str>,
    /// True for each that was found under an alias.
    is_renamed: Vec<bool>,
}

impl<'a> Comparison<'a> {
    pub(super) fn members(
        &mut self,
        checkpoint: Form<'a>,
        program: Form<'a>,
        owner: Option<Owner<'a>>,
        depth: usize,
    ) {
        let pairs: Vec<(&'a Type, &'a Type)> = match (checkpoint, program) {
            (Form::Repeated(checkpoint, _), Form::Repeated(program, _)) => {
                return self.within("[]", |comparison| comparison.types(checkpoint, program, depth));
            }
            (Form::Members(checkpoint), Form::Members(program)) => {
                checkpoint.into_iter().zip(program).collect()
            }
            (Form::Members(checkpoint), Form::Repeated(program, _)) => {
                checkpoint.into_iter().map(|member| (member, program)).collect()
            }
            (Form::Repeated(checkpoint, _), Form::Members(program)) => {
                program.into_iter().map(|member| (checkpoint, member)).collect()
            }
            _ => Vec::new(),
        };
        for (number, (checkpoint, program)) in pairs.into_iter().enumerate() {
            self.member(owner, &number.to_string(), |comparison| {
                comparison.types(checkpoint, program, depth);
            });
        }
    }

    /// Compares the insides of two types of different forms that can be converted into each other.
    pub(super) fn converted(
        &mut self,
        checkpoint: &Form<'a>,
        program: &Form<'a>,
        owner: Option<Owner<'a>>,
        depth: usize,
    ) {
        let element = |form: &Form<'a>| match form {
            Form::Seq(element) | Form::Repeated(element, _) => Some(*element),
            Form::Grid(grid) if grid.depth() == 1 => Some(&*grid.element),
            _ => None,
        };
        let pairs: Vec<(String, &'a Type, &'a Type)> = match (checkpoint, program) {
            // A default of the program stands for the members that the checkpoint has not.
            (Form::Members(before), Form::Members(after)) => {
                before.iter().zip(after).map(|(before, after)| ("[]".to_owned(), *before, *after)).collect()
            }
            (Form::Members(members), Form::Fields(fields)) => members
                .iter()
                .zip(*fields)
                .map(|(member, field)| (dotted(&field.name), *member, &field.ty))
                .collect(),
            (Form::Grid(before), Form::Grid(after)) if before.depth() == after.depth() => {
                vec![("[]".repeat(after.depth()), &*before.element, &*after.element)]
            }
            (Form::Grid(before), after) if before.depth() > depth_of(after).max(1) => {
                let Some(inside) = elements(self.program, after, before.depth()) else {
                    return self.too_large(self.describe(false, &before.element));
                };
                inside.into_iter().map(|(path, after)| (path, &*before.element, after)).collect()
            }
            (before, Form::Grid(after)) if after.depth() > 1 => {
                let Some(inside) = elements(self.checkpoint, before, after.depth()) else {
                    return self.too_large(self.describe(false, &after.element));
                };
                inside.into_iter().map(|(path, before)| (path, before, &*after.element)).collect()
            }
            (Form::Map(_, value), Form::Fields(fields)) => {
                fields.iter().map(|field| (dotted(&field.name), *value, &field.ty)).collect()
            }
            (Form::Fields(fields), Form::Map(_, value)) => {
                fields.iter().map(|field| (dotted(&field.name), &field.ty, *value)).collect()
            }
            (before, after) => match (element(before), element(after), before, after) {
                (Some(before), Some(after), ..) => vec![("[]".to_owned(), before, after)],
                (Some(before), None, _, Form::Members(members)) => {
                    members.iter().map(|member| ("[]".to_owned(), before, *member)).collect()
                }
                (Some(element), None, before, Form::Fields(fields)) => {
                    let reached = match before {
                        Form::Repeated(_, length) => usize::try_from(*length).unwrap_or(usize::MAX),
                        _ => usize::MAX,
                    };
                    let fields = fields.iter().take(reached);
                    fields.map(|field| (dotted(&field.name), element, &field.ty)).collect()
                }
                (None, Some(after), Form::Members(members), _) => {
                    members.iter().map(|member| ("[]".to_owned(), *member, after)).collect()
                }
                _ => Vec::new(),
            },
        };
        for (step, before, after) in pairs {
            let around = self.accepted.here();
            self.accept_in(owner, step.trim_start_matches('.'));
            self.inside(&step, |comparison| comparison.types(before, after, depth));
            self.accepted.leave(around);
        }
    }

    pub(super) fn fields(
        &mut self,
        checkpoint: &'a [Field],
        program: &'a [Field],
        owner: Option<Owner<'a>>,
        depth: usize,
    ) {
        let known: HashMap<&str, &Field> = program.iter().map(|field| (field.name.as_str(), field)).collect();
        let own: Vec<&str> = checkpoint.iter().map(|field| field.name.as_str()).collect();
        let wanted: Vec<&str> = program.iter().map(|field| field.name.as_str()).collect();
        if own == wanted {
            // Pairs them by place: a forged schema may have one name twice.
            for (checkpoint, program) in checkpoint.iter().zip(program) {
                self.member(owner, &program.name, |comparison| {
                    comparison.types(&checkpoint.ty, &program.ty, depth);
                });
            }
            return;
        }
        let matched = self.matched(&own, &wanted, owner);
        for field in
            program.iter().filter(|field| !matched.names.contains(&field.name.as_str())).take(DIFFERENCES)
        {
            let default = self.default_of(field, owner);
            self.within(&dotted(&field.name), |comparison| {
                comparison.defaults.insert(comparison.path.clone(), default);
            });
        }
        self.unmatched(&own, &matched, &wanted, "fields", |comparison, name, in_checkpoint| {
            let field = if in_checkpoint {
                checkpoint.iter().find(|field| field.name == name)
            } else {
                known.get(name).copied()
            };
            (
                dotted(name),
                field.map_or_else(String::new, |field| comparison.describe(in_checkpoint, &field.ty)),
            )
        });
        for (number, checkpoint) in checkpoint.iter().enumerate() {
            let Some(program) = known.get(matched.names[number]) else { continue };
            if matched.is_renamed[number] {
                self.renamed_field(checkpoint, program, owner, depth);
            } else {
                self.member(owner, &program.name, |comparison| {
                    comparison.types(&checkpoint.ty, &program.ty, depth);
                });
            }
        }
    }

    /// True if the program's field gets a default where a checkpoint lacks it; `None` where that is
    /// not known, as for types of other crates.
    fn default_of(&self, field: &Field, owner: Option<Owner<'a>>) -> Option<bool> {
        let owner = owner?;
        let told = self.former(owner.place).and_then(|former| former.default_of(owner.variant, &field.name));
        let is_foreign = self.program.types.get(owner.place).is_some_and(|definition| definition.foreign);
        let of_type = match Form::of(self.program, &field.ty).form {
            Form::Option(_) => Some(true),
            _ if is_foreign => None,
            _ => Some(false),
        };
        told.or(of_type)
    }

    /// Reports a renamed field: one line, with both types if they differ.
    fn renamed_field(
        &mut self,
        checkpoint: &'a Field,
        program: &'a Field,
        owner: Option<Owner<'a>>,
        depth: usize,
    ) {
        let types = (self.describe(true, &checkpoint.ty), self.describe(false, &program.ty));
        self.renamed(&dotted(&checkpoint.name), &program.name, types.clone());
        let compare = |comparison: &mut Self| comparison.types(&checkpoint.ty, &program.ty, depth);
        let around = self.accepted.here();
        self.accept_in(owner, &program.name);
        if types.0 == types.1 {
            self.within(&dotted(&program.name), compare);
        } else {
            self.inside(&dotted(&program.name), compare);
        }
        self.accepted.leave(around);
    }

    pub(super) fn variants(
        &mut self,
        checkpoint: &'a [Variant],
        program: &'a [Variant],
        owner: Option<Owner<'a>>,
        depth: usize,
    ) {
        let known: HashMap<&str, &Variant> =
            program.iter().map(|variant| (variant.name.as_str(), variant)).collect();
        let own: Vec<&str> = checkpoint.iter().map(|variant| variant.name.as_str()).collect();
        let wanted: Vec<&str> = program.iter().map(|variant| variant.name.as_str()).collect();
        let place = owner.map(|owner| owner.place);
        if own == wanted {
            for (checkpoint, program) in checkpoint.iter().zip(program) {
                self.within(&format!("::{}", hidden::shown(&program.name)), |comparison| {
                    comparison.variant(checkpoint, program, place, depth);
                });
            }
            return;
        }
        let matched = self.matched(&own, &wanted, owner);
        self.unmatched(&own, &matched, &wanted, "variants", |_, name, _| {
            (format!("::{}", hidden::shown(name)), "a variant".to_owned())
        });
        for (number, checkpoint) in checkpoint.iter().enumerate() {
            let Some(program) = known.get(matched.names[number]) else { continue };
            if matched.is_renamed[number] {
                let both = ("a variant".to_owned(), "a variant".to_owned());
                let [old, new] =
                    [&checkpoint.name, &program.name].map(|name| format!("::{}", hidden::shown(name)));
                self.renamed(&old, &new, both);
            }
            self.within(&format!("::{}", hidden::shown(&program.name)), |comparison| {
                comparison.variant(checkpoint, program, place, depth);
            });
        }
    }

    fn variant(&mut self, checkpoint: &'a Variant, program: &'a Variant, place: Option<usize>, depth: usize) {
        let owner = place.map(|place| Owner { place, variant: Some(&program.name) });
        let around = self.accepted.here();
        if let Fields::Newtype(program) = &program.fields {
            self.accept_in(owner, "0");
            // Variants are no types, so `types` does not compare them; it does compare their
            // fields.
            if let Fields::Newtype(checkpoint) = &checkpoint.fields {
                self.types(checkpoint, program, depth);
                self.accepted.leave(around);
                return;
            }
        }
        let seen = Form::of_variant(self.checkpoint, None, checkpoint);
        let wanted = Form::of_variant(self.program, place, program);
        self.forms(seen, wanted, depth, |comparison| {
            (
                comparison.describe_fields(true, &checkpoint.fields),
                comparison.describe_fields(false, &program.fields),
            )
        });
        self.accepted.leave(around);
    }

    /// The program's names for the fields of the checkpoint, in their order; a name of the
    /// checkpoint where the program has none for it.
    pub(super) fn matched_names(
        &self,
        own: &[&'a str],
        wanted: &[&'a str],
        owner: Option<Owner<'a>>,
    ) -> Vec<&'a str> {
        self.matched(own, wanted, owner).names
    }

    /// Finds the names of the checkpoint among those of the program, or among their aliases.
    fn matched(&self, own: &[&'a str], wanted: &[&'a str], owner: Option<Owner<'a>>) -> Matched<'a> {
        let mut matched = Matched { names: own.to_vec(), is_renamed: vec![false; own.len()] };
        let former = owner.and_then(|owner| Some((owner, self.former(owner.place)?)));
        if former.is_none() && !own.iter().chain(wanted).any(|name| hidden::is_hidden(name)) {
            return matched;
        }
        let places: HashMap<&str, usize> =
            own.iter().enumerate().map(|(place, name)| (*name, place)).collect();
        let exact: HashSet<&str> = wanted.iter().copied().collect();
        for name in wanted.iter().filter(|name| !places.contains_key(*name)) {
            let aliases = former.map_or(&[][..], |(owner, former)| former.aliases(owner.variant, name));
            let aliased = aliases
                .iter()
                .filter(|alias| !exact.contains(alias.as_str()))
                .find_map(|alias| places.get(alias.as_str()).copied());
            let is_free = |place: &usize| !exact.contains(own[*place]) && !matched.is_renamed[*place];
            let hidden =
                || (0..own.len()).filter(is_free).find(|place| hidden::common(own[*place], name).is_some());
            if let Some(place) = aliased.or_else(hidden)
                && !matched.is_renamed[place]
            {
                matched.names[place] = name;
                matched.is_renamed[place] = true;
            }
        }
        matched
    }

    /// Reports names that are missing on one side, and a different order of the others.
    fn unmatched(
        &mut self,
        own: &[&'a str],
        matched: &Matched<'a>,
        wanted: &[&'a str],
        what: &str,
        describe: impl Fn(&Self, &str, bool) -> (String, String),
    ) {
        let before = self.found.len();
        let in_checkpoint: HashSet<&str> = matched.names.iter().copied().collect();
        let in_program: HashSet<&str> = wanted.iter().copied().collect();
        for name in matched.names.iter().filter(|name| !in_program.contains(*name)).take(DIFFERENCES) {
            let (step, description) = describe(self, name, true);
            self.within(&step, |comparison| {
                comparison.report(DifferenceKind::Extra, description, "absent".to_owned());
            });
        }
        for name in wanted.iter().filter(|name| !in_checkpoint.contains(*name)).take(DIFFERENCES) {
            let (step, description) = describe(self, name, false);
            self.within(&step, |comparison| {
                comparison.report(DifferenceKind::Missing, "absent".to_owned(), description);
            });
        }
        let common = |names: &[&'a str], others: &HashSet<&str>| {
            names.iter().filter(|name| others.contains(*name)).copied().collect::<Vec<_>>()
        };
        let is_same_order = common(&matched.names, &in_program) == common(wanted, &in_checkpoint);
        let is_told = self.found.len() > before || matched.is_renamed.contains(&true);
        if !is_same_order || !is_told {
            let order = |names: &[&str]| {
                let labels: Vec<&str> = names.iter().map(|name| hidden::label(name)).collect();
                format!("{what} {}", listed(&labels))
            };
            self.report(DifferenceKind::Reordered, order(own), order(wanted));
        }
    }

    fn renamed(&mut self, old: &str, new: &str, (before, after): (String, String)) {
        let length = self.path.len();
        step_into(&mut self.path, old);
        self.path.push_str(" → ");
        step_into(&mut self.path, new);
        self.report(DifferenceKind::Renamed, before, after);
        self.path.truncate(length);
    }

    /// Compares a field, or a member that has only a number.
    pub(super) fn member(&mut self, owner: Option<Owner<'a>>, name: &str, compare: impl FnOnce(&mut Self)) {
        let around = self.accepted.here();
        self.accept_in(owner, name);
        self.within(&dotted(name), compare);
        self.accepted.leave(around);
    }
}
