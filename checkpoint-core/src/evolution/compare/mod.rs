//! The differences between two schemas, in words.

mod difference;
mod form;
mod matching;
mod members;
mod names;
mod search;
mod words;

use std::collections::{HashMap, HashSet};

pub use self::difference::{Difference, DifferenceKind};
use self::form::{Form, Seen};
pub(crate) use self::matching::{Choice, Chosen, Matched, Own, fields_of, matching};
use self::names::Accepted;
pub(crate) use self::search::{opaque, unsupported};
use super::resolve::{Identity, Plan};
use crate::base::limits::{DIFFERENCES, TYPE_DEPTH, TYPES_COMPARED};
use crate::base::text::shortened;
use crate::evolution::Program;
use crate::evolution::program::{Migration, Step};
use crate::schema;
use crate::schema::{Schema, Type, hidden};

/// The result of a comparison.
pub(crate) struct Compared {
    /// The places where the two differ; empty only if both give the encoded bytes the same meaning.
    pub(crate) differences: Vec<Difference>,
    /// True if they differ in more places than are listed. The rest was not compared.
    pub(crate) has_more: bool,
    /// The conversions of values of other versions.
    pub(crate) plan: Plan,
    /// For each field that the checkpoint lacks, by its path: true if it gets a default, `None`
    /// where that is not known.
    pub(crate) defaults: HashMap<String, Option<bool>>,
    /// The paths of the values that no conversion makes of those in the checkpoint.
    pub(crate) impossible: HashSet<String>,
}

impl Compared {
    /// True if every value was encoded as the program would encode it: then the values are read one
    /// after the other.
    pub(crate) fn is_same_form(&self) -> bool {
        !self.has_more && self.differences.iter().all(Difference::is_name_alone)
    }
}

/// Compares the schema of a checkpoint with that of a program, and with the types that its
/// migrations accept.
///
/// Both must be [closed](Schema::is_closed). Apart from that, `checkpoint` is not trusted.
pub(crate) fn compare(checkpoint: &Schema, program: &Program) -> Compared {
    let plan = Plan::new(program.versions(), checkpoint);
    compare_schemas(checkpoint, program.extended(), Some(program), plan)
}

/// The places where the two differ, for a program without migrations.
#[cfg(test)]
pub(crate) fn differences(checkpoint: &Schema, program: &Schema) -> Vec<Difference> {
    compare_schemas(checkpoint, program, None, Plan::default()).differences
}

fn compare_schemas(
    checkpoint: &Schema,
    program: &Schema,
    migrations: Option<&Program>,
    plan: Plan,
) -> Compared {
    let (path, compared, found) = (String::new(), HashSet::new(), Vec::new());
    let (accepted, enough, most) = (Accepted::default(), DIFFERENCES, TYPES_COMPARED);
    let (defaults, impossible) = (HashMap::new(), HashSet::new());
    let mut comparison = Comparison {
        checkpoint,
        program,
        migrations,
        path,
        accepted,
        compared,
        found,
        has_more: false,
        enough,
        most,
        plan,
        defaults,
        impossible,
    };
    comparison.types(&checkpoint.root, &program.root, 0);
    let Comparison { found: mut differences, has_more, plan, defaults, impossible, .. } = comparison;
    let has_more = has_more || differences.len() > DIFFERENCES;
    differences.truncate(DIFFERENCES);
    Compared { differences, has_more, plan, defaults, impossible }
}

/// A comparison of single types of the two.
fn comparison<'a>(checkpoint: &'a Schema, program: &'a Program) -> Comparison<'a> {
    Comparison {
        checkpoint,
        program: program.extended(),
        migrations: Some(program),
        path: String::new(),
        accepted: Accepted::default(),
        compared: HashSet::new(),
        found: Vec::new(),
        has_more: false,
        enough: DIFFERENCES,
        most: TYPES_COMPARED,
        plan: Plan::new(program.versions(), checkpoint),
        defaults: HashMap::new(),
        impossible: HashSet::new(),
    }
}

/// True if a type of the checkpoint and one of the program are the same. `left` is the number of
/// types that may still be compared.
pub(crate) fn are_same(
    (checkpoint, of_checkpoint): (&Schema, &Type),
    (program, of_program): (&Program, &Type),
    left: &mut usize,
) -> bool {
    let plan = Plan::default();
    let mut comparison = Comparison { enough: 0, most: *left, plan, ..comparison(checkpoint, program) };
    comparison.types(of_checkpoint, of_program, 0);
    *left = left.saturating_sub(comparison.compared.len());
    comparison.found.is_empty()
}

