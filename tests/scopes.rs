//! Functions that share one checkpoint: tests the promises and the refusals of scopes.

use std::path::{Path, PathBuf};

use checkpointed::reports::Decision;
use checkpointed::{Error, Schedule, Scopes, checkpointed};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[checkpointed]
#[derive(Clone, Debug, Default, PartialEq)]
struct Variables {
    i: u64,
    field: Vec<f64>,
}

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

fn restored(path: &Path) -> Scopes {
    let mut scopes = Scopes::open(path).unwrap();
    assert!(scopes.restore().unwrap());
    scopes
}

fn at(i: u64) -> Variables {
    Variables { i, field: vec![i as f64; 100] }
}

#[test]
fn one_save_holds_every_scope_that_is_active() {
    let (_parent, path) = nowhere();
    {
        let mut scopes = Scopes::open(&path).unwrap();
        let mut outer = scopes.enter::<Variables>("outer").unwrap();
        outer.keep(&at(7)).unwrap();
        let mut inner = outer.enter::<u32>("inner").unwrap();
        inner.save(&3).unwrap();
        assert_eq!(inner.checkpointer().generations().unwrap(), [1]);
    }
    let mut scopes = restored(&path);
    let mut outer = scopes.enter::<Variables>("outer").unwrap();
    assert_eq!(outer.restored(), Some(at(7)));
    assert_eq!(outer.restored(), None, "once");
    let mut inner = outer.enter::<u32>("inner").unwrap();
    assert_eq!((inner.restored(), inner.call()), (Some(3), 1));
}

#[test]
fn a_scope_that_was_left_begins_afresh_and_counts_its_calls() {
    let (_parent, path) = nowhere();
    let mut scopes = Scopes::open(&path).unwrap();
    let mut outer = scopes.enter::<u32>("outer").unwrap();
    for call in 1..=3 {
        outer.keep(&call).unwrap();
        let mut inner = outer.enter::<u32>("inner").unwrap();
        assert_eq!((inner.restored(), inner.call()), (None, u64::from(call)));
        inner.save(&1).unwrap();
    }
    drop(outer);
    drop(scopes);
    let mut scopes = restored(&path);
    let mut outer = scopes.enter::<u32>("outer").unwrap();
    assert_eq!(outer.restored(), Some(3));
    let mut inner = outer.enter::<u32>("inner").unwrap();
    assert_eq!((inner.restored(), inner.call()), (Some(1), 3));
    drop(inner);
    outer.keep(&4).unwrap();
    assert_eq!(outer.enter::<u32>("inner").unwrap().call(), 4);
}

#[test]
fn what_was_done_once_is_not_done_again() {
    let (_parent, path) = nowhere();
    let mut times = 0;
    for run in 0..2 {
        let mut scopes = Scopes::open(&path).unwrap();
        assert_eq!(scopes.restore().unwrap(), run > 0);
        let mut program = scopes.enter::<()>("main").unwrap();
        let first = program.once("first", |_| {
            times += 1;
            Ok::<_, Error>(vec![1.5; 3])
        });
        assert_eq!(first.unwrap(), [1.5; 3]);
        let second = program.once("second", |scopes| {
            let mut inner = scopes.enter::<u32>("inner")?;
            assert_eq!(inner.restored(), (run > 0).then_some(5));
            inner.save(&5)?;
            Ok::<_, Error>(())
        });
        second.unwrap();
    }
    assert_eq!(times, 1);
}

#[test]
fn what_was_done_once_is_done_again_in_the_next_turn() {
    let (_parent, path) = nowhere();
    let mut scopes = Scopes::open(&path).unwrap();
    let mut outer = scopes.enter::<u32>("outer").unwrap();
    for turn in 0..3 {
        outer.keep(&turn).unwrap();
        assert_eq!(outer.once("square", |_| Ok::<_, Error>(turn * turn)).unwrap(), turn * turn);
    }
}

#[test]
fn a_call_before_the_variables_were_kept_is_refused() {
    let (_parent, path) = nowhere();
    let mut scopes = Scopes::open(&path).unwrap();
    let mut outer = scopes.enter::<u32>("outer").unwrap();
    let error = outer.enter::<u32>("inner").unwrap_err();
    assert!(matches!(&error, Error::ScopeNotKept { outer, .. } if outer == "outer"), "{error}");
    outer.keep(&1).unwrap();
    drop(outer.enter::<u32>("inner").unwrap());
    // A restart would confuse the second call with the first.
    assert!(matches!(outer.enter::<u32>("inner"), Err(Error::ScopeNotKept { .. })));
    outer.keep(&2).unwrap();
    drop(outer.enter::<u32>("inner").unwrap());
    drop(outer);
    assert!(matches!(scopes.enter::<u32>("outer"), Err(Error::ScopeNotKept { .. })));
}

