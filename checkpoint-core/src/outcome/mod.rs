//! The outcomes of saves, loads and runs.

mod exit;
mod load;
mod matching;
mod rewound;
mod save;
mod signal;
mod stop_reason;

pub(crate) use exit::ExitCodes;
pub use exit::{EXIT_HALTED, EXIT_REQUEUE};
pub use load::LoadReport;
pub use matching::{KeptField, Matching};
pub use rewound::Rewound;
pub use save::{Decision, Progress, SaveReason, SaveStarted, Saved};
pub use signal::Signal;
pub use stop_reason::StopReason;
