use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::reports::Decision;
use crate::store::faults::{Fault, FaultyDisk};
use crate::{Checkpointer, OnFailedSave, Schedule};

const LONG: Duration = Duration::from_secs(60);

/// Runs the work of each member in a thread of its own.
fn meet<R: Send>(path: &Path, size: usize, work: impl Fn(Meeting) -> R + Sync) -> Vec<R> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..size)
            .map(|rank| scope.spawn(move || work(Meeting::at(path, rank, size, LONG).unwrap())))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn processes_that_share_a_directory_meet_there() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("meeting");
    for _ in 0..3 {
        let rounds = meet(&path, 4, |group| {
            (0..50_u8)
                .map(|round| group.all_gather(&[round, u8::try_from(group.rank()).unwrap()]).unwrap())
                .collect::<Vec<_>>()
        });
        for of_member in rounds {
            for (round, all) in (0_u8..).zip(of_member) {
                assert_eq!(all, (0..4).map(|rank| vec![round, rank]).collect::<Vec<_>>());
            }
        }
    }
    // Nothing is left but the lock and the last session's name.
    let mut left: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".lock", "session"]);
}

#[test]
fn a_member_that_does_not_come_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let short = Duration::from_millis(50);
    let error = Meeting::at(parent.path(), 0, 3, short).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.to_string().contains("ranks 1, 2"), "{error}");
    let error = Meeting::at(parent.path(), 2, 3, short).unwrap_err();
    assert!(error.to_string().contains("rank 0"), "{error}");
}

#[test]
fn a_member_that_is_late_for_a_call_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let path = parent.path();
    let late = Arc::clone(&is_over);
    let thread = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let group = Meeting::at(path, 1, 2, LONG).unwrap();
            // It lives, and makes no call.
            while !late.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            drop(group);
        });
        let group = Meeting::at(path, 0, 2, Duration::from_secs(1)).unwrap();
        let error = group.all_gather(b"").unwrap_err();
        is_over.store(true, Ordering::SeqCst);
        other.join().unwrap();
        assert!(group.all_gather(b"").is_err(), "it is broken for good");
        error
    });
    assert_eq!(thread.kind(), io::ErrorKind::TimedOut);
    assert!(thread.to_string().contains("rank 1"), "{thread}");
}

#[test]
fn a_member_that_has_left_is_noticed_at_once() {
    let parent = tempfile::tempdir().unwrap();
    let errors = meet(parent.path(), 3, |group| {
        (group.rank() != 1).then(|| group.all_gather(b"").unwrap_err().to_string())
    });
    assert!(errors[0].as_ref().unwrap().contains("rank 1 of the group has left"), "{errors:?}");
}

#[test]
fn a_file_of_a_killed_attempt_is_never_taken_for_one_of_this() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path();
    let old = random_name().unwrap();
    fs::create_dir(path.join(&old)).unwrap();
    // The killed attempt was at its first call, and rank 1 of another attempt had come.
    let member = Hello { name: "of the last attempt".to_owned(), size: 2 };
    put_json(path, &of_rank(1, HELLO), &member).unwrap();
    let members = BTreeMap::from([(1, member.name)]);
    put_json(path, SESSION, &Session { name: old.clone(), size: 2, members, is_complete: true }).unwrap();
    for rank in 0..2 {
        put(&path.join(&old), &of_round(0, rank), b"old").unwrap();
    }
    let given = meet(path, 2, |group| group.all_gather(b"new").unwrap());
    assert_eq!(given, vec![vec![b"new".to_vec(); 2]; 2]);
    assert!(!path.join(&old).exists());
}

