//! The threads, channels and locks of saves in the background and of groups of threads. In tests
//! that try the orders of their steps (`store/simulated/interleavings.rs`) they come from shuttle,
//! which chooses the thread to run next.

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::{
    sync::mpsc::{Receiver, SendError, Sender, TryRecvError, channel},
    thread::{Builder, JoinHandle, current},
};

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::{
    sync::mpsc::{Receiver, SendError, Sender, TryRecvError, channel},
    thread::{Builder, JoinHandle, current},
};

#[cfg(all(feature = "group", not(all(test, shuttle))))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard},
    thread::ThreadId,
};

#[cfg(all(feature = "group", test, shuttle))]
pub(crate) use shuttle::{
    sync::{Condvar, Mutex, MutexGuard},
    thread::ThreadId,
};

/// Marks a place where another thread may run next, in those tests.
#[cfg(test)]
pub(crate) fn step() {
    // Shuttle cannot switch away from a thread that unwinds after a panic.
    #[cfg(shuttle)]
    if !std::thread::panicking() {
        use shuttle::sync::atomic::{AtomicBool, Ordering};
        AtomicBool::new(false).load(Ordering::SeqCst);
    }
}
