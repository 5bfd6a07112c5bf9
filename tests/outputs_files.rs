//! The file that an output counts on: it is found after a move, and no other one is taken for it.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::common::chain::{
    Chain, Several, assert_files, content, expected, fault, fault_of, open, saved_twice, several,
};
use crate::common::names_in;
use checkpointed::{Appended, CheckpointReader, Checkpointer, checkpointed, inspect, reports::OutputFault};

#[test]
fn a_file_that_is_not_the_counted_one_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    (0..50).for_each(|_| chain.advance());
    open(path).save(&chain).unwrap();
    drop(chain);
    let (samples, log) = expected(50);
    let csv = path.join("chain.csv");
    let longer = [&samples[..], b"more"].concat();
    let mut other = samples.clone();
    *other.last_mut().unwrap() = b'?';
    // A hole of NULs, as after a power cut without syncs.
    let nuls = [&samples[..100], &vec![0; samples.len() - 100]].concat();
    let cases: [(Option<&[u8]>, OutputFault); 4] = [
        (None, OutputFault::Gone),
        (Some(&samples[..100]), OutputFault::Shorter { length: 100 }),
        (Some(&other), OutputFault::Other),
        (Some(&nuls), OutputFault::Other),
    ];
    // The other file is cut only together with this one.
    fs::write(path.join("chain.log"), [&log[..], b"more"].concat()).unwrap();
    for (present, expected) in cases {
        match present {
            Some(bytes) => fs::write(&csv, bytes).unwrap(),
            None => fs::remove_file(&csv).unwrap(),
        }
        let error = open(path).load().unwrap_err();
        assert_eq!(fault(&error), expected);
        let message = error.to_string();
        assert!(message.contains(&csv.display().to_string()), "{message}");
        assert!(message.contains(&samples.len().to_string()), "{message}");
        assert_eq!(fs::read(&csv).ok().as_deref(), present, "nothing was changed");
        assert_eq!(content(path, "chain.log").len(), log.len() + 4);
    }
    fs::write(&csv, longer).unwrap();
    open(path).load().unwrap().unwrap();
    assert_files(path, 50);
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_cannot_be_kept_is_refused_at_the_first_write() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let directory = tempfile::tempdir().unwrap();
    let long = "n".repeat(240);
    for (name, why) in [(&b"chain-\xff.csv"[..], "not UTF-8"), (long.as_bytes(), "too long")] {
        let mut output = Appended::at(directory.path().join(OsStr::from_bytes(name)));
        let error = output.write_all(b"1\n").unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(names_in(directory.path()), [""; 0]);
    }
    let mut output = Appended::at(directory.path().join(&long[..220]));
    output.write_all(b"1\n").unwrap();
    Checkpointer::open(directory.path().join("run.ckpt")).unwrap().save(&output).unwrap();
}

#[test]
fn a_project_that_moves_takes_its_files_along() {
    let parent = tempfile::tempdir().unwrap();
    let (from, to) = (parent.path().join("from"), parent.path().join("to"));
    fs::create_dir_all(from.join("out")).unwrap();
    let mut chain = Chain::new(&from);
    chain.log = Appended::at(from.join("out/chain.log"));
    (0..30).for_each(|_| chain.advance());
    open(&from).save(&chain).unwrap();
    drop(chain);
    fs::rename(&from, &to).unwrap();
    let mut checkpoints = open(&to);
    let mut chain = checkpoints.load().unwrap().unwrap();
    chain.advance();
    checkpoints.finish(&chain).unwrap();
    assert_eq!((content(&to, "chain.csv"), content(&to, "out/chain.log")), expected(31));
    assert!(!from.exists());
}

#[test]
fn a_file_that_is_there_at_the_first_start_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for number in 1..=2 {
        fs::write(path.join("chain.csv"), format!("of an earlier run {number}")).unwrap();
        let mut chain = Chain::new(path);
        chain.advance();
        drop(chain);
    }
    let mut chain = Chain::new(path);
    chain.advance();
    open(path).save(&chain).unwrap();
    assert_files(path, 1);
    assert_eq!(content(path, "chain.csv.1"), b"of an earlier run 1");
    assert_eq!(content(path, "chain.csv.2"), b"of an earlier run 2");
    assert_eq!(content(path, "chain.csv.3"), expected(1).0, "no checkpoint counted on it");
}

