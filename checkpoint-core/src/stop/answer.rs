//! Parses the end of a job from the output of the programs of batch systems.
//!
//! They print local times without a zone, so they run with `TZ=UTC0`. A wrapper can keep the zone
//! from them. The durations in their output, which have no zone, reveal that.

use std::time::{Duration, SystemTime};

/// The most that two ways to compute the same time may differ: the answer takes a while, and its
/// times are rounded.
const ROUNDING: Duration = Duration::from_secs(60);

/// The end of a job, from `JobId=5 … JobState=RUNNING … RunTime=00:10:00 TimeLimit=01:00:00 …
/// EndTime=2026-11-23T14:00:00`.
///
/// Slurm can print several jobs, one record each, when it is asked for one of an array or of a
/// heterogeneous job.
pub(super) fn slurm_end(answer: &str, id: &str, now: SystemTime) -> Result<Option<SystemTime>, String> {
    let words: Vec<&str> = answer.split_whitespace().collect();
    let begins = |place: &usize| words[*place].starts_with("JobId=");
    let starts: Vec<usize> = (0..words.len()).filter(begins).collect();
    let ends = starts.iter().skip(1).copied().chain([words.len()]);
    let mut records = starts.iter().zip(ends).map(|(start, end)| &words[*start..end]);
    let record = records.find(|record| is_of_job(record, id));
    let record = record.ok_or_else(|| format!("its answer is not that of job {id}"))?;

    let field = |name: &str| record.iter().find_map(|word| word.strip_prefix(name));
    const ALIVE: [&str; 5] = ["RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED"];
    if let Some(state) = field("JobState=").filter(|state| !ALIVE.contains(state)) {
        return Err(format!("job {id} is not running, but {state}"));
    }
    let limit = field("TimeLimit=");
    if limit == Some("UNLIMITED") {
        return Ok(None);
    }
    let by_durations = || {
        let left = clock_duration(limit?)?.checked_sub(clock_duration(field("RunTime=")?)?)?;
        now.checked_add(left)
    };
    let end = field("EndTime=").and_then(|end| humantime::parse_rfc3339(&format!("{end}Z")).ok());
    choose(end, by_durations()).map(Some).ok_or_else(|| "its answer has no end of the job".to_owned())
}

/// True for a record of `1234`, or of `1234_5`, a task of an array.
fn is_of_job(record: &[&str], id: &str) -> bool {
    let is = |name: &str, value: &str| record.iter().any(|word| word.strip_prefix(name) == Some(value));
    let is_task = |(array, task)| is("ArrayJobId=", array) && is("ArrayTaskId=", task);
    is("JobId=", id) || id.split_once('_').is_some_and(is_task)
}

/// The end of a job, from the attributes of OpenPBS, PBS Professional and Torque: `
/// Resource_List.walltime = 01:00:00`.
pub(super) fn pbs_end(answer: &str, now: SystemTime) -> Result<Option<SystemTime>, String> {
    let attribute = |name: &str| {
        answer
            .lines()
            .find_map(|line| Some(line.trim().strip_prefix(name)?.trim_start().strip_prefix('=')?.trim()))
    };
    // Torque prints the remaining seconds.
    if let Some(left) = attribute("Walltime.Remaining").and_then(clock_duration) {
        return Ok(now.checked_add(left));
    }
    let Some(limit) = attribute("Resource_List.walltime").and_then(clock_duration) else {
        let whole = attribute("Job_Id").is_some() || answer.contains("Job Id:");
        return if whole { Ok(None) } else { Err("its answer is not that of a job".to_owned()) };
    };
    let began = attribute("stime").or_else(|| attribute("start_time")).and_then(ctime);
    let used = attribute("resources_used.walltime").and_then(clock_duration);
    // The used time is updated every few minutes only: it may be too short, never too long.
    let by_used = used.and_then(|used| now.checked_add(limit.checked_sub(used)?));
    let by_start = began.and_then(|began| began.checked_add(limit)).filter(|end| {
        // A start in the future, or an end in the past, is in another zone.
        *end > now && began.is_some_and(|began| began <= now + ROUNDING)
    });
    let end = [by_start, by_used].into_iter().flatten().min();
    end.map(Some).ok_or_else(|| "its answer has no start of the job".to_owned())
}

/// The time itself, if the durations, which have no zone, lead to it too.
fn choose(end: Option<SystemTime>, by_durations: Option<SystemTime>) -> Option<SystemTime> {
    let (Some(end), Some(other)) = (end, by_durations) else { return end.or(by_durations) };
    let apart = end.duration_since(other).unwrap_or_else(|error| error.duration());
    Some(if apart <= ROUNDING { end } else { other })
}

