//! Types that do nothing but wrap another one, and the versions that they tell.

use super::{Body, Fields, Schema, Type};
use crate::base::limits::TYPE_DEPTH;

/// The type, the one that it wraps, and so on. To a program all of these are at one place.
pub(crate) fn chain<'a>(schema: &'a Schema, ty: &'a Type) -> impl Iterator<Item = &'a Type> {
    // There cannot be more wrappers than definitions, unless they go in a circle.
    std::iter::successors(Some(ty), |ty| wrapped(schema, ty)).take(schema.types.len() + 1)
}

/// The types that are inside of each other in wrappers and in options, down to the first that is
/// neither. A real type has no more than so many.
pub(crate) fn chain_in_options<'a>(schema: &'a Schema, ty: &'a Type) -> impl Iterator<Item = &'a Type> {
    let inside = |ty: &&'a Type| match *ty {
        Type::Option(inner) => Some(&**inner),
        ty => wrapped(schema, ty),
    };
    std::iter::successors(Some(ty), inside).take(TYPE_DEPTH)
}

/// The type inside a wrapper, if the type is nothing else.
pub(crate) fn wrapped<'a>(schema: &'a Schema, ty: &Type) -> Option<&'a Type> {
    let Type::Named(place) = ty else { return None };
    match &schema.types.get(*place)?.body {
        Body::Struct(Fields::Newtype(inner)) => Some(inner),
        _ => None,
    }
}

/// The version of a type: the first in its chain that is not the usual 1.
pub(crate) fn version(schema: &Schema, ty: &Type) -> u32 {
    first_version(schema, chain(schema, ty))
}

/// The same for a type that may be inside of options.
pub(crate) fn version_in_options(schema: &Schema, ty: &Type) -> u32 {
    first_version(schema, chain_in_options(schema, ty))
}

fn first_version<'a>(schema: &Schema, chain: impl Iterator<Item = &'a Type>) -> u32 {
    chain.map(|ty| own_version(schema, ty)).find(|version| *version != 1).unwrap_or(1)
}

/// The version of the type itself, apart from the types that it wraps.
pub(crate) fn own_version(schema: &Schema, ty: &Type) -> u32 {
    match ty {
        Type::Named(place) => schema.types.get(*place).map_or(1, |definition| definition.version),
        _ => 1,
    }
}
