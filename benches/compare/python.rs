//! The Python packages, in one process. It lives as long as the rounds and times itself, because
//! the start of an interpreter does not count.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::options::Options;
use crate::report::Report;
use crate::rounds::{Case, Outcome};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/compare/baselines.py");

/// The process, and the packages in it.
pub(crate) struct Python {
    process: Rc<RefCell<Process>>,
    packages: Vec<String>,
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// Starts it. Missing packages are noted, and left out.
pub(crate) fn start(
    folder: &Path,
    state: &str,
    bytes: usize,
    options: &Options,
    report: &mut Report,
) -> Option<Python> {
    if !options.python {
        return None;
    }
    match Process::start(folder, state, bytes) {
        Ok((process, packages, missing)) => {
            for missing in missing {
                report.note(format!("Python: {missing}"));
            }
            Some(Python { process: Rc::new(RefCell::new(process)), packages })
        }
        Err(error) => {
            report.note(format!("Python is left out: {error}"));
            None
        }
    }
}

pub(crate) fn saves(python: &mut Option<Python>) -> Vec<Case<'static>> {
    cases(python, "save", " (+ fsync)")
}

pub(crate) fn loads(python: &mut Option<Python>) -> Vec<Case<'static>> {
    cases(python, "load", "")
}

fn cases(python: &mut Option<Python>, operation: &'static str, addition: &str) -> Vec<Case<'static>> {
    let Some(Python { process, packages }) = python else { return Vec::new() };
    let case = |package: &String| {
        let (process, package) = (Rc::clone(process), package.clone());
        Case::new(format!("Python: {package}{addition}"), move || {
            process.borrow_mut().measure(operation, &package)
        })
    };
    packages.iter().map(case).collect()
}

impl Process {
    fn start(folder: &Path, state: &str, bytes: usize) -> Outcome<(Process, Vec<String>, Vec<String>)> {
        let mut command = Command::new("python3");
        command.arg(PROGRAM).arg(folder).arg(state).arg(bytes.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().ok_or("no standard input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut process = Process { child, input, output };
        let answer = process.answer()?;
        let texts = |key: &str| -> Vec<String> {
            let texts = answer.get(key).and_then(Value::as_array).into_iter().flatten();
            texts.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let (packages, missing) = (texts("packages"), texts("missing"));
        Ok((process, packages, missing))
    }

    fn answer(&mut self) -> Outcome<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(serde_json::from_str(&line).map_err(|_| format!("it did not answer, but: {line:?}"))?)
    }

    fn measure(&mut self, operation: &str, package: &str) -> Outcome<Duration> {
        writeln!(self.input, "{operation} {package}")?;
        let answer = self.answer()?;
        let seconds = answer.get("seconds").and_then(Value::as_f64).ok_or_else(|| answer.to_string())?;
        Ok(Duration::from_secs_f64(seconds))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends at the end of its input. If it hangs, it must not outlive the comparison.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
