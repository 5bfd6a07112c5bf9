//! The macros of [`checkpointed`](https://docs.rs/checkpointed): use that package, which re-exports them.
//!
//! An item goes through `attr` (the attributes it carries) → `ast` (the item as the macro sees it) → `valid` (what
//! cannot be stored is refused, all of it at once) → `expand` (the implementation, its bounds from `bound`).
//! `#[checkpointed]` comes before all that: `attribute` turns it into derives.

mod ast;
mod attr;
mod attribute;
mod bound;
mod case;
mod expand;
mod fixed;
mod former;
mod lend;
mod probe;
mod valid;

use proc_macro::TokenStream;

/// Makes a struct or an enum a state that can be saved to a checkpoint: derives serde's two traits and `Checkpoint`.
///
/// ```
/// use checkpointed::checkpointed;
///
/// #[checkpointed]
/// #[derive(Debug, Default)]
/// struct Simulation {
///     step: u64,
///     particles: Vec<Particle>,
///     #[serde(skip)]
///     scratch: Vec<f64>,
/// }
///
/// #[checkpointed(name = "particle", version = 2)]
/// #[derive(Debug)]
/// enum Particle {
///     Free { position: [f64; 3] },
///     Bound(usize),
/// }
///
/// let schema = checkpointed::schema::Schema::of::<Simulation>();
/// assert_eq!(schema.types[0].name, "Simulation");
/// assert_eq!(schema.types[1].name, "particle");
/// ```
///
/// Write it above the item's other attributes: it cannot see derives that stand before it. Derives of serde's traits
/// that stand after it are kept, and not repeated. No dependency on serde is needed, not even for serde's attributes.
///
/// # Arguments
///
/// | argument | meaning | without it |
/// |---|---|---|
/// | `name = "…"` | what the checkpoint calls the type | the type's own name, or serde's `rename` |
/// | `version = N` | a `u32`; raise it when the meaning changes and the fields do not | 1 |
/// | `migrate(from = N, with = f)` | `f` makes this type of the one that had version `N`; may be given for several versions | a checkpoint of an older version is refused |
/// | `was_type = "…"` | what the checkpoint called the type before; may be given several times | a checkpoint that knows a tuple struct or a newtype, or the state itself, by another name is refused |
/// | `crate = "…"` | the path of this library, where it goes by another name | `::checkpointed` |
///
/// On a field, `#[checkpointed(was_type = "…")]` says what a type in it was called before: that of another crate, which
/// cannot say it itself. `#[derive(Checkpoint)]` has `#[checkpoint(was_type = "…")]` for both.
///
/// # Migrations
///
/// When the meaning of a type changes, raise its version, keep the older type under another name of Rust's, and say how the
/// one becomes the other. Each type has the migration from the one before it, so that they are chained. The function may return a
/// `Result`; its error is that of the load, and nothing older is loaded instead.
///
/// ```
/// # use checkpointed::checkpointed;
/// #[checkpointed(name = "sensor")]
/// struct SensorV1 { celsius: f64 }
///
/// #[checkpointed(name = "sensor", version = 2, migrate(from = 1, with = Sensor::in_kelvin))]
/// struct Sensor { kelvin: f64 }
///
/// impl Sensor {
///     fn in_kelvin(old: SensorV1) -> Sensor {
///         Sensor { kelvin: old.celsius + 273.15 }
///     }
/// }
/// ```
///
/// # Types of other crates
///
/// A field may have any type that implements serde's traits. Its form is found out when a directory is opened: the type is
/// read from sample values, in a thread of its own, part by part where it is written as a tuple or as a container of the
/// standard library. Parts that refuse all samples may hide what comes after them; `Schema::opaque_parts` lists what stays
/// unknown, and a warning in the log does too.
///
/// Constructors and conversions of the type run on these samples. One that panics counts as a refusal, and nothing is
/// printed, though with `panic = "abort"` it ends the program. One that has side effects has them, and one that does not
/// come back for ten seconds is an error that names it. For such types the form is said, and nothing is run:
///
/// ```
/// use checkpointed::checkpointed;
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Handle(u32);
///
/// #[checkpointed]
/// struct Job {
///     #[checkpointed(as = "u32")]
///     handle: Handle,
///     steps: Vec<f64>,
/// }
///
/// assert_eq!(checkpointed::schema::Schema::of::<Job>().types.len(), 1);
/// ```
///
/// The text is any type that is a `Checkpoint` and that serde writes in the same form. Under `#[derive(Checkpoint)]` alone
/// it is `#[checkpoint(as = "…")]`.
///
/// # Shared pointers
///
/// `Arc<T>` and `Rc<T>` are stored with what they point to, so what was shared is a copy each after a load, and a cycle is
/// nested without end, which is an error when it is saved. A `Weak` is refused: leave it out with `#[serde(skip)]`.
///
/// # Generics
///
/// Bounds are inferred as serde infers them: a type parameter in a stored field has to be a `Checkpoint`, so for a type of
/// another crate it is `Plain<Foreign>` where the generic type is the state itself. `#[serde(bound = "…")]` takes the place
/// of what is inferred.
///
/// # What is refused, and why
///
/// Checkpoints are written with bincode, which stores values one after the other, without names. What changes how
/// many values there are, or cannot be read without knowing what comes next, is refused when the program is compiled:
///
/// - `flatten`, `untagged`, `tag`, `content` and `other`, and `skip_serializing_if`, `skip_serializing` or
///   `skip_deserializing` alone;
/// - whatever is not written and read alike: different names for the two, `into` another type than `from`,
///   `serialize_with` without `deserialize_with`, a skipped variant before others (serde counts it when it writes,
///   and not when it reads);
/// - what borrows: lifetime parameters, references, `borrow`;
/// - unions, and what is there for other formats or types: `remote`, `getter`, `field_identifier`,
///   `variant_identifier`.
///
/// The way out is mostly `#[serde(with = "checkpointed::self_describing")]` on a *field* whose type only has serde's
/// derives: the field is then stored in a form that says of each value what it is, and its type may use any of these
/// attributes. `checkpointed::json` is a form that people can read, and refuses what JSON would lose.
///
/// ```
/// use checkpointed::checkpointed;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(untagged)]
/// enum Setting {
///     Number(f64),
///     Text(String),
/// }
///
/// #[checkpointed]
/// struct Settings {
///     #[serde(with = "checkpointed::self_describing")]
///     all: Vec<Setting>,
/// }
/// ```
///
/// # Limits
///
/// A variant with `#[serde(skip)]` compiles, as serde has it, and fails to be saved. A field of a generic type of
/// yours whose argument is a foreign type, such as `Pair<Foreign>`, is described as serde describes it: without the
/// name and the version given here.
#[proc_macro_attribute]
pub fn checkpointed(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute::expand(&arguments.into(), &item.into()).into()
}

/// Derives `Checkpoint` for a type that has serde's traits already; [`#[checkpointed]`](macro@checkpointed) does both.
///
/// ```
/// use checkpointed::Checkpoint;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Checkpoint)]
/// #[checkpoint(name = "sum", version = 3)]
/// struct RunningSum {
///     count: u64,
///     #[serde(rename = "sum")]
///     total: f64,
/// }
///
/// assert_eq!((RunningSum::NAME, RunningSum::VERSION), ("sum", 3));
/// ```
///
/// It reads serde's attributes, so serde's traits have to be derived too, not written by hand. The arguments are those
/// of `#[checkpointed]`, in an attribute of another name, `#[checkpoint(…)]`, because the two would be confused
/// where both macros are imported. What is refused, and why, is said there too.
#[proc_macro_derive(Checkpoint, attributes(checkpoint))]
pub fn derive_checkpoint(item: TokenStream) -> TokenStream {
    expand::derive(item.into()).into()
}
