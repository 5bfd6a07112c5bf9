//! The thread on which all requests run, so that the library works inside and outside of programs
//! that have a runtime of their own.

use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A thread with a runtime. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Runtime {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    process: u32,
}

impl Runtime {
    pub(crate) fn start() -> io::Result<Runtime> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let builder = std::thread::Builder::new().name("checkpoint-store".to_owned());
        let thread = builder.spawn(move || drop(runtime.block_on(stopped)))?;
        Ok(Runtime { handle, stop: Some(stop), thread: Some(thread), process: std::process::id() })
    }

    /// True in the process that started the thread; a forked one does not have it.
    pub(crate) fn is_here(&self) -> bool {
        self.process == std::process::id()
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs a future on the thread, and waits for it.
    pub(crate) fn run<F>(&self, future: F) -> io::Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        if !self.is_here() {
            return Err(io::Error::other(
                "this process was forked from the one that opened the object store: open it again here",
            ));
        }
        let (tell, told) = mpsc::sync_channel(1);
        self.handle.spawn(async move { drop(tell.send(future.await)) });
        told.recv().map_err(|_| io::Error::other("the thread of the requests has ended"))
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if !self.is_here() {
            // The thread is the parent's.
            std::mem::forget((self.stop.take(), self.thread.take()));
            return;
        }
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_forked_process_gets_an_error_and_does_not_wait() {
        let mut runtime = Runtime::start().unwrap();
        assert_eq!(runtime.run(async { 7 }).unwrap(), 7);
        runtime.process += 1;
        let error = runtime.run(async { 7 }).unwrap_err();
        assert!(error.to_string().contains("forked"), "{error}");
        drop(runtime);
    }
}
