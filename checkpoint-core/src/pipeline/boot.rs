//! The boot of the machine: unsynced data is lost or damaged only when the boot ends.

/// The identity of the present boot; `None` if the system does not tell.
pub(super) fn current() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}
