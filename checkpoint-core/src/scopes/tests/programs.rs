//! Random programs of nested scopes: whenever they are killed or stopped, their results are those
//! of a run that nothing interrupted.

use std::collections::{BTreeMap, HashMap};

use super::*;
use crate::run::failures::OnFailedSave;
use crate::store::simulated::Random;

/// A function that is called again in the same run begins afresh, whatever was saved.
const ANY: u64 = 1 << 32;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// The turn, the sum, a log, and the sum of each turn.
type Variables = (u64, u64, Option<Appended>, HashMap<u64, u64>);

/// Calls only functions behind it.
#[derive(Debug)]
struct Function {
    name: &'static str,
    turns: u64,
    body: Body,
    asks: Asks,
    /// Before the calls of a turn, with the variables as they are.
    saves_first: Saves,
    saves: Saves,
    /// Goes on after a failed save.
    is_stubborn: bool,
    /// Calls a function again that failed.
    is_patient: bool,
    /// Keeps its variables before the calls of a turn; else `saves_first` must do.
    keeps: bool,
    /// Writes a line for each turn.
    has_log: bool,
    /// Comes behind all turns, also if the function was told to stop.
    last: Option<Work>,
}

#[derive(Debug)]
enum Body {
    Units(u64),
    /// A call of a function, then work that calls none.
    Call(usize, Vec<Work>),
    Works(Vec<Work>),
    /// The function has no variables, and one turn. It saves behind each work.
    Chain(Vec<Work>),
}

/// Work that is done once.
#[derive(Debug)]
struct Work {
    calls: Option<usize>,
    /// They come behind the call.
    units: u64,
    asks: bool,
    /// Writes a line for each unit to a log that is a part of its result.
    has_log: bool,
}

/// The places of a turn in which a function asks whether it must stop.
#[derive(Debug)]
struct Asks {
    at_the_head: bool,
    behind_the_body: bool,
    at_the_end: bool,
}

#[derive(Debug, PartialEq)]
enum Saves {
    Never,
    IfDue,
    Always,
}

