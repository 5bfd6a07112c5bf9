//! Places that are out of reach for a moment.

use std::fmt::Debug;
use std::io;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};

use super::{
    Condition, Kind, Retention, Verdict, branch, copy, copy_to, mirror, newest, newest_in, overview,
    overview_in, prune, prune_in, rewind, verify_directory, verify_in,
};
use crate::base::heard::warnings;
use crate::error::Error;
use crate::schema::Type;
use crate::state::{self, Types};
use crate::store::faults::FaultyDisk;
use crate::store::scripted::{Request, Scripted};
use crate::store::{Directory, Home};
use crate::{Checkpoint, Checkpointer, Mirror, Protection};

/// A directory with the generations 1 to 5.
fn saved() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<u64>::builder(directory.path()).keep_last(9).open().unwrap();
    for number in 1..=5 {
        checkpoints.save(&number).unwrap();
    }
    directory
}

fn home(path: &Path, answer: impl Fn(Request) -> io::Result<()> + Send + Sync + 'static) -> Arc<dyn Home> {
    Arc::new(Scripted::new(path, answer))
}

fn away() -> io::Result<()> {
    Err(io::ErrorKind::NetworkDown.into())
}

fn damage(path: &Path, generation: u64) {
    let file = path.join(format!("{generation:020}.ckpt"));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_failure_that_passes_makes_no_prune_remove_what_is_kept() {
    let retention = Retention { every: NonZeroU64::new(2), ..Retention::newest(NonZeroUsize::MIN) };
    let mut was_without_failure = false;
    for failing in 1..20 {
        let directory = saved();
        let opened = AtomicU32::new(0);
        let home = home(directory.path(), move |request| match request {
            Request::Open(2) if opened.fetch_add(1, Ordering::SeqCst) + 1 == failing => away(),
            _ => Ok(()),
        });
        let pruned = prune_in(&home, &Protection::new(), Some(retention.clone()), false);
        let left = home.generations().unwrap();
        assert!(left.contains(&2) && left.contains(&4) && left.contains(&5), "{failing}: {left:?}");
        if pruned.is_ok() {
            assert_eq!(left, [2, 4, 5], "{failing}");
            was_without_failure = true;
        }
    }
    assert!(was_without_failure);
}

#[test]
fn no_older_checkpoint_is_given_for_one_that_is_out_of_reach() {
    let directory = saved();
    let reach = home(directory.path(), |request| match request {
        Request::Open(5) => away(),
        _ => Ok(()),
    });
    let error = newest_in(&reach, &Protection::new(), 0).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    newest_in(&reach, &Protection::new(), 1).unwrap_err();
    // The listing shows it all the same.
    let overview = overview_in(&reach, &Protection::new()).unwrap();
    let problem = overview.generations[4].manifest.as_ref().unwrap_err();
    assert!(overview.generations.len() == 5 && !problem.is_damage(), "{problem}");

    damage(directory.path(), 5);
    let whole = home(directory.path(), |_| Ok(()));
    let mut found = None;
    let told = warnings(|| found = newest_in(&whole, &Protection::new(), 0).unwrap());
    assert_eq!(found.map(|file| file.manifest().generation()), Some(4));
    assert!(told.len() == 1 && told[0].contains("generation 5 cannot be used"), "{told:?}");
    let before = newest_in(&whole, &Protection::new(), 1).unwrap().unwrap();
    assert_eq!(before.manifest().generation(), 3);
    (1..5).for_each(|generation| damage(directory.path(), generation));
    assert!(matches!(newest_in(&whole, &Protection::new(), 0), Err(Error::NoneUsable { .. })));
}

#[test]
fn a_tool_reads_the_newest_once_more_after_an_eio() {
    let directory = saved();
    let disk = FaultyDisk::default();
    let home: Arc<dyn Home> = Arc::new(Directory::new(directory.path(), Arc::new(disk.clone())));
    let newest = "00000000000000000005.ckpt";
    disk.be_unread(newest, 1);
    let mut found = None;
    let told = warnings(|| found = newest_in(&home, &Protection::new(), 0).unwrap());
    assert_eq!(found.map(|file| file.manifest().generation()), Some(5));
    assert!(told.is_empty(), "{told:?}");
    disk.be_unread(newest, 1);
    let overview = overview_in(&home, &Protection::new()).unwrap();
    assert!(overview.generations[4].manifest.is_ok());
    disk.be_unread(newest, 1);
    let retention = Retention::newest(NonZeroUsize::MIN);
    prune_in(&home, &Protection::new(), Some(retention), false).unwrap();
    assert_eq!(home.generations().unwrap(), [5]);
}

#[test]
fn no_older_checkpoint_is_given_for_one_that_is_unread() {
    let directory = saved();
    let disk = FaultyDisk::default();
    let home: Arc<dyn Home> = Arc::new(Directory::new(directory.path(), Arc::new(disk.clone())));
    disk.be_unread("00000000000000000005.ckpt", usize::MAX);
    for older in [0, 1] {
        let mut error = None;
        let told = warnings(|| error = newest_in(&home, &Protection::new(), older).err());
        assert!(matches!(error, Some(Error::Io { .. })), "{error:?}");
        assert!(told.len() == 1 && told[0].contains("ask for generation 4 by its number"), "{told:?}");
    }
}

#[test]
fn the_newest_is_looked_for_again_when_it_vanishes() {
    let directory = saved();
    let path = directory.path().to_owned();
    let home = home(directory.path(), move |request| {
        if request == Request::Open(5) {
            // A program saves two more, and removes all but the first and these.
            let file = |generation| path.join(format!("{generation:020}.ckpt"));
            let mut running = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
            running.save(&6).unwrap();
            (2..=5).for_each(|generation| std::fs::remove_file(file(generation)).unwrap());
        }
        Ok(())
    });
    let found = newest_in(&home, &Protection::new(), 0).unwrap().unwrap();
    assert_eq!(found.manifest().generation(), 6);
}

#[test]
fn a_place_that_goes_away_is_not_verified_as_empty() {
    let directory = saved();
    let listed = AtomicU32::new(0);
    let home = home(directory.path(), move |request| match request {
        Request::List if listed.fetch_add(1, Ordering::SeqCst) == 0 => Ok(()),
        _ => away(),
    });
    let error = verify_in(&home, &Protection::new()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");

    let reach = self::home(directory.path(), |request| match request {
        Request::Open(_) => away(),
        _ => Ok(()),
    });
    let verdicts = verify_in(&reach, &Protection::new()).unwrap();
    assert_eq!(verdicts.len(), 5);
    assert!(verdicts.iter().all(|verdict| verdict.condition == Condition::OutOfReach));
}

#[test]
fn an_overview_opens_each_generation_once() {
    let directory = saved();
    let opened = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&opened);
    let home = home(directory.path(), move |request| {
        counted.fetch_add(u32::from(matches!(request, Request::Open(_))), Ordering::SeqCst);
        Ok(())
    });
    let overview = overview_in(&home, &Protection::new()).unwrap();
    assert!(overview.generations.iter().all(|generation| generation.bytes > 0));
    assert_eq!(opened.load(Ordering::SeqCst), 5);
}

#[test]
fn what_is_no_file_is_left_out_of_a_copy_to_a_place() {
    let directory = saved();
    std::fs::create_dir(directory.path().join(format!("{:020}.ckpt", 9))).unwrap();
    let to = tempfile::tempdir().unwrap();
    let place = Scripted::new(to.path(), |_: Request| Ok(()));
    let mut copied = None;
    let told = warnings(|| copied = Some(copy_to(directory.path(), &place, false).unwrap()));
    assert_eq!(copied.map(|copied| copied.generations), Some(vec![1, 2, 3, 4, 5]));
    assert!(told.iter().any(|told| told.contains("is not copied")), "{told:?}");
}

/// A state with the name of a table of this library.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Group {
    name: String,
    members: Vec<u64>,
}

