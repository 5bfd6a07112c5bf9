//! Measures the memory of a save besides that of the state: the peak of a process that does nothing
//! else.
//!
//! Linux notes the greatest resident size of a process (`VmHWM`), and resets it on request
//! (`/proc/self/clear_refs`, proc(5)). Each figure has a new process, so that no memory is warm
//! already.

use std::fs;
use std::path::Path;
use std::process::Command;

use checkpointed::Checkpointer;

use crate::goals::Goals;
use crate::options::Options;
use crate::report::Report;
use crate::rounds::Outcome;
use crate::states::State;

#[derive(Clone, Copy)]
pub(crate) enum What {
    Save,
    Background,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Save => "save",
            What::Background => "background",
        }
    }

    pub(crate) fn parse(name: &str) -> Outcome<What> {
        let all = [What::Save, What::Background];
        Ok(all.into_iter().find(|what| what.name() == name).ok_or_else(|| format!("--memory {name}?"))?)
    }
}

/// Memory above the state, in bytes.
pub(crate) struct Above {
    pub(crate) state: usize,
    pub(crate) save: f64,
    pub(crate) background: f64,
}

pub(crate) fn measure(
    folder: &Path,
    options: &Options,
    report: &mut Report,
    goals: &mut Goals,
) -> Outcome<()> {
    if resident("VmHWM").is_err() {
        println!("memory: not measured, there is no /proc here");
        return Ok(());
    }
    let of = |what: What| -> Outcome<f64> {
        let mib = (options.bytes >> 20).to_string();
        let mut child = Command::new(std::env::current_exe()?);
        child.args(["--memory", what.name(), "--mib", &mib, "--dir"]).arg(folder);
        let output = child.output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    };
    let above = Above { state: options.bytes, save: of(What::Save)?, background: of(What::Background)? };
    report.memory(&above);
    goals.memory(&above);
    Ok(())
}

/// Prints the increase of this process's peak through a few saves, in bytes.
pub(crate) fn child(what: What, options: &Options) -> Outcome<()> {
    let folder = options.folder.as_ref().ok_or("--memory needs --dir")?.with_file_name(what.name());
    let state = Vec::<f64>::make(options.bytes);
    let mut checkpoints = Checkpointer::open(&folder)?;
    fs::write("/proc/self/clear_refs", "5")?;
    let before = resident("VmRSS")?;
    for _ in 0..4 {
        match what {
            What::Save => {
                checkpoints.save(&state)?;
            }
            What::Background => {
                checkpoints.save_in_background(&state)?;
            }
        }
    }
    checkpoints.wait()?;
    println!("{}", resident("VmHWM")?.saturating_sub(before));
    drop(checkpoints);
    Ok(fs::remove_dir_all(folder)?)
}

/// A number of kB in `/proc/self/status`, in bytes.
fn resident(name: &str) -> Outcome<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    let number = line.trim_matches(|other: char| !other.is_ascii_digit());
    Ok(number.parse::<u64>()? << 10)
}
