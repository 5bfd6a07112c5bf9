//! The options of the command line.

use std::path::PathBuf;

use crate::memory::What;
use crate::rounds::Outcome;

/// The size of the row for large states.
pub(crate) const LARGE: usize = 4 << 30;

const HELP: &str = "\
cargo bench -p checkpointed-benches --bench compare -- [options]
  --mib N      the size of a state, in MiB; 256 unless said otherwise
  --rounds N   how often everything is measured; 9 unless said otherwise
  --large      also 4 GiB: takes 9 GiB of memory and 17 GiB of disk
  --no-python  leaves the Python packages out
  --ours       leaves out whatever else there is, but for the limits and what the goals compare with
  --dir DIR    where the files go; a folder of cargo's target folder unless said otherwise. It is emptied.";

pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) bytes: usize,
    pub(crate) records: usize,
    pub(crate) rounds: usize,
    pub(crate) rounds_large: usize,
    pub(crate) large: bool,
    pub(crate) others: bool,
    pub(crate) python: bool,
    pub(crate) folder: Option<PathBuf>,
}

pub(crate) enum Mode {
    Compare,
    /// Measures the memory of one operation, in a child process.
    Memory(What),
}

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Outcome<Options> {
        let arguments: Vec<String> = arguments.collect();
        // Without cargo's `--bench` this is `cargo test --all-targets`, which only needs it to run.
        let measures = arguments.iter().any(|argument| argument == "--bench");
        let (mib, rounds) = if measures { (256, 9) } else { (4, 1) };
        let mut options = Options {
            mode: Mode::Compare,
            bytes: mib << 20,
            records: if measures { 1_000_000 } else { 10_000 },
            rounds,
            rounds_large: rounds.min(5),
            large: false,
            others: true,
            python: measures,
            folder: None,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value\n{HELP}"));
            match argument.as_str() {
                "--bench" => {}
                "--mib" => options.bytes = value()?.parse::<usize>()?.max(1) << 20,
                "--rounds" => {
                    options.rounds = value()?.parse::<usize>()?.max(1);
                    options.rounds_large = options.rounds.min(5);
                }
                "--large" => options.large = true,
                "--no-python" => options.python = false,
                "--ours" => {
                    options.others = false;
                    options.python = false;
                }
                "--dir" => options.folder = Some(PathBuf::from(value()?).join("compare-data")),
                "--memory" => options.mode = Mode::Memory(What::parse(&value()?)?),
                "--help" => {
                    println!("{HELP}");
                    std::process::exit(0);
                }
                _ => return Err(format!("there is no option {argument}\n{HELP}").into()),
            }
        }
        Ok(options)
    }
}
