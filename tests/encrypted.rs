//! The files of `main` that have tests of encryption, in a program that is built faster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "the helpers of more files than these")]
mod common;

mod compatibility;
mod compatibility_forms;
mod protection;
mod read_back;
mod sharding;
