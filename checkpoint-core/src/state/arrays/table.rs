//! Which types are arrays: `Vec` and slices of numbers, and of fixed arrays of numbers.

use std::any::TypeId;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use bytemuck::{NoUninit, Pod};
use serde::de::value::Error;
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};

use super::erased::{NoLifetimes, Owned, Views};
use super::{ArraySource, Dtype, Kind, Reference};

/// Everything that is known of an array type.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By the type of a borrowed sequence.
    pub(super) views: Views,
    /// By the type of the elements, as a header has it: one of them for each length of each dimension.
    pub(super) by_dtype: HashMap<&'static str, Vec<Kind>>,
    /// By the type of the visitor with which a `Vec` asks for its elements.
    pub(super) visitors: HashMap<TypeId, Kind, ById>,
    /// The types of such `Vec`s.
    pub(super) owned: HashMap<TypeId, Kind, ById>,
}

/// A `TypeId` is a hash already.
pub(super) type ById = BuildHasherDefault<IdHasher>;

#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// Empty where numbers do not lie in memory as they are written, so that all are encoded one by one.
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::default();
    if cfg!(target_endian = "little") {
        fill(&mut table);
    }
    table
});

/// Adds types of rows: the type, then its dimensions.
macro_rules! rows {
    ($table:ident, $dtype:expr, $($row:ty: [$($length:expr),*];)+) => {$(
        $table.add::<$row>($dtype, &[$($length),*]);
    )+};
}

/// Adds a type of numbers, its fixed arrays as long as serde knows them, and small fixed matrices of it.
macro_rules! numbers {
    ($table:ident, $($type:ty: $descr:literal;)+) => {$(
        let is_i128 = TypeId::of::<$type>() == TypeId::of::<i128>();
        let dtype = Dtype { descr: $descr, size: size_of::<$type>() as u64, is_i128 };
        rows!($table, dtype, $type: [];);
        lengths!($table, dtype, $type, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28
            29 30 31 32);
        rows!($table, dtype,
            [[$type; 2]; 2]: [2, 2]; [[$type; 3]; 2]: [2, 3]; [[$type; 4]; 2]: [2, 4];
            [[$type; 2]; 3]: [3, 2]; [[$type; 3]; 3]: [3, 3]; [[$type; 4]; 3]: [3, 4];
            [[$type; 2]; 4]: [4, 2]; [[$type; 3]; 4]: [4, 3]; [[$type; 4]; 4]: [4, 4];
        );
    )+};
}

macro_rules! lengths {
    ($table:ident, $dtype:ident, $type:ty, $($length:literal)+) => {
        rows!($table, $dtype, $([$type; $length]: [$length];)+);
    };
}

fn fill(table: &mut Table) {
    numbers! { table,
        u8: "|u1"; u16: "<u2"; u32: "<u4"; u64: "<u8"; u128: "|V16";
        i8: "|i1"; i16: "<i2"; i32: "<i4"; i64: "<i8"; i128: "|V16";
        f32: "<f4"; f64: "<f8";
    }
    // As wide as in the file on these platforms; elsewhere they are encoded one by one.
    #[cfg(target_pointer_width = "64")]
    numbers! { table, usize: "<u8"; isize: "<i8"; }
    table.add_bool();
    #[cfg(feature = "num-complex")]
    numbers! { table, num_complex::Complex<f32>: "<c8"; num_complex::Complex<f64>: "<c16"; }
    // numpy has no bfloat16; its two bytes are there as they are.
    #[cfg(feature = "half")]
    numbers! { table, half::f16: "<f2"; half::bf16: "|V2"; }
    #[cfg(feature = "nalgebra")]
    fixed_matrices(table);
}