#[test]
fn a_change_from_outside_is_noticed_before_a_save() {
    for (change, expected) in [
        ("cut", OutputFault::Shorter { length: 1 }),
        ("append", OutputFault::Longer { length: 0 }),
        ("remove", OutputFault::Gone),
        ("replace", OutputFault::Other),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let csv = path.join("chain.csv");
        let mut chain = Chain::new(path);
        let mut checkpoints = open(path);
        (0..30).for_each(|_| chain.advance());
        checkpoints.save(&chain).unwrap();
        match change {
            "cut" => fs::File::options().write(true).open(&csv).unwrap().set_len(1).unwrap(),
            "append" => fs::File::options().append(true).open(&csv).unwrap().write_all(b"foreign").unwrap(),
            "remove" => fs::remove_file(&csv).unwrap(),
            _ => {
                fs::copy(&csv, path.join("new")).unwrap();
                fs::rename(path.join("new"), &csv).unwrap();
            }
        }
        chain.advance();
        let found = fault(&checkpoints.save(&chain).unwrap_err());
        assert!(
            found == expected || change == "append" && matches!(found, OutputFault::Longer { .. }),
            "{change}: {found:?}"
        );
        assert_eq!(checkpoints.generations().unwrap(), [1], "nothing is published");
    }
}

#[test]
fn no_two_programs_and_no_two_values_share_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut one = Appended::at(path.join("same.csv"));
    let mut other = Appended::at(path.join("same.csv"));
    one.write_all(b"one").unwrap();
    if cfg!(unix) {
        assert_eq!(fault_of(&other.write_all(b"other").unwrap_err()), OutputFault::InUse);
    }
    one.flush().unwrap();
    assert_eq!(content(path, "same.csv"), b"one");
    for (path, why) in [(path.to_owned(), "a directory"), (path.join("none/there.csv"), "No such file")] {
        let error = Appended::at(path).write_all(b"x").unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// An output whose fields an attacker chose, in a state of the same name and schema.
mod forged {
    use checkpointed::{Appended, checkpointed};

    #[checkpointed(name = "Appended")]
    #[serde(rename = "Appended")]
    #[derive(Clone)]
    pub(super) struct Forged {
        pub(super) path: String,
        pub(super) run: String,
        pub(super) length: u64,
        pub(super) end: String,
        pub(super) inode: u64,
    }

    #[checkpointed(name = "State")]
    pub(super) struct Written {
        pub(super) output: Forged,
    }

    #[checkpointed(name = "State")]
    pub(super) struct Read {
        pub(super) output: Appended,
    }
}

#[test]
fn a_forged_output_is_refused_without_a_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let precious = b"precious";
    fs::write(path.join("precious"), precious).unwrap();
    // The ends of its first bytes, as the attacker can compute them.
    let end_of = |length: usize| {
        let mut output = Appended::at(path.join("scratch"));
        output.write_all(&precious[..length]).unwrap();
        let text = serde_json::to_string(&output).unwrap();
        drop(output);
        // Without a byte, it was not made.
        let _ = fs::remove_file(path.join("scratch"));
        text.split("\"end\":\"").nth(1).unwrap()[..16].to_owned()
    };
    let wrong = "0".repeat(16);
    for (name, length, end) in [
        ("precious", 8, wrong.clone()),
        ("precious", 3, wrong.clone()),
        ("precious", 9, end_of(8)),
        ("precious", u64::MAX, end_of(8)),
        ("precious", 3, end_of(8)),
        ("", 3, wrong.clone()),
        ("\0", 1, wrong.clone()),
        ("../..", 0, end_of(0)),
        ("run.ckpt", 0, end_of(0)),
    ] {
        let run = path.join("run.ckpt");
        let output = forged::Forged { path: name.to_owned(), run: String::new(), length, end, inode: 0 };
        let text = serde_json::to_string(&output).unwrap();
        Checkpointer::open(&run).unwrap().save(&forged::Written { output }).unwrap();
        Checkpointer::<forged::Read>::open(&run).unwrap().load().err().unwrap();
        fs::remove_dir_all(run).unwrap();

        let mut output: Appended = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&output).unwrap(), text, "it comes back as it was");
        assert_eq!(fault_of(&output.write_all(b"x").unwrap_err()), OutputFault::OtherRun);
        assert!(output.continue_in(path.join("other")).is_err());
        assert_eq!(content(path, "precious"), precious);
        assert_eq!(names_in(path), ["precious"], "{text}");
    }
    // What fits is the file of the run, as far as anyone can tell: what is cut is kept.
    for length in [0, 3] {
        let run = path.join("run.ckpt");
        let (path_of, end) = ("precious".to_owned(), end_of(length));
        let length = length as u64;
        let output = forged::Forged { path: path_of, run: String::new(), length, end, inode: 0 };
        Checkpointer::open(&run).unwrap().save(&forged::Written { output }).unwrap();
        let read = Checkpointer::<forged::Read>::open(&run).unwrap().load().unwrap().unwrap();
        assert_eq!(read.output.len(), length);
        let kept = content(path, &format!("precious.cut-at-{length}"));
        assert_eq!([content(path, "precious"), kept].concat(), precious);
        drop(read);
        fs::write(path.join("precious"), precious).unwrap();
        fs::remove_dir_all(run).unwrap();
    }
}

