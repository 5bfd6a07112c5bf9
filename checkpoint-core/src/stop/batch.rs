//! What the batch systems' own programs say of the end of a job.
//!
//! They print local times, without a zone. So they are run with `TZ=UTC0`. Where the zone does not reach them, as through
//! a wrapper, it shows: they also print how long the job runs and may run, which have no zone.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How long they are waited for. A controller that is busy takes longer; the program is not to wait for that.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much of what they say is read.
const READ: u64 = 1 << 20;
/// Two ways to the same time may differ by so much: the answer takes a while, and its times are rounded.
const ROUNDING: Duration = Duration::from_secs(60);

/// When Slurm ends a job; `None` where it has no limit.
pub(super) fn slurm(id: &str, now: SystemTime) -> Result<Option<SystemTime>, String> {
    slurm_end(&ask("scontrol", &["show", "job", job_id(id)?], PATIENCE)?, now)
}

/// When PBS ends a job; `None` where it has no limit.
pub(super) fn pbs(id: &str, now: SystemTime) -> Result<Option<SystemTime>, String> {
    pbs_end(&ask("qstat", &["-f", job_id(id)?], PATIENCE)?, now)
}

/// An argument that is a job and not an option.
fn job_id(id: &str) -> Result<&str, String> {
    let is_of_job = |byte: u8| byte.is_ascii_alphanumeric() || b"._-[]".contains(&byte);
    let is_job = id.starts_with(|first: char| first.is_ascii_digit()) && id.bytes().all(is_of_job);
    is_job.then_some(id).ok_or_else(|| format!("{id:?} is not a job"))
}

/// From `RunTime=00:10:00 TimeLimit=01:00:00 … EndTime=2026-11-23T14:00:00`.
fn slurm_end(answer: &str, now: SystemTime) -> Result<Option<SystemTime>, String> {
    let field = |name: &str| answer.split_whitespace().find_map(|word| word.strip_prefix(name));
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

/// From the attributes of OpenPBS, PBS Professional and Torque: `    Resource_List.walltime = 01:00:00`.
fn pbs_end(answer: &str, now: SystemTime) -> Result<Option<SystemTime>, String> {
    let attribute = |name: &str| {
        answer
            .lines()
            .find_map(|line| Some(line.trim().strip_prefix(name)?.trim_start().strip_prefix('=')?.trim()))
    };
    // Torque says it outright, in seconds.
    if let Some(left) = attribute("Walltime.Remaining").and_then(clock_duration) {
        return Ok(now.checked_add(left));
    }
    let Some(limit) = attribute("Resource_List.walltime").and_then(clock_duration) else {
        let whole = attribute("Job_Id").is_some() || answer.contains("Job Id:");
        return if whole { Ok(None) } else { Err("its answer is not that of a job".to_owned()) };
    };
    let began = attribute("stime").or_else(|| attribute("start_time")).and_then(ctime);
    let used = attribute("resources_used.walltime").and_then(clock_duration);
    // What is used is brought up to date every few minutes only: it may be too little, never too much.
    let by_used = used.and_then(|used| now.checked_add(limit.checked_sub(used)?));
    let by_start = began.and_then(|began| began.checked_add(limit)).filter(|end| {
        // A start that is not past, or an end that is, is one of another zone.
        *end > now && began.is_some_and(|began| began <= now + ROUNDING)
    });
    let end = [by_start, by_used].into_iter().flatten().min();
    end.map(Some).ok_or_else(|| "its answer has no start of the job".to_owned())
}

/// The time itself if the durations lead to it too, for they have no zone.
fn choose(end: Option<SystemTime>, by_durations: Option<SystemTime>) -> Option<SystemTime> {
    let (Some(end), Some(other)) = (end, by_durations) else { return end.or(by_durations) };
    let apart = end.duration_since(other).unwrap_or_else(|error| error.duration());
    Some(if apart <= ROUNDING { end } else { other })
}

/// `[days-]hours:minutes:seconds`, `minutes:seconds` or seconds.
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

/// `Mon Nov 23 14:00:00 2026`, as C's `ctime` writes it, in UTC.
fn ctime(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, month, day, clock, year] = words[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    humantime::parse_rfc3339(&format!("{year}-{month:02}-{day:0>2}T{clock}Z")).ok()
}

/// What a program prints. It is killed if it does not end in time.
fn ask(program: &str, arguments: &[&str], patience: Duration) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).env("TZ", "UTC0").env("SLURM_TIME_FORMAT", "standard").env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let until = Instant::now() + patience;
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let answer = read(&mut child, patience);
    let status = end(&mut child, until);
    let (answer, status) = (answer?, status?);
    if status.success() { Ok(answer) } else { Err(status.to_string()) }
}

