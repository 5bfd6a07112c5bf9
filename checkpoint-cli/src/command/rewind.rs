//! `ckpt rewind`: goes back to an earlier generation, or forward to one that was set aside.

use std::io::{self, Write};
use std::path::PathBuf;

use checkpointed_core::inspect;
use checkpointed_core::{Protection, reports::Rewound};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::place;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The checkpoint directory, which no program may have open
    directory: PathBuf,
    /// The generation from which the next start of the program goes on. One that an earlier rewind
    /// set aside is brought back
    generation: u64,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Gone(Rewound);

impl Answer for Gone {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let Rewound { generation, set_aside, brought_back, .. } = &self.0;
        writeln!(output, "generation {generation} is the newest: the next start goes on from it")?;
        if !brought_back.is_empty() {
            writeln!(output, "brought back: {}", listed(brought_back))?;
        }
        if let Some(newest) = set_aside.last() {
            let numbers = listed(set_aside);
            writeln!(output, "set aside: {numbers}; a rewind to {newest} brings them back")?;
        }
        Ok(())
    }
}

fn listed(generations: &[u64]) -> String {
    generations.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

pub(crate) fn run(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    let directory = place::local(&arguments.directory)?;
    let rewound = inspect::rewind(directory, protection, arguments.generation)?;
    output.answer(&Gone(rewound))?;
    Ok(Verdict::Well)
}
