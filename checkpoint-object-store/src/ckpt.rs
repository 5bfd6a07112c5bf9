//! `ckpt` with object stores: the command line of `checkpointed-cli`, where a URL may stand for a
//! directory.

use std::process::ExitCode;
use std::sync::Arc;

use checkpointed_object_store::ObjectHome;

fn main() -> ExitCode {
    checkpointed_cli::run_with(|url| Ok(Arc::new(ObjectHome::from_url(url)?)), std::env::args_os())
}
