//! Forked processes, like those of a program's own `fork`, or of a library that it uses.

#![allow(
    unsafe_code,
    reason = "no safe function forks; what is called here, and why that is sound, is said below"
)]

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

unsafe extern "C" {
    fn fork() -> i32;
    fn _exit(code: i32) -> !;
    fn alarm(seconds: u32) -> u32;
    fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
}

/// A child ends by itself after this number of seconds, so that a hang is found.
const LONGEST: u32 = 60;

/// Runs `work` in a process that is forked from this one, and returns its result. The child drops
/// and runs nothing else.
pub(crate) fn forked(work: impl FnOnce() -> String) -> String {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let child = spawn(|| {
        let text = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            format!("it panicked: {}", text.unwrap_or_default())
        });
        let _ = writer.write_all(text.as_bytes());
    });
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let status = wait(child);
    assert_eq!(status, 0, "the child did not end by itself: {text}");
    text
}

/// Starts a process that is forked from this one, and returns its number.
pub(crate) fn spawn(work: impl FnOnce()) -> i32 {
    // SAFETY: `fork` itself has no precondition. In the child of a process with several threads
    // only this thread continues. The C library makes its own allocator usable there. `work` takes
    // no lock that another thread of a test may hold (the tests that fork run alone in their
    // process). `_exit` runs nothing of the parent's.
    match unsafe { fork() } {
        -1 => panic!("cannot fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: it takes a number and changes nothing but the timer of this process.
            unsafe { alarm(LONGEST) };
            work();
            // SAFETY: it takes a number and does not return.
            unsafe { _exit(0) }
        }
        child => child,
    }
}

/// Waits until a child ends, and returns its status.
pub(crate) fn wait(child: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the pointer is to a number that lives until the call returns.
    let waited = unsafe { waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child, "{}", std::io::Error::last_os_error());
    status
}
