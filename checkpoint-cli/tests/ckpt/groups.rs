//! What `ckpt` says of checkpoints that a group of processes saved.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkpointed::group::{Group, Sharded, Shared, Threads};
use checkpointed::{Checkpointer, Metadata, checkpointed};
use serde_json::Value;

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Heat {
    step: Shared<u64>,
    field: Sharded<f64>,
    particles: Vec<[f32; 2]>,
}

const ROWS: u64 = 40;
const COLUMNS: u64 = 30;

/// A field of which each element is its number, in blocks.
#[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
fn heat(group: &impl Group, grid: [u64; 2], step: u64) -> Heat {
    let mut field = Sharded::<f64>::blocks([ROWS, COLUMNS], grid, group).unwrap();
    let (offset, extent) = (field.offset().to_vec(), field.extent().to_vec());
    for (number, element) in (0..).zip(field.data_mut()) {
        let (row, column) = (offset[0] + number / extent[1], offset[1] + number % extent[1]);
        *element = (row * COLUMNS + column) as f64;
    }
    Heat { step: Shared(step), field, particles: Vec::new() }
}

/// Saves this many generations.
fn save(path: &Path, grid: [u64; 2], generations: u64) {
    std::thread::scope(|scope| {
        for group in Threads::new(usize::try_from(grid[0] * grid[1]).unwrap()) {
            scope.spawn(move || {
                let builder = Checkpointer::<Heat>::builder(path).keep_last(9);
                let mut checkpoints = builder.open_group(&group).unwrap();
                for step in 1..=generations {
                    let metadata = Metadata::new().with("step", step);
                    checkpoints.save_with(&heat(&group, grid, step), metadata).unwrap();
                }
            });
        }
    });
}

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("heat.ckpt");
    (parent, path)
}

fn part(path: &Path, rank: usize, generation: u64) -> PathBuf {
    path.join(format!("ranks/{rank:06}/{generation:020}.ckpt"))
}

