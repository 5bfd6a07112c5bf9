//! The counter of an article on checkpointing in Python: it counts, is interrupted, and goes on.
//!
//! ```text
//! cargo run --example counter -- [--dir DIR] [--every MS] [--count N]
//! ```
//!
//! `--dir`: the checkpoint directory, `counter.ckpt` unless given. `--every`: milliseconds from one number to the
//! next, 1000 unless given. `--count`: ends after so many numbers. Ctrl+c asks whether to go on; removing the
//! directory starts from 1.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use checkpointed::{Checkpointer, checkpointed};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

#[checkpointed]
#[derive(Default)]
struct Counter {
    count: u64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counter: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some(options) = Options::from_arguments(std::env::args().skip(1))? else {
        // Not `print!`, here and below: it panics where nobody reads the output.
        return Ok(io::stdout().write_all(USAGE.as_bytes())?);
    };
    let keyboard = Keyboard::watch()?;
    let mut output = io::stdout();
    writeln!(output, "For testing, interrupt the running code by typing ctrl+c")?;

    let mut checkpoints = Checkpointer::<Counter>::open(&options.directory)?;
    let mut left = options.count;
    loop {
        let mut counter = checkpoints.load_or_default()?;
        for skipped in checkpoints.last_load().map(|load| &load.skipped[..]).unwrap_or_default() {
            eprintln!("counter: passed over: {skipped}");
        }
        while left != Some(0) {
            if keyboard.interrupted_within(options.every) {
                break;
            }
            counter.count += 1;
            // Saved before it is shown: a number that was seen is never counted again.
            checkpoints.save(&counter)?;
            writeln!(output, "{}", counter.count)?;
            output.flush()?;
            left = left.map(|left| left - 1);
        }
        if left == Some(0)
            || !keyboard.ask("Would you like to continue running the code? Type the letter y for yes.")?
        {
            return Ok(());
        }
    }
}

/// Ctrl+c, noticed at once while counting; while a question waits for its answer it ends the program as usual.
struct Keyboard {
    interrupts: Receiver<()>,
    asking: Arc<AtomicBool>,
}

impl Keyboard {
    fn watch() -> io::Result<Keyboard> {
        let mut signals = Signals::new([SIGINT])?;
        let (sender, interrupts) = mpsc::channel();
        let asking = Arc::new(AtomicBool::new(false));
        let is_asking = Arc::clone(&asking);
        thread::spawn(move || {
            for signal in signals.forever() {
                if is_asking.load(Ordering::SeqCst) || sender.send(()).is_err() {
                    // Ends the process. Should that fail, the next ctrl+c tries again.
                    let _ = emulate_default_handler(signal);
                }
            }
        });
        Ok(Keyboard { interrupts, asking })
    }

    /// Waits for `time`, or until ctrl+c.
    fn interrupted_within(&self, time: Duration) -> bool {
        self.interrupts.recv_timeout(time) != Err(RecvTimeoutError::Timeout)
    }

    /// Whether the answer to `question` is the letter y.
    fn ask(&self, question: &str) -> io::Result<bool> {
        self.asking.store(true, Ordering::SeqCst);
        let mut output = io::stdout();
        write!(output, "{question}")?;
        output.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        self.asking.store(false, Ordering::SeqCst);
        Ok(answer.trim() == "y")
    }
}

struct Options {
    directory: PathBuf,
    every: Duration,
    count: Option<u64>,
}

const USAGE: &str = "\
usage: counter [--dir DIR] [--every MS] [--count N]
  --dir DIR    the checkpoint directory (counter.ckpt)
  --every MS   milliseconds from one number to the next (1000)
  --count N    stop after N numbers (endless)
";

impl Options {
    /// `None` where only help was asked for.
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
        let mut options =
            Options { directory: "counter.ckpt".into(), every: Duration::from_secs(1), count: None };
        while let Some(option) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{option} wants a value\n{USAGE}"));
            let number = |text: String| {
                text.parse().map_err(|_| format!("{option} wants a whole number, not {text:?}\n{USAGE}"))
            };
            match option.as_str() {
                "--dir" => options.directory = value()?.into(),
                "--every" => options.every = Duration::from_millis(value().and_then(number)?),
                "--count" => options.count = Some(value().and_then(number)?),
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("there is no option {option}\n{USAGE}")),
            }
        }
        Ok(Some(options))
    }
}