/// By a thread of its own: a read cannot be given up. It stays if the program has left its output to another that goes on.
fn read(child: &mut Child, patience: Duration) -> Result<String, String> {
    let output = child.stdout.take().ok_or("it has no output")?;
    let (sender, receiver) = mpsc::channel();
    let reader = move || {
        let mut bytes = Vec::new();
        let outcome = output.take(READ).read_to_end(&mut bytes);
        // Nobody waits any more if this fails.
        let _ = sender.send(outcome.map(|_| String::from_utf8_lossy(&bytes).into_owned()));
    };
    thread::Builder::new().name("ask".to_owned()).spawn(reader).map_err(|error| error.to_string())?;
    let outcome = receiver.recv_timeout(patience).map_err(|_| "it did not answer in time".to_owned())?;
    outcome.map_err(|error| error.to_string())
}

fn end(child: &mut Child, until: Instant) -> Result<ExitStatus, String> {
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status);
        }
        if Instant::now() >= until {
            // One that has just ended cannot be killed.
            let _ = child.kill();
            return child.wait().map_err(|error| error.to_string());
        }
        thread::sleep(Duration::from_millis(2));
    }
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
        assert_eq!(slurm_end(SLURM, now), Ok(Some(time("2026-11-24T13:00:00Z"))));
        // Without one of the two.
        assert_eq!(slurm_end("EndTime=2026-11-24T13:00:00", now), Ok(Some(time("2026-11-24T13:00:00Z"))));
        assert_eq!(slurm_end(&SLURM.replace("EndTime=", "x="), now), Ok(Some(time("2026-11-24T13:00:00Z"))));
    }

    #[test]
    fn a_zone_that_is_not_utc_does_not_shift_the_end() {
        let now = time("2026-11-23T12:10:00Z");
        let elsewhere = SLURM.replace("T13:00:00", "T06:00:00");
        assert_eq!(slurm_end(&elsewhere, now), Ok(Some(time("2026-11-24T13:00:00Z"))));
    }

    #[test]
    fn slurm_may_have_no_limit_or_no_answer() {
        let now = time("2026-11-23T12:10:00Z");
        assert_eq!(slurm_end(&SLURM.replace("1-01:00:00", "UNLIMITED"), now), Ok(None));
        for answer in
            ["", "EndTime=Unknown", "EndTime=tomorrow TimeLimit=x RunTime=y", "slurm_load_jobs error"]
        {
            assert!(slurm_end(answer, now).is_err(), "{answer}");
        }
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
        // A start in another zone is passed over.
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

    #[test]
    fn a_job_is_never_an_option() {
        assert!(job_id("1234_5").is_ok());
        assert!(job_id("1234[5].server-1.example.org").is_ok());
        for id in ["", "-a", "--help", "1 2", "$(x)", "1;2", "a1"] {
            assert!(job_id(id).is_err(), "{id}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_program_is_asked_in_utc_and_one_that_does_not_answer_is_not_waited_for() {
        let long = Duration::from_secs(60);
        assert_eq!(ask("sh", &["-c", "echo $TZ $SLURM_TIME_FORMAT"], long), Ok("UTC0 standard\n".to_owned()));
        assert!(ask("sh", &["-c", "echo 1; exit 3"], long).unwrap_err().contains('3'));
        assert!(ask("no-such-program-anywhere", &[], long).is_err());
        let begun = Instant::now();
        let short = Duration::from_millis(100);
        assert!(ask("sleep", &["600"], short).is_err());
        // It is gone itself, but what it left behind holds its output.
        assert!(ask("sh", &["-c", "sleep 20 & exit 0"], short).is_err());
        // It has closed its output and goes on.
        assert!(ask("sh", &["-c", "exec >&-; exec sleep 600"], short).is_err());
        assert!(begun.elapsed() < Duration::from_secs(15));
    }
}
