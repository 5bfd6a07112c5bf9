//! Measures saves and loads of this library side by side with the limits of the machine, with code
//! written by hand, and with other packages: `cargo bench -p checkpointed-benches --bench compare`.
//! `docs/performance.md` explains the figures.
//!
//! - [`states`] has the states to save; [`raw`] the limits; [`ours`], [`others`], [`python`] the
//!   ways to save them; [`counter`] and [`records`] the states that are all overhead; [`small`] the
//!   same without the disk; [`memory`] the memory of a save.
//! - [`rounds`] measures cases in turn, so that a slow moment of the machine hits all of them
//!   alike.
//! - [`report`] prints the tables and [`goals`], and writes both as JSON.

mod counter;
mod goals;
mod machine;
mod memory;
mod options;
mod others;
mod ours;
mod python;
mod raw;
mod records;
mod report;
mod rounds;
mod small;
mod states;

use std::fs;
use std::path::PathBuf;

use goals::Goals;
use machine::Machine;
use options::{Mode, Options};
use report::Report;
use rounds::{Case, Outcome, interleave};
use states::{Mixed, State};

fn main() -> Outcome<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    if let Mode::Memory(what) = &options.mode {
        return memory::child(*what, &options);
    }
    let target = target_folder()?;
    let folder = options.folder.clone().unwrap_or_else(|| target.join("compare-data"));
    fs::create_dir_all(&folder)?;
    // A killed run left this behind.
    fs::remove_dir_all(&folder)?;
    fs::create_dir_all(&folder)?;

    let mut report = Report::new(Machine::look(&folder), &options);
    let mut goals = Goals::default();
    report.print_start();
    state::<Vec<f64>>("one array", &options, &mut report, &mut goals)?;
    state::<Mixed>("200 mixed arrays", &options, &mut report, &mut goals)?;
    counter::measure(&folder, &options, &mut report, &mut goals)?;
    records::measure(&folder, &options, &mut report, &mut goals)?;
    small::measure(&folder, &options, &mut report)?;
    memory::measure(&folder, &options, &mut report, &mut goals)?;
    if options.large {
        large(&options, &mut report, &mut goals)?;
    }
    fs::remove_dir_all(&folder)?;
    report.finish(&goals, &target.join("compare.json"))
}

/// Cargo's folder for build results. This program is in it, three levels down.
fn target_folder() -> Outcome<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(3).ok_or("this program is in no target folder")?.to_owned())
}

/// Measures everything for one large state.
fn state<S: State>(title: &str, options: &Options, report: &mut Report, goals: &mut Goals) -> Outcome<()> {
    let folder = report.folder().join(S::NAME_OF_FILES);
    fs::create_dir_all(&folder)?;
    let state = S::make(options.bytes);
    let bytes = state.bytes();

    let mut python = python::start(&folder, S::NAME_OF_FILES, bytes, options, report);
    let raw = raw::Limits::new(&folder, bytes)?;
    let mut cases: Vec<Case<'_>> = raw.saves()?;
    cases.extend(ours::saves(&folder, &state)?);
    if options.others {
        cases.extend(others::saves(&folder, &state));
    }
    cases.extend(python::saves(&mut python));
    let saves = interleave(cases, options.rounds, &folder)?;
    report.table(&format!("Saves of {title}"), bytes, &saves, raw::NEW_FILE);
    goals.saves(title, &saves);

    let mut cases = raw::reads(&ours::checkpoint_file(&folder)?)?;
    cases.extend(ours::loads(&folder, &state)?);
    if options.others {
        cases.extend(others::loads::<S>(&folder, &state));
    }
    cases.extend(python::loads(&mut python));
    let loads = interleave(cases, options.rounds, &folder)?;
    report.table(&format!("Loads of {title}"), bytes, &loads, raw::READ_FRESH);
    goals.loads(title, &loads);
    drop(python);
    Ok(fs::remove_dir_all(&folder)?)
}

/// Measures the same save at the usual size and at 4 GiB.
fn large(options: &Options, report: &mut Report, goals: &mut Goals) -> Outcome<()> {
    let folder = report.folder().join("large");
    let mut sections = Vec::new();
    for (name, bytes) in [("usual", options.bytes), ("large", options::LARGE)] {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        let state = Vec::<f64>::make(bytes);
        let raw = raw::Limits::of_disk(&folder, bytes)?;
        let mut cases = raw.overwrite()?;
        cases.extend(ours::recycling_saves(&folder, state)?);
        let saves = interleave(cases, options.rounds_large, &folder)?;
        report.table(&format!("Saves of {} MiB", bytes >> 20), bytes, &saves, raw::OVERWRITE);
        fs::remove_dir_all(&folder)?;
        sections.push((bytes, saves));
    }
    goals.large(&sections);
    Ok(())
}