fn function(random: &mut Random, index: usize, count: usize) -> Function {
    let callee =
        |random: &mut Random| (index + 1 < count).then(|| index + 1 + random.below(count - index - 1));
    let work = |random: &mut Random, calls: Option<usize>| Work {
        calls,
        units: random.below(3) as u64,
        asks: random.below(3) == 0,
        has_log: random.below(4) == 0,
    };
    let any_work = |random: &mut Random| {
        let callee = callee(random).filter(|_| random.below(3) > 0);
        work(random, callee)
    };
    let works = |random: &mut Random| (0..1 + random.below(3)).map(|_| any_work(random)).collect();
    let body = match (random.below(4), callee(random)) {
        (0, _) | (1, None) => Body::Units(1 + random.below(2) as u64),
        (1, Some(callee)) => Body::Call(callee, (0..random.below(3)).map(|_| work(random, None)).collect()),
        (2, _) => Body::Works(works(random)),
        _ => Body::Chain(works(random)),
    };
    let saves = |random: &mut Random| match random.below(4) {
        0 => Saves::Never,
        1 => Saves::Always,
        _ => Saves::IfDue,
    };
    Function {
        name: NAMES[random.below(NAMES.len())],
        turns: 1 + random.below(3) as u64,
        body,
        asks: Asks {
            at_the_head: random.below(2) == 0,
            behind_the_body: random.below(4) == 0,
            at_the_end: random.below(4) == 0,
        },
        is_patient: random.below(2) == 0,
        keeps: random.below(3) > 0,
        saves_first: saves(random),
        saves: saves(random),
        is_stubborn: random.below(2) == 0,
        has_log: random.below(3) == 0,
        last: (random.below(4) == 0).then(|| any_work(random)),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Kill,
    /// An error that a patient function handles: it calls again what failed. Without one, the
    /// program restores its scopes, and begins again.
    Retry,
    Stop,
    /// One of the next operations on the disk fails.
    Fault(usize),
}

#[derive(Debug)]
enum End {
    Killed,
    Retried,
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

/// A run of a program.
struct Run<'a> {
    program: &'a [Function],
    directory: &'a Path,
    disk: FaultyDisk,
    /// By the point of the run at which they happen.
    events: BTreeMap<u64, Event>,
    point: u64,
    /// The units of work that it did, and those of them that no save has.
    units: u64,
    unsaved: u64,
    /// The units that no save had when the program began again.
    lost: u64,
    is_told: bool,
    has_faults: bool,
}

impl Run<'_> {
    fn pass(&mut self, scopes: &mut Scopes) -> Result<(), End> {
        self.point += 1;
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
        self.pass(scopes)?;
        Ok(sum.wrapping_mul(31).wrapping_add(7))
    }

    fn must_stop(&mut self, scopes: &mut Scopes) -> bool {
        let is_told = scopes.should_stop().is_some();
        self.is_told |= is_told;
        is_told
    }

    fn save<T: Checkpoint>(
        &mut self,
        scope: &mut Scope<'_, T>,
        variables: &T,
        how: &Saves,
        is_stubborn: bool,
    ) -> Result<(), End> {
        let saved = match how {
            Saves::Never => Ok(false),
            Saves::IfDue => scope.save_if_due(variables).map(|decision| decision.is_saved()),
            Saves::Always => scope.save(variables).map(|_| true),
        };
        match saved {
            Ok(is_saved) if is_saved && !self.is_told => self.unsaved = 0,
            Ok(_) => {}
            Err(Error::Io { .. }) if is_stubborn && self.has_faults => {}
            Err(error) => return Err(error.into()),
        }
        self.pass(scope)
    }

    fn call(&mut self, scopes: &mut Scopes, index: usize, start: u64) -> Result<u64, End> {
        let program = self.program;
        let function = &program[index];
        if let Body::Chain(works) = &function.body {
            return self.chain(scopes, index, works, start);
        }
        let mut scope = scopes.enter::<Variables>(function.name)?;
        let path = self.directory.join(format!("{index}-{start:016x}.log"));
        let (mut i, mut sum, mut log, mut sums) = scope.restored().unwrap_or_else(|| {
            let log = function.has_log.then(|| Appended::at(path));
            (0, start, log, (1000..1008).map(|key| (key, start)).collect())
        });
        while i < function.turns {
            if function.asks.at_the_head && self.must_stop(&mut scope) {
                break;
            }
            let variables = (i, sum, log.clone(), sums.clone());
            if function.keeps || function.saves_first != Saves::Always {
                scope.keep(&variables)?;
            }
            self.save(&mut scope, &variables, &function.saves_first, function.is_stubborn)?;
            drop(variables);
            match &function.body {
                Body::Units(count) => {
                    for _ in 0..*count {
                        sum = self.unit(&mut scope, sum)?;
                    }
                }
                Body::Call(callee, works) => {
                    sum = loop {
                        match self.call(&mut scope, *callee, sum) {
                            Err(End::Retried) if function.is_patient => self.lost += ANY,
                            sum => break sum?,
                        }
                        scope.keep(&(i, sum, log.clone(), sums.clone()))?;
                    };
                    sum = self.works(&mut scope, index, works, sum)?;
                }
                Body::Works(works) | Body::Chain(works) => sum = self.works(&mut scope, index, works, sum)?,
            }
            if function.asks.behind_the_body && self.must_stop(&mut scope) {
                break;
            }
            if let Some(log) = &mut log {
                writeln!(log, "{i} {sum:x}")?;
            }
            i += 1;
            sum = sum.wrapping_mul(31).wrapping_add(i);
            sums.insert(i, sum);
            self.pass(&mut scope)?;
            self.save(
                &mut scope,
                &(i, sum, log.clone(), sums.clone()),
                &function.saves,
                function.is_stubborn,
            )?;
            if function.asks.at_the_end && self.must_stop(&mut scope) {
                break;
            }
        }
        if let Some(work) = &function.last {
            scope.keep(&(i, sum, log.clone(), sums.clone()))?;
            sum = self.works(&mut scope, index, std::slice::from_ref(work), sum)?;
        }
        Ok(sum)
    }

    fn chain(&mut self, scopes: &mut Scopes, index: usize, works: &[Work], mut sum: u64) -> Result<u64, End> {
        let program = self.program;
        let function = &program[index];
        let mut scope = scopes.enter::<()>(function.name)?;
        for (place, work) in works.iter().enumerate() {
            sum = loop {
                match self.once(&mut scope, (index, place), work, sum) {
                    Err(End::Retried) if function.is_patient => self.lost += ANY,
                    sum => break sum?,
                }
            };
            sum = sum.wrapping_mul(31).wrapping_add(1);
            self.pass(&mut scope)?;
            self.save(&mut scope, &(), &function.saves, function.is_stubborn)?;
            if function.asks.at_the_end && self.must_stop(&mut scope) {
                break;
            }
        }
        Ok(sum)
    }

    fn works(
        &mut self,
        scope: &mut Scope<'_, Variables>,
        index: usize,
        works: &[Work],
        mut sum: u64,
    ) -> Result<u64, End> {
        for (place, work) in works.iter().enumerate() {
            sum = self.once(scope, (index, place), work, sum)?;
            self.pass(scope)?;
        }
        Ok(sum)
    }

    fn once<T: Checkpoint>(
        &mut self,
        scope: &mut Scope<'_, T>,
        (index, place): (usize, usize),
        work: &Work,
        sum: u64,
    ) -> Result<u64, End> {
        let path = self.directory.join(format!("{index}-{place}-{sum:016x}.log"));
        let log = work.has_log.then(|| Appended::at(path));
        let work = |scopes: &mut Scopes| self.work(scopes, work, sum, log);
        let (result, _): (u64, Option<Appended>) = scope.once(&place.to_string(), work)?;
        Ok(result)
    }

    fn work(
        &mut self,
        scopes: &mut Scopes,
        work: &Work,
        mut sum: u64,
        mut log: Option<Appended>,
    ) -> Result<(u64, Option<Appended>), End> {
        if let Some(callee) = work.calls {
            sum = self.call(scopes, callee, sum)?;
        }
        for _ in 0..work.units {
            if work.asks && self.must_stop(scopes) {
                break;
            }
            sum = self.unit(scopes, sum)?;
            if let Some(log) = &mut log {
                writeln!(log, "{sum:x}")?;
            }
        }
        Ok((sum, log))
    }

    /// Returns the result if the program came to its end.
    fn result(&mut self, builder: Builder<Stack, Scopes>) -> Result<Option<u64>, End> {
        let mut scopes = builder.disk(Arc::new(self.disk.clone())).open()?;
        let sum = loop {
            scopes.restore()?;
            match self.call(&mut scopes, 0, 1) {
                Err(End::Retried) => self.lost += std::mem::take(&mut self.unsaved),
                sum => break sum?,
            }
        };
        let is_stopped = scopes.finish()?.stopped.is_some();
        Ok((!is_stopped).then_some(sum))
    }
}