fn ckpt(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> (i32, Vec<u8>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt"));
    command.args(arguments);
    let output = command.output().unwrap();
    (output.status.code().unwrap(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

fn text(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> String {
    let (code, out, err) = ckpt(arguments);
    assert_eq!(code, 0, "{err}");
    String::from_utf8(out).unwrap()
}

fn json(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Value {
    serde_json::from_str(&text(arguments)).unwrap()
}

#[test]
fn list_and_show_tell_of_the_whole_group() {
    let (_parent, path) = nowhere();
    save(&path, [2, 2], 2);
    let listing = json(&[&"--json", &"list", &path]);
    assert_eq!(listing["kind"], "group");
    let parts: u64 = (0..4).map(|rank| fs::metadata(part(&path, rank, 2)).unwrap().len()).sum();
    assert!(listing["generations"][1]["bytes"].as_u64().unwrap() > parts);

    let shown = text(&[&"show", &path]);
    assert!(shown.contains("the parts of 4 processes") && shown.contains("40 × 30"), "{shown}");
    assert!(shown.contains("particles"), "{shown}");
    let shown = json(&[&"--json", &"show", &path]);
    assert_eq!(shown["processes"], 4);
    assert_eq!(shown["arrays"][0]["path"], "field");
    assert_eq!(shown["arrays"][0]["shape"], serde_json::json!([40, 30]));
    assert_eq!(shown["arrays"][0]["blocks"], 4);

    let whole = json(&[&"--json", &"show", &path, &"field/data"]);
    assert_eq!(whole["state"]["array"]["shape"], serde_json::json!([40, 30]));
    assert_eq!(whole["state"]["array"]["summary"]["statistics"]["max"], 1199.0);
    let third = json(&[&"--json", &"show", &path, &"field/data", &"--rank", &"3"]);
    assert_eq!(third["state"]["array"]["shape"], serde_json::json!([20, 15]));
    let (code, _, err) = ckpt(&[&"show", &path, &"--rank", &"4"]);
    assert!(code == 3 && err.contains("none of them has rank 4"), "{err}");
}

#[test]
fn verify_reads_the_parts_of_all_processes() {
    let (_parent, path) = nowhere();
    save(&path, [4, 1], 2);
    let whole = text(&[&"verify", &path]);
    assert!(whole.contains("a restart takes generation 2"), "{whole}");
    let file = part(&path, 2, 2);
    let mut bytes = fs::read(&file).unwrap();
    let field = bytes.windows(14).position(|bytes| bytes == b"field/data.npy").unwrap();
    bytes[field + 300] ^= 1;
    fs::write(&file, bytes).unwrap();
    let (code, out, _) = ckpt(&[&"verify", &path]);
    let out = String::from_utf8(out).unwrap();
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("rank 2: field/data.npy") && out.contains("a restart takes generation 1"), "{out}");
    // The same, of a part that is gone, and of one that is of another save.
    fs::copy(part(&path, 1, 1), part(&path, 1, 2)).unwrap();
    fs::remove_file(part(&path, 0, 2)).unwrap();
    let (_, out, _) = ckpt(&[&"verify", &path]);
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("rank 0: ") && out.contains("rank 1: "), "{out}");
}

#[test]
fn parts_on_other_machines_are_no_damage() {
    let (parent, path) = nowhere();
    save(&path, [3, 1], 3);
    fs::rename(path.join("ranks/000001"), parent.path().join("elsewhere")).unwrap();
    let (code, out, _) = ckpt(&[&"verify", &path]);
    let out = String::from_utf8(out).unwrap();
    assert_eq!(code, 4, "{out}");
    assert!(out.contains("were not verified: 1;") && !out.contains("damaged"), "{out}");
    assert!(out.contains("what a restart takes is not known"), "{out}");
    // A part that is here is judged.
    fs::remove_file(part(&path, 2, 3)).unwrap();
    let (code, out, _) = ckpt(&[&"verify", &path]);
    assert_eq!(code, 1, "{}", String::from_utf8_lossy(&out));
    text(&[&"prune", &path, &"--keep-last", &"1", &"--yes"]);
    assert_eq!(json(&[&"--json", &"list", &path])["generations"][0]["generation"], 2);
    assert!(part(&path, 2, 2).exists() && !part(&path, 2, 1).exists());
}

#[test]
fn prune_keeps_what_is_whole_where_parts_may_be_lost() {
    let (_parent, path) = nowhere();
    save(&path, [1, 1], 2);
    save(&path, [2, 1], 2);
    fs::remove_dir_all(path.join("ranks/000001")).unwrap();
    let there = || -> Vec<u64> {
        let listed = json(&[&"--json", &"list", &path])["generations"].clone();
        listed.as_array().unwrap().iter().map(|one| one["generation"].as_u64().unwrap()).collect()
    };
    let before = there();
    let (code, out, _) = ckpt(&[&"verify", &path]);
    assert_eq!(code, 4, "{}", String::from_utf8_lossy(&out));
    text(&[&"prune", &path, &"--keep-last", &"1", &"--yes"]);
    assert_eq!((before, there()), (vec![1, 2, 3, 4], vec![2, 4]));
    let (_, out, _) = ckpt(&[&"verify", &path]);
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("whole") && out.contains("out of reach"), "{out}");
}

#[test]
fn report_has_the_cost_of_each_process_and_the_slowest() {
    let (parent, path) = nowhere();
    save(&path, [2, 2], 3);
    let ranks = json(&[&"report", &path, &"--json"])["ranks"].clone();
    let slowest = ranks
        .as_array()
        .unwrap()
        .iter()
        .max_by(|one, other| one["total"].as_f64().unwrap().total_cmp(&other["total"].as_f64().unwrap()));
    assert_eq!(ranks.as_array().unwrap().len(), 4);
    for (rank, cost) in ranks.as_array().unwrap().iter().enumerate() {
        assert_eq!((&cost["rank"], &cost["checkpoints"]), (&rank.into(), &3.into()));
        assert_eq!(cost["bytes"], fs::metadata(part(&path, rank, 3)).unwrap().len());
        assert!(cost["stall"].as_f64() > Some(0.0) && cost["total"].as_f64() > Some(0.0), "{cost}");
    }
    let short = text(&[&"report", &path]);
    let named = format!("rank {}  of 4 processes", slowest.unwrap()["rank"]);
    assert!(short.contains("Slowest process") && short.contains(&named), "{named}: {short}");
    let page = parent.path().join("report.html");
    text(&[&"report", &path, &"--output", &page]);
    let page = fs::read_to_string(&page).unwrap();
    assert!(page.contains("<h2>Processes</h2>") && !page.contains("could not be read"));
}

#[test]
fn report_says_how_many_tables_it_could_not_read() {
    let (parent, path) = nowhere();
    save(&path, [2, 1], 3);
    // The name of the attempt is in the table, and not in its manifest.
    let of_part = String::from_utf8_lossy(&fs::read(part(&path, 0, 3)).unwrap()).into_owned();
    let attempt = of_part.split("\"checkpointed.attempt\":\"").nth(1).unwrap()[..32].to_owned();
    let table = path.join(format!("{:020}.ckpt", 3));
    let mut bytes = fs::read(&table).unwrap();
    let place = bytes.windows(32).position(|found| found == attempt.as_bytes()).unwrap();
    bytes[place] ^= 1;
    fs::write(&table, bytes).unwrap();
    let report = json(&[&"report", &path, &"--json"]);
    assert_eq!((&report["unread_of_group"], &report["ranks"][1]["checkpoints"]), (&1.into(), &2.into()));
    let page = parent.path().join("report.html");
    text(&[&"report", &path, &"--output", &page]);
    assert!(fs::read_to_string(&page).unwrap().contains("<strong>1 could not be read.</strong>"));
}

#[test]
fn export_puts_the_blocks_together() {
    let (_parent, path) = nowhere();
    save(&path, [2, 2], 1);
    let (code, npy, err) = ckpt(&[&"export", &path, &"field", &"--to", &"npy"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("those of rank 0 are taken: particles"), "{err}");
    let header = 10 + usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    assert!(String::from_utf8_lossy(&npy[..header]).contains("'shape': (40, 30)"));
    let numbers: Vec<f64> =
        npy[header..].chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert!(numbers.iter().copied().eq((0..ROWS * COLUMNS).map(|number| number as f64)));
}

#[test]
fn diff_compares_across_splits() {
    let (parent, path) = nowhere();
    let other = parent.path().join("other.ckpt");
    save(&path, [2, 2], 1);
    save(&other, [1, 3], 1);
    let (code, out, err) = ckpt(&[&"diff", &path, &other]);
    assert_eq!(code, 0, "{}{err}", String::from_utf8_lossy(&out));
    save(&other, [1, 3], 2);
    let (code, out, _) = ckpt(&[&"diff", &path, &other]);
    let out = String::from_utf8(out).unwrap();
    assert!(code == 1 && out.contains("step  1 → 2") && out.contains("1 difference"), "{out}");
}

#[test]
fn a_copy_of_a_group_has_all_parts_and_loads() {
    let (parent, path) = nowhere();
    let copy = parent.path().join("copy.ckpt");
    save(&path, [4, 1], 2);
    text(&[&"copy", &path, &copy]);
    text(&[&"verify", &copy]);
    std::thread::scope(|scope| {
        for group in Threads::new(4) {
            let copy = &copy;
            scope.spawn(move || {
                let mut checkpoints = Checkpointer::<Heat>::builder(copy).open_group(&group).unwrap();
                assert_eq!(checkpoints.load().unwrap(), Some(heat(&group, [4, 1], 2)));
            });
        }
    });
}

#[test]
fn prune_removes_the_parts_with_the_table() {
    let (_parent, path) = nowhere();
    save(&path, [3, 1], 3);
    text(&[&"prune", &path, &"--keep-last", &"1", &"--yes"]);
    for rank in 0..3 {
        let there: Vec<u64> = (1..=3).filter(|generation| part(&path, rank, *generation).exists()).collect();
        assert_eq!(there, [3], "rank {rank}");
    }
    text(&[&"verify", &path]);
}

#[test]
fn a_group_goes_back_and_forth_with_all_of_its_parts() {
    let (parent, path) = nowhere();
    save(&path, [2, 1], 3);
    let load = |path: &Path| {
        let loaded = std::thread::scope(|scope| {
            let members = Threads::new(2).into_iter().map(|group| {
                scope.spawn(move || {
                    let builder = Checkpointer::<Heat>::builder(path).keep_last(9);
                    let mut checkpoints = builder.open_group(&group).unwrap();
                    checkpoints.load_or_else(|| heat(&group, [2, 1], 0)).unwrap().step.0
                })
            });
            members.collect::<Vec<_>>().into_iter().map(|member| member.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(loaded[0], loaded[1]);
        loaded[0]
    };
    let (code, _, err) = ckpt(&[&"rewind", &path, &"1"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(load(&path), 1);
    // The parts are in the place that a load looks in, whatever is saved meanwhile.
    save(&path, [2, 1], 2);
    assert!(part(&path, 1, 2).exists() && part(&path, 1, 3).exists());
    let branch = parent.path().join("branch.ckpt");
    let (code, _, err) = ckpt(&[&"branch", &path, &"3", &branch]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(load(&branch), 3);
    let copy = parent.path().join("copy.ckpt");
    text(&[&"copy", &path, &copy]);
    assert!(part(&copy, 1, 5).exists() && !part(&copy, 1, 3).exists());
    assert_eq!(load(&copy), 2);
    let (code, _, err) = ckpt(&[&"rewind", &path, &"3"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(load(&path), 3);
    // What is removed goes with its parts.
    save(&path, [2, 1], 1);
    text(&[&"rewind", &path, &"2"]);
    save(&path, [2, 1], 1);
    let pruned = json(&[&"--json", &"prune", &path, &"--rewound", &"--yes"]);
    assert_eq!(pruned["removed"].as_array().unwrap().len(), 4);
    assert!(!part(&path, 1, 3).exists() && part(&path, 1, 2).exists() && part(&path, 1, 7).exists());
}

#[test]
fn a_copy_without_the_parts_of_all_processes_is_refused() {
    let (parent, path) = nowhere();
    let copy = parent.path().join("copy.ckpt");
    save(&path, [2, 1], 1);
    fs::remove_dir_all(path.join("ranks/000001")).unwrap();
    let (code, out, err) = ckpt(&[&"copy", &path, &copy]);
    assert!(code == 3 && out.is_empty() && err.contains("ranks/000001"), "{code} {err}");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing is left of the copy");
}

#[test]
fn prune_of_the_part_of_one_process_is_refused() {
    let (_parent, path) = nowhere();
    save(&path, [2, 1], 3);
    let rank = path.join("ranks/000000");
    for rules in [&["--keep-last", "1", "--yes"][..], &["--rewound", "--yes"]] {
        let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"prune", &rank];
        arguments.extend(rules.iter().map(|rule| rule as &dyn AsRef<std::ffi::OsStr>));
        let (code, _, err) = ckpt(&arguments);
        assert!(code == 3 && err.contains("one process of a group"), "{code} {err}");
    }
    assert!((1..=3).all(|generation| part(&path, 0, generation).exists()));
    text(&[&"verify", &path]);
}
