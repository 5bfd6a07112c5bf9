//! The end of the job, as the environment gives it, or else the batch system.
//!
//! An unreadable answer of a batch system is a warning and no deadline: it must not prevent a
//! program from running. A deadline that a user set is different: an invalid one is an error.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::answer;
use super::batch::System;
use crate::base::warnings::warn;
use crate::environment::{self, DEADLINE as OURS};
use crate::error::Error;

const SLURM_END: &str = "SLURM_JOB_END_TIME";

/// The environment variables about the end of a job.
#[derive(Debug, Default)]
pub(super) struct Environment {
    pub(super) checkpoint_deadline: Option<String>,
    pub(super) slurm_job_end_time: Option<String>,
    pub(super) slurm_job_id: Option<String>,
    /// The job and the task number of an array job.
    pub(super) slurm_array: Option<(String, String)>,
    pub(super) slurm_tasks: Option<String>,
    pub(super) pbs_job_id: Option<String>,
    pub(super) pbs_walltime: Option<String>,
}

impl Environment {
    /// Reads the variables of this process. An empty one counts as unset.
    pub(super) fn of_process() -> Result<Environment, Error> {
        let variable = |name: &str| {
            let value = std::env::var_os(name)?.to_string_lossy().trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        Ok(Environment {
            checkpoint_deadline: environment::variable(OURS)?,
            slurm_job_end_time: variable(SLURM_END),
            slurm_job_id: variable("SLURM_JOB_ID"),
            slurm_array: variable("SLURM_ARRAY_JOB_ID").zip(variable("SLURM_ARRAY_TASK_ID")),
            slurm_tasks: variable("SLURM_NTASKS"),
            pbs_job_id: variable("PBS_JOBID"),
            pbs_walltime: variable("PBS_WALLTIME"),
        })
    }
}

/// A deadline, and its source.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) at: SystemTime,
    pub(super) source: &'static str,
}

/// The deadlines of the environment and of the batch system.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Deadlines {
    /// The deadline of our own variable.
    pub(super) ours: Option<Found>,
    /// The deadline of the batch system.
    pub(super) job: Option<Found>,
    /// The batch system to ask for changes of the latter.
    pub(super) system: Option<System>,
    /// True if it was asked already, and did not say when the job ends.
    pub(super) is_unknown: bool,
    /// The number of tasks of the job that may ask.
    pub(super) tasks: u32,
}

/// Returns the deadlines in the future.
///
/// # Errors
/// [`Error::InvalidSetting`] if the deadline of a user is invalid.
pub(super) fn all(environment: &Environment) -> Result<Deadlines, Error> {
    let now = SystemTime::now();
    let ahead = |found: &Found| is_ahead(found, now);
    let ours = ours(environment, now)?.filter(ahead);
    let slurm = slurm(environment, now);
    let pbs = pbs(environment, now);
    let tasks = environment.slurm_tasks.as_ref().and_then(|tasks| tasks.parse().ok()).unwrap_or(1);
    // A job of one batch system within one of another is unusual: the first to end counts.
    // One whose end is past, or not known, is asked for again: its limit may have been extended.
    let jobs = [slurm, pbs].into_iter().flatten();
    let jobs = jobs.map(|OfJob { end, system, is_unknown }| {
        let is_past = end.as_ref().is_some_and(|end| !ahead(end));
        OfJob { end: end.filter(|_| !is_past), system, is_unknown: is_unknown || is_past }
    });
    // A job without an end comes after all that have one, and one that is not known after these.
    let first = jobs.min_by_key(|job| match &job.end {
        Some(end) => (0, end.at),
        None => (if job.is_unknown { 2 } else { 1 }, SystemTime::UNIX_EPOCH),
    });
    let OfJob { end: job, system, is_unknown } = first.unwrap_or_default();
    Ok(Deadlines { ours, job, system, is_unknown, tasks })
}

