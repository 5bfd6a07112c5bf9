//! How a program is told of something: its callbacks, and warnings.

pub(crate) mod callback;
#[cfg(test)]
pub(crate) mod heard;
pub(crate) mod warnings;
