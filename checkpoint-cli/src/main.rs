//! `ckpt`: see the library of this package.

use std::process::ExitCode;

fn main() -> ExitCode {
    checkpointed_cli::run(std::env::args_os())
}