/// The versions of a type of the checkpoint and of one of the program, in words, where they differ.
pub(crate) fn other_version(
    (checkpoint, of_checkpoint): (&Schema, &Type),
    (program, of_program): (&Program, &Type),
) -> Option<(String, String)> {
    let mut comparison = comparison(checkpoint, program);
    let seen = Form::of(checkpoint, of_checkpoint).versions;
    let wanted = Form::of(program.extended(), of_program).versions;
    if seen != wanted {
        return Some((versions(&seen), versions(&wanted)));
    }
    comparison.versions_by_name(of_checkpoint, of_program);
    comparison.found.pop().map(|difference| (difference.checkpoint, difference.program))
}

struct Comparison<'a> {
    checkpoint: &'a Schema,
    program: &'a Schema,
    migrations: Option<&'a Program>,
    path: String,
    /// The older names that the fields around this place give to the types in them.
    accepted: Accepted<'a>,
    /// Pairs of types that were compared or are being compared, with the names accepted there. A
    /// pair that comes back in a recursive type is equal unless a difference is found elsewhere.
    compared: HashSet<(Identity, Identity, usize)>,
    found: Vec<Difference>,
    /// True if a part was not compared, because enough differences had been found.
    has_more: bool,
    /// The number of differences after which the rest is not compared.
    enough: usize,
    /// The most types that are compared.
    most: usize,
    plan: Plan,
    defaults: HashMap<String, Option<bool>>,
    impossible: HashSet<String>,
}

impl<'a> Comparison<'a> {
    fn types(&mut self, checkpoint: &'a Type, program: &'a Type, depth: usize) {
        let pair = (Identity::of(checkpoint), Identity::of(program), self.accepted.here());
        if self.found.len() > self.enough {
            self.has_more = true;
            return;
        }
        if !self.compared.insert(pair) {
            return;
        }
        if depth > TYPE_DEPTH || self.compared.len() > self.most {
            return self.too_large(self.describe(false, program));
        }
        if let Some(migrations) = self.migrations {
            if let Some((old, step)) = self.migration(migrations, checkpoint, program) {
                return self.migrated(old, &step, depth);
            }
            if matches!(program, Type::Named(_)) && !migrations.tells(program) {
                schema::chain(self.checkpoint, checkpoint).for_each(|ty| self.plan.note_untold(ty));
            }
        }
        let around = self.accepted.here();
        self.type_names(checkpoint, program);
        let (mut seen, mut wanted) = (Form::of(self.checkpoint, checkpoint), Form::of(self.program, program));
        let optional = (seen.form.optional(), wanted.form.optional());
        let inside = match optional {
            (Some(inner), None) => Some((inner, program)),
            (None, Some(inner)) => Some((checkpoint, inner)),
            _ => None,
        };
        let beside = inside.and_then(|_| self.beside_option(checkpoint, program, optional.0.is_some()));
        if beside.is_some() {
            // The comparison of the types inside compares the versions.
            (seen.versions, wanted.versions) = (Vec::new(), Vec::new());
        } else if seen.versions == wanted.versions {
            self.versions_by_name(checkpoint, program);
        }
        let has_versions = seen.versions == wanted.versions;
        self.forms(seen, wanted, depth, |comparison| {
            let (before, after) =
                (comparison.describe(true, checkpoint), comparison.describe(false, program));
            if before == after {
                // The two have one name, but one is a struct and the other an enum, or they are two
                // kinds of struct.
                (comparison.describe_form(true, checkpoint), comparison.describe_form(false, program))
            } else {
                (before, after)
            }
        });
        // A value may become an option, and an option a value; the type inside must be the same.
        if let Some((checkpoint, program)) = beside.or(inside).filter(|_| has_versions) {
            self.inside("", |comparison| comparison.types(checkpoint, program, depth + 1));
        }
        self.accepted.leave(around);
    }

