//! Real signals, sent to this test program, which runs once more as another process.

use std::io::{BufRead, BufReader, Lines};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal as Sent, kill_process};

use super::*;
use crate::store::{Claiming, Guard, RealDisk};

const INSIDE: &str = "CHECKPOINTED_TEST_STOP";

/// A test of this program that runs once more in another process, where [`inside`] is true.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

fn say(word: &str) {
    use std::io::Write;
    // Starts a new line: the harness has written the name of the test before it.
    let mut output = std::io::stdout();
    writeln!(output, "\n{word}").unwrap();
    output.flush().unwrap();
}

impl Process {
    fn of(test: &str) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([&format!("stop::tests::{test}"), "--exact", "--nocapture", "--test-threads=1"]);
        let mut child = command.env(INSIDE, "1").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Process { child, lines }
    }

    /// Waits until the process prints this word.
    fn says(&mut self, word: &str) {
        assert!(self.lines.by_ref().any(|line| line.unwrap() == word), "it did not say {word:?}");
    }

    fn send(&self, signal: Sent) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn ends(mut self) -> ExitStatus {
        self.lines.by_ref().for_each(drop);
        self.child.wait().unwrap()
    }
}

/// Waits within the process for at most a minute, so that no process stays behind if the test
/// fails.
fn until<R>(mut ready: impl FnMut() -> Option<R>) -> R {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        if let Some(result) = ready() {
            return result;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("nothing happened");
}

fn listening(signals: &[Signal]) -> Stop {
    let settings = Settings { signals: signals.to_vec(), ..Settings::default() };
    let directory = std::env::temp_dir().join("there is no such checkpoint directory");
    Stop::new(&settings, &directory, Instant::now()).unwrap()
}

fn reason_of(stop: &mut Stop) -> Option<StopReason> {
    stop.reason(Instant::now(), Duration::ZERO).cloned()
}

#[test]
fn each_signal_stops_the_program_and_is_known() {
    if inside() {
        for signal in [Signal::INT, Signal::TERM, Signal::USR1, Signal::USR2, Signal::HUP, Signal::XCPU] {
            let mut stop = listening(&[signal]);
            assert_eq!(reason_of(&mut stop), None);
            say(signal.name());
            assert_eq!(until(|| reason_of(&mut stop)), StopReason::Signal(signal));
            // The reason stays.
            assert_eq!(reason_of(&mut stop), Some(StopReason::Signal(signal)));
        }
        return;
    }
    let mut process = Process::of("each_signal_stops_the_program_and_is_known");
    let all = [
        ("SIGINT", Sent::INT),
        ("SIGTERM", Sent::TERM),
        ("SIGUSR1", Sent::USR1),
        ("SIGUSR2", Sent::USR2),
        ("SIGHUP", Sent::HUP),
        ("SIGXCPU", Sent::XCPU),
    ];
    for (name, signal) in all {
        process.says(name);
        process.send(signal);
    }
    assert!(process.ends().success());
}

#[test]
fn a_second_interrupt_ends_the_program_by_that_signal() {
    if inside() {
        let mut stop = listening(Signal::DEFAULT);
        say("listening");
        until(|| reason_of(&mut stop));
        say("stopping");
        return until(|| None);
    }
    let mut process = Process::of("a_second_interrupt_ends_the_program_by_that_signal");
    process.says("listening");
    process.send(Sent::INT);
    process.says("stopping");
    process.send(Sent::INT);
    assert_eq!(process.ends().signal(), Some(2));
}

#[test]
fn a_second_sigterm_does_not_end_the_program() {
    if inside() {
        let mut stop = listening(Signal::DEFAULT);
        say("listening");
        until(|| reason_of(&mut stop));
        let mut other = listening(&[Signal::TERM]);
        say("stopping");
        until(|| reason_of(&mut other));
        return;
    }
    let mut process = Process::of("a_second_sigterm_does_not_end_the_program");
    process.says("listening");
    process.send(Sent::TERM);
    process.says("stopping");
    process.send(Sent::TERM);
    assert!(process.ends().success());
}

#[test]
fn after_the_last_checkpointer_a_signal_does_what_it_always_did() {
    if inside() {
        let first = listening(Signal::DEFAULT);
        let mut second = listening(Signal::DEFAULT);
        drop(first);
        say("one is left");
        assert_eq!(until(|| reason_of(&mut second)), StopReason::Signal(Signal::TERM));
        drop(second);
        // The same for one listener after the other.
        drop(listening(Signal::DEFAULT));
        say("none is left");
        return until(|| None);
    }
    let mut process = Process::of("after_the_last_checkpointer_a_signal_does_what_it_always_did");
    process.says("one is left");
    process.send(Sent::TERM);
    process.says("none is left");
    process.send(Sent::TERM);
    assert_eq!(process.ends().signal(), Some(15));
}

/// Hears a signal, and ends the run because of it.
fn stopped_by(signals: &[Signal], word: &str) {
    let mut stop = listening(signals);
    say(word);
    until(|| reason_of(&mut stop));
    stop.note_end();
}

/// Runs a test once more as another process, and sends it a signal after each of these words.
fn end_of(test: &str, words: &[&str], signal: Sent) -> ExitStatus {
    let mut process = Process::of(test);
    for word in words {
        process.says(word);
        process.send(signal);
    }
    process.ends()
}

#[test]
fn a_signal_after_a_stop_ends_the_program_with_the_code() {
    if inside() {
        stopped_by(Signal::DEFAULT, "listening");
        // A program that goes on, and opens another directory, hears signals again.
        stopped_by(Signal::DEFAULT, "goes on");
        say("stopped");
        return until(|| None);
    }
    let test = "a_signal_after_a_stop_ends_the_program_with_the_code";
    let status = end_of(test, &["listening", "goes on", "stopped"], Sent::USR1);
    assert_eq!(status.code(), Some(EXIT_REQUEUE.into()));
}

#[test]
fn the_code_of_a_stopped_run_is_not_that_of_a_later_end() {
    if inside() {
        let main = listening(Signal::DEFAULT);
        stopped_by(Signal::DEFAULT, "listening");
        // This one has finished its work: it is not to be started again.
        main.note_end();
        drop(main);
        say("finished");
        return until(|| None);
    }
    let test = "the_code_of_a_stopped_run_is_not_that_of_a_later_end";
    assert_eq!(end_of(test, &["listening", "finished"], Sent::USR1).signal(), Some(10));
}

#[test]
fn a_signal_after_a_pipeline_stopped_ends_with_its_code() {
    if inside() {
        let settings = Settings { signals: Signal::DEFAULT.to_vec(), ..Settings::default() };
        let directory = std::env::temp_dir().join("there is no such pipeline directory");
        let stop = SharedStop::new(&settings, &directory, Instant::now()).unwrap();
        say("listening");
        until(|| stop.reason(Instant::now(), Duration::ZERO, Duration::ZERO));
        // Others run the pipeline too.
        stop.leave(false);
        drop(stop);
        say("stopped");
        return until(|| None);
    }
    let test = "a_signal_after_a_pipeline_stopped_ends_with_its_code";
    let status = end_of(test, &["listening", "stopped"], Sent::USR1);
    assert_eq!(status.code(), Some(EXIT_REQUEUE.into()));
}

#[test]
fn an_interrupt_after_a_stop_ends_the_program_by_that_signal() {
    if inside() {
        stopped_by(Signal::DEFAULT, "listening");
        say("stopped");
        return until(|| None);
    }
    let test = "an_interrupt_after_a_stop_ends_the_program_by_that_signal";
    assert_eq!(end_of(test, &["listening", "stopped"], Sent::INT).signal(), Some(2));
}

#[test]
fn every_checkpointer_hears_a_signal_and_a_later_one_does_not() {
    if inside() {
        let (mut one, mut other) = (listening(Signal::DEFAULT), listening(&[Signal::USR1]));
        say("listening");
        until(|| reason_of(&mut one));
        until(|| reason_of(&mut other));
        assert_eq!(reason_of(&mut listening(Signal::DEFAULT)), None);
        return;
    }
    let mut process = Process::of("every_checkpointer_hears_a_signal_and_a_later_one_does_not");
    process.says("listening");
    process.send(Sent::USR1);
    assert!(process.ends().success());
}

#[test]
fn an_interrupt_of_one_checkpointer_does_not_arm_the_next() {
    if inside() {
        let mut first = listening(Signal::DEFAULT);
        say("first");
        until(|| reason_of(&mut first));
        drop(first);
        let mut second = listening(Signal::DEFAULT);
        say("second");
        until(|| reason_of(&mut second));
        return;
    }
    let mut process = Process::of("an_interrupt_of_one_checkpointer_does_not_arm_the_next");
    process.says("first");
    process.send(Sent::INT);
    process.says("second");
    process.send(Sent::INT);
    assert!(process.ends().success());
}

#[test]
fn an_earlier_handler_is_called_too_and_stays_afterwards() {
    if inside() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, Ordering};
        let own = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(Signal::INT.number(), Arc::clone(&own)).unwrap();
        let called = || own.swap(false, Ordering::SeqCst).then_some(());
        let mut stop = listening(Signal::DEFAULT);
        say("listening");
        until(|| reason_of(&mut stop));
        until(called);
        drop(stop);
        // Twice: no handler of ours is left to count the signals.
        for word in ["closed", "again"] {
            say(word);
            until(called);
        }
        return;
    }
    let mut process = Process::of("an_earlier_handler_is_called_too_and_stays_afterwards");
    for word in ["listening", "closed", "again"] {
        process.says(word);
        process.send(Sent::INT);
    }
    // If the system does not list handlers, the second one ends the program, as documented.
    let status = process.ends();
    assert!(status.success() || cfg!(not(target_os = "linux")), "{status}");
}