impl Checkpoint for Group {
    const NAME: &'static str = "Group";

    fn schema(types: &mut Types) -> Type {
        state::derived::<Group>(types)
    }
}

/// The same, of scopes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Scopes(u64, u64);

impl Checkpoint for Scopes {
    const NAME: &'static str = "Scopes";

    fn schema(types: &mut Types) -> Type {
        state::derived::<Scopes>(types)
    }
}

fn is_no_table<T: Checkpoint + Clone + Default + Debug + PartialEq>() {
    let parent = tempfile::tempdir().unwrap();
    let (path, branched) = (parent.path().join("run.ckpt"), parent.path().join("branch.ckpt"));
    let protection = Protection::new();
    let state = T::default();
    let mut checkpoints = Checkpointer::<T>::builder(&path).keep_last(9).open().unwrap();
    (1..=3).for_each(|_| checkpoints.save(&state).map(drop).unwrap());
    drop(checkpoints);
    assert!(verify_directory(&path, &protection).unwrap().iter().all(Verdict::is_whole));
    assert_eq!(overview(&path, &protection).unwrap().kind, Kind::Checkpoints);
    let file = newest(&path, &protection, 0).unwrap().unwrap();
    #[cfg(feature = "group")]
    assert!(super::GroupFile::of(&file, &protection).unwrap().is_none());
    drop(file);
    branch(&path, &protection, 1, &branched).unwrap();
    copy(&path, parent.path().join("copy.ckpt")).unwrap();
    assert_eq!(rewind(&path, &protection, 2).unwrap().set_aside, [3]);
    let retention = Retention::newest(NonZeroUsize::MIN);
    assert_eq!(prune(&path, &protection, Some(retention), false).unwrap().removed.len(), 1);
    assert_eq!(Checkpointer::<T>::open(&path).unwrap().load().unwrap(), Some(state));
}

