//! What a program does about a save that failed though nothing was wrong with the program.

use std::time::Duration;

use crate::error::Error;

/// What [`save_if_due`](crate::Checkpointer::save_if_due) does about a save that failed when it was merely due; for
/// [`Builder::on_failed_save`](crate::Builder::on_failed_save).
///
/// A program that has computed for a week need not end because a file server was restarted, or the disk was full for an
/// hour: what was saved before is untouched, and the state is still in memory. So it may warn and try again. This counts
/// for what may pass: a full disk, an error of the disk or of the network, missing rights, missing memory. Whatever the
/// program asks for outright is its own to judge, and is an error as always: [`save`](crate::Checkpointer::save), the
/// save before a [stop](crate::Checkpointer::should_stop), [`finish`](crate::Checkpointer::finish).
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
    /// Whether the program goes on.
    goes_on: bool,
    times: Option<u32>,
    time: Option<Duration>,
    makes_room: bool,
}

impl OnFailedSave {
    /// The error is returned at once, as it is unless said otherwise.
    #[must_use]
    pub fn stop() -> OnFailedSave {
        OnFailedSave::default()
    }

    /// The program is [warned](crate::Builder::on_warning), [told](crate::Decision::Failed), and goes on; the save is tried
    /// again when a quarter of the usual interval, or the usual number of steps, has gone by.
    #[must_use]
    pub fn go_on() -> OnFailedSave {
        OnFailedSave { goes_on: true, ..OnFailedSave::default() }
    }

    /// So many saves in a row may fail; the error of the next is returned.
    #[must_use]
    pub fn at_most_times(mut self, saves: u32) -> OnFailedSave {
        self.times = Some(saves);
        self
    }

    /// Saves may fail for so long, counted from the first in a row; the error of one that fails later is returned.
    #[must_use]
    pub fn at_most_for(mut self, time: Duration) -> OnFailedSave {
        self.time = Some(time);
        self
    }

    /// Makes room for a save that does not fit on the disk, also for one that was asked for outright: generations that
    /// the retention would remove after it go before it, and it is tried once more.
    ///
    /// Nothing goes unless the newest generation was read and found whole, and that one stays. So the promise that nothing
    /// acknowledged is lost holds. What is lost for a while is the second copy: until the save is done, or if it fails
    /// nevertheless, there is one generation fewer than the retention keeps. For disks on which two generations fit and a third
    /// never does.
    #[must_use]
    pub fn make_room(mut self) -> OnFailedSave {
        self.makes_room = true;
        self
    }

    /// What a person says in the environment; room is made as the program says.
    ///
    /// # Errors
    /// What is wrong with it.
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

    /// The same with room made as another one says.
    pub(crate) fn with_room_of(mut self, other: OnFailedSave) -> OnFailedSave {
        self.makes_room = other.makes_room;
        self
    }

    /// Whether room is made on a full disk.
    pub(crate) fn makes_room(&self) -> bool {
        self.makes_room
    }
}

/// The saves that failed since the last one that did not.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    first: Option<Duration>,
    times: u32,
}

impl Failures {
    /// One more failed, at a time of the run.
    pub(crate) fn add(&mut self, now: Duration) {
        self.first.get_or_insert(now);
        self.times = self.times.saturating_add(1);
    }

    /// One did not.
    pub(crate) fn end(&mut self) {
        *self = Failures::default();
    }

    /// How many there were.
    pub(crate) fn times(&self) -> u32 {
        self.times
    }

    /// Whether a program may go on after the last one.
    pub(crate) fn are_borne(&self, policy: &OnFailedSave, now: Duration, error: &Error) -> bool {
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
    fn failures_are_borne_as_often_and_as_long_as_said() {
        let seconds = Duration::from_secs;
        let policy = OnFailedSave::go_on().at_most_times(3).at_most_for(seconds(100));
        let mut failures = Failures::default();
        for at in [10, 20, 30] {
            failures.add(seconds(at));
            assert!(failures.are_borne(&policy, seconds(at), &full()), "{at}");
        }
        failures.add(seconds(40));
        assert!(!failures.are_borne(&policy, seconds(40), &full()));
        failures.end();
        failures.add(seconds(50));
        failures.add(seconds(150));
        assert!(failures.are_borne(&policy, seconds(150), &full()));
        assert!(!failures.are_borne(&policy, seconds(151), &full()));
        assert!(!failures.are_borne(&OnFailedSave::stop(), seconds(150), &full()));
    }

    #[test]
    fn a_person_can_say_how_failures_are_borne() {
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
    fn what_does_not_pass_is_not_borne() {
        let mut failures = Failures::default();
        failures.add(Duration::ZERO);
        let lasting = [
            Error::Encode { name: "u64".to_owned(), why: "not today".to_owned() },
            Error::DirectoryReplaced { path: "run.ckpt".into() },
        ];
        for error in lasting {
            assert!(!failures.are_borne(&OnFailedSave::go_on(), Duration::ZERO, &error), "{error}");
        }
    }
}