#[test]
fn a_signal_without_a_listener_ends_the_program() {
    if inside() {
        let stop = listening(&[Signal::USR1]);
        say("listening");
        until::<()>(|| None);
        drop(stop);
        return;
    }
    let mut process = Process::of("a_signal_without_a_listener_ends_the_program");
    process.says("listening");
    process.send(Sent::TERM);
    assert_eq!(process.ends().signal(), Some(15));
}

#[test]
fn a_halt_file_stops_the_run_and_is_gone_at_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Stop::new(&Settings::default(), directory.path(), Instant::now()).unwrap();
    let mut stop = open();
    assert_eq!(reason_of(&mut stop), None);
    request_halt(directory.path(), "maintenance").unwrap();
    let later = Instant::now() + LOOK_EVERY;
    let reason = stop.reason(later, Duration::ZERO).cloned();
    assert_eq!(reason, Some(StopReason::Halt { message: "maintenance".to_owned() }));
    // The run is killed before it saves: the next run still knows the request.
    drop(stop);
    let mut stop = open();
    assert!(reason_of(&mut stop).is_some());
    assert_eq!(stop.take_reason(), reason);
    assert_eq!(reason_of(&mut open()), None);
}

#[test]
fn a_requeue_file_stops_the_program_once() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let guard = Guard::take(&RealDisk::default(), directory.path(), &Claiming::default()).unwrap();
        let mut stop = Stop::new(&Settings::default(), directory.path(), Instant::now()).unwrap();
        stop.begin(&guard);
        stop
    };
    let mut stop = open();
    request_requeue(directory.path(), "the machine goes").unwrap();
    let reason = reason_of(&mut stop);
    assert_eq!(reason, Some(StopReason::Requeue { message: "the machine goes".to_owned() }));
    // The run is killed before it saves: it starts again, as was asked.
    drop(stop);
    assert_eq!(reason_of(&mut open()), None);
    // The same if the program ended for another reason.
    let mut stop = open();
    request_requeue(directory.path(), "").unwrap();
    request_halt(directory.path(), "").unwrap();
    assert_eq!(reason_of(&mut stop).unwrap().to_string(), "the halt file");
    stop.take_reason();
    drop(stop);
    assert_eq!(reason_of(&mut open()), None);
}