/// The names in a directory, sorted.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[test]
fn nothing_foreign_at_the_place_of_a_meeting_is_removed() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path();
    let (cached, killed, last, shared) = (
        "d41d8cd98f00b204e9800998ecf8427e",
        "00112233445566778899aabbccddeeff",
        "ffeeddccbbaa99887766554433221100",
        "0123456789abcdef0123456789abcdef",
    );
    for folder in [cached, killed, last, shared] {
        fs::create_dir(path.join(folder)).unwrap();
    }
    for foreign in ["data", "17.000002", "000001.left"] {
        fs::write(path.join(cached).join(foreign), "of another program").unwrap();
    }
    for kept in ["notes.hello", "000001.hello", ".tmp-", ".tmp-of-editor"] {
        fs::write(path.join(kept), "of another program").unwrap();
    }
    // Those of ours: a job was killed, and the next one with a part of its files removed.
    for ours in [format!("000000.{killed}"), format!("000001.{last}"), "17.000001".to_owned()] {
        fs::write(path.join(killed).join(ours), "").unwrap();
    }
    fs::write(path.join(last).join("1234567.left"), "").unwrap();
    fs::write(path.join(last).join(".tmp-aB3dE6"), "").unwrap();
    list(path, last, killed, true);
    let hello = Hello { name: killed.to_owned(), size: 3 };
    put_json(path, ".tmp-aB3dE6", &hello).unwrap();
    fs::write(path.join(".tmp-of3dE6"), "").unwrap();
    put_json(path, &of_rank(2, HELLO), &hello).unwrap();
    // A folder of ours with a file that is not.
    fs::write(path.join(shared).join(format!("000000.{shared}")), "").unwrap();
    fs::write(path.join(shared).join("data"), "of another program").unwrap();

    drop(Meeting::at(path, 0, 1, LONG).unwrap());
    let foreign = [".tmp-", ".tmp-of-editor", ".tmp-of3dE6", "000001.hello", shared, cached, "notes.hello"];
    let left: Vec<_> = [".lock"].into_iter().chain(foreign).chain(["session"]).collect();
    assert_eq!(names(path), left);
    assert_eq!(names(&path.join(cached)), ["000001.left", "17.000002", "data"]);
    assert_eq!(names(&path.join(shared)), ["data"]);
}

#[test]
fn a_file_of_another_program_in_a_session_outlives_it() {
    let parent = tempfile::tempdir().unwrap();
    let folder = meet(parent.path(), 1, |group| {
        fs::write(group.folder.join("data"), "of another program").unwrap();
        group.folder.clone()
    });
    assert_eq!(names(&folder[0]), ["data"]);
}

#[test]
fn the_end_of_a_group_gives_its_locks_back_at_once() {
    let parent = tempfile::tempdir().unwrap();
    let group = Meeting::at(parent.path(), 0, 1, LONG).unwrap();
    // As a process has it that another thread starts at this moment.
    let copies = [group.alive.try_clone().unwrap(), group.directory.as_ref().unwrap().try_clone().unwrap()];
    drop(group);
    Meeting::at(parent.path(), 0, 1, Duration::ZERO).unwrap();
    drop(copies);
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_file_hangs_no_meeting() {
    for name in [SESSION, LOCK] {
        let parent = tempfile::tempdir().unwrap();
        let (path, pipe) = (parent.path().to_owned(), parent.path().join(name));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let (send, outcome) = std::sync::mpsc::channel();
        std::thread::spawn(move || send.send(Meeting::at(path, 0, 1, LONG).map(drop)).unwrap());
        // Nothing comes where it hangs.
        let error = outcome.recv_timeout(LONG).unwrap().unwrap_err();
        assert!(error.to_string().contains(name), "{name}: {error}");
    }
}

/// The number of looks that fail, for the test below.
static UNREAD: AtomicUsize = AtomicUsize::new(0);

/// A [`read`] that fails as often as `UNREAD` says.
fn read_of_a_server_that_is_away(path: &Path) -> io::Result<Option<Vec<u8>>> {
    if UNREAD.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        let errors = [5, 24, 110];
        let number = errors[UNREAD.load(Ordering::SeqCst) % errors.len()];
        return Err(io::Error::from_raw_os_error(number));
    }
    read(path)
}

/// The number of messages that fail, for the test below.
static UNWRITTEN: AtomicUsize = AtomicUsize::new(0);

/// A [`put`] that fails as often as `UNWRITTEN` says.
fn put_of_a_server_that_is_away(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    if UNWRITTEN.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        return Err(io::Error::from_raw_os_error(5));
    }
    put(folder, name, bytes)
}

#[test]
fn a_group_outlives_a_file_server_that_is_away_for_a_while() {
    let parent = tempfile::tempdir().unwrap();
    let given = meet(parent.path(), 2, |mut member| {
        (member.read, member.put) = (read_of_a_server_that_is_away, put_of_a_server_that_is_away);
        member.all_gather(b"1").unwrap();
        if member.rank() == 1 {
            UNREAD.store(7, Ordering::SeqCst);
            UNWRITTEN.store(5, Ordering::SeqCst);
        }
        member.all_gather(b"2").unwrap()
    });
    assert_eq!(given, [[b"2"; 2]; 2]);
    assert_eq!((UNREAD.load(Ordering::SeqCst), UNWRITTEN.load(Ordering::SeqCst)), (0, 0));
    // One that stays away is named.
    let mut member = Meeting::at(parent.path(), 0, 1, Duration::from_millis(50)).unwrap();
    member.size = 2;
    member.read = |_| Err(io::Error::from_raw_os_error(5));
    let error = member.all_gather(b"").unwrap_err();
    assert!(error.to_string().contains("the last look at the files there failed"), "{error}");
}

