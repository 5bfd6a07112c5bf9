//! Types in the form that the comparison uses.

use crate::base::limits::TYPE_DEPTH;
use crate::schema::{Body, Definition, Field, Fields, Float16, Grid, Schema, Type, Variant};

/// The form of a type, and the definitions on the way to it.
pub(super) struct Seen<'a> {
    pub(super) form: Form<'a>,
    /// The versions of the definitions on the way to the form, without the usual 1.
    pub(super) versions: Vec<u32>,
    /// The definition of the form.
    pub(super) owner: Option<Owner<'a>>,
}

/// A struct or an enum, or a variant of one.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) place: usize,
    pub(super) variant: Option<&'a str>,
}

/// A kind of forms that convert into each other.
#[derive(PartialEq, Eq)]
enum Kind {
    Number,
    Truth,
    Text,
    Sequence,
    Map,
    Fields,
    Variants,
    Unknown,
}

/// A type reduced to its encoding and its meaning: without names of structs, and without wrappers.
pub(super) enum Form<'a> {
    Leaf(&'a Type),
    /// A float of 16 bits, as opposed to the integer that holds its bits.
    Float16(Float16),
    Option(&'a Type),
    Seq(&'a Type),
    Grid(&'a Grid),
    Map(&'a Type, &'a Type),
    Members(Vec<&'a Type>),
    Repeated(&'a Type, u64),
    Fields(&'a [Field]),
    Variants(&'a [Variant]),
    /// A type of this name with a form that is only known from the values in this one checkpoint.
    Observed(&'a str, &'a Type),
    /// A wrapper around itself. No such type has a value.
    Endless,
}

impl<'a> Form<'a> {
    /// The form of `ty`, without the wrappers around it.
    pub(super) fn of(schema: &'a Schema, ty: &'a Type) -> Seen<'a> {
        let (mut versions, mut owner) = (Vec::new(), None);
        let mut ty = ty;
        for _ in 0..TYPE_DEPTH {
            let form = match ty {
                Type::Named(place) => match schema.types.get(*place) {
                    Some(definition) => {
                        if let Some(float) = Float16::of(definition) {
                            return Seen { form: Form::Float16(float), versions, owner: None };
                        }
                        owner = Some(Owner { place: *place, variant: None });
                        let Definition { version, body, .. } = definition;
                        if let (true, Body::Struct(Fields::Newtype(inner))) = (definition.observed, body) {
                            return Seen {
                                form: Form::Observed(&definition.name, inner),
                                versions,
                                owner: None,
                            };
                        }
                        if *version != 1 {
                            versions.push(*version);
                        }
                        match body {
                            Body::Struct(Fields::Newtype(inner)) => {
                                ty = inner;
                                continue;
                            }
                            Body::Struct(fields) => Form::of_fields(fields),
                            Body::Enum(variants) => Form::Variants(variants),
                        }
                    }
                    None => Form::Endless,
                },
                Type::Option(inner) => Form::Option(inner),
                Type::Seq(element) => Form::Seq(element),
                Type::Grid(grid) => Form::Grid(grid),
                Type::Bytes => Form::Seq(&Type::U8),
                Type::Map(key, value) => Form::Map(key, value),
                Type::Unit => Form::Members(Vec::new()),
                Type::Tuple(members) => Form::Members(members.iter().collect()),
                Type::Array(member, length) => Form::Repeated(member, *length),
                leaf => Form::Leaf(leaf),
            };
            return Seen { form, versions, owner: owner.filter(|_| matches!(ty, Type::Named(_))) };
        }
        Seen { form: Form::Endless, versions, owner: None }
    }

    /// Fields that are not those of a wrapper.
    fn of_fields(fields: &'a Fields) -> Form<'a> {
        match fields {
            Fields::Unit => Form::Members(Vec::new()),
            Fields::Newtype(inner) => Form::Members(vec![inner]),
            Fields::Tuple(members) => Form::Members(members.iter().collect()),
            Fields::Named(fields) => Form::Fields(fields),
        }
    }

    /// The form of a variant of the enum at that place. A single field does not make it a wrapper.
    pub(super) fn of_variant(schema: &'a Schema, place: Option<usize>, variant: &'a Variant) -> Seen<'a> {
        match &variant.fields {
            Fields::Newtype(inner) => Form::of(schema, inner),
            fields => {
                let owner = place.map(|place| Owner { place, variant: Some(&variant.name) });
                Seen { form: Form::of_fields(fields), versions: Vec::new(), owner }
            }
        }
    }

    /// True if a value of this form may become one of another by a conversion; also where that is
    /// not known.
    pub(super) fn may_become(
        &self,
        program: &Form<'a>,
        (of_this, of_program): (&'a Schema, &'a Schema),
    ) -> bool {
        let (checkpoint, program) = (self.without_options(of_this), program.without_options(of_program));
        match (checkpoint, program) {
            (Kind::Unknown, _) | (_, Kind::Unknown) => true,
            (Kind::Text, Kind::Variants) | (Kind::Variants, Kind::Text) => true,
            (Kind::Map, Kind::Fields) | (Kind::Fields, Kind::Map) => true,
            (Kind::Sequence, Kind::Fields) => true,
            (checkpoint, program) => checkpoint == program,
        }
    }

    /// The kind of the form inside any options. Options may be inside each other without end.
    fn without_options(&self, schema: &'a Schema) -> Kind {
        let mut inner = match self {
            Form::Option(inner) => *inner,
            form => return form.kind(),
        };
        for _ in 0..TYPE_DEPTH {
            match Form::of(schema, inner).form {
                Form::Option(deeper) => inner = deeper,
                form => return form.kind(),
            }
        }
        Kind::Unknown
    }

    fn kind(&self) -> Kind {
        match self {
            Form::Leaf(Type::Bool) => Kind::Truth,
            Form::Leaf(Type::Char | Type::String) => Kind::Text,
            Form::Leaf(Type::Opaque(_) | Type::Unsupported(_)) | Form::Observed(..) | Form::Endless => {
                Kind::Unknown
            }
            Form::Leaf(_) | Form::Float16(_) => Kind::Number,
            Form::Seq(_) | Form::Grid(_) | Form::Repeated(..) => Kind::Sequence,
            Form::Members(members) if members.is_empty() => Kind::Unknown,
            Form::Members(_) => Kind::Sequence,
            Form::Map(..) => Kind::Map,
            Form::Fields(_) => Kind::Fields,
            Form::Variants(_) => Kind::Variants,
            Form::Option(_) => Kind::Unknown,
        }
    }

    /// The type inside an option.
    pub(super) fn optional(&self) -> Option<&'a Type> {
        match self {
            Form::Option(inner) => Some(inner),
            _ => None,
        }
    }

    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Form::Members(members) => Some(members.len() as u64),
            Form::Repeated(_, length) => Some(*length),
            Form::Fields([]) => Some(0),
            _ => None,
        }
    }
}
