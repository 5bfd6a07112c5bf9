//! Boxes, `Vec`s and options of fixed arrays.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use serde::de::Error as _;
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serializer};

use super::arrangement::{Arrangement, Fixed, shape};
use super::elements::{Elements, Read};
use super::{Adapter, LendLeaf, flat, lend_each, short_schema};
use crate::arrays::{self, ArrayPool, Whole};
use crate::schema::{Grid, Type};
use crate::state::Types;
use crate::{codec, evolution};

/// A fixed array in a box.
#[derive(Debug)]
pub struct Boxed<A>(PhantomData<A>);
/// A fixed array behind a shared pointer.
#[derive(Debug)]
pub struct Shared<A>(PhantomData<A>);
/// A `Vec` of fixed arrays.
#[derive(Debug)]
pub struct Rows<A>(PhantomData<A>);
/// A boxed slice of fixed arrays.
#[derive(Debug)]
pub struct BoxedRows<A>(PhantomData<A>);
/// An `Option` of one of these.
#[derive(Debug)]
pub struct Maybe<A>(PhantomData<A>);

impl<T, A, const N: usize> Adapter<Box<[T; N]>> for Boxed<Fixed<A>>
where
    A: Adapter<T> + Arrangement<T>,
{
    fn write<S: Serializer>(value: &Box<[T; N]>, serializer: S) -> Result<S::Ok, S::Error> {
        Fixed::<A>::write(&**value, serializer)
    }

    /// Never reads by way of the stack, which may be smaller than the array.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[T; N]>, D::Error> {
        let elements = if flat::is_read::<D, [T; N], Fixed<A>>() {
            flat::exactly_one(flat::read::<[T; N], Fixed<A>, D>(false, deserializer)?)?.into_flattened()
        } else {
            deserializer.deserialize_tuple(N, Elements::<T, A>(Some(N), PhantomData))?
        };
        let boxed = elements.into_boxed_slice().try_into();
        boxed.map_err(|_| D::Error::custom(format!("a fixed array has {N} elements")))
    }

    fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
        <Fixed<A> as Adapter<[T; N]>>::schema(types, leaf)
    }

    fn lend(value: &mut Box<[T; N]>, pool: &mut ArrayPool, leaf: LendLeaf<'_>) {
        Fixed::<A>::lend(&mut **value, pool, leaf);
    }
}

macro_rules! shared {
    ($($pointer:ident)*) => {$(
        impl<T, A, const N: usize> Adapter<$pointer<[T; N]>> for Shared<Fixed<A>>
        where
            A: Adapter<T> + Arrangement<T>,
        {
            fn write<S: Serializer>(value: &$pointer<[T; N]>, serializer: S) -> Result<S::Ok, S::Error> {
                Fixed::<A>::write(&**value, serializer)
            }

            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$pointer<[T; N]>, D::Error> {
                Boxed::<Fixed<A>>::read(deserializer).map(<Box<[T; N]>>::into)
            }

            fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
                <Fixed<A> as Adapter<[T; N]>>::schema(types, leaf)
            }

            fn lend(value: &mut $pointer<[T; N]>, pool: &mut ArrayPool, leaf: LendLeaf<'_>) {
                if let Some(value) = $pointer::get_mut(value) {
                    Fixed::<A>::lend(value, pool, leaf);
                }
            }
        }
    )*};
}

shared!(Arc Rc);

impl<T: 'static, A: Adapter<T> + Arrangement<T>> Adapter<Vec<T>> for Rows<A> {
    fn write<S: Serializer>(value: &Vec<T>, serializer: S) -> Result<S::Ok, S::Error> {
        write_rows::<T, A, S>(value, serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
        if flat::is_read::<D, T, A>() {
            return flat::read::<T, A, D>(true, deserializer);
        }
        let elements = Elements::<T, A>(None, PhantomData);
        if codec::is_reader::<D>() || evolution::is_value::<D>() {
            deserializer.deserialize_newtype_struct(arrays::ROWS, elements)
        } else {
            deserializer.deserialize_seq(elements)
        }
    }

    fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
        match shape::<T, A>() {
            (lengths, true) => Type::Grid(Grid { element: Box::new(leaf(types)), lengths, is_vec: true }),
            (lengths, false) => Type::Seq(Box::new(short_schema(&lengths, types, leaf))),
        }
    }

    fn lend(value: &mut Vec<T>, pool: &mut ArrayPool, leaf: LendLeaf<'_>) {
        // The memory is lent in the form in which it is read again: as one sequence of all
        // elements, or as rows.
        let is_array = if shape::<T, A>().1 {
            let mut leaves = A::scatter(std::mem::take(value));
            let is_array = pool.lend(&mut leaves);
            *value = A::gather(leaves).unwrap_or_default();
            is_array
        } else {
            pool.lend(value)
        };
        if !is_array {
            lend_each::<T, A>(value, pool, leaf);
        }
    }
}

impl<T: 'static, A: Adapter<T> + Arrangement<T>> Adapter<Box<[T]>> for BoxedRows<A> {
    fn write<S: Serializer>(value: &Box<[T]>, serializer: S) -> Result<S::Ok, S::Error> {
        write_rows::<T, A, S>(value, serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[T]>, D::Error> {
        Rows::<A>::read(deserializer).map(Vec::into_boxed_slice)
    }

    fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
        <Rows<A> as Adapter<Vec<T>>>::schema(types, leaf)
    }

    fn lend(value: &mut Box<[T]>, pool: &mut ArrayPool, leaf: LendLeaf<'_>) {
        let mut rows = std::mem::take(value).into_vec();
        Rows::<A>::lend(&mut rows, pool, leaf);
        *value = rows.into_boxed_slice();
    }
}

impl<T, A: Adapter<T>> Adapter<Option<T>> for Maybe<A> {
    fn write<S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_some(&A::part(value)),
            None => serializer.serialize_none(),
        }
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        let read = Option::<Read<T, A>>::deserialize(deserializer)?;
        Ok(read.map(|read| read.0))
    }

    fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
        Type::Option(Box::new(A::schema(types, leaf)))
    }

    fn lend(value: &mut Option<T>, pool: &mut ArrayPool, leaf: LendLeaf<'_>) {
        if let Some(value) = value {
            A::lend(value, pool, leaf);
        }
    }
}

fn write_rows<T, A, S>(rows: &[T], serializer: S) -> Result<S::Ok, S::Error>
where
    A: Adapter<T> + Arrangement<T>,
    S: Serializer,
{
    if flat::is_written::<S, T, A>() {
        return flat::write::<T, A, S>(rows, Some(rows.len() as u64), serializer);
    }
    if codec::is_writer::<S>()
        && let Some(array) = arrays::view(&rows)
    {
        return serializer.collect_seq(Whole(array));
    }
    let mut sequence = serializer.serialize_seq(Some(rows.len()))?;
    for row in rows {
        sequence.serialize_element(&A::part(row))?;
    }
    sequence.end()
}