    /// The type inside the option that only one of the two has, and the other type without the
    /// wrappers that are around the option. `None` if those wrappers have other versions.
    fn beside_option(
        &self,
        checkpoint: &'a Type,
        program: &'a Type,
        is_in_checkpoint: bool,
    ) -> Option<(&'a Type, &'a Type)> {
        let (mut old, mut new) = (checkpoint, program);
        for _ in 0..2 * TYPE_DEPTH {
            match (old, new) {
                (Type::Option(inner), _) if is_in_checkpoint => return Some((inner, new)),
                (_, Type::Option(inner)) if !is_in_checkpoint => return Some((old, inner)),
                _ => {}
            }
            let versions =
                (schema::own_version(self.checkpoint, old), schema::own_version(self.program, new));
            let inside = (schema::wrapped(self.checkpoint, old), schema::wrapped(self.program, new));
            if self.has_name_of(old, new) {
                (old, new) = inside.0.zip(inside.1).filter(|_| versions.0 == versions.1)?;
                continue;
            }
            // A wrapper without a version may be on one side alone. That of the option goes first.
            let old_inside = inside.0.filter(|_| versions.0 == 1);
            let new_inside = inside.1.filter(|_| versions.1 == 1);
            match (old_inside, new_inside) {
                (Some(inside), None) => old = inside,
                (Some(inside), Some(_)) if is_in_checkpoint => old = inside,
                (_, Some(inside)) => new = inside,
                (None, None) => return None,
            }
        }
        None
    }

    /// The step that converts the type of the checkpoint, if its version differs. Wrappers of both
    /// are removed together, and those of the program alone too, as in a reading.
    ///
    /// There is none for an option that the program does not have, unless the first step takes one:
    /// the comparison of the type inside finds it.
    fn migration(
        &mut self,
        migrations: &'a Program,
        checkpoint: &'a Type,
        program: &'a Type,
    ) -> Option<(&'a Type, Step<'a>)> {
        let whole = (checkpoint, program);
        let is_optional = |schema, ty| Form::of(schema, ty).form.optional().is_some();
        let loses_option = is_optional(self.checkpoint, checkpoint) && !is_optional(self.program, program);
        let (mut checkpoint, mut program) = (checkpoint, program);
        for _ in 0..TYPE_DEPTH {
            let own = (
                schema::own_version(self.checkpoint, checkpoint),
                schema::own_version(self.program, program),
            );
            // A type of the same name has its own version. Any other may be a wrapper of the type.
            let has_name = self.has_name_of(checkpoint, program);
            let version = match has_name {
                true => own.0,
                false if loses_option => schema::version_in_options(self.checkpoint, checkpoint),
                false => schema::version(self.checkpoint, checkpoint),
            };
            if let Some(step) = migrations.step_from(version, program) {
                if loses_option && !has_name && !is_optional(self.program, migrations.first(version, &step)) {
                    return None;
                }
                self.names_of_wrappers(whole, (checkpoint, program));
                return Some((checkpoint, step));
            }
            let is_passed = if has_name { own.0 == own.1 } else { own.1 == 1 };
            program = schema::wrapped(self.program, program).filter(|_| is_passed)?;
            // A version of the checkpoint is not that of a wrapper that has none.
            if let Some(inner) =
                schema::wrapped(self.checkpoint, checkpoint).filter(|_| own.0 == 1 || own.1 != 1)
            {
                checkpoint = inner;
            }
        }
        None
    }

    fn migrated(&mut self, checkpoint: &'a Type, step: &Step<'a>, depth: usize) {
        let Step { migration: Migration { from, old, conversion }, to, program } = step;
        self.plan.convert(checkpoint, *program, conversion.clone(), old.clone());
        self.types(checkpoint, old, depth + 1);
        let (from, to) = (format!("version {from}"), format!("version {to}"));
        self.report(DifferenceKind::Migrated, from, to);
    }

