//! The program's type at the place that is being read, as far as it is known.

use std::collections::HashMap;

use super::cursor::Failure;
use super::value::unclear;
use crate::base::limits::TYPES_COMPARED;
use crate::evolution::resolve::Identity;
use crate::evolution::{Program, compare};
use crate::schema::{Body, Fields, Schema, Type, Variant, hidden};

/// The type that the program has at a place, or the fields of a variant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Other<'a>(Option<(&'a Program, Found<'a>)>);

#[derive(Clone, Copy, Debug)]
enum Found<'a> {
    Type(&'a Type),
    Content(Content<'a>),
    /// Fixed arrays of so many dimensions around these elements.
    Rows(&'a Type, usize),
}

/// The fields of a struct, or of a variant.
#[derive(Clone, Copy, Debug)]
struct Content<'a> {
    fields: &'a Fields,
    /// The place of the definition that they are of.
    place: usize,
    variant: Option<&'a str>,
}

impl<'a> Other<'a> {
    pub(super) fn of_root(program: Option<&'a Program>) -> Other<'a> {
        Other(program.map(|program| (program, Found::Type(&program.extended().root))))
    }

    pub(super) fn of_type(program: Option<&'a Program>, ty: &'a Type) -> Other<'a> {
        Other(program.map(|program| (program, Found::Type(ty))))
    }

    pub(super) fn ty(self) -> Option<&'a Type> {
        match self.0 {
            Some((_, Found::Type(ty))) => Some(ty),
            _ => None,
        }
    }

    /// A type inside this one, ignoring the wrappers around it.
    fn inside(self, find: impl FnOnce(Form<'a>) -> Option<&'a Type>) -> Other<'a> {
        let found = |(program, found): (&'a Program, Found<'a>)| {
            let form = match found {
                Found::Rows(..) => return None,
                Found::Content(content) => Form::Content(content),
                Found::Type(ty) => match bare(program, ty) {
                    Type::Named(place) => match &program.extended().types.get(*place)?.body {
                        Body::Struct(fields) => {
                            Form::Content(Content { fields, place: *place, variant: None })
                        }
                        Body::Enum(_) => return None,
                    },
                    ty => Form::Type(ty),
                },
            };
            Some((program, Found::Type(find(form)?)))
        };
        Other(self.0.and_then(found))
    }

    /// The type without wrappers around it.
    pub(super) fn bare(self) -> Other<'a> {
        match self.0 {
            Some((program, Found::Type(ty))) => Other(Some((program, Found::Type(bare(program, ty))))),
            _ => self,
        }
    }

    pub(super) fn inside_newtype(self) -> Other<'a> {
        let found = |(program, found): (&'a Program, Found<'a>)| {
            let inner = match found {
                Found::Content(Content { fields: Fields::Newtype(inner), .. }) => inner,
                // The fields of a struct may have become those of a variant.
                Found::Content(_) => return Some((program, found)),
                Found::Rows(..) => return None,
                Found::Type(ty @ Type::Named(place)) => match &program.extended().types.get(*place)?.body {
                    Body::Struct(Fields::Newtype(inner)) => inner,
                    _ => ty,
                },
                Found::Type(ty) => ty,
            };
            Some((program, Found::Type(inner)))
        };
        Other(self.0.and_then(found))
    }

    /// The type inside of a variant that has one: the fields of a variant may have become those of
    /// a type in it.
    fn inside_variant(self) -> Other<'a> {
        match self.0 {
            Some((_, Found::Content(Content { fields: Fields::Newtype(_), .. }))) => self.inside_newtype(),
            _ => self,
        }
    }

    pub(super) fn inside_option(self) -> Other<'a> {
        self.inside(|form| match form {
            Form::Type(Type::Option(inner)) => Some(inner),
            _ => None,
        })
    }

    /// The type inside an option, and any other type itself.
    pub(super) fn without_option(self) -> Other<'a> {
        match self.bare().ty() {
            Some(Type::Option(_)) => self.inside_option(),
            _ => self,
        }
    }

    /// True if it is known to be no option.
    pub(super) fn is_no_option(self) -> bool {
        self.bare().ty().is_some_and(|ty| !matches!(ty, Type::Option(_)))
    }

    /// An element of a sequence, or a member of a tuple: the one may have become the other.
    pub(super) fn element(self, number: usize) -> Other<'a> {
        let rows = |element: &'a Type, depth: usize| match depth {
            1 => Found::Type(element),
            depth => Found::Rows(element, depth.saturating_sub(1)),
        };
        match self.bare().0 {
            Some((program, Found::Type(Type::Grid(grid)))) => {
                return Other(Some((program, rows(&grid.element, grid.depth()))));
            }
            Some((program, Found::Rows(element, depth))) => {
                return Other(Some((program, rows(element, depth))));
            }
            _ => {}
        }
        self.inside_variant().inside(|form| match form {
            Form::Type(Type::Seq(element) | Type::Array(element, _)) => Some(element),
            Form::Type(Type::Tuple(members))
            | Form::Content(Content { fields: Fields::Tuple(members), .. }) => members.get(number),
            Form::Content(Content { fields: Fields::Named(fields), .. }) => Some(&fields.get(number)?.ty),
            _ => None,
        })
    }

    /// A field that has this name, or had it.
    pub(super) fn field(self, name: &str) -> Other<'a> {
        let Some((program, _)) = self.0 else { return self };
        self.inside_variant().inside(|form| match form {
            Form::Type(Type::Map(_, value)) => Some(value),
            Form::Content(Content { fields: Fields::Named(fields), place, variant }) => {
                let names = fields.iter().map(|field| field.name.as_str());
                let number = of_name(program, (place, variant), names, name);
                let hidden = || {
                    let mut alike = fields
                        .iter()
                        .enumerate()
                        .filter_map(|(number, field)| hidden::common(name, &field.name).map(|_| number));
                    alike.next().filter(|_| alike.next().is_none())
                };
                Some(&fields.get(number.or_else(hidden)?)?.ty)
            }
            _ => None,
        })
    }

    pub(super) fn key(self) -> Other<'a> {
        self.inside(|form| match form {
            Form::Type(Type::Map(key, _)) => Some(key),
            _ => None,
        })
    }

    pub(super) fn entry(self) -> Other<'a> {
        self.inside(|form| match form {
            Form::Type(Type::Map(_, value)) => Some(value),
            // The key tells which one it is, unless all are of one type.
            Form::Content(Content { fields: Fields::Named(fields), .. }) => {
                let ty = &fields.first()?.ty;
                fields.iter().all(|field| field.ty == *ty).then_some(ty)
            }
            _ => None,
        })
    }

    /// The content of a variant, and the reader's name of the variant.
    ///
    /// # Errors
    /// Aliases hide the name, and several variants of the program may be the one, or it is not
    /// known which there are.
    pub(super) fn variant(self, name: &'a str) -> Result<(&'a str, Other<'a>), Failure> {
        let Some((program, place, variants)) = self.variants() else {
            let is_clear = !hidden::is_hidden(name) || hidden::names(name).nth(1).is_none();
            return if is_clear { Ok((first(name), Other(None))) } else { Err(unclear(name)) };
        };
        let content = |variant: &'a Variant| {
            let content = Content { fields: &variant.fields, place, variant: Some(&variant.name) };
            Other(Some((program, Found::Content(content))))
        };
        let names = variants.iter().map(|variant| variant.name.as_str());
        if !hidden::is_hidden(name)
            && let Some(number) = of_name(program, (place, None), names, name)
        {
            return Ok((name, content(&variants[number])));
        }
        let was = |variant: &Variant, name: &str| {
            let former = program.former(place).map_or(&[][..], |former| former.aliases(None, &variant.name));
            former.iter().any(|former| former == name)
        };
        let known = |variant: &'a Variant| {
            let former = || hidden::names(name).find(|name| was(variant, name));
            Some((hidden::common(name, &variant.name).or_else(former)?, variant))
        };
        let mut all = variants.iter().filter_map(known);
        match (all.next(), all.next()) {
            (Some((name, variant)), None) => Ok((name, content(variant))),
            (Some(_), Some(_)) if hidden::is_hidden(name) => Err(unclear(name)),
            // A reader without such a variant reports it itself.
            _ => Ok((first(name), Other(None))),
        }
    }

    /// The variants of the type, and the place of its definition.
    fn variants(self) -> Option<(&'a Program, usize, &'a [Variant])> {
        let (program, Found::Type(ty)) = self.0? else { return None };
        let Type::Named(place) = bare(program, ty) else { return None };
        let Body::Enum(variants) = &program.extended().types.get(*place)?.body else { return None };
        Some((program, *place, variants))
    }
}

