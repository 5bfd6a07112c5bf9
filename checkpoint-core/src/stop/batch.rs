//! Asks the programs of batch systems for the end of a job.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::answer::{pbs_end, slurm_end};

/// The time to wait for their answer. A busy controller takes longer; the program does not wait for
/// it.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes of their output that are read.
const READ: u64 = 1 << 20;

/// A batch system, with its name for the job.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum System {
    Slurm(String),
    Pbs(String),
}

/// The end of the job, `None` if it has no limit; or the reason why it is unknown.
pub(super) type Answer = Result<Option<SystemTime>, String>;

impl System {
    /// The program to run.
    pub(super) fn program(&self) -> &'static str {
        match self {
            System::Slurm(_) => "scontrol",
            System::Pbs(_) => "qstat",
        }
    }

    /// The name of the batch system, for messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            System::Slurm(_) => "scontrol",
            System::Pbs(_) => "PBS",
        }
    }

    /// Runs the program, and waits for the answer.
    pub(super) fn end(&self) -> Answer {
        let now = SystemTime::now();
        match self {
            System::Slurm(id) => {
                let id = job_id(id)?;
                slurm_end(&ask("scontrol", &["show", "job", id], PATIENCE)?, id, now)
            }
            System::Pbs(id) => pbs_end(&ask("qstat", &["-f", job_id(id)?], PATIENCE)?, now),
        }
    }
}

/// An argument that is a job, and cannot be an option.
fn job_id(id: &str) -> Result<&str, String> {
    let is_of_job = |byte: u8| byte.is_ascii_alphanumeric() || b"._-[]".contains(&byte);
    let is_job = id.starts_with(|first: char| first.is_ascii_digit()) && id.bytes().all(is_of_job);
    is_job.then_some(id).ok_or_else(|| format!("{id:?} is not a job"))
}

/// Returns the output of a program. Kills a program that does not end in time.
fn ask(program: &str, arguments: &[&str], patience: Duration) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).env("TZ", "UTC0").env("SLURM_TIME_FORMAT", "standard").env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let until = Instant::now() + patience;
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let answer = read(&mut child, patience);
    let status = end(child, until);
    let answer = answer?;
    match status {
        Ok(status) if !status.success() => Err(status.to_string()),
        Ok(_) => Ok(answer),
        // A program that ignores SIGCHLD never learns the status. The output is complete.
        Err(error) if is_unknown(&error) => Ok(answer),
        Err(error) => Err(error.to_string()),
    }
}

/// True if the system keeps no status of processes that have ended.
fn is_unknown(error: &io::Error) -> bool {
    #[cfg(unix)]
    let is_unknown = rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::CHILD);
    #[cfg(not(unix))]
    let is_unknown = false;
    let _ = error;
    is_unknown
}

/// Reads in a thread, because a read cannot be cancelled. The thread stays as long as another
/// process holds the output of the program.
fn read(child: &mut Child, patience: Duration) -> Result<String, String> {
    let output = child.stdout.take().ok_or("it has no output")?;
    let (sender, receiver) = mpsc::channel();
    let reader = move || {
        let mut bytes = Vec::new();
        let outcome = output.take(READ).read_to_end(&mut bytes);
        // This fails if the caller no longer waits.
        let _ = sender.send(outcome.map(|_| String::from_utf8_lossy(&bytes).into_owned()));
    };
    thread::Builder::new().name("ask".to_owned()).spawn(reader).map_err(|error| error.to_string())?;
    let outcome = receiver.recv_timeout(patience).map_err(|_| "it did not answer in time".to_owned())?;
    outcome.map_err(|error| error.to_string())
}

fn end(mut child: Child, until: Instant) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= until {
            // A program that has just ended cannot be killed.
            let _ = child.kill();
            // One that waits for a file server ends when that answers. A thread waits for it.
            let wait = move || drop(child.wait());
            let _ = thread::Builder::new().name("ask".to_owned()).spawn(wait);
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not end in time, and was killed"));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

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
    fn a_lost_exit_status_does_not_count_against_the_answer() {
        assert!(is_unknown(&rustix::io::Errno::CHILD.into()));
        assert!(!is_unknown(&rustix::io::Errno::INTR.into()));
    }

    #[cfg(unix)]
    #[test]
    fn a_program_is_asked_in_utc_and_a_silent_one_is_given_up() {
        let long = Duration::from_secs(60);
        assert_eq!(ask("sh", &["-c", "echo $TZ $SLURM_TIME_FORMAT"], long), Ok("UTC0 standard\n".to_owned()));
        assert!(ask("sh", &["-c", "echo 1; exit 3"], long).unwrap_err().contains('3'));
        assert!(ask("no-such-program-anywhere", &[], long).is_err());
        let begun = Instant::now();
        let short = Duration::from_millis(100);
        assert!(ask("sleep", &["600"], short).is_err());
        // The program has ended, but its child holds its output.
        assert!(ask("sh", &["-c", "sleep 20 & exit 0"], short).is_err());
        // The program has closed its output, and continues.
        assert!(ask("sh", &["-c", "exec >&-; exec sleep 600"], short).is_err());
        assert!(begun.elapsed() < Duration::from_secs(15));
    }
}