    fn forms(
        &mut self,
        seen: Seen<'a>,
        wanted: Seen<'a>,
        depth: usize,
        describe: impl FnOnce(&Self) -> (String, String),
    ) {
        // A forged schema may have any number of observed forms around each other, or a cycle.
        if depth > TYPE_DEPTH {
            let (_, after) = describe(self);
            return self.too_large(after);
        }
        if seen.versions != wanted.versions {
            self.report(DifferenceKind::Version, versions(&seen.versions), versions(&wanted.versions));
        }
        let (checkpoint, program, owner) = (seen.form, wanted.form, wanted.owner);
        let next = depth + 1;
        match (&checkpoint, &program) {
            (Form::Observed(name, _), Form::Leaf(Type::Opaque(other))) if name == other => return,
            (Form::Observed(_, inner), _) => {
                let inner = Form::of(self.checkpoint, inner);
                let wanted = Seen { form: program, versions: Vec::new(), owner };
                return self.forms(inner, wanted, next, describe);
            }
            (Form::Leaf(Type::Unsupported(_)), _) | (_, Form::Leaf(Type::Unsupported(_))) => {}
            (Form::Leaf(checkpoint), Form::Leaf(program)) if checkpoint == program => return,
            (Form::Float16(checkpoint), Form::Float16(program)) if checkpoint == program => return,
            (Form::Option(checkpoint), Form::Option(program)) => {
                return self.types(checkpoint, program, next);
            }
            (Form::Seq(checkpoint), Form::Seq(program)) => {
                return self.within("[]", |comparison| comparison.types(checkpoint, program, next));
            }
            (Form::Grid(checkpoint), Form::Grid(program)) if checkpoint.has_shape_of(program) => {
                let step = "[]".repeat(program.depth());
                return self.within(&step, |comparison| {
                    comparison.types(&checkpoint.element, &program.element, next);
                });
            }
            (Form::Map(checkpoint_key, checkpoint_value), Form::Map(program_key, program_value)) => {
                self.within("[key]", |comparison| comparison.types(checkpoint_key, program_key, next));
                self.within("[]", |comparison| comparison.types(checkpoint_value, program_value, next));
                return;
            }
            (Form::Fields(checkpoint), Form::Fields(program)) => {
                return self.fields(checkpoint, program, owner, next);
            }
            (Form::Variants(checkpoint), Form::Variants(program)) => {
                return self.variants(checkpoint, program, owner, next);
            }
            _ => match (checkpoint.length(), program.length()) {
                (Some(0), Some(0)) => return,
                (Some(length), Some(other)) if length == other => {
                    return self.members(checkpoint, program, owner, next);
                }
                _ => {}
            },
        }
        let (before, after) = describe(self);
        if !checkpoint.may_become(&program, (self.checkpoint, self.program)) {
            self.impossible.insert(self.path.clone());
        }
        self.report(DifferenceKind::Converted, before, after);
        self.converted(&checkpoint, &program, owner, next);
    }

    fn within(&mut self, step: &str, compare: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        step_into(&mut self.path, step);
        compare(self);
        self.path.truncate(length);
    }

    /// Compares the insides of two types that were reported. Drops the differences that the report
    /// of these two types already shows.
    fn inside(&mut self, step: &str, compare: impl FnOnce(&mut Self)) {
        let (first, mut length) = (self.found.len(), 0);
        self.within(step, |comparison| {
            length = comparison.path.len();
            compare(comparison);
        });
        let mut number = 0;
        self.found.retain(|difference| {
            number += 1;
            let is_shown = difference.kind == DifferenceKind::Converted
                && difference.path.get(length..).is_some_and(is_inside_type);
            number <= first || !is_shown
        });
    }

    fn too_large(&mut self, program: String) {
        self.report(DifferenceKind::Uncompared, "a type too large to compare".to_owned(), program);
    }

    fn report(&mut self, kind: DifferenceKind, checkpoint: String, program: String) {
        if self.found.len() <= DIFFERENCES {
            self.found.push(Difference { kind, path: self.path.clone(), checkpoint, program });
        } else {
            self.has_more = true;
        }
    }
}

fn versions(versions: &[u32]) -> String {
    match versions {
        [] => "version 1".to_owned(),
        versions => {
            let list: Vec<String> = versions.iter().map(u32::to_string).collect();
            format!("version {}", list.join(" of version "))
        }
    }
}

fn dotted(name: &str) -> String {
    format!(".{}", hidden::label(name))
}

/// Adds a step to a path. The first field needs no dot. The first member of a tuple keeps its dot:
/// it would look like a plain number without it.
fn step_into(path: &mut String, step: &str) {
    let step = shortened(step);
    match step.strip_prefix('.') {
        Some(name) if path.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) => {
            path.push_str(name);
        }
        _ => path.push_str(&step),
    }
}

/// True if the text of a type shows every place on this path: elements, keys, members.
fn is_inside_type(mut path: &str) -> bool {
    const STEPS: [&str; 2] = ["[]", "[key]"];
    while !path.is_empty() {
        let member = path.strip_prefix('.').map(|rest| (rest, rest.trim_start_matches(char::is_numeric)));
        path = match (member, STEPS.iter().find_map(|step| path.strip_prefix(step))) {
            (Some((number, rest)), _) if number.len() > rest.len() => rest,
            (_, Some(rest)) => rest,
            _ => return false,
        };
    }
    true
}

#[cfg(all(test, not(shuttle)))]
mod tests;
