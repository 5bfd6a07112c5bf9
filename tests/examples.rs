//! The examples in the documentation of the macros, as tests. Here is all that they use.

#[cfg(doctest)]
#[doc = include_str!("../checkpoint-derive/docs/checkpointed.md")]
struct Checkpointed;
#[cfg(doctest)]
#[doc = include_str!("../checkpoint-derive/docs/checkpoint.md")]
struct Checkpoint;
#[cfg(doctest)]
#[doc = include_str!("../checkpoint-derive/docs/step.md")]
struct Step;
