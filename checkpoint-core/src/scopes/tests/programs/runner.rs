//! A run of a random program, and the work of which no save has the result.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use super::generator::{Body, COUNTED, Call, Function, Item, Program, Saves, Segment, Work};
use crate::Appended;
use crate::error::Error;
use crate::outcome::{Decision, Signal, StopReason};
use crate::run::builder::Builder;
use crate::scopes::{Scope, Scopes, Stack, has_variables};
use crate::state::Checkpoint;
use crate::store::faults::{EIO, Fault, FaultyDisk};

/// A function that is called again in the same run begins afresh, whatever was saved.
pub(super) const ANY: u64 = 1 << 32;

/// A function that calls itself does so this often.
const DEEPEST: usize = 2;

/// The turn, the segment, the sum, a log, the sum of each turn, another value of the log, and the
/// number of items of the segment that are done.
type Variables = (u64, u64, u64, Option<Appended>, HashMap<u64, u64>, Option<Appended>, usize);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event {
    Kill,
    /// An error that a patient function handles: it does again what failed. Without one, the
    /// program restores its scopes, and begins again.
    Retry,
    Stop,
    /// One of the next operations on the disk fails.
    Fault(usize),
}

#[derive(Debug)]
pub(super) enum End {
    Killed,
    Retried,
    /// Always, with this result.
    Wrong(u64),
    TooLong,
    Failed(Error),
    #[allow(dead_code, reason = "shown if a test fails")]
    Unwritten(std::io::Error),
}

impl From<Error> for End {
    fn from(error: Error) -> End {
        End::Failed(error)
    }
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> End {
        End::Unwritten(error)
    }
}

/// The places of the files.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// It holds the checkpoint directory, and can be moved.
    pub(super) near: PathBuf,
    pub(super) far: PathBuf,
    pub(super) checkpoints: PathBuf,
}

/// The units of work that a restart does again if it comes back to a scope as it is.
#[derive(Default)]
struct Level {
    /// Those of the scopes around it.
    around: u64,
    /// The number of all units at which its variables were kept.
    kept_at: u64,
    /// The units since then that are in results of work.
    remembered: u64,
    /// True behind a direct call: a save inside of it is ahead of later results.
    is_behind_call: bool,
    /// True if the same variables were kept again: if a restart begins with them, that forgets
    /// the results of work behind it.
    has_kept_again: bool,
    /// True if it was entered behind a stop, and saves nothing.
    is_late: bool,
}

/// A run of a program.
pub(super) struct Run<'a> {
    pub(super) program: &'a Program,
    pub(super) places: &'a Places,
    pub(super) disk: FaultyDisk,
    /// By the point of the run at which they happen.
    pub(super) events: BTreeMap<u64, Event>,
    pub(super) most_points: u64,
    pub(super) point: u64,
    /// The units of work that it did, and those of them that a restart would do again.
    pub(super) units: u64,
    pub(super) unsaved: u64,
    /// The units that no save had when the program began again.
    pub(super) lost: u64,
    /// The units that only saves in the background have: they may fail later.
    doubtful: u64,
    /// The active scopes.
    levels: Vec<Level>,
    is_told: bool,
    /// True if the next variables to save count all units.
    counts_all: bool,
    pub(super) has_faults: bool,
}

/// What the work of a function is done on.
struct State {
    turn: u64,
    segment: u64,
    sum: u64,
    log: Option<Appended>,
    sums: HashMap<u64, u64>,
    twin: Option<Appended>,
    items: usize,
}

impl State {
    /// With a map that is made anew each time: it may have another order.
    fn variables(&self) -> Variables {
        let sums = self.sums.iter().map(|(turn, sum)| (*turn, *sum)).collect();
        (self.turn, self.segment, self.sum, self.log.clone(), sums, self.twin.clone(), self.items)
    }

    fn write(&mut self) -> Result<(), End> {
        let State { turn, segment, sum, log, .. } = self;
        log.iter_mut().try_for_each(|log| writeln!(log, "{turn}.{segment} {sum:x}"))?;
        Ok(())
    }
}

fn mixed(sum: u64, with: u64) -> u64 {
    sum.wrapping_mul(31).wrapping_add(with)
}

/// A function that calls others: its number, and the number of its own calls around it.
#[derive(Clone, Copy)]
struct Caller(usize, usize);

