//! One file → a durable generation: names, the claim, publishing, retention.
//!
//! A [`Home`] holds the generations of one program. A [`Writer`] claims it, numbers the saves, and
//! applies the retention. The home of this crate is a [directory](local) of this machine. Its
//! promises, and the reasons that the protocol keeps them, are in `docs/durability.md`.

#[cfg(test)]
pub(crate) mod faults;
mod guard;
mod home;
mod likeness;
mod local;
pub(crate) mod mirror;
pub(crate) mod name;
mod newest;
pub(crate) mod place;
mod process;
mod retention;
#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
pub(crate) mod simulated;
mod unfinished;
mod writer;

pub(crate) use guard::WithinGuard;
pub use guard::{Guard, Lock};
pub(crate) use home::not_removable;
pub use home::{Claim, Claiming, Draft, Files, Home, Log, Published, Sealed, Until};
#[cfg(test)]
pub(crate) use local::disk::Identity;
pub use local::{Access, CopyWay};
pub(crate) use local::{
    Directory, Disk, Growing, Opening, RealDisk, RewoundFile, check_file_size, copy_generation, holder,
    must_be_regular, no_follow_no_wait, no_wait, open_regular, warn_of_strangers,
};
pub(crate) use name::{
    ACCEPTED, RANKS, generation as generation_of, is_temporary, of_rank, rank as rank_of,
    temporary as temporary_name,
};
pub(crate) use newest::Newest;
pub(crate) use place::{Place, absolute};
pub(crate) use process::Process;
pub(crate) use retention::Metrics;
pub use retention::{ByAge, Keeping, Metric, Retention};
pub(crate) use unfinished::Unfinished;
pub(crate) use writer::{Settings, Writer};
