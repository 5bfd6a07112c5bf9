//! The machine: its name, which people see in a checkpoint or a lock, and its limits.

/// The machine's own name; empty where it is unknown.
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

/// The longest file that this process may write (`ulimit -f`), in bytes; `None` for no limit.
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