#[test]
fn a_program_that_takes_another_way_than_before_is_told_so() {
    let (_parent, path) = nowhere();
    {
        let mut scopes = Scopes::open(&path).unwrap();
        let mut outer = scopes.enter::<u32>("outer").unwrap();
        outer.keep(&1).unwrap();
        outer.enter::<u32>("inner").unwrap().save(&3).unwrap();
    }
    let mut scopes = restored(&path);
    let error = scopes.enter::<u32>("other").unwrap_err();
    assert!(matches!(&error, Error::OtherScope { expected, .. } if expected == "outer"), "{error}");
    let mut outer = scopes.enter::<u32>("outer").unwrap();
    let error = outer.save(&2).unwrap_err();
    assert!(error.to_string().contains("gives other variables of `outer`"), "{error}");
    assert!(matches!(outer.enter::<u32>("inner"), Err(Error::ScopeNotKept { .. })));
    outer.save(&1).unwrap();
    let error = outer.enter::<u32>("another").unwrap_err();
    assert!(error.to_string().contains("inside scope `inner` of scope `outer`"), "{error}");
    assert_eq!(outer.enter::<u32>("inner").unwrap().restored(), Some(3));
}

#[test]
fn variables_of_another_type_are_refused_by_name() {
    let (_parent, path) = nowhere();
    {
        let mut scopes = Scopes::open(&path).unwrap();
        scopes.enter::<Variables>("outer").unwrap().save(&at(1)).unwrap();
    }
    let error = restored(&path).enter::<u32>("outer").unwrap_err().to_string();
    assert!(error.contains("run.ckpt/outer"), "{error}");
}

#[test]
fn scopes_are_restored_before_the_first_is_entered() {
    let (_parent, path) = nowhere();
    let mut scopes = Scopes::open(&path).unwrap();
    let mut scope = scopes.enter::<()>("main").unwrap();
    assert!(matches!(scope.restore(), Err(Error::ScopeActive { name, .. }) if name == "main"));
}

#[test]
fn a_schedule_says_when_a_scope_saves() {
    let (_parent, path) = nowhere();
    let mut scopes = Scopes::builder(&path).schedule(Schedule::every_steps(5)).open().unwrap();
    let mut scope = scopes.enter::<u32>("loop").unwrap();
    let saved: Vec<u32> = (1..=12).filter(|step| scope.save_if_due(step).unwrap().is_saved()).collect();
    assert_eq!(saved, [5, 10]);
}

#[test]
fn a_stopped_run_keeps_its_last_save_and_an_ended_one_not() {
    let (_parent, path) = nowhere();
    let mut scopes = Scopes::open(&path).unwrap();
    let mut scope = scopes.enter::<u32>("loop").unwrap();
    std::fs::write(path.join("halt"), "").unwrap();
    while scope.should_stop().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(scope.save_if_due(&7).unwrap().is_saved());
    drop(scope);
    assert!(scopes.finish().unwrap().stopped.is_some());

    let _ = std::fs::remove_file(path.join("halt"));
    let mut scopes = restored(&path);
    assert_eq!(scopes.enter::<u32>("loop").unwrap().restored(), Some(7));
    assert!(scopes.finish().unwrap().stopped.is_none());
    assert!(!Scopes::open(&path).unwrap().restore().unwrap());
}

