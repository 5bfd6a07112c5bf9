//! Random programs that keep all that the documentation of `Scopes` asks of a program.

use std::time::Duration;

use crate::run::builder::Builder;
use crate::run::failures::OnFailedSave;
use crate::run::read_back::ReadBack;
use crate::schedule::Schedule;
use crate::scopes::{Scopes, Stack};
use crate::store::simulated::Random;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// The number that the program counts, for its schedule.
pub(super) const COUNTED: &str = "units";

#[derive(Debug)]
pub(super) struct Program {
    /// The first one is the whole program.
    pub(super) functions: Vec<Function>,
    pub(super) settings: Settings,
}

/// Calls itself, and functions behind it.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) body: Body,
    pub(super) asks: Asks,
    /// Behind each turn, or behind each work.
    pub(super) saves: Saves,
    /// Goes on after a failed save.
    pub(super) is_stubborn: bool,
    /// Does again what failed for a moment.
    pub(super) is_patient: bool,
    /// Always fails at the end of this turn.
    pub(super) fails: Option<u64>,
    /// Comes behind all turns, also if the function was told to stop.
    pub(super) last: Option<Work>,
}

#[derive(Debug)]
pub(super) enum Body {
    /// The variables count the turns, and the segments of a turn.
    Turns { turns: u64, segments: Vec<Segment>, has_log: bool, has_twin: bool },
    /// The function has no variables. It saves behind each work.
    Chain { works: Vec<Work>, call: Option<Call>, rest: Vec<Work>, has_log: bool },
}

/// A part of a turn. It begins with variables that count the one before it.
#[derive(Debug)]
pub(super) struct Segment {
    /// Keeps the variables; else `saves_first` must do.
    pub(super) keeps: bool,
    pub(super) saves_first: Saves,
    pub(super) items: Vec<Item>,
    pub(super) call: Option<Call>,
    /// Work that enters no scope.
    pub(super) rest: Vec<Work>,
}

#[derive(Debug)]
pub(super) enum Item {
    /// They are done again if a restart comes back to a scope behind them.
    Units {
        count: u64,
        asks: bool,
    },
    Work(Work),
    /// Keeps the same variables again, or saves them.
    Again(Saves),
    /// Saves variables that count the items up to this one.
    Counts(Saves),
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) callee: usize,
    /// Goes on with the error of a function that always fails.
    pub(super) catches: bool,
    /// Gives its log to the function, and gets it back.
    pub(super) lends: bool,
}

/// Work that is done once.
#[derive(Debug)]
pub(super) struct Work {
    /// Units before the call.
    pub(super) before: u64,
    pub(super) call: Option<Call>,
    /// They come behind the call.
    pub(super) units: u64,
    pub(super) asks: bool,
    /// Writes a line for each unit to a log that is a part of its result.
    pub(super) has_log: bool,
    /// Writes them to the log of the function, which is a part of its result, too.
    pub(super) takes_log: bool,
}

/// The places of a turn in which a function asks whether it must stop.
#[derive(Debug)]
pub(super) struct Asks {
    pub(super) at_the_head: bool,
    pub(super) behind_the_body: bool,
    pub(super) at_the_end: bool,
}

#[derive(Debug, PartialEq)]
pub(super) enum Saves {
    Never,
    IfDue,
    Always,
}

#[derive(Debug)]
pub(super) struct Settings {
    rule: Rule,
    goes_on: bool,
    pub(super) is_in_background: bool,
    /// Waits for each save in the background.
    pub(super) waits: bool,
    keeps_last: usize,
    is_compressed: bool,
    read_back: ReadBack,
    keeps_cut: bool,
}

#[derive(Debug)]
enum Rule {
    Steps(u64),
    Counted(u64),
    AtOnce,
    Seldom,
}

impl Settings {
    fn new(random: &mut Random) -> Settings {
        let rule = match random.below(8) {
            0 => Rule::Counted(1 + random.below(4) as u64),
            1 => Rule::AtOnce,
            2 => Rule::Seldom,
            _ => Rule::Steps(1 + random.below(4) as u64),
        };
        Settings {
            rule,
            goes_on: random.below(2) == 0,
            is_in_background: random.below(4) == 0,
            waits: random.below(2) == 0,
            keeps_last: 1 + random.below(3),
            is_compressed: random.below(4) == 0,
            read_back: [ReadBack::Auto, ReadBack::Always, ReadBack::Never][random.below(3)],
            keeps_cut: random.below(4) == 0,
        }
    }

