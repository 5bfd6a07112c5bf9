mod outputs;
mod programs;
mod stops;
mod way_back;

use std::fs;
use std::io::Write;
use std::time::Duration;

use super::*;
use crate::outcome::Signal;
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