/// Fixed vectors, points and matrices, which are to serde what a fixed array of their elements is.
#[cfg(feature = "nalgebra")]
fn fixed_matrices(table: &mut Table) {
    use nalgebra::{Point, Quaternion, SMatrix};

    macro_rules! vectors {
        ($dtype:ident, $type:ty, $($length:literal)+) => {
            rows!(table, $dtype, $(
                SMatrix<$type, $length, 1>: [$length];
                Point<$type, $length>: [$length];
            )+);
        };
    }
    macro_rules! matrices {
        ($dtype:ident, $type:ty, $($rows:literal * $columns:literal)+) => {
            rows!(table, $dtype, $(SMatrix<$type, $rows, $columns>: [$rows * $columns];)+);
        };
    }
    macro_rules! numbers {
        ($($type:ty: $descr:literal;)+) => {$(
            let dtype = Dtype { descr: $descr, size: size_of::<$type>() as u64, is_i128: false };
            vectors!(dtype, $type, 1 2 3 4 5 6);
        )+};
    }
    macro_rules! floats {
        ($($type:ty: $descr:literal;)+) => {$(
            numbers! { $type: $descr; }
            let dtype = Dtype { descr: $descr, size: size_of::<$type>() as u64, is_i128: false };
            rows!(table, dtype, Quaternion<$type>: [4];);
            matrices!(dtype, $type,
                1*2 1*3 1*4 1*5 1*6 2*2 2*3 2*4 2*5 2*6 3*2 3*3 3*4 3*5 3*6
                4*2 4*3 4*4 4*5 4*6 5*2 5*3 5*4 5*5 5*6 6*2 6*3 6*4 6*5 6*6
            );
        )+};
    }
    numbers! {
        u8: "|u1"; u16: "<u2"; u32: "<u4"; u64: "<u8"; i8: "|i1"; i16: "<i2"; i32: "<i4"; i64: "<i8";
    }
    #[cfg(target_pointer_width = "64")]
    numbers! { usize: "<u8"; isize: "<i8"; }
    floats! { f32: "<f4"; f64: "<f8"; }
    #[cfg(feature = "num-complex")]
    floats! { num_complex::Complex<f32>: "<c8"; num_complex::Complex<f64>: "<c16"; }
    #[cfg(feature = "half")]
    numbers! { half::f16: "<f2"; half::bf16: "|V2"; }
}

impl Table {
    fn add<R: Pod + NoLifetimes + DeserializeOwned>(&mut self, dtype: Dtype, inner: &'static [u64]) {
        self.add_row::<R>(Kind { dtype, inner, read: read::<R> });
    }

    fn add_bool(&mut self) {
        let dtype = Dtype { descr: "|b1", size: 1, is_i128: false };
        self.add_row::<bool>(Kind { dtype, inner: &[], read: read_bools });
    }

    fn add_row<R: NoUninit + NoLifetimes + DeserializeOwned>(&mut self, kind: Kind) {
        self.views.insert::<R>(kind);
        self.visitors.insert(visitor_of::<Vec<R>>(), kind);
        let kinds = self.by_dtype.entry(kind.dtype.descr).or_default();
        // A fixed vector is the same rows as a fixed array.
        if !kinds.iter().any(|known| known.inner == kind.inner) {
            kinds.push(kind);
        }
        self.owned.insert(TypeId::of::<Vec<R>>(), kind);
    }
}

/// Reads straight into the memory that is the `Vec`'s: that of an array which the state had before, or else zeroed
/// memory, which comes from the system untouched, so that a large array is neither cleared first nor copied.
fn read<R: Pod + NoLifetimes>(
    source: &mut dyn ArraySource,
    array: Reference,
    kind: Kind,
) -> Result<Owned, String> {
    source.check(array, kind)?;
    let rows = usize::try_from(array.rows).map_err(|_| no_memory(array.rows))?;
    let mut values = match source.pool().take::<R>(rows) {
        Some(values) => values,
        None => zeroed(rows)?,
    };
    source.fill(array, bytemuck::cast_slice_mut(&mut values))?;
    Ok(Owned::new(values))
}

/// The same for the one type that not every byte is a value of.
fn read_bools(source: &mut dyn ArraySource, array: Reference, kind: Kind) -> Result<Owned, String> {
    source.check(array, kind)?;
    let mut bytes = zeroed::<u8>(usize::try_from(array.rows).map_err(|_| no_memory(array.rows))?)?;
    source.fill(array, &mut bytes)?;
    match bytemuck::checked::try_cast_slice::<u8, bool>(&bytes) {
        Ok(values) => Ok(Owned::new(values.to_vec())),
        Err(_) => Err(format!("array {} has a byte that is neither 0 nor 1", array.number)),
    }
}

fn zeroed<R: bytemuck::Zeroable>(rows: usize) -> Result<Vec<R>, String> {
    bytemuck::allocation::try_zeroed_vec(rows).map_err(|()| no_memory(rows as u64))
}

fn no_memory(rows: u64) -> String {
    format!("there is no memory for an array of {rows} rows")
}

/// The type of the visitor with which `T` asks for its elements.
fn visitor_of<T: DeserializeOwned>() -> TypeId {
    let mut found = TypeId::of::<()>();
    let _ = T::deserialize(Ask(&mut found));
    found
}

/// A deserializer that gives nothing, and notes who asks for a sequence.
struct Ask<'a>(&'a mut TypeId);

impl<'de> Deserializer<'de> for Ask<'_> {
    type Error = Error;

    fn deserialize_seq<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        *self.0 = typeid::of::<V>();
        Err(Error::custom("only asked"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("not a sequence"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct tuple tuple_struct map struct enum identifier ignored_any
    }
}
