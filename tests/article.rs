//! Runs the article's program as a user does: started, interrupted, killed, and started again.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

const FIRST_LINE: &str = "For testing, interrupt the running code by typing ctrl+c\n";
const QUESTION: &str = "Would you like to continue running the code? Type the letter y for yes.";

fn article() -> Command {
    crate::common::example("article")
}

/// The output of `article` with these options, until it ends by itself.
fn output(directory: &Path, options: &[&str]) -> String {
    let output = article().arg("--dir").arg(directory).args(options).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

/// A counter that runs, and the output that was read from it.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

impl Running {
    fn start(directory: &Path, options: &[&str]) -> Running {
        let mut command = article();
        command.arg("--dir").arg(directory).args(options);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Running { stdin: child.stdin.take(), stdout: child.stdout.take().unwrap(), child }
    }

    /// Reads until `what` was printed, and returns everything up to there.
    #[track_caller]
    fn read_until(&mut self, what: &str) -> String {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(what.as_bytes()) {
            let read = self.stdout.read(&mut byte).unwrap();
            assert!(read == 1, "it ended without {what:?}: {}", String::from_utf8_lossy(&text));
            text.push(byte[0]);
        }
        String::from_utf8(text).unwrap()
    }

    fn interrupt(&self) {
        let command = format!("kill -INT {}", self.child.id());
        assert!(Command::new("sh").arg("-c").arg(command).status().unwrap().success());
    }

    fn answer(&mut self, answer: &str) {
        self.stdin.as_mut().unwrap().write_all(answer.as_bytes()).unwrap();
    }

    /// Waits for its end, and returns the rest of its output.
    fn end(mut self) -> (ExitStatus, String) {
        drop(self.stdin.take());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only after a failure: otherwise it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A path where nothing exists yet.
fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("counter.ckpt");
    (parent, path)
}

#[test]
fn it_says_how_to_interrupt_it_and_counts_from_one() {
    let (_parent, path) = nowhere();
    assert_eq!(output(&path, &["--every", "1", "--count", "5"]), format!("{FIRST_LINE}{}", numbers(1..=5)));
}

#[test]
fn it_goes_on_where_it_was() {
    let (_parent, path) = nowhere();
    for (count, expected) in [("3", 1..=3), ("1", 4..=4), ("20", 5..=24), ("2", 25..=26)] {
        let printed = output(&path, &["--count", count, "--every", "0"]);
        assert_eq!(printed, format!("{FIRST_LINE}{}", numbers(expected)));
    }
    assert_eq!(output(&path, &["--count", "0"]), FIRST_LINE);
}

#[test]
fn it_starts_from_one_when_the_directory_is_removed() {
    let (_parent, path) = nowhere();
    output(&path, &["--every", "1", "--count", "7"]);
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(output(&path, &["--every", "1", "--count", "2"]), format!("{FIRST_LINE}1\n2\n"));
}

#[test]
fn its_directory_is_in_the_working_directory_unless_given() {
    let (parent, path) = nowhere();
    let mut command = article();
    command.args(["--every", "1", "--count", "2"]).current_dir(parent.path());
    assert!(command.output().unwrap().status.success());
    assert_eq!(crate::common::names_in(parent.path()), ["counter.ckpt"]);
    assert_eq!(output(&path, &["--every", "1", "--count", "1"]), format!("{FIRST_LINE}3\n"));
}

#[test]
fn ctrl_c_asks_and_the_letter_y_goes_on_with_the_next_number() {
    let (_parent, path) = nowhere();
    let mut running = Running::start(&path, &["--every", "1"]);
    assert_eq!(running.read_until("\n"), FIRST_LINE);
    let mut last = 0;
    for _ in 0..3 {
        let next = format!("{}\n", last + 3);
        assert_eq!(running.read_until(&next), numbers(last + 1..=last + 3));
        running.interrupt();
        let rest = running.read_until(QUESTION);
        let rest = rest.strip_suffix(QUESTION).unwrap();
        // It may have counted on between the awaited number and the interrupt.
        last = rest.lines().last().map_or(last + 3, |line| line.parse().unwrap());
        assert!(next.clone() + rest == numbers(next.trim().parse().unwrap()..=last), "{rest}");
        running.answer("y\n");
    }
    assert_eq!(running.read_until(&format!("{}\n", last + 2)), numbers(last + 1..=last + 2));
    running.interrupt();
    running.read_until(QUESTION);
    running.answer("no\n");
    let (status, rest) = running.end();
    assert_eq!((status.code(), rest.as_str()), (Some(0), ""));
}

#[test]
fn ctrl_c_during_a_long_wait_is_noticed_at_once() {
    let (_parent, path) = nowhere();
    // One hour between two numbers.
    let mut running = Running::start(&path, &["--every", "3600000"]);
    assert_eq!(running.read_until("\n"), FIRST_LINE);
    running.interrupt();
    assert_eq!(running.read_until(QUESTION), QUESTION);
    assert_eq!(running.end().0.code(), Some(0));
}

#[test]
fn any_other_answer_and_the_end_of_input_end_it_with_success() {
    for answer in ["", "\n", "n\n", "yes\n", "Y\n", "why", "\0\n"] {
        let (_parent, path) = nowhere();
        let mut running = Running::start(&path, &["--every", "1"]);
        running.read_until("\n2\n");
        running.interrupt();
        let printed = running.read_until(QUESTION);
        running.answer(answer);
        let (status, rest) = running.end();
        assert_eq!((status.code(), rest.as_str()), (Some(0), ""), "{answer:?}");
        // The next run continues.
        let counted = printed.strip_suffix(QUESTION).unwrap();
        let last: u64 = counted.lines().last().map_or(2, |line| line.parse().unwrap());
        let next = output(&path, &["--every", "1", "--count", "1"]);
        assert_eq!(next, format!("{FIRST_LINE}{}\n", last + 1), "{answer:?}");
    }
}

#[test]
fn the_letter_y_without_a_newline_is_an_answer() {
    let (_parent, path) = nowhere();
    let mut running = Running::start(&path, &["--every", "1", "--count", "1000000"]);
    running.read_until("\n1\n");
    running.interrupt();
    running.read_until(QUESTION);
    running.answer("y");
    drop(running.stdin.take());
    running.read_until("\n");
    running.interrupt();
    running.read_until(QUESTION);
    assert_eq!(running.end().0.code(), Some(0));
}

#[test]
fn killed_fifty_times_it_never_prints_a_number_twice() {
    let (_parent, path) = nowhere();
    let mut seed = RandomState::new().hash_one(0);
    println!("seed {seed:#x}");
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    // The last printed number, and the kills since then: each may have come between a save and its
    // number.
    let (mut last, mut kills) = (0, 0);
    let mut check = |printed: &str, kills: u64| {
        let counted = printed.strip_prefix(FIRST_LINE).unwrap_or_default();
        for (place, line) in counted.lines().enumerate() {
            let number: u64 = line.parse().unwrap();
            let skipped = number.checked_sub(last + 1).unwrap_or_else(|| panic!("{number} after {last}"));
            let allowed = if place == 0 { kills } else { 0 };
            assert!(skipped <= allowed, "{number} after {last}, with {kills} kills between");
            last = number;
        }
        !counted.is_empty()
    };
    for _ in 0..50 {
        let mut running = Running::start(&path, &["--every", "1"]);
        thread::sleep(Duration::from_millis(5 + random() % 296));
        running.child.kill().unwrap();
        let (status, printed) = running.end();
        assert_eq!(status.code(), None, "it ran until it was killed");
        // A kill cannot cut a line: each line is one write.
        assert!(printed.is_empty() || printed.ends_with('\n'), "{printed:?}");
        if check(&printed, kills) {
            kills = 0;
        }
        kills += 1;
    }
    assert!(check(&output(&path, &["--every", "1", "--count", "20"]), kills));
    println!("counted to {last}");
}

#[test]
fn a_second_one_on_the_same_directory_fails_and_says_who_has_it() {
    let (_parent, path) = nowhere();
    let mut first = Running::start(&path, &["--every", "1"]);
    first.read_until("\n1\n");
    let second = article().arg("--dir").arg(&path).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let message = String::from_utf8(second.stderr).unwrap();
    let holder = format!("{} is in use by process {} on ", path.display(), first.child.id());
    assert!(message.starts_with("article: ") && message.contains(&holder), "{message}");
    assert!(!message.contains("panicked"), "{message}");
    first.interrupt();
    first.read_until(QUESTION);
    assert_eq!(first.end().0.code(), Some(0));
}

#[test]
fn damaged_checkpoints_end_it_and_it_does_not_start_from_one() {
    let (_parent, path) = nowhere();
    output(&path, &["--every", "1", "--count", "2"]);
    for generation in 1..=2 {
        fs::write(crate::common::file_of(&path, generation), "PK").unwrap();
    }
    let ended = article().arg("--dir").arg(&path).args(["--every", "1", "--count", "1"]).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let message = String::from_utf8(ended.stderr).unwrap();
    assert!(message.contains("none of the generations"), "{message}");
    assert!(!String::from_utf8(ended.stdout).unwrap().contains('1'));
}

#[test]
fn output_that_nobody_reads_ends_it_without_a_panic() {
    let (_parent, path) = nowhere();
    let directory = path.to_str().unwrap();
    let all_options: [&[&str]; 2] = [&["--dir", directory, "--every", "1"], &["--help"]];
    for options in all_options {
        let mut child =
            article().args(options).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // As with `article | true`, no process reads its output.
        drop(child.stdout.take());
        let (status, message) = crate::common::must_end(move || {
            let output = child.wait_with_output().unwrap();
            (output.status, String::from_utf8(output.stderr).unwrap())
        });
        assert!(!message.contains("panicked") && status.code() != Some(101), "{status}: {message}");
    }
}

#[test]
fn a_wrong_option_is_refused_and_nothing_is_created() {
    let wrong: [&[&str]; 8] = [
        &["--directory", "x"],
        &["x"],
        &["--every"],
        &["--every", "soon"],
        &["--every", "-1"],
        &["--count", "1.5"],
        &["--count", "99999999999999999999"],
        &["--dir"],
    ];
    for options in wrong {
        let (parent, _) = nowhere();
        let ended = article().args(options).current_dir(parent.path()).output().unwrap();
        let message = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{options:?}");
        let names_it = options.iter().any(|option| message.contains(option));
        assert!(message.contains("--help") && names_it, "{message}");
        assert!(ended.stdout.is_empty());
        assert_eq!(crate::common::names_in(parent.path()), [""; 0]);
    }
    let help = article().arg("--help").output().unwrap();
    assert!(help.status.success() && help.stderr.is_empty());
    for option in ["--dir", "--every", "--count"] {
        assert!(String::from_utf8_lossy(&help.stdout).contains(option));
    }
}
