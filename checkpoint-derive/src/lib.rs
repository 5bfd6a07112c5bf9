//! The macros of [`checkpointed`](https://docs.rs/checkpointed): use that package, which re-exports
//! them.
//!
//! An item goes through `attr` (its attributes) → `ast` (the item in the macro's view) → `valid`
//! (refuses everything that cannot be stored, all at once) → `expand` (the implementation, with its
//! bounds from `bound`). `#[checkpointed]` comes first: `attribute` turns it into derives.
//! `#[step]`, for functions, is `step` alone.
//!
//! The documentation of the macros is in `docs/`. Its examples run as tests of another package: as
//! tests of this one, they would build the library a second time, for the compiler.

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
#[cfg(feature = "pipeline")]
mod step;
mod valid;
mod was;

use proc_macro::TokenStream;

#[doc = include_str!("../docs/checkpointed.md")]
#[proc_macro_attribute]
pub fn checkpointed(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute::expand(&arguments.into(), &item.into()).into()
}

#[doc = include_str!("../docs/checkpoint.md")]
#[proc_macro_derive(Checkpoint, attributes(checkpoint))]
pub fn derive_checkpoint(item: TokenStream) -> TokenStream {
    expand::derive(item.into()).into()
}

#[cfg(feature = "pipeline")]
#[doc = include_str!("../docs/step.md")]
#[proc_macro_attribute]
pub fn step(arguments: TokenStream, function: TokenStream) -> TokenStream {
    step::expand(&arguments.into(), &function.into()).into()
}