/// Parses `[days-]hours:minutes:seconds`, `minutes:seconds` or seconds.
pub(super) fn clock_duration(text: &str) -> Option<Duration> {
    let (days, clock) = text.trim().split_once('-').unwrap_or(("0", text.trim()));
    let parts: Vec<u64> = clock.split(':').map(number).collect::<Option<_>>()?;
    let seconds = match parts[..] {
        [hours, minutes, seconds] => {
            hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)?
        }
        [minutes, seconds] => minutes.checked_mul(60)?.checked_add(seconds)?,
        [seconds] => seconds,
        _ => return None,
    };
    Some(Duration::from_secs(number(days)?.checked_mul(86_400)?.checked_add(seconds)?))
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Parses `Mon Nov 23 14:00:00 2026`, as C's `ctime` writes it, in UTC.
fn ctime(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, month, day, clock, year] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    humantime::parse_rfc3339(&format!("{year}-{month:02}-{day:0>2}T{clock}Z")).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn time(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    const SLURM: &str = "JobId=1234 JobName=train
   UserId=anna(1000) GroupId=users(100) MCS_label=N/A
   Requeue=1 Restarts=0 BatchFlag=1 Reboot=0 ExitCode=0:0
   RunTime=00:10:00 TimeLimit=1-01:00:00 TimeMin=N/A
   StartTime=2026-11-23T12:00:00 EndTime=2026-11-24T13:00:00 Deadline=N/A
   SuspendTime=None SecsPreSuspend=0";

    #[test]
    fn slurm_says_when_the_job_ends() {
        let now = time("2026-11-23T12:10:00Z");
        assert_eq!(slurm_end(SLURM, "1234", now), Ok(Some(time("2026-11-24T13:00:00Z"))));
        // One of the two is missing.
        assert_eq!(
            slurm_end("JobId=1234 EndTime=2026-11-24T13:00:00", "1234", now),
            Ok(Some(time("2026-11-24T13:00:00Z")))
        );
        assert_eq!(
            slurm_end(&SLURM.replace("EndTime=", "x="), "1234", now),
            Ok(Some(time("2026-11-24T13:00:00Z")))
        );
    }

    #[test]
    fn a_zone_that_is_not_utc_does_not_shift_the_end() {
        let now = time("2026-11-23T12:10:00Z");
        let elsewhere = SLURM.replace("T13:00:00", "T06:00:00");
        assert_eq!(slurm_end(&elsewhere, "1234", now), Ok(Some(time("2026-11-24T13:00:00Z"))));
    }

    #[test]
    fn slurm_may_have_no_limit_or_no_answer() {
        let now = time("2026-11-23T12:10:00Z");
        assert_eq!(slurm_end(&SLURM.replace("1-01:00:00", "UNLIMITED"), "1234", now), Ok(None));
        for answer in
            ["", "EndTime=Unknown", "EndTime=tomorrow TimeLimit=x RunTime=y", "slurm_load_jobs error"]
        {
            let answer = format!("JobId=1234 {answer}");
            assert!(slurm_end(&answer, "1234", now).is_err(), "{answer}");
        }
    }

    #[test]
    fn of_several_records_that_of_the_job_counts() {
        let now = time("2026-11-23T12:10:00Z");
        let record = |job: &str, hour: u32| {
            format!(
                "{job} JobName=train\n   JobState=RUNNING Reason=None\n   RunTime=00:10:00 TimeLimit=0{}:00:00\n   \
                 EndTime=2026-11-23T{hour}:00:00\n\n",
                hour - 12
            )
        };
        let answer = record("JobId=7 ArrayJobId=7 ArrayTaskId=3", 13)
            + &record("JobId=9 ArrayJobId=7 ArrayTaskId=2", 14)
            + &record("JobId=8 ArrayJobId=7 ArrayTaskId=1", 15);
        for (id, hour) in [("7", 13), ("7_3", 13), ("9", 14), ("7_2", 14), ("8", 15), ("7_1", 15)] {
            let end = time(&format!("2026-11-23T{hour}:00:00Z"));
            assert_eq!(slurm_end(&answer, id, now), Ok(Some(end)), "{id}");
        }
        for id in ["70", "7_4", "1_7"] {
            assert!(slurm_end(&answer, id, now).is_err(), "{id}");
        }
    }

    #[test]
    fn a_job_of_slurm_that_does_not_run_has_no_end() {
        let now = time("2026-11-23T12:10:00Z");
        for state in ["COMPLETED", "PENDING", "CANCELLED"] {
            let answer = SLURM.replace("UserId", &format!("JobState={state} UserId"));
            let error = slurm_end(&answer, "1234", now).unwrap_err();
            assert!(error.contains(state), "{error}");
        }
        let answer = SLURM.replace("UserId", "JobState=RUNNING UserId");
        assert!(slurm_end(&answer, "1234", now).is_ok());
    }

    #[test]
    fn pbs_says_when_the_job_ends() {
        let now = time("2026-11-23T12:10:00Z");
        let end = Ok(Some(time("2026-11-23T13:00:00Z")));
        let torque =
            "Job Id: 5.server\n    Resource_List.walltime = 01:00:00\n    Walltime.Remaining = 3000\n";
        assert_eq!(pbs_end(torque, now), end);
        let openpbs = "Job Id: 5.server\n    resources_used.walltime = 00:08:00\n    Resource_List.walltime = 01:00:00\n    \
                       stime = Mon Nov 23 12:00:00 2026\n    obittime = Mon Nov 23 12:00:00 2026\n";
        assert_eq!(pbs_end(openpbs, now), end);
        // A start in another zone is ignored.
        let elsewhere = openpbs.replace("stime = Mon Nov 23 12", "stime = Mon Nov 23 19");
        assert_eq!(pbs_end(&elsewhere, now), Ok(Some(time("2026-11-23T13:02:00Z"))));
        assert_eq!(pbs_end("Job Id: 5.server\n    job_state = R\n", now), Ok(None));
        assert!(pbs_end("qstat: Unknown Job Id", now).is_err());
        assert!(pbs_end("Resource_List.walltime = 01:00:00\n", now).is_err());
    }

    #[test]
    fn durations_of_batch_systems() {
        let seconds = |text| clock_duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("2-03:04:05"), Some(183_845));
        assert_eq!(seconds("100:00:00"), Some(360_000));
        assert_eq!(seconds("29:30"), Some(1770));
        assert_eq!(seconds("3600"), Some(3600));
        for text in ["", ":", "1:2:3:4", "x", "-1", "1-", "1.5", "+1", "99999999999999999:00:00", "N/A"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