/// The checkpoint and the output of a run that counts these bytes and wrote more.
fn early(directory: &Path, counted: &[u8]) -> Checkpointer<Several> {
    let mut checkpoints = several(directory);
    let mut state = Several { values: vec![Appended::at(directory.join("chain.csv"))] };
    state.values[0].write_all(counted).unwrap();
    checkpoints.save(&state).unwrap();
    state.values[0].write_all(b"more").unwrap();
    checkpoints
}

#[test]
fn a_short_count_is_no_proof_of_the_same_file() {
    for counted in [&b""[..], b"step,value\n"] {
        let parent = tempfile::tempdir().unwrap();
        let (ours, other) = (parent.path().join("ours"), parent.path().join("other"));
        fs::create_dir(&ours).unwrap();
        fs::create_dir(&other).unwrap();
        drop(early(&ours, counted));
        let theirs = [counted, b"1,2\n3,4\n"].concat();
        fs::write(other.join("chain.csv"), &theirs).unwrap();
        fs::rename(ours.join("several.ckpt"), other.join("several.ckpt")).unwrap();
        let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let listener = std::sync::Arc::clone(&heard);
        let builder = Checkpointer::<Several>::builder(other.join("several.ckpt"));
        let builder = builder.on_warning(move |text| listener.lock().unwrap().push(text.to_string()));
        let state = builder.open().unwrap().load().unwrap().unwrap();
        assert_eq!(content(&other, "chain.csv"), counted);
        let kept = content(&other, &format!("chain.csv.cut-at-{}", counted.len()));
        assert_eq!([counted, &kept].concat(), theirs);
        let heard = heard.lock().unwrap();
        assert!(heard.iter().any(|text| text.contains("may be another file")), "{heard:?}");
        drop(state);
        // From then on it is the file of this run, and so is one that never moved.
        drop(early(&ours, counted));
        for directory in [&ours, &other] {
            let mut checkpoints = several(directory);
            let mut state = checkpoints.load().unwrap().unwrap();
            assert_eq!(content(directory, "chain.csv"), counted);
            checkpoints.save(&state).unwrap();
            state.values[0].write_all(b"more").unwrap();
            drop((state, checkpoints));
            let state = several(directory).load().unwrap().unwrap();
            assert_eq!(content(directory, "chain.csv"), counted);
            drop(state);
        }
        let kept = [&ours, &other].map(|directory| {
            let names = names_in(directory);
            names.iter().filter(|name| name.contains("cut-at")).count()
        });
        assert_eq!(kept, [0, 1], "that of the other run alone");
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_a_file_that_is_not_there_yet_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::create_dir(path.join("scratch")).unwrap();
    for (link, target) in [("chain.csv", "middle"), ("middle", "scratch/real.csv")] {
        std::os::unix::fs::symlink(target, path.join(link)).unwrap();
    }
    let mut state = Several { values: vec![Appended::at(path.join("chain.csv"))] };
    state.values[0].write_all(b"one").unwrap();
    several(path).save(&state).unwrap();
    drop(state);
    assert_eq!(content(path, "scratch/real.csv"), b"one");
    assert_eq!(several(path).load().unwrap().unwrap().values[0].len(), 3);
}

#[test]
fn a_path_with_dots_leads_to_the_same_file_after_a_move() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    ["run", "out", "new"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
    let mut state = Several { values: vec![Appended::at(at("run/../out/chain.csv"))] };
    state.values[0].write_all(b"one").unwrap();
    several(&at("run")).save(&state).unwrap();
    drop(state);
    fs::rename(at("run/several.ckpt"), at("new/several.ckpt")).unwrap();
    fs::remove_dir(at("run")).unwrap();
    let mut state = several(&at("new")).load().unwrap().unwrap();
    state.values[0].write_all(b",two").unwrap();
    drop(state);
    assert_eq!(fs::read(at("out/chain.csv")).unwrap(), b"one,two");
}

#[test]
fn a_file_that_an_earlier_state_has_open_is_told_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut state = Several { values: vec![Appended::at(path.join("chain.csv"))] };
    state.values[0].write_all(b"one").unwrap();
    several(path).save(&state).unwrap();
    let error = several(path).load().err().unwrap();
    assert_eq!(fault(&error), OutputFault::InUse);
    let text = error.to_string();
    assert!(text.contains("a state that an earlier checkpointer loaded"), "{text}");
    assert!(text.contains("drop that value first"), "{text}");
    drop(state);
    several(path).load().unwrap().unwrap();
}