/// The number of the first member that has this name, or had it: that is the one which serde takes.
fn of_name<'a>(
    program: &Program,
    (place, variant): (usize, Option<&str>),
    mut names: impl Iterator<Item = &'a str>,
    name: &str,
) -> Option<usize> {
    let had = |known: &str| {
        let former = program.former(place).map_or(&[][..], |former| former.aliases(variant, known));
        former.iter().any(|former| former == name)
    };
    names.position(|known| known == name || had(known))
}

/// The first of the names that a variant may have.
fn first(name: &str) -> &str {
    hidden::names(name).next().unwrap_or_else(|| hidden::label(name))
}

enum Form<'a> {
    Type(&'a Type),
    Content(Content<'a>),
}

/// The type without newtypes around it.
fn bare<'a>(program: &'a Program, ty: &'a Type) -> &'a Type {
    let types = &program.extended().types;
    let mut ty = ty;
    // There are at most as many wrappers as definitions, unless they form a cycle.
    for _ in 0..=types.len() {
        match ty {
            Type::Named(place) => match types.get(*place).map(|definition| &definition.body) {
                Some(Body::Struct(Fields::Newtype(inner))) => ty = inner,
                _ => return ty,
            },
            _ => return ty,
        }
    }
    ty
}

/// The types of the checkpoint that are the same as those of the program.
pub(super) struct Same<'a> {
    checkpoint: &'a Schema,
    program: Option<&'a Program>,
    known: HashMap<(Identity, Identity), bool>,
    /// The number of further types that may be compared. A forged schema has any number of them.
    left: usize,
}

impl<'a> Same<'a> {
    pub(super) fn new(checkpoint: &'a Schema, program: Option<&'a Program>) -> Same<'a> {
        Same { checkpoint, program, known: HashMap::new(), left: TYPES_COMPARED }
    }

    pub(super) fn is_same(&mut self, checkpoint: &'a Type, program: &'a Type) -> bool {
        let Some(known) = self.program else { return false };
        let pair = (Identity::of(checkpoint), Identity::of(program));
        if let Some(same) = self.known.get(&pair) {
            return *same;
        }
        let same = compare::are_same((self.checkpoint, checkpoint), (known, program), &mut self.left);
        self.known.insert(pair, same);
        same
    }
}
