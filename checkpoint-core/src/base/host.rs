//! The name of the machine, for people who look at a checkpoint or at a lock.

/// The name that the machine has for itself; empty where it cannot be told.
pub(crate) fn name() -> String {
    #[cfg(unix)]
    {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
    #[cfg(not(unix))]
    {
        std::env::var("COMPUTERNAME").unwrap_or_default()
    }
}
