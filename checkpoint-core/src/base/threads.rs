//! The threads and channels of saves in the background. In the tests that try the orders of their steps
//! (`store/simulated/interleavings.rs`) they are those of shuttle, which decides who goes on.

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::{
    sync::mpsc::{Receiver, SendError, Sender, TryRecvError, channel},
    thread::{Builder, JoinHandle},
};

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::{
    sync::mpsc::{Receiver, SendError, Sender, TryRecvError, channel},
    thread::{Builder, JoinHandle},
};

/// A place where another thread may go on, in those tests.
#[cfg(test)]
pub(crate) fn step() {
    // Shuttle cannot leave a thread whose panic is unwinding.
    #[cfg(shuttle)]
    if !std::thread::panicking() {
        use shuttle::sync::atomic::{AtomicBool, Ordering};
        AtomicBool::new(false).load(Ordering::SeqCst);
    }
}
