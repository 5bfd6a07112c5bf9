//! [`Checkpoint`] for the types of the standard library.

#[cfg(feature = "nalgebra")]
mod of_nalgebra;
#[cfg(feature = "ndarray")]
mod of_ndarray;
mod parts;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::ffi::{CString, OsString};
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{NonZero, Saturating, Wrapping};
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32,
    AtomicU64, AtomicUsize,
};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::parts::variant;
pub use self::parts::{PartSchema, Parts};
use super::{Checkpoint, Types, derived};
use crate::arrays::ArrayPool;
use crate::schema::{Body, Type};

/// Types that are one of the primitive types of a schema.
macro_rules! primitives {
    ($($($ty:ty),+ => $schema:ident;)*) => {$($(
        impl Checkpoint for $ty {
            const NAME: &'static str = "";

            fn schema(_: &mut Types) -> Type {
                Type::$schema
            }
        }
    )+)*};
}

primitives! {
    () => Unit;
    bool, AtomicBool => Bool;
    u8, NonZero<u8>, AtomicU8 => U8;
    u16, NonZero<u16>, AtomicU16 => U16;
    u32, NonZero<u32>, AtomicU32 => U32;
    u64, NonZero<u64>, AtomicU64 => U64;
    usize, NonZero<usize>, AtomicUsize => U64;
    u128, NonZero<u128> => U128;
    i8, NonZero<i8>, AtomicI8 => I8;
    i16, NonZero<i16>, AtomicI16 => I16;
    i32, NonZero<i32>, AtomicI32 => I32;
    i64, NonZero<i64>, AtomicI64 => I64;
    isize, NonZero<isize>, AtomicIsize => I64;
    i128, NonZero<i128> => I128;
    f32 => F32;
    f64 => F64;
    char => Char;
    String, Box<str>, Rc<str>, Arc<str>, PathBuf => String;
    CString => Bytes;
}

impl<T: Checkpoint> Checkpoint for Box<T> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        T::schema(types)
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        (**self).lend_arrays(pool);
    }
}

/// Shared pointers. Each is written with its content, so after a load each pointer has a copy of
/// its own.
macro_rules! shared {
    ($($pointer:ident)*) => {$(
        impl<T: Checkpoint> Checkpoint for $pointer<T> {
            const NAME: &'static str = "";

            fn schema(types: &mut Types) -> Type {
                T::schema(types)
            }

            fn lend_arrays(&mut self, pool: &mut ArrayPool) {
                if let Some(value) = $pointer::get_mut(self) {
                    value.lend_arrays(pool);
                }
            }
        }

        impl<T: Checkpoint> Checkpoint for $pointer<[T]> {
            const NAME: &'static str = "";

            fn schema(types: &mut Types) -> Type {
                <Self as Parts<(PhantomData<T>,)>>::of_parts(types, &[&T::schema])
            }
        }
    )*};
}

shared!(Arc Rc);

/// Weak pointers. serde writes the value behind them, and reads pointers to nothing.
macro_rules! weak {
    ($($pointer:ty),*) => {$(
        impl<T: Serialize + DeserializeOwned + 'static> Checkpoint for $pointer {
            const NAME: &'static str = "";

            fn schema(_: &mut Types) -> Type {
                Type::Unsupported(
                    "a `Weak` is read as one that points to nothing; leave it out with #[serde(skip)], \
                     and make it again after the load"
                        .to_owned(),
                )
            }
        }
    )*};
}

weak!(std::rc::Weak<T>, std::sync::Weak<T>);

/// Containers of one part that keep their arrays when a state is loaded into them.
macro_rules! containers {
    ($($ty:ident<T> $(where T: $($bound:ident)+)?;)*) => {$(
        impl<T: Checkpoint $($(+ $bound)+)?> Checkpoint for $ty<T> {
            const NAME: &'static str = "";

            fn schema(types: &mut Types) -> Type {
                <Self as Parts<(PhantomData<T>,)>>::of_parts(types, &[&T::schema])
            }
        }
    )*};
}

containers! {
    Wrapping<T>;
    Reverse<T>;
    Cell<T> where T: Copy;
    RefCell<T>;
    Mutex<T>;
    RwLock<T>;
    VecDeque<T>;
    LinkedList<T>;
    BinaryHeap<T> where T: Ord;
    BTreeSet<T> where T: Ord;
    Range<T>;
    RangeInclusive<T>;
}

impl<T: Checkpoint> Checkpoint for Vec<T> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        <Self as Parts<(PhantomData<T>,)>>::of_parts(types, &[&T::schema])
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        if !pool.lend(self) {
            self.iter_mut().for_each(|element| element.lend_arrays(pool));
        }
    }
}

impl<T: Checkpoint> Checkpoint for Box<[T]> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        <Self as Parts<(PhantomData<T>,)>>::of_parts(types, &[&T::schema])
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        let mut values = std::mem::take(self).into_vec();
        values.lend_arrays(pool);
        *self = values.into_boxed_slice();
    }
}

impl<T: Checkpoint + Eq + Hash, S: BuildHasher + Default + 'static> Checkpoint for HashSet<T, S> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        <Self as Parts<(PhantomData<T>,)>>::of_parts(types, &[&T::schema])
    }
}

