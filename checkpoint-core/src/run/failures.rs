//! The reaction to a failed save, where the program itself is not at fault.

use std::time::Duration;

use crate::error::Error;

/// The reaction of [`save_if_due`](crate::Checkpointer::save_if_due) to a failed save that was
/// merely due; for [`Builder::on_failed_save`](crate::Builder::on_failed_save).
///
/// A program that has computed for a week need not end because a file server was restarted, or the
/// disk was full for an hour: earlier checkpoints are untouched, and the state is still in memory.
/// So it may warn and try again. This applies to causes that can pass: a full disk, an error of the
/// disk or of the network, missing permissions, missing memory. Saves that the program asks for
/// outright return their errors as always: [`save`](crate::Checkpointer::save), the save before a
/// [stop](crate::Checkpointer::should_stop), [`finish`](crate::Checkpointer::finish).
///
/// ```
/// use checkpointed::{Checkpointer, OnFailedSave};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let checkpoints = Checkpointer::<u64>::builder(&path)
///     .on_failed_save(OnFailedSave::go_on().at_most_for(Duration::from_secs(3 * 3600)))
///     .open()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnFailedSave {
    /// True if the program continues.
    goes_on: bool,
    times: Option<u32>,
    time: Option<Duration>,
    makes_room: bool,
}

impl OnFailedSave {
    /// Returns the error immediately. The default.
    #[must_use]
    pub fn stop() -> OnFailedSave {
        OnFailedSave::default()
    }

    /// [Warns](crate::Builder::on_warning), [reports](crate::reports::Decision::Failed), and
    /// continues; the save is tried again after a quarter of the usual interval, or the usual
    /// number of steps.
    #[must_use]
    pub fn go_on() -> OnFailedSave {
        OnFailedSave { goes_on: true, ..OnFailedSave::default() }
    }

    /// Allows this number of failed saves in a row, and returns the error of the next.
    #[must_use]
    pub fn at_most_times(mut self, saves: u32) -> OnFailedSave {
        self.times = Some(saves);
        self
    }

    /// Allows failed saves for this time, counted from the first in a row, and returns the error of
    /// one that fails later.
    #[must_use]
    pub fn at_most_for(mut self, time: Duration) -> OnFailedSave {
        self.time = Some(time);
        self
    }

    /// Makes room for a save that does not fit on the disk, also for one that was asked for
    /// outright: generations that the retention would remove after it are removed before it, and it
    /// is tried once more.
    ///
    /// Nothing is removed unless the newest acknowledged generation was read and is undamaged, and
    /// that one stays. So nothing acknowledged is lost. Only the second copy is missing for a
    /// while: until the save is complete, or if it fails nevertheless, there is one generation
    /// fewer than the retention keeps. For disks that hold two generations and never a third.
    #[must_use]
    pub fn make_room(mut self) -> OnFailedSave {
        self.makes_room = true;
        self
    }

    /// Parses the value of a variable; making room stays as the program sets it.
    ///
    /// # Errors
    /// The reason that it is invalid.
    pub(crate) fn parse(text: &str) -> Result<OnFailedSave, &'static str> {
        const WANTED: &str = "it is `stop`, `go-on`, `go-on for 2h` or `go-on 10 times`";
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["stop"] => Ok(OnFailedSave::stop()),
            ["go-on"] => Ok(OnFailedSave::go_on()),
            ["go-on", "for", ..] => {
                let time = crate::base::time::parse_duration(&words[2..].join(" ")).ok_or(WANTED)?;
                Ok(OnFailedSave::go_on().at_most_for(time))
            }
            ["go-on", times, "times"] => {
                Ok(OnFailedSave::go_on().at_most_times(times.parse().map_err(|_| WANTED)?))
            }
            _ => Err(WANTED),
        }
    }

    /// Takes the setting of making room from another one.
    pub(crate) fn with_room_of(mut self, other: OnFailedSave) -> OnFailedSave {
        self.makes_room = other.makes_room;
        self
    }

    /// True to make room on a full disk.
    pub(crate) fn makes_room(&self) -> bool {
        self.makes_room
    }
}

/// The saves that failed since the last success.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    first: Option<Duration>,
    times: u32,
}

impl Failures {
    /// Records a failure at a time of the run.
    pub(crate) fn add(&mut self, now: Duration) {
        self.first.get_or_insert(now);
        self.times = self.times.saturating_add(1);
    }

    /// Records a success.
    pub(crate) fn end(&mut self) {
        *self = Failures::default();
    }

    /// The number of failures in a row.
    pub(crate) fn times(&self) -> u32 {
        self.times
    }

    /// True if the program may continue after the last failure.
    pub(crate) fn are_tolerated(&self, policy: &OnFailedSave, now: Duration, error: &Error) -> bool {
        let since = self.first.map_or(Duration::ZERO, |first| now.saturating_sub(first));
        policy.goes_on
            && error.may_pass()
            && policy.times.is_none_or(|times| self.times <= times)
            && policy.time.is_none_or(|time| since <= time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Error {
        Error::writing("write", "run.ckpt".as_ref(), std::io::ErrorKind::StorageFull.into())
    }

    #[test]
    fn failures_are_tolerated_up_to_their_limits() {
        let seconds = Duration::from_secs;
        let policy = OnFailedSave::go_on().at_most_times(3).at_most_for(seconds(100));
        let mut failures = Failures::default();
        for at in [10, 20, 30] {
            failures.add(seconds(at));
            assert!(failures.are_tolerated(&policy, seconds(at), &full()), "{at}");
        }
        failures.add(seconds(40));
        assert!(!failures.are_tolerated(&policy, seconds(40), &full()));
        failures.end();
        failures.add(seconds(50));
        failures.add(seconds(150));
        assert!(failures.are_tolerated(&policy, seconds(150), &full()));
        assert!(!failures.are_tolerated(&policy, seconds(151), &full()));
        assert!(!failures.are_tolerated(&OnFailedSave::stop(), seconds(150), &full()));
    }

    #[test]
    fn a_user_can_set_the_reaction_to_failures() {
        let hour = Duration::from_secs(3600);
        let said = [
            ("stop", OnFailedSave::stop()),
            ("go-on", OnFailedSave::go_on()),
            ("go-on for 1h", OnFailedSave::go_on().at_most_for(hour)),
            ("go-on for 30m 30m", OnFailedSave::go_on().at_most_for(hour)),
            ("go-on 3 times", OnFailedSave::go_on().at_most_times(3)),
        ];
        for (text, policy) in said {
            assert_eq!(OnFailedSave::parse(text), Ok(policy), "{text}");
        }
        for wrong in ["", "go on", "go-on for", "go-on 3", "go-on for ever", "go-on -1 times"] {
            assert!(OnFailedSave::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lasting_errors_are_not_tolerated() {
        let mut failures = Failures::default();
        failures.add(Duration::ZERO);
        let lasting = [
            Error::Encode { name: "u64".to_owned(), why: "not today".to_owned() },
            Error::DirectoryReplaced { path: "run.ckpt".into() },
        ];
        for error in lasting {
            assert!(!failures.are_tolerated(&OnFailedSave::go_on(), Duration::ZERO, &error), "{error}");
        }
    }
}