#[test]
fn an_output_path_is_absolute_at_once() {
    let output = Appended::at("relative.csv");
    assert_eq!(output.path(), std::env::current_dir().unwrap().join("relative.csv"));
    assert!(output.is_empty() && !output.path().exists());
}

/// The function is called twice, and each call has its own file of one name. The program is killed
/// in the second call, before that saved: the newest checkpoint is of the first call.
#[test]
fn a_load_finds_the_file_of_a_call_before_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let run = |stop_in: u64| {
        let mut scopes = checkpointed::Scopes::open(path.join("run.ckpt")).unwrap();
        scopes.restore().unwrap();
        let mut outer = scopes.enter::<u64>("outer").unwrap();
        let first = outer.restored().unwrap_or(1);
        for call in first..=3 {
            outer.keep(&call).unwrap();
            let mut inner = outer.enter::<(u64, Appended)>("inner").unwrap();
            let at_start = || (0, Appended::at(path.join("inner.log")));
            let (mut step, mut log) = inner.restored().unwrap_or_else(at_start);
            while step < 3 {
                step += 1;
                writeln!(log, "call {call}, step {step}").unwrap();
                if step == 2 && call == stop_in {
                    return;
                }
                if step > 1 {
                    inner.save(&(step, log.clone())).unwrap();
                }
            }
        }
        drop(outer);
        scopes.finish().unwrap();
    };
    let expected = |call: u64| {
        (1..=3).map(|step| format!("call {call}, step {step}\n")).collect::<String>().into_bytes()
    };
    run(2);
    assert_eq!(content(path, "inner.log.1"), expected(1));
    run(3);
    run(3);
    run(9);
    assert_eq!(content(path, "inner.log"), expected(3));
    let aside = fs::read_dir(path).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap_or_default());
    let aside: Vec<Vec<u8>> = aside.collect();
    assert!((1..=3).all(|call| aside.contains(&expected(call))), "{aside:?}");
}

/// All of the files begin with the line that the checkpoint counts.
#[test]
fn a_load_takes_the_counted_file_back_and_no_other_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let csv = path.join("chain.csv");
    let header = b"step,value\n";
    let of = |text: &[u8]| {
        let mut output = Appended::at(&csv);
        output.write_all(text).unwrap();
        output
    };
    let done = [header, &b"1,2\n"[..]].concat();
    drop(of(&done));
    let state = Several { values: vec![of(header)] };
    several(path).save(&state).unwrap();
    drop(state);
    drop(of(b"st"));
    assert_eq!(content(path, "chain.csv.2"), header);
    let state = several(path).load().unwrap().unwrap();
    assert_eq!(content(path, "chain.csv"), header);
    assert_eq!(content(path, "chain.csv.1"), done, "the file of an earlier function");
    assert_eq!(content(path, "chain.csv.3"), b"st");
    drop(state);
}