/// A deadline in the past belongs to another job: the terminal kept its variables. It must not hide
/// the others.
fn is_ahead(found: &Found, now: SystemTime) -> bool {
    let ahead = found.at > now;
    if !ahead {
        warn_of_past(found.source, found.at);
    }
    ahead
}

/// Warns that a deadline does not count.
pub(super) fn warn_of_past(source: &str, at: SystemTime) {
    warn(format!("the deadline {} of {source} is past, and ignored", crate::base::time::date(at)));
}

/// The allowed forms of a user's deadline.
const WANTED: &str = "it is a time as `2026-11-23T14:00:00+01:00`, a time from now as `2h`, `90min` or `3600s`, or \
                      seconds since 1970";

fn ours(environment: &Environment, now: SystemTime) -> Result<Option<Found>, Error> {
    let Some(value) = &environment.checkpoint_deadline else { return Ok(None) };
    match parse(value, now) {
        Some(at) => Ok(Some(Found { at, source: OURS })),
        None => Err(environment::invalid(OURS, value, WANTED)),
    }
}

/// The end of a job, and the batch system to ask for it again.
#[derive(Default)]
struct OfJob {
    end: Option<Found>,
    system: Option<System>,
    /// True if the batch system did not answer.
    is_unknown: bool,
}

fn slurm(environment: &Environment, now: SystemTime) -> Option<OfJob> {
    let task = environment.slurm_array.as_ref().map(|(array, task)| format!("{array}_{task}"));
    let system = task.or_else(|| environment.slurm_job_id.clone()).map(System::Slurm);
    if let Some(value) = &environment.slurm_job_end_time {
        match unix_seconds(value) {
            Some(at) if at > now => {
                return Some(OfJob { end: Some(Found { at, source: SLURM_END }), system, is_unknown: false });
            }
            // The limit was extended, or the variable is that of an earlier job.
            Some(at) => warn_of_past(SLURM_END, at),
            None => {
                warn(format!("{SLURM_END}={value} is not understood, and ignored: it is seconds since 1970"))
            }
        }
    }
    Some(asked(system?))
}

fn pbs(environment: &Environment, now: SystemTime) -> Option<OfJob> {
    let answered = asked(System::Pbs(environment.pbs_job_id.clone()?));
    let Some(walltime) = environment.pbs_walltime.as_ref().filter(|_| answered.is_unknown) else {
        return Some(answered);
    };
    // The requested time of the job. It does not say how much of it has passed.
    let whole = answer::clock_duration(walltime).and_then(|whole| now.checked_add(whole));
    match whole {
        Some(_) => warn(format!("PBS_WALLTIME={walltime} is counted from now, as if the job had just begun")),
        None => warn(format!("PBS_WALLTIME={walltime} is not understood, and ignored")),
    }
    Some(OfJob { end: whole.map(|at| Found { at, source: "PBS" }), ..answered })
}

fn asked(system: System) -> OfJob {
    match system.end() {
        Ok(end) => {
            let end = end.map(|at| Found { at, source: system.name() });
            OfJob { end, system: Some(system), is_unknown: false }
        }
        Err(why) => {
            let program = system.program();
            warn(format!(
                "`{program}` did not report the end of the job, so that is unknown until it does; it is asked again \
                 while the program runs: {why}"
            ));
            OfJob { end: None, system: Some(system), is_unknown: true }
        }
    }
}

/// Numbers below this, times before 2001, are not taken for seconds since 1970: they are probably
/// durations without a unit.
const EARLIEST: Duration = Duration::from_secs(1_000_000_000);

/// Parses a time in RFC 3339, in Unix seconds, or as a duration from `now`, with or without a plus
/// sign.
pub(super) fn parse(value: &str, now: SystemTime) -> Option<SystemTime> {
    let value = value.trim();
    let from_now = value.strip_prefix('+').map(str::trim);
    if let Some(duration) = crate::base::time::parse_duration(from_now.unwrap_or(value)) {
        return now.checked_add(duration);
    }
    if from_now.is_some() {
        return None;
    }
    unix_seconds(value).filter(|at| *at >= UNIX_EPOCH + EARLIEST).or_else(|| rfc_3339(value))
}

