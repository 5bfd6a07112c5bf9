//! The counter of an article on checkpointing in Python: it counts, is interrupted, and continues.
//!
//! ```text
//! cargo run -p checkpointed-examples --example article -- --help
//! ```
//!
//! After ctrl+c it asks the user if it may continue. Remove the directory to start from 1.
//! `counter` is the same without the question.

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
use clap::Parser;
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

#[derive(Parser)]
struct Options {
    /// The checkpoint directory.
    #[arg(long, default_value = "counter.ckpt")]
    dir: PathBuf,
    /// Milliseconds between two numbers.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    every: u64,
    /// Ends after this many numbers; without it, never.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

#[checkpointed]
#[derive(Default)]
struct Counter {
    count: u64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("article: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let keyboard = Keyboard::watch()?;
    // `println!` would panic if no process reads the output.
    let mut output = io::stdout();
    writeln!(output, "For testing, interrupt the running code by typing ctrl+c")?;

    let mut checkpoints = Checkpointer::<Counter>::open(&options.dir)?;
    let mut left = options.count;
    loop {
        let mut counter = checkpoints.load_or_default()?;
        for skipped in checkpoints.last_load().map(|load| &load.skipped[..]).unwrap_or_default() {
            eprintln!("article: skipped: {skipped}");
        }
        while left != Some(0) {
            if keyboard.interrupted_within(Duration::from_millis(options.every)) {
                break;
            }
            counter.count += 1;
            // The save comes before the output, so that a number that was shown is never counted
            // again.
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

/// Handles ctrl+c: at once while counting. While a question waits for its answer, ctrl+c ends the
/// program as usual.
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
                    // Ends the process. If this fails, the next ctrl+c tries again.
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

    /// Returns true if the answer to `question` is the letter y.
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