#[test]
fn a_load_takes_a_file_back_from_a_state_that_was_not_saved() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    (0..10).for_each(|_| chain.advance());
    open(path).save(&chain).unwrap();
    drop(chain);
    let mut checkpoints = open(path);
    let mut afresh = Chain::new(path);
    afresh.advance();
    // While a value appends to the new file, that keeps its name.
    let mut loaded = checkpoints.load().unwrap_err();
    assert_eq!(fault(&loaded), OutputFault::InUse, "{loaded}");
    drop(afresh);
    assert_eq!(content(path, "chain.csv.1"), expected(10).0);
    // A look changes nothing.
    let of_reader = CheckpointReader::<Chain>::open(path.join("run.ckpt")).unwrap().load();
    assert_eq!(of_reader.unwrap().unwrap().step, 10);
    assert_eq!(content(path, "chain.csv.1"), expected(10).0);
    let chain = checkpoints.load().unwrap().unwrap();
    assert_files(path, 10);
    assert_eq!(content(path, "chain.csv.2").len(), expected(1).0.len());
    drop(chain);

    // A file that was counted and is nowhere is an error, as ever.
    fs::rename(path.join("chain.csv"), path.join("chain.csv.01")).unwrap();
    loaded = checkpoints.load().unwrap_err();
    assert_eq!(fault(&loaded), OutputFault::Gone, "{loaded}");
}

#[test]
fn to_continue_in_the_own_file_leaves_it_to_its_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    saved_twice(path, 10);
    fs::hard_link(path.join("chain.csv"), path.join("link.csv")).unwrap();
    let mut reader = CheckpointReader::<Chain>::open(path.join("run.ckpt")).unwrap();
    let mut seen = reader.load_generation(1).unwrap();
    for name in ["chain.csv", "link.csv"] {
        let error = seen.samples.continue_in(path.join(name)).unwrap_err();
        assert_eq!(fault(&error), OutputFault::OtherRun, "{name}");
    }
    assert_files(path, 20);
    // A file that begins with the same bytes may be that of another run: what is cut is kept.
    fs::copy(path.join("chain.csv"), path.join("moved.csv")).unwrap();
    seen.samples.continue_in(path.join("moved.csv")).unwrap();
    let start = expected(10).0;
    assert_eq!(content(path, "moved.csv"), start);
    let cut = content(path, &format!("moved.csv.cut-at-{}", start.len()));
    assert_eq!([start, cut].concat(), expected(20).0);
}

#[test]
fn a_copy_elsewhere_leaves_a_far_output_to_its_run() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    ["home", "scratch", "elsewhere"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
    let open = |name: &str| Checkpointer::<Chain>::open(at(name).join("run.ckpt")).unwrap();
    let mut chain = Chain::new(&at("scratch"));
    (0..10).for_each(|_| chain.advance());
    open("home").save(&chain).unwrap();
    inspect::copy(at("home/run.ckpt"), at("elsewhere/run.ckpt")).unwrap();
    (0..10).for_each(|_| chain.advance());
    open("home").save(&chain).unwrap();
    drop(chain);
    let mut copy = open("elsewhere").load().unwrap().unwrap();
    assert_eq!(fault_of(&copy.samples.write_all(b"x").unwrap_err()), OutputFault::OtherRun);
    assert_files(&at("scratch"), 20);
    // By another path, it is the run itself.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(at("home"), at("linked")).unwrap();
        open("linked").load().unwrap().unwrap().advance();
    }
    // Without the original, the copy goes on. It counts less than the original did, so the rest is
    // kept.
    fs::remove_dir_all(at("home")).unwrap();
    let mut chain = open("elsewhere").load().unwrap().unwrap();
    assert_files(&at("scratch"), 10);
    let start = expected(10).0.len();
    let cut = content(&at("scratch"), &format!("chain.csv.cut-at-{start}"));
    assert!(cut.starts_with(&expected(20).0[start..]));
    chain.advance();
}

/// The fault of a write to the samples of a loaded state.
fn refused(chain: &mut Chain) -> OutputFault {
    fault_of(&chain.samples.write_all(b"x").unwrap_err())
}