#[test]
fn a_state_with_the_name_of_a_table_is_a_state_like_others() {
    is_no_table::<Group>();
    is_no_table::<Scopes>();
}

#[test]
fn a_copy_to_a_mirror_by_hand_ends_by_the_way_out_of_a_rewind() {
    let parent = tempfile::tempdir().unwrap();
    let (path, far) = (parent.path().join("run.ckpt"), parent.path().join("far.ckpt"));
    let protection = Protection::new();
    let builder = || Checkpointer::<u64>::builder(&path).keep_last(9);
    let mut checkpoints = builder().open().unwrap();
    (1..=3).for_each(|state| checkpoints.save(&state).map(drop).unwrap());
    drop(checkpoints);
    mirror(&path, &Mirror::to(&far), &protection, false).unwrap();
    let refused = rewind(&path, &protection, 1).unwrap_err().to_string();
    assert!(refused.contains("remove the files here with `.sent-` and `.mirrored-`"), "{refused}");
    for entry in std::fs::read_dir(&path).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if [".sent-", ".mirrored-"].iter().any(|kind| name.contains(kind)) {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    assert_eq!(rewind(&path, &protection, 1).unwrap().set_aside, [2, 3]);
    // Against the advice, it is opened with that again: nothing of either is given up.
    let opened = builder().mirror(Mirror::to(&far)).open().map(drop);
    assert!(matches!(opened, Err(Error::MirrorApart { .. })), "{opened:?}");
    let mut checkpoints = builder().open().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(1));
    checkpoints.save(&10).unwrap();
    drop(checkpoints);
    let mirrored = mirror(&path, &Mirror::to(&far), &protection, false);
    assert!(matches!(mirrored, Err(Error::MirrorApart { .. })), "{mirrored:?}");
}
