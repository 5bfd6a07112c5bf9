//! Wakes futures after a pause, without a runtime.

use std::sync::mpsc::{Sender, channel};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use crate::base::panics::caught;

/// The pause.
const PAUSE: Duration = Duration::from_millis(20);

/// A thread that wakes tasks after a pause. It starts with the first, waits while there is none,
/// and ends when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Ticker(Option<Thread>);

#[derive(Debug)]
struct Thread {
    wakers: Sender<Waker>,
    /// The number of the process that has the thread.
    process: u32,
}

impl Ticker {
    /// Wakes the task after a pause; at once, where the system has no thread for that.
    pub(crate) fn wake_later(&mut self, waker: &Waker) {
        if self.0.as_ref().is_some_and(|thread| thread.process != std::process::id()) {
            // A forked process does not have the thread. Dropping the channel could wait for it.
            std::mem::forget(self.0.take());
        }
        if self.0.is_none() {
            self.0 = start();
        }
        let asked = self.0.as_ref().map(|thread| thread.wakers.send(waker.clone()));
        if !matches!(asked, Some(Ok(()))) {
            waker.wake_by_ref();
        }
    }
}

fn start() -> Option<Thread> {
    let (sender, wakers) = channel::<Waker>();
    let work = move || {
        while let Ok(first) = wakers.recv() {
            thread::sleep(PAUSE);
            let mut woken = vec![first];
            for waker in wakers.try_iter() {
                if !woken.iter().any(|other| other.will_wake(&waker)) {
                    woken.push(waker);
                }
            }
            // This is code of the runtime.
            let _ = caught(|| woken.into_iter().for_each(Waker::wake));
        }
    };
    let started = thread::Builder::new().name("checkpoint-ticker".to_owned()).spawn(work);
    started.ok().map(|_| Thread { wakers: sender, process: std::process::id() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::task::Wake;

    use super::*;

    struct Tell(Sender<()>);

    impl Wake for Tell {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }

    #[test]
    fn every_task_that_waits_is_woken() {
        let mut ticker = Ticker::default();
        let tasks: Vec<_> = (0..3).map(|_| channel()).collect();
        for _ in 0..2 {
            for (sender, _) in &tasks {
                ticker.wake_later(&Waker::from(Arc::new(Tell(sender.clone()))));
            }
            assert!(tasks.iter().all(|(_, woken)| woken.recv().is_ok()));
        }
    }

    #[test]
    fn a_forked_process_starts_a_thread_of_its_own() {
        // What it finds: a channel to a thread that will never read.
        let (sender, wakers) = channel();
        let mut ticker = Ticker(Some(Thread { wakers: sender, process: u32::MAX }));
        let (sender, woken) = channel();
        ticker.wake_later(&Waker::from(Arc::new(Tell(sender))));
        assert_eq!(woken.recv_timeout(Duration::from_secs(60)), Ok(()));
        drop(wakers);
    }
}