#[cfg(unix)]
#[test]
fn a_copy_leaves_a_linked_output_to_its_run() {
    for links_files in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for name in ["home", "scratch", "elsewhere"] {
            fs::create_dir(at(name)).unwrap();
        }
        let results = |project: &str| match links_files {
            true => at(project),
            false => at(project).join("results"),
        };
        for project in ["home", "elsewhere"] {
            match links_files {
                true => {
                    for file in ["chain.csv", "chain.log"] {
                        std::os::unix::fs::symlink(at("scratch").join(file), at(project).join(file)).unwrap();
                    }
                }
                false => std::os::unix::fs::symlink(at("scratch"), results(project)).unwrap(),
            }
        }
        let open = |project: &str| Checkpointer::<Chain>::open(at(project).join("run.ckpt")).unwrap();
        let mut run = open("home");
        let mut chain = Chain::new(&results("home"));
        (0..10).for_each(|_| chain.advance());
        run.save(&chain).unwrap();
        inspect::copy(at("home/run.ckpt"), at("elsewhere/run.ckpt")).unwrap();
        (0..10).for_each(|_| chain.advance());
        run.save(&chain).unwrap();
        drop((run, chain));
        let mut copy = open("elsewhere").load().unwrap().unwrap();
        assert_eq!(refused(&mut copy), OutputFault::OtherRun);
        drop(copy);
        assert_files(&at("scratch"), 20);
        open("home").load().unwrap().unwrap().advance();
    }
}

#[test]
fn a_branch_under_the_same_name_leaves_the_file_to_its_run() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    ["home", "variant"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
    saved_twice(&at("home"), 10);
    let no_protection = checkpointed::Protection::new();
    inspect::branch(at("home/run.ckpt"), &no_protection, 1, at("variant/run.ckpt")).unwrap();
    let mut run = Checkpointer::<Chain>::open(at("variant/run.ckpt")).unwrap();
    let mut branch = run.load().unwrap().unwrap();
    assert_eq!(refused(&mut branch), OutputFault::OtherRun);
    branch.samples.continue_in(at("variant/chain.csv")).unwrap();
    branch.log.continue_in(at("variant/chain.log")).unwrap();
    branch.advance();
    run.save(&branch).unwrap();
    drop((run, branch));
    assert_files(&at("variant"), 11);
    assert_files(&at("home"), 20);
}

#[test]
fn a_file_grows_with_the_run_of_one_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let open = |name: &str| Checkpointer::<Chain>::open(path.join(name)).unwrap();
    let [mut first, mut second] = ["first.ckpt", "second.ckpt"].map(open);
    let mut chain = Chain::new(path);
    chain.advance();
    first.save(&chain).unwrap();
    chain.advance();
    assert_eq!(fault(&second.save(&chain).unwrap_err()), OutputFault::SavedElsewhere);
    assert_eq!(fault(&second.save(&chain.clone()).unwrap_err()), OutputFault::SavedElsewhere);
    assert_eq!(second.load().unwrap().map(drop), None);
    first.save(&chain).unwrap();
    chain.samples.continue_in(path.join("second.csv")).unwrap();
    chain.log.continue_in(path.join("second.log")).unwrap();
    drop((first, chain));
    assert_files(path, 2);
}

#[checkpointed]
struct Two {
    samples: Appended,
    errors: Appended,
}

/// A load could open only one of them, also if one was not written to yet.
#[cfg(unix)]
#[test]
fn two_outputs_that_are_one_file_by_a_link_are_not_saved() {
    use std::os::unix::fs::symlink;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::create_dir(path.join("real")).unwrap();
    symlink(path.join("real"), path.join("link")).unwrap();
    symlink("samples", path.join("errors")).unwrap();
    for (samples, errors) in [("samples", "errors"), ("real/out", "link/out")] {
        let mut two =
            Two { samples: Appended::at(path.join(samples)), errors: Appended::at(path.join(errors)) };
        let mut checkpoints = Checkpointer::<Two>::open(path.join(format!("{samples}.ckpt"))).unwrap();
        writeln!(two.samples, "1").unwrap();
        let error = checkpoints.save(&two).unwrap_err();
        assert_eq!(fault(&error), OutputFault::TwoPaths);
        assert!(error.to_string().contains("continue_in"), "{error}");
        two.errors = Appended::at(path.join(format!("{samples}.errors")));
        checkpoints.save(&two).unwrap();
        drop(two);
        checkpoints.load().unwrap().unwrap();
    }
}
