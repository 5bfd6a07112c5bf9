//! The outcome of a rewind.

use serde::Serialize;

/// The outcome of [`Checkpointer::rewind`](crate::Checkpointer::rewind).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rewound {
    /// The generation that is the newest now.
    pub generation: u64,
    /// The generations that were set aside, lowest first. A rewind to one of them brings it back.
    pub set_aside: Vec<u64>,
    /// The generations that were brought back, lowest first.
    pub brought_back: Vec<u64>,
}

impl Rewound {
    pub(crate) fn new(generation: u64, set_aside: Vec<u64>, brought_back: Vec<u64>) -> Rewound {
        Rewound { generation, set_aside, brought_back }
    }
}