#[test]
fn a_run_that_did_not_come_back_to_its_scopes_is_not_at_its_end() {
    let (_parent, path) = nowhere();
    {
        let mut scopes = Scopes::open(&path).unwrap();
        let mut outer = scopes.enter::<u32>("outer").unwrap();
        outer.keep(&1).unwrap();
        outer.enter::<u32>("inner").unwrap().save(&3).unwrap();
    }
    // The program took another path, to none of its scopes or to some of them.
    let error = restored(&path).finish().unwrap_err();
    assert!(matches!(&error, Error::OtherScope { expected, .. } if expected == "outer"), "{error}");
    let mut scopes = restored(&path);
    drop(scopes.enter::<u32>("outer").unwrap());
    let error = scopes.finish().unwrap_err();
    assert!(matches!(&error, Error::OtherScope { expected, .. } if expected == "outer"), "{error}");
    // A scope with variables that it cannot read counts as not reached.
    let mut scopes = restored(&path);
    scopes.enter::<String>("outer").unwrap_err();
    let error = scopes.finish().unwrap_err();
    assert!(matches!(&error, Error::OtherScope { expected, .. } if expected == "outer"), "{error}");
    // The acknowledged state is still there.
    let mut scopes = restored(&path);
    let mut outer = scopes.enter::<u32>("outer").unwrap();
    assert_eq!(outer.restored(), Some(1));
    assert_eq!(outer.enter::<u32>("inner").unwrap().restored(), Some(3));
}

#[test]
fn a_save_that_is_due_on_the_way_back_waits_for_the_inner_scope() {
    let (_parent, path) = nowhere();
    {
        let mut scopes = Scopes::open(&path).unwrap();
        let mut outer = scopes.enter::<u32>("outer").unwrap();
        outer.keep(&1).unwrap();
        outer.enter::<u32>("inner").unwrap().save(&3).unwrap();
    }
    let always = || {
        let mut scopes = Scopes::builder(&path).schedule(Schedule::every_steps(1)).open().unwrap();
        assert!(scopes.restore().unwrap());
        scopes
    };
    let mut scopes = always();
    let mut outer = scopes.enter::<u32>("outer").unwrap();
    assert_eq!(outer.save_if_due(&1).unwrap(), Decision::NotDue);
    outer.keep(&1).unwrap();
    let mut inner = outer.enter::<u32>("inner").unwrap();
    assert_eq!(inner.restored(), Some(3));
    assert!(inner.save_if_due(&4).unwrap().is_saved());
    drop(inner);
    assert!(outer.save_if_due(&2).unwrap().is_saved());
    outer.enter::<u32>("inner").unwrap().save(&5).unwrap();
    drop(outer);
    drop(scopes);

    // A program that does not go there any more is told so: it would never save.
    let mut scopes = always();
    let mut outer = scopes.enter::<u32>("outer").unwrap();
    assert_eq!(outer.save_if_due(&2).unwrap(), Decision::NotDue);
    assert_eq!(outer.save_if_due(&3).unwrap(), Decision::NotDue);
    let error = outer.keep(&3).unwrap_err();
    assert!(matches!(&error, Error::OtherVariables { expected, .. } if expected == "inner"), "{error}");
    drop(outer);
    drop(scopes);

    // A stop on the way back needs no save.
    let mut scopes = always();
    std::fs::write(path.join("halt"), "").unwrap();
    let mut outer = scopes.enter::<u32>("outer").unwrap();
    assert_eq!(outer.save_if_due(&2).unwrap(), Decision::NotDue);
    assert!(outer.should_stop().is_some());
    drop(outer);
    assert!(scopes.finish().unwrap().stopped.is_some());
    let _ = std::fs::remove_file(path.join("halt"));
    let mut scopes = restored(&path);
    let mut outer = scopes.enter::<u32>("outer").unwrap();
    assert_eq!(outer.enter::<u32>("inner").unwrap().restored(), Some(5));
}

/// A number that cannot be written if it is 13.
struct Unlucky(u64);

impl Serialize for Unlucky {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 13 {
            return Err(serde::ser::Error::custom("it is 13"));
        }
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Unlucky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unlucky, D::Error> {
        u64::deserialize(deserializer).map(Unlucky)
    }
}

#[checkpointed]
struct Luck {
    number: Unlucky,
}

#[test]
fn variables_that_could_not_be_kept_cost_none_that_were_saved() {
    let (_parent, path) = nowhere();
    let luck = |number| Luck { number: Unlucky(number) };
    let mut scopes = Scopes::open(&path).unwrap();
    let mut outer = scopes.enter::<Luck>("outer").unwrap();
    outer.save(&luck(12)).unwrap();
    outer.keep(&luck(13)).unwrap_err();
    // A save in the inner scope would lack the outer variables.
    let inner = |scopes: &mut Scopes| {
        let saved = scopes.enter::<u32>("inner")?.save(&3)?;
        Ok::<u64, Error>(saved.generation)
    };
    let error = outer.once("call", inner).unwrap_err();
    assert!(matches!(&error, Error::ScopeNotKept { outer, .. } if outer == "outer"), "{error}");
    let mut reader = Scopes::builder(path.with_extension("copy")).branch_from(&path).open().unwrap();
    assert!(reader.restore().unwrap());
    assert_eq!(reader.enter::<Luck>("outer").unwrap().restored().unwrap().number.0, 12);
    outer.keep(&luck(14)).unwrap();
    assert_eq!(outer.once("call", inner).unwrap(), 2);
    drop(outer);
    drop(scopes);
    assert_eq!(restored(&path).enter::<Luck>("outer").unwrap().restored().unwrap().number.0, 14);
}