impl<K: Checkpoint + Ord, V: Checkpoint> Checkpoint for BTreeMap<K, V> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        <Self as Parts<(PhantomData<K>, PhantomData<V>)>>::of_parts(types, &[&K::schema, &V::schema])
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        self.values_mut().for_each(|value| value.lend_arrays(pool));
    }
}

impl<K, V, S> Checkpoint for HashMap<K, V, S>
where
    K: Checkpoint + Eq + Hash,
    V: Checkpoint,
    S: BuildHasher + Default + 'static,
{
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        <Self as Parts<(PhantomData<K>, PhantomData<V>)>>::of_parts(types, &[&K::schema, &V::schema])
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        self.values_mut().for_each(|value| value.lend_arrays(pool));
    }
}

impl<T: Checkpoint> Checkpoint for Option<T> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        <Self as Parts<(PhantomData<T>,)>>::of_parts(types, &[&T::schema])
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        self.iter_mut().for_each(|value| value.lend_arrays(pool));
    }
}

impl<T: Checkpoint, const N: usize> Checkpoint for [T; N]
where
    [T; N]: ShortArray,
{
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        <Self as Parts<(PhantomData<T>,)>>::of_parts(types, &[&T::schema])
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        self.iter_mut().for_each(|value| value.lend_arrays(pool));
    }
}

/// A fixed array that serde writes and reads: one of at most 32 elements.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has more than 32 elements, and serde neither writes nor reads such an array here",
    label = "has a fixed array of more than 32 elements",
    note = "a field may be such an array, and so may what a `Vec`, `Box`, `Arc`, `Rc`, `Option` or the values of a `HashMap` or `BTreeMap` hold, as in `Option<Vec<[f64; 64]>>`",
    note = "in other places take `Vec<T>` or `Box<[T]>` instead of `[T; N]`, or give the array a type of its own with `#[checkpointed]`"
)]
pub trait ShortArray: Serialize + DeserializeOwned {}

macro_rules! short_arrays {
    ($($length:literal)*) => {$(
        impl<T: Checkpoint> ShortArray for [T; $length] {}
    )*};
}

short_arrays!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);

macro_rules! tuples {
    ($($($member:ident)+;)*) => {$(
        impl<$($member: Checkpoint),+> Checkpoint for ($($member,)+) {
            const NAME: &'static str = "";

            fn schema(types: &mut Types) -> Type {
                Type::Tuple(vec![$($member::schema(types)),+])
            }

            #[allow(non_snake_case, reason = "each member is named after its type")]
            fn lend_arrays(&mut self, pool: &mut ArrayPool) {
                let ($($member,)+) = self;
                $($member.lend_arrays(pool);)+
            }
        }

        impl<$($member),+> Parts<($(PhantomData<$member>,)+)> for ($($member,)+) {
            fn of_parts(types: &mut Types, parts: &[PartSchema<'_>]) -> Type {
                Type::Tuple(parts.iter().map(|part| part(types)).collect())
            }
        }
    )*};
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
    A B C D E F G H I;
    A B C D E F G H I J;
    A B C D E F G H I J K;
    A B C D E F G H I J K L;
    A B C D E F G H I J K L M;
    A B C D E F G H I J K L M N;
    A B C D E F G H I J K L M N O;
    A B C D E F G H I J K L M N O P;
}

impl<T: ?Sized + 'static> Checkpoint for PhantomData<T> {
    const NAME: &'static str = "";

    fn schema(_: &mut Types) -> Type {
        Type::Unit
    }
}

impl<T> Checkpoint for Cow<'static, T>
where
    T: Serialize + ToOwned + ?Sized + 'static,
    T::Owned: Checkpoint,
{
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        T::Owned::schema(types)
    }
}

impl<T: Checkpoint> Checkpoint for Saturating<T>
where
    Saturating<T>: Serialize + DeserializeOwned,
{
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        T::schema(types)
    }
}

impl<T: Checkpoint, E: Checkpoint> Checkpoint for Result<T, E> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        <Self as Parts<(PhantomData<T>, PhantomData<E>)>>::of_parts(types, &[&T::schema, &E::schema])
    }
}

impl Checkpoint for OsString {
    const NAME: &'static str = "";

    // Written out, because each platform can read only its own variant, and tracing would see no
    // other.
    fn schema(types: &mut Types) -> Type {
        types.define_derived::<Self>("OsString", 1, |_| {
            Body::Enum(vec![
                variant("Unix", Type::Seq(Box::new(Type::U8))),
                variant("Windows", Type::Seq(Box::new(Type::U16))),
            ])
        })
    }
}

/// Types with a form that serde fixes.
macro_rules! traced {
    ($($ty:ty),*) => {$(
        impl Checkpoint for $ty {
            const NAME: &'static str = "";

            // Compiled only into programs that have such a value: the code of tracing is large.
            #[inline]
            fn schema(types: &mut Types) -> Type {
                derived::<Self>(types)
            }
        }
    )*};
}

traced!(Duration, SystemTime, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6);

#[cfg(all(test, not(shuttle)))]
mod tests;
