//! What sets two schemas apart, in words.

mod form;
mod search;

use std::collections::{HashMap, HashSet};
use std::fmt;

use self::form::Form;
pub(crate) use self::search::{opaque, unsupported};
use super::migrate::{self, Migration, Program, Step};
use super::resolve::{Identity, Plan};
use super::schema::{Field, Fields, Schema, Type, Variant};
use super::shortened::{listed, shortened};

/// Where more differ than this, the programs have little in common, and more would not be read.
const MOST: usize = 100;
/// Types nest less deeply than this, unless a schema is forged.
const DEEPEST: usize = 200;
/// The same for the number of types that are compared with each other.
const COMPARISONS: usize = 1_000_000;

/// One place where the state of a checkpoint differs from that of the program that reads it.
///
/// ```text
/// particles[].mass: f32 in the checkpoint, f64 in this program
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// In what they differ.
    pub kind: DifferenceKind,
    /// Where in the state: `.` leads to a field, `[]` to the elements of a sequence and the values of a map, `[key]`
    /// to its keys, `::` to a variant. Empty for the state itself.
    pub path: String,
    /// What the checkpoint holds there.
    pub checkpoint: String,
    /// What the program expects there.
    pub program: String,
}

/// In what the state of a checkpoint and that of a program differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// A field or a variant that only the program has. Such a field gets its default, or what the checkpoint has
    /// under one of its aliases.
    Missing,
    /// A field or a variant that only the checkpoint has. What it holds is dropped, unless a field of the program has
    /// its name as an alias.
    Extra,
    /// A value of another type. It is converted, and is the same afterwards.
    Converted,
    /// Fields or variants in another order. They are found by their names.
    Reordered,
    /// Another version of a type, and no migration from it. It is not loaded: its author said that it means something
    /// else.
    Version,
    /// An older version of a type, which a migration takes.
    Migrated,
    /// Here the comparison ended, because there is too much to compare. It is not loaded.
    Uncompared,
}

impl Difference {
    /// Whether what was saved on the one side can be looked for on the other.
    pub(crate) fn may_resolve(&self) -> bool {
        !matches!(self.kind, DifferenceKind::Version | DifferenceKind::Uncompared)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { kind, path, checkpoint, program } = self;
        if checkpoint.is_empty() && program.is_empty() {
            return formatter.write_str(path);
        }
        let path = if path.is_empty() { "the state" } else { path };
        if *kind == DifferenceKind::Migrated {
            return write!(formatter, "{path}: migrated from {checkpoint} to {program}");
        }
        write!(formatter, "{path}: {checkpoint} in the checkpoint, {program} in this program")
    }
}

/// What came of a comparison.
pub(crate) struct Compared {
    /// All places where the two differ; empty only if what was encoded under the one means the same under the other.
    pub(crate) differences: Vec<Difference>,
    /// What becomes of the values of other versions.
    pub(crate) plan: Plan,
}

/// Compares the schema of a checkpoint with that of a program, and with what its migrations take.
///
/// Both must be [closed](Schema::is_closed); apart from that, `checkpoint` may come from anyone.
pub(crate) fn compare(checkpoint: &Schema, program: &Program) -> Compared {
    let plan = Plan::new(program.versions(), checkpoint);
    compare_schemas(checkpoint, program.extended(), Some(program), plan)
}

/// All places where the two differ, for a program without migrations.
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
    let mut comparison = Comparison { checkpoint, program, migrations, path, compared, found, plan };
    comparison.types(&checkpoint.root, &program.root, 0);
    let Comparison { found: mut differences, plan, .. } = comparison;
    if differences.len() > MOST {
        differences.truncate(MOST);
        differences.push(Difference {
            kind: DifferenceKind::Uncompared,
            path: "and more".to_owned(),
            checkpoint: String::new(),
            program: String::new(),
        });
    }
    Compared { differences, plan }
}

