//! `ckpt prune`: removes the generations that the retention does not keep.

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use anstream::eprint;
use checkpointed_core::inspect::{self, ByAge, Pruned, Pruning, Retention, SetAside};
use checkpointed_core::{Metric, Protection};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::place;
use crate::text::{self, BOLD, Cell, DIM};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The checkpoint directory, which no program may have open; or the URL of a place in an object
    /// store, with --take-over
    directory: PathBuf,
    /// Keep this number of the newest intact generations; without any rule, those of the last run
    /// hold
    #[arg(long, value_name = "COUNT")]
    keep_last: Option<NonZeroUsize>,
    /// Keep every generation with a number that is a multiple of this one
    #[arg(long, value_name = "N", requires = "keep_last")]
    keep_every: Option<NonZeroU64>,
    /// Keep this number of the best by a number in the metadata: loss:lowest:2
    #[arg(long, value_name = "NAME:lowest|highest:COUNT", value_parser = best, requires = "keep_last")]
    keep_best: Vec<(Metric, usize)>,
    /// Keep the first generation at or after each multiple of a number in the metadata: step:1000
    #[arg(long, value_name = "NAME:N", value_parser = every_of, requires = "keep_last")]
    keep_every_of: Vec<(String, NonZeroU64)>,
    /// Keep the first generation of each interval, up to an age: 1h:24h, 24h:720h
    #[arg(long, value_name = "INTERVAL:AGE", value_parser = by_age, requires = "keep_last")]
    keep_one_in: Vec<ByAge>,
    /// Remove the generations that rewinds set aside, and no others; pinned ones stay
    #[arg(long, conflicts_with = "keep_last")]
    rewound: bool,
    /// Only show what would be removed, and the reasons to keep the rest
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// Take the place in an object store over: a program that saves there now stops with an error
    #[arg(long)]
    take_over: bool,
}

fn every_of(text: &str) -> Result<(String, NonZeroU64), String> {
    let parts = text.rsplit_once(':').and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?)));
    parts.ok_or_else(|| "the form is NAME:N, with N of at least 1".to_owned())
}

fn by_age(text: &str) -> Result<ByAge, String> {
    let time = |text: &str| inspect::parse_duration(text).filter(|time| !time.is_zero());
    let parts = text.split_once(':').and_then(|(interval, age)| Some((time(interval)?, time(age)?)));
    let (one_in, up_to) = parts.ok_or("the form is INTERVAL:AGE, such as 1h:24h")?;
    Ok(ByAge { one_in, up_to })
}

fn best(text: &str) -> Result<(Metric, usize), String> {
    let parts = text
        .rsplit_once(':')
        .and_then(|(metric, count)| Some((metric.rsplit_once(':')?, count.parse().ok()?)));
    match parts {
        Some(((name, "lowest"), count)) => Ok((Metric::lowest(name), count)),
        Some(((name, "highest"), count)) => Ok((Metric::highest(name), count)),
        _ => Err("the form is NAME:lowest:COUNT or NAME:highest:COUNT".to_owned()),
    }
}

#[derive(Debug, Serialize)]
struct Gone {
    removed: Vec<Going>,
    removed_bytes: u64,
    kept: Vec<Staying>,
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct Going {
    generation: u64,
    bytes: u64,
    damage: Option<String>,
}

#[derive(Debug, Serialize)]
struct Staying {
    generation: u64,
    why: Vec<String>,
}

impl Gone {
    fn of(Pruning { kept, removed, .. }: Pruning, dry_run: bool) -> Gone {
        let going = |Pruned { generation, bytes, damage, .. }| Going { generation, bytes, damage };
        let why = |reasons: Vec<inspect::Keeping>| reasons.iter().map(ToString::to_string).collect();
        Gone {
            removed_bytes: removed.iter().map(|pruned| pruned.bytes).sum(),
            removed: removed.into_iter().map(going).collect(),
            kept: kept
                .into_iter()
                .map(|(generation, reasons)| Staying { generation, why: why(reasons) })
                .collect(),
            dry_run,
        }
    }

    /// The generations that went of those aside, and the pinned ones, which stay.
    fn of_rewound(removed: Vec<SetAside>, aside: Vec<SetAside>, dry_run: bool) -> Gone {
        let going = |SetAside { generation, bytes, .. }| Going { generation, bytes, damage: None };
        let kept = aside.into_iter().filter(|aside| aside.pinned).map(|aside| {
            let why = vec![inspect::Keeping::Pinned.to_string()];
            Staying { generation: aside.generation, why }
        });
        Gone {
            removed_bytes: removed.iter().map(|aside| aside.bytes).sum(),
            removed: removed.into_iter().map(going).collect(),
            kept: kept.collect(),
            dry_run,
        }
    }
}

impl Answer for Gone {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let stays = self.kept.iter().map(|staying| {
            let why = text::plain(&staying.why.join(", "));
            (
                staying.generation,
                vec![
                    Cell::right(staying.generation.to_string()).styled(BOLD),
                    Cell::left("stays"),
                    Cell::right(""),
                    Cell::left(why),
                ],
            )
        });
        let goes = self.removed.iter().map(|going| {
            let word = if self.dry_run { "goes" } else { "removed" };
            let why = going.damage.as_deref().unwrap_or("no rule keeps it");
            (
                going.generation,
                vec![
                    Cell::right(going.generation.to_string()).styled(BOLD),
                    Cell::left(word),
                    Cell::right(text::bytes(going.bytes)),
                    Cell::left(text::plain(why)),
                ],
            )
        });
        let mut rows: Vec<(u64, Vec<Cell>)> = stays.chain(goes).collect();
        rows.sort_by_key(|(generation, _)| *generation);
        let rows: Vec<Vec<Cell>> = rows.into_iter().map(|(_, row)| row).collect();
        if rows.is_empty() {
            return writeln!(output, "no checkpoints");
        }
        text::table(output, &["generation", "", "size", "why"], &rows)?;
        let (count, bytes) = (self.removed.len(), text::bytes(self.removed_bytes));
        let word = if self.dry_run { "would go" } else { "went" };
        writeln!(output, "\n{DIM}{count} {word}, {bytes}{DIM:#}")
    }
}

pub(crate) fn run(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    let Arguments { directory, keep_last, dry_run, yes, take_over, .. } = arguments;
    let retention = keep_last.map(|last| Retention {
        last,
        every: arguments.keep_every,
        best: arguments.keep_best.clone(),
        every_of: arguments.keep_every_of.clone(),
        by_age: arguments.keep_one_in.clone(),
    });
    let home = place::home(directory)?;
    if home.is_some() && !dry_run && !take_over {
        return Err(Failure::NotTakenOver(directory.clone()));
    }
    let prune = |trial| -> Result<Gone, Failure> {
        Ok(match &home {
            _ if arguments.rewound => {
                let removed = inspect::remove_rewound(directory, trial)?;
                Gone::of_rewound(removed, inspect::overview(directory, protection)?.rewound, trial)
            }
            Some(home) => Gone::of(inspect::prune_in(home, protection, retention.clone(), trial)?, trial),
            None => Gone::of(inspect::prune(directory, protection, retention.clone(), trial)?, trial),
        })
    };
    if !dry_run && !yes {
        let trial = prune(true)?;
        if trial.removed.is_empty() {
            output.answer(&trial)?;
            return Ok(Verdict::Well);
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::NotConfirmed);
        }
        trial.write(&mut anstream::stderr())?;
        eprint!("remove these? [y/N] ");
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            return Err(Failure::NotConfirmed);
        }
    }
    output.answer(&prune(*dry_run)?)?;
    Ok(Verdict::Well)
}
