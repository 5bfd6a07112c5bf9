//! Tests the report of a directory: one self-contained page, for any content of the history.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use checkpointed::{Checkpointer, Metadata};

/// A history of real saves: two runs that ended, one without a recorded end, and a restart of it.
fn saved() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("fit.ckpt");
    for run in 0..4 {
        let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
        checkpoints.load().unwrap();
        for state in 0..5_u32 {
            let metadata = Metadata::new().with("loss", 1.0 / f64::from(state + 1)).with("note", "<b>&\"");
            checkpoints.save_with(&u64::from(state), metadata).unwrap();
        }
        if run != 2 {
            checkpoints.finish(&9).unwrap();
        }
    }
    // Remove the end that the third run recorded when it was dropped, as after a kill.
    let history = path.join("history.jsonl");
    let text = fs::read_to_string(&history).unwrap();
    let lines = text.lines().filter(|line| !line.contains("\"closed\"")).map(|line| format!("{line}\n"));
    fs::write(&history, lines.collect::<String>()).unwrap();
    (parent, path)
}

fn report(path: &Path) -> String {
    let page = path.with_extension("html");
    let output =
        Command::new(env!("CARGO_BIN_EXE_ckpt")).arg("report").arg(path).arg("-o").arg(&page).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(page).unwrap()
}

#[test]
fn the_page_asks_for_nothing_from_outside() {
    let (_parent, path) = saved();
    let page = report(&path).replace("http://www.w3.org/", "");
    for reference in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(reference), "{reference}");
    }
    assert!(page.contains("Content-Security-Policy") && page.contains("fit.ckpt"));
}

#[test]
fn what_a_history_says_is_text_and_never_markup() {
    let (_parent, path) = saved();
    let history = path.join("history.jsonl");
    let text = fs::read_to_string(&history).unwrap();
    let host = text.split("\"host\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let hostile = "</script><script>alert(1)</script>";
    let text = text.replace(&format!("\"host\":\"{host}\""), &format!("\"host\":\"{hostile}\""));
    // Add a torn line, and one of a later version.
    fs::write(&history, format!("{text}{{\"event\":\"dance\"}}\n{{\"time\":")).unwrap();
    let page = report(&path);
    assert!(!page.contains("<script>alert"), "the host");
    assert!(!page.contains("<b>&\""), "the metadata");
}

#[test]
fn an_empty_directory_has_a_report_and_an_absent_one_none() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("empty.ckpt");
    fs::create_dir(&path).unwrap();
    assert!(report(&path).contains("empty.ckpt"));
    let output = Command::new(env!("CARGO_BIN_EXE_ckpt"))
        .arg("report")
        .arg(parent.path().join("none"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn the_numbers_behind_it_are_there_as_json() {
    let (_parent, path) = saved();
    let output =
        Command::new(env!("CARGO_BIN_EXE_ckpt")).args(["--json", "report"]).arg(&path).output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["totals"]["runs"], 4);
    assert_eq!(summary["saves"].as_array().unwrap().len(), 4 * 5 + 3);
    assert!(summary["generations"].as_array().unwrap().len() >= 2);
}

#[test]
fn a_history_from_before_any_clock_was_set_has_a_report() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("old.ckpt");
    fs::create_dir(&path).unwrap();
    let end = "{\"time\":\"1970-01-01T00:00:01Z\",\"at\":86400.0,\"event\":\"end\",\"end\":\"completed\"}\n";
    fs::write(path.join("history.jsonl"), end).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt"));
    let output = command.args(["--json", "report"]).arg(&path).output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(summary["runs"][0]["start"], "1970-01-01T00:00:00Z");
}

#[cfg(unix)]
#[test]
fn the_report_tells_how_much_of_a_save_was_written() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("field.ckpt");
    let mut checkpoints = Checkpointer::<Vec<f64>>::builder(&path).keep_last(1).open().unwrap();
    let mut field = vec![0.5; 1 << 18];
    let mut written = 0;
    for _ in 0..6 {
        field[7] += 1.0;
        written += checkpoints.save(&field).unwrap().written;
    }
    drop(checkpoints);
    let output =
        Command::new(env!("CARGO_BIN_EXE_ckpt")).args(["--json", "report"]).arg(&path).output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |save: usize, what: &str| summary["saves"][save][what].as_u64().unwrap();
    assert_eq!(of(3, "written"), of(3, "bytes"));
    assert!(of(5, "written") < of(5, "bytes") / 4, "{summary}");
    assert_eq!(summary["totals"]["written"], written);
    let page = report(&path);
    assert!(page.contains("written, where it is less"), "the plot of sizes");
}

#[test]
fn a_browser_opens_it_without_an_error_or_a_request() {
    let (_parent, path) = saved();
    report(&path);
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--v=0", "--dump-dom"])
        .arg(format!("--proxy-server=127.0.0.1:{}", proxy.local_addr().unwrap().port()))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", path.with_extension("html").display()))
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: there is no chromium");
        return;
    };
    let (page, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(page.contains("fit.ckpt") && page.contains("<svg"), "{log}");
    assert!(!log.contains("CONSOLE"), "{log}");
    assert!(!log.contains("Content Security Policy"), "{log}");
    // The browser contacts its maker at every start; it may ask for nothing else.
    while let Ok((mut request, _)) = proxy.accept() {
        request.set_nonblocking(false).unwrap();
        request.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut first = [0; 300];
        let length = request.read(&mut first).unwrap_or(0);
        let first = String::from_utf8_lossy(&first[..length]);
        assert!(first.is_empty() || first.contains("google") || first.contains("gvt1"), "{first}");
    }
}

#[test]
fn the_page_says_how_far_the_saves_are_from_the_optimum() {
    let (_parent, path) = saved();
    let page = report(&path);
    assert!(page.contains("times as often as would have been best"), "{page}");
    assert!(page.contains("were requested by the program itself"), "{page}");
    // A save that the program waited for is one dot, not two on top of each other.
    assert!(page.contains("Cost of a save") && !page.contains("until it is on the disk"), "{page}");
}
