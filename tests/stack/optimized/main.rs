//! The tests of `tests/stack`, whose package is compiled with optimization.

#[path = "../main.rs"]
mod stack;