/// Accepts only digits: a number with a sign or a fraction has another meaning.
fn unix_seconds(value: &str) -> Option<SystemTime> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = digits.then(|| value.parse().ok())??;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Accepts an offset from UTC too, which `humantime` does not read.
fn rfc_3339(value: &str) -> Option<SystemTime> {
    // The sign is behind the date: the hyphens of the date are no signs.
    let sign = value.char_indices().skip(10).find(|(_, character)| matches!(character, '+' | '-'));
    let Some((at, sign)) = sign else {
        // A time without a zone could be any hour of a day.
        return value.ends_with(['Z', 'z']).then(|| humantime::parse_rfc3339(value).ok())?;
    };
    let (hours, minutes) = value.get(at + 1..)?.split_once(':')?;
    let two_digits = |text: &str, below: u64| {
        let number =
            unix_seconds(text).filter(|_| text.len() == 2)?.duration_since(UNIX_EPOCH).ok()?.as_secs();
        (number < below).then_some(number)
    };
    let offset = Duration::from_secs(two_digits(hours, 24)? * 3600 + two_digits(minutes, 60)? * 60);
    let local = humantime::parse_rfc3339(&format!("{}Z", &value[..at])).ok()?;
    // East of Greenwich, clocks are ahead.
    if sign == '+' { local.checked_sub(offset) } else { local.checked_add(offset) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const NOON: u64 = 1_795_435_200;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_deadline_is_a_time_or_seconds_or_a_duration() {
        let now = at(NOON);
        let noon = humantime::format_rfc3339_seconds(now).to_string();
        assert_eq!(parse(&noon, now), Some(now), "{noon}");
        let local = noon.trim_end_matches('Z');
        assert_eq!(parse(&format!("{local}+02:00"), now), Some(at(NOON - 7200)));
        assert_eq!(parse(&format!("{local}-05:30"), now), Some(at(NOON + 19_800)));
        assert_eq!(parse(&format!("{local}.5+00:00"), now), Some(now + Duration::from_millis(500)));
        assert_eq!(parse(" 1795435260 ", now), Some(at(NOON + 60)));
        assert_eq!(parse("+2h30m", now), Some(at(NOON + 9000)));
        assert_eq!(parse("+ 90s", now), Some(at(NOON + 90)));
    }

    #[test]
    fn a_plain_duration_is_a_deadline_from_now_on() {
        let now = at(NOON);
        for (text, seconds) in [("2h", 7200), ("90min", 5400), ("3600s", 3600), ("2s", 2), (" 1h 30m ", 5400)]
        {
            assert_eq!(parse(text, now), Some(at(NOON + seconds)), "{text}");
        }
    }

    #[test]
    fn a_wish_that_is_not_understood_is_an_error_that_says_how() {
        for misspelt in ["in 2h", "3600", "tomorrow", "2 hours from now"] {
            let environment =
                Environment { checkpoint_deadline: Some(misspelt.to_owned()), ..Environment::default() };
            let error = all(&environment).unwrap_err().to_string();
            assert!(error.contains(misspelt) && error.contains("`2h`"), "{error}");
        }
    }

    #[test]
    fn other_text_is_no_deadline() {
        let now = at(NOON);
        let senseless = [
            "",
            "+",
            "+1795435260",
            "3600",
            "in 2h",
            "soon",
            "-5",
            "1e9",
            "12:00",
            "2026-11-23",
            "2026-11-23T12:00:00",
            "2026-13-23T12:00:00Z",
            "2026-11-23T12:00:00+1:00",
            "2026-11-23T12:00:00+01:60",
            "2026-11-23T12:00:00+24:00",
            "+5",
            "+-5s",
            "99999999999999999999999",
            "+99999999999999999999y",
            "2026-11-23T12:00:00+",
            "ééééééééééé+01:00",
            "2026-11-23T12:00:00+é:é",
            "0x10",
        ];
        for value in senseless {
            assert_eq!(parse(value, now), None, "{value:?}");
        }
    }

    /// Reads the environment in a process of its own, where Slurm answers so, and the end in the
    /// environment is past. The test asserts it when it runs there.
    #[cfg(unix)]
    fn asks_slurm(test: &str, answer: &str, assert: impl FnOnce(Deadlines)) {
        use std::os::unix::fs::PermissionsExt as _;
        use std::{env, fs, process};

        const INSIDE: &str = "TEST_OF_A_DEADLINE_IN_THE_PAST";
        if env::var_os(INSIDE).is_some() {
            return assert(all(&Environment::of_process().unwrap()).unwrap());
        }
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("scontrol");
        fs::write(&program, format!("#!/bin/sh\n{answer}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", directory.path().display(), env::var("PATH").unwrap());
        let output = process::Command::new(env::current_exe().unwrap())
            .args(["--exact", &format!("stop::deadline::tests::{test}")])
            .env(INSIDE, "")
            .env("PATH", path)
            .env("SLURM_JOB_ID", "7")
            .env(SLURM_END, "1700000000")
            .env_remove("SLURM_ARRAY_JOB_ID")
            .env_remove("PBS_JOBID")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{} {said}", output.status);
    }

    #[cfg(unix)]
    #[test]
    fn slurm_is_asked_where_the_end_that_it_gave_is_past() {
        let test = "slurm_is_asked_where_the_end_that_it_gave_is_past";
        let answer = "echo JobId=7 JobState=RUNNING EndTime=2199-01-01T00:00:00";
        asks_slurm(test, answer, |found| {
            let end = found.job.unwrap();
            assert!(end.at > SystemTime::now() && end.source == "scontrol", "{end:?}");
            assert_eq!((found.system, found.is_unknown), (Some(System::Slurm("7".to_owned())), false));
        });
    }

    #[cfg(unix)]
    #[test]
    fn slurm_that_does_not_answer_at_first_is_asked_later() {
        let test = "slurm_that_does_not_answer_at_first_is_asked_later";
        asks_slurm(test, "exit 1", |found| {
            assert_eq!((found.job, found.is_unknown), (None, true));
            assert_eq!(found.system, Some(System::Slurm("7".to_owned())));
        });
    }

    #[test]
    fn a_deadline_in_the_past_neither_counts_nor_hides_another() {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut environment = Environment {
            checkpoint_deadline: Some((seconds + 3600).to_string()),
            slurm_job_end_time: Some((seconds + 7200).to_string()),
            slurm_job_id: Some("7".to_owned()),
            slurm_array: Some(("5".to_owned(), "2".to_owned())),
            slurm_tasks: Some("16".to_owned()),
            ..Environment::default()
        };
        let ours = Some(Found { at: at(seconds + 3600), source: "CHECKPOINT_DEADLINE" });
        let job = Some(Found { at: at(seconds + 7200), source: "SLURM_JOB_END_TIME" });
        let system = Some(System::Slurm("5_2".to_owned()));
        assert_eq!(
            all(&environment).unwrap(),
            Deadlines { ours: ours.clone(), job: job.clone(), system, tasks: 16, ..Deadlines::default() }
        );
        // The limit was extended, or the terminal kept the variable of another job: Slurm knows.
        environment.slurm_job_end_time = Some((seconds - 1800).to_string());
        let system = Some(System::Slurm("5_2".to_owned()));
        assert_eq!(
            all(&environment).unwrap(),
            Deadlines { ours, system, is_unknown: true, tasks: 16, ..Deadlines::default() }
        );
        environment.checkpoint_deadline = Some((seconds - 1800).to_string());
        environment.slurm_job_end_time = Some((seconds + 7200).to_string());
        environment.slurm_array = None;
        let system = Some(System::Slurm("7".to_owned()));
        assert_eq!(all(&environment).unwrap(), Deadlines { job, system, tasks: 16, ..Deadlines::default() });
        assert_eq!(all(&Environment::default()).unwrap(), Deadlines { tasks: 1, ..Deadlines::default() });
    }
}
