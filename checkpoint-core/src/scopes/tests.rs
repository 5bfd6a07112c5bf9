mod outputs;
mod programs;
mod stops;
mod way_back;

use std::fs;
use std::io::Write;
use std::time::Duration;

use super::*;
use crate::outcome::{Decision, Signal};
use crate::run::failures::OnFailedSave;
use crate::schedule::Schedule;
use crate::store::faults::{EIO, Fault, FaultyDisk};
use crate::{Appended, reports::OutputFault};

const SELDOM: Duration = Duration::from_secs(3600);

fn open(path: &Path) -> Scopes {
    let mut scopes = Scopes::builder(path).schedule(Schedule::every(SELDOM)).open().unwrap();
    scopes.restore().unwrap();
    scopes
}

/// The same, with a save at each chance.
fn open_eager(path: &Path) -> Scopes {
    let mut scopes = Scopes::builder(path).schedule(Schedule::every_steps(1)).open().unwrap();
    scopes.restore().unwrap();
    scopes
}

/// Ends a program as a kill does, but for the process.
fn killed() -> Error {
    Error::ScopeActive { name: "killed".to_owned() }
}