    pub(super) fn of(&self, builder: Builder<Stack, Scopes>) -> Builder<Stack, Scopes> {
        let schedule = match self.rule {
            Rule::Steps(steps) => Schedule::every_steps(steps),
            Rule::Counted(units) => Schedule::every_of(COUNTED, units),
            Rule::AtOnce => Schedule::every(Duration::ZERO),
            Rule::Seldom => Schedule::every(Duration::from_secs(3600)),
        };
        let mut builder = builder
            .durable(false)
            .schedule(schedule)
            .background(self.is_in_background)
            .keep_last(self.keeps_last)
            .read_back(self.read_back)
            .keep_cut_outputs(self.keeps_cut);
        #[cfg(feature = "zstd")]
        if self.is_compressed {
            builder = builder.compression(crate::container::Compression::Zstd(3));
        }
        if self.goes_on {
            builder = builder.on_failed_save(OnFailedSave::go_on());
        }
        builder
    }
}

impl Program {
    pub(super) fn new(random: &mut Random) -> Program {
        let count = 2 + random.below(4);
        Program {
            functions: (0..count).map(|index| Generator { random, index, count }.function()).collect(),
            settings: Settings::new(random),
        }
    }
}

struct Generator<'r> {
    random: &'r mut Random,
    index: usize,
    count: usize,
}

impl Generator<'_> {
    fn one_in(&mut self, bound: usize) -> bool {
        self.random.below(bound) == 0
    }

    fn saves(&mut self) -> Saves {
        match self.random.below(4) {
            0 => Saves::Never,
            1 => Saves::Always,
            _ => Saves::IfDue,
        }
    }

    fn call(&mut self, lends: bool) -> Option<Call> {
        let first = self.index + usize::from(!self.one_in(5));
        if first >= self.count {
            return None;
        }
        // The whole program does not fail.
        let catches = self.index == 0 || self.one_in(2);
        let lends = lends && self.one_in(2);
        Some(Call { callee: first + self.random.below(self.count - first), catches, lends })
    }

    fn work(&mut self, call: Option<Call>, takes_log: bool) -> Work {
        Work {
            before: if self.one_in(3) { 1 } else { 0 },
            call,
            units: self.random.below(3) as u64,
            asks: self.one_in(3),
            has_log: self.one_in(4),
            takes_log: takes_log && self.one_in(2),
        }
    }

    /// The work may call a function, which may get the log of this one.
    fn any_work(&mut self, takes_log: bool, lends: bool) -> Work {
        let call = if self.one_in(3) { None } else { self.call(lends) };
        self.work(call, takes_log)
    }

    fn works(&mut self, most: usize, takes_log: bool) -> Vec<Work> {
        (0..self.random.below(most + 1)).map(|_| self.work(None, takes_log)).collect()
    }

    /// A patient function does a segment again, with its log as it was: it lets no other write to
    /// it in between.
    fn segment(&mut self, is_patient: bool) -> Segment {
        let shares_log = !is_patient;
        let mut items = Vec::new();
        let mut may_forget = true;
        for _ in 0..self.random.below(4) {
            items.push(match self.random.below(6) {
                0 | 1 => Item::Units { count: 1 + self.random.below(2) as u64, asks: self.one_in(3) },
                // Forgets the results of work: that with a scope cannot be done again, and the
                // variables do not count what it wrote.
                2 if may_forget => Item::Again(self.saves()),
                3 => {
                    may_forget = false;
                    Item::Counts(if self.one_in(3) { Saves::Always } else { Saves::IfDue })
                }
                _ => {
                    let work = self.any_work(shares_log, shares_log);
                    may_forget &= work.call.is_none() && !work.takes_log;
                    Item::Work(work)
                }
            });
        }
        let call = if self.one_in(2) { self.call(shares_log) } else { None };
        Segment {
            keeps: !self.one_in(3),
            saves_first: self.saves(),
            items,
            call,
            rest: self.works(2, shares_log),
        }
    }

    fn function(&mut self) -> Function {
        let is_patient = self.one_in(2);
        let body = if self.one_in(4) {
            let has_log = self.one_in(2);
            Body::Chain {
                works: (0..1 + self.random.below(3))
                    .map(|_| self.any_work(has_log, has_log && !is_patient))
                    .collect(),
                call: if self.one_in(3) { self.call(has_log && !is_patient) } else { None },
                rest: self.works(2, has_log),
                has_log,
            }
        } else {
            Body::Turns {
                turns: 1 + self.random.below(3) as u64,
                segments: (0..1 + self.random.below(3)).map(|_| self.segment(is_patient)).collect(),
                has_log: self.one_in(2),
                has_twin: self.one_in(3),
            }
        };
        Function {
            name: NAMES[self.random.below(NAMES.len())],
            body,
            asks: Asks {
                at_the_head: self.one_in(2),
                behind_the_body: self.one_in(4),
                at_the_end: self.one_in(4),
            },
            saves: self.saves(),
            is_stubborn: self.one_in(2),
            is_patient,
            fails: (self.index > 0 && self.one_in(6)).then(|| 1 + self.random.below(3) as u64),
            last: self.one_in(4).then(|| self.any_work(false, false)),
        }
    }
}
