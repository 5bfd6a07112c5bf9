//! The schema of one field of any type. A type that has `Checkpoint` gives its own; for any other
//! type plain serde is asked, so that a field of a foreign type needs no attribute.
//!
//! Without specialization, the order in which Rust looks for methods does this. The macro writes
//! `(&&Probe::<F, P>::NEW).schema(types, parts)` with all three traits in scope. `ViaCheckpoint` is
//! implemented for `&Probe`, so its method takes the receiver as it stands. `ViaParts` is
//! implemented for `&&Probe`, one more reference away, and is looked at if the first does not
//! apply. `ViaSerde` is implemented for `Probe`, one reference less, and comes last.
//!
//! If `F` is written like a container of the standard library, `P` lists the types of its parts:
//! `(PhantomData<K>, PhantomData<V>)` for `HashMap<K, V>`. Each part is then described by itself,
//! and an opaque part hides no other.

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

    /// Only looked at if no trait applies. The bound then refuses the field in the words of
    /// [`Checkpoint`].
    pub fn schema(self, types: &mut Types, _: &[PartSchema<'_>]) -> Type
    where
        F: Checkpoint,
    {
        F::schema(types)
    }

    /// Only looked at if no trait applies. The field around it is then refused.
    pub fn part(self, _: &mut Types, _: &[PartSchema<'_>]) -> Type {
        Type::Unit
    }

    /// Only looked at if no trait applies. The schema of the field is then refused.
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

/// The last choice: the requests of the type's `Deserialize` tell its schema.
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

/// The schema of a type of this library. Its serde code is derived.
pub(crate) fn derived<W: DeserializeOwned + 'static>(types: &mut Types) -> Type {
    types.import_derived::<W>(trace::trace::<W>)
}

/// The schema of a field that its author says is stored in the form of an `F`.
pub fn told<F: Checkpoint>(types: &mut Types) -> Type {
    // Only the written bytes show whether this is true.
    types.has_foreign_parts = true;
    F::schema(types)
}

/// The schema of a field that serde writes in another form than its type's own. `W` stands for that
/// form.
pub fn traced<W: DeserializeOwned + 'static>(types: &mut Types) -> Type {
    types.import::<W>(trace::trace::<W>)
}
