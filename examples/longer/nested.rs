//! Functions that call each other in loops, each with a part of the checkpoint: the C++ sample of
//! the article on checkpointing, without its fault.
//!
//! ```text
//! cargo run -p checkpointed-examples --example nested -- --help
//! ```
//!
//! The sample (`sample_code_with_ckpt.cpp` of <https://github.com/ritua2/bsswfellowship>) has a
//! function `d` that calls `b` ten times. Each `b` counts to ten and adds up. Each function has a
//! file of its own with the number of its call, its loop's index and its variable; `b` writes its
//! file in every fifth iteration. After an interruption the two files are of different moments, so
//! the sample ends with another sum if it is restarted with `r`. Here every save holds both
//! functions at one moment, and the sums are the same: 505 and 65.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use checkpointed::{Scopes, checkpointed};
use clap::Parser;

#[derive(Parser)]
struct Options {
    /// Continues from the checkpoint; without it, everything starts anew.
    #[arg(value_name = "r", value_parser = ["r"])]
    restart: Option<String>,
    /// The checkpoint directory.
    #[arg(long, default_value = "nested.ckpt")]
    dir: PathBuf,
    /// Milliseconds between two values.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pause: u64,
}

/// The memory of either function: its loop's index, and its variable.
#[checkpointed]
struct Loop {
    i: i64,
    v: i64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nested: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut scopes = Scopes::open(&options.dir)?;
    if options.restart.is_some() && scopes.restore()? {
        writeln!(io::stdout(), "going on from the checkpoint")?;
    }
    let pause = Duration::from_millis(options.pause);
    let mut program = scopes.enter::<()>("main")?;
    let i1 = program.once("d of i1", |scopes| d(scopes, 10, pause))?;
    let i2 = program.once("b of i2", |scopes| b(scopes, 20, pause))?;
    let i1 = program.once("b of i1", |scopes| b(scopes, i1, pause))?;
    drop(program);
    writeln!(io::stdout(), "Final i1 = {i1}\nFinal i2 = {i2}")?;
    scopes.finish()?;
    Ok(())
}

fn d(scopes: &mut Scopes, v: i64, pause: Duration) -> Result<i64, checkpointed::Error> {
    let mut scope = scopes.enter::<Loop>("d")?;
    let mut own = scope.restored().unwrap_or(Loop { i: 0, v });
    say(format_args!("d, call {}: starting out from i = {}, v = {}", scope.call(), own.i, own.v));
    while own.i < 10 {
        scope.keep(&own)?;
        own.v = b(&mut scope, own.v, pause)?;
        own.i += 1;
    }
    Ok(own.v)
}

fn b(scopes: &mut Scopes, v: i64, pause: Duration) -> Result<i64, checkpointed::Error> {
    let mut scope = scopes.enter::<Loop>("b")?;
    let mut own = scope.restored().unwrap_or(Loop { i: 0, v });
    say(format_args!("b, call {}: starting out from i = {}, v = {}", scope.call(), own.i, own.v));
    while own.i < 10 {
        if own.i % 5 == 0 {
            scope.save(&own)?;
        }
        own.v += own.i;
        own.i += 1;
        say(format_args!("Value changed to {}", own.v));
        thread::sleep(pause);
    }
    Ok(own.v)
}

/// `println!` would panic if no process reads the output.
fn say(line: std::fmt::Arguments<'_>) {
    let mut output = io::stdout();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