fn contents(directory: &Path) -> BTreeMap<std::ffi::OsString, String> {
    let files = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let logs = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "log"));
    logs.map(|file| (file.file_name(), fs::read_to_string(file.path()).unwrap())).collect()
}

fn check(seed: u64) {
    let mut random = Random(seed);
    let count = 2 + random.below(4);
    let program: Vec<Function> = (0..count).map(|index| function(&mut random, index, count)).collect();
    let every = 1 + random.below(4) as u64;
    let goes_on = random.below(2) == 0;
    let run = |directory: &Path, events| {
        let builder = Scopes::builder(directory.join("run.ckpt")).durable(false);
        let mut builder = builder.schedule(Schedule::every_steps(every));
        if goes_on {
            builder = builder.on_failed_save(OnFailedSave::go_on());
        }
        let mut run = Run {
            program: &program,
            directory,
            disk: FaultyDisk::default(),
            events,
            point: 0,
            units: 0,
            unsaved: 0,
            lost: 0,
            is_told: false,
            has_faults: false,
        };
        let result = run.result(builder);
        let Run { point, units, unsaved, lost, has_faults, .. } = run;
        let lost = if matches!(result, Ok(Some(_))) { lost } else { lost + unsaved };
        (result, point, units, lost, has_faults)
    };
    let directory = tempfile::tempdir().unwrap();
    let (result, points, least, ..) = run(directory.path(), BTreeMap::new());
    let expected = result.unwrap().unwrap();
    let files = contents(directory.path());

    let directory = tempfile::tempdir().unwrap();
    let (mut units, mut unsaved) = (0, 0);
    let mut story = Vec::new();
    for run_number in 0.. {
        let mut events = BTreeMap::new();
        if run_number < 4 {
            for _ in 0..1 + random.below(2) {
                let event = match random.below(6) {
                    0 | 1 => Event::Kill,
                    2 | 3 => Event::Stop,
                    4 => Event::Retry,
                    _ => Event::Fault(random.below(8)),
                };
                events.insert(1 + random.below(usize::try_from(points).unwrap()) as u64, event);
            }
        }
        let (result, _, done, lost, has_faults) = run(directory.path(), events.clone());
        story.push(format!("{events:?}: {result:?}, {done} units, {lost} lost"));
        let told = || format!("seed {seed}, every {every}: {program:#?}\n{story:#?}");
        units += done;
        unsaved += lost;
        match result {
            Ok(Some(sum)) => {
                assert_eq!(sum, expected, "{}", told());
                break;
            }
            Ok(None) | Err(End::Killed | End::Retried) => {}
            Err(End::Failed(Error::ScopeStopped { .. } | Error::StoppedUnsaved { .. })) => {
                assert!(events.values().any(|event| *event == Event::Stop), "{}", told());
            }
            Err(End::Failed(_) | End::Unwritten(_)) => assert!(has_faults, "{}", told()),
        }
    }
    let told = format!("seed {seed}, every {every}: {program:#?}\n{story:#?}");
    assert!(units <= least + unsaved, "{units} units, and {least} + {unsaved} would do: {told}");
    for (name, content) in files {
        let found = contents(directory.path()).remove(&name);
        assert_eq!(found, Some(content), "{}: {told}", name.display());
    }
}

/// `SCOPES_SEED` and `SCOPES_COUNT` choose other programs, and more.
#[test]
fn random_programs_end_as_if_nothing_had_stopped_them() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |number| number.parse().unwrap());
    let first = number("SCOPES_SEED", 0);
    (first..first + number("SCOPES_COUNT", 200)).for_each(check);
}
