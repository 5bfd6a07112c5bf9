//! Keeps a mirror to its bandwidth.

use std::fmt;
use std::time::Duration;

/// The time as a mirror sees it, and the wish that it ends.
pub(crate) trait Timing: fmt::Debug + Send + Sync {
    /// The time since some moment.
    fn now(&self) -> Duration;

    /// Waits, or returns early where the work is to end.
    fn wait(&self, time: Duration);

    /// True if the work is to end: what is half done is given up.
    fn is_to_end(&self) -> bool;
}

/// The most bytes of one piece.
const PIECE: u64 = 1 << 20;

/// A file is read to verify it at so many times the speed at which it is sent.
const READING: u64 = 8;

/// The limit of bytes per second.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    per_second: Option<u64>,
    /// The time from which the next piece may go.
    free: Duration,
}

impl Pace {
    pub(super) fn new(per_second: Option<u64>) -> Pace {
        Pace { per_second, free: Duration::ZERO }
    }

    /// The pace at which a file is read before it is sent: fast, and not all at once.
    pub(super) fn for_reading(&self) -> Pace {
        Pace::new(self.per_second.map(|rate| rate.saturating_mul(READING)))
    }

    /// The most bytes to send at a time: an eighth of a second, and at least one.
    pub(super) fn piece(&self) -> usize {
        let piece = self.per_second.map_or(PIECE, |rate| (rate / 8).clamp(1, PIECE));
        usize::try_from(piece).unwrap_or(1)
    }

    /// Waits until so many more bytes may go.
    pub(super) fn before(&mut self, bytes: u64, timing: &dyn Timing) {
        let Some(rate) = self.per_second else { return };
        while timing.now() < self.free && !timing.is_to_end() {
            timing.wait(self.free.saturating_sub(timing.now()));
        }
        let takes = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        self.free = self.free.max(timing.now()).saturating_add(takes);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A clock that goes on only while a mirror waits.
    #[derive(Debug, Default)]
    pub(crate) struct FakeClock {
        now: Mutex<Duration>,
    }

    impl Timing for FakeClock {
        fn now(&self) -> Duration {
            *self.now.lock().unwrap()
        }

        fn wait(&self, time: Duration) {
            *self.now.lock().unwrap() += time;
        }

        fn is_to_end(&self) -> bool {
            false
        }
    }

    #[test]
    fn a_mirror_keeps_to_its_bandwidth() {
        for rate in [1, 1000, 1 << 20, 200 << 20] {
            let clock = FakeClock::default();
            let mut pace = Pace::new(Some(rate));
            let piece = pace.piece() as u64;
            let idle = Duration::from_secs(3600);
            for _ in 0..2 {
                let begun = clock.now();
                let mut sent = 0;
                for _ in 0..50 {
                    pace.before(piece, &clock);
                    let allowed = (clock.now() - begun).as_secs_f64() * rate as f64;
                    assert!(sent as f64 <= allowed + 1.0, "{sent} bytes at {rate} per second");
                    sent += piece;
                }
                let least = Duration::from_secs_f64(49.0 * piece as f64 / rate as f64 - 1e-6);
                assert!(clock.now() - begun >= least, "{:?} of {least:?}", clock.now() - begun);
                // What is not used while nothing is sent is not made up for.
                clock.wait(idle);
            }
        }
        let clock = FakeClock::default();
        Pace::new(None).before(u64::MAX, &clock);
        assert_eq!(clock.now(), Duration::ZERO);
    }
}