#[test]
fn a_time_limit_stops_the_program() {
    let settings = Settings { time_limit: Some(Duration::from_secs(3600)), ..Settings::default() };
    let directory = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let mut stop = Stop::new(&settings, directory.path(), begun).unwrap();
    assert_eq!(stop.reason(begun, Duration::from_secs(1)), None);
    let near = begun + Duration::from_secs(3594);
    // A program that asks often: a step takes no time.
    let limit = Duration::from_secs(3600);
    assert_eq!(stop.reason(near, Duration::from_secs(1)), Some(&StopReason::TimeLimit { limit }));
}

#[test]
fn reasons_are_in_plain_words() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_435_200);
    let text = |reason: StopReason| reason.to_string();
    assert_eq!(text(StopReason::Signal(Signal::TERM)), "the signal SIGTERM (15)");
    assert_eq!(text(StopReason::TimeLimit { limit: Duration::from_secs(5400) }), "the time limit of 1h 30m");
    let deadline = StopReason::Deadline { at, source: "scontrol".into() };
    assert_eq!(text(deadline), format!("the deadline {} of scontrol", humantime::format_rfc3339_seconds(at)));
    assert_eq!(text(StopReason::Halt { message: String::new() }), "the halt file");
    assert_eq!(text(StopReason::Halt { message: "noon".to_owned() }), "the halt file: noon");
}

#[test]
fn a_halt_is_not_lost_to_a_program_that_cleans_at_its_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let enough = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !enough.load(std::sync::atomic::Ordering::Relaxed) {
                let builder = crate::Checkpointer::<u64>::builder(path).history(false).durable(false);
                drop(builder.open().unwrap());
            }
        });
        let outcome: Result<(), _> = (0..2000).try_for_each(|_| request_halt(path, "maintenance"));
        enough.store(true, std::sync::atomic::Ordering::Relaxed);
        outcome.unwrap();
    });
}

#[test]
fn the_halt_file_is_looked_at_once_a_second_at_most() {
    let settings = Settings {
        signals: Signal::DEFAULT.to_vec(),
        time_limit: Some(Duration::from_secs(1 << 20)),
        ..Settings::default()
    };
    let directory = tempfile::tempdir().unwrap();
    let mut stop = Stop::new(&settings, directory.path(), Instant::now()).unwrap();
    let now = Instant::now();
    assert_eq!(stop.reason(now, Duration::ZERO), None);
    // The halt file exists, and is not looked at early: so the file system is not asked.
    request_halt(directory.path(), "").unwrap();
    let soon = now + LOOK_EVERY / 2;
    assert!((0..1000).all(|_| stop.reason(soon, Duration::ZERO).is_none()));
    assert!(stop.reason(now + LOOK_EVERY, Duration::ZERO).is_some());
}
