//! `#[step]`: functions as steps of a pipeline.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use checkpointed::{
    Checkpoint, Error, Pipeline, checkpointed,
    pipeline::{Outcome, Output, StepContext, step},
};
use serde::Serialize;

#[checkpointed]
#[derive(Debug, Clone, PartialEq)]
struct Table {
    rows: Vec<f64>,
}

#[derive(Serialize)]
struct Options {
    limit: f64,
    scale: f64,
}

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

fn called() {
    CALLS.set(CALLS.get() + 1);
}

/// Reads numbers, one a line.
#[step]
fn read(#[file] path: &Path) -> io::Result<Table> {
    called();
    let text = fs::read_to_string(path)?;
    Ok(Table { rows: text.lines().filter_map(|line| line.parse().ok()).collect() })
}

#[step(version = 2, keep = 1)]
fn clean(table: &Table, #[param] options: &Options, name: &str) -> Table {
    called();
    assert_eq!(name, "clean");
    let kept = table.rows.iter().filter(|row| row.abs() <= options.limit);
    Table { rows: kept.map(|row| row * options.scale).collect() }
}

#[step(name = format!("part {place}"))]
fn part(table: &Table, place: usize, mut count: usize) -> Vec<f64> {
    called();
    count *= 2;
    table.rows.iter().skip(place).take(count).copied().collect()
}

#[step]
fn sum(one: &[f64], other: &[f64]) -> Result<f64, String> {
    called();
    let sum: f64 = one.iter().chain(other).sum();
    if sum < 0.0 { Err(format!("the sum is {sum}")) } else { Ok(sum) }
}

#[step(keep_produced = true)]
fn write(sum: &f64, #[produces] path: impl AsRef<Path>) -> io::Result<()> {
    called();
    fs::write(path, sum.to_string())
}

struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    fn new(numbers: &str) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("numbers"), numbers).unwrap();
        Folder { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pipeline(&self) -> Pipeline {
        Pipeline::open(self.at("test.pipeline")).unwrap()
    }

    /// Runs all steps. Returns the names of those that ran, each with its first reason.
    fn run(&self, limit: f64) -> Result<Vec<String>, Error> {
        let pipeline = self.pipeline();
        let table = read::step(&pipeline, &self.at("numbers"))?;
        let table = clean::step(&pipeline, &table, &Options { limit, scale: 2.0 }, "clean")?;
        let one = part::step(&pipeline, &table, 0, 1)?;
        let other = part::step(&pipeline, &table, 2, 5)?;
        let sum = sum::step(&pipeline, &one, &other)?;
        write::step(&pipeline, &sum, self.at("sum"))?;
        let reports = pipeline.finish()?;
        let ran = reports.iter().filter(|report| report.outcome == Outcome::Ran);
        Ok(ran.map(|report| format!("{}: {}", report.step, report.reasons[0])).collect())
    }
}

const NOTHING: &str = "nothing is kept of it";