#[test]
fn a_directory_with_the_session_of_another_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let session = parent.path().join(SESSION);
    for foreign in ["of another program", "{}"] {
        fs::write(&session, foreign).unwrap();
        for rank in 0..2 {
            let error = Meeting::at(parent.path(), rank, 2, LONG).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert!(error.to_string().contains("session is not of a group"), "{error}");
        }
        assert_eq!(fs::read(&session).unwrap(), foreign.as_bytes());
        assert_eq!(names(parent.path()), [SESSION]);
    }
    // A power cut leaves this.
    for bytes in [vec![], vec![0; 90]] {
        fs::write(&session, bytes).unwrap();
        meet(parent.path(), 2, drop);
    }
    fs::remove_file(&session).unwrap();
    fs::create_dir(&session).unwrap();
    let error = Meeting::at(parent.path(), 0, 1, LONG).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn a_second_job_at_the_same_place_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let group = Meeting::at(parent.path(), 0, 1, LONG).unwrap();
    let error = Meeting::at(parent.path(), 0, 1, Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    group.all_gather(b"").unwrap();
}

#[test]
fn a_second_job_waits_for_the_last_member_of_the_first() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path();
    let mut members = meet(path, 2, |member| member);
    let (second, first) = (members.pop().unwrap(), members.pop().unwrap());
    // Rank 1 has given its part of the last round, and reads that of rank 0 later.
    put(&second.folder, &of_round(0, 1), b"1").unwrap();
    first.all_gather(b"0").unwrap();
    drop(first);
    let error = Meeting::at(path, 0, 1, Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy, "{error}");
    assert!(error.to_string().contains("rank 1 of another job"), "{error}");
    // Over NFS, the lock of a machine that is gone stays for ever.
    let heard = crate::base::heard::warnings(|| {
        outwait_last(path, &mut Wait::new(LONG), Duration::ZERO).unwrap();
    });
    assert!(heard.len() == 1 && heard[0].contains("rank 1 of the last job"), "{heard:?}");
    assert_eq!(second.all_gather(b"1").unwrap(), [b"0", b"1"]);
    drop(second);
    drop(Meeting::at(path, 0, 1, LONG).unwrap());
    // One that was killed is not waited for, and neither is one that never came to a group.
    let members = meet(path, 2, |member| member);
    for member in &members {
        member.alive.unlock().unwrap();
    }
    members[0].directory.as_ref().unwrap().unlock().unwrap();
    drop(Meeting::at(path, 0, 1, Duration::ZERO).unwrap());
    let session = random_name().unwrap();
    fs::create_dir(path.join(&session)).unwrap();
    list(path, &session, &session, false);
    let _joined = live_in(&path.join(&session), 1, &session).unwrap();
    Meeting::at(path, 0, 1, Duration::ZERO).unwrap();
}

#[test]
fn members_that_disagree_on_the_size_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| Meeting::at(path, 1, 3, Duration::from_millis(500)).unwrap_err());
        let error = Meeting::at(path, 0, 2, LONG).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        other.join().unwrap();
    });
    let error = Meeting::at(path, 2, 2, LONG).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn members_that_start_in_any_order_meet() {
    let parent = tempfile::tempdir().unwrap();
    // The leftovers that rank 0 removes are as many as there can be.
    for round in 0..100_u8 {
        put(parent.path(), &of_rank(round.into(), HELLO), b"").unwrap();
        let given = meet(parent.path(), 3, |group| group.all_gather(&[round]).unwrap());
        assert_eq!(given.len(), 3, "{round}");
    }
}

/// Lists this process of rank 1 in a session, as rank 0 does.
fn list(path: &Path, session: &str, member: &str, is_complete: bool) {
    let members = BTreeMap::from([(0, session.to_owned()), (1, member.to_owned())]);
    put_json(path, SESSION, &Session { name: session.to_owned(), size: 2, members, is_complete }).unwrap();
}

