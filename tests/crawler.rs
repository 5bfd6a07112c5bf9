//! A crawler with tokio that is killed and stopped again and again has the same pages in the end.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

fn crawler(dir: &Path) -> Command {
    let mut command = crate::common::example("crawler");
    command.args(["--pages", "6000", "--dir"]).arg(dir).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

fn newest(dir: &Path) -> u64 {
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let numbers = names.filter_map(|name| name.file_name().to_str()?.strip_suffix(".ckpt")?.parse().ok());
    numbers.max().unwrap_or(0)
}

#[test]
fn a_crawler_killed_ten_times_has_every_page_once() {
    let parent = tempfile::tempdir().unwrap();
    let whole = crawler(&parent.path().join("whole.ckpt")).output().unwrap();
    assert!(whole.status.success());
    assert!(whole.stdout.starts_with(b"6000 pages"), "{whole:?}");

    let dir = parent.path().join("crawl.ckpt");
    for number in 0..10 {
        let before = newest(&dir);
        let mut run = crawler(&dir).spawn().unwrap();
        // After a save of its own, so that ten kills are ten parts of one crawl.
        while newest(&dir) == before && run.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(5));
        }
        let signal = if number % 3 == 2 { "INT" } else { "KILL" };
        let sent = Command::new("kill").args(["-s", signal, &run.id().to_string()]).status().unwrap();
        let status = run.wait().unwrap();
        assert!(!sent.success() || signal == "KILL" || matches!(status.code(), Some(0 | 75)), "{status}");
    }
    let rest = crawler(&dir).output().unwrap();
    assert_eq!(rest.stdout, whole.stdout);
}

#[test]
fn a_crawler_fetches_a_page_again_that_failed() {
    let parent = tempfile::tempdir().unwrap();
    let whole = crawler(&parent.path().join("whole.ckpt")).output().unwrap();
    // With one fetch at a time, no other could bring it back.
    for at_a_time in ["1", "16"] {
        let mut command = crawler(&parent.path().join(at_a_time));
        let run = command.args(["--at-a-time", at_a_time, "--fail", "5"]).output().unwrap();
        assert_eq!(run.stdout, whole.stdout, "{at_a_time} at a time");
    }
}
