//! Signals that ask a program to stop.
//!
//! A handler only stores the signal that came. More than a flag is needed, because handlers cannot
//! be removed again: after the last action of a signal is unregistered, `signal-hook` leaves its
//! own handler in place, and the signal would do nothing any more. So the first listener of a
//! signal also registers a second action, forever. It does the system's default, and is *armed*
//! exactly while there is no listener. A second SIGINT works in the same way: the first one arms
//! it.
//!
//! A program that was stopped, and has saved, is about to end with a code of its own, by which the
//! batch system starts it again. A signal that comes just then must not end it with another. So
//! instead of the system's default, the signal then ends it with that code: the code of the run
//! that ended last.

#[cfg(unix)]
pub(super) use unix::Listener;

#[cfg(unix)]
mod unix {
    use std::io;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    use signal_hook::SigId;
    use signal_hook::flag;
    use signal_hook::low_level::unregister;

    use crate::error::Error;
    use crate::outcome::Signal;

    const COUNT: usize = Signal::ALL.len();

    /// True for a signal that now does the system's default: it ends the program.
    static ARMED: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];

    static SHARED: Mutex<[Shared; COUNT]> = Mutex::new([const { Shared::new() }; COUNT]);

    /// The data that all listeners of one signal share.
    struct Shared {
        listeners: usize,
        /// True if it is armed while there is no listener. Unknown until the first listener comes.
        usually_ends: Option<bool>,
        /// The code with which the program is about to end, once a run was stopped.
        ending: Option<u8>,
        /// The action that ends the program with that code, while there is no listener.
        end: Option<SigId>,
    }

    impl Shared {
        const fn new() -> Shared {
            Shared { listeners: 0, usually_ends: None, ending: None, end: None }
        }

        /// Makes the signal end the program with its code. Returns false where there is none.
        fn end_with_the_code(&mut self, signal: Signal) -> bool {
            if let (None, Some(code)) = (&self.end, self.ending) {
                let always = Arc::new(AtomicBool::new(true));
                let end = flag::register_conditional_shutdown(signal.number(), code.into(), always);
                self.end = end.ok();
            }
            self.end.is_some()
        }
    }

    fn shared() -> MutexGuard<'static, [Shared; COUNT]> {
        SHARED.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears signals until it is dropped; then they have their earlier effect again, unless the
    /// program is about to [end](Listener::ends_with).
    #[derive(Debug)]
    pub(in crate::stop) struct Listener {
        /// The index of the last signal, plus one.
        heard: Arc<AtomicUsize>,
        actions: Vec<SigId>,
        signals: Vec<Signal>,
    }

    impl Listener {
        pub(in crate::stop) fn new(signals: &[Signal]) -> Result<Listener, Error> {
            let heard = Arc::new(AtomicUsize::new(0));
            let mut listener = Listener { heard, actions: Vec::new(), signals: Vec::new() };
            for signal in signals {
                if !listener.signals.contains(signal) {
                    // On an error, the listener is dropped, and undoes its registrations.
                    listener.listen(*signal).map_err(|_| Error::InvalidSetting {
                        setting: format!("stopping on {signal}"),
                        why: "the system does not let the program handle this signal",
                    })?;
                }
            }
            Ok(listener)
        }

        fn listen(&mut self, signal: Signal) -> io::Result<()> {
            let mut shared = shared();
            let Shared { listeners, usually_ends, ending, end } = &mut shared[signal.index];
            let armed = &ARMED[signal.index];
            if usually_ends.is_none() {
                let ends = usually_ends_the_program(signal);
                armed.store(ends, Ordering::SeqCst);
                // Registered before all others, and so called before them: the SIGINT that arms it
                // does not trigger it.
                flag::register_conditional_default(signal.number(), armed)?;
                *usually_ends = Some(ends);
            }
            self.actions.push(flag::register_usize(
                signal.number(),
                Arc::clone(&self.heard),
                signal.index + 1,
            )?);
            if signal == Signal::INT {
                self.actions.push(flag::register(signal.number(), armed)?);
            }
            self.signals.push(signal);
            *listeners += 1;
            *ending = None;
            if *listeners == 1 {
                // Last: a signal that comes before is not lost, it still has its earlier effect.
                armed.store(false, Ordering::SeqCst);
                end.take().map(unregister);
            }
            Ok(())
        }

        /// Notes that a run has ended: with this code, if it was stopped, and has saved. A SIGINT
        /// keeps its effect: it is that of a user at a terminal.
        pub(in crate::stop) fn ends_with(&self, code: Option<u8>) {
            let mut shared = shared();
            let signals = self.signals.iter().filter(|signal| **signal != Signal::INT);
            signals.for_each(|signal| shared[signal.index].ending = code);
        }

        /// A listener that hears what this one hears, and changes nothing when it is dropped.
        pub(in crate::stop) fn hearing(&self) -> Listener {
            Listener { heard: Arc::clone(&self.heard), actions: Vec::new(), signals: Vec::new() }
        }

        /// The last signal.
        pub(in crate::stop) fn heard(&self) -> Option<Signal> {
            let index = self.heard.load(Ordering::Relaxed).checked_sub(1)?;
            Signal::ALL.get(index).copied()
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            let mut shared = shared();
            self.signals.iter().for_each(|signal| shared[signal.index].listeners -= 1);
            let mut restore = |signal: &Signal| {
                let shared = &mut shared[signal.index];
                if shared.listeners == 0 {
                    let ends = shared.usually_ends.unwrap_or(true);
                    let is_ending = ends && shared.end_with_the_code(*signal);
                    ARMED[signal.index].store(ends && !is_ending, Ordering::SeqCst);
                }
            };
            // Restored before unregistering, so that a signal does something at every moment.
            self.signals.iter().for_each(&mut restore);
            self.actions.drain(..).for_each(|action| {
                unregister(action);
            });
            // Restored again afterwards: a SIGINT in between may have armed it wrongly.
            self.signals.iter().for_each(restore);
        }
    }

    /// True if the signal is neither handled nor ignored, or if the system does not tell.
    fn usually_ends_the_program(signal: Signal) -> bool {
        std::fs::read_to_string("/proc/self/status").map_or(true, |status| !is_taken(&status, signal))
    }

    /// True if `/proc/PID/status` of Linux says so: bit n-1 of its masks stands for signal n
    /// (proc(5)).
    fn is_taken(status: &str, signal: Signal) -> bool {
        let bit =
            u32::try_from(signal.number() - 1).ok().and_then(|shift| 1_u64.checked_shl(shift)).unwrap_or(0);
        ["SigIgn:", "SigCgt:"].iter().any(|name| {
            let mask = status.lines().find_map(|line| line.strip_prefix(name));
            mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                .is_some_and(|mask| mask & bit != 0)
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_handled_or_ignored_signal_is_recognised() {
            // A program that ignores SIGPIPE (13) and SIGHUP (1), and handles SIGINT (2) and
            // SIGTERM (15).
            let status =
                "Name:\tx\nSigBlk:\t0000000000000200\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000004002\n";
            assert!(is_taken(status, Signal::HUP));
            assert!(is_taken(status, Signal::INT));
            assert!(is_taken(status, Signal::TERM));
            assert!(!is_taken(status, Signal::USR1));
            assert!(!is_taken("", Signal::INT));
        }

        #[test]
        fn the_names_are_those_of_the_system() {
            for signal in Signal::ALL {
                assert_eq!(signal_hook::low_level::signal_name(signal.number()), Some(signal.name()));
                assert_eq!(Signal::ALL[signal.index], *signal);
            }
        }
    }
}

#[cfg(not(unix))]
pub(super) use elsewhere::Listener;

#[cfg(not(unix))]
mod elsewhere {
    use crate::error::Error;
    use crate::outcome::Signal;

    /// Hears nothing: this system has no such signals.
    #[derive(Debug)]
    pub(in crate::stop) struct Listener;

    impl Listener {
        #[allow(clippy::unnecessary_wraps, reason = "it has the signature of the one on Unix")]
        pub(in crate::stop) fn new(signals: &[Signal]) -> Result<Listener, Error> {
            if !signals.is_empty() {
                crate::base::warnings::warn(
                    "signals do not stop a program on this system; a halt file and time limits do",
                );
            }
            Ok(Listener)
        }

        #[allow(clippy::unused_self, reason = "it has the signature of the one on Unix")]
        pub(in crate::stop) fn ends_with(&self, _code: Option<u8>) {}

        #[allow(clippy::unused_self, reason = "it has the signature of the one on Unix")]
        pub(in crate::stop) fn hearing(&self) -> Listener {
            Listener
        }

        #[allow(clippy::unused_self, reason = "it has the signature of the one on Unix")]
        pub(in crate::stop) fn heard(&self) -> Option<Signal> {
            None
        }
    }
}