/// A function was told to stop, and is to return.
struct Told;

impl<'a> Run<'a> {
    pub(super) fn new(program: &'a Program, places: &'a Places, events: BTreeMap<u64, Event>) -> Run<'a> {
        Run {
            program,
            places,
            disk: FaultyDisk::default(),
            events,
            most_points: u64::MAX,
            point: 0,
            units: 0,
            unsaved: 0,
            lost: 0,
            doubtful: 0,
            levels: Vec::new(),
            is_told: false,
            counts_all: false,
            has_faults: false,
        }
    }

    /// The units that the next run may do again.
    pub(super) fn lost(&self, is_at_end: bool) -> u64 {
        let doubtful = if self.has_faults { self.doubtful } else { 0 };
        self.lost + doubtful + if is_at_end { 0 } else { self.unsaved }
    }

    fn pass(&mut self, scopes: &mut Scopes) -> Result<(), End> {
        self.point += 1;
        if self.point > self.most_points {
            return Err(End::TooLong);
        }
        match self.events.get(&self.point) {
            None => {}
            Some(Event::Kill) => return Err(End::Killed),
            Some(Event::Retry) => return Err(End::Retried),
            Some(Event::Stop) => scopes.checkpoints.stop(StopReason::Signal(Signal::TERM)),
            Some(Event::Fault(place)) => {
                self.has_faults = true;
                self.disk.plan(Some((*place, Fault::Error(EIO))));
            }
        }
        Ok(())
    }

    fn unit(&mut self, scopes: &mut Scopes, sum: u64) -> Result<u64, End> {
        self.units += 1;
        self.unsaved += 1;
        scopes.count(COUNTED, self.units);
        self.pass(scopes)?;
        Ok(mixed(sum, 7))
    }

    fn must_stop(&mut self, scopes: &mut Scopes) -> bool {
        let is_told = scopes.should_stop().is_some();
        self.is_told |= is_told;
        is_told
    }

    /// Mixes in the number of the call. A call that is tried again in one process counts again:
    /// then it is another one than without.
    fn counted<T: Checkpoint>(&self, scope: &Scope<'_, T>, sum: u64) -> u64 {
        let tries_again = self.program.functions.iter().any(|function| function.is_patient);
        if tries_again { sum } else { mixed(sum, scope.call()) }
    }

    fn redone(&self) -> u64 {
        self.levels.last().map_or(0, |level| level.around + self.units - level.kept_at - level.remembered)
    }

    fn enter<'s, T: Checkpoint>(&mut self, scopes: &'s mut Scopes, name: &str) -> Result<Scope<'s, T>, End> {
        let scope = scopes.enter::<T>(name)?;
        let (around, is_late) = (self.redone(), self.is_told);
        self.levels.push(Level { around, kept_at: self.units, is_late, ..Level::default() });
        Ok(scope)
    }

    fn save<T: Checkpoint>(
        &mut self,
        scope: &mut Scope<'_, T>,
        variables: &T,
        how: &Saves,
        is_stubborn: bool,
    ) -> Result<(), End> {
        let is_back = (**scope).restored.is_empty();
        let saved = match how {
            Saves::Never => Ok(None),
            Saves::IfDue => scope.save_if_due(variables).map(Some),
            Saves::Always => scope.save(variables).map(|_| None),
        };
        let is_kept = !matches!(saved, Ok(Some(Decision::NotDue))) && *how != Saves::Never;
        if std::mem::take(&mut self.counts_all) && is_kept {
            self.kept();
        } else if is_kept && has_variables::<T>() {
            self.forgotten();
        }
        let counts = is_back && !self.is_told;
        let is_late = self.levels.last().is_some_and(|level| level.is_late);
        let forgets = self.levels.last().filter(|level| level.has_kept_again);
        let forgotten = forgets.map_or(0, |level| level.remembered);
        let is_stopped = matches!(saved, Ok(_) | Err(Error::ScopeStopped { .. })) && !self.has_faults;
        if self.is_told && is_stopped && !is_late && *how != Saves::Never {
            // Some save has at least what was kept before the function that was stopped.
            self.unsaved = self.unsaved.min(self.redone() + forgotten);
        }
        match saved {
            Ok(Some(Decision::Started { .. })) => {
                if self.program.settings.waits {
                    scope.checkpoints.wait()?;
                }
                if counts {
                    self.doubtful += self.unsaved;
                    self.unsaved = self.redone();
                }
            }
            Ok(decision) => {
                let is_saved = decision.map_or(*how == Saves::Always, |decision| decision.is_saved());
                if is_saved && counts {
                    self.unsaved = self.redone();
                }
            }
            Err(Error::Io { .. }) if is_stubborn && self.has_faults => {}
            Err(error) => return Err(error.into()),
        }
        self.pass(scope)
    }

    /// Calls a function, which may write to a log of the caller.
    fn call(
        &mut self,
        scopes: &mut Scopes,
        Caller(caller, depth): Caller,
        call: &Call,
        start: u64,
        log: &mut Option<Appended>,
    ) -> Result<u64, End> {
        let depth = if call.callee == caller { depth + 1 } else { 0 };
        if depth > DEEPEST {
            return Ok(mixed(start, 3));
        }
        let mut none = None;
        let log = if call.lends { log } else { &mut none };
        match self.function(scopes, Caller(call.callee, depth), start, log) {
            Err(End::Wrong(sum)) if call.catches => Ok(mixed(sum, 5)),
            result => result,
        }
    }

    fn function(
        &mut self,
        scopes: &mut Scopes,
        place: Caller,
        start: u64,
        log: &mut Option<Appended>,
    ) -> Result<u64, End> {
        let program = self.program;
        let function = &program.functions[place.0];
        let level = self.levels.len();
        let result = match &function.body {
            Body::Turns { .. } => self.turns(scopes, place, function, start, log),
            Body::Chain { .. } => self.chain(scopes, place, function, start),
        };
        self.levels.truncate(level);
        result
    }

    /// The path of a new log.
    fn log(&self, Caller(index, depth): Caller, place: &str, sum: u64) -> PathBuf {
        let directory = if index.is_multiple_of(2) { &self.places.near } else { &self.places.far };
        directory.join(format!("{index}-{depth}-{place}-{sum:016x}.log"))
    }

    fn turns(
        &mut self,
        scopes: &mut Scopes,
        place: Caller,
        function: &Function,
        start: u64,
        lent: &mut Option<Appended>,
    ) -> Result<u64, End> {
        let Body::Turns { has_log, .. } = &function.body else { return Ok(start) };
        let path = self.log(place, "f", start);
        let mut scope = self.enter::<Variables>(scopes, function.name)?;
        let is_lent = lent.is_some();
        // The log of the caller, if it has an older one, is dropped before the function writes.
        let lent_or_own = lent.take().or_else(|| has_log.then(|| Appended::at(path)));
        let first = self.counted(&scope, start);
        let (turn, segment, sum, log, sums, twin, items) = scope.restored().unwrap_or_else(|| {
            let sums = (1000..1008).map(|key| (key, start)).collect();
            (0, 0, first, lent_or_own, sums, None, 0)
        });
        let mut state = State { turn, segment, sum, log, sums, twin, items };
        let result = self.all_turns(&mut scope, place, function, &mut state);
        if is_lent {
            *lent = state.log;
        }
        result.map(|()| state.sum)
    }

    fn all_turns(
        &mut self,
        scope: &mut Scope<'_, Variables>,
        place: Caller,
        function: &Function,
        state: &mut State,
    ) -> Result<(), End> {
        let Body::Turns { turns, segments, has_twin, .. } = &function.body else { return Ok(()) };
        'turns: while state.turn < *turns {
            if function.asks.at_the_head && self.must_stop(scope) {
                break;
            }
            while let Some(segment) = segments.get(usize::try_from(state.segment).unwrap()) {
                let (sum, items) = (state.sum, state.items);
                let result = loop {
                    match self.segment(scope, place, function, segment, state) {
                        Err(End::Retried) if function.is_patient => {
                            self.fails(scope);
                            (state.sum, state.items) = (sum, items);
                        }
                        result => break result?,
                    }
                };
                if let Some(Told) = result {
                    state.sum = sum;
                    break 'turns;
                }
                if function.asks.behind_the_body && self.must_stop(scope) {
                    break 'turns;
                }
                state.write()?;
                state.segment += 1;
                state.items = 0;
                state.sum = mixed(state.sum, state.segment);
                self.pass(scope)?;
            }
            state.turn += 1;
            state.segment = 0;
            state.sum = mixed(state.sum, state.turn);
            state.sums.insert(state.turn, state.sum);
            if *has_twin {
                state.twin = state.log.clone();
            }
            if function.fails == Some(state.turn) {
                return Err(End::Wrong(state.sum));
            }
            self.kept();
            self.save(scope, &state.variables(), &function.saves, function.is_stubborn)?;
            if function.asks.at_the_end && self.must_stop(scope) {
                break;
            }
        }
        if let Some(work) = &function.last {
            scope.keep(&state.variables())?;
            self.kept();
            state.sum = self.once(scope, place, (0, "last"), work, state.sum, &mut state.log)?;
        }
        Ok(())
    }

    /// A function begins afresh. A save in the background may still have a log of it open, so that
    /// a new one of that name cannot be opened yet.
    fn fails(&mut self, scopes: &mut Scopes) {
        self.lost += ANY;
        if self.program.settings.is_in_background {
            let _ = scopes.checkpoints.wait();
        }
    }

    /// The variables are kept, and count all that was done. Behind a stop, those before it stay.
    fn kept(&mut self) {
        let units = self.units;
        if let Some(level) = self.levels.last_mut().filter(|_| !self.is_told) {
            let is_late = level.is_late;
            *level = Level { around: level.around, kept_at: units, is_late, ..Level::default() };
        }
    }

    fn has_kept_again(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.has_kept_again = true;
        }
    }

    fn has_called(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.is_behind_call = true;
        }
    }

    /// The results of work are forgotten.
    fn forgotten(&mut self) {
        if let Some(level) = self.levels.last_mut().filter(|_| !self.is_told) {
            level.remembered = 0;
        }
    }

    fn segment(
        &mut self,
        scope: &mut Scope<'_, Variables>,
        place: Caller,
        function: &Function,
        segment: &Segment,
        state: &mut State,
    ) -> Result<Option<Told>, End> {
        let variables = state.variables();
        if segment.keeps || segment.saves_first != Saves::Always {
            scope.keep(&variables)?;
        }
        self.kept();
        self.save(scope, &variables, &segment.saves_first, function.is_stubborn)?;
        drop(variables);
        let sum = state.sum;
        for (number, item) in segment.items.iter().enumerate().skip(state.items) {
            match item {
                Item::Units { count, asks } => {
                    for _ in 0..*count {
                        if *asks && self.must_stop(scope) {
                            return Ok(Some(Told));
                        }
                        state.sum = self.unit(scope, state.sum)?;
                    }
                }
                Item::Work(work) => {
                    let name = (state.segment, &*number.to_string());
                    state.sum = self.once(scope, place, name, work, state.sum, &mut state.log)?;
                    self.pass(scope)?;
                }
                Item::Again(saves) => {
                    let mut variables = state.variables();
                    variables.2 = sum;
                    if *saves == Saves::Never {
                        scope.keep(&variables)?;
                        self.forgotten();
                    }
                    self.has_kept_again();
                    self.save(scope, &variables, saves, function.is_stubborn)?;
                }
                Item::Counts(saves) => {
                    state.items = number + 1;
                    self.counts_all = true;
                    self.save(scope, &state.variables(), saves, function.is_stubborn)?;
                }
            }
        }
        if let Some(call) = &segment.call {
            state.sum = self.call(scope, place, call, state.sum, &mut state.log)?;
            self.has_called();
        }
        for (number, work) in segment.rest.iter().enumerate() {
            let name = (state.segment, &*format!("rest {number}"));
            state.sum = self.once(scope, place, name, work, state.sum, &mut state.log)?;
            self.pass(scope)?;
        }
        Ok(None)
    }

    fn chain(
        &mut self,
        scopes: &mut Scopes,
        place: Caller,
        function: &Function,
        start: u64,
    ) -> Result<u64, End> {
        let Body::Chain { works, call, rest, has_log } = &function.body else { return Ok(start) };
        let mut log = has_log.then(|| Appended::at(self.log(place, "f", start)));
        let mut scope = self.enter::<()>(scopes, function.name)?;
        let mut sum = self.counted(&scope, start);
        for (number, work) in works.iter().enumerate() {
            let name = number.to_string();
            sum = loop {
                match self.once(&mut scope, place, (0, &name), work, sum, &mut log) {
                    Err(End::Retried) if function.is_patient => self.fails(&mut scope),
                    sum => break sum?,
                }
            };
            sum = mixed(sum, 1);
            self.pass(&mut scope)?;
            self.save(&mut scope, &(), &function.saves, function.is_stubborn)?;
            if function.asks.at_the_end && self.must_stop(&mut scope) {
                return Ok(sum);
            }
        }
        if let Some(call) = call {
            sum = self.call(&mut scope, place, call, sum, &mut log)?;
            self.has_called();
        }
        for (number, work) in rest.iter().enumerate() {
            let saves = match function.saves {
                Saves::Always if call.is_some() => &Saves::IfDue,
                ref saves => saves,
            };
            self.save(&mut scope, &(), saves, function.is_stubborn)?;
            let name = format!("rest {number}");
            sum = self.once(&mut scope, place, (0, &name), work, sum, &mut log)?;
            self.save(&mut scope, &(), saves, function.is_stubborn)?;
        }
        match function.fails {
            Some(_) => Err(End::Wrong(sum)),
            None => Ok(sum),
        }
    }

    /// The name tells the work from others of a turn, but for those of other segments.
    fn once<T: Checkpoint>(
        &mut self,
        scope: &mut Scope<'_, T>,
        place: Caller,
        (segment, name): (u64, &str),
        work: &Work,
        sum: u64,
        log: &mut Option<Appended>,
    ) -> Result<u64, End> {
        let path = self.log(place, &format!("{segment}-{name}"), sum);
        let own = work.has_log.then(|| Appended::at(path));
        let spare = log.clone();
        let mut taken = if work.takes_log { log.take() } else { None };
        let before = self.units;
        let result = scope.once(name, |scopes| self.work(scopes, place, work, sum, own, &mut taken));
        let done: Result<(u64, Option<Appended>, Option<Appended>), End> = result;
        let result = match done {
            Ok((sum, _, back)) => {
                taken = back;
                Ok(sum)
            }
            // What was written is a part of the error.
            Err(End::Wrong(sum)) => Err(End::Wrong(sum)),
            Err(end) => {
                taken = spare;
                Err(end)
            }
        };
        if work.takes_log {
            *log = taken;
        }
        let sum = result?;
        if !self.is_told {
            let units = self.units;
            if let Some(level) = self.levels.last_mut().filter(|level| !level.is_behind_call) {
                level.remembered += units - before;
            }
        }
        Ok(sum)
    }

    fn work(
        &mut self,
        scopes: &mut Scopes,
        place: Caller,
        work: &Work,
        mut sum: u64,
        mut own: Option<Appended>,
        taken: &mut Option<Appended>,
    ) -> Result<(u64, Option<Appended>, Option<Appended>), End> {
        for _ in 0..work.before {
            sum = self.unit(scopes, sum)?;
        }
        if let Some(call) = &work.call {
            sum = self.call(scopes, place, call, sum, taken)?;
        }
        for _ in 0..work.units {
            if work.asks && self.must_stop(scopes) {
                break;
            }
            sum = self.unit(scopes, sum)?;
            for log in own.iter_mut().chain(&mut *taken) {
                writeln!(log, "{sum:x}")?;
            }
        }
        Ok((sum, own, taken.take()))
    }

    /// Returns the result if the program came to its end.
    pub(super) fn result(&mut self, builder: Builder<Stack, Scopes>) -> Result<Option<u64>, End> {
        let mut scopes = builder.disk(Arc::new(self.disk.clone())).open()?;
        let sum = loop {
            scopes.restore()?;
            self.is_told = false;
            scopes.count(COUNTED, self.units);
            match self.function(&mut scopes, Caller(0, 0), 1, &mut None) {
                Err(End::Retried) => self.lost += std::mem::take(&mut self.unsaved),
                sum => break sum?,
            }
        };
        // It may have ended all the same, if it is an earlier save that failed.
        let finished = scopes.finish().inspect_err(|_| self.lost += ANY)?;
        let is_stopped = finished.stopped.is_some();
        Ok((!is_stopped).then_some(sum))
    }
}
