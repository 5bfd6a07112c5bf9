//! Matches the fields of a checkpoint with those of a program, each by itself: what a partial load
//! takes, and what it leaves.

use std::collections::HashSet;

use super::form::Form;
use super::{Comparison, Difference, DifferenceKind, dotted, hidden};
use crate::evolution::Program;
use crate::schema::{Body, Definition, Fields, Schema, Type};

/// The part of a checkpoint that goes to one place of the program.
pub(crate) enum Choice {
    /// The two are structs with names: each field by itself.
    Fields(Vec<Chosen>),
    /// The whole value, with the conversions that it needs.
    Take,
    /// None, for this reason: the program keeps its value.
    Keep(String),
}

/// One field of a struct.
pub(crate) struct Chosen {
    /// Its place in the struct of the program.
    pub(crate) field: usize,
    /// Its path in messages.
    pub(crate) path: String,
    /// Its name in the checkpoint, where it is there.
    pub(crate) name: Option<String>,
    pub(crate) choice: Choice,
}

/// The matching of the two, and the fields that only the checkpoint has, with their types.
pub(crate) struct Matched {
    pub(crate) choice: Choice,
    pub(crate) unused: Vec<String>,
}

/// A type whose values belong to a program and are never taken, and the reason.
#[derive(Clone, Copy)]
pub(crate) struct Own {
    pub(crate) is_it: fn(&Definition) -> bool,
    pub(crate) why: &'static str,
}

/// Matches the fields of a checkpoint with those of a program.
pub(crate) fn matching(checkpoint: &Schema, program: &Program, own: Own) -> Matched {
    let mut comparison = super::comparison(checkpoint, program);
    let mut unused = Vec::new();
    let choice = comparison.choose(&checkpoint.root, &program.extended().root, own, &mut unused);
    Matched { choice, unused }
}

impl<'a> Comparison<'a> {
    fn choose(
        &mut self,
        checkpoint: &'a Type,
        program: &'a Type,
        own: Own,
        unused: &mut Vec<String>,
    ) -> Choice {
        if let Some((seen, wanted)) = self.structs(checkpoint, program, own) {
            let around = self.accepted.here();
            if let Some(reason) = self.refused_by_names(checkpoint, program) {
                self.accepted.leave(around);
                return Choice::Keep(reason);
            }
            let owner = Form::of(self.program, program).owner;
            let (found, names): (Vec<&str>, Vec<&str>) = (
                seen.iter().map(|field| field.name.as_str()).collect(),
                wanted.iter().map(|field| field.name.as_str()).collect(),
            );
            let matched = self.matched_names(&found, &names, owner);
            for (field, name) in seen.iter().zip(&matched) {
                if !names.contains(name) {
                    self.within(&dotted(&field.name), |comparison| unused.push(comparison.path.clone()));
                }
            }
            let mut chosen = Vec::new();
            for (place, field) in wanted.iter().enumerate() {
                let found = matched.iter().position(|name| *name == field.name);
                let found = found.and_then(|found| seen.get(found));
                let mut choice = Choice::Keep("it is not in the checkpoint".to_owned());
                let mut path = String::new();
                self.member(owner, &field.name, |comparison| {
                    path.clone_from(&comparison.path);
                    if let Some(found) = found {
                        choice = comparison.choose(&found.ty, &field.ty, own, unused);
                    }
                });
                let name = found.map(|found| found.name.clone());
                chosen.push(Chosen { field: place, path, name, choice });
            }
            self.accepted.leave(around);
            return Choice::Fields(chosen);
        }
        if occurs(self.program, program, own.is_it) {
            return Choice::Keep(own.why.to_owned());
        }
        // A pair that was compared at another place would seem to be equal here.
        let compared = std::mem::take(&mut self.compared);
        let found = std::mem::take(&mut self.found);
        self.types(checkpoint, program, 0);
        let differences = std::mem::replace(&mut self.found, found);
        self.compared = compared;
        refused(&differences).map_or(Choice::Take, Choice::Keep)
    }

    /// The reason that the names around two structs, or their versions, keep them apart. The older
    /// names that the wrappers accept are in force from here on. The name of a whole state is none.
    fn refused_by_names(&mut self, checkpoint: &'a Type, program: &'a Type) -> Option<String> {
        if self.path.is_empty() {
            return None;
        }
        let found = std::mem::take(&mut self.found);
        self.type_names(checkpoint, program);
        self.versions_by_name(checkpoint, program);
        refused(&std::mem::replace(&mut self.found, found))
    }

    /// The fields of two structs that can be matched one by one: both have names and the same
    /// version, and no migration makes the one of the other.
    fn structs(
        &mut self,
        checkpoint: &'a Type,
        program: &'a Type,
        own: Own,
    ) -> Option<(&'a [crate::schema::Field], &'a [crate::schema::Field])> {
        if let Some(migrations) = self.migrations
            && self.migration(migrations, checkpoint, program).is_some()
        {
            return None;
        }
        let (seen, wanted) = (Form::of(self.checkpoint, checkpoint), Form::of(self.program, program));
        let definition = self.program.types.get(wanted.owner?.place)?;
        let own_version: &[u32] =
            if definition.version == 1 { &[] } else { std::slice::from_ref(&definition.version) };
        if (own.is_it)(definition)
            || definition.foreign
            || seen.versions != wanted.versions
            || wanted.versions != own_version
        {
            return None;
        }
        match (seen.form, wanted.form) {
            (Form::Fields(seen), Form::Fields(wanted)) if !hidden_names(wanted) => Some((seen, wanted)),
            _ => None,
        }
    }
}

/// The first difference with which no value is taken, in words.
fn refused(differences: &[Difference]) -> Option<String> {
    let difference = differences.iter().find(|difference| !difference.may_resolve())?;
    Some(match difference {
        Difference { kind: DifferenceKind::Uncompared, .. } => "its type is too large to compare".to_owned(),
        Difference { checkpoint, program, .. } => {
            let way_out = difference.way_out();
            format!("{checkpoint} in the checkpoint, {program} in this program{way_out}")
        }
    })
}

/// True if the real names of some of the fields are not known.
fn hidden_names(fields: &[crate::schema::Field]) -> bool {
    fields.iter().any(|field| hidden::is_hidden(&field.name))
}

/// True if a definition with this property occurs in a type.
fn occurs(schema: &Schema, ty: &Type, wanted: fn(&Definition) -> bool) -> bool {
    let (mut open, mut seen) = (vec![ty], HashSet::new());
    while let Some(ty) = open.pop() {
        match ty {
            Type::Named(place) if seen.insert(*place) => {
                let Some(definition) = schema.types.get(*place) else { continue };
                if wanted(definition) {
                    return true;
                }
                open.extend(definition.types());
            }
            Type::Option(inner) | Type::Seq(inner) | Type::Array(inner, _) => open.push(inner),
            Type::Map(key, value) => open.extend([&**key, &**value]),
            Type::Tuple(members) => open.extend(members),
            _ => {}
        }
    }
    false
}

/// The fields of the struct at a place of a schema, without the wrappers around it.
pub(crate) fn fields_of<'a>(schema: &'a Schema, ty: &'a Type) -> Option<&'a Definition> {
    let Type::Named(place) = crate::schema::chain(schema, ty).last()? else { return None };
    let definition = schema.types.get(*place)?;
    matches!(definition.body, Body::Struct(Fields::Named(_))).then_some(definition)
}