#[test]
fn a_function_is_run_once_and_then_only_if_its_arguments_change() {
    let folder = Folder::new("1\n2\n3\n40\n5\n");
    let all = ["read", "clean", "part 0", "part 2", "sum", "write"];
    assert_eq!(folder.run(10.0).unwrap(), all.map(|step| format!("{step}: {NOTHING}")));
    assert_eq!(fs::read_to_string(folder.at("sum")).unwrap(), "22");
    assert_eq!(CALLS.get(), 6);
    assert_eq!(folder.run(10.0).unwrap(), <[&str; 0]>::default());
    assert_eq!(CALLS.get(), 6);

    // A parameter that changes no output of its step.
    let ran = folder.run(20.0).unwrap();
    assert_eq!(ran, [r#"clean: options: {"limit":10.0,"scale":2.0} became {"limit":20.0,"scale":2.0}"#]);

    fs::write(folder.at("numbers"), "1\n2\n3\n40\n6\n").unwrap();
    let ran = folder.run(20.0).unwrap();
    assert_eq!(ran[0], "read: numbers has changed");
    let steps: Vec<_> = ran.iter().map(|ran| ran.split(':').next().unwrap()).collect();
    assert_eq!(steps, ["read", "clean", "part 0", "part 2", "sum", "write"]);
    assert_eq!(fs::read_to_string(folder.at("sum")).unwrap(), "24");

    fs::remove_file(folder.at("sum")).unwrap();
    assert_eq!(folder.run(20.0).unwrap(), <[&str; 0]>::default());
    assert_eq!(fs::read_to_string(folder.at("sum")).unwrap(), "24", "a copy is kept");
}

#[test]
fn the_function_itself_stays_as_it_is() {
    let table = Table { rows: vec![1.0, 5.0] };
    assert_eq!(clean(&table, &Options { limit: 2.0, scale: 3.0 }, "clean").rows, [3.0]);
    assert_eq!(part(&table, 1, 3), [5.0]);
    assert_eq!(sum(&[1.0], &[-2.0]), Err("the sum is -1".to_owned()));
    assert_eq!(read(Path::new("/no/such/file")).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn the_error_of_a_function_is_that_of_its_step() {
    let folder = Folder::new("-1\n-2\n-3\n");
    let error = folder.run(10.0).unwrap_err();
    assert!(matches!(&error, Error::StepFailed { step, .. } if step == "sum"), "{error}");
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "the sum is -12");
}

#[test]
fn the_version_in_the_macro_is_that_of_the_step() {
    let folder = Folder::new("1\n");
    folder.run(10.0).unwrap();
    let pipeline = folder.pipeline();
    let table = read::step(&pipeline, &folder.at("numbers")).unwrap();
    let options = Options { limit: 10.0, scale: 2.0 };
    let declared = |version| {
        let step = pipeline.step("clean").function(concat!(module_path!(), "::clean"), &[]);
        let step = step.version(version).param("options", &options);
        let step = step.param("name", "clean").input(&table);
        step.explain::<Table>().unwrap().0
    };
    assert_eq!((declared(1), declared(2)), (Outcome::Ran, Outcome::Reused));
}

/// A step of a local function, with checkpoints of its own, over a generic type and a length.
#[test]
fn local_and_generic_functions_with_a_context_are_steps() {
    #[step(name = format!("count {N}"))]
    fn count<T, const N: usize>(#[context] context: &StepContext, r#type: T) -> Result<Vec<T>, Error>
    where
        T: Checkpoint + Serialize + Copy,
    {
        let mut checkpoints = context.checkpointer::<u64>()?;
        let calls = checkpoints.load_or_default()? + 1;
        checkpoints.save(&calls)?;
        if calls < 3 { Err(context.not_done()) } else { Ok(vec![r#type; N]) }
    }

    let folder = Folder::new("");
    for call in 1..=3 {
        let counted = count::step::<u8, 2>(&folder.pipeline(), 7);
        match counted {
            Err(Error::StepStopped { .. }) => assert!(call < 3),
            counted => assert_eq!((counted.unwrap().load().unwrap().to_vec(), call), (vec![7, 7], 3)),
        }
    }
    let pipeline = folder.pipeline();
    // A name stands for the path of the function.
    let step = pipeline.step("count 2").function("", &["u8".to_owned(), "2".to_owned()]);
    let (outcome, _) = step.param("type", &7_u8).explain::<Vec<u8>>().unwrap();
    assert_eq!(outcome, Outcome::Reused);
}

mod inner {
    use checkpointed::pipeline::step;

    /// Its name is a word that the macro uses itself, and so are those of its parameters.
    #[step]
    pub(super) fn step(pipeline: u32, context: u32, name: u32) -> u32 {
        pipeline + context + name
    }
}

#[test]
fn names_of_the_macro_are_free_for_the_function() {
    let folder = Folder::new("");
    let output: Output<u32> = inner::step::step(&folder.pipeline(), 1, 2, 3).unwrap();
    assert_eq!(*output.load().unwrap(), inner::step(1, 2, 3));
}

/// Files by a directory and by a pattern.
#[test]
fn directories_and_patterns_are_parameters() {
    #[step]
    fn names(#[directory] all: &Path, #[files] some: &str) -> io::Result<usize> {
        let count = fs::read_dir(all)?.count();
        assert!(some.ends_with("*.csv"));
        Ok(count)
    }

    let folder = Folder::new("");
    let data = folder.at("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("a.csv"), "a").unwrap();
    let pattern = data.join("*.csv");
    let run = || {
        let pipeline = folder.pipeline();
        let count = names::step(&pipeline, &data, pattern.to_str().unwrap()).unwrap();
        let count = *count.load().unwrap();
        (count, pipeline.finish().unwrap().remove(0).reasons[0].to_string())
    };
    assert_eq!(run(), (1, NOTHING.to_owned()));
    fs::write(data.join("b.csv"), "b").unwrap();
    assert_eq!(run(), (2, "data/b.csv is new".to_owned()));
}

/// Runs the steps of a program, and returns the value of the last one, and what became of it.
fn told<T: Checkpoint + Clone>(
    folder: &Folder,
    steps: impl FnOnce(&Pipeline) -> Result<Output<T>, Error>,
) -> (T, String) {
    let pipeline = folder.pipeline();
    let output = steps(&pipeline).unwrap();
    let value = T::clone(&output.load().unwrap());
    let report = pipeline.reports().pop().unwrap();
    (value, format!("{:?}: {}", report.outcome, report.reasons[0]))
}

const FIRST: &str = "Ran: nothing is kept of it";
const REUSED: &str = "Reused: nothing has changed";
const ANOTHER_ORDER: &str = "Ran: its inputs or files are declared in another order or role";

#[test]
fn a_step_with_swapped_inputs_runs_again() {
    #[step(name = format!("number {value}"))]
    fn number(value: f64) -> f64 {
        value
    }

    #[step]
    fn minus(left: &f64, right: &f64) -> f64 {
        left - right
    }

    let folder = Folder::new("");
    let run = |is_swapped: bool| {
        told(&folder, |pipeline| {
            let (five, two) = (number::step(pipeline, 5.0)?, number::step(pipeline, 2.0)?);
            let (left, right) = if is_swapped { (&two, &five) } else { (&five, &two) };
            minus::step(pipeline, left, right)
        })
    };
    assert_eq!(run(false), (3.0, FIRST.to_owned()));
    assert_eq!(run(true), (-3.0, ANOTHER_ORDER.to_owned()));
    // Each order has a version of its own.
    assert_eq!(run(true), (-3.0, REUSED.to_owned()));
    assert_eq!(run(false), (3.0, REUSED.to_owned()));
}

#[test]
fn a_step_with_swapped_files_runs_again() {
    #[step]
    fn join(#[file] first: &Path, #[file] second: &Path) -> io::Result<String> {
        Ok(fs::read_to_string(first)? + &fs::read_to_string(second)?)
    }

    let folder = Folder::new("");
    let (head, body) = (folder.at("head"), folder.at("body"));
    fs::write(&head, "head").unwrap();
    fs::write(&body, "body").unwrap();
    let run = |first: &Path, second: &Path| told(&folder, |pipeline| join::step(pipeline, first, second));
    assert_eq!(run(&head, &body), ("headbody".to_owned(), FIRST.to_owned()));
    assert_eq!(run(&body, &head), ("bodyhead".to_owned(), ANOTHER_ORDER.to_owned()));
    assert_eq!(run(&body, &head).1, REUSED);
    assert_eq!(run(&body, &body), ("bodybody".to_owned(), "Ran: head is not used any more".to_owned()));
}

#[test]
fn a_step_with_another_directory_of_the_same_files_runs_again() {
    /// Counts the files that are not in a directory below.
    #[step]
    fn count(#[directory] directory: &Path) -> io::Result<usize> {
        Ok(fs::read_dir(directory)?.flatten().filter(|entry| entry.path().is_file()).count())
    }

    let folder = Folder::new("");
    let (outer, inner) = (folder.at("outer"), folder.at("outer/sub"));
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("a.csv"), "1").unwrap();
    let run = |directory: &Path| told(&folder, |pipeline| count::step(pipeline, directory));
    assert_eq!(run(&outer), (0, FIRST.to_owned()));
    assert_eq!(run(&inner), (1, ANOTHER_ORDER.to_owned()));
    assert_eq!(run(&inner), (1, REUSED.to_owned()));
}

#[test]
fn a_step_with_swapped_products_runs_again() {
    #[step]
    fn split(#[produces] low: &Path, #[produces] high: &Path) -> io::Result<()> {
        fs::write(low, "low")?;
        fs::write(high, "high")
    }

    let folder = Folder::new("");
    let (one, other) = (folder.at("one"), folder.at("other"));
    let run = |low: &Path, high: &Path| {
        let ((), told) = told(&folder, |pipeline| split::step(pipeline, low, high));
        (told, [&one, &other].map(|file| fs::read_to_string(file).unwrap()).join(" "))
    };
    assert_eq!(run(&one, &other), (FIRST.to_owned(), "low high".to_owned()));
    assert_eq!(run(&other, &one), (ANOTHER_ORDER.to_owned(), "high low".to_owned()));
    assert_eq!(run(&other, &one).0, REUSED);
}

#[test]
fn a_step_with_another_constant_runs_again() {
    #[step]
    fn times<const N: u32>(value: f64) -> f64 {
        value * f64::from(N)
    }

    let folder = Folder::new("");
    let twice = || told(&folder, |pipeline| times::step::<2>(pipeline, 5.0));
    assert_eq!(twice(), (10.0, FIRST.to_owned()));
    let (value, reason) = told(&folder, |pipeline| times::step::<3>(pipeline, 5.0));
    let path = concat!(module_path!(), "::times");
    let expected = format!("Ran: its function was {path}<2>, and is {path}<3> now");
    assert_eq!((value, reason), (15.0, expected));
    assert_eq!(twice(), (10.0, REUSED.to_owned()));
}

/// A unit of length, and what it is in metres.
trait Unit {
    fn metres() -> f64;
}

struct Centimetre;

impl Unit for Centimetre {
    fn metres() -> f64 {
        0.01
    }
}

struct Kilometre;

impl Unit for Kilometre {
    fn metres() -> f64 {
        1000.0
    }
}

#[test]
fn a_step_with_another_type_runs_again() {
    #[step]
    fn length<U: Unit>(number: f64) -> f64 {
        number * U::metres()
    }

    let folder = Folder::new("");
    let far = || told(&folder, |pipeline| length::step::<Kilometre>(pipeline, 2.0));
    assert_eq!(far(), (2000.0, FIRST.to_owned()));
    let (value, reason) = told(&folder, |pipeline| length::step::<Centimetre>(pipeline, 2.0));
    assert_eq!(value, 0.02);
    assert!(reason.starts_with("Ran: its function was ") && reason.ends_with("Centimetre> now"), "{reason}");
    assert_eq!(far(), (2000.0, REUSED.to_owned()));
}

/// It serializes to nothing, as does the other kernel.
#[derive(Serialize)]
struct Flat;

#[derive(Serialize)]
struct Steep;

trait Kernel {
    fn at(self, place: f64) -> f64;
}

impl Kernel for Flat {
    fn at(self, _: f64) -> f64 {
        1.0
    }
}

impl Kernel for Steep {
    fn at(self, place: f64) -> f64 {
        place
    }
}

#[test]
fn a_step_with_a_value_of_another_type_runs_again() {
    #[step]
    fn weight(kernel: impl Kernel + Serialize, place: f64) -> f64 {
        kernel.at(place)
    }

    let folder = Folder::new("");
    let flat = || told(&folder, |pipeline| weight::step(pipeline, Flat, 3.0));
    assert_eq!(flat(), (1.0, FIRST.to_owned()));
    let (value, reason) = told(&folder, |pipeline| weight::step(pipeline, Steep, 3.0));
    assert_eq!(value, 3.0);
    assert!(reason.starts_with("Ran: its function was ") && reason.ends_with("Steep> now"), "{reason}");
    assert_eq!(flat(), (1.0, REUSED.to_owned()));
}

mod rising {
    use checkpointed::pipeline::step;

    #[step]
    pub(super) fn change(value: f64) -> f64 {
        value + 1.0
    }

    #[step(name = "moved")]
    pub(super) fn moved(value: f64) -> f64 {
        value
    }
}

mod falling {
    use checkpointed::pipeline::step;

    #[step]
    pub(super) fn change(value: f64) -> f64 {
        value - 1.0
    }

    #[step(name = "moved")]
    pub(super) fn moved(value: f64) -> f64 {
        value
    }
}

#[test]
fn two_functions_of_one_name_are_told_apart() {
    let folder = Folder::new("");
    let rising = || told(&folder, |pipeline| rising::change::step(pipeline, 5.0));
    let falling = || told(&folder, |pipeline| falling::change::step(pipeline, 5.0));
    assert_eq!(rising(), (6.0, FIRST.to_owned()));
    let module = module_path!();
    let expected =
        format!("Ran: its function was {module}::rising::change, and is {module}::falling::change now");
    assert_eq!(falling(), (4.0, expected));
    assert_eq!(falling(), (4.0, REUSED.to_owned()));
    assert_eq!(rising(), (6.0, REUSED.to_owned()));
}

#[test]
fn a_function_with_a_name_may_move_to_another_module() {
    let folder = Folder::new("");
    assert_eq!(told(&folder, |pipeline| rising::moved::step(pipeline, 5.0)).1, FIRST);
    assert_eq!(told(&folder, |pipeline| falling::moved::step(pipeline, 5.0)).1, REUSED);
}

#[test]
fn a_closure_and_a_function_are_told_apart() {
    let folder = Folder::new("");
    let closure =
        |pipeline: &Pipeline| pipeline.step("change").param("number", &5.0).run(|_| Ok::<f64, Error>(5.0));
    assert_eq!(told(&folder, closure), (5.0, FIRST.to_owned()));
    let (number, reason) = told(&folder, |pipeline| rising::change::step(pipeline, 5.0));
    assert_eq!(number, 6.0);
    assert!(reason.starts_with("Ran: its function was"), "{reason}");
    assert_eq!(told(&folder, |pipeline| falling::change::step(pipeline, 5.0)).0, 4.0);
}