#[test]
fn a_process_whose_rank_is_given_to_another_is_no_member() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path();
    let session = random_name().unwrap();
    fs::create_dir(path.join(&session)).unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| Meeting::at(path, 1, 2, LONG).map(drop).unwrap_err());
        let hello = loop {
            match read_json::<Hello>(&path.join(of_rank(1, HELLO))).unwrap() {
                Some(hello) => break hello,
                None => std::thread::yield_now(),
            }
        };
        list(path, &session, &hello.name, false);
        while !path.join(&session).join(of_rank(1, &hello.name)).exists() {
            std::thread::yield_now();
        }
        // Rank 0 has not seen that it came, and takes the process that was started after it.
        list(path, &session, "second", true);
        let error = first.join().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy, "{error}");
    });
}

#[test]
fn a_process_that_has_joined_follows_another_rank_0() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path();
    let killed = random_name().unwrap();
    fs::create_dir(path.join(&killed)).unwrap();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| Meeting::at(path, 1, 2, LONG).unwrap().all_gather(b"1").unwrap());
        let hello = loop {
            match read_json::<Hello>(&path.join(of_rank(1, HELLO))).unwrap() {
                Some(hello) => break hello,
                None => std::thread::yield_now(),
            }
        };
        list(path, &killed, &hello.name, false);
        while !path.join(&killed).join(of_rank(1, &hello.name)).exists() {
            std::thread::yield_now();
        }
        let first = Meeting::at(path, 0, 2, LONG).unwrap();
        assert_eq!(first.all_gather(b"0").unwrap(), [b"0", b"1"]);
        assert_eq!(other.join().unwrap(), [b"0", b"1"]);
    });
}

#[cfg(unix)]
#[test]
fn a_limit_of_the_file_size_is_an_error_and_no_signal() {
    const LIMITED: &str = "TEST_OF_A_LIMITED_MEETING";
    if let Some(path) = std::env::var_os(LIMITED) {
        let error = Meeting::at(path, 0, 1, LONG).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let this = "group::meeting::tests::a_limit_of_the_file_size_is_an_error_and_no_signal";
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -f 0 && exec \"$0\" --exact \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg(this)
        .env(LIMITED, parent.path().join("meeting"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{} {said}", output.status);
}

/// The number of messages that find a full disk, for the tests below by their numbers.
static FULL: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// A [`put`] that finds a full disk as often as `FULL` says.
fn put_on_full<const TEST: usize>(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let takes = |left: usize| left.checked_sub(1);
    if FULL[TEST].fetch_update(Ordering::SeqCst, Ordering::SeqCst, takes).is_ok() {
        let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        return Err(kinds[FULL[TEST].load(Ordering::SeqCst) % 2].into());
    }
    put(folder, name, bytes)
}

#[test]
fn a_group_outlives_a_disk_that_is_full_for_a_while() {
    let parent = tempfile::tempdir().unwrap();
    let path = &parent.path().join("run.ckpt");
    meet(&parent.path().join("meeting"), 2, |mut member| {
        member.put = put_on_full::<0>;
        let (disk, rank) = (FaultyDisk::default(), member.rank());
        let builder = Checkpointer::<u64>::builder(path).disk(Arc::new(disk.clone()));
        let builder = builder.schedule(Schedule::every_steps(1)).on_failed_save(OnFailedSave::go_on());
        let mut group = builder.open_group(member).unwrap();
        group.save(&1).unwrap();
        if rank == 1 {
            disk.plan(Some((0, Fault::Error(28))));
            FULL[0].store(5, Ordering::SeqCst);
        }
        let mut failed = false;
        while !failed {
            failed = matches!(group.save_if_due(&2).unwrap(), Decision::Failed { times: 1, .. });
        }
        disk.plan(None);
        assert_eq!(group.save(&3).unwrap().generation, group.generations().unwrap()[1]);
    });
    assert_eq!(FULL[0].load(Ordering::SeqCst), 0);
}

#[test]
fn a_disk_that_stays_full_is_an_error_that_says_so() {
    let parent = tempfile::tempdir().unwrap();
    let mut member = Meeting::at(parent.path(), 0, 1, Duration::from_millis(50)).unwrap();
    member.put = put_on_full::<1>;
    FULL[1].store(usize::MAX, Ordering::SeqCst);
    let error = member.all_gather(b"").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.to_string().contains("free some space"), "{error}");
}
