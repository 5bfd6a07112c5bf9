//! [`Borrowed`]: a struct of references that is saved in the stead of a state.

use serde::Serialize;

use super::Checkpoint;

/// A struct of references that is saved as a state that owns its parts.
///
/// `#[checkpointed(owned = "State")]` on a struct with a lifetime implements it, and makes that
/// state: the struct `State` has the same fields, `T` in the place of `&T`, `Vec<T>` of `&[T]` and
/// `String` of `&str`. [`save_parts`](crate::Checkpointer::save_parts) and its like save the one,
/// and a load gives the other. What the one saved and what the other saved are the same checkpoint.
/// Where it is implemented by hand, a save of another form than that of `Owned` is an error.
///
/// ```
/// use checkpointed::{checkpointed, schema::Schema, traits::Borrowed};
///
/// #[checkpointed(owned = "State")]
/// struct Parts<'a> {
///     grid: &'a Vec<f64>,
///     name: &'a str,
///     step: u64,
/// }
///
/// fn owned_schema<P: Borrowed>(_: &P) -> Schema {
///     Schema::of::<P::Owned>()
/// }
///
/// let parts = Parts { grid: &vec![0.5], name: "heat", step: 1 };
/// assert_eq!(owned_schema(&parts), Schema::of::<State>());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be saved by reference",
    label = "not made by `#[checkpointed(owned = \"…\")]`",
    note = "put `#[checkpointed(owned = \"…\")]` on the struct of references; a field with a lifetime of another type, such as `Cow<'a, T>` or a view of an array, is to become `&'a T`"
)]
pub trait Borrowed: Serialize {
    /// The state that a load gives.
    type Owned: Checkpoint;
}
