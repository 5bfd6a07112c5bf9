//! The macros of [`checkpointed`](https://docs.rs/checkpointed): use that package, which re-exports
//! them.
//!
//! An item goes through `attr` (its attributes) → `ast` (the item in the macro's view) → `valid`
//! (refuses everything that cannot be stored, all at once) → `expand` (the implementation, with its
//! bounds from `bound`). `#[checkpointed]` comes first: `attribute` turns it into derives.

mod ast;
mod attr;
mod attribute;
mod bound;
mod case;
mod expand;
mod fixed;
mod former;
mod lend;
mod owned;
mod probe;
mod valid;
mod was;

use proc_macro::TokenStream;

/// Makes a struct or an enum a state that can be saved to a checkpoint: derives serde's two traits
/// and `Checkpoint`.
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
/// Write it above the item's other attributes: it cannot see derives above it. Derives of serde's
/// traits below it are kept, and not repeated. No dependency on serde is needed, not even for
/// serde's attributes.
///
/// # Arguments
///
/// | argument | meaning | without it |
/// |---|---|---|
/// | `name = "…"` | the type's name in checkpoints | the type's own name, or serde's `rename` |
/// | `version = N` | a `u32`; raise it when the meaning changes and the fields do not | 1 |
/// | `migrate(from = N, with = f)` | `f` converts version `N`; repeatable | older ones are refused |
/// | `was_type = "…"` | a former name of the type; repeatable | see below |
/// | `owned = "…"` | on a struct of references: makes the state of this name, which owns what it borrows | – |
/// | `crate = "…"` | the path of this library under another name | `::checkpointed` |
///
/// Without `was_type`, a checkpoint is refused if it has another name for a tuple struct, a
/// newtype, or the state itself. On a field, `#[checkpointed(was_type = "…")]` gives a former name
/// of a type of another crate inside it, which cannot give it itself. `#[derive(Checkpoint)]` has
/// `#[checkpoint(was_type = "…")]` for both.
///
/// # Migrations
///
/// When the meaning of a type changes, raise its version, keep the older type under another Rust
/// name, and give a function that converts the old type into the new one. Each type has the
/// migration from the version before it, so that they form a chain. The function may return a
/// `Result`. Its error becomes the error of the load, and no older checkpoint is loaded instead.
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
/// Where only some fields change, the older type need not be kept: the new field names the former
/// one, or several, and a function of their values.
///
/// ```
/// # use checkpointed::checkpointed;
/// #[checkpointed(name = "sensor", version = 2)]
/// struct Sensor {
///     #[checkpointed(was("celsius", with = in_kelvin))]
///     kelvin: f64,
///     station: String,
/// }
///
/// fn in_kelvin(celsius: f64) -> f64 {
///     celsius + 273.15
/// }
/// ```
///
/// # Types of other crates
///
/// A field may have any type that implements serde's traits. Its form is determined when a
/// directory is opened. The library reads the type from sample values in a thread of its own, part
/// by part if it is written as a tuple or as a container of the standard library. Parts that refuse
/// all samples may hide the parts after them; `Schema::opaque_parts` lists the unknown ones, and a
/// warning in the log does too.
///
/// Constructors and conversions of the type run on these samples. A panic counts as a refusal, and
/// prints nothing, but with `panic = "abort"` it ends the program. Side effects happen. A call that
/// does not return for ten seconds is an error that names the type. Give the form of such a type
/// yourself, and none of its code is run:
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
/// The text is any type that is a `Checkpoint` and that serde writes in the same form. Under
/// `#[derive(Checkpoint)]` alone it is `#[checkpoint(as = "…")]`.
///
/// # By reference
///
/// Where the parts of a state are in several places of the program, save them without a clone: make a
/// struct of references, and give the name of the state that a load returns.
///
/// ```
/// use checkpointed::{Checkpointer, checkpointed};
///
/// #[checkpointed(owned = "State", name = "heat")]
/// #[derive(Debug, Default)]
/// struct Parts<'a> {
///     grid: &'a [f64],
///     name: &'a str,
///     step: u64,
/// }
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let mut checkpoints = Checkpointer::<State>::open(&path)?;
/// let State { mut grid, name, mut step } = checkpoints.load_or_default()?;
/// grid.resize(1000, 0.5);
/// step += 1;
/// checkpoints.save_parts(&Parts { grid: &grid, name: &name, step })?;
/// # Ok(())
/// # }
/// ```
///
/// The state has `T` for `&T`, `Vec<T>` for `&[T]`, `String` for `&str`, also inside of options, tuples
/// and containers; a field that is a struct of references itself has its state. It gets the
/// attributes and derives of the struct, and all other arguments. `Default` and `Deserialize` are
/// derived for the state alone, `Copy` for the references alone.
///
/// # Shared pointers
///
/// `Arc<T>` and `Rc<T>` are stored with the value that they point to. So each shared pointer has a
/// copy of its own after a load, and a cycle is nested without end, which is an error at the save.
/// A `Weak` is refused: leave it out with `#[serde(skip)]`.
///
/// # Generics
///
/// Bounds are inferred as serde infers them. A type parameter in a stored field must be a
/// `Checkpoint`, so a type of another crate is `Plain<Foreign>` if the generic type is the state
/// itself. `#[serde(bound = "…")]` replaces the inferred bounds.
///
/// # Refused attributes and types
///
/// Checkpoints are written with bincode, which stores values one after the other, without names.
/// These attributes and types are refused at compile time, because they change the number of
/// values, or cannot be read without knowing the next value:
///
/// - `flatten`, `untagged`, `tag`, `content` and `other`, and `skip_serializing_if`,
///   `skip_serializing` or `skip_deserializing` alone;
/// - different forms for writing and reading: different names for the two, `into` another type than
///   `from`, `serialize_with` without `deserialize_with`, a skipped variant before others (serde
///   counts it when it writes, and not when it reads);
/// - borrowed data without `owned`: lifetime parameters, references, `borrow`;
/// - unions, and attributes for other formats or types: `remote`, `getter`, `field_identifier`,
///   `variant_identifier`.
///
/// The way out is mostly `#[serde(with = "checkpointed::self_describing")]` on a *field* with a
/// type that only has serde's derives. The field is then stored in a form that describes each
/// value, and its type may use any of these attributes. `checkpointed::json` is a form that people
/// can read, and refuses values that JSON would lose.
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
/// A variant with `#[serde(skip)]` compiles, as in serde, and fails to be saved. A field with a
/// generic type of yours and a foreign argument, such as `Pair<Foreign>`, has the schema that serde
/// gives: without the name and the version given here.
#[proc_macro_attribute]
pub fn checkpointed(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute::expand(&arguments.into(), &item.into()).into()
}

/// Derives `Checkpoint` for a type that has serde's traits already;
/// [`#[checkpointed]`](macro@checkpointed) does both.
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
/// It reads serde's attributes, so serde's traits must be derived too, not written by hand. The
/// arguments are those of `#[checkpointed]`, in an attribute of another name, `#[checkpoint(…)]`,
/// because the two would be confused where both macros are imported. The documentation of
/// `#[checkpointed]` also lists the refused attributes and types.
#[proc_macro_derive(Checkpoint, attributes(checkpoint))]
pub fn derive_checkpoint(item: TokenStream) -> TokenStream {
    expand::derive(item.into()).into()
}
