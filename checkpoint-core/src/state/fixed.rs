//! Fixed arrays of numbers, of any length, in places that `#[checkpointed]` cannot see.
//!
//! serde has fixed arrays of up to 32 elements. In a field with a type that is written out, as
//! `[[f64; 64]; 64]`, `Vec<[f32; 784]>`, `Arc<[f64; 100]>` or `HashMap<String, [f64; 64]>`,
//! `#[checkpointed]` sees longer ones by itself. Behind an alias, or in a type that derives serde's
//! traits on its own, they need this attribute:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use checkpointed::fixed;
//! use serde::{Deserialize, Serialize};
//!
//! type Grid = [[f64; 64]; 64];
//!
//! #[derive(Serialize, Deserialize)]
//! struct Fields {
//!     #[serde(with = "fixed")]
//!     temperature: Grid,
//!     #[serde(with = "fixed")]
//!     by_name: BTreeMap<String, [f32; 100]>,
//! }
//!
//! let by_name = [("first".to_owned(), [0.5; 100])].into();
//! let fields = Fields { temperature: [[1.5; 64]; 64], by_name };
//! let text = serde_json::to_string(&fields)?;
//! let loaded: Fields = serde_json::from_str(&text)?;
//! assert_eq!(loaded.temperature, fields.temperature);
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! In a program the path is `"checkpointed::fixed"`. In a checkpoint the array is one entry with
//! all its dimensions. In other formats it is a tuple, like serde's short arrays. The attribute
//! takes `[T; N]`, `Box<[T; N]>`, `Arc<[T; N]>`, `Rc<[T; N]>`, `Vec<[T; N]>` and `Box<[[T; N]]>`,
//! where `T` is a number or again a fixed array. It also takes these in an `Option`, or as the
//! values of a `HashMap` or a `BTreeMap`.
//!
//! A fixed array that is not in a `Box` or a `Vec` is on the stack while it is read, several times
//! over in a debug build. From some 10 kB on, use `Box<[T; N]>`, which never is.
//!
//! A fixed array of more than 32 elements cannot be the whole state, because serde's traits are not
//! implemented for it. Put it in a struct with `#[checkpointed]`, or use a `Vec`.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};
use std::rc::Rc;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserializer, Serialize, Serializer};

use super::adapter::{Adapter, Arrangement, Boxed, BoxedRows, Fixed, Maybe, Rows, Same, Shared, Values};

/// Writes the value.
///
/// # Errors
/// The errors of the serializer.
pub fn serialize<F: FixedArrays, S: Serializer>(value: &F, serializer: S) -> Result<S::Ok, S::Error> {
    F::Adapter::write(value, serializer)
}

/// Reads the value.
///
/// # Errors
/// The errors of the deserializer, and one if the number of elements is another.
pub fn deserialize<'de, F: FixedArrays, D: Deserializer<'de>>(deserializer: D) -> Result<F, D::Error> {
    F::Adapter::read(deserializer)
}

/// A number, or a fixed array of them.
pub trait Row: Sized + 'static {
    /// Its arrangement in memory, and the way to write it.
    #[doc(hidden)]
    type Arrangement: Adapter<Self> + Arrangement<Self>;
}

/// A type made of fixed arrays of numbers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not of fixed arrays of numbers that `fixed` knows",
    note = "it takes `[T; N]`, `Box<[T; N]>`, `Arc<[T; N]>`, `Rc<[T; N]>`, `Vec<[T; N]>` and `Box<[[T; N]]>`, where `T` is a number or again a fixed array, in an `Option`, or as the values of a map"
)]
pub trait FixedArrays: Sized {
    /// Its adapter for writing and reading.
    #[doc(hidden)]
    type Adapter: Adapter<Self>;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Row for $number {
            type Arrangement = Same;
        }
    )*};
}

numbers!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, bool);
#[cfg(feature = "num-complex")]
numbers!(num_complex::Complex<f32>, num_complex::Complex<f64>);
#[cfg(feature = "half")]
numbers!(half::f16, half::bf16);

impl<T: Row, const N: usize> Row for [T; N] {
    type Arrangement = Fixed<T::Arrangement>;
}

impl<T: Row, const N: usize> FixedArrays for [T; N] {
    type Adapter = Fixed<T::Arrangement>;
}

impl<T: Row, const N: usize> FixedArrays for Box<[T; N]> {
    type Adapter = Boxed<Fixed<T::Arrangement>>;
}

impl<T: Row, const N: usize> FixedArrays for Arc<[T; N]> {
    type Adapter = Shared<Fixed<T::Arrangement>>;
}

impl<T: Row, const N: usize> FixedArrays for Rc<[T; N]> {
    type Adapter = Shared<Fixed<T::Arrangement>>;
}

impl<T: Row, const N: usize> FixedArrays for Vec<[T; N]> {
    type Adapter = Rows<Fixed<T::Arrangement>>;
}

impl<T: Row, const N: usize> FixedArrays for Box<[[T; N]]> {
    type Adapter = BoxedRows<Fixed<T::Arrangement>>;
}

impl<F: FixedArrays> FixedArrays for Option<F> {
    type Adapter = Maybe<F::Adapter>;
}

impl<K: Serialize + DeserializeOwned + Ord, F: FixedArrays> FixedArrays for BTreeMap<K, F> {
    type Adapter = Values<F::Adapter>;
}

impl<K, F, S> FixedArrays for HashMap<K, F, S>
where
    K: Serialize + DeserializeOwned + Eq + Hash,
    F: FixedArrays,
    S: BuildHasher + Default,
{
    type Adapter = Values<F::Adapter>;
}
