//! Forged files: they agree with themselves, every checksum is right, and their content is the
//! attacker's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod frames;
mod headers;
mod long;
mod manifests;