struct Comparison<'a> {
    checkpoint: &'a Schema,
    program: &'a Schema,
    migrations: Option<&'a Program>,
    path: String,
    /// Pairs of types that were compared or are being compared. A pair that comes back in a recursive type is equal
    /// unless a difference is found elsewhere.
    compared: HashSet<(Identity, Identity)>,
    found: Vec<Difference>,
    plan: Plan,
}

impl<'a> Comparison<'a> {
    fn types(&mut self, checkpoint: &'a Type, program: &'a Type, depth: usize) {
        let pair = (Identity::of(checkpoint), Identity::of(program));
        if self.found.len() > MOST || !self.compared.insert(pair) {
            return;
        }
        if depth > DEEPEST || self.compared.len() > COMPARISONS {
            let (before, after) = ("a type too large to compare".to_owned(), self.describe(false, program));
            self.report(DifferenceKind::Uncompared, before, after);
            return;
        }
        if let Some(migrations) = self.migrations {
            if let Some((old, step)) = self.migration(migrations, checkpoint, program) {
                return self.migrated(old, &step, depth);
            }
            if matches!(program, Type::Named(_)) && !migrations.tells(program) {
                migrate::chain(self.checkpoint, checkpoint).for_each(|ty| self.plan.note_untold(ty));
            }
        }
        let forms = (Form::of(self.checkpoint, checkpoint), Form::of(self.program, program));
        self.forms(forms.0, forms.1, depth, |comparison| {
            let (before, after) =
                (comparison.describe(true, checkpoint), comparison.describe(false, program));
            if before == after {
                // A struct and an enum, or two kinds of struct, of one name.
                (comparison.describe_form(true, checkpoint), comparison.describe_form(false, program))
            } else {
                (before, after)
            }
        });
    }

    /// What makes the one of the other, where that is of another version. Wrappers of both are taken off together, and
    /// those of the program alone too, as a reading does.
    fn migration(
        &self,
        migrations: &'a Program,
        checkpoint: &'a Type,
        program: &'a Type,
    ) -> Option<(&'a Type, Step<'a>)> {
        let (mut checkpoint, mut program) = (checkpoint, program);
        for _ in 0..DEEPEST {
            let version = migrate::version(self.checkpoint, checkpoint);
            if let Some(step) = migrations.step_from(version, program) {
                return Some((checkpoint, step));
            }
            program = match migrate::wrapped(self.program, program) {
                Some(inner) if migrate::own_version(self.program, program) == 1 => inner,
                _ => return None,
            };
            if let Some(inner) = migrate::wrapped(self.checkpoint, checkpoint) {
                checkpoint = inner;
            }
        }
        None
    }

    fn migrated(&mut self, checkpoint: &'a Type, step: &Step<'a>, depth: usize) {
        let Step { migration: Migration { from, old, conversion }, to, program } = step;
        self.plan.convert(checkpoint, *program, conversion.clone());
        self.types(checkpoint, old, depth + 1);
        let (from, to) = (format!("version {from}"), format!("version {to}"));
        self.report(DifferenceKind::Migrated, from, to);
    }

