//! The forms of containers, made from the forms of their parts.
//!
//! A part may know of checkpoints or of serde alone, so the macro describes each by itself. The
//! compiler decides whether a type that is *written* `Vec<T>` is one: [`Parts`] is implemented for
//! the containers of the standard library and for no type that only has such a name.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::marker::PhantomData;
use std::num::{Saturating, Wrapping};
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;
use std::sync::{Arc, Mutex, RwLock};

use crate::schema::{Body, Field, Fields, Type, Variant};
use crate::state::Types;

/// Adds the type of one part, and returns a reference to it.
pub type PartSchema<'a> = &'a dyn Fn(&mut Types) -> Type;

/// A container. `P`, a tuple of [`PhantomData`], marks the types of its parts.
pub trait Parts<P> {
    /// The type of the container. There are as many `parts` as `P` marks.
    fn of_parts(types: &mut Types, parts: &[PartSchema<'_>]) -> Type;
}

fn part(types: &mut Types, parts: &[PartSchema<'_>], number: usize) -> Type {
    parts.get(number).map_or(Type::Unit, |part| part(types))
}

/// Containers that only write their first part.
macro_rules! of_one {
    ($form:expr; $(<$($parameter:ident),*> $ty:ty: $($part:ident)*;)*) => {$(
        impl<$($parameter),*> Parts<($(PhantomData<$part>,)*)> for $ty {
            fn of_parts(types: &mut Types, parts: &[PartSchema<'_>]) -> Type {
                $form(part(types, parts, 0))
            }
        }
    )*};
}

of_one! { std::convert::identity;
    <T> Box<T>: T;
    <T> Arc<T>: T;
    <T> Rc<T>: T;
    <T> Wrapping<T>: T;
    <T> Saturating<T>: T;
    <T> Reverse<T>: T;
    <T> Cell<T>: T;
    <T> RefCell<T>: T;
    <T> Mutex<T>: T;
    <T> RwLock<T>: T;
}

of_one! { |element| Type::Seq(Box::new(element));
    <T> Vec<T>: T;
    <T> VecDeque<T>: T;
    <T> LinkedList<T>: T;
    <T> BinaryHeap<T>: T;
    <T> BTreeSet<T>: T;
    <T, S> HashSet<T, S>: T;
    <T, S> HashSet<T, S>: T S;
    <T> Box<[T]>: T;
    <T> Arc<[T]>: T;
    <T> Rc<[T]>: T;
}

of_one! { |value| Type::Option(Box::new(value)); <T> Option<T>: T; }

impl<T, const N: usize> Parts<(PhantomData<T>,)> for [T; N] {
    fn of_parts(types: &mut Types, parts: &[PartSchema<'_>]) -> Type {
        Type::Array(Box::new(part(types, parts, 0)), N as u64)
    }
}

/// Maps.
macro_rules! maps {
    ($(<$($parameter:ident),*> $ty:ty: $($part:ident)*;)*) => {$(
        impl<$($parameter),*> Parts<($(PhantomData<$part>,)*)> for $ty {
            fn of_parts(types: &mut Types, parts: &[PartSchema<'_>]) -> Type {
                let key = part(types, parts, 0);
                Type::Map(Box::new(key), Box::new(part(types, parts, 1)))
            }
        }
    )*};
}

maps! {
    <K, V> BTreeMap<K, V>: K V;
    <K, V, S> HashMap<K, V, S>: K V;
    <K, V, S> HashMap<K, V, S>: K V S;
}

impl<T: 'static, E: 'static> Parts<(PhantomData<T>, PhantomData<E>)> for Result<T, E> {
    fn of_parts(types: &mut Types, parts: &[PartSchema<'_>]) -> Type {
        types.define_derived::<Self>("Result", 1, |types| {
            let ok = variant("Ok", part(types, parts, 0));
            Body::Enum(vec![ok, variant("Err", part(types, parts, 1))])
        })
    }
}

pub(super) fn variant(name: &str, ty: Type) -> Variant {
    Variant { name: name.to_owned(), fields: Fields::Newtype(ty) }
}

/// Ranges, which are structs to serde.
macro_rules! ranges {
    ($($range:ident)*) => {$(
        impl<T: 'static> Parts<(PhantomData<T>,)> for $range<T> {
            fn of_parts(types: &mut Types, parts: &[PartSchema<'_>]) -> Type {
                types.define_by_name::<Self>(stringify!($range), |types| {
                    let ty = part(types, parts, 0);
                    let bound = |name: &str| Field { name: name.to_owned(), ty: ty.clone() };
                    Body::Struct(Fields::Named(vec![bound("start"), bound("end")]))
                })
            }
        }
    )*};
}

ranges!(Range RangeInclusive);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::{Checkpointer, Error};

    #[test]
    fn a_range_and_one_with_its_end_are_not_taken_for_each_other() {
        let parent = tempfile::tempdir().unwrap();
        let paths = ["range", "inclusive"].map(|name| parent.path().join(name));
        Checkpointer::<Range<u32>>::open(&paths[0]).unwrap().save(&(1..4)).unwrap();
        Checkpointer::<RangeInclusive<u32>>::open(&paths[1]).unwrap().save(&(1..=4)).unwrap();
        let error = Checkpointer::<RangeInclusive<u32>>::open(&paths[0]).unwrap().load().unwrap_err();
        assert!(matches!(error, Error::SchemaMismatch { .. }), "{error:?}");
        let error = Checkpointer::<Range<u32>>::open(&paths[1]).unwrap().load().unwrap_err();
        assert!(matches!(error, Error::SchemaMismatch { .. }), "{error:?}");
        assert_eq!(Checkpointer::<Range<u32>>::open(&paths[0]).unwrap().load().unwrap(), Some(1..4));
    }
}
