//! `ckpt`, as a user runs it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod checking;
mod contents;
mod copying;
mod diff;
mod directories;
mod exporting;
mod groups;
mod importing;
mod mirror;
mod protected;
mod report;
mod urls;
mod verifying;
mod waiting;
