//! [`Checkpoint`] for the types of the standard library.

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
use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32,
    AtomicU64, AtomicUsize,
};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::schema::{Body, Field, Fields, Type, Types, Variant};
use super::{ArrayPool, Checkpoint, derived};

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
    String, Box<str>, PathBuf => String;
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

/// Types that are, to serde, what they hold.
macro_rules! wrappers {
    ($($ty:ident<T> $(where T: $bound:path)?;)*) => {$(
        impl<T: Checkpoint $(+ $bound)?> Checkpoint for $ty<T> {
            const NAME: &'static str = "";

            fn schema(types: &mut Types) -> Type {
                T::schema(types)
            }
        }
    )*};
}

wrappers! {
    Wrapping<T>;
    Reverse<T>;
    Cell<T> where T: Copy;
    RefCell<T>;
    Mutex<T>;
    RwLock<T>;
}

impl<T: Checkpoint> Checkpoint for Vec<T> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        Type::Seq(Box::new(T::schema(types)))
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        if !pool.lend(self) {
            self.iter_mut().for_each(|element| element.lend_arrays(pool));
        }
    }
}

macro_rules! sequences {
    ($($ty:ident<T> $(where T: $($bound:ident)+)?;)*) => {$(
        impl<T: Checkpoint $($(+ $bound)+)?> Checkpoint for $ty<T> {
            const NAME: &'static str = "";

            fn schema(types: &mut Types) -> Type {
                Type::Seq(Box::new(T::schema(types)))
            }
        }
    )*};
}

sequences! {
    VecDeque<T>;
    LinkedList<T>;
    BinaryHeap<T> where T: Ord;
    BTreeSet<T> where T: Ord;
}

impl<T: Checkpoint> Checkpoint for Box<[T]> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        Type::Seq(Box::new(T::schema(types)))
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
        Type::Seq(Box::new(T::schema(types)))
    }
}

impl<K: Checkpoint + Ord, V: Checkpoint> Checkpoint for BTreeMap<K, V> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        Type::Map(Box::new(K::schema(types)), Box::new(V::schema(types)))
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
        Type::Map(Box::new(K::schema(types)), Box::new(V::schema(types)))
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        self.values_mut().for_each(|value| value.lend_arrays(pool));
    }
}

impl<T: Checkpoint> Checkpoint for Option<T> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        Type::Option(Box::new(T::schema(types)))
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        self.iter_mut().for_each(|value| value.lend_arrays(pool));
    }
}

impl<T: Checkpoint, const N: usize> Checkpoint for [T; N]
where
    [T; N]: Serialize + DeserializeOwned,
{
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        Type::Array(Box::new(T::schema(types)), N as u64)
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        self.iter_mut().for_each(|value| value.lend_arrays(pool));
    }
}

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

fn variant(name: &str, ty: Type) -> Variant {
    Variant { name: name.to_owned(), fields: Fields::Newtype(ty) }
}

impl<T: Checkpoint, E: Checkpoint> Checkpoint for Result<T, E> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        types.define_derived::<Self>("Result", 1, |types| {
            Body::Enum(vec![variant("Ok", T::schema(types)), variant("Err", E::schema(types))])
        })
    }
}

fn bounds<T: Checkpoint, R: 'static>(types: &mut Types, name: &str) -> Type {
    types.define_derived::<R>(name, 1, |types| {
        let ty = T::schema(types);
        Body::Struct(Fields::Named(vec![
            Field { name: "start".to_owned(), ty: ty.clone() },
            Field { name: "end".to_owned(), ty },
        ]))
    })
}

impl<T: Checkpoint> Checkpoint for Range<T> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        bounds::<T, Self>(types, "Range")
    }
}

impl<T: Checkpoint> Checkpoint for RangeInclusive<T> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        bounds::<T, Self>(types, "RangeInclusive")
    }
}

impl Checkpoint for OsString {
    const NAME: &'static str = "";

    // Written out, because each platform can read only its own variant, and tracing would see no more.
    fn schema(types: &mut Types) -> Type {
        types.define_derived::<Self>("OsString", 1, |_| {
            Body::Enum(vec![
                variant("Unix", Type::Seq(Box::new(Type::U8))),
                variant("Windows", Type::Seq(Box::new(Type::U16))),
            ])
        })
    }
}

/// Types whose form serde fixes.
macro_rules! traced {
    ($($ty:ty),*) => {$(
        impl Checkpoint for $ty {
            const NAME: &'static str = "";

            fn schema(types: &mut Types) -> Type {
                derived::<Self>(types)
            }
        }
    )*};
}

traced!(Duration, SystemTime, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6);

#[cfg(test)]
mod tests;
