//! The machine: its name, for people who look at a checkpoint or at a lock, and what it allows.

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

/// How long a file of this process may be (`ulimit -f`), in bytes; `None` for any length.
pub(crate) fn file_size_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        rustix::process::getrlimit(rustix::process::Resource::Fsize).current
    }
    #[cfg(not(unix))]
    {
        None
    }
}