    fn forms(
        &mut self,
        (checkpoint, checkpoint_versions): (Form<'a>, Vec<u32>),
        (program, program_versions): (Form<'a>, Vec<u32>),
        depth: usize,
        describe: impl FnOnce(&Self) -> (String, String),
    ) {
        if checkpoint_versions != program_versions {
            self.report(DifferenceKind::Version, versions(&checkpoint_versions), versions(&program_versions));
        }
        let next = depth + 1;
        match (&checkpoint, &program) {
            (Form::Leaf(Type::Unsupported(_)), _) | (_, Form::Leaf(Type::Unsupported(_))) => {}
            (Form::Leaf(checkpoint), Form::Leaf(program)) if checkpoint == program => return,
            (Form::Float16(checkpoint), Form::Float16(program)) if checkpoint == program => return,
            (Form::Option(checkpoint), Form::Option(program)) => {
                return self.types(checkpoint, program, next);
            }
            (Form::Seq(checkpoint), Form::Seq(program)) => {
                return self.within("[]", |comparison| comparison.types(checkpoint, program, next));
            }
            (Form::Map(checkpoint_key, checkpoint_value), Form::Map(program_key, program_value)) => {
                self.within("[key]", |comparison| comparison.types(checkpoint_key, program_key, next));
                self.within("[]", |comparison| comparison.types(checkpoint_value, program_value, next));
                return;
            }
            (Form::Fields(checkpoint), Form::Fields(program)) => {
                return self.fields(checkpoint, program, next);
            }
            (Form::Variants(checkpoint), Form::Variants(program)) => {
                return self.variants(checkpoint, program, next);
            }
            _ => match (checkpoint.length(), program.length()) {
                (Some(0), Some(0)) => return,
                (Some(length), Some(other)) if length == other => {
                    return self.members(checkpoint, program, next);
                }
                _ => {}
            },
        }
        let (checkpoint, program) = describe(self);
        self.report(DifferenceKind::Converted, checkpoint, program);
    }

    fn members(&mut self, checkpoint: Form<'a>, program: Form<'a>, depth: usize) {
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
            self.within(&format!(".{number}"), |comparison| comparison.types(checkpoint, program, depth));
        }
    }

    fn fields(&mut self, checkpoint: &'a [Field], program: &'a [Field], depth: usize) {
        let known: HashMap<&str, &Field> = program.iter().map(|field| (field.name.as_str(), field)).collect();
        let same = checkpoint.iter().map(|field| &field.name).eq(program.iter().map(|field| &field.name));
        if same {
            for (checkpoint, program) in checkpoint.iter().zip(program) {
                self.within(&dotted(&program.name), |comparison| {
                    comparison.types(&checkpoint.ty, &program.ty, depth);
                });
            }
            return;
        }
        self.names(
            &checkpoint.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(),
            &program.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(),
            "fields",
            |comparison, name, in_checkpoint| {
                let field = if in_checkpoint {
                    checkpoint.iter().find(|field| field.name == name)
                } else {
                    known.get(name).copied()
                };
                (
                    dotted(name),
                    field.map_or_else(String::new, |field| comparison.describe(in_checkpoint, &field.ty)),
                )
            },
        );
        for checkpoint in checkpoint {
            if let Some(program) = known.get(checkpoint.name.as_str()) {
                self.within(&dotted(&program.name), |comparison| {
                    comparison.types(&checkpoint.ty, &program.ty, depth);
                });
            }
        }
    }

    fn variants(&mut self, checkpoint: &'a [Variant], program: &'a [Variant], depth: usize) {
        let known: HashMap<&str, &Variant> =
            program.iter().map(|variant| (variant.name.as_str(), variant)).collect();
        let same =
            checkpoint.iter().map(|variant| &variant.name).eq(program.iter().map(|variant| &variant.name));
        if !same {
            self.names(
                &checkpoint.iter().map(|variant| variant.name.as_str()).collect::<Vec<_>>(),
                &program.iter().map(|variant| variant.name.as_str()).collect::<Vec<_>>(),
                "variants",
                |_, name, _| (format!("::{name}"), "a variant".to_owned()),
            );
        }
        for (number, checkpoint) in checkpoint.iter().enumerate() {
            let program =
                if same { program.get(number) } else { known.get(checkpoint.name.as_str()).copied() };
            if let Some(program) = program {
                self.within(&format!("::{}", program.name), |comparison| {
                    comparison.variant(checkpoint, program, depth);
                });
            }
        }
    }

    fn variant(&mut self, checkpoint: &'a Variant, program: &'a Variant, depth: usize) {
        // Variants are no types, so this does not go through `types`; whatever they hold does.
        if let (Fields::Newtype(checkpoint), Fields::Newtype(program)) = (&checkpoint.fields, &program.fields)
        {
            return self.types(checkpoint, program, depth);
        }
        let forms = (Form::of_variant(self.checkpoint, checkpoint), Form::of_variant(self.program, program));
        self.forms(forms.0, forms.1, depth, |comparison| {
            (
                comparison.describe_fields(true, &checkpoint.fields),
                comparison.describe_fields(false, &program.fields),
            )
        });
    }

    /// Names that are missing on one side, and the order of the others.
    fn names(
        &mut self,
        checkpoint: &[&str],
        program: &[&str],
        what: &str,
        describe: impl Fn(&Self, &str, bool) -> (String, String),
    ) {
        let before = self.found.len();
        let in_checkpoint: HashSet<&str> = checkpoint.iter().copied().collect();
        let in_program: HashSet<&str> = program.iter().copied().collect();
        for name in checkpoint.iter().filter(|name| !in_program.contains(*name)).take(MOST) {
            let (step, description) = describe(self, name, true);
            self.within(&step, |comparison| {
                comparison.report(DifferenceKind::Extra, description, "absent".to_owned());
            });
        }
        for name in program.iter().filter(|name| !in_checkpoint.contains(*name)).take(MOST) {
            let (step, description) = describe(self, name, false);
            self.within(&step, |comparison| {
                comparison.report(DifferenceKind::Missing, "absent".to_owned(), description);
            });
        }
        let common = |names: &[&str], others: &HashSet<&str>| {
            names
                .iter()
                .filter(|name| others.contains(*name))
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let (checkpoint_order, program_order) =
            (common(checkpoint, &in_program), common(program, &in_checkpoint));
        if checkpoint_order != program_order || self.found.len() == before {
            let order = |names: &[&str]| format!("{what} {}", listed(names));
            self.report(DifferenceKind::Reordered, order(checkpoint), order(program));
        }
    }

    fn within(&mut self, step: &str, compare: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        step_into(&mut self.path, step);
        compare(self);
        self.path.truncate(length);
    }

    fn report(&mut self, kind: DifferenceKind, checkpoint: String, program: String) {
        if self.found.len() <= MOST {
            self.found.push(Difference { kind, path: self.path.clone(), checkpoint, program });
        }
    }

    fn describe(&self, checkpoint: bool, ty: &Type) -> String {
        let schema = if checkpoint { self.checkpoint } else { self.program };
        shortened(&schema.describe(ty)).into_owned()
    }

    fn describe_form(&self, checkpoint: bool, ty: &'a Type) -> String {
        let schema = if checkpoint { self.checkpoint } else { self.program };
        let name = self.describe(checkpoint, ty);
        let form = match Form::of(schema, ty).0 {
            Form::Variants(_) => "an enum",
            Form::Fields(_) => "a struct with named fields",
            Form::Members(_) | Form::Repeated(..) => "a tuple",
            Form::Option(_) => "an option",
            Form::Seq(_) => "a sequence",
            Form::Map(..) => "a map",
            Form::Leaf(Type::Unsupported(_)) => return name,
            Form::Leaf(leaf) => return format!("{name} ({})", self.describe(checkpoint, leaf)),
            Form::Float16(_) => "a float of 16 bits",
            Form::Endless => "endless",
        };
        format!("{name} ({form})")
    }

    fn describe_fields(&self, checkpoint: bool, fields: &Fields) -> String {
        let list = |types: &mut dyn Iterator<Item = &Type>| {
            // Of long ones the rest is not read.
            types.take(DEEPEST).map(|ty| self.describe(checkpoint, ty)).collect::<Vec<_>>().join(", ")
        };
        let words = match fields {
            Fields::Unit => "no fields".to_owned(),
            Fields::Newtype(inner) => self.describe(checkpoint, inner),
            Fields::Tuple(members) => format!("({})", list(&mut members.iter())),
            Fields::Named(fields) => {
                let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
                format!("fields {}", listed(&names))
            }
        };
        shortened(&words).into_owned()
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
    format!(".{name}")
}

/// The first field needs no dot; the first member of a tuple keeps it, to be told from a number.
fn step_into(path: &mut String, step: &str) {
    let step = shortened(step);
    match step.strip_prefix('.') {
        Some(name) if path.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) => {
            path.push_str(name);
        }
        _ => path.push_str(&step),
    }
}

#[cfg(test)]
mod tests;
