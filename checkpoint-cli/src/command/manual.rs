//! `ckpt completions` and `ckpt man`: write the completions for a shell and the manual pages.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output::{Output, Verdict};

#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Write one page for each command into this folder, which must exist
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub(crate) fn completions(arguments: &Completions, output: &mut Output) -> Result<Verdict, Failure> {
    let mut script = Vec::new();
    let mut command = crate::arguments::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "ckpt", &mut script);
    output.raw(&script)?;
    Ok(Verdict::Well)
}

pub(crate) fn man(arguments: &Man, output: &mut Output) -> Result<Verdict, Failure> {
    let command = crate::arguments::Arguments::command();
    match &arguments.dir {
        Some(folder) => clap_mangen::generate_to(command, folder)?,
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            output.raw(&page)?;
        }
    }
    Ok(Verdict::Well)
}
