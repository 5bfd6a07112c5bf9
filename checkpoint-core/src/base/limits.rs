//! Every limit that more than one layer must know.

/// The size of a buffer, and of a write.
pub(crate) const BUFFER: usize = 2 << 20;