type Failure = Box<dyn std::error::Error>;

/// Adds a base in four turns, and saves in each of them; `saves` is the number of saves until the
/// program is cut.
fn add(scopes: &mut Scopes, name: &str, base: u64, saves: &mut u64) -> Result<u64, Failure> {
    let mut scope = scopes.enter::<(u64, u64)>(name)?;
    let (mut turn, mut sum) = scope.restored().unwrap_or_default();
    while turn < 4 {
        turn += 1;
        sum += base * turn;
        scope.save(&(turn, sum))?;
        *saves -= 1;
        if *saves == 0 {
            return Err("cut".into());
        }
    }
    Ok(sum)
}

/// Does two pieces of work once in each turn of a loop.
fn add_in_turns(path: &Path, names: [&str; 2], mut saves: u64) -> Result<Vec<u64>, Failure> {
    let mut scopes = Scopes::open(path)?;
    scopes.restore()?;
    let mut scope = scopes.enter::<(u64, Vec<u64>)>("loop")?;
    let (mut turn, mut sums) = scope.restored().unwrap_or_default();
    while turn < 2 {
        scope.keep(&(turn, sums.clone()))?;
        let left = scope.once("left", |scopes| add(scopes, names[0], 1, &mut saves))?;
        let right = scope.once("right", |scopes| add(scopes, names[1], 100, &mut saves))?;
        sums.extend([left, right]);
        turn += 1;
    }
    drop(scope);
    scopes.finish()?;
    Ok(sums)
}

#[test]
fn work_done_once_stays_done_on_the_way_back() {
    for names in [["sum", "sum"], ["left sum", "right sum"]] {
        for cut in 1..16 {
            let (_parent, path) = nowhere();
            add_in_turns(&path, names, cut).unwrap_err();
            let sums = add_in_turns(&path, names, u64::MAX).unwrap();
            assert_eq!(sums, [10, 1000, 10, 1000], "{names:?}, cut after {cut} saves");
        }
    }
}

#[test]
fn a_scope_goes_back_to_the_work_that_it_was_entered_in() {
    let (_parent, path) = nowhere();
    let mut scopes = Scopes::open(&path).unwrap();
    let mut outer = scopes.enter::<()>("outer").unwrap();
    outer.once("second", |scopes| add(scopes, "sum", 1, &mut 1)).unwrap_err();
    drop(outer);
    drop(scopes);
    let mut scopes = restored(&path);
    let mut outer = scopes.enter::<()>("outer").unwrap();
    let error = outer.once("first", |scopes| add(scopes, "sum", 1, &mut 9)).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(Error::OtherScope { .. })), "{error}");
    assert!(error.to_string().contains("of the work `second`"), "{error}");
}

#[test]
fn work_of_one_name_is_done_once_in_a_turn() {
    let (_parent, path) = nowhere();
    let mut scopes = Scopes::open(&path).unwrap();
    let mut program = scopes.enter::<u64>("main").unwrap();
    program.keep(&0).unwrap();
    // What failed may be tried again.
    program.once("train", |_| Err::<u64, Failure>("no luck".into())).unwrap_err();
    assert_eq!(program.once("train", |_| Ok::<u64, Error>(0)).unwrap(), 0);
    let error = program.once("train", |_| Ok::<u64, Error>(10)).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    program.keep(&1).unwrap();
    assert_eq!(program.once("train", |_| Ok::<u64, Error>(10)).unwrap(), 10);
    // A scope without variables has no other turn.
    let mut inner = program.enter::<()>("inner").unwrap();
    inner.once("train", |_| Ok::<u64, Error>(0)).unwrap();
    inner.keep(&()).unwrap();
    let error = inner.once("train", |_| Ok::<u64, Error>(10)).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
}
