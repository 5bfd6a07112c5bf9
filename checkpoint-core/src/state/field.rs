//! The schema of one field, whatever its type: `Checkpoint` is taken where the type has it, and plain serde where
//! it has not, so that a field of a foreign type needs no attribute.
//!
//! Without specialization this is done by the order in which Rust looks for methods. The macro writes
//! `(&&Probe::<F, P>::NEW).schema(types, parts)` with all three traits in scope. `ViaCheckpoint` is implemented for
//! `&Probe`, so its method takes the receiver as it stands; `ViaParts` is implemented for `&&Probe`, one more reference
//! away, and is looked at when the first does not apply; `ViaSerde` is implemented for `Probe`, one reference less, and
//! comes last.
//!
//! `P` are the types of which `F` is written to be made, where that looks like a container of the standard library:
//! `(PhantomData<K>, PhantomData<V>)` for `HashMap<K, V>`. Each is then described by itself, and one of which nothing
//! can be found out hides no other.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::implementations::{PartSchema, Parts};
use super::{Checkpoint, Types};
use crate::arrays::ArrayPool;
use crate::schema::Type;
use crate::trace;

/// Stands for a field of type `F`, made of `P`, without having one.
pub struct Probe<F: ?Sized, P = ()>(PhantomData<fn() -> P>, PhantomData<F>);

impl<F: ?Sized, P> Probe<F, P> {
    /// The only value.
    pub const NEW: Probe<F, P> = Probe(PhantomData, PhantomData);

    /// Only looked at when no trait applies, and then refused, in the words of [`Checkpoint`].
    pub fn schema(self, types: &mut Types, _: &[PartSchema<'_>]) -> Type
    where
        F: Checkpoint,
    {
        F::schema(types)
    }

    /// Only looked at when no trait applies. The field that it is a part of is then refused.
    pub fn part(self, _: &mut Types, _: &[PartSchema<'_>]) -> Type {
        Type::Unit
    }

    /// Only looked at when no trait applies. The schema of the field is then refused.
    pub fn lend_arrays(self, _: &mut F, _: &mut ArrayPool) {}
}

impl<F: ?Sized, P> Clone for Probe<F, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: ?Sized, P> Copy for Probe<F, P> {}

impl<F: ?Sized, P> fmt::Debug for Probe<F, P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Probe")
    }
}

/// The first choice: the type tells its schema.
pub trait ViaCheckpoint<F> {
    /// Adds the field's type to `types`.
    fn schema(&self, types: &mut Types, parts: &[PartSchema<'_>]) -> Type;

    /// The same for a part of a field.
    fn part(&self, types: &mut Types, parts: &[PartSchema<'_>]) -> Type {
        self.schema(types, parts)
    }

    /// Gives up the memory of the field's large arrays.
    fn lend_arrays(&self, field: &mut F, pool: &mut ArrayPool);
}

impl<F: Checkpoint, P> ViaCheckpoint<F> for &Probe<F, P> {
    fn schema(&self, types: &mut Types, _: &[PartSchema<'_>]) -> Type {
        F::schema(types)
    }

    fn lend_arrays(&self, field: &mut F, pool: &mut ArrayPool) {
        field.lend_arrays(pool);
    }
}

/// The second choice: the type is a container, and its parts tell their schemas.
pub trait ViaParts<F> {
    /// Adds the field's type to `types`.
    fn schema(&self, types: &mut Types, parts: &[PartSchema<'_>]) -> Type;

    /// The same for a part of a field.
    fn part(&self, types: &mut Types, parts: &[PartSchema<'_>]) -> Type {
        self.schema(types, parts)
    }
}

impl<F: Parts<P> + Serialize + DeserializeOwned + 'static, P> ViaParts<F> for &&Probe<F, P> {
    fn schema(&self, types: &mut Types, parts: &[PartSchema<'_>]) -> Type {
        F::of_parts(types, parts)
    }
}

/// The last choice: the schema is found out from what the type asks of a deserializer.
pub trait ViaSerde<F> {
    /// Adds the field's type to `types`.
    fn schema(&self, types: &mut Types, parts: &[PartSchema<'_>]) -> Type;

    /// The same for a part of a field.
    fn part(&self, types: &mut Types, parts: &[PartSchema<'_>]) -> Type {
        self.schema(types, parts)
    }

    /// A foreign type keeps its arrays.
    fn lend_arrays(&self, field: &mut F, pool: &mut ArrayPool);
}

impl<F: Serialize + DeserializeOwned + 'static, P> ViaSerde<F> for Probe<F, P> {
    fn schema(&self, types: &mut Types, _: &[PartSchema<'_>]) -> Type {
        types.import::<F>(trace::trace::<F>)
    }

    fn lend_arrays(&self, _: &mut F, _: &mut ArrayPool) {}
}

/// The schema of a type of this library, whose serde code is derived.
pub(crate) fn derived<W: DeserializeOwned + 'static>(types: &mut Types) -> Type {
    types.import_derived::<W>(trace::trace::<W>)
}

/// The schema of a field that is stored in the form of an `F`, as its author says.
pub fn told<F: Checkpoint>(types: &mut Types) -> Type {
    // That it is so is only known from what is written.
    types.has_foreign_parts = true;
    F::schema(types)
}

/// The schema of a field that serde writes in another form than its type's own, for which `W` stands.
pub fn traced<W: DeserializeOwned + 'static>(types: &mut Types) -> Type {
    types.import::<W>(trace::trace::<W>)
}
